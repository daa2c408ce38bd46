"""Graph and request -> plan: validate, expand, differentiate. The passes come after."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .declare import Source, source
from .derivable import program_findings, request_findings
from .differentiate import NoPath, Rules, active_vertices, gradient, tangent
from .edge import Edge
from .errors import Finding, GraphError, RuleError
from .expand import expand
from .graph import Graph, topological
from .node import Constant, constant
from .plan import Change, Label, Plan, Request
from .spec import Spec
from .validate import all_specs, findings

Edges = dict[str, Edge]
Made = dict[Label, Edge | NoPath]


def make_plan(graph: Graph, request: Request, backend: str) -> Plan:
    """Validate, expand and differentiate; the passes come after.

    Raises:
        GraphError: everything wrong with the graph and the request, all at once.
    """
    _refuse(findings(graph) or list(request_findings(graph, request.of, request.wrt, request.mode)))
    _refuse(list(request_findings(graph, request.also, (), "value")))
    ends = {f"of {name}": graph.outputs[name] for name in (*request.of, *request.also)}
    expanded = expand(ends | {f"wrt {name}": graph.input(name) for name in request.wrt}, graph.names)
    of = {name: expanded.edges[f"of {name}"] for name in request.of}
    wrt = {name: expanded.edges[f"wrt {name}"] for name in request.wrt}
    _refuse(program_findings(of, wrt, expanded.specs, request.mode, backend))
    results: dict[Label, Edge] = {(name,): expanded.edges[f"of {name}"] for name in (*request.of, *request.also)}
    missing: dict[Label, NoPath] = {}
    rules = Rules(expanded.specs, backend)
    further: list[Edge] = []
    for label, made in _derivatives(of, wrt, request.mode, rules, further).items():
        if isinstance(made, NoPath):
            missing[label] = made
        else:
            results[label] = made
    _require_some_path(graph, request, missing)
    changes = (*_dead_code(graph, request), *_canonical(results, graph), *_activity(of, wrt))
    return Plan(graph, request, backend, results, missing, tuple(rules.used), changes, further=tuple(further))


def _dead_code(graph: Graph, request: Request) -> list[Change]:
    wanted = set(topological(graph.outputs[name] for name in (*request.of, *request.also)))
    idle = [v for v in graph.vertices if v not in wanted and not isinstance(v.node, Source | Constant)]
    return [Change("dead code", f"{graph.names[v]!r} is not needed for what was asked", v) for v in idle]


def _canonical(results: Mapping[Label, Edge], graph: Graph) -> list[Change]:
    parts: dict[str, list[str]] = {}
    for vertex in topological(results.values()):
        if vertex.origin.role == "forward" and not isinstance(vertex.node, Source | Constant):
            parts.setdefault(vertex.origin.name, []).append(vertex.node.title)
    changes = []
    for vertex in graph.vertices:
        made = parts.get(graph.names[vertex], [])
        if made and made != [vertex.node.title]:
            reason = f"{graph.names[vertex]!r}: {vertex.node.title} is {', '.join(made)}"
            changes.append(Change("canonicalise", reason, vertex))
    return changes


def _activity(of: Mapping[str, Edge], wrt: Mapping[str, Edge]) -> list[Change]:
    changes = []
    for name, edge in of.items() if wrt else ():
        order = [v for v in topological([edge]) if not isinstance(v.node, Source | Constant)]
        active = active_vertices(order, list(wrt.values()))
        idle = list(dict.fromkeys(v.node.title for v in order if v not in active))
        left_out = f"; no derivative through {', '.join(idle)}" if idle else ""
        count = f"{len(order) - sum(v not in active for v in order)} of {len(order)} steps"
        changes.append(Change("activity", f"{count} lie between {', '.join(wrt)} and {name!r}{left_out}"))
    return changes


def _derivatives(of: Edges, wrt: Edges, mode: str, rules: Rules, further: list[Edge]) -> Made:
    try:
        return _expanded(MODES[mode](of, wrt, rules, further))
    except RuleError as error:
        raise GraphError([Finding(error.message, error.node, error.port, error.where, error.fix)]) from error


def _expanded(made: Made) -> Made:
    """The same in primitive nodes: a graph rule may be written with composite ones, such as `a * b`."""
    edges = {str(i): edge for i, edge in enumerate(made.values()) if isinstance(edge, Edge)}
    known = expand(edges).edges
    return {label: known.get(str(i), edge) for i, (label, edge) in enumerate(made.items())}


def _reverse(of: Edges, wrt: Edges, rules: Rules, further: list[Edge]) -> Made:
    made = {name: gradient(edge, list(wrt.values()), rules) for name, edge in of.items()}
    return {(name, x): made[name][edge] for name in of for x, edge in wrt.items()}


def _vjp(of: Edges, wrt: Edges, rules: Rules, further: list[Edge]) -> Made:
    """As `_reverse`, with the cotangents of the outputs as further inputs."""
    made = {}
    for name, edge in of.items():
        seed = source(f"{name}_bar", rules.specs[edge.vertex][edge.index].cotangent())
        further.append(seed)
        made[name] = gradient(edge, list(wrt.values()), rules, seed)
    return {(name, x): made[name][edge] for name in of for x, edge in wrt.items()}


def _tangent(of: Edges, wrt: Edges, rules: Rules, further: list[Edge]) -> Made:
    moved = tangent(list(of.values()), _directions(wrt, rules, further), rules)
    return {(name, "tangent"): moved[edge] for name, edge in of.items()}


def _hessian(of: Edges, wrt: Edges, rules: Rules, further: list[Edge]) -> Made:
    """Forward over reverse: the tangent of the gradient, as a graph like any other."""
    gradients = _expanded(_reverse(of, wrt, rules, further))
    found = {label: edge for label, edge in gradients.items() if isinstance(edge, Edge)}
    second = Rules(all_specs([*found.values(), *wrt.values()]), rules.backend, rules.used)
    moved = tangent(list(found.values()), _directions(wrt, rules, further), second)
    return gradients | {(*label, "hvp"): moved[edge] for label, edge in found.items()}


def _jacobian_reverse(of: Edges, wrt: Edges, rules: Rules, further: list[Edge]) -> Made:
    """One cotangent per entry of each output, all in one program: forward work and factors are shared."""
    made: Made = {}
    for name, edge in of.items():
        for i, seed in enumerate(_basis(rules.specs[edge.vertex][edge.index].cotangent())):
            rows = gradient(edge, list(wrt.values()), rules, seed)
            made |= {(name, x, str(i)): rows[end] for x, end in wrt.items()}
    return made


def _jacobian_forward(of: Edges, wrt: Edges, rules: Rules, further: list[Edge]) -> Made:
    """One tangent per entry of each input, all in one program."""
    made: Made = {}
    for x, end in wrt.items():
        for i, direction in enumerate(_basis(rules.specs[end.vertex][end.index])):
            columns = tangent(list(of.values()), {end: direction}, rules)
            made |= {(name, x, str(i)): columns[edge] for name, edge in of.items()}
    return made


def _basis(spec: Spec) -> list[Edge]:
    """The unit vectors of a spec as constants."""
    return [constant(unit.reshape(spec.shape), spec) for unit in np.eye(spec.size)]


def _directions(wrt: Edges, rules: Rules, further: list[Edge]) -> dict[Edge, Edge]:
    """A further input `x_dot` for every input `x` that moves."""
    made = {edge: source(f"{x}_dot", rules.specs[edge.vertex][edge.index]) for x, edge in wrt.items()}
    further.extend(made.values())
    return made


MODES: dict[str, Callable[[Edges, Edges, Rules, list[Edge]], Made]] = {
    "value": lambda of, wrt, rules, further: {},
    "reverse": _reverse,
    "vjp": _vjp,
    "tangent": _tangent,
    "hvp": _hessian,
    "jacobian reverse": _jacobian_reverse,
    "jacobian forward": _jacobian_forward,
}
"""What `Request.mode` adds to the values."""


def _require_some_path(graph: Graph, request: Request, missing: dict[Label, NoPath]) -> None:
    """A derivative of which every part is missing was surely not meant; single missing ones are zeros."""
    found = []
    for name in request.of:
        reasons = {x: missing[name, x] for x in request.wrt if (name, x) in missing}
        if (name, "tangent") in missing:
            reasons = dict.fromkeys(request.wrt, missing[name, "tangent"])
        if request.wrt and len(reasons) == len(request.wrt):
            edge = graph.outputs[name]
            for x, why in reasons.items():
                message = f"no derivative of {name!r} with respect to {x!r}: {why.word}: {why.reason}"
                found.append(Finding(message, graph.names[edge.vertex], where=edge.vertex.origin.where))
    _refuse(found)


def _refuse(found: list[Finding]) -> None:
    if found:
        raise GraphError(found)
