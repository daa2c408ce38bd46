"""Cuts and surrogates have done their work once the derivative is made: they are copies of one of their inputs."""

from __future__ import annotations

from ..edge import Edge, Vertex
from ..plan import Change, Plan
from .rewrite import Inputs, Made, named, rewrite


@named("detach", "cuts and surrogates act on derivatives, which are made by now: for values they are copies")
def remove_detached(plan: Plan) -> Made:
    """Replace every node that acts on derivatives alone (`Node.cuts`) by its first input."""
    changes: list[Change] = []

    def visit(vertex: Vertex, inputs: Inputs) -> Edge | None:
        names = tuple(edge.vertex.origin.name for edge in vertex.edges)
        reason = vertex.node.cuts(vertex.origin.name, names)
        if reason is None:
            return None
        changes.append(Change("detach", reason, vertex))
        return inputs[0][1]

    return rewrite(plan, visit), changes
