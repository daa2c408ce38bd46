"""Ask every node whether it is equal to a cheaper one for the inputs it has (K^T = K: no transposed solve)."""

from __future__ import annotations

from ..edge import Vertex
from ..plan import Change, Plan
from .rewrite import Inputs, Made, named, rewrite


@named("symmetry", "a node may know a cheaper equal of itself: K^-T = K^-1 for a symmetric K")
def use_symmetry(plan: Plan) -> Made:
    """Replace nodes by what `Node.simplify` returns."""
    changes: list[Change] = []
    specs = plan.specs

    def visit(vertex: Vertex, inputs: Inputs) -> Vertex | None:
        simpler = vertex.node.simplify(tuple(specs[edge.vertex][edge.index] for edge in vertex.edges))
        if simpler is None:
            return None
        node, reason = simpler
        made = Vertex(node, inputs, vertex.origin)
        changes.append(Change("symmetry", reason, vertex, made))
        return made

    return rewrite(plan, visit), changes
