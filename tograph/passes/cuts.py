"""Cuts and surrogates have done their work once the derivative is made: they are copies of one of their inputs."""

from __future__ import annotations

from ..declare import Detach, WithGradientOf
from ..edge import Edge, Vertex
from ..plan import Change, Plan
from .rewrite import Inputs, Made, named, rewrite


@named("detach", "cuts and surrogates act on derivatives, which are made by now: for values they are copies")
def remove_detached(plan: Plan) -> Made:
    """Replace every `Detach` by its input, and every `WithGradientOf` by what it takes its value from."""
    changes: list[Change] = []

    def visit(vertex: Vertex, inputs: Inputs) -> Edge | None:
        if isinstance(vertex.node, Detach):
            why = vertex.node.reason or "detached by the user"
            changes.append(Change("detach", f"no derivative passes {vertex.origin.name!r}: {why}", vertex))
            return inputs[0][1]
        if isinstance(vertex.node, WithGradientOf):
            other = vertex.edges[1].vertex.origin.name
            reason = f"{vertex.origin.name!r} is differentiated as if it were {other!r}"
            changes.append(Change("detach", reason, vertex))
            return inputs[0][1]
        return None

    return rewrite(plan, visit), changes
