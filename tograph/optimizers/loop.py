"""The design loop, the same for every method: analyse, step, tell the observers, stop.

Iteration k analyses design x_k and lets the method propose x_(k+1); its `values` and `gradients` are those of x_k, its
`change` is max |x_(k+1) - x_k|. A stage ends where `change <= tol` at a design that keeps its constraints, and the
result is x_k, the last design that was analysed: its compliance is the one to report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from ..errors import TographError
from ..program import Program
from .checkpoint import Checkpoint
from .choice import chosen_method
from .constraint import Constraint
from .formulation import Formulation, formulate, raise_all
from .identity import identity_of
from .method import Method
from .result import Iteration, Observer, Result
from .stage import Analysed, Position, Stage

FEASIBLE = 1e-3
"""Relative violation up to which a constraint counts as kept: OC with the classical bracket leaves 5e-4."""


def optimize(
    program: Program,
    start: Any,
    *,
    minimize: str,
    subject_to: Sequence[str | Constraint] = (),
    design: str | Sequence[str] | None = None,
    method: Method | str | None = None,
    max_iter: int = 200,
    tol: float = 0.01,
    kkt: float | None = None,
    stages: Sequence[Stage] = (),
    observers: Sequence[Observer] = (),
    inputs: Mapping[str, Any] | None = None,
    resume: Checkpoint | None = None,
) -> Result:
    """Minimise an output of a program over its inputs. Bounds are those of the inputs, else 0 and 1.

    Args:
        program: a compiled graph.
        start: the first design, within its bounds; a dict of them by name if several inputs are designed.
        minimize, subject_to: a scalar output, and constraints on others, e.g. ["volume <= 0.5"].
        design: name of the designed input, or several names; the first input by default.
        method: a `Method` or a name of `tograph.optimizers.METHODS`; "auto" chooses, and says why. "oc" by default.
        max_iter, tol, kkt, inputs: as in `Stage`, for all stages. An input that is not given has its default.
        stages: one after the other; without any, one.
        observers: called with every `Iteration`; one that returns True ends the run.
        resume: where to go on, from `load_checkpoint`; everything else as in the call that began the run.

    Raises:
        TographError: a wrong name or constraint, a value or gradient that is not finite, a checkpoint of another run.
    """
    default = Stage(inputs or {}, "oc" if method is None else method, max_iter, tol, kkt)
    parts = tuple(stage.completed(default) for stage in stages) or (default,)
    raise_all([sentence for stage in parts for sentence in _setting_findings(stage)])
    now = {name: value for name, value in parts[0].inputs.items() if name not in parts[0].schedules}
    firsts = {name: schedule.start()[0] for name, schedule in parts[0].schedules.items()}
    problem, x = formulate(program, start, minimize, subject_to, design, parts[0].tol or 0.0, now | firsts)
    course = Course.of(problem, parts, x)
    return run(course, Position(0, x) if resume is None else resume.require(course.identity), observers)


@attrs.frozen(eq=False)
class Course:
    """What is optimised, the stages with everything given, why each has its method, and what makes it this run."""

    problem: Formulation
    stages: tuple[Stage, ...]
    reasons: tuple[str, ...]
    identity: dict[str, str]

    @classmethod
    def of(cls, problem: Formulation, stages: Sequence[Stage], start: Any) -> Course:
        """Choose the methods that are given by name.

        Raises:
            TographError: an unknown name, or whatever the methods find wrong.
        """
        chosen = [chosen_method(problem, stage.method, start) for stage in stages]
        made = []
        for stage, (method, _) in zip(stages, chosen, strict=True):
            problem.tol = stage.tol or 0.0
            raise_all(method.findings(problem))
            if stage.schedules and hasattr(method, "ended"):
                name = type(method).__name__
                why = f"{name} needs one function for a whole stage, but {', '.join(stage.schedules)} changes within it"
                raise TographError(f"{why}. Give one stage for every value")
            made.append(attrs.evolve(stage, method=method))
        return cls(problem, tuple(made), tuple(reason for _, reason in chosen), identity_of(problem, made, start))


def run(course: Course, position: Position, observers: Sequence[Observer] = ()) -> Result:
    """Go on from a position until it is time to stop. Errors as in `optimize`."""
    began = time.perf_counter() - position.seconds
    problem = course.problem
    problem.evaluations, problem.extra_evaluations = (
        max(position.evaluations, problem.evaluations),
        max(position.extra_evaluations, problem.extra_evaluations),
    )
    try:
        while not position.ended:
            iteration = advance(course, position, began)
            assert iteration.position is not None
            position = iteration.position
            asked = [observer(iteration) for observer in observers]
            if any(isinstance(a, bool | np.bool_) and a for a in asked) and not position.converged:
                position = attrs.evolve(position, ended="stopped by an observer", kkt=iteration.kkt)
    finally:
        for thing in problem.workspace.values():
            thing.close()
        problem.workspace.clear()
    return _result(course, position)


def advance(course: Course, now: Position, began: float) -> Iteration:
    """One iteration. Depends on nothing but its arguments, apart from the clock."""
    problem, stage = course.problem, course.stages[now.stage]
    method: Method = stage.method
    states = now.schedules if now.since else {name: s.start() for name, s in stage.schedules.items()}
    problem.inputs, problem.tol = stage.values(states), stage.tol or 0.0
    point = problem.evaluate(now.number + 1, now.design)
    design, state = method.step(problem, point, now.state if now.since else method.init(problem, now.design))
    if not np.all(np.isfinite(design)):
        raise TographError(f"iteration {point.number}: {type(method).__name__} proposes a design that is not finite")
    design.setflags(write=False)
    iteration = Iteration(
        point.number,
        point.design,
        point.values,
        point.gradients,
        change=float(np.abs(design - now.design).max()),
        seconds=time.perf_counter() - began,
        next_design=design,
        stage=now.stage + 1 if len(course.stages) > 1 else 0,
        inputs={name: states[name][0] for name in states},
        method=course.reasons[now.stage],
        problem=problem,
        identity=course.identity,
    )
    after = Position(point.number, design, state, now.stage, now.since + 1, states)
    return attrs.evolve(iteration, position=_moved(course, now, after, iteration))


def _moved(course: Course, before: Position, after: Position, iteration: Iteration) -> Position:
    """The position after an iteration: what is remembered, and whether the stage or the run ends here."""
    problem, stage = course.problem, course.stages[before.stage]
    last = Analysed(iteration.number, iteration.design, iteration.values)
    best = _better(problem, before.best if before.since else None, last)
    converged, why = _end(stage, iteration, after)
    over = bool(why) and before.stage + 1 == len(course.stages)
    objective = iteration.values[problem.minimize]
    states = {name: s.after(after.schedules[name], objective) for name, s in stage.schedules.items()}
    moved = attrs.evolve(
        after,
        schedules=states,
        last=last,
        best=best,
        history=(*before.history, iteration.row()),
        evaluations=problem.evaluations,
        extra_evaluations=problem.extra_evaluations,
        seconds=iteration.seconds,
    )
    if over:
        return attrs.evolve(moved, ended=why, converged=converged, kkt=iteration.kkt)
    # The next stage starts from the design that was analysed, not from the proposal of a method that is given up.
    return attrs.evolve(moved, design=last.design, stage=before.stage + 1, since=0, state=None) if why else moved


def _end(stage: Stage, iteration: Iteration, after: Position) -> tuple[bool, str]:
    """Whether the stage has converged, and the sentence with which it ends here; empty if it goes on."""
    problem, change = iteration.problem, iteration.change
    assert problem is not None
    ended: Callable[[Any], str] | None = getattr(stage.method, "ended", None)
    kept = problem.satisfied(iteration.values, FEASIBLE)
    if stage.settled(after.schedules) and kept:
        if stage.kkt is not None and problem.satisfied(iteration.values, stage.kkt) and iteration.kkt <= stage.kkt:
            return True, f"converged: the KKT residual is below {stage.kkt:g}"
        if ended is not None and ended(after.state):
            return True, f"converged: {ended(after.state)}"
        if ended is None and stage.kkt is None and change <= problem.tol:
            return True, f"converged: no design variable changes by more than {problem.tol:g}"
    if ended is not None and ended(after.state):
        return False, f"stopped: {ended(after.state)}{_missed(problem, iteration)}"
    if ended is None and change == 0.0 and stage.settled(after.schedules):
        return False, f"stopped: the design cannot move any further{_missed(problem, iteration)}"
    if after.since >= (stage.max_iter or 0):
        changes = f"the design still changes by {change:.3g} (tol {problem.tol:g})"
        return False, f"stopped after {iteration.number} iterations: {changes}"
    return False, ""


def _missed(problem: Formulation, iteration: Iteration) -> str:
    """The constraints that do not hold, for a message; empty if all do."""
    broken = [c for c in problem.constraints if c.violation(iteration.values[c.name]) > FEASIBLE]
    missed = ", ".join(f"{c} ({c.name} is {iteration.values[c.name]:.6g})" for c in broken)
    return f", and still misses {missed}" if missed else ""


def _better(problem: Formulation, best: Analysed | None, new: Analysed) -> Analysed:
    """The one with less violation, up to `FEASIBLE`, and then with the lower objective."""

    def rank(found: Analysed) -> tuple[float, float]:
        worst = max((c.violation(found.values[c.name]) for c in problem.constraints), default=0.0)
        return max(worst, FEASIBLE), found.values[problem.minimize]

    return new if best is None or rank(new) < rank(best) else best


def _result(course: Course, end: Position) -> Result:
    problem = course.problem
    assert end.last is not None and end.best is not None and end.kkt is not None

    def arrays(x: Any) -> Any:
        return x if len(problem.variables.names) == 1 else problem.variables.split(x)

    return Result(
        design=arrays(end.last.design),
        values=end.last.values,
        best_design=arrays(end.best.design),
        best_values=end.best.values,
        iterations=end.number,
        converged=end.converged,
        why=end.ended,
        method=course.reasons[end.stage],
        kkt=end.kkt,
        seconds=end.seconds,
        history=end.history,
        evaluations=end.evaluations,
        extra_evaluations=end.extra_evaluations,
        solves=end.evaluations * problem.function.explain().solves,
    )


def _setting_findings(stage: Stage) -> list[str]:
    found = []
    if stage.max_iter is not None and stage.max_iter < 1:
        found.append(f"max_iter must be at least 1, got {stage.max_iter}")
    for name, value in (("tol", stage.tol), ("kkt", stage.kkt)):
        if value is not None and not value >= 0.0:
            found.append(f"{name} must be at least 0, got {value:g}")
    return found
