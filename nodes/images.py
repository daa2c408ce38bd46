"""Layers of networks that draw images: convolution and bilinear resize of (ny, nx, channels)."""

from __future__ import annotations

import importlib
from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Axis, Edge, Node, Port, Spec, SpecError


@tg.node
class Conv2D(Node):
    """y[i, j, c] = sum_(a, b, d) W[a, b, d, c] x[i + a - r, j + b - r, d], zero outside: the "same" convolution.

    x: (ny, nx, inputs); W: (2 r + 1, 2 r + 1, inputs, outputs), both "params" or "array"; y: (ny, nx, outputs).
    Dimensionless. (It is a correlation, as everywhere in machine learning.)
    """

    inputs = (Port("x"), Port("W", "params|array"))
    outputs = (Port("y"),)
    linear = ("x", "W")

    def infer(self, *specs: Spec) -> Spec:
        """x with the outputs as channels."""
        x, W = specs
        odd = len(W.shape) == 4 and W.shape[0] == W.shape[1] and W.shape[0] % 2 == 1
        if not odd or len(x.shape) != 3 or x.shape[2] != W.shape[2]:
            fix = "Give (size, size, inputs, outputs) with an odd size, and the inputs as last axis of x"
            raise SpecError(f"is {W.label()}, but x is {x.label()}", port="W", fix=fix)
        return attrs.evolve(x, kind="array", axes=(*x.axes[:2], Axis("channel", W.shape[3])), unit=None)

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """A product and a sum per weight and pixel; its derivatives cost as much."""
        pixels = max(spec.shape[0] * spec.shape[1] for spec in (*inputs, *outputs) if len(spec.shape) == 3)
        return 2 * pixels * max((spec.size for spec in (*inputs, *outputs) if len(spec.shape) == 4), default=1)

    def bind(self, backend: Any) -> Any:
        """The framework's own convolution, which is several times faster than sums of matrix products."""
        half = _half(backend.name)
        return None if half is None else half.convolve

    def forward(self, xp: Any, *values: Any) -> Any:
        """One matrix product per weight of the window, of shifted images."""
        x, W = values
        size, (ny, nx) = W.shape[0], x.shape[:2]
        room = _padded(xp, x, size // 2)
        terms = [xp.matmul(room[a : a + ny, b : b + nx], W[a, b]) for a in range(size) for b in range(size)]
        return sum(terms[1:], terms[0])


@tg.graph_vjp(Conv2D, "x")
def _(node: Conv2D, ct: Edge, W: Edge) -> Edge:
    # x_bar[k, l, d] = sum W[a, b, d, c] ct[k - a + r, l - b + r, c]: the same with the window turned by 180 degrees
    # and inputs and outputs exchanged.
    pulled: Edge = node(ct, TurnedKernel()(W))
    return pulled


@tg.graph_vjp(Conv2D, "W")
def _(node: Conv2D, ct: Edge, x: Edge, W: Edge) -> Edge:
    pulled: Edge = KernelCotangent()(x, ct, W)
    return pulled


@tg.node
class TurnedKernel(Node):
    """y[a, b, c, d] = W[-a, -b, d, c]: the window of the transposed convolution; its own inverse and transpose."""

    inputs = (Port("W"),)
    outputs = (Port("y"),)
    linear = ("W",)

    def infer(self, *specs: Spec) -> Spec:
        """Inputs and outputs exchanged."""
        a, b, d, c = specs[0].axes
        return attrs.evolve(specs[0], kind="array", axes=(a, b, c, d))

    def forward(self, xp: Any, *values: Any) -> Any:
        """Turned, then transposed."""
        return xp.permute_dims(xp.flip(values[0], axis=(0, 1)), (0, 1, 3, 2))


@tg.graph_vjp(TurnedKernel, "W")
def _(node: TurnedKernel, ct: Edge) -> Edge:
    back: Edge = node(ct)
    return back


@tg.node
class KernelCotangent(Node):
    """W_bar[a, b, d, c] = sum_(i, j) x[i + a - r, j + b - r, d] y_bar[i, j, c]: the weights' cotangent of `Conv2D`.

    x: (ny, nx, inputs); y_bar: (ny, nx, outputs); W: only its shape counts.
    """

    inputs = (Port("x"), Port("y_bar"), Port("W"))
    outputs = (Port("W_bar"),)
    linear = ("x", "y_bar")

    def infer(self, *specs: Spec) -> Spec:
        """As W."""
        return attrs.evolve(specs[2], kind="array")

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """As the convolution."""
        return Conv2D().flops(inputs, outputs)

    def bind(self, backend: Any) -> Any:
        """The framework's own."""
        half = _half(backend.name)
        return None if half is None else half.kernel_cotangent

    def forward(self, xp: Any, *values: Any) -> Any:
        """One matrix product per weight of the window."""
        x, y_bar, W = values
        size, (ny, nx, outputs) = W.shape[0], y_bar.shape
        room, flat = _padded(xp, x, size // 2), xp.reshape(y_bar, (ny * nx, outputs))

        def one(a: int, b: int) -> Any:
            seen = xp.reshape(room[a : a + ny, b : b + nx], (ny * nx, x.shape[2]))
            return xp.matmul(xp.permute_dims(seen, (1, 0)), flat)

        return xp.stack([xp.stack([one(a, b) for b in range(size)]) for a in range(size)])


tg.zero(KernelCotangent, "W", reason="only its shape counts")


# <C, W_bar> = <x * C, y_bar> for a window C, so x_bar is the transposed convolution of y_bar with C, and the cotangent
# of y_bar is x * C.


@tg.graph_vjp(KernelCotangent, "x")
def _(node: KernelCotangent, ct: Edge, y_bar: Edge) -> Edge:
    pulled: Edge = Conv2D()(y_bar, TurnedKernel()(ct))
    return pulled


@tg.graph_vjp(KernelCotangent, "y_bar")
def _(node: KernelCotangent, ct: Edge, x: Edge) -> Edge:
    pulled: Edge = Conv2D()(x, ct)
    return pulled


@tg.node
class Resize(Node):
    """Bilinear resize to `size` = (ny, nx), pixel centres at (i + 1/2) / n, constant beyond the outermost.

    x: (my, mx, channels); y: (ny, nx, channels): y = R_y x R_x^T per channel, with two small matrices of weights.
    """

    inputs = (Port("x"),)
    outputs = (Port("y"),)
    linear = ("x",)
    size: tuple[int, int]
    of: tuple[int, int]
    transposed: bool = False

    def infer(self, *specs: Spec) -> Spec:
        """x in the new size; transposed, in the old one."""
        (x,) = specs
        before, after = (self.size, self.of) if self.transposed else (self.of, self.size)
        if len(x.shape) != 3 or x.shape[:2] != tuple(before):
            raise SpecError(f"is {x.label()}, must be {before[0]}x{before[1]} with channels last", port="x")
        axes = tuple(Axis(axis.name, n) for axis, n in zip(x.axes, after, strict=False))
        return attrs.evolve(x, axes=(*axes, x.axes[2]))

    def forward(self, xp: Any, *values: Any) -> Any:
        """Rows, then columns."""
        (x,) = values
        rows, columns = (_weights(n, m) for n, m in zip(self.size, self.of, strict=True))
        if self.transposed:
            rows, columns = rows.T, columns.T
        R, C = (xp.asarray(np.ascontiguousarray(part), dtype=x.dtype) for part in (rows, columns))
        my, mx, channels = x.shape
        tall = xp.reshape(xp.matmul(R, xp.reshape(x, (my, mx * channels))), (R.shape[0], mx, channels))
        return xp.matmul(C, tall)


@tg.graph_vjp(Resize, "x")
def _(node: Resize, ct: Edge) -> Edge:
    back: Edge = attrs.evolve(node, transposed=not node.transposed)(ct)
    return back


def _weights(n: int, m: int) -> np.ndarray:
    """The matrix (n, m) of linear interpolation between m pixels."""
    at = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0.0, m - 1.0)
    return np.maximum(1.0 - np.abs(at[:, None] - np.arange(m)), 0.0)


def _padded(xp: Any, x: Any, r: int) -> Any:
    ny, nx, channels = x.shape
    side = xp.zeros((ny, r, channels), dtype=x.dtype)
    wide = xp.concat([side, x, side], axis=1)
    edge = xp.zeros((r, nx + 2 * r, channels), dtype=x.dtype)
    return xp.concat([edge, wide, edge], axis=0)


def _half(backend: str) -> Any:
    """The half that needs a framework; None for NumPy."""
    name = {"jax": "._jax", "torch": "._torch"}.get(backend)
    return None if name is None else importlib.import_module(name, __package__)
