"""Normalisation of a network's channels, and the learned scale and offset that may follow it."""

from __future__ import annotations

from typing import Any

import attrs

import tograph as tg
from tograph import Node, Port, Spec, SpecError


@tg.node
class Normalize(Node):
    """y = (x - mean x) / sqrt(var x + eps), with mean and variance (divided by n, not n - 1) over some axes.

    x: array of channels last, e.g. (ny, nx, channels). `over`: "points" for one mean per channel, over all other
    axes; "all" for one mean of everything. eps > 0 in the unit of x squared. y: dimensionless.

    Source: Ioffe & Szegedy, Batch normalization, ICML 2015, without the learned scale and offset ("points", the
    batch being the points of the grid); Hoyer, Sohl-Dickstein & Greydanus, arXiv:1909.04240 (2019) ("all").
    """

    inputs = (Port("x"),)
    outputs = (Port("y"),)
    over: str = "points"
    eps: float = 1e-6

    def infer(self, *specs: Spec) -> Spec:
        """As x, without unit."""
        if self.over not in ("points", "all"):
            raise SpecError(f"there is no {self.over!r}", port="over", fix='Use "points" or "all"')
        if self.over == "points" and len(specs[0].shape) < 2:
            raise SpecError(f"is {specs[0].label()}", port="x", fix="Give the channels as the last axis")
        return attrs.evolve(specs[0], unit=None)

    def forward(self, xp: Any, *values: Any) -> Any:
        """The formula above."""
        (x,) = values
        return _centred(self, xp, x) / _deviation(self, xp, x)


# With y = (x - m) / s: dm = mean dx, ds = mean(y dx), so dy = (dx - mean dx - y mean(y dx)) / s: symmetric in x and
# y, hence its own transpose.


@tg.vjp(Normalize, "x")
def _(node: Normalize, xp: Any, ct: Any, x: Any) -> Any:
    return _normalized_change(node, xp, ct, x)


@tg.jvp(Normalize, "x")
def _(node: Normalize, xp: Any, t: Any, x: Any) -> Any:
    return _normalized_change(node, xp, t, x)


def _normalized_change(node: Normalize, xp: Any, t: Any, x: Any) -> Any:
    s = _deviation(node, xp, x)
    y = _centred(node, xp, x) / s
    return (t - _mean(node, xp, t) - y * _mean(node, xp, y * t)) / s


def _mean(node: Normalize, xp: Any, x: Any) -> Any:
    axes = tuple(range(x.ndim)) if node.over == "all" else tuple(range(x.ndim - 1))
    return xp.mean(x, axis=axes, keepdims=True)


def _centred(node: Normalize, xp: Any, x: Any) -> Any:
    return x - _mean(node, xp, x)


def _deviation(node: Normalize, xp: Any, x: Any) -> Any:
    return xp.sqrt(_mean(node, xp, _centred(node, xp, x) ** 2) + node.eps)


@tg.node
class Affine(Node):
    """y = a x + b, with one a and b per channel: the learned half of a normalisation.

    x: (..., channels); a, b: (channels,), "params" or "array"; y: as x. Dimensionless.
    """

    inputs = (Port("x"), Port("a", "params|array|vector"), Port("b", "params|array|vector"))
    outputs = (Port("y"),)

    def infer(self, *specs: Spec) -> Spec:
        """As x."""
        for port, spec in zip(("a", "b"), specs[1:], strict=True):
            if not specs[0].shape or spec.shape != specs[0].shape[-1:]:
                fix = "Give one number per channel"
                raise SpecError(f"is {spec.label()}, but x is {specs[0].label()}", port=port, fix=fix)
        return attrs.evolve(specs[0], kind="array", unit=None)

    def forward(self, xp: Any, *values: Any) -> Any:
        """a x + b."""
        x, a, b = values
        return a * x + b


@tg.vjp(Affine, "x")
def _(node: Affine, xp: Any, ct: Any, a: Any) -> Any:
    return a * ct


@tg.vjp(Affine, "a")
def _(node: Affine, xp: Any, ct: Any, x: Any) -> Any:
    return _over_points(xp, x * ct)


@tg.vjp(Affine, "b")
def _(node: Affine, xp: Any, ct: Any) -> Any:
    return _over_points(xp, ct)


@tg.jvp(Affine, "x")
def _(node: Affine, xp: Any, t: Any, a: Any) -> Any:
    return a * t


@tg.jvp(Affine, "a")
def _(node: Affine, xp: Any, t: Any, x: Any) -> Any:
    return t * x


@tg.jvp(Affine, "b")
def _(node: Affine, xp: Any, t: Any, y: Any) -> Any:
    return xp.broadcast_to(t, y.shape)


def _over_points(xp: Any, x: Any) -> Any:
    return xp.sum(xp.reshape(x, (-1, x.shape[-1])), axis=0)
