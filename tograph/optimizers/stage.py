"""A part of a run with its own method, parameters and stop rule, and where a run is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from .schedules import Schedule
from .variables import Floats


@attrs.frozen(eq=False)
class Stage:
    """What is different in one part of a run; what is not given is as in the call of `optimize`.

    A stage begins with the last design of the one before, and its method anew.

    Attributes:
        inputs: values of wired parameters by name: numbers, arrays, or a schedule (`tograph.optimizers.Linear`,
            `Geometric`, `OnPlateau`).
        method: how designs are found; a `Method` or its name.
        max_iter: the most designs that are analysed in this stage.
        tol: the stage ends when no design variable changes by more and no schedule is under way.
        kkt: if given, it ends when the KKT residual and all violations are below, instead of by `tol`.
    """

    inputs: Mapping[str, Any] = attrs.field(factory=dict)
    method: Any = None
    max_iter: int | None = None
    tol: float | None = None
    kkt: float | None = None

    def completed(self, default: Stage) -> Stage:
        """The same with everything given."""
        mine = {name: value for name, value in attrs.asdict(self, recurse=False).items() if value is not None}
        return attrs.evolve(default, **{**mine, "inputs": {**default.inputs, **self.inputs}})

    @property
    def schedules(self) -> dict[str, Schedule]:
        """The inputs that change."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Schedule)}

    def values(self, states: Mapping[str, Any]) -> dict[str, Any]:
        """What the inputs are now."""
        return {name: states[name][0] if name in states else value for name, value in self.inputs.items()}

    def settled(self, states: Mapping[str, Any]) -> bool:
        """Whether no schedule is under way."""
        return all(schedule.settled(states[name]) for name, schedule in self.schedules.items())


@attrs.frozen(eq=False)
class Analysed:
    """A design with the values of the scalar outputs there, and the iteration it belongs to."""

    number: int
    design: Floats
    values: dict[str, float]


@attrs.frozen(eq=False)
class Position:
    """Where a run is between two iterations: all it needs to go on. Plain data, see `checkpoint`.

    Attributes:
        number: how many iterations are done.
        design: the next design to analyse.
        state: of the method; made anew where `since` is 0.
        stage: number of the stage, from 0.
        since: how many iterations of it are done.
        schedules: the state of each.
        last, best: the last design analysed, and the best one of this stage: least violation up to what counts as
            kept, then least objective.
        ended: why the run is over; empty if it is not.
        converged: whether that is because the design no longer changes.
        kkt: the residual there; None before the end.
        history: rows so far.
        evaluations, extra_evaluations, seconds: spent so far.
    """

    number: int
    design: Floats
    state: Any = None
    stage: int = 0
    since: int = 0
    schedules: dict[str, Any] = attrs.field(factory=dict)
    last: Analysed | None = None
    best: Analysed | None = None
    ended: str = ""
    converged: bool = False
    kkt: float | None = None
    history: tuple[dict[str, float], ...] = ()
    evaluations: int = 0
    extra_evaluations: int = 0
    seconds: float = 0.0
