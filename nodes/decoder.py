"""The network of convolutions that draws a field from a latent vector."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Axis, Edge, Port, Spec, SpecError
from tograph.arithmetic import Add, Scale

from .images import Conv2D, Resize
from .layers import Dense, Tanh
from .normalization import Normalize
from .weights import Draw, Layout, Network, Reshape, constant_draw, normal_draw

Size = tuple[int, int]


@tg.node
class CNN(Network):
    """The up-sampling decoder: a latent vector through a dense layer and five convolutions to a field of any size.

        h = dense(z), as `channels` images of an eighth of the size;
        five times: h <- tanh h, resize (1, 2, 2, 2, 1 times), normalise, convolve, add `offset` times a learned image.

    Each size is a half, rounded up, of the next, so that any grid will do. The normalisation makes mean and variance
    of everything 0 and 1. The convolutions have no bias: the offsets, which are images of the full size of their
    layer, hold it.

    theta: `weights_spec`; y: field (ny, nx). Dimensionless. First weights: z normal; dense orthogonal, times
    sqrt(outputs / latent) if there are more outputs than inputs; convolutions normal with variance 1 / inputs, cut off
    at 2 deviations; offsets and bias 0.

    Attributes:
        ny, nx: size of the field.
        filters: channels of the convolutions before the last, which gives one.
        latent: length of z.
        fixed: seed of a z that is not learned; None if it is: then it comes first in theta.
        channels: images behind the dense layer.
        kernel: side of the window, odd.
        offset: factor of the offsets, which makes them learn that much faster.
        dtype: precision of theta and y: "real" (that of the program), "float32" or "float64".

    Source: Hoyer, Sohl-Dickstein & Greydanus, Neural reparameterization improves structural optimization,
    arXiv:1909.04240 (2019), and the public code of its authors.
    """

    inputs = (Port("theta", "params|vector|array"),)
    outputs = (Port("y", "field"),)
    ny: int
    nx: int
    filters: tuple[int, ...] = (128, 64, 32, 16)
    latent: int = 128
    fixed: int | None = None
    channels: int = 32
    kernel: int = 5
    offset: float = 10.0
    dtype: str = attrs.field(default="real", kw_only=True)

    def infer(self, *specs: Spec) -> Spec:
        """A field (ny, nx)."""
        if self.kernel % 2 == 0 or len(self.filters) < 4:
            fix = "Give an odd kernel and at least four filters"
            raise SpecError(f"cannot be made with kernel {self.kernel}, filters {self.filters}", port="kernel", fix=fix)
        self.require_weights(specs[0])
        return Spec("field", (Axis("ny", self.ny), Axis("nx", self.nx)), self.dtype)

    @property
    def sizes(self) -> list[Size]:
        """The size of the images behind each convolution, and first of those behind the dense layer."""
        half = [(math.ceil(self.ny / k), math.ceil(self.nx / k)) for k in (8, 4, 2, 1)]
        same = [half[0]] * (len(self.filters) - 2)
        return [*same, *half[1:], half[-1]]

    def layout(self) -> Layout:
        """[z], dense weights and bias, then W and offset of each convolution."""
        (ny, nx), widths = self.sizes[0], [self.channels, *self.filters, 1]
        units = ny * nx * self.channels
        made: dict[str, tuple[tuple[int, ...], Draw]] = {}
        if self.fixed is None:
            made["z"] = (self.latent,), normal_draw(1.0)
        made |= {"W": ((self.latent, units), _orthogonal), "b": ((units,), constant_draw(0.0))}
        for i, size in enumerate(self.sizes[1:]):
            window = (self.kernel, self.kernel, widths[i], widths[i + 1])
            made |= {f"W{i}": (window, _fan_in), f"b{i}": ((*size, widths[i + 1]), constant_draw(0.0))}
        return made

    def latent_vector(self) -> np.ndarray:
        """The z that is not learned."""
        return np.random.default_rng(self.fixed).normal(size=self.latent)

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """Layer by layer."""
        part, sizes = self.parts(edges[0]), self.sizes
        h = self._dense(part)
        for i in range(len(sizes) - 1):
            h = Tanh()(h)
            if sizes[i] != sizes[i + 1]:
                h = Resize(sizes[i + 1], sizes[i])(h)
            convolved = Conv2D()(Normalize("all")(h), part[f"W{i}"])
            h = Add()(convolved, Scale()(self._number(self.offset), part[f"b{i}"]))
        field = self.infer(self.weights_spec)
        y: Edge = Reshape(attrs.evolve(field, kind="array", axes=(*field.axes, Axis("channel", 1))), field)(h)
        return y

    def _dense(self, part: dict[str, Edge]) -> Edge:
        """The first images."""
        (ny, nx), row = self.sizes[0], Spec("array", (Axis("row", 1), Axis("latent", self.latent)), self.dtype)
        if self.fixed is None:
            z: Edge = Reshape(attrs.evolve(row, axes=row.axes[1:]), row)(part["z"])
        else:
            z = tg.constant(self.latent_vector()[None], row, name="z")
        units = attrs.evolve(row, axes=(row.axes[0], Axis("unit", ny * nx * self.channels)))
        images = attrs.evolve(row, axes=(Axis("ny", ny), Axis("nx", nx), Axis("channel", self.channels)))
        h: Edge = Reshape(units, images)(Dense()(z, part["W"], part["b"]))
        return h

    def _number(self, value: float) -> Edge:
        return tg.constant(value, Spec("scalar", (), self.dtype))


def _orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Orthonormal rows (or columns, if there are fewer of them), times sqrt(max(outputs / inputs, 1))."""
    inputs, outputs = shape
    q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
    q = q * np.sign(np.diagonal(r))
    return (q.T if inputs < outputs else q) * math.sqrt(max(outputs / inputs, 1.0))


def _fan_in(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A normal distribution cut off at 2 deviations; 0.8796 is what the cut leaves of its deviation."""
    drawn = rng.normal(size=shape)
    while (outside := np.abs(drawn) > 2.0).any():
        drawn[outside] = rng.normal(size=int(outside.sum()))
    return drawn / 0.87962566 / math.sqrt(math.prod(shape[:-1]))
