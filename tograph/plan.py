"""What a program computes, before it is scheduled: named results as edges, and how they came about.

A plan is made from a graph by expanding composites, differentiating, and running the passes. It is
what runs, what `explain` counts and what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import attrs

from .declare import Source
from .differentiate import NoPath, Used
from .edge import Edge, Vertex
from .graph import Graph, topological
from .node import Constant
from .spec import Spec
from .validate import all_specs

Label = tuple[str, ...]
"""("compliance",) is a value, ("compliance", "rho") its gradient, ("compliance", "tangent") its tangent,
("compliance", "rho", "hvp") the Hessian-vector product."""


@attrs.frozen
class Request:
    """What is asked for: values of `of`, and their derivatives with respect to `wrt` by `mode`.

    `mode` is "value", "reverse" (gradients), "vjp" (with given cotangents), "tangent", "hvp",
    "jacobian reverse" or "jacobian forward"; `also` are outputs of which only the value is wanted.
    """

    of: tuple[str, ...]
    wrt: tuple[str, ...] = ()
    mode: str = "value"
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        return IN_WORDS[self.mode].format(of=", ".join(self.of), wrt=", ".join(self.wrt))


IN_WORDS = {
    "value": "value of {of}",
    "reverse": "value and gradient of {of} with respect to {wrt}",
    "vjp": "value of {of} and the pull-back of its cotangent to {wrt}",
    "tangent": "value and tangent of {of} along {wrt}",
    "hvp": "value, gradient and Hessian-vector product of {of} with respect to {wrt}",
    "jacobian reverse": "Jacobian of {of} with respect to {wrt}, by cotangents",
    "jacobian forward": "Jacobian of {of} with respect to {wrt}, by tangents",
}
"""What each mode of `Request` computes, in words."""


@attrs.frozen
class Change:
    """One thing a pass did, in words, with the vertices concerned.

    `into` is the vertex that now does the work of `removed`.
    """

    by: str
    reason: str
    removed: Vertex | None = None
    into: Vertex | None = None


@attrs.frozen(eq=False)
class Stage:
    """One pass that changed something: its name, why it is sound, the plan before and after it, and its changes."""

    name: str
    reason: str
    before: Plan
    after: Plan
    changes: tuple[Change, ...]

    @property
    def counters(self) -> dict[str, int]:
        """How many steps, factorizations, solves and right-hand sides there are more (or, below zero, fewer)."""
        before, after = self.before.counts, self.after.counts
        return {what: after[what] - before[what] for what in after}


@attrs.frozen(eq=False)
class Plan:
    """Named results as edges over primitive nodes, with the history of how passes changed them.

    Attributes:
        graph: what was declared.
        request: what was asked for.
        backend: name of the backend whose rules were preferred.
        results: what is computed.
        no_path: the derivatives that do not exist, with the reason.
        used: which rule was taken where.
        changes: what was changed on the way from the graph to here, and why.
        history: one stage per pass that changed something, with the plan before and after it.
        further: inputs besides those of the graph: tangents and cotangents that the caller gives.
    """

    graph: Graph
    request: Request
    backend: str
    results: dict[Label, Edge]
    no_path: dict[Label, NoPath] = attrs.field(factory=dict)
    used: tuple[Used, ...] = ()
    changes: tuple[Change, ...] = ()
    history: tuple[Stage, ...] = ()
    further: tuple[Edge, ...] = ()

    @cached_property
    def order(self) -> tuple[Vertex, ...]:
        """Everything to be computed, each vertex after its inputs."""
        return tuple(topological(self.results.values()))

    @cached_property
    def specs(self) -> dict[Vertex, tuple[Spec, ...]]:
        """The specs of everything in `order`."""
        return all_specs(list(self.results.values()))

    @cached_property
    def varying(self) -> set[Vertex]:
        """The vertices that depend on an input of the program; all others are computed once."""
        varying: set[Vertex] = set()
        for vertex in self.order:
            if isinstance(vertex.node, Source) or any(edge.vertex in varying for edge in vertex.edges):
                varying.add(vertex)
        return varying

    @cached_property
    def counts(self) -> dict[str, int]:
        """Steps, factorizations, solves (calls of a factor), right-hand sides; constants and inputs are no steps."""
        work = [v for v in self.order if not isinstance(v.node, Constant | Source) and v.origin.role != "status"]
        solves = [v for v in work if v.node.counts == "solve"]
        return {
            "steps": len(work),
            "factorizations": sum(v.node.counts == "factorization" for v in work),
            "solves": len(solves),
            "right-hand sides": sum(self.columns(v) for v in solves),
        }

    def columns(self, solve: Vertex) -> int:
        """Right-hand sides of one solve: the columns of its result."""
        shape = self.specs[solve][0].shape
        return shape[1] if len(shape) > 1 else 1

    def changed(self, name: str, reason: str, results: Mapping[Label, Edge], changes: tuple[Change, ...]) -> Plan:
        """The plan after a pass; the very same one if the pass changed nothing."""
        if not changes and results == self.results:
            return self
        after = attrs.evolve(self, results=dict(results), changes=(*self.changes, *changes))
        return attrs.evolve(after, history=(*self.history, Stage(name, reason, self, after, changes)))
