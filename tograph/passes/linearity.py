"""Sums of the same linear map: L(a) + L(b) = L(a + b), once instead of twice.

This is where a Hessian-vector product saves a solve: the tangent of the adjoint state
lambda = K^-1 g(u) is K^-1 (g' u_dot) - K^-1 (K_dot lambda), and needs one solve, not two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

from ..arithmetic import Add, Scale
from ..derivative import Jvp, Vjp
from ..edge import Edge, Origin, Vertex
from ..node import Node
from ..plan import Change, Plan
from .rewrite import Inputs, Made, named, rewrite

Term = tuple[tuple[Edge, ...], Edge]
"""Factors, outermost first, and what they multiply: edges of the plan before the pass."""
Key = tuple[Node, str, tuple[Edge, ...], tuple[object, ...]]


@named("linearity", "L(a) + L(b) = L(a + b) for a linear L: one solve (or filter, or product) instead of two")
def merge_sums(plan: Plan) -> Made:
    """Merge terms that are one linear node of different inputs, wherever nobody else wants the terms."""
    sums = Sums(plan, Counter(e for v in plan.order for e in v.edges) + Counter(plan.results.values()))

    def visit(vertex: Vertex, inputs: Inputs) -> Edge | None:
        if not isinstance(vertex.node, Add):
            return None
        before = len(sums.changes)
        made = sums.build([((), edge) for edge in vertex.edges], vertex.origin)
        return made if len(sums.changes) > before else None

    return rewrite(plan, visit, sums.new), sums.changes


@attrs.frozen(eq=False)
class Sums:
    """Rebuilds sums; `new` says what has become of every edge so far."""

    plan: Plan
    uses: Counter[Edge]
    new: dict[Edge, Edge] = attrs.field(factory=dict)
    changes: list[Change] = attrs.field(factory=list)

    def build(self, given: Sequence[Term], origin: Origin) -> Edge:
        """The sum of terms with as few linear nodes as possible."""
        terms = [self._without_factors(term) for term in given]
        keys = [self._keys(term) for term in terms]
        shared = Counter(key for of_term in keys for key in set(of_term))
        groups: dict[Key, list[Term]] = {}
        alone: list[Edge] = []
        for term, of_term in zip(terms, keys, strict=True):
            key = max(of_term, key=shared.__getitem__, default=None)
            if key is None:
                alone.append(self._scaled(term[0], self.new[term[1]], origin))
            else:
                groups.setdefault(key, []).append(term)
        made = [self._merged(key[1], group, origin) for key, group in groups.items()]
        return _added([*made, *alone], origin)

    def _without_factors(self, term: Term) -> Term:
        factors, edge = term
        while isinstance(edge.vertex.node, Scale) and self.uses[edge] == 1:
            s, edge = edge.vertex.edges
            factors = (*factors, s)
        return factors, edge

    def _keys(self, term: Term) -> list[Key]:
        """Node, port and other inputs of the ways in which a term is linear; terms with one in common can be merged."""
        vertex, plan = term[1].vertex, self.plan
        if self.uses[term[1]] != 1 or len(vertex.node.outputs) > 1 or not exactly_linear(vertex.node):
            return []
        keys = []
        for port, edge in vertex.inputs:
            spec = plan.specs[edge.vertex][edge.index]
            if port in vertex.node.linear and spec.kind not in ("operator", "factor"):
                others = tuple(self.new[e] for p, e in vertex.inputs if p != port)
                size = () if spec.kind == "dyad" else (spec.shape,)
                like = (spec.kind == "dyad", *size, spec.dtype, spec.unit, vertex in plan.varying)
                keys.append((vertex.node, port, others, like))
        return keys

    def _merged(self, port: str, group: list[Term], origin: Origin) -> Edge:
        if len(group) == 1:
            return self._scaled(group[0][0], self.new[group[0][1]], origin)
        first = group[0][1].vertex
        common = group[0][0] if all(factors == group[0][0] for factors, _ in group) else ()
        inner = [(factors if not common else (), dict(e.vertex.inputs)[port]) for factors, e in group]
        total = self.build(inner, first.origin if first.origin.part else attrs.evolve(first.origin, part="sum"))
        inputs = tuple((p, total if p == port else self.new[e]) for p, e in first.inputs)
        made = Vertex(first.node, inputs, first.origin)
        what = f"{len(group)} times {first.node.title} of {first.origin.name!r}"
        for _, edge in group[1:]:
            self.changes.append(Change("linearity", f"{what} summed: done once, for the sum", edge.vertex, made))
        return self._scaled(common, Edge(made), origin)

    def _scaled(self, factors: Sequence[Edge], edge: Edge, origin: Origin) -> Edge:
        for s in reversed(factors):
            edge = Edge(Vertex(Scale(), (("s", self.new[s]), ("x", edge)), origin))
        return edge


def exactly_linear(node: Node) -> bool:
    """Linear up to rounding, in every port of `linear`; quotients that approximate a derivative are not."""
    approximate = isinstance(node, Vjp | Jvp) and node.method is not None and node.method.method != "autodiff"
    return bool(node.linear) and not approximate


def _added(terms: list[Edge], origin: Origin) -> Edge:
    if len(terms) == 1:
        return terms[0]
    return Edge(Vertex(Add(), tuple((f"terms{i}", edge) for i, edge in enumerate(terms)), origin))
