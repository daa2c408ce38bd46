"""Optimality criteria: the fixed-point update for one objective and one constraint that grows with the design.

A stationary point of f + lambda g has -f' = lambda g' wherever the design is between its bounds. The update multiplies
each variable by how far it is from that, damped, within a move limit:

    x_new = clip(x B^damping, x - move, x + move, lower, upper),    B = -f' / (lambda g')

and lambda is the number for which g(x_new) meets its bound. Sources: Bendsoe & Sigmund, Topology Optimization (2003),
section 1.2; Andreassen et al., Struct. Multidisc. Optim. 43:1 (2011), "88 lines".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from scipy.optimize import brentq

from ..errors import TographError
from .constraint import Constraint
from .formulation import Formulation, Point
from .variables import Floats

EPS = np.finfo(np.float64).eps
LARGEST = 1e9
"""Upper end of the classical bracket of lambda."""
TINY = 1e-18
"""Below this a density is as good as zero, and still a number with a logarithm."""


def _in(low: float, high: float, *, closed: bool) -> Any:
    upper = attrs.validators.le(high) if closed else attrs.validators.lt(high)
    return attrs.validators.optional(attrs.validators.and_(attrs.validators.gt(low), upper))


@attrs.frozen
class OptimalityCriteria:
    """The optimality-criteria method, for exactly one constraint `name <= bound`.

    The bound is met by the constraint *as the program computes it* (of the filtered, projected field with its passive
    regions), to 1e-9 relative in float64 and 1e-6 in float32. Where it is out of reach within the move limit, the step
    goes as far as it can; where it is not active (everything at its upper limit and still below), lambda is 0.

    A variable with f' >= 0 gets B = 0 and shrinks as far as it may. One that the constraint does not feel (g' = 0)
    grows if that lowers f, shrinks if that raises f, and stays where it is if f does not feel it either. A variable
    that is exactly 0 stays 0, because the update multiplies.

    Attributes:
        move: largest change of a variable in one step, > 0, in the unit of the design.
        damping: exponent of B, in (0, 1].
        bracket: None, or the relative bracket (l2 - l1) / (l2 + l1), in (0, 1), at which the bisection of lambda on
            [0, 1e9] stops, g' being scaled to a mean of 1. 1e-3 is the classical code, whose published results it
            repeats to all digits; it leaves the constraint off by up to 5e-4 relative.

    Raises:
        ValueError: a setting out of range.
    """

    move: float = attrs.field(default=0.2, validator=_in(0.0, math.inf, closed=False))
    damping: float = attrs.field(default=0.5, validator=_in(0.0, 1.0, closed=True))
    bracket: float | None = attrs.field(default=None, validator=_in(0.0, 1.0, closed=False))

    def findings(self, problem: Formulation) -> list[str]:
        """Whatever is not one constraint of the form `name <= number`, and a move limit that looks like convergence."""
        found = []
        if len(problem.constraints) != 1:
            given = ", ".join(str(c) for c in problem.constraints) or "none"
            found.append(
                f"optimality criteria take exactly one constraint, got {given}. Keep one, and weigh the others into "
                "the objective (`tg.weighted_sum`)"
            )
        for c in problem.constraints:
            if c.sense == "==":
                instead = f"Write '{c.name} <= {c.bound:g}': it is met with equality wherever more of it helps"
                found.append(f"optimality criteria take '<=', got '{c}'. {instead}")
            if c.sense == ">=":
                instead = (
                    f"Weigh {c.name!r} into the objective, or give a method of your own (`tograph.optimizers.Method`)"
                )
                found.append(f"optimality criteria take '<=', got '{c}'. {instead}")
        if self.move <= problem.tol:
            why = "or every step would count as converged"
            found.append(f"the move limit {self.move:g} must be larger than tol {problem.tol:g}, {why}")
        if np.any(problem.lower < 0.0):
            why = "the update multiplies it, and cannot change a sign"
            found.append(
                f"optimality criteria need a design that is not negative ({why}). Shift {problem.variables.said}"
            )
        return found

    def init(self, problem: Formulation, design: Floats) -> None:
        """Nothing is remembered."""

    def step(self, problem: Formulation, point: Point, state: None) -> tuple[Floats, None]:
        """The next design; see the class."""
        (constraint,) = problem.constraints
        update = make_update(self, problem, point)

        def constrained(growth: float) -> float:
            return problem.value(point.number, constraint.name, update.design(growth))

        if self.bracket is None:
            growth = hold(update, constraint.bound, constrained, constraint.scale * _tolerance(problem.program.dtype))
        else:
            growth = bisect(update, constraint, constrained, self.bracket, self.damping)
        return update.design(growth), None


@attrs.frozen(eq=False)
class Update:
    """The candidates of one step, a family in one number: x(growth) = clip(base growth, low, high).

    growth = lambda^-damping, base = x (-f'/g')^damping. `value` and `slope` are g and g' at x, hence
    g(x(growth)) ~ value + slope . (x(growth) - x): exact where g is linear in the design.
    """

    x: Floats
    base: Floats
    low: Floats
    high: Floats
    value: float
    slope: Floats

    def design(self, growth: float) -> Floats:
        """x(growth)."""
        return np.clip(self.base * growth, self.low, self.high)

    def predicted(self, growth: float) -> float:
        """The constraint at x(growth) by its linearisation."""
        return self.value + float(np.vdot(self.slope, self.design(growth) - self.x))

    @property
    def ends(self) -> tuple[float, float]:
        """The growths at which everything that can move is at its lower and its upper limit."""
        moves = self.base > 0.0
        if not moves.any():
            return 1.0, 1.0
        base = self.base[moves]
        return float((np.maximum(self.low[moves], TINY) / base).min()), float((self.high[moves] / base).max())

    def growth(self, target: float) -> float:
        """The growth whose predicted constraint is `target`; the nearer end if there is none."""
        least, most = self.ends
        if self.predicted(least) >= target:
            return least
        if self.predicted(most) <= target:
            return most
        return _root(lambda growth: self.predicted(growth) - target, least, most)


def make_update(method: OptimalityCriteria, problem: Formulation, point: Point) -> Update:
    """The update law at a point.

    Raises:
        TographError: the constraint falls where the design grows.
    """
    (constraint,) = problem.constraints
    x, df, dg = point.design, point.gradients[problem.minimize], point.gradients[constraint.name]
    noise = 100.0 * float(np.finfo(problem.program.dtype).eps)
    little_f, little_g = noise * np.abs(df).max(), noise * np.abs(dg).max()
    if np.any(dg < -little_g):
        places = f"{int((dg < -little_g).sum())} of {dg.size} places"
        raise TographError(
            f"iteration {point.number}: optimality criteria need a constraint that grows with the design, such as a "
            f"volume, but {constraint.name!r} falls in {places}. Minimize {constraint.name!r}, and bound the other"
        )
    low = np.maximum(x - method.move, problem.lower)
    high = np.minimum(x + method.move, problem.upper)
    felt = dg > little_g
    free = np.select([df < -little_f, df > little_f], [high, low], x)
    # Scaled to a mean of 1, which for a volume fraction is the gradient of the classical sum of densities.
    slope = np.where(felt, dg, 1.0) / (np.abs(dg).mean() or 1.0)
    base = np.where(felt, x * (np.maximum(-df, 0.0) / slope) ** method.damping, 0.0)
    base[base < np.finfo(np.float64).tiny / TINY] = 0.0
    value = point.values[constraint.name]
    return Update(x, base, np.where(felt, low, free), np.where(felt, high, free), value, dg)


def hold(update: Update, bound: float, constrained: Callable[[float], float], tolerance: float) -> float:
    """The growth at which the true constraint is `bound`, or the end nearest to it.

    The linearisation proposes it, and one true value confirms that where the constraint is linear. Otherwise the
    prediction is shifted by twice its error, and further, until two growths enclose the bound.
    """
    errors: dict[float, float] = {}

    def error(growth: float) -> float:
        if growth not in errors:
            off = constrained(growth) - bound
            errors[growth] = 0.0 if abs(off) <= tolerance else off
        return errors[growth]

    near = far = update.growth(bound)
    shift = 2.0 * error(near)
    while error(far) * error(near) > 0.0:
        other = update.growth(bound - shift)
        if other == far:
            return far
        near, far, shift = far, other, 2.0 * shift
    return far if error(far) == 0.0 else _root(error, near, far)


def bisect(
    update: Update, constraint: Constraint, constrained: Callable[[float], float], bracket: float, damping: float
) -> float:
    """The growth at which the bisection of lambda on [0, 1e9] stops at a relative bracket.

    Raises:
        TographError: lambda is above 1e9.
    """
    least, most = update.ends
    if constrained(most) <= constraint.bound:
        return most
    if constrained(LARGEST**-damping) > constraint.bound:
        if constrained(least) < constraint.bound:
            raise TographError(
                f"the multiplier of '{constraint}' is above {LARGEST:g}, where the classical bracket ends. Scale the "
                "objective down, or leave out `bracket`"
            )
        return least
    low, high = 0.0, LARGEST
    growth = LARGEST**-damping
    while high - low > bracket * (high + low):
        middle = 0.5 * (low + high)
        growth = middle**-damping
        low, high = (middle, high) if constrained(growth) > constraint.bound else (low, middle)
    return growth


def _tolerance(dtype: str) -> float:
    """Relative error of the constraint that is not improved: well inside what the class promises."""
    return max(1e-10, 8.0 * float(np.finfo(dtype).eps))


def _root(function: Callable[[float], float], a: float, b: float) -> float:
    """A root between a and b, both positive, sought in the logarithm: B spans many powers of ten."""

    def of_log(s: float) -> float:
        return function(ends.get(s) or math.exp(s))

    # The ends themselves, not exp(log(end)): their values are known already.
    ends = {math.log(a): a, math.log(b): b}
    low, high = sorted(ends)
    if of_log(low) == 0.0 or of_log(high) == 0.0:
        return ends[low] if of_log(low) == 0.0 else ends[high]
    found = float(brentq(of_log, low, high, xtol=1e-15, rtol=4.0 * EPS, maxiter=500))
    return ends.get(found) or math.exp(found)
