"""The method of moving asymptotes, plain and globally convergent.

Sources: K. Svanberg, Int. J. Numer. Meth. Engng 24 (1987) 359-373 (MMA); SIAM J. Optim. 12 (2002) 555-573 (GCMMA); and
his notes MMA and GCMMA - two methods for nonlinear optimization (2007), whose constants stand below.

Inside, every variable runs from 0 to 1 between its bounds, t = (x - lower) / (upper - lower), and objective and
constraints are divided by the mean size of their derivatives in t. The equations then need no scale of the user's, and
the number of variables has no part in them.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

from .formulation import Formulation, Point
from .subproblem import Approximation, solve
from .variables import Floats

START, SLOWER, FASTER = 0.5, 0.7, 1.2
"""How far the first asymptotes are away; by what they come closer and go away."""
NEAREST, FARTHEST = 0.01, 10.0
"""Limits of the distance between a variable and its asymptotes."""
INNER = 30
"""The most inner iterations of GCMMA."""
ROUNDING = 1e-12
"""Relative error below which an approximation counts as not below the true value."""


def _positive(instance: Any, attribute: Any, value: Any) -> None:
    if not np.all((np.asarray(value) > 0.0) & np.isfinite(value)):
        raise ValueError(f"{attribute.name} must be positive and finite, got {value}")


@attrs.frozen(eq=False)
class _MovingAsymptotes:
    """What the two methods share.

    Attributes:
        move: the largest change of a variable in one step, as a fraction of upper - lower, in (0, 1]: a number, or an
            array in the shape of the design.
        price: c of the elastic variables: how much violation costs in the subproblem, > 0, dimensionless.

    Raises:
        ValueError: a setting out of range.
    """

    move: Any = attrs.field(default=0.2, validator=_positive)
    price: float = attrs.field(default=1000.0, validator=_positive)

    def findings(self, problem: Formulation) -> list[str]:
        """Bounds that are infinite, or a move limit that fits no design."""
        return _findings(self, problem)

    def init(self, problem: Formulation, design: Floats) -> dict[str, Any]:
        """No design before this one, no asymptotes."""
        return {"older": None, "old": None, "low": None, "upp": None}


@attrs.frozen(eq=False)
class MMA(_MovingAsymptotes):
    """The method of moving asymptotes, for any number of constraints `<=`, `>=` and `==` on any outputs.

    An equality is treated as two inequalities. Needs finite bounds; variables whose bounds coincide stay.

    Attributes:
        move: the largest change of a variable in one step, as a fraction of upper - lower, in (0, 1]: a number, or an
            array in the shape of the design.
        price: c of the elastic variables: how much violation costs in the subproblem, > 0, dimensionless.

    Raises:
        ValueError: a setting out of range.
    """

    def step(self, problem: Formulation, point: Point, state: dict[str, Any]) -> tuple[Floats, dict[str, Any]]:
        """The solution of the subproblem at a point."""
        here = Here.of(problem, point)
        low, upp = asymptotes(here.t, state)
        t, _ = solve(approximate(here, low, upp, limits_of(self.move, problem), None), self.price)
        return here.design(t), {"older": state["old"], "old": here.t, "low": low, "upp": upp}


@attrs.frozen(eq=False)
class GCMMA(_MovingAsymptotes):
    """MMA with the inner loop that makes it globally convergent.

    A step is taken only if the approximations of objective and constraints were conservative, that is not below the
    true values there; otherwise they are made more convex and solved again. From a feasible design on, the objective
    never rises, and all designs are feasible. Each inner iteration costs one evaluation without gradients.

    Attributes and errors as for `MMA`.
    """

    def step(self, problem: Formulation, point: Point, state: dict[str, Any]) -> tuple[Floats, dict[str, Any]]:
        """The first conservative solution; the design itself if none of `INNER` is."""
        here = Here.of(problem, point)
        low, upp = asymptotes(here.t, state)
        rho = np.full(len(here.values), 0.1)  # a tenth of the mean |derivative|, which is 1 here
        limits = limits_of(self.move, problem)
        after = {"older": state["old"], "old": here.t, "low": low, "upp": upp}
        for _ in range(INNER):
            model = approximate(here, low, upp, limits, rho)
            t, _ = solve(model, self.price)
            found = here.scaled(problem, problem.values(point.number, problem.differentiated, here.design(t)))
            missing = found - model.values(t)
            slack = 1e-12 * np.maximum(1.0, np.abs(found)) + 1e-8
            slack[0] = 1e-12 * max(1.0, abs(found[0]))
            if np.all(missing <= slack):
                return here.design(t), after
            rho = np.where(
                missing > slack, np.minimum(10.0 * rho, 1.1 * (rho + missing / _growth(here, model, t))), rho
            )
        return point.design.copy(), after


def _growth(here: Here, model: Approximation, t: Floats) -> float:
    """By what the approximations grow at t with rho: d in the notes."""
    terms = (model.upp - model.low) * (t - here.t) ** 2 / ((model.upp - t) * (t - model.low))
    return float(terms.sum()) or math.inf


@attrs.frozen(eq=False)
class Here:
    """Where a step starts, in the variables and scales of the module's docstring.

    Attributes:
        x, lower, upper: the design and its bounds.
        free: where the bounds differ.
        t: the free variables, shape (n,).
        values: f, then g; shape (1 + m,).
        slopes: their derivatives in t, shape (1 + m, n).
        scales: what both are divided by.
    """

    x: Floats
    lower: Floats
    upper: Floats
    free: Any
    t: Floats
    values: Floats
    slopes: Floats
    scales: Floats

    @classmethod
    def of(cls, problem: Formulation, point: Point) -> Here:
        """The point of a formulation."""
        free = problem.upper > problem.lower
        span = (problem.upper - problem.lower)[free]
        gradients = [point.gradients[problem.minimize].ravel()[None], problem.inequality_gradients(point)]
        slopes = np.concatenate(gradients)[:, free.ravel()] * span
        scales = np.abs(slopes).mean(axis=1)
        scales[scales == 0.0] = 1.0
        t = (point.design - problem.lower)[free] / span
        values = _stacked(problem, point.values) / scales
        return cls(point.design, problem.lower, problem.upper, free, t, values, slopes / scales[:, None], scales)

    def scaled(self, problem: Formulation, values: dict[str, float]) -> Floats:
        """Values elsewhere in the scales of this point."""
        return _stacked(problem, values) / self.scales

    def design(self, t: Floats) -> Floats:
        """The design of given free variables; within its bounds, which rounding could leave."""
        x = self.x.copy()
        low, upp = self.lower[self.free], self.upper[self.free]
        x[self.free] = np.clip(low + t * (upp - low), low, upp)
        return x


def _stacked(problem: Formulation, values: dict[str, float]) -> Floats:
    return np.concatenate([[values[problem.minimize]], problem.inequalities(values)])


def asymptotes(t: Floats, state: dict[str, Any]) -> tuple[Floats, Floats]:
    """L and U: closer where a variable turned, farther where it went on."""
    older, old = state["older"], state["old"]
    if older is None or old is None:
        return t - START, t + START
    turned = (t - old) * (old - older)
    factor = np.where(turned > 0.0, FASTER, np.where(turned < 0.0, SLOWER, 1.0))
    low, upp = t - factor * (old - state["low"]), t + factor * (state["upp"] - old)
    return np.clip(low, t - FARTHEST, t - NEAREST), np.clip(upp, t + NEAREST, t + FARTHEST)


def approximate(here: Here, low: Floats, upp: Floats, move: Any, rho: Floats | None) -> Approximation:
    """The approximations at a point; with `rho` those of GCMMA.

    Without `rho` the term that keeps p and q positive is 1e-3 of the mean derivative, which is 1: for 100 variables and
    f ~ 1 the 1e-5 of the notes, for more of them in proportion.
    """
    up, down = np.maximum(here.slopes, 0.0), np.maximum(-here.slopes, 0.0)
    extra = 1e-3 if rho is None else rho[:, None]
    p = (upp - here.t) ** 2 * (1.001 * up + 0.001 * down + extra)
    q = (here.t - low) ** 2 * (0.001 * up + 1.001 * down + extra)
    alpha = np.maximum.reduce([np.zeros_like(low), low + 0.1 * (here.t - low), here.t - move])
    beta = np.minimum.reduce([np.ones_like(upp), upp - 0.1 * (upp - here.t), here.t + move])
    offset = here.values - (p / (upp - here.t) + q / (here.t - low)).sum(axis=1)
    return Approximation(p, q, low, upp, alpha, beta, offset)


def limits_of(move: Any, problem: Formulation) -> Any:
    """The move limits of the free variables, as fractions of their ranges."""
    return np.broadcast_to(np.asarray(move, dtype=np.float64), problem.lower.shape)[problem.upper > problem.lower]


def _findings(method: _MovingAsymptotes, problem: Formulation) -> list[str]:
    name, found = type(method).__name__, []
    unbounded = int((~np.isfinite(problem.lower) | ~np.isfinite(problem.upper)).sum())
    if unbounded:
        where = f"{problem.variables.said} has none in {unbounded} of {problem.lower.size} places"
        found.append(f"{name} needs finite bounds, and {where}. Give the input `lower` and `upper`")
    shape = np.shape(method.move)
    if shape not in ((), problem.lower.shape):
        found.append(f"the move limits of {name} have shape {shape}; the design has shape {problem.lower.shape}")
    return found
