"""Layers of a neural network: dense layers and activations, whose derivatives the compiler sees one by one."""

from __future__ import annotations

from typing import Any

import attrs

import tograph as tg
from tograph import Axis, Node, Port, Spec, SpecError


@tg.node
class Dense(Node):
    """y = x W + b: a fully connected layer, for every row of x at once.

    x: (..., inputs), e.g. the coordinates of a grid, (ny, nx, 2). W: (inputs, outputs); b: (outputs,), both
    "params" or "array". y: (..., outputs). Dimensionless.
    """

    inputs = (Port("x"), Port("W", "params|array"), Port("b", "params|array|vector"))
    outputs = (Port("y"),)

    def infer(self, *specs: Spec) -> Spec:
        """x with the outputs as last axis."""
        x, W, b = specs
        if len(W.shape) != 2 or len(x.shape) < 2 or x.shape[-1] != W.shape[0]:
            raise SpecError(
                f"is {W.label()}, but x is {x.label()}", port="W", fix="Give one row per input of the layer"
            )
        if b.shape != W.shape[1:]:
            raise SpecError(f"is {b.label()}, but W is {W.label()}", port="b", fix="Give one number per output")
        return attrs.evolve(x, kind="array", axes=(*x.axes[:-1], Axis(W.axes[1].name, W.shape[1])), unit=None)

    def forward(self, xp: Any, *values: Any) -> Any:
        """x W + b."""
        x, W, b = values
        return xp.matmul(x, W) + b


# With y = x W + b:  x_bar = y_bar W^T,  W_bar = sum over rows of x^T y_bar,  b_bar = sum over rows of y_bar.


@tg.vjp(Dense, "x")
def _(node: Dense, xp: Any, ct: Any, W: Any) -> Any:
    return xp.matmul(ct, xp.permute_dims(W, (1, 0)))


@tg.vjp(Dense, "W")
def _(node: Dense, xp: Any, ct: Any, x: Any) -> Any:
    return xp.matmul(xp.permute_dims(_rows(xp, x), (1, 0)), _rows(xp, ct))


@tg.vjp(Dense, "b")
def _(node: Dense, xp: Any, ct: Any) -> Any:
    return xp.sum(_rows(xp, ct), axis=0)


@tg.jvp(Dense, "x")
def _(node: Dense, xp: Any, t: Any, W: Any) -> Any:
    return xp.matmul(t, W)


@tg.jvp(Dense, "W")
def _(node: Dense, xp: Any, t: Any, x: Any) -> Any:
    return xp.matmul(x, t)


@tg.jvp(Dense, "b")
def _(node: Dense, xp: Any, t: Any, y: Any) -> Any:
    return xp.broadcast_to(t, y.shape)


def _rows(xp: Any, x: Any) -> Any:
    return xp.reshape(x, (-1, x.shape[-1]))


@tg.node
class Sin(Node):
    """y = sin(omega x), element by element; omega > 0, constant or wire. x, y dimensionless.

    Source: Sitzmann, Martel, Bergman, Lindell & Wetzstein, NeurIPS 33:7462 (2020), eq. 7 (omega = 30 there).
    """

    inputs = (Port("x"),)
    elementwise = True
    omega: Any = tg.parameter(default=1.0, above=0.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        """sin(omega x)."""
        x, omega = values
        return xp.sin(xp.asarray(omega, dtype=x.dtype) * x)


@tg.pointwise(Sin, "x")
def _(node: Sin, xp: Any, x: Any, omega: Any) -> Any:
    omega = xp.asarray(omega, dtype=x.dtype)
    return omega * xp.cos(omega * x)


@tg.pointwise(Sin, "omega")
def _(node: Sin, xp: Any, x: Any, omega: Any) -> Any:
    return x * xp.cos(xp.asarray(omega, dtype=x.dtype) * x)


@tg.node
class Tanh(Node):
    """y = tanh x, element by element. x, y dimensionless."""

    inputs = (Port("x"),)
    outputs = (Port("y"),)
    elementwise = True

    def forward(self, xp: Any, *values: Any) -> Any:
        """tanh x."""
        return xp.tanh(values[0])


@tg.pointwise(Tanh, "x")
def _(node: Tanh, xp: Any, y: Any) -> Any:
    # From y, which the next layer keeps anyway.
    return 1.0 - y * y


@tg.node
class Relu(Node):
    """y = max(x, 0), element by element; its derivative at 0 is taken as 0. x, y dimensionless."""

    inputs = (Port("x"),)
    outputs = (Port("y"),)
    elementwise = True

    def forward(self, xp: Any, *values: Any) -> Any:
        """max(x, 0)."""
        (x,) = values
        return xp.where(x > 0.0, x, xp.zeros_like(x))


@tg.pointwise(Relu, "x")
def _(node: Relu, xp: Any, y: Any) -> Any:
    return xp.astype(y > 0.0, y.dtype)


@tg.node
class LeakyRelu(Node):
    """y = x for x > 0, slope x elsewhere, element by element; 0 <= slope < 1. x, y dimensionless.

    Source: Maas, Hannun & Ng, Rectifier nonlinearities improve neural network acoustic models, ICML 2013 (slope 0.01).
    """

    inputs = (Port("x"),)
    elementwise = True
    slope: Any = tg.parameter(default=0.01, low=0.0, high=1.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        """The formula above."""
        x, slope = values
        return xp.where(x > 0.0, x, xp.asarray(slope, dtype=x.dtype) * x)


@tg.pointwise(LeakyRelu, "x")
def _(node: LeakyRelu, xp: Any, x: Any, slope: Any) -> Any:
    return xp.where(x > 0.0, xp.ones_like(x), xp.asarray(slope, dtype=x.dtype) * xp.ones_like(x))


@tg.pointwise(LeakyRelu, "slope")
def _(node: LeakyRelu, xp: Any, x: Any) -> Any:
    return xp.where(x > 0.0, xp.zeros_like(x), x)


@tg.node
class Softplus(Node):
    """y = ln(1 + e^x), element by element: a smooth max(x, 0). x, y dimensionless."""

    inputs = (Port("x"),)
    outputs = (Port("y"),)
    elementwise = True

    def forward(self, xp: Any, *values: Any) -> Any:
        """max(x, 0) + ln(1 + e^-|x|), which does not overflow."""
        (x,) = values
        return xp.where(x > 0.0, x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


@tg.pointwise(Softplus, "x")
def _(node: Softplus, xp: Any, y: Any) -> Any:
    # dy/dx = e^x / (1 + e^x) = 1 - e^-y.
    return -xp.expm1(-y)
