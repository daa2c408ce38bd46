"""A plan as parts, for frameworks that trace and call back: device segments, host segments, and what is fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from .edge import Edge, Vertex
from .errors import TographError, a
from .lower import Execute, Lowered, Step, lower, run
from .plan import Label, Plan
from .recall import HostPart, Memo
from .returned import PAIRS
from .schedule import Segment, make_schedule

if TYPE_CHECKING:
    from .backends.base import Backend


@attrs.frozen(eq=False, slots=False)
class Parts:
    """A plan ready to run.

    Attributes:
        plan: the plan.
        slots: where the value of every edge is.
        steps: in order, without what is done once; `run` of a step on the host is a `HostPart`.
        fixed: constants and what depends on them alone, as arrays of the framework.
    """

    plan: Plan
    slots: Mapping[Edge, int]
    steps: tuple[Step, ...]
    fixed: Mapping[Edge, Any]

    @cached_property
    def results(self) -> dict[Label, Edge]:
        """The outputs asked for."""
        return {label: edge for label, edge in self.plan.results.items() if label[0] != "status"}

    @cached_property
    def statuses(self) -> dict[Label, Edge]:
        """Scaled residuals of equations, none of which may exceed 1."""
        return {label: edge for label, edge in self.plan.results.items() if label[0] == "status"}

    @cached_property
    def constants(self) -> tuple[Edge, ...]:
        """Those of `fixed` that the framework must hand over."""
        edges = {slot: edge for edge, slot in self.slots.items()}
        wanted = [edges[i] for step in self.steps if step.segment.where == "device" for i in step.inputs]
        return tuple(dict.fromkeys(edge for edge in (*wanted, *self.plan.results.values()) if edge in self.fixed))

    def run(self, values: Mapping[Edge, Any], on_host: Execute) -> dict[Label, Any]:
        """All results from the values of inputs and constants; `on_host` runs a host part on the framework's arrays."""
        slots: list[Any] = [None] * len(self.slots)
        for edge, value in values.items():
            slots[self.slots[edge]] = value
        run(self.steps, slots, lambda step, given: _execute(step, given, on_host))
        return {label: slots[self.slots[edge]] for label, edge in self.plan.results.items()}


def make_parts(plan: Plan, inputs: tuple[Edge, ...], backend: Backend, memo: Memo) -> Parts:
    """Lower a plan and compute what depends on no input.

    Raises:
        TographError: a host node hands something to the device that is not one array.
    """
    lowered = lower(make_schedule(plan, inputs), backend)
    memo.make_room(vertex for vertex in plan.order if vertex.node.host)
    known = lowered.constants(backend)
    edges = {slot: edge for edge, slot in lowered.slots.items()}

    def once_on_host(step: Step, values: list[Any]) -> tuple[Any, ...]:
        given = known | dict(zip((edges[i] for i in step.inputs), values, strict=True))
        return _once(_host_part(step.segment, plan, given, backend, memo), backend)

    slots = lowered.prepared(backend, lambda step, given: _execute(step, given, once_on_host))
    made = [edge for step in lowered.steps if step.segment.once for edge in step.segment.outputs]
    fixed = known | {edge: slots[lowered.slots[edge]] for edge in made}
    steps = tuple(_part(step, lowered, fixed, backend, memo) for step in lowered.repeated)
    return Parts(plan, lowered.slots, steps, fixed)


def _execute(step: Step, given: list[Any], on_host: Execute) -> Sequence[Any]:
    return on_host(step, given) if step.segment.where == "host" else step.run(*given)


def _once(part: HostPart, backend: Backend) -> tuple[Any, ...]:
    dtypes = zip(part(), part.dtypes, strict=True)
    return tuple(backend.array(value, dtype) if hasattr(value, "dtype") else value for value, dtype in dtypes)


def _part(step: Step, lowered: Lowered, fixed: Mapping[Edge, Any], backend: Backend, memo: Memo) -> Step:
    """The step as a framework may run it: everything stays known, since host parts make again what is no array."""
    if step.segment.where == "device":
        return attrs.evolve(step, free=())
    part = _host_part(step.segment, lowered.schedule.plan, fixed, backend, memo)
    inputs, outputs = (tuple(lowered.slots[edge] for edge in edges) for edges in (part.inputs, part.outputs))
    return attrs.evolve(step, run=part, inputs=inputs, outputs=outputs, free=())


def _host_part(segment: Segment, plan: Plan, fixed: Mapping[Edge, Any], backend: Backend, memo: Memo) -> HostPart:
    """A host segment, with the vertices that make what it needs and what cannot be handed over as an array."""
    vertices = _with_makers(segment.vertices, plan, fixed)
    inside = set(vertices)
    needed = dict.fromkeys(edge for vertex in vertices for edge in vertex.edges if edge.vertex not in inside)
    known = {edge: backend.to_numpy(fixed[edge]) for edge in needed if edge in fixed}
    inputs = tuple(edge for edge in needed if edge not in fixed)
    outputs = tuple(edge for edge in segment.outputs if segment.once or not _is_object(edge, plan))
    if not segment.once:
        _require_arrays(outputs, plan)
    dtypes = tuple(backend.dtype_of(plan.specs[edge.vertex][edge.index]) for edge in outputs)
    return HostPart(vertices, inputs, outputs, dtypes, plan.specs, known, memo)


def _with_makers(vertices: tuple[Vertex, ...], plan: Plan, fixed: Mapping[Edge, Any]) -> tuple[Vertex, ...]:
    wanted, queue = set(vertices), list(vertices)
    while queue:
        for edge in queue.pop().edges:
            if edge.vertex not in wanted and edge not in fixed and _is_object(edge, plan):
                wanted.add(edge.vertex)
                queue.append(edge.vertex)
    return tuple(vertex for vertex in plan.order if vertex in wanted)


def _is_object(edge: Edge, plan: Plan) -> bool:
    """Whether a host node's result is a solver's own and no array."""
    return edge.vertex.node.host and plan.specs[edge.vertex][edge.index].kind == "factor"


def _require_arrays(outputs: tuple[Edge, ...], plan: Plan) -> None:
    for edge in outputs:
        spec = plan.specs[edge.vertex][edge.index]
        if spec.kind in PAIRS:
            vertex = edge.vertex
            message = f"{vertex.origin.name} ({vertex.node.title}, declared at {vertex.origin.where}) is a host node"
            raise TographError(f"{message} that gives {a(spec.kind)}, not one array. Have it return an array")
