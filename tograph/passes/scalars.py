"""Move scalar factors out of linear solves.

A solve is linear in its right-hand side: K^-1 (s f) = s (K^-1 f). With the factor outside, the solve
of the adjoint is the same expression as the solve of the state whenever the seed is parallel to f.
"""

from __future__ import annotations

from ..arithmetic import Scale
from ..edge import Edge, Vertex
from ..implicit import ImplicitNode
from ..node import Node
from ..plan import Change, Plan
from .rewrite import Inputs, Made, named, rewrite


@named("scalars", "a solve is linear: factors stand outside, where solves for parallel loads become equal")
def pull_scalars(plan: Plan) -> Made:
    """Pull factors out of the right-hand sides of solves."""
    changes: list[Change] = []

    def visit(vertex: Vertex, inputs: Inputs) -> Edge | None:
        if vertex.node.counts == "solve":
            return _out_of_solve(vertex, inputs, changes)
        return None

    return rewrite(plan, visit), changes


def _out_of_solve(vertex: Vertex, inputs: Inputs, changes: list[Change]) -> Edge | None:
    """solve(F, N(x)) -> N(solve(F, x)) for every N that only multiplies (columns) by numbers."""
    at = [port for port, _ in inputs].index(vertex.node.linear[0])
    port, rhs = inputs[at]
    moved: list[Vertex] = []
    while _commutes(rhs.vertex.node, vertex.node):
        moved.append(rhs.vertex)
        rhs = dict(rhs.vertex.inputs)[rhs.vertex.node.scaling]
    if not moved:
        return None
    made = Edge(Vertex(vertex.node, (*inputs[:at], (port, rhs), *inputs[at + 1 :]), vertex.origin))
    for scaled in reversed(moved):
        node = scaled.node
        made = Edge(Vertex(node, tuple((p, made if p == node.scaling else e) for p, e in scaled.inputs), scaled.origin))
    reason = f"factor pulled out of the solve at {vertex.origin.name!r}: a solve is linear"
    changes.append(Change("scalars", reason, vertex, made.vertex))
    return made


def _commutes(factor: Node, solve: Node) -> bool:
    """One number commutes with every solve; one number per column only where columns are solved one by one."""
    return isinstance(factor, Scale) or (bool(factor.scaling) and not isinstance(solve, ImplicitNode))
