"""Plan -> segments: what is computed once, what runs on the device in one piece, what runs on the host."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .declare import Source
from .edge import Edge, Vertex
from .liveness import thrifty
from .node import Constant
from .plan import Label, Plan


@attrs.frozen(eq=False)
class Segment:
    """A run of vertices executed together.

    `where` is "device" (one compiled function) or "host" (NumPy, vertex by vertex); `once` marks
    work that does not depend on any input of the program, and is done on the first call only.
    """

    where: str
    once: bool
    vertices: tuple[Vertex, ...]
    inputs: tuple[Edge, ...]
    outputs: tuple[Edge, ...]


@attrs.frozen(eq=False)
class Schedule:
    """The segments in order, the program's inputs and results, and the constants."""

    plan: Plan
    inputs: tuple[Edge, ...]
    constants: tuple[Edge, ...]
    segments: tuple[Segment, ...]
    results: dict[Label, Edge]


def make_schedule(plan: Plan, inputs: Iterable[Edge], *, singly: bool = False) -> Schedule:
    """Group the plan's vertices into as few segments as their dependencies allow, or `singly`: one for each vertex."""
    varying = plan.varying
    constants = tuple(Edge(v) for v in plan.order if isinstance(v.node, Constant))
    work = [v for v in plan.order if not isinstance(v.node, Constant | Source)]
    done = {v for v in plan.order if isinstance(v.node, Constant | Source)}
    fixed, moving = [v for v in work if v not in varying], [v for v in work if v in varying]
    groups = [[v] for v in fixed] if singly else _group(fixed, done)
    once = len(groups)
    groups += [[v] for v in moving] if singly else _group(moving, done)
    segments = tuple(_segment(groups, i, i < once, plan) for i in range(len(groups)))
    return Schedule(plan, tuple(inputs), constants, segments, plan.results)


def _group(work: list[Vertex], done: set[Vertex]) -> list[list[Vertex]]:
    """Alternate device and host groups, each as large as possible; `done` grows as they are made."""
    groups: list[list[Vertex]] = []
    host = False
    while work:
        group, later = [], []
        for vertex in work:
            if vertex.node.host == host and all(edge.vertex in done for edge in vertex.edges):
                done.add(vertex)
                group.append(vertex)
            else:
                later.append(vertex)
        if group:
            groups.append(group)
        work, host = later, not host
    return groups


def _segment(groups: list[list[Vertex]], i: int, once: bool, plan: Plan) -> Segment:
    inside = set(groups[i])
    inputs = dict.fromkeys(edge for v in groups[i] for edge in v.edges if edge.vertex not in inside)
    later = {edge for group in groups[i + 1 :] for v in group for edge in v.edges} | set(plan.results.values())
    outputs = [Edge(v, k) for v in groups[i] for k in range(len(v.node.outputs)) if Edge(v, k) in later]
    where = "host" if groups[i][0].node.host else "device"
    vertices = thrifty(groups[i], outputs, lambda edge: plan.specs[edge.vertex][edge.index].nbytes())
    return Segment(where, once, vertices, tuple(inputs), tuple(outputs))
