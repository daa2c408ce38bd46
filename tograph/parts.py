"""A plan as parts, for frameworks that trace and call back: device segments, host segments, and what is fixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from .edge import Edge, Vertex
from .errors import TographError, a
from .lower import lower
from .node import Constant
from .plan import Label, Plan
from .recall import HostPart, Memo
from .returned import PAIRS
from .schedule import Segment, make_schedule

if TYPE_CHECKING:
    from .backends.base import Backend


@attrs.frozen(eq=False)
class DevicePart:
    """A compiled device segment: arrays of the framework in and out."""

    run: Callable[..., tuple[Any, ...]]
    inputs: tuple[Edge, ...]
    outputs: tuple[Edge, ...]


@attrs.frozen(eq=False, slots=False)
class Parts:
    """A plan ready to run.

    Attributes:
        plan: the plan.
        parts: in order, without what is done once.
        fixed: constants and what depends on them alone, as arrays of the framework.
    """

    plan: Plan
    parts: tuple[DevicePart | HostPart, ...]
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
        wanted = [edge for part in self.parts if isinstance(part, DevicePart) for edge in part.inputs]
        return tuple(dict.fromkeys(edge for edge in (*wanted, *self.plan.results.values()) if edge in self.fixed))

    def run(self, values: Mapping[Edge, Any], on_host: Callable[[HostPart, list[Any]], Any]) -> dict[Edge, Any]:
        """All values, from those of inputs and constants; `on_host` runs a host part on arrays of the framework."""
        known = dict(values)
        for part in self.parts:
            given = [known[edge] for edge in part.inputs]
            made = on_host(part, given) if isinstance(part, HostPart) else part.run(*given)
            known.update(zip(part.outputs, made, strict=True))
        return known


def make_parts(plan: Plan, inputs: tuple[Edge, ...], backend: Backend, memo: Memo) -> Parts:
    """Lower a plan and compute what depends on no input.

    Raises:
        TographError: a host node hands something to the device that is not one array.
    """
    schedule = make_schedule(plan, inputs)
    lowered = lower(schedule, backend)
    memo.make_room(vertex for vertex in plan.order if vertex.node.host)
    edges = {slot: edge for edge, slot in lowered.slots.items()}
    fixed: dict[Edge, Any] = {edge: _constant(edge, backend) for edge in schedule.constants}
    parts: list[DevicePart | HostPart] = []
    for step in lowered.steps:
        part: DevicePart | HostPart
        if step.segment.where == "host":
            part = _host_part(step.segment, plan, fixed, backend, memo)
        else:
            part = DevicePart(step.run, tuple(edges[i] for i in step.inputs), step.segment.outputs)
        if step.segment.once:
            fixed.update(zip(part.outputs, _once(part, fixed, backend), strict=True))
        else:
            parts.append(part)
    return Parts(plan, tuple(parts), fixed)


def _constant(edge: Edge, backend: Backend) -> Any:
    node = edge.vertex.node
    assert isinstance(node, Constant)
    return backend.array(node.value, backend.dtype_of(node.spec))


def _once(part: DevicePart | HostPart, fixed: Mapping[Edge, Any], backend: Backend) -> tuple[Any, ...]:
    if isinstance(part, DevicePart):
        return part.run(*(fixed[edge] for edge in part.inputs))
    dtypes = zip(part(), part.dtypes, strict=True)
    return tuple(backend.array(value, dtype) if hasattr(value, "dtype") else value for value, dtype in dtypes)


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
