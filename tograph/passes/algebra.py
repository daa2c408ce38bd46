"""One form for equal expressions: no copies, no sums of sums, numbers multiplied out.

Sums of any number of terms, at most one number in front of everything, casts only where they round. Passes
that compare expressions then meet equal ones as equal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import attrs
import numpy as np

from ..arithmetic import Add, Scale
from ..backends.numpy import NumpyBackend
from ..derivative import Jvp, Vjp, implementation
from ..edge import Edge, Vertex
from ..elementwise import Cast, Power, Shift
from ..node import Constant, Node
from ..plan import Change, Plan
from ..spec import Spec
from .rewrite import Inputs, Made, named, rewrite

BITS = {"float32": 32, "float64": 64}


@attrs.frozen
class Place:
    """A vertex to be simplified: its new inputs, and what is known of it in the plan before."""

    vertex: Vertex
    inputs: Inputs
    plan: Plan
    uses: Counter[Edge]

    def spec(self, i: int | None = None) -> Spec:
        """That of input i, or of the only output."""
        at = Edge(self.vertex) if i is None else self.vertex.edges[i]
        return self.plan.specs[at.vertex][at.index]


@named("algebra", "x + 0, 1 x, -(-x), sums of sums and arithmetic of constants, written down once and for all")
def simplify(plan: Plan) -> Made:
    """Apply `RULES` to every vertex."""
    changes: list[Change] = []
    uses = Counter(edge for v in plan.order for edge in v.edges) + Counter(plan.results.values())

    def visit(vertex: Vertex, inputs: Inputs) -> Edge | None:
        if len(vertex.node.outputs) > 1 or not inputs:
            return None
        place = Place(vertex, inputs, plan, uses)
        for rule in RULES:
            made = rule(place)
            if made is not None:
                edge, reason = made
                changes.append(Change("algebra", f"{vertex.origin.name!r}: {reason}", vertex, edge.vertex))
                return edge
        return None

    return rewrite(plan, visit), changes


Simpler = tuple[Edge, str] | None


def number(edge: Edge) -> float | None:
    """The value of a constant number without a unit; None for all else."""
    node = edge.vertex.node
    if isinstance(node, Constant) and not node.value.ndim and node.spec.unit is None and node.spec.differentiable:
        return float(node.value)
    return None


def _folded(place: Place) -> Simpler:
    """f(1, 2) of constant numbers is a constant number."""
    node = place.vertex.node
    numbers = [number(edge) for _, edge in place.inputs]
    special = node.host or isinstance(node, Vjp | Jvp | Cast)
    plain = not special and place.spec() == Spec("scalar")
    if not plain or any(x is None for x in numbers) or type(node).forward is Node.forward:
        return None
    backend = NumpyBackend("float64")
    value = float(implementation(node, backend)(*(np.asarray(x) for x in numbers)))
    if not np.isfinite(value):
        return None
    folded = Vertex(Constant(np.asarray(value), Spec("scalar")), (), place.vertex.origin)
    return Edge(folded), f"{node.title} of constants is {value:g}"


def _copy(place: Place) -> Simpler:
    """1 x, x + 0, x^1, a sum of one term, a cast to what it is."""
    node, inputs = place.vertex.node, place.inputs
    kept, why = None, ""
    if isinstance(node, Scale) and number(inputs[0][1]) == 1.0:
        kept, why = 1, "a factor of 1 dropped"
    elif isinstance(node, Shift) and node.by == 0.0:
        kept, why = 0, "x + 0 is x"
    elif isinstance(node, Power) and node.exponent == 1.0:
        kept, why = 0, "x^1 is x"
    elif isinstance(node, Add) and len(inputs) == 1:
        kept, why = 0, "a sum of one term"
    elif isinstance(node, Cast) and place.spec(0).dtype == node.dtype:
        kept, why = 0, f"is {node.dtype} already"
    if kept is None or place.spec(kept) != place.spec():
        return None
    return inputs[kept][1], why


def _factors(place: Place) -> Simpler:
    """a (b x) = (a b) x for constant numbers; so -(-x) = x."""
    node, inputs = place.vertex.node, place.inputs
    if not isinstance(node, Scale) or not isinstance(inputs[1][1].vertex.node, Scale):
        return None
    (_, factor), (_, x) = inputs[1][1].vertex.inputs
    a, b = number(inputs[0][1]), number(factor)
    if a is None or b is None:
        return None
    if a * b == 1.0:
        return x, f"{a:g} times {b:g} is 1"
    product = Edge(Vertex(Constant(np.asarray(a * b), Spec("scalar")), (), place.vertex.origin))
    return Edge(Vertex(node, (("s", product), ("x", x)), place.vertex.origin)), f"{a:g} times {b:g} is {a * b:g}"


def _flat(place: Place) -> Simpler:
    """(a + b) + c = a + b + c, where nobody else wants a + b and no user gave it a name; zeros are left out."""
    if not isinstance(place.vertex.node, Add):
        return None
    terms: list[Edge] = []
    for (_, new), old in zip(place.inputs, place.vertex.edges, strict=True):
        ours = old.vertex.origin.role != "forward" or bool(old.vertex.origin.part)
        inner = isinstance(new.vertex.node, Add) and place.uses[old] == 1 and ours
        terms += new.vertex.edges if inner else (new,)
    kept = [edge for edge in terms if not _is_zero(edge)] or terms[:1]
    given = [edge for _, edge in place.inputs]
    if kept == given:
        return None
    if len(kept) == 1 and kept[0] in given and place.spec(given.index(kept[0])) == place.spec():
        return kept[0], "x + 0 is x"
    total = Vertex(place.vertex.node, tuple((f"terms{i}", e) for i, e in enumerate(kept)), place.vertex.origin)
    return Edge(total), f"one sum of {len(kept)} terms"


def _is_zero(edge: Edge) -> bool:
    node = edge.vertex.node
    return isinstance(node, Constant) and node.spec.kind != "dyad" and not np.any(node.value)


def _widened(place: Place) -> Simpler:
    """A cast of a cast that did not round is one cast."""
    node, inner = place.vertex.node, place.inputs[0][1].vertex
    if not isinstance(node, Cast) or not isinstance(inner.node, Cast):
        return None
    old = place.vertex.edges[0].vertex
    if not isinstance(old.node, Cast):
        return None
    source = old.edges[0]
    first = BITS.get(place.plan.specs[source.vertex][source.index].dtype)
    if first is None or BITS[inner.node.dtype] < first:
        return None
    return Edge(Vertex(node, inner.inputs, place.vertex.origin)), "a cast that does not round is left out"


def _between_islands(place: Place) -> Simpler:
    """float32(s float64(x)) = s x for an x in float32 and s = 2^k or -2^k: the casts stand outside of both islands.

    Such a factor changes the exponent alone, so the product is the same in both precisions. Past anything that rounds,
    a cast stays where it is.
    """
    node = place.vertex.node
    if not isinstance(node, Cast):
        return None
    factors, new = _past_factors(place.inputs[0][1])
    _, old = _past_factors(place.vertex.edges[0])
    widening, was = new.vertex.node, old.vertex.node
    if not (isinstance(widening, Cast) and isinstance(was, Cast)) or not all(map(_is_power_of_two, factors)):
        return None
    source = old.vertex.edges[0]
    dtype = place.plan.specs[source.vertex][source.index].dtype
    if dtype != node.dtype or BITS[widening.dtype] < BITS[dtype]:
        return None
    made = new.vertex.edges[0]
    for factor in reversed(factors):
        made = Edge(Vertex(Scale(), (("s", factor), ("x", made)), place.vertex.origin))
    return made, f"two islands of {dtype} are one: the casts between them are left out"


def _past_factors(edge: Edge) -> tuple[list[Edge], Edge]:
    """What an edge is multiplied by, outermost first, and what is multiplied."""
    factors: list[Edge] = []
    while isinstance(edge.vertex.node, Scale):
        factor, edge = edge.vertex.edges
        factors.append(factor)
    return factors, edge


def _is_power_of_two(factor: Edge) -> bool:
    value = number(factor)
    return value is not None and math.frexp(abs(value))[0] == 0.5


RULES: tuple[Callable[[Place], Simpler], ...] = (_folded, _copy, _factors, _flat, _between_islands, _widened)
"""The first that applies to a vertex is taken."""
