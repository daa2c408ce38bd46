"""Common subexpressions: equal nodes on equal inputs are computed once.

Among them are the factorisation used by state and adjoint, the forward work of several outputs, and
the adjoint solve of a self-adjoint objective, which by now is the same expression as the state solve.
"""

from __future__ import annotations

from ..edge import Edge, Vertex
from ..plan import Change, Plan
from .rewrite import Inputs, Made, named, rewrite


@named("sharing", "equal nodes on equal inputs have equal results: computed once")
def share(plan: Plan) -> Made:
    """Merge equal vertices, keeping the first."""
    changes: list[Change] = []
    first: dict[tuple[str, tuple[tuple[str, Edge], ...]], Vertex] = {}

    def visit(vertex: Vertex, inputs: Inputs) -> Vertex:
        key = (vertex.node.key, inputs)
        kept = first.get(key)
        if kept is None:
            kept = vertex if inputs == vertex.inputs else Vertex(vertex.node, inputs, vertex.origin)
            first[key] = kept
        elif inputs or vertex.origin.role == "forward":
            changes.append(Change("sharing", _reason(vertex, kept), vertex, kept))
        return kept

    return rewrite(plan, visit), changes


def _reason(removed: Vertex, kept: Vertex) -> str:
    if removed.node.counts == "solve" and removed.origin.role != kept.origin.role:
        return (
            f"adjoint solve of {removed.origin.name!r} removed: K symmetric and its right-hand side parallel to "
            f"that of {kept.origin.name!r}, so lambda is a multiple of {kept.origin.name!r}"
        )
    return f"{removed.node.title} of {removed.origin.name!r} is the same as {kept.origin.name!r}: computed once"
