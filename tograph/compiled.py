"""One compiled request: what runs when a program is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .arguments import bind
from .backends.base import Backend
from .edge import Edge
from .graph import Graph, source_of
from .hosting import to_device
from .lower import Lowered, Step, lower
from .memory import Peak, peak
from .passes import run_passes
from .passes.remat import rematerialise
from .passes.roots import require_converged
from .plan import Label, Plan, Request
from .planning import make_plan
from .schedule import Schedule, make_schedule
from .validate import all_specs

if TYPE_CHECKING:
    from .explain import Explanation


class Function:
    """One compiled request. Made by `Program`; call it with the program's inputs.

    Arrays come back as the kind you gave: NumPy in, NumPy out; framework arrays in, framework
    arrays out.
    """

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        request: Request,
        pack: Callable[[dict[Label, Any]], Any],
        plan: Plan | None = None,
        memory_budget: int | None = None,
    ) -> None:
        self.graph = graph
        self.backend = backend
        self.request = request
        self._pack = pack
        self.plan: Plan = plan or run_passes(make_plan(graph, request, backend.name))
        if memory_budget is not None:
            self.plan = rematerialise(self.plan, memory_budget, lambda plan: self._peak(plan).bytes)
        self._slots: list[Any] | None = None

    @cached_property
    def inputs(self) -> tuple[Edge, ...]:
        """The inputs of the graph, then the tangents or cotangents that the request takes."""
        return (*self.graph.inputs, *self.plan.further)

    @cached_property
    def schedule(self) -> Schedule:
        """The plan in segments."""
        return make_schedule(self.plan, self.inputs)

    @cached_property
    def lowered(self) -> Lowered:
        """The segments as compiled functions."""
        with self.backend.scope():
            return lower(self.schedule, self.backend)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run. Inputs by position or by name; inputs with a default may be left out.

        Raises:
            TographError: missing, unknown or wrongly shaped input.
            SolveError: a solve that may not be used.
        """
        native = any(self.backend.is_native(x) for x in (*args, *kwargs.values()))
        values = self.bind(args, kwargs)
        with self.backend.scope():
            results = self.run(values)
        require_converged(results)
        if not native:
            results = {label: self.backend.to_numpy(value) for label, value in results.items()}
        return self._pack(results)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """One value per input, checked; see `tograph.arguments.bind`."""
        return bind([source_of(edge) for edge in self.inputs], args, kwargs)

    def run(self, values: list[Any]) -> dict[Label, Any]:
        """Execute all segments on checked inputs (inside the backend's scope)."""
        lowered, backend = self.lowered, self.backend
        slots = self._prepared(lowered)
        for edge, value in zip(self.inputs, values, strict=True):
            dtype = backend.dtype_of(edge.vertex.node.infer())  # type: ignore[arg-type]
            slots[lowered.slots[edge]] = backend.array(value, dtype)
        for step in lowered.steps:
            if not step.segment.once:
                self._run_step(step, slots)
        found = {label: slots[lowered.slots[edge]] for label, edge in self.schedule.results.items()}
        return found | {label: self._no_path(label) for label in self.plan.no_path}

    def _no_path(self, label: Label) -> Any:
        """Zeros in the shape of a derivative that does not exist."""
        forward = self.request.mode == "jacobian forward"
        edge = self.graph.outputs[label[0]] if forward else self.graph.input(label[1])
        return self.backend.zeros((all_specs([edge])[edge.vertex][edge.index],))

    def _run_step(self, step: Step, slots: list[Any]) -> None:
        backend = self.backend
        if step.segment.where == "host":
            outputs = step.run(*(backend.to_numpy(value) for value in _taken(step, slots)))
            specs = [self.plan.specs[edge.vertex][edge.index] for edge in step.segment.outputs]
            outputs = tuple(to_device(value, spec, backend) for value, spec in zip(outputs, specs, strict=True))
        else:
            outputs = step.run(*_taken(step, slots))
        for i, value in zip(step.outputs, outputs, strict=True):
            slots[i] = value

    def _prepared(self, lowered: Lowered) -> list[Any]:
        """The slots with constants, and with everything that does not depend on the inputs."""
        if self._slots is None:
            slots: list[Any] = [None] * len(lowered.slots)
            backend = self.backend
            for edge in self.schedule.constants:
                node: Any = edge.vertex.node
                slots[lowered.slots[edge]] = backend.array(node.value, backend.dtype_of(node.spec))
            for step in lowered.steps:
                if step.segment.once:
                    self._run_step(step, slots)
            self._slots = slots
        return list(self._slots)

    def peak(self) -> Peak:
        """The predicted peak of memory; see `tograph.memory`."""
        return self._peak(self.plan)

    def _peak(self, plan: Plan) -> Peak:
        return peak(make_schedule(plan, self.inputs), self.backend.real, eager=self.backend.eager)

    def source(self) -> str:
        """The lowered program as Python text: exactly what runs."""
        return self.lowered.source

    def explain(self) -> Explanation:
        """What runs and why: steps, rules, solves, bytes, passes."""
        from .explain import explain

        return explain(self)


def _taken(step: Step, slots: list[Any]) -> list[Any]:
    """What a step is given; what nobody needs afterwards is held by the step alone, which lets go of it early."""
    values = [slots[i] for i in step.inputs]
    for i in step.free:
        slots[i] = None
    return values
