"""Graph -> graph: the reverse and the tangent pass as more vertices of the same kind.

Reverse mode, one loop (Griewank & Walther, Evaluating Derivatives, 2nd ed. 2008, section 3.2): walk the
vertices in reversed topological order; the cotangents that arrive at an output are added; each active
input gets the contribution of its rule. A cotangent never enters a detached edge, an integer, or
anything that does not lead back to the inputs asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from .arithmetic import Add
from .declare import Detach
from .derivative import Jvp, Vjp, base_port, choose
from .edge import Edge, Origin, Vertex, made_for
from .graph import topological
from .node import Node, constant
from .rules import find_rule
from .spec import Spec

Specs = Mapping[Vertex, tuple[Spec, ...]]


@attrs.frozen
class NoPath:
    """Why there is no derivative: "no path", or "detached" with where and why. Not the same as zero."""

    word: str
    reason: str


def gradient(
    of: Edge, wrt: Sequence[Edge], specs: Specs, backend: str, seed: Edge | None = None
) -> dict[Edge, Edge | NoPath]:
    """The cotangents of `wrt` for the seed `of_bar` (1 if none is given).

    Args:
        of: the output to differentiate (a scalar unless a seed is given).
        wrt: edges to differentiate with respect to.
        specs: the specs of everything `of` depends on.
        backend: whose rules to prefer.
        seed: cotangent of `of`.
    """
    order = topological([of])
    active = _active(order, wrt)
    arriving: dict[Edge, list[Edge]] = defaultdict(list)
    if of.vertex in active:
        with made_for(attrs.evolve(of.vertex.origin, role="seed")):
            arriving[of].append(seed if seed is not None else constant(1.0))
    for vertex in reversed(order):
        if vertex not in active or isinstance(vertex.node, Detach):
            continue
        with made_for(attrs.evolve(vertex.origin, role="reverse")):
            _pull_back(vertex, active, arriving, specs, backend)
    found = {edge: _collected(edge, arriving) for edge in wrt}
    return {edge: why_no_path(order, edge) if ct is None else ct for edge, ct in found.items()}


def _active(order: list[Vertex], wrt: Sequence[Edge]) -> set[Vertex]:
    """The vertices that lie on a differentiable path from `wrt`."""
    active = {edge.vertex for edge in wrt}
    for vertex in order:
        if not isinstance(vertex.node, Detach) and any(edge.vertex in active for edge in vertex.edges):
            active.add(vertex)
    return active


def _pull_back(
    vertex: Vertex, active: set[Vertex], arriving: dict[Edge, list[Edge]], specs: Specs, backend: str
) -> None:
    cts = [_collected(Edge(vertex, i), arriving) for i in range(len(vertex.node.outputs))]
    if all(ct is None for ct in cts):
        return
    full = [_zero(spec) if ct is None else ct for ct, spec in zip(cts, specs[vertex], strict=True)]
    for port, edge in vertex.inputs:
        if edge.vertex in active and specs[edge.vertex][edge.index].differentiable:
            contribution = _vjp(vertex, port, full, specs, backend)
            arriving[edge].append(contribution)


def _collected(edge: Edge, arriving: Mapping[Edge, list[Edge]]) -> Edge | None:
    """The sum of all contributions to the cotangent of an edge."""
    terms = arriving.get(edge, [])
    if len(terms) > 1:
        with made_for(attrs.evolve(edge.vertex.origin, role="accumulate")):
            return Add()(*terms)
    return terms[0] if terms else None


def _zero(spec: Spec) -> Edge:
    return constant(np.zeros(spec.shape), spec)


def _vjp(vertex: Vertex, port: str, cts: list[Edge], specs: Specs, backend: str) -> Edge:
    node, values = vertex.node, _named(vertex)
    rule = find_rule(type(node), "graph_vjp", base_port(node, port))
    if rule is not None:
        needed = {name: _value(name, values, node) for name in rule.needs}
        made: Edge = rule.fn(node, cts[0] if len(cts) == 1 else cts, **needed)
        return made
    choice = choose(node, "vjp", port, tuple(name for name, _ in vertex.inputs), backend)
    source = dict(vertex.inputs)[port]
    spec = specs[source.vertex][source.index]
    like = (spec,) if choice.how == "transposed" else ()
    pull = Vjp(node, port, choice.how, choice.needs, spec.cotangent(), like)
    return pull(*cts, *(values[name] for name in choice.needs))  # type: ignore[no-any-return]


def _named(vertex: Vertex) -> dict[str, Edge]:
    """Every value that a rule of this vertex may ask for, by name."""
    outputs = {port.name: Edge(vertex, i) for i, port in enumerate(vertex.node.outputs)}
    return outputs | dict(vertex.inputs)


def _value(name: str, values: dict[str, Edge], node: Node) -> Edge:
    return values[name] if name in values else constant(node.constants[name])


def tangent(of: Sequence[Edge], along: Mapping[Edge, Edge], specs: Specs, backend: str) -> dict[Edge, Edge | NoPath]:
    """The tangents of `of` when the edges `along` move with the given tangents.

    Args:
        of: outputs.
        along: input edge -> its tangent.
        specs: the specs of everything.
        backend: whose rules to prefer.
    """
    order = topological(of)
    moving: dict[Edge, Edge] = dict(along)
    for vertex in order:
        if isinstance(vertex.node, Detach):
            continue
        with made_for(attrs.evolve(vertex.origin, role="tangent")):
            terms = [
                _jvp(vertex, port, moving[edge], specs, backend)
                for port, edge in vertex.inputs
                if edge in moving
            ]
            for i in range(len(vertex.node.outputs)):
                parts = [term[i] for term in terms]
                if parts:
                    moving[Edge(vertex, i)] = parts[0] if len(parts) == 1 else Add()(*parts)
    return {edge: moving[edge] if edge in moving else why_no_path(order, *along) for edge in of}


def _jvp(vertex: Vertex, port: str, t: Edge, specs: Specs, backend: str) -> tuple[Edge, ...]:
    node, values = vertex.node, _named(vertex)
    rule = find_rule(type(node), "graph_jvp", base_port(node, port))
    if rule is not None:
        made = rule.fn(node, t, **{name: _value(name, values, node) for name in rule.needs})
        return made if isinstance(made, tuple) else (made,)
    if base_port(node, port) in node.linear:
        # dy = f(dx) for what is linear in x: the node itself is its tangent rule.
        moved = tuple((name, t if name == port else edge) for name, edge in vertex.inputs)
        same = Vertex(node, moved, attrs.evolve(vertex.origin, role="tangent"))
        return tuple(Edge(same, i) for i in range(len(node.outputs)))
    choice = choose(node, "jvp", port, tuple(name for name, _ in vertex.inputs), backend)
    like = specs[vertex] if choice.how == "transposed" else ()
    push = Jvp(node, port, choice.how, choice.needs, specs[vertex], like)
    made = push(t, *(values[name] for name in choice.needs))
    return made if isinstance(made, tuple) else (made,)


def why_no_path(order: list[Vertex], *wrt: Edge) -> NoPath:
    """The sentence for a derivative that does not exist: which detached edges cut it, or that none leads there."""
    reached = {edge.vertex for edge in wrt}
    cuts = []
    for vertex in order:
        if any(edge.vertex in reached for edge in vertex.edges):
            reached.add(vertex)
            if isinstance(vertex.node, Detach):
                why = f" ({vertex.node.reason})" if vertex.node.reason else ""
                cuts.append(f"{vertex.origin.name!r}{why}, declared at {vertex.origin.where}")
    if order[-1] not in reached or not cuts:
        return NoPath("no path", "nothing leads from it to the output")
    return NoPath("detached", f"every path is cut by {'; '.join(cuts)}")
