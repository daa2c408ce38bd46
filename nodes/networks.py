"""Networks from coordinates to a field: multilayer perceptrons, sine networks, Fourier features."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any, ClassVar

import attrs
import numpy as np

import tograph as tg
from tograph import Axis, Edge, Node, Port, Spec, SpecError

from .grid import Grid
from .layers import Dense, LeakyRelu, Sin
from .normalization import Affine, Normalize
from .weights import Draw, Layout, Network, Reshape, constant_draw, uniform_draw


def coordinates(grid: Grid, dtype: str = "real") -> Edge:
    """The element centres as a constant, each axis scaled to [-1, 1]: (ny, nx[, nz], dim), the last axis (x, y[, z]).

    An axis with a single element is at 0. `dtype`: as in `Spec`.
    """
    points = grid.centroids()
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = np.where(high > low, 2.0 * (points - low) / np.where(high > low, high - low, 1.0) - 1.0, 0.0)
    spec = Spec("array", (*grid.field().axes, Axis("coordinate", grid.dim)), dtype)
    return tg.constant(scaled.reshape(spec.shape), spec, name="x")


class _Layers(Network):
    """What networks of dense layers have in common: `depth` layers of `width` units, then a linear one.

    Without `results` the last layer gives one number per point and no axis of its own: a field.
    """

    inputs = (Port("x"), Port("theta", "params|vector|array"))
    outputs = (Port("y"),)
    features: int
    width: int
    depth: int
    results: int | None
    normalization: ClassVar[Node] = Normalize()

    def infer(self, *specs: Spec) -> Spec:
        """The points of x, with `results` as last axis or as a field."""
        x, theta = specs
        if len(x.shape) < 2 or x.shape[-1] != self.features:
            message = f"is {x.label()}, but the network takes {self.features} numbers per point"
            raise SpecError(message, port="x", fix="Give them as the last axis, e.g. by `coordinates(grid)`")
        self.require_weights(theta)
        last = () if self.results is None else (Axis("result", self.results),)
        kind = "field" if self.results is None else "array"
        return Spec(kind, (*x.axes[:-1], *last), self.dtype)

    def _sizes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each dense layer."""
        sizes = [self.features, *[self.width] * self.depth, self.results or 1]
        return list(itertools.pairwise(sizes))

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """Layer by layer."""
        x, theta = edges
        assert specs[0] is not None
        h, part = self.in_dtype(x, specs[0]), self.parts(theta)
        for i in range(self.depth):
            z = Dense()(h, part[f"W{i}"], part[f"b{i}"])
            if f"a{i}" in part:
                z = Affine()(self.normalization(z), part[f"a{i}"], part[f"c{i}"])
            h = self.sigma(z)
        y: Edge = Dense()(h, part[f"W{self.depth}"], part[f"b{self.depth}"])
        if self.results is not None:
            return y
        made = self.infer(*(spec for spec in specs[:2] if spec is not None))
        with_axis = attrs.evolve(made, kind="array", axes=(*made.axes, Axis("result", 1)))
        field: Edge = Reshape(with_axis, made)(y)
        return field

    @property
    def sigma(self) -> Node:
        """The elementwise node after each hidden layer."""
        raise NotImplementedError


@tg.node
class MLP(_Layers):
    """A multilayer perceptron: h <- sigma(h W + b), `depth` times, then y = h W + b.

    With `normalize`, h <- sigma(a N(h W + b) + c), where N has mean 0 and variance 1 over all points (batch
    normalisation whose batch is the grid) and a, c are learned; then the value at a point depends on the others.

    x: (..., features), e.g. `coordinates(grid)`; theta: `weights_spec`; y: field of the points of x, or (...,
    results). Dimensionless. First weights: W uniform in +-sqrt(6 / (inputs + outputs)), b = 0 (Glorot & Bengio,
    AISTATS 2010).

    Attributes:
        features: numbers per point.
        width, depth: units of a hidden layer, number of these.
        results: numbers that it gives per point, as last axis; None: one, without an axis.
        dtype: precision of theta and y: "real" (that of the program), "float32" or "float64"; x is cast to it.
        activation: any elementwise node, e.g. `Tanh()`.
        normalize: see above.

    Source: Chandrasekhar & Suresh, TOuNN, Struct. Multidisc. Optim. 63:1135 (2021): width 20, depth 5, leaky ReLU,
    normalised.
    """

    features: int = 2
    width: int = 64
    depth: int = 3
    results: int | None = None
    activation: Any = attrs.field(factory=LeakyRelu)
    normalize: bool = False
    dtype: str = attrs.field(default="real", kw_only=True)

    def layout(self) -> Layout:
        """W0, b0, [a0, c0], W1, ..."""
        made: dict[str, tuple[tuple[int, ...], Draw]] = {}
        for i, (m, k) in enumerate(self._sizes()):
            made |= {f"W{i}": ((m, k), uniform_draw(math.sqrt(6.0 / (m + k)))), f"b{i}": ((k,), constant_draw(0.0))}
            if self.normalize and i < self.depth:
                made |= {f"a{i}": ((k,), constant_draw(1.0)), f"c{i}": ((k,), constant_draw(0.0))}
        return made

    @property
    def sigma(self) -> Node:
        """The activation."""
        found: Node = self.activation
        return found


