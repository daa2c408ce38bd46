"""Graph -> graph: the reverse and the tangent pass as more vertices of the same kind.

Reverse mode, one loop (Griewank & Walther, Evaluating Derivatives, 2nd ed. 2008, section 3.2): walk the
vertices in reversed topological order; the cotangents that arrive at an output are added; each active
input gets the contribution of its rule. A cotangent never enters a detached edge, an integer, or
anything that does not lead back to the inputs asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from .arithmetic import Add
from .declare import Detach
from .derivative import Choice, Jvp, Vjp, base_port, choose
from .edge import Edge, Origin, Vertex, made_for
from .errors import RuleError
from .graph import topological
from .node import constant
from .rules import Rule, find_rule
from .spec import Spec

Specs = Mapping[Vertex, tuple[Spec, ...]]


@attrs.frozen
class NoPath:
    """Why there is no derivative: "no path", "detached" or "structurally zero". Not the same as a computed zero."""

    word: str
    reason: str


@attrs.frozen
class Used:
    """Which rule differentiated a vertex through a port: "graph", "linear", a family, or as in `derivative`.

    `made` is the derivative that a family's rule gave.
    """

    vertex: Vertex
    port: str
    how: str
    rule: Rule | None = None
    made: Edge | None = None


@attrs.frozen(eq=False)
class Rules:
    """Applies, to one vertex and port at a time, the rule that is in force there, and notes which it was.

    Attributes:
        specs: the specs of everything that is differentiated.
        backend: name of the backend whose rules to prefer.
        used: grows by one entry per application.
    """

    specs: Specs
    backend: str
    used: list[Used] = attrs.field(factory=list)

    def vjp(self, vertex: Vertex, port: str, cts: list[Edge]) -> Edge:
        """The contribution of a vertex to the cotangent of its input `port`."""
        ct = cts[0] if len(cts) == 1 else cts
        seen = self._through_graph(vertex, port, "vjp", ct)
        if seen is not None:
            return seen[0]
        choice = self._choose(vertex, port, "vjp")
        source = dict(vertex.inputs)[port]
        spec = self.specs[source.vertex][source.index]
        like = (spec,) if choice.how == "transposed" else ()
        pull = Vjp(vertex.node, port, choice.how, choice.needs, spec.cotangent(), like, choice.method)
        made: Edge = pull(*cts, *_needed(vertex, choice.needs))
        return made

    def jvp(self, vertex: Vertex, port: str, t: Edge) -> tuple[Edge, ...]:
        """What a moving input `port` adds to the tangents of the outputs of a vertex."""
        seen = self._through_graph(vertex, port, "jvp", t)
        if seen is not None:
            return seen
        if vertex.origin.derivative is None and base_port(vertex.node, port) in vertex.node.linear:
            return self._itself(vertex, port, t)
        choice = self._choose(vertex, port, "jvp")
        like = self.specs[vertex] if choice.how == "transposed" else ()
        push = Jvp(vertex.node, port, choice.how, choice.needs, self.specs[vertex], like, choice.method)
        return _as_tuple(push(t, *_needed(vertex, choice.needs)))

    def _through_graph(self, vertex: Vertex, port: str, mode: str, moving: Any) -> tuple[Edge, ...] | None:
        """By a graph rule, unless another method was chosen for this vertex."""
        wanted = vertex.origin.derivative
        if wanted is not None and wanted.method not in ("registered", "implicit"):
            return None
        node, values = vertex.node, _named(vertex)
        rule = find_rule(type(node), f"graph_{mode}", base_port(node, port))
        if rule is not None:
            self.used.append(Used(vertex, port, "graph", rule))
            return _as_tuple(rule.fn(node, moving, **dict(zip(rule.needs, _needed(vertex, rule.needs), strict=True))))
        family = node.pull_back if mode == "vjp" else node.push_forward
        made = family(port, moving, values)
        if made is None:
            return None
        self.used.append(Used(vertex, port, node.family, made=_as_tuple(made)[0]))
        return _as_tuple(made)

    def _itself(self, vertex: Vertex, port: str, t: Edge) -> tuple[Edge, ...]:
        """dy = f(dx) for what is linear in x: the node is its own tangent rule."""
        self.used.append(Used(vertex, port, "linear"))
        moved = tuple((name, t if name == port else edge) for name, edge in vertex.inputs)
        same = Vertex(vertex.node, moved, attrs.evolve(vertex.origin, role="tangent"))
        return tuple(Edge(same, i) for i in range(len(vertex.node.outputs)))

    def _require_arrays(self, vertex: Vertex, port: str) -> None:
        """Raise `RuleError` where a method for functions of arrays was chosen for an operator, factor or dyad."""
        source = dict(vertex.inputs)[port]
        kinds = {self.specs[source.vertex][source.index].kind, *(spec.kind for spec in self.specs[vertex])}
        wanted, held = vertex.origin.derivative, sorted(kinds & {"operator", "factor", "dyad"})
        if held and wanted is not None and wanted.method not in ("registered", "implicit"):
            message = f"{wanted.method} is for functions of arrays, but this is between {' and '.join(held)} edges"
            raise RuleError(message, fix="Keep its exact rule, or choose the method for a node between arrays")

    def _choose(self, vertex: Vertex, port: str, mode: str) -> Choice:
        available = tuple(name for name, _ in vertex.inputs)
        try:
            self._require_arrays(vertex, port)
            choice = choose(vertex.node, mode, port, available, self.backend, vertex.origin.derivative)
        except RuleError as error:
            error.node, error.port, error.where = vertex.origin.name, port, vertex.origin.where
            raise
        self.used.append(Used(vertex, port, choice.how, choice.rule))
        return choice


def gradient(of: Edge, wrt: Sequence[Edge], rules: Rules, seed: Edge | None = None) -> dict[Edge, Edge | NoPath]:
    """The cotangents of `wrt` for the seed `of_bar` (1 if none is given).

    Args:
        of: the output to differentiate (a scalar unless a seed is given).
        wrt: edges to differentiate with respect to.
        rules: what differentiates one vertex.
        seed: cotangent of `of`.
    """
    if seed is None:
        with made_for(_derived(of.vertex, "seed")):
            seed = constant(1.0)
    return pull_back([(of, seed)], wrt, rules)


def pull_back(seeds: Sequence[tuple[Edge, Edge]], wrt: Sequence[Edge], rules: Rules) -> dict[Edge, Edge | NoPath]:
    """The cotangents of `wrt` for given cotangents of several outputs, in one sweep.

    Args:
        seeds: pairs of an output and its cotangent.
        wrt: edges to differentiate with respect to.
        rules: what differentiates one vertex.
    """
    order = topological([of for of, _ in seeds])
    active = active_vertices(order, wrt)
    arriving: dict[Edge, list[Edge]] = defaultdict(list)
    for of, seed in seeds:
        if of.vertex in active:
            arriving[of].append(seed)
    for vertex in reversed(order):
        if vertex not in active:
            continue
        with made_for(_derived(vertex, "reverse")):
            _pull_back(vertex, active, arriving, rules)
    found = {edge: _collected(edge, arriving) for edge in wrt}
    return {edge: why_no_path(order, edge) if ct is None else ct for edge, ct in found.items()}


def active_vertices(order: Sequence[Vertex], wrt: Sequence[Edge]) -> set[Vertex]:
    """The vertices that lie on a differentiable path from `wrt`."""
    active = {edge.vertex for edge in wrt}
    for vertex in order:
        if any(edge.vertex in active and cut(vertex, port) is None for port, edge in vertex.inputs):
            active.add(vertex)
    return active


def cut(vertex: Vertex, port: str) -> NoPath | None:
    """Why no derivative passes from an input of a vertex to its outputs; None if one does."""
    node, where = vertex.node, f"{vertex.origin.name!r}"
    if isinstance(node, Detach):
        why = f" ({node.reason})" if node.reason else ""
        return NoPath("detached", f"{where}{why}, declared at {vertex.origin.where}")
    rule = find_rule(type(node), "zero", base_port(node, port))
    if rule is None:
        return None
    return NoPath("structurally zero", f"{where}.{port} ({rule.reason}), declared at {vertex.origin.where}")


def _derived(vertex: Vertex, role: str) -> Origin:
    return attrs.evolve(vertex.origin, role=role, derivative=None)


def _pull_back(vertex: Vertex, active: set[Vertex], arriving: dict[Edge, list[Edge]], rules: Rules) -> None:
    cts = [_collected(Edge(vertex, i), arriving) for i in range(len(vertex.node.outputs))]
    if all(ct is None for ct in cts):
        return
    full = [_zero(spec) if ct is None else ct for ct, spec in zip(cts, rules.specs[vertex], strict=True)]
    for port, edge in vertex.inputs:
        if edge.vertex in active and rules.specs[edge.vertex][edge.index].differentiable and not cut(vertex, port):
            arriving[edge].append(rules.vjp(vertex, port, full))


def _collected(edge: Edge, arriving: Mapping[Edge, list[Edge]]) -> Edge | None:
    """The sum of all contributions to the cotangent of an edge."""
    terms = arriving.get(edge, [])
    if len(terms) > 1:
        with made_for(_derived(edge.vertex, "accumulate")):
            total: Edge = Add()(*terms)
            return total
    return terms[0] if terms else None


def _zero(spec: Spec) -> Edge:
    return constant(np.zeros(spec.shape), spec)


def _named(vertex: Vertex) -> dict[str, Edge]:
    """Every value that a rule of this vertex may ask for, by name."""
    outputs = {port.name: Edge(vertex, i) for i, port in enumerate(vertex.node.outputs)}
    return outputs | dict(vertex.inputs)


def _needed(vertex: Vertex, names: tuple[str, ...]) -> tuple[Edge, ...]:
    values, constants = _named(vertex), vertex.node.constants
    return tuple(values[name] if name in values else constant(constants[name]) for name in names)


def _as_tuple(made: Any) -> tuple[Edge, ...]:
    return made if isinstance(made, tuple) else (made,)


def tangent(of: Sequence[Edge], along: Mapping[Edge, Edge], rules: Rules) -> dict[Edge, Edge | NoPath]:
    """The tangents of `of` when the edges `along` move with the given tangents.

    Args:
        of: outputs.
        along: input edge -> its tangent.
        rules: what differentiates one vertex.
    """
    order = topological(of)
    moving: dict[Edge, Edge] = dict(along)
    for vertex in order:
        felt = [(port, edge) for port, edge in vertex.inputs if edge in moving and not cut(vertex, port)]
        with made_for(_derived(vertex, "tangent")):
            terms = [rules.jvp(vertex, port, moving[edge]) for port, edge in felt]
            for i in range(len(vertex.node.outputs)):
                parts = [term[i] for term in terms]
                if parts:
                    moving[Edge(vertex, i)] = parts[0] if len(parts) == 1 else Add()(*parts)
    return {edge: moving[edge] if edge in moving else why_no_path(order, *along) for edge in of}


def why_no_path(order: list[Vertex], *wrt: Edge) -> NoPath:
    """The sentence for a derivative that does not exist: what cuts every path, or that none leads there."""
    reached = {edge.vertex for edge in wrt}
    cuts: dict[str, NoPath] = {}
    for vertex in order:
        for port, edge in vertex.inputs:
            if edge.vertex in reached:
                reached.add(vertex)
                found = cut(vertex, port)
                if found is not None:
                    cuts[found.reason] = found
    if order[-1] not in reached or not cuts:
        return NoPath("no path", "nothing leads from it to the output")
    word = next(iter(cuts.values())).word
    return NoPath(word, f"every path is cut by {'; '.join(cuts)}")
