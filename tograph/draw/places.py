"""Which box each vertex of a plan is drawn in.

Steps of one declared node share a box, so that a user finds the names he declared. Three things get
boxes of their own: factorisations, solves added by differentiation, and sums of cotangents. A derivative
that serves several outputs is split by output, unless the work is shared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from ..again import ROLE
from ..columns import TakeColumns
from ..declare import Source
from ..edge import Edge, Origin, Vertex
from ..graph import topological
from ..plan import Plan

SEPARATE = {"factorization": "factor", "solve": "solve"}


@attrs.frozen
class Place:
    """A box before it is drawn.

    Attributes:
        origin: that of the declared node, whatever the role of the steps inside.
        lane: "forward", "reverse" or "tangent".
        step: "" or what has a box of its own: "factor", "solve", "seed", "accumulate", "rematerialised", or a position.
        of: the outputs whose derivative this work serves; empty in the forward lane.
        copy: tells nodes apart that are declared by one line of a loop.
    """

    origin: Origin
    lane: str
    step: str = ""
    of: tuple[str, ...] = ()
    copy: int = 0


def base(vertex: Vertex) -> Origin:
    """The origin of the declared node that a vertex belongs to."""
    return attrs.evolve(vertex.origin, role="forward", part="", derivative=None, joined=())


def forward_lane(plan: Plan) -> set[Vertex]:
    """What the values and the checks of their solves need; all else is there for the derivatives."""
    forward = set(topological(edge for label, edge in plan.results.items() if len(label) == 1))
    checks = {e.vertex for e in plan.results.values() if e.vertex.origin.role == "status"}
    return forward | {v for v in checks if all(edge.vertex in forward for edge in v.edges)}


def places(plan: Plan, detail: bool) -> dict[Vertex, Place]:
    """The place of every vertex; with `detail`, each has its own."""
    forward = forward_lane(plan)
    lane = derivative_lane(plan)
    serves = _serves(plan, forward)
    found = _forward_places([v for v in plan.order if v in forward])
    many = {place.origin for place in found.values() if place.copy}
    for i, vertex in enumerate(plan.order):
        if vertex.origin.role == "status":
            found[vertex] = found[vertex.edges[0].vertex]  # a check stands with the solve that it checks
        elif vertex not in forward:
            step = _step(vertex, plan.request.mode)
            step = str(i) if base(vertex) in many or step is None else step
            found[vertex] = Place(base(vertex), lane, step, serves[vertex])
    if detail:
        return {v: attrs.evolve(found[v], step=str(i)) for i, v in enumerate(plan.order)}
    return {v: found[v] for v in plan.order}


def derivative_lane(plan: Plan) -> str:
    """In which direction derivatives flow."""
    return "tangent" if plan.request.mode == "tangent" else "reverse"


def _step(vertex: Vertex, mode: str) -> str | None:
    """What has a box of its own; None for tangents of a reverse pass, which are drawn one by one."""
    role = vertex.origin.role
    if role in ("seed", "accumulate", ROLE):
        return role
    if isinstance(vertex.node, Source):
        return "seed"
    if mode == "hvp" and role == "tangent":
        return None
    return SEPARATE.get(counted(vertex), "") if mode != "tangent" else ""


def counted(vertex: Vertex) -> str:
    """What a step counts as; the columns that are taken from a solve for several purposes are a solve."""
    return vertex.edges[0].vertex.node.counts if isinstance(vertex.node, TakeColumns) else vertex.node.counts


def _serves(plan: Plan, forward: set[Vertex]) -> dict[Vertex, tuple[str, ...]]:
    """The outputs whose derivatives need each derivative vertex, in the order asked for."""
    serves: dict[Vertex, set[str]] = {vertex: set() for vertex in plan.order}
    for label, edge in plan.results.items():
        if len(label) > 1 and label[0] in plan.request.of:
            serves[edge.vertex].add(label[0])
    for vertex in reversed(plan.order):
        for edge in vertex.edges:
            serves[edge.vertex] |= serves[vertex]
    return {v: tuple(name for name in plan.request.of if name in serves[v]) for v in plan.order if v not in forward}


def _forward_places(order: list[Vertex]) -> dict[Vertex, Place]:
    """Each declared node takes along the inner steps that lead to its result."""
    found: dict[Vertex, Place] = {}
    copies: Counter[Origin] = Counter()
    for head in (v for v in order if not v.origin.part and v.origin.role == "forward"):
        found[head] = Place(base(head), "forward", copy=copies[base(head)])
        copies[base(head)] += 1
        _take(head, found)
    for vertex in order:
        place = found.get(vertex) or Place(base(vertex), "forward")
        found[vertex] = attrs.evolve(place, step="factor" if vertex.node.counts == "factorization" else "")
    return found


def _take(head: Vertex, found: dict[Vertex, Place]) -> None:
    stack = list(_inner(head.edges, head, found))
    while stack:
        vertex = stack.pop()
        found[vertex] = found[head]
        stack += _inner(vertex.edges, head, found)


def _inner(edges: Iterable[Edge], head: Vertex, found: dict[Vertex, Place]) -> list[Vertex]:
    return [e.vertex for e in edges if e.vertex not in found and e.vertex.origin.part and base(e.vertex) == base(head)]
