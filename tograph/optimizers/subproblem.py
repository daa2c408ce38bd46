"""The convex separable subproblem of MMA, solved in the few variables of its dual.

    minimize    sum_j [p_0j / (U_j - x_j) + q_0j / (x_j - L_j)] + sum_i (c y_i + y_i^2 / 2)
    subject to  g_i(x) = b_i + sum_j [p_ij / (U_j - x_j) + q_ij / (x_j - L_j)] <= y_i,   i = 1 .. m,
                alpha <= x <= beta,  y >= 0.

The y_i keep it solvable where the constraints contradict each other; at a large price c they are 0 wherever they can
be. Sources: K. Svanberg, Int. J. Numer. Meth. Engng 24 (1987) 359-373, where the dual is derived, and his notes MMA and
GCMMA - two methods for nonlinear optimization (2007) for the y_i.

For multipliers lam >= 0 the Lagrangian falls apart into the variables. With P = p_0 + lam p, Q = q_0 + lam q, each of
psi_j(x) = P_j / (U_j - x) + Q_j / (x - L_j) is least where sqrt(P_j) (x - L_j) = sqrt(Q_j) (U_j - x), that is at

    x_j(lam) = (sqrt(P_j) L_j + sqrt(Q_j) U_j) / (sqrt(P_j) + sqrt(Q_j)), kept in [alpha_j, beta_j],
    y_i(lam) = max(0, lam_i - c).

What is left is a concave function of lam, W(lam) = min over x and y of the Lagrangian, with

    W' = g(x(lam)) - y(lam),     -W'' = G diag(1 / psi'') G^T + diag(1 where y > 0),

where G = dg/dx has only the columns of the variables between alpha and beta: the others do not move. W is maximised
over lam >= 0 by Newton's method on the multipliers that are not held at 0 (D. P. Bertsekas, SIAM J. Control Optim. 20
(1982) 221-246): a system in the m constraints at most, and vectors in the n variables.
"""

from __future__ import annotations

import attrs
import numpy as np

from .variables import Floats

ROUNDING, ACCURACY = 1e-13, 1e-9
"""Largest error of a constraint: the rounding of its sum, relative to the size of its terms, and an absolute one."""
STEPS, HALVINGS = 200, 40
NEARLY = 1e-9
"""A multiplier this small, relative to 1 and the others, counts as 0 where it falls."""
FARTHEST = 10.0
"""In one step a multiplier grows by no more than this times 1 + itself: W'' may vanish where all x are at limits."""


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
class _Dual:
    """The dual function at some multipliers: x, W, W', -W'', and the error of W' that is rounding; shapes as above."""

    lam: Floats
    x: Floats
    value: float
    slope: Floats
    curvature: Floats
    noise: Floats

    @property
    def moves(self) -> Floats:
        """Which multipliers are not held at 0; one that is nearly there and would fall further is."""
        return (self.lam > NEARLY * (1.0 + self.lam.max(initial=0.0))) | (self.slope > 0.0)

    @property
    def solved(self) -> bool:
        """Whether every constraint holds, and those with a multiplier hold with equality."""
        return bool(np.all(np.abs(self.slope[self.moves]) <= self.noise[self.moves]))


def solve(problem: Approximation, price: float) -> tuple[Floats, Floats]:
    """The x and the multipliers lam of the solution, shapes (n,) and (m,)."""
    here = _dual(problem, price, np.ones(len(problem.offset) - 1))
    for _ in range(STEPS):
        if here.solved:
            break
        after = _better(problem, price, here)
        if after is None:  # rounding hides any further progress
            break
        here = after
    return here.x, here.lam


def _dual(problem: Approximation, price: float, lam: Floats) -> _Dual:
    weights = np.concatenate([[1.0], lam])
    P, Q = weights @ problem.p, weights @ problem.q
    a, b = np.sqrt(P), np.sqrt(Q)
    least = (a * problem.low + b * problem.upp) / (a + b)
    x = np.clip(least, problem.alpha, problem.beta)
    ux, xl = 1.0 / (problem.upp - x), 1.0 / (x - problem.low)
    y = np.maximum(0.0, lam - price)
    sums = problem.p @ ux + problem.q @ xl
    slope = problem.offset[1:] + sums[1:] - y
    value = float(P @ ux + Q @ xl + lam @ (problem.offset[1:] - y) + (price * y + 0.5 * y**2).sum())
    free = least == x
    G = (problem.p[1:, free] * ux[free] ** 2) - problem.q[1:, free] * xl[free] ** 2
    second = 2.0 * (P[free] * ux[free] ** 3 + Q[free] * xl[free] ** 3)
    curvature = (G / second) @ G.T + np.diag((lam > price).astype(np.float64))
    noise = ACCURACY + ROUNDING * (sums[1:] + np.abs(problem.offset[1:]) + y)
    return _Dual(lam, x, value, slope, curvature, noise)


def _better(problem: Approximation, price: float, here: _Dual) -> _Dual | None:
    """A point with a larger W along Newton's step; None if there is none."""
    step = _step(here)
    length = 1.0
    for _ in range(HALVINGS):
        lam = np.maximum(0.0, here.lam + length * step)
        there = _dual(problem, price, lam)
        gain = float(here.slope @ (lam - here.lam))
        # Near the solution W changes by less than its rounding; there a smaller slope tells the same.
        flatter = np.abs(there.slope[there.moves]).max(initial=0.0) < 0.9 * np.abs(here.slope[here.moves]).max()
        close = abs(gain) <= 1e-12 * abs(here.value)
        if there.value >= here.value + 1e-4 * gain or (close and flatter):
            return there
        length *= 0.5
    return None


def _step(here: _Dual) -> Floats:
    """Newton's step of the multipliers that move, at most `FARTHEST`."""
    moves = np.flatnonzero(here.moves)
    matrix = here.curvature[np.ix_(moves, moves)]
    # Two constraints with the same gradient, such as both sides of an equality, make it singular.
    size = float(np.trace(matrix)) or 1.0
    regular = matrix + 1e-12 * size * np.eye(len(moves))
    step = -here.lam
    step[moves] = np.linalg.solve(regular, here.slope[moves])
    most = FARTHEST * (1.0 + here.lam)
    return np.asarray(step * min(1.0, float((most / np.maximum(np.abs(step), 1e-300)).min(initial=1.0))))
