"""The convex separable subproblem of MMA, and a primal-dual interior-point method for it.

    minimize    sum_j [p_0j / (U_j - x_j) + q_0j / (x_j - L_j)] + sum_i (c y_i + y_i^2 / 2)
    subject to  sum_j [p_ij / (U_j - x_j) + q_ij / (x_j - L_j)] - y_i <= b_i,   i = 1 .. m,
                alpha <= x <= beta,  y >= 0.

The y_i keep it solvable where the constraints contradict each other; at a large price c they are 0 wherever they can
be. Sources: K. Svanberg, Int. J. Numer. Meth. Engng 24 (1987) 359-373, and MMA and GCMMA - two methods for nonlinear
optimization (2007), section 5, for a_i = 0, where his variable z vanishes.

With multipliers lam of the constraints, xi and eta of alpha <= x and x <= beta, mu of y >= 0, slacks s, and

    P = p_0 + sum_i lam_i p_i,   Q = q_0 + sum_i lam_i q_i,   psi'_j = P_j / (U_j - x_j)^2 - Q_j / (x_j - L_j)^2,

the KKT conditions, relaxed by eps > 0, are (2007, eq. 5.9)

    psi' - xi + eta = 0,     c + y - lam - mu = 0,     g(x) - y - b + s = 0,
    xi (x - alpha) = eps,    eta (beta - x) = eps,     mu y = eps,     lam s = eps.

Newton's step on them, with dxi, deta, dmu, ds eliminated, G = dg/dx, and

    D_x = psi'' + xi / (x - alpha) + eta / (beta - x),     r_x = psi' - eps / (x - alpha) + eps / (beta - x),
    D_y = 1 + mu / y,                                      r_y = c + y - lam - eps / y,
    D_l = s / lam,                                         r_l = g - y - b + eps / lam,

reads   D_x dx + G^T dlam = -r_x,    D_y dy - dlam = -r_y,    G dx - dy - D_l dlam = -r_l,    hence

    (G D_x^-1 G^T + D_y^-1 + D_l) dlam = r_l - G D_x^-1 r_x + D_y^-1 r_y:

a dense system in the m constraints, and vectors in the n variables.
"""

from __future__ import annotations

import attrs
import numpy as np

from .variables import Floats

ACCURACY = 1e-9
"""The last eps; the first is 1, and each is a tenth of the one before."""
HALVINGS, PATIENCE = 30, 5
"""After so many halvings, or weak steps in a row, rounding hides any further progress."""


@attrs.frozen(eq=False)
class Approximation:
    """Row 0 of `p` and `q` is the objective, the others are the constraints; the arrays of x have shape (n,).

    Attributes:
        p, q: shape (1 + m, n), not negative.
        low, upp: the asymptotes L and U.
        alpha, beta: limits of x, strictly between the asymptotes.
        offset: what the sums lack to be values, shape (1 + m,): f_i ~ offset_i + sum_j [...].
    """

    p: Floats
    q: Floats
    low: Floats
    upp: Floats
    alpha: Floats
    beta: Floats
    offset: Floats

    def values(self, x: Floats) -> Floats:
        """Approximate objective and constraints, shape (1 + m,)."""
        return self.offset + self.p @ (1.0 / (self.upp - x)) + self.q @ (1.0 / (x - self.low))


@attrs.frozen(eq=False)
class _State:
    """The unknowns, and their steps."""

    x: Floats
    y: Floats
    lam: Floats
    xi: Floats
    eta: Floats
    mu: Floats
    s: Floats

    def moved(self, step: _State, length: float) -> _State:
        return _State(*(a + length * b for a, b in zip(_parts(self), _parts(step), strict=True)))


def _parts(state: _State) -> tuple[Floats, ...]:
    return state.x, state.y, state.lam, state.xi, state.eta, state.mu, state.s


