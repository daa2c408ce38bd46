"""Convolution of a field with an even window, by FFT; what belongs to the window alone is a node of its own."""

from __future__ import annotations

import math
from typing import Any

import array_api_extra as xpx

import tograph as tg
from tograph import Edge, Node, Port, Spec


@tg.node
class Spectrum(Node):
    """W_k = sum_d w_d cos(2 pi k . d / N): the transform of an even window, w_(-d) = w_d, on the grid padded to N.

    It does not depend on the field to be filtered, so for a fixed radius it is computed once.

    w: window of shape 2 reach + 1, centred at 0; W: real, of shape N with a halved last axis.

    Attributes:
        shape: that of the fields that will be convolved.
    """

    inputs = (Port("w", "array"),)
    linear = ("w",)
    shape: tuple[int, ...]

    def infer(self, *specs: Spec) -> Spec:
        """One number per frequency of the real transform."""
        sizes = [*padded(self.shape, specs[0].shape)]
        sizes[-1] = sizes[-1] // 2 + 1
        return Spec("array", tuple(tg.Axis(f"frequency{i}", n) for i, n in enumerate(sizes)), specs[0].dtype)

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """One transform."""
        return transform_flops(max(spec.size for spec in (*inputs, *outputs)))

    def forward(self, xp: Any, *values: Any) -> Any:
        """Transform with the centre of the window moved to index 0; nothing reaches further than across the grid."""
        (w,) = values
        sizes, axes = padded(self.shape, w.shape), tuple(range(w.ndim))
        reach = _reached(self.shape, w.shape)
        near = w[tuple(slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(w.shape, reach, strict=True))]
        room = xpx.pad(near, [(0, size - 2 * r - 1) for size, r in zip(sizes, reach, strict=True)], xp=xp)
        return xp.real(xp.fft.rfftn(xp.roll(room, tuple(-r for r in reach), axis=axes), axes=axes))


@tg.node
class Convolve(Node):
    """y = w * x on the grid, zero outside: y_i = sum_j w_(i-j) x_j, for an even window w given by its `Spectrum` W.

    Done by FFT, so the cost does not depend on the radius. x, y: field; W: array.
    """

    inputs = (Port("x", "field"), Port("W", "array"))
    linear = ("x", "W")

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """A transform, a product, and a transform back."""
        n = 2 * max(spec.size for spec in (*inputs, *outputs))
        return 2 * transform_flops(n) + n

    def forward(self, xp: Any, *values: Any) -> Any:
        """Multiply the spectra, and leave the padding out."""
        x, W = values
        sizes, axes = _even(W.shape), tuple(range(x.ndim))
        spectrum = xp.fft.rfftn(x, s=sizes, axes=axes) * W
        return _crop(xp.fft.irfftn(spectrum, s=sizes, axes=axes), x.shape)


@tg.implements(Convolve, "torch")
def _(node: Convolve, xp: Any, x: Any, W: Any) -> Any:
    # The same; on small fields it is the number of calls that takes time, and cutting by slices takes most.
    sizes = _even(W.shape)
    y = xp.fft.irfftn(xp.fft.rfftn(x, s=sizes) * W, s=sizes)
    for axis, n in enumerate(x.shape):
        y = y.narrow(axis, 0, n)
    return y


@tg.graph_vjp(Convolve, "x")
def _(node: Convolve, ct: Edge, W: Edge) -> Edge:
    # x_bar_j = sum_i w_(i-j) ct_i, and w is even: a convolution is its own transpose.
    pulled: Edge = node(ct, W)
    return pulled


def padded(shape: tuple[int, ...], window: tuple[int, ...]) -> tuple[int, ...]:
    """Room for a field and half a window, so that what wraps around lands outside the field."""
    return tuple(_fast_length(m + r) for m, r in zip(shape, _reached(shape, window), strict=True))


def _reached(shape: tuple[int, ...], window: tuple[int, ...]) -> tuple[int, ...]:
    """How far a window reaches, at most across the field."""
    return tuple(min(n // 2, m - 1) for m, n in zip(shape, window, strict=True))


def transform_flops(n: int) -> int:
    """5/2 n log2 n of a real transform of n numbers (Cooley & Tukey, Math. Comp. 19:297, 1965)."""
    return int(2.5 * n * math.log2(max(n, 2)))


def _even(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the numbers from that of their real transform; lengths are even."""
    return (*shape[:-1], 2 * (shape[-1] - 1))


def _fast_length(n: int) -> int:
    """The next even length without prime factors above 5 (even, because of the real transform)."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and n % 2 == 0:
            return n
        n += 1


def _crop(x: Any, shape: tuple[int, ...]) -> Any:
    return x[tuple(slice(0, n) for n in shape)]
