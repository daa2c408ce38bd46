"""One number at a time: shifted, inverted, raised to a power, or held in another precision."""

from __future__ import annotations

from typing import Any

import attrs

from .edge import Edge
from .errors import SpecError, did_you_mean
from .node import Node, Port, node, parameter
from .rules import graph_jvp, graph_vjp, jvp, pointwise, vjp
from .spec import Spec


@node
class Shift(Node):
    """y = x + by, element by element, with one number `by` in the unit of x; constant or wire."""

    inputs = (Port("x"),)
    elementwise = True
    plain = True
    by: Any = parameter(default=0.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        """x + by."""
        return values[0] + values[1]


@graph_vjp(Shift, "x")
def _(node: Shift, ct: Edge) -> Edge:
    return ct


@graph_jvp(Shift, "x")
def _(node: Shift, t: Edge) -> Edge:
    return t


@pointwise(Shift, "by")
def _(node: Shift, xp: Any, out: Any) -> Any:
    return xp.ones_like(out)


@node
class Reciprocal(Node):
    """y = 1 / x, element by element; x != 0."""

    inputs = (Port("x"),)

    def infer(self, *specs: Spec) -> Spec:
        """The shape of x, in the inverse unit."""
        return attrs.evolve(specs[0], unit=f"1/({specs[0].unit})" if specs[0].unit else None)

    def forward(self, xp: Any, *values: Any) -> Any:
        """1 / x."""
        return 1.0 / values[0]


@pointwise(Reciprocal, "x")
def _(node: Reciprocal, xp: Any, out: Any) -> Any:
    return -out * out


@node
class Power(Node):
    """y = x^exponent, element by element.

    x >= 0 unless the exponent is an integer; dimensionless exponent, constant or wire.
    """

    inputs = (Port("x"),)
    plain = True
    exponent: Any = parameter(default=2.0)

    def infer(self, *specs: Spec) -> Spec:
        """The shape of x; a unit is kept only for exponent 1."""
        return specs[0] if specs[0].unit is None else attrs.evolve(specs[0], unit=f"({specs[0].unit})^{self.exponent}")

    def forward(self, xp: Any, *values: Any) -> Any:
        """x^exponent."""
        return values[0] ** values[1]


@pointwise(Power, "x")
def _(node: Power, xp: Any, x: Any, exponent: Any) -> Any:
    return exponent * x ** (exponent - 1.0)


@pointwise(Power, "exponent")
def _(node: Power, xp: Any, x: Any, out: Any) -> Any:
    # d/dn x^n = x^n ln x, which tends to 0 with x for n > 0.
    positive = x > 0.0
    return xp.where(positive, out * xp.log(xp.where(positive, x, 1.0)), xp.zeros_like(out))


@node
class Cast(Node):
    """y = x in another precision; tangents are cast like values, cotangents back to the precision of x.

    x: numbers of any shape and unit. `dtype`: "float32" or "float64". JAX keeps float64 only in a
    float64 program.
    """

    inputs = (Port("x"),)
    dtype: str

    def infer(self, *specs: Spec) -> Spec:
        """As x, in the new dtype."""
        if self.dtype not in ("float32", "float64"):
            fix = did_you_mean(self.dtype, ("float32", "float64"))
            raise SpecError(f"cannot cast to {self.dtype!r}", port="dtype", fix=fix)
        return attrs.evolve(specs[0], dtype=self.dtype)

    def forward(self, xp: Any, *values: Any) -> Any:
        """The values, rounded where the new precision is lower."""
        return xp.astype(values[0], getattr(xp, self.dtype))


@jvp(Cast, "x")
def _(node: Cast, xp: Any, t: Any) -> Any:
    return node.forward(xp, t)


@vjp(Cast, "x")
def _(node: Cast, xp: Any, ct: Any, x: Any) -> Any:
    return xp.astype(ct, x.dtype)
