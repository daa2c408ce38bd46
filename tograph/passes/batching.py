"""Independent right-hand sides of one factor are solved for in one call.

Two solves are independent if neither needs the other. The depth of a solve is the largest number of
solves on a path to it; solves of one depth are independent, and joining them makes no cycle, since
every path between solves leads from a smaller depth to a larger one. A factor is then called once per
depth, which is the least possible: the solves on a path of that length need one another.
"""

from __future__ import annotations

from collections import defaultdict

import attrs

from ..columns import JoinColumns, TakeColumns, width
from ..edge import Edge, Vertex
from ..plan import Change, Plan
from .rewrite import Inputs, Made, named, rewrite

Group = list[Vertex]


@named("batching", "independent right-hand sides of one factor are the columns of one: it is called once")
def batch_columns(plan: Plan) -> Made:
    """Join the uses of nodes with `Node.columns` that have equal other inputs and equal depth."""
    changes: list[Change] = []
    new: dict[Edge, Edge] = {}
    taken: dict[Vertex, Edge] = {}
    depth = _depths(plan)
    groups = _groups(plan, depth)

    def visit(vertex: Vertex, inputs: Inputs) -> Edge | None:
        group = groups.get(vertex)
        if group is None:
            return None
        if vertex not in taken:
            taken.update(_joined(group, plan, new, changes))
        joint = taken[vertex].vertex.edges[0].vertex
        new.update((Edge(vertex, i), Edge(joint, i)) for i in range(1, len(vertex.node.outputs)))
        return taken[vertex]

    # Everything that some solve of a depth needs comes before the first solve of that depth.
    order = sorted(plan.order, key=lambda v: (depth[v], bool(v.node.columns)))
    return rewrite(plan, visit, new, order), changes


def _depths(plan: Plan) -> dict[Vertex, int]:
    depth: dict[Vertex, int] = {}
    for vertex in plan.order:
        depth[vertex] = max((depth[e.vertex] + bool(e.vertex.node.columns) for e in vertex.edges), default=0)
    return depth


def _groups(plan: Plan, depth: dict[Vertex, int]) -> dict[Vertex, Group]:
    """Each vertex that has partners -> the group. What runs once is not joined with what runs every time."""
    found: dict[object, Group] = defaultdict(list)
    for vertex in plan.order:
        port = vertex.node.columns
        if port:
            others = tuple(edge for name, edge in vertex.inputs if name != port)
            dtype = plan.specs[vertex][0].dtype
            found[vertex.node, others, depth[vertex], vertex in plan.varying, dtype].append(vertex)
    return {vertex: group for group in found.values() if len(group) > 1 for vertex in group}


def _joined(group: Group, plan: Plan, new: dict[Edge, Edge], changes: list[Change]) -> dict[Vertex, Edge]:
    first = group[0]
    port = first.node.columns
    sides = [new[dict(vertex.inputs)[port]] for vertex in group]
    origin = attrs.evolve(first.origin, part="columns")
    join = Vertex(JoinColumns(), tuple((f"parts{i}", side) for i, side in enumerate(sides)), origin)
    inputs = tuple((name, Edge(join) if name == port else new[edge]) for name, edge in first.inputs)
    words = tuple(dict.fromkeys(vertex.origin.words for vertex in group))
    joint = Vertex(first.node, inputs, attrs.evolve(first.origin, part="all_columns", joined=words))
    made, start = {}, 0
    for vertex in group:
        spec = plan.specs[vertex][0]
        take = TakeColumns(start, width(spec) if len(spec.shape) > 1 else 0)
        made[vertex] = Edge(Vertex(take, (("x", Edge(joint)),), vertex.origin))
        start += width(spec)
    for vertex in group[1:]:
        changes.append(Change("batching", _reason(vertex, first), vertex, joint))
    return made


def _reason(vertex: Vertex, first: Vertex) -> str:
    role = {"forward": "", "tangent": "tangent "}.get(vertex.origin.role, "adjoint ")
    other = {"forward": "", "tangent": "tangent "}.get(first.origin.role, "adjoint ")
    return (
        f"{role}solve of {vertex.origin.name!r} is one more column of the {other}solve of {first.origin.name!r}: "
        "same factor, and neither needs the other"
    )