@tg.node
class Siren(_Layers):
    """A network of sines: h <- sin(omega (h W + b)), `depth` times, then y = h W + b.

    x, theta, y, features, width, depth, results, dtype: as for `MLP`. First weights: W uniform in +-1/m in the
    first layer and in +-sqrt(6 / m) / omega in the others, m the inputs of the layer, which keeps the distribution of
    h from layer to layer; b uniform in +-1/sqrt(m).

    Attributes:
        omega: frequency, > 0: how fast the field may vary.

    Source: Sitzmann, Martel, Bergman, Lindell & Wetzstein, Implicit neural representations with periodic activation
    functions, NeurIPS 33:7462 (2020); biases as in their code.
    """

    features: int = 2
    width: int = 64
    depth: int = 3
    results: int | None = None
    omega: float = 30.0
    dtype: str = attrs.field(default="real", kw_only=True)

    def layout(self) -> Layout:
        """W0, b0, W1, ..."""
        made: dict[str, tuple[tuple[int, ...], Draw]] = {}
        for i, (m, k) in enumerate(self._sizes()):
            bound = 1.0 / m if i == 0 else math.sqrt(6.0 / m) / self.omega
            made |= {f"W{i}": ((m, k), uniform_draw(bound)), f"b{i}": ((k,), uniform_draw(1.0 / math.sqrt(m)))}
        return made

    @property
    def sigma(self) -> Node:
        """sin(omega x)."""
        return Sin(omega=self.omega)


@tg.node
class FourierFeatures(Node):
    """y = (cos 2 pi B x, sin 2 pi B x), with a fixed B of m rows drawn from a normal distribution.

    x: (..., d); y: (..., 2 m). Dimensionless.

    Attributes:
        m: frequencies.
        scale: standard deviation of the entries of B, in cycles per unit of x; the larger, the finer.
        seed: of NumPy's generator, for B.

    Source: Tancik et al., Fourier features let networks learn high frequency functions in low dimensional domains,
    NeurIPS 33:7537 (2020).
    """

    inputs = (Port("x"),)
    outputs = (Port("y"),)
    m: int = 64
    scale: float = 1.0
    seed: int = 0

    def infer(self, *specs: Spec) -> Spec:
        """x with the features as last axis."""
        (x,) = specs
        if len(x.shape) < 2:
            raise SpecError(f"is {x.label()}", port="x", fix="Give coordinates as the last axis")
        return attrs.evolve(x, kind="array", axes=(*x.axes[:-1], Axis("feature", 2 * self.m)), unit=None)

    def frequencies(self, d: int) -> np.ndarray:
        """B, shape (m, d)."""
        return np.random.default_rng(self.seed).normal(scale=self.scale, size=(self.m, d))

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """Sines, half of them shifted by a quarter period."""
        (x,) = specs
        assert x is not None
        d = x.shape[-1]
        W = 2.0 * math.pi * np.tile(self.frequencies(d), (2, 1)).T
        b = np.repeat([0.5 * math.pi, 0.0], self.m)
        axes = (Axis("coordinate", d), Axis("feature", 2 * self.m))
        weights = tg.constant(W, Spec("array", axes, x.dtype)), tg.constant(b, Spec("array", axes[1:], x.dtype))
        y: Edge = Sin()(Dense()(edges[0], *weights))
        return y


@tg.node
class FourierMLP(_Layers):
    """An `MLP` of `FourierFeatures`: h = (cos 2 pi B x, sin 2 pi B x), then as `MLP` without normalisation.

    x, theta, y, width, depth, results, activation, dtype: as for `MLP`; features: numbers per point of x.

    Attributes:
        m, scale, seed: as for `FourierFeatures`; B is fixed, and no part of theta.
    """

    features: int = 2
    width: int = 64
    depth: int = 3
    results: int | None = None
    m: int = 64
    scale: float = 1.0
    seed: int = 0
    activation: Any = attrs.field(factory=LeakyRelu)
    dtype: str = attrs.field(default="real", kw_only=True)

    @property
    def first(self) -> FourierFeatures:
        """The features."""
        return FourierFeatures(self.m, self.scale, self.seed)

    @property
    def sigma(self) -> Node:
        """The activation."""
        found: Node = self.activation
        return found

    def layout(self) -> Layout:
        """That of the `MLP`."""
        return self.mlp().layout()

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """The features, then the network."""
        x, theta = edges
        assert specs[0] is not None
        y: Edge = self.mlp()(self.first(self.in_dtype(x, specs[0])), theta)
        return y

    def mlp(self) -> MLP:
        """What follows the features."""
        return MLP(2 * self.m, self.width, self.depth, self.results, self.activation, dtype=self.dtype)


def named_parts(linears: Iterable[Any], scales: Iterable[Any], offsets: Iterable[Any]) -> dict[str, Any]:
    """The weights of a framework's linear layers, and of the normalisations behind them, by the names of `layout()`."""
    made: dict[str, Any] = {}
    for i, linear in enumerate(linears):
        made |= {f"W{i}": linear.weight.T, f"b{i}": linear.bias}
    for i, (a, c) in enumerate(zip(scales, offsets, strict=True)):
        made |= {f"a{i}": a, f"c{i}": c}
    return made
