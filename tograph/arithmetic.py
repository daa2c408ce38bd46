"""The algebra the compiler can see through: sums, scalings, products.

All derivative rules here are graph rules, so that a seed of 1 or a factor -1 meets the next node as
itself and can be simplified away.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from .edge import OPERATORS, Edge
from .elementwise import Power, Reciprocal, Shift
from .errors import SpecError
from .node import Node, Port, constant, node
from .rules import graph_jvp, graph_vjp, implements
from .spec import Spec, require_same, scalar


def is_sum_of_products(value: Any) -> bool:
    """Operators and dyads are held as pairs (a, b) that mean sum_k a_k (x) b_k, terms along axis 0."""
    return isinstance(value, tuple)


@node
class Add(Node):
    """y = sum of the terms: any number of them, all of one shape and unit.

    (In derivatives also operators and dyads are added, by listing their terms.)
    """

    inputs = (Port("terms", variadic=True),)

    def infer(self, *specs: Spec) -> Spec:
        """The common spec."""
        for i, spec in enumerate(specs[1:], 1):
            if specs[0].kind == "dyad":
                continue
            require_same(specs[0], spec, ("terms0", f"terms{i}"))
        return next((spec for spec in specs if spec.kind != "array"), specs[0])

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """A sum per entry and further term; lists of products are only joined."""
        return (len(inputs) - 1) * outputs[0].size if outputs[0].kind not in ("operator", "dyad") else 0

    def forward(self, xp: Any, *values: Any) -> Any:
        """Sum."""
        if is_sum_of_products(values[0]):
            return tuple(xp.concat(list(parts), axis=0) for parts in zip(*values, strict=True))
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total


@graph_jvp(Add, "terms")
def _(node: Add, t: Edge) -> Edge:
    return t


@graph_vjp(Add, "terms")
def _(node: Add, ct: Edge) -> Edge:
    return ct


@node
class Scale(Node):
    """y = s x, with s a scalar."""

    inputs = (Port("s", "scalar"), Port("x"))
    linear = ("s", "x")
    scaling = "x"

    def infer(self, *specs: Spec) -> Spec:
        """The spec of x."""
        return attrs.evolve(specs[1], unit=_product_unit(specs[0].unit, specs[1].unit))

    def forward(self, xp: Any, *values: Any) -> Any:
        """s x."""
        s, x = values
        if is_sum_of_products(x):
            return s * x[0], x[1]
        # A number in the precision of the program must not lift a float32 array to float64.
        return (s if s.dtype == x.dtype else xp.astype(s, x.dtype)) * x


@graph_vjp(Scale, "s")
def _(node: Scale, ct: Edge, x: Edge) -> Edge:
    return Dot()(ct, x)


@graph_vjp(Scale, "x")
def _(node: Scale, ct: Edge, s: Edge) -> Edge:
    return Scale()(s, ct)


@node
class Dot(Node):
    """y = sum_i a_i b_i over all axes; a and b of one shape."""

    inputs = (Port("a"), Port("b"))
    linear = ("a", "b")

    def infer(self, *specs: Spec) -> Spec:
        """A scalar."""
        if specs[0].shape != specs[1].shape:
            require_same(specs[0], specs[1], ("a", "b"))
        return scalar(_product_unit(specs[0].unit, specs[1].unit))

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """A product and a sum per entry."""
        return 2 * inputs[0].size

    def forward(self, xp: Any, *values: Any) -> Any:
        """Sum of products."""
        return xp.sum(values[0] * values[1])


@implements(Dot, "torch")
def _(node: Dot, xp: Any, a: Any, b: Any) -> Any:
    # Where steps run one by one, a product that adds up is cheaper than a product and a sum.
    return a.reshape(-1).dot(b.reshape(-1)) if a.dtype == b.dtype else node.forward(xp, a, b)


@graph_vjp(Dot, "a")
def _(node: Dot, ct: Edge, b: Edge) -> Edge:
    return Scale()(ct, b)


@graph_vjp(Dot, "b")
def _(node: Dot, ct: Edge, a: Edge) -> Edge:
    return Scale()(ct, a)


@node
class Hadamard(Node):
    """y_i = a_i b_i, element by element."""

    inputs = (Port("a"), Port("b"))
    linear = ("a", "b")

    def infer(self, *specs: Spec) -> Spec:
        """The common spec."""
        if specs[0].shape != specs[1].shape:
            require_same(specs[0], specs[1], ("a", "b"))
        kept = specs[1] if specs[0].kind == "array" else specs[0]
        dtype = kept.dtype if specs[0].dtype == specs[1].dtype else "real"
        return attrs.evolve(kept, dtype=dtype, unit=_product_unit(specs[0].unit, specs[1].unit))

    def forward(self, xp: Any, *values: Any) -> Any:
        """a b."""
        return values[0] * values[1]


@graph_vjp(Hadamard, "a")
def _(node: Hadamard, ct: Edge, b: Edge) -> Edge:
    return Hadamard()(ct, b)


@graph_vjp(Hadamard, "b")
def _(node: Hadamard, ct: Edge, a: Edge) -> Edge:
    return Hadamard()(ct, a)


@node
class Multiply(Node):
    """y = a b: a scaling where one of them is a scalar, else element by element."""

    inputs = (Port("a"), Port("b"))

    def infer(self, *specs: Spec) -> Spec:
        """That of the larger factor."""
        a, b = specs
        if a.shape == ():
            return Scale().infer(a, b)
        return Scale().infer(b, a) if b.shape == () else Hadamard().infer(a, b)

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """`Scale` or `Hadamard`."""
        first, second = specs
        assert first is not None and second is not None
        a, b = edges
        if first.shape == ():
            return Scale()(a, b)
        return Scale()(b, a) if second.shape == () else Hadamard()(a, b)


@node
class Divide(Node):
    """y = a / b, element by element; b may be a scalar."""

    inputs = (Port("a"), Port("b"))

    def infer(self, *specs: Spec) -> Spec:
        """As for `Multiply` with 1/b."""
        return Multiply().infer(specs[0], Reciprocal().infer(specs[1]))

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """a (1 / b)."""
        return Multiply()(edges[0], Reciprocal()(edges[1]))


@node
class Sum(Node):
    """y = sum_i x_i over all axes."""

    inputs = (Port("x"),)

    def infer(self, *specs: Spec) -> Spec:
        """A scalar."""
        return scalar(specs[0].unit)

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """x . 1, whose cotangent is a constant."""
        assert specs[0] is not None
        return Dot()(edges[0], constant(np.ones(specs[0].shape)))


def weighted_sum(terms: dict[str, Edge], weights: dict[str, float]) -> Edge:
    """sum_k w_k c_k of named scalars, e.g. several compliances.

    Raises:
        SpecError: if the names differ.
    """
    if terms.keys() != weights.keys():
        raise SpecError(f"weights are for {sorted(weights)}, terms are {sorted(terms)}")
    return Add()(*(Scale()(weights[name], edge) for name, edge in terms.items()))


def _product_unit(a: str | None, b: str | None) -> str | None:
    return f"{a} {b}" if a and b else a or b


def _add(a: Any, b: Any) -> Edge:
    if _is_number(b):
        return Shift(by=b)(a)
    return Shift(by=a)(b) if _is_number(a) else Add()(a, b)


def _subtract(a: Any, b: Any) -> Edge:
    return _add(a, -b if _is_number(b) else Scale()(-1.0, b))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


OPERATORS.update(
    add=_add,
    subtract=_subtract,
    multiply=lambda a, b: Multiply()(a, b),
    divide=lambda a, b: Divide()(a, b),
    power=lambda x, n: Power(exponent=n)(x),
    negative=lambda x: Scale()(-1.0, x),
)
