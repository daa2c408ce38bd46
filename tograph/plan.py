"""What a program computes, before it is scheduled: named results as edges, and how they came about.

A plan is made from a graph by expanding composites, differentiating, and running the passes. It is
what runs, what `explain` counts and what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import attrs

from .differentiate import NoPath, Used
from .edge import Edge, Vertex
from .graph import Graph, topological
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
class Plan:
    """Named results as edges over primitive nodes, with the history of how passes changed them.

    Attributes:
        graph: what was declared.
        request: what was asked for.
        backend: name of the backend whose rules were preferred.
        results: what is computed.
        no_path: the derivatives that do not exist, with the reason.
        used: which rule was taken where.
        history: what the passes changed, and why.
        further: inputs besides those of the graph: tangents and cotangents that the caller gives.
    """

    graph: Graph
    request: Request
    backend: str
    results: dict[Label, Edge]
    no_path: dict[Label, NoPath] = attrs.field(factory=dict)
    used: tuple[Used, ...] = ()
    history: tuple[Change, ...] = ()
    further: tuple[Edge, ...] = ()

    @cached_property
    def order(self) -> tuple[Vertex, ...]:
        """Everything to be computed, each vertex after its inputs."""
        return tuple(topological(self.results.values()))

    @cached_property
    def specs(self) -> dict[Vertex, tuple[Spec, ...]]:
        """The specs of everything in `order`."""
        return all_specs(list(self.results.values()))

    def changed(self, results: Mapping[Label, Edge], changes: list[Change]) -> Plan:
        """The plan after a pass."""
        return attrs.evolve(self, results=dict(results), history=(*self.history, *changes))
