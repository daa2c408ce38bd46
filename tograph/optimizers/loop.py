"""The design loop, the same for every method: analyse, step, tell the observers, stop.

Iteration k analyses design x_k and lets the method propose x_(k+1); its `values` and `gradients` are those of x_k, its
`change` is max |x_(k+1) - x_k|. A run ends where `change <= tol` at a design that keeps its constraints, and the result
is x_k, the last design that was analysed: its compliance is the one to report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import attrs
import numpy as np

from ..errors import TographError
from ..program import Program
from .constraint import Constraint
from .criteria import OptimalityCriteria
from .formulation import Floats, Formulation, Point, formulate, raise_all

FEASIBLE = 1e-3
"""Relative violation up to which a constraint counts as kept: OC with the classical bracket leaves 5e-4."""


class Method(Protocol):
    """How the next design is found. A method is a frozen value; what it remembers between steps is its state.

    The state is data (None, or an attrs class of numbers and arrays), never changed in place: kept with the design in a
    `Position`, it is all that a run needs to go on.
    """

    def findings(self, problem: Formulation) -> list[str]:
        """Why this method cannot treat the problem, one sentence each; empty if it can."""
        ...

    def init(self, problem: Formulation, design: Floats) -> Any:
        """The state before the first step."""
        ...

    def step(self, problem: Formulation, point: Point, state: Any) -> tuple[Floats, Any]:
        """The next design and the next state; may ask `problem` for further values."""
        ...


@attrs.frozen(eq=False)
class Position:
    """Where a run is between two iterations: how many are done, the next design to analyse, the method's state."""

    number: int
    design: Floats
    state: Any = None


@attrs.frozen(eq=False)
class Iteration:
    """What observers get.

    Attributes:
        number: from 1.
        design: the design analysed in this iteration; values and gradients are its own. Read-only.
        values: every scalar output of the graph.
        gradients: of the objective and of the constraints; read-only.
        change: max |next design - design|.
        seconds: elapsed since the start of the run.
        next_design: what the method proposes.
    """

    number: int
    design: Floats
    values: dict[str, float]
    gradients: dict[str, Floats]
    change: float
    seconds: float
    next_design: Floats

    def row(self) -> dict[str, float]:
        """The line of the history."""
        return {"iteration": self.number, **self.values, "change": self.change, "seconds": self.seconds}


Observer = Callable[[Iteration], bool | None]


@attrs.frozen(eq=False)
class Result:
    """What a run gives.

    Attributes:
        design: the last analysed design, in the shape of the design input.
        values: every scalar output at that design.
        iterations: how many designs were analysed.
        converged: whether it ended because the design no longer changes.
        why: why it ended, a sentence.
        seconds: wall time, compilation included.
        history: per iteration {"iteration", every scalar output, "change", "seconds"}.
        evaluations: how often objective, constraints and gradients were computed.
        extra_evaluations: how often the method computed a constraint alone, without gradient.
    """

    design: Floats
    values: dict[str, float]
    iterations: int
    converged: bool
    why: str
    seconds: float
    history: tuple[dict[str, float], ...]
    evaluations: int
    extra_evaluations: int


def optimize(
    program: Program,
    start: Any,
    *,
    minimize: str,
    subject_to: Sequence[str | Constraint] = (),
    design: str | None = None,
    method: Method | None = None,
    max_iter: int = 200,
    tol: float = 0.01,
    observers: Sequence[Observer] = (),
    inputs: Mapping[str, Any] | None = None,
) -> Result:
    """Minimise an output of a program over one of its inputs. Bounds are those of the input, else 0 and 1.

    Args:
        program: a compiled graph.
        start: the first design, within its bounds.
        minimize: name of a scalar output.
        subject_to: constraints on scalar outputs, e.g. ["volume <= 0.5"].
        design: name of the input that is designed; the first input by default.
        method: `OptimalityCriteria()` by default.
        max_iter: the most designs that are analysed.
        tol: stop when no design variable changes by more.
        observers: called with every `Iteration`; one that returns True ends the run.
        inputs: values of the other inputs by name.

    Raises:
        TographError: a wrong name or constraint, or a value or gradient that is not finite.
    """
    chosen = OptimalityCriteria() if method is None else method
    raise_all(_setting_findings(max_iter, tol))
    problem, x = formulate(program, start, minimize, subject_to, design, tol, inputs or {})
    raise_all(chosen.findings(problem))
    return run(problem, chosen, Position(0, x, chosen.init(problem, x)), max_iter, observers)


def run(
    problem: Formulation, method: Method, position: Position, max_iter: int, observers: Sequence[Observer] = ()
) -> Result:
    """Go on from a position until it is time to stop. Errors as in `optimize`."""
    began = time.perf_counter()
    history = []
    while True:
        iteration, position = advance(problem, method, position, began)
        history.append(iteration.row())
        asked = [observer(iteration) for observer in observers]
        why = _why(problem, iteration, max_iter, any(isinstance(a, bool | np.bool_) and a for a in asked))
        if why:
            break
    return Result(
        design=iteration.design,
        values=iteration.values,
        iterations=iteration.number,
        converged=_converged(problem, iteration),
        why=why,
        seconds=time.perf_counter() - began,
        history=tuple(history),
        evaluations=problem.evaluations,
        extra_evaluations=problem.extra_evaluations,
    )


def advance(problem: Formulation, method: Method, now: Position, began: float) -> tuple[Iteration, Position]:
    """One iteration. Depends on nothing but its arguments, apart from the clock."""
    point = problem.evaluate(now.number + 1, now.design)
    design, state = method.step(problem, point, now.state)
    if not np.all(np.isfinite(design)):
        raise TographError(f"iteration {point.number}: {type(method).__name__} proposes a design that is not finite")
    design.setflags(write=False)
    change = float(np.abs(design - now.design).max())
    seconds = time.perf_counter() - began
    iteration = Iteration(point.number, point.design, point.values, point.gradients, change, seconds, design)
    return iteration, Position(point.number, design, state)


def _setting_findings(max_iter: int, tol: float) -> list[str]:
    found = []
    if max_iter < 1:
        found.append(f"max_iter must be at least 1, got {max_iter}")
    if not tol >= 0.0:
        found.append(f"tol must be at least 0, got {tol:g}")
    return found


def _converged(problem: Formulation, iteration: Iteration) -> bool:
    return iteration.change <= problem.tol and problem.satisfied(iteration.values, FEASIBLE)


def _why(problem: Formulation, iteration: Iteration, max_iter: int, asked: bool) -> str:
    """The sentence with which the run ends here; empty if it goes on."""
    change, tol = iteration.change, problem.tol
    if _converged(problem, iteration):
        return f"converged: no design variable changes by more than {tol:g}"
    if asked:
        return "stopped by an observer"
    if change == 0.0:
        broken = [c for c in problem.constraints if c.violation(iteration.values[c.name]) > FEASIBLE]
        missed = ", ".join(f"{c} ({c.name} is {iteration.values[c.name]:.6g})" for c in broken)
        return f"stopped: the design cannot move any further, and still misses {missed}"
    if iteration.number >= max_iter:
        return f"stopped after {iteration.number} iterations: the design still changes by {change:.3g} (tol {tol:g})"
    return ""
