"""Rebuild a plan vertex by vertex: what all passes share."""

from __future__ import annotations

from collections.abc import Callable

from ..edge import Edge, Vertex
from ..plan import Label, Plan

Inputs = tuple[tuple[str, Edge], ...]
Visit = Callable[[Vertex, Inputs], Edge | Vertex | None]


def rewrite(plan: Plan, visit: Visit) -> dict[Label, Edge]:
    """The results of a plan after `visit(vertex, new inputs)` replaced what it wanted to.

    `visit` returns None to keep the vertex, another vertex with the same outputs, or an edge that
    takes the place of its only output.
    """
    new: dict[Edge, Edge] = {}
    for vertex in plan.order:
        inputs = tuple((port, new[edge]) for port, edge in vertex.inputs)
        made = visit(vertex, inputs)
        if isinstance(made, Edge):
            new[Edge(vertex, 0)] = made
            continue
        kept = made or (vertex if inputs == vertex.inputs else Vertex(vertex.node, inputs, vertex.origin))
        for i in range(len(vertex.node.outputs)):
            new[Edge(vertex, i)] = Edge(kept, i)
    return {label: new[edge] for label, edge in plan.results.items()}
