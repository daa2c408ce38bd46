"""What a program computes, before it is scheduled: named results as edges, and how they came about.

A plan is made from a graph by expanding composites, differentiating, and running the passes. It is
what runs, what `explain` counts and what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import attrs

from .declare import source
from .differentiate import NoPath, gradient, tangent
from .edge import Edge, Vertex
from .errors import Finding, GraphError, RuleError, did_you_mean
from .expand import expand
from .graph import Graph, topological
from .spec import Spec
from .validate import all_specs, findings

Label = tuple[str, ...]
"""("compliance",) is a value, ("compliance", "rho") its gradient or, in tangent mode, its tangent."""


@attrs.frozen
class Request:
    """What is asked for: values of `of`, and their derivatives with respect to `wrt` by `mode`.

    `mode` is "value", "reverse" or "tangent".
    """

    of: tuple[str, ...]
    wrt: tuple[str, ...] = ()
    mode: str = "value"


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
    """Named results as edges over primitive nodes, with the history of how passes changed them."""

    graph: Graph
    request: Request
    backend: str
    results: dict[Label, Edge]
    no_path: dict[Label, NoPath] = attrs.field(factory=dict)
    history: tuple[Change, ...] = ()

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


def make_plan(graph: Graph, request: Request, backend: str) -> Plan:
    """Validate, expand and differentiate; the passes come after.

    Raises:
        GraphError: everything wrong with the graph and the request, all at once.
    """
    found = findings(graph) or _request_findings(graph, request)
    if found:
        raise GraphError(found)
    ends = {f"of {name}": graph.outputs[name] for name in request.of}
    expanded = expand(ends | {f"wrt {name}": graph.input(name) for name in request.wrt})
    of = {name: expanded.edges[f"of {name}"] for name in request.of}
    wrt = {name: expanded.edges[f"wrt {name}"] for name in request.wrt}
    results: dict[Label, Edge] = {(name,): edge for name, edge in of.items()}
    missing: dict[Label, NoPath] = {}
    for label, made in _derivatives(of, wrt, expanded.specs, request.mode, backend).items():
        if isinstance(made, NoPath):
            missing[label] = made
        else:
            results[label] = made
    _require_some_path(graph, request, missing)
    return Plan(graph, request, backend, results, missing)


def _derivatives(
    of: dict[str, Edge], wrt: dict[str, Edge], specs: dict[Vertex, tuple[Spec, ...]], mode: str, backend: str
) -> dict[Label, Edge | NoPath]:
    if mode == "value":
        return {}
    try:
        if mode == "reverse":
            made = {name: gradient(edge, list(wrt.values()), specs, backend) for name, edge in of.items()}
            return {(name, x): made[name][edge] for name in of for x, edge in wrt.items()}
        ones = {x: _tangent_source(x, edge, specs) for x, edge in wrt.items()}
        moved = tangent(list(of.values()), {wrt[x]: t for x, t in ones.items()}, specs, backend)
        return {(name, "tangent"): moved[edge] for name, edge in of.items()}
    except RuleError as error:
        raise GraphError([Finding(str(error))]) from error


def _tangent_source(name: str, edge: Edge, specs: dict[Vertex, tuple[Spec, ...]]) -> Edge:
    return source(f"{name}_dot", specs[edge.vertex][edge.index])


def _request_findings(graph: Graph, request: Request) -> list[Finding]:
    found = []
    for name in request.of:
        if name not in graph.outputs:
            found.append(Finding(f"there is no output {name!r}", fix=did_you_mean(name, graph.outputs)))
    for name in request.wrt:
        if name not in graph.input_names:
            found.append(Finding(f"there is no input {name!r}", fix=did_you_mean(name, graph.input_names)))
    if found or request.mode == "value":
        return found
    specs = all_specs(list(graph.outputs.values()))
    for name in request.of:
        edge = graph.outputs[name]
        spec = specs[edge.vertex][edge.index]
        if request.mode == "reverse" and spec.kind != "scalar":
            fix = "Reduce it to a scalar, e.g. with `n.Sum` or `n.Dot`"
            message = f"output {name!r} is a {spec.label()}: only a scalar has a gradient"
            found.append(Finding(message, graph.names[edge.vertex], where=edge.vertex.origin.where, fix=fix))
    for name in request.wrt:
        edge = graph.input(name)
        if not edge.vertex.node.infer().differentiable:  # type: ignore[union-attr]
            message = "integers are not differentiated, but a derivative with respect to this input was asked for"
            found.append(Finding(message, name, where=edge.vertex.origin.where, fix="Detach it, or declare it as real numbers"))
    return found


def _require_some_path(graph: Graph, request: Request, missing: dict[Label, NoPath]) -> None:
    """A derivative of which every part is missing was surely not meant; single missing ones are zeros."""
    found = []
    for name in request.of:
        reasons = {x: missing[name, x] for x in request.wrt if (name, x) in missing}
        if request.mode == "reverse" and request.wrt and len(reasons) == len(request.wrt):
            edge = graph.outputs[name]
            for x, why in reasons.items():
                message = f"no derivative of {name!r} with respect to {x!r}: {why.word}: {why.reason}"
                found.append(Finding(message, graph.names[edge.vertex], where=edge.vertex.origin.where))
    if found:
        raise GraphError(found)

