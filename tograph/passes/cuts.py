"""Detached edges have done their work once the derivative is made: they are copies of their input."""

from __future__ import annotations

from ..declare import Detach
from ..edge import Edge, Vertex
from ..plan import Change, Plan
from .rewrite import Inputs, rewrite


def remove_detached(plan: Plan) -> Plan:
    """Replace every `Detach` by its input."""
    changes: list[Change] = []

    def visit(vertex: Vertex, inputs: Inputs) -> Edge | None:
        if not isinstance(vertex.node, Detach):
            return None
        why = vertex.node.reason or "detached by the user"
        changes.append(Change("detach", f"no derivative passes {vertex.origin.name!r}: {why}", vertex))
        return inputs[0][1]

    return plan.changed(rewrite(plan, visit), changes)
