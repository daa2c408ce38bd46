"""What all passes share: a name, a reason, and rebuilding a plan vertex by vertex."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from ..edge import Edge, Vertex
from ..plan import Change, Label, Plan

Made = tuple[dict[Label, Edge], list[Change]]
"""The new results of a plan, and what was changed."""


@attrs.frozen
class Pass:
    """A pure function plan -> plan.

    Attributes:
        name: in listings, errors and pictures.
        reason: why its changes are sound, and what they are good for.
        run: plan -> the new results and the changes.
    """

    name: str
    reason: str
    run: Callable[[Plan], Made]

    def __call__(self, plan: Plan) -> Plan:
        """The plan after the pass; the same one if nothing changed."""
        results, changes = self.run(plan)
        return plan.changed(self.name, self.reason, results, tuple(changes))


def named(name: str, reason: str) -> Callable[[Callable[[Plan], Made]], Pass]:
    """Make a pass of a function from a plan to new results and changes."""
    return lambda run: Pass(name, reason, run)


Inputs = tuple[tuple[str, Edge], ...]
Visit = Callable[[Vertex, Inputs], Edge | Vertex | None]


def rewrite(
    plan: Plan, visit: Visit, new: dict[Edge, Edge] | None = None, order: Sequence[Vertex] | None = None
) -> dict[Label, Edge]:
    """The results of a plan after `visit(vertex, new inputs)` replaced what it wanted to.

    `visit` returns None to keep the vertex, another vertex with the same outputs, or an edge that
    takes the place of its only output.

    Args:
        plan: what to rebuild.
        visit: called for every vertex, after those it depends on.
        new: is filled as it goes: edge of the plan -> what has become of it.
        order: another topological order than that of the plan.
    """
    new = {} if new is None else new
    for vertex in plan.order if order is None else order:
        inputs = tuple((port, new[edge]) for port, edge in vertex.inputs)
        made = visit(vertex, inputs)
        if isinstance(made, Edge):
            new[Edge(vertex, 0)] = made
            continue
        kept = made or (vertex if inputs == vertex.inputs else Vertex(vertex.node, inputs, vertex.origin))
        for i in range(len(vertex.node.outputs)):
            new[Edge(vertex, i)] = Edge(kept, i)
    return {label: new[edge] for label, edge in plan.results.items()}
