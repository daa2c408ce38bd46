"""The values that come out of a run: what observers get, and the result."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import attrs

from .formulation import Formulation, Point
from .kkt import kkt_residual
from .stage import Position
from .variables import Floats


@attrs.define(eq=False, slots=False, frozen=True)
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
        stage: number of the stage, from 1; 0 if there is only one.
        inputs: what the scheduled parameters are in this iteration.
        method: the method, and why it was chosen.
        problem: what is optimised.
        position: where the run is after this iteration.
        identity: what run it is; a checkpoint goes with no other.
    """

    number: int
    design: Floats
    values: dict[str, float]
    gradients: dict[str, Floats]
    change: float
    seconds: float
    next_design: Floats
    stage: int = 0
    inputs: dict[str, float] = attrs.field(factory=dict)
    method: str = ""
    problem: Formulation | None = None
    position: Position | None = None
    identity: dict[str, str] = attrs.field(factory=dict)

    def row(self) -> dict[str, float]:
        """The line of the history."""
        stage = {"stage": self.stage} if self.stage else {}
        inputs = {name: value for name, value in self.inputs.items() if name not in self.values}
        ends = {"change": self.change, "seconds": self.seconds}
        return {"iteration": self.number, **stage, **inputs, **self.values, **ends}

    @cached_property
    def kkt(self) -> float:
        """The KKT residual of this design, dimensionless; see `tograph.optimizers.kkt_residual`."""
        assert self.problem is not None
        return kkt_residual(self.problem, Point(self.number, self.design, self.values, self.gradients))


Observer = Callable[[Iteration], bool | None]


@attrs.frozen(eq=False)
class Result:
    """What a run gives.

    Attributes:
        design: the last analysed design, in the shape of the design input; of several inputs, a dict by name.
        values: every scalar output at that design.
        best_design, best_values: the same for the best design of the last stage: the one with the least objective among
            those that keep their constraints; if none does, the one that misses them least.
        iterations: how many designs were analysed.
        converged: whether it ended because the design no longer changes.
        why: why it ended, a sentence.
        method: the method, and why it was chosen.
        kkt: the KKT residual of the last design, dimensionless.
        seconds: wall time, compilation included.
        history: per iteration {"iteration", every scalar output, "change", "seconds"}, and where there are any, the
            stage and the scheduled parameters.
        evaluations: how often objective, constraints and gradients were computed.
        extra_evaluations: how often the method computed outputs alone, or a Hessian-vector product.
        solves: linear solves in all evaluations with gradients, each of all right-hand sides.
    """

    design: Any
    values: dict[str, float]
    best_design: Any
    best_values: dict[str, float]
    iterations: int
    converged: bool
    why: str
    method: str
    kkt: float
    seconds: float
    history: tuple[dict[str, float], ...]
    evaluations: int
    extra_evaluations: int
    solves: int