def solve(problem: Approximation, price: float) -> tuple[Floats, Floats]:
    """The x and the multipliers lam of the solution, shapes (n,) and (m,)."""
    m = len(problem.offset) - 1
    x = 0.5 * (problem.alpha + problem.beta)
    ones = np.ones(m)
    # Where a multiplier of a bound starts: eps = 1 with its distance, but at least 1 (2007, section 5.5).
    xi, eta = np.maximum(1.0, 1.0 / (x - problem.alpha)), np.maximum(1.0, 1.0 / (problem.beta - x))
    state = _State(x, ones, ones, xi, eta, np.full(m, max(1.0, 0.5 * price)), ones)
    eps = 1.0
    while eps > ACCURACY:
        state = _newton(problem, price, state, eps)
        eps *= 0.1
    return state.x, state.lam


def _newton(problem: Approximation, price: float, state: _State, eps: float) -> _State:
    """Damped Newton steps until the relaxed conditions hold to 0.9 eps (2007, section 5.3)."""
    residual, weak = _residual(problem, price, state, eps), 0
    while np.abs(residual).max() > 0.9 * eps and weak < PATIENCE:
        step = _step(problem, price, state, eps)
        length, size = _longest(problem, state, step), float(np.linalg.norm(residual))
        for _ in range(HALVINGS):
            trial = state.moved(step, length)
            residual = _residual(problem, price, trial, eps)
            if np.linalg.norm(residual) < size:
                break
            length *= 0.5
        else:
            return state
        state, weak = trial, weak + 1 if np.linalg.norm(residual) > 0.9 * size else 0
    return state


def _slopes(problem: Approximation, state: _State) -> tuple[Floats, Floats, Floats]:
    """psi', psi'' and G at a state."""
    ux, xl = 1.0 / (problem.upp - state.x), 1.0 / (state.x - problem.low)
    weights = np.concatenate([[1.0], state.lam])
    P, Q = weights @ problem.p, weights @ problem.q
    first = P * ux**2 - Q * xl**2
    second = 2.0 * (P * ux**3 + Q * xl**3)
    return first, second, problem.p[1:] * ux**2 - problem.q[1:] * xl**2


def _residual(problem: Approximation, price: float, state: _State, eps: float) -> Floats:
    first, _, _ = _slopes(problem, state)
    g = problem.values(state.x)[1:]
    return np.concatenate(
        [
            first - state.xi + state.eta,
            price + state.y - state.lam - state.mu,
            g - state.y + state.s,
            state.xi * (state.x - problem.alpha) - eps,
            state.eta * (problem.beta - state.x) - eps,
            state.mu * state.y - eps,
            state.lam * state.s - eps,
        ]
    )


def _step(problem: Approximation, price: float, state: _State, eps: float) -> _State:
    first, second, G = _slopes(problem, state)
    above, below = state.x - problem.alpha, problem.beta - state.x
    D_x = second + state.xi / above + state.eta / below
    D_y = 1.0 + state.mu / state.y
    r_x = first - eps / above + eps / below
    r_y = price + state.y - state.lam - eps / state.y
    r_l = problem.values(state.x)[1:] - state.y + eps / state.lam
    matrix = (G / D_x) @ G.T + np.diag(1.0 / D_y + state.s / state.lam)
    dlam = np.asarray(np.linalg.solve(matrix, r_l - G @ (r_x / D_x) + r_y / D_y), dtype=np.float64)
    dx = -(r_x + dlam @ G) / D_x
    dy = (dlam - r_y) / D_y
    return _State(
        dx,
        dy,
        dlam,
        (eps - state.xi * dx) / above - state.xi,
        (eps + state.eta * dx) / below - state.eta,
        (eps - state.mu * dy) / state.y - state.mu,
        (eps - state.s * dlam) / state.lam - state.s,
    )


def _longest(problem: Approximation, state: _State, step: _State) -> float:
    """The longest step, up to 1, that keeps everything positive (2007, eq. 5.24: 1 / 1.01 of the way)."""
    positive = [*_parts(state)[1:], state.x - problem.alpha, problem.beta - state.x]
    falling = [*_parts(step)[1:], step.x, -step.x]
    worst = max(float((-d / v).max(initial=0.0)) for v, d in zip(positive, falling, strict=True))
    return 1.0 / max(1.0, 1.01 * worst)
