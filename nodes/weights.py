"""Weights of a network: one flat vector, cut into the arrays of its layers and put together again.

One vector, because then every optimiser, checkpoint, batch over seeds and gradient check treats weights as
what they are: a design like any other.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Axis, Edge, Node, Port, Spec, SpecError, TographError
from tograph.elementwise import Cast

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
"""Draws the first values of an array of weights."""

Layout = Mapping[str, tuple[tuple[int, ...], Draw]]
"""Name of each array of weights, in the order of the vector -> its shape and how its first values are drawn."""


@tg.node
class Unpack(Node):
    """The arrays of `shapes`, cut one after the other from a vector that holds just their numbers.

    theta: (n,) with n the sum of all sizes; one output per shape. Its cotangent is `Pack` of theirs.
    """

    inputs = (Port("theta", "params|array|vector"),)
    linear = ("theta",)
    shapes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]

    @property
    def outputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """One per array."""
        return tuple(Port(name) for name in self.names)

    def infer(self, *specs: Spec) -> tuple[Spec, ...]:
        """The arrays, in the dtype of theta."""
        (theta,) = specs
        count = sum(map(math.prod, self.shapes))
        if theta.shape != (count,):
            fix = "Declare it by `net.weights_spec`"
            raise SpecError(f"is {theta.label()}, but the network has {count} weights", port="theta", fix=fix)
        axes = (tuple(Axis(f"axis{i}", n) for i, n in enumerate(shape)) for shape in self.shapes)
        return tuple(attrs.evolve(theta, kind="array", axes=one) for one in axes)

    def forward(self, xp: Any, *values: Any) -> Any:
        """Slices, reshaped."""
        (theta,) = values
        ends = np.cumsum([0, *map(math.prod, self.shapes)])
        parts = [xp.reshape(theta[ends[i] : ends[i + 1]], shape) for i, shape in enumerate(self.shapes)]
        return tuple(parts) if len(parts) > 1 else parts[0]

    def pull_back(self, port: str, ct: Any, values: dict[str, Any]) -> Edge:
        """All cotangents, one after the other."""
        packed: Edge = Pack()(*(ct if isinstance(ct, list) else [ct]))
        return packed


@tg.node
class Pack(Node):
    """All numbers of some arrays as one vector, one array after the other."""

    inputs = (Port("parts", variadic=True),)
    outputs = (Port("theta"),)

    def infer(self, *specs: Spec) -> Spec:
        """A vector of all numbers, in the dtype of the first array."""
        return Spec("array", (Axis("weight", sum(spec.size for spec in specs)),), specs[0].dtype)

    def forward(self, xp: Any, *values: Any) -> Any:
        """Flattened, joined."""
        return xp.concat([xp.reshape(value, (-1,)) for value in values])


@tg.node
class Reshape(Node):
    """The numbers of x, in their order, as another array.

    Attributes:
        source: the spec of x.
        target: the spec of y, of as many numbers and the same dtype.
    """

    inputs = (Port("x"),)
    outputs = (Port("y"),)
    linear = ("x",)
    source: Spec
    target: Spec

    def infer(self, *specs: Spec) -> Spec:
        """`target`."""
        if specs[0].shape != self.source.shape or self.source.size != self.target.size:
            message = f"is {specs[0].label()}, to be read as {self.source.label()} and made {self.target.label()}"
            raise SpecError(message, port="x", fix="All three must hold as many numbers")
        return self.target

    def forward(self, xp: Any, *values: Any) -> Any:
        """As `target`."""
        return xp.reshape(values[0], self.target.shape)


@tg.graph_vjp(Reshape, "x")
def _(node: Reshape, ct: Edge) -> Edge:
    back: Edge = Reshape(node.target, node.source)(ct)
    return back


class Network(Node):
    """Base of networks whose weights are one vector `theta`, the last input.

    A subclass has a field `dtype`, the precision of weights and result: "real" (that of the program), "float32" or
    "float64". It says by `layout()` which arrays it holds, and uses `parts(theta)` in `expand`.
    """

    dtype: str

    def layout(self) -> Layout:
        """The arrays of weights."""
        raise NotImplementedError

    @property
    def weights_spec(self) -> Spec:
        """The spec for a source of weights."""
        count = sum(math.prod(shape) for shape, _ in self.layout().values())
        return Spec("params", (Axis("weight", count),), self.dtype)

    def initial(self, seed: int = 0) -> np.ndarray:
        """First weights, shape (n,): drawn by NumPy's generator, so the same numbers for every backend."""
        rng = np.random.default_rng(seed)
        return np.concatenate([np.ravel(draw(rng, shape)) for shape, draw in self.layout().values()])

    def source(self, name: str = "theta", seed: int = 0) -> Edge:
        """A graph input for the weights, without bounds, whose default is `initial(seed)`."""
        return tg.source(name, self.weights_spec, default=self.initial(seed), lower=-np.inf, upper=np.inf)

    def module(self, backend: str, theta: np.ndarray) -> Any:
        """The same network in the framework's own terms, with these weights: for use without tograph.

        An Equinox module for "jax", a `torch.nn.Module` for "torch"; called like the network without theta. Its
        precision is that of the network, float64 for "real".

        Raises:
            TographError: an unknown backend, or weights of another number.
        """
        if backend not in ("jax", "torch"):
            raise TographError(f"there are no modules of {backend!r}. Use 'jax' or 'torch'")
        count = self.weights_spec.size
        if np.shape(theta) != (count,):
            raise TographError(f"the {self.title} has {count} weights, got an array of shape {np.shape(theta)}")
        return _half(backend).module(self, self.cut(np.asarray(theta)))

    def weights_of(self, module: Any) -> np.ndarray:
        """theta of a module that `module` has made, whatever has become of its weights since; float64."""
        packages = {base.__module__.partition(".")[0] for base in type(module).__mro__}
        found = _half("torch" if "torch" in packages else "jax").weights(module)
        return np.concatenate([np.ravel(found[name]) for name in self.layout()]).astype(np.float64)

    def cut(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays of weights by name, as values."""
        shapes = {name: shape for name, (shape, _) in self.layout().items()}
        made = Unpack(tuple(shapes.values()), tuple(shapes)).forward(np, theta)
        return dict(zip(shapes, made if isinstance(made, tuple) else (made,), strict=True))

    def parts(self, theta: Edge) -> dict[str, Edge]:
        """The arrays of weights by name."""
        layout = self.layout()
        made = Unpack(tuple(shape for shape, _ in layout.values()), tuple(layout))(theta)
        return dict(zip(layout, made if isinstance(made, tuple) else (made,), strict=True))

    def require_weights(self, theta: Spec) -> None:
        """Raise `SpecError` unless theta is a vector of the right length and dtype."""
        wanted = self.weights_spec
        if theta.shape != wanted.shape or theta.dtype != wanted.dtype:
            fix = f"Declare it by `weights_spec` or `source()` of the {self.title}"
            raise SpecError(f"is {theta.label()}, must be {wanted.label()}", port="theta", fix=fix)

    def in_dtype(self, x: Edge, spec: Spec) -> Edge:
        """x in the precision of the network."""
        if spec.dtype == self.dtype or self.dtype == "real":
            return x
        cast: Edge = Cast(self.dtype)(x)
        return cast


def uniform_draw(bound: float) -> Draw:
    """Uniform in +-bound."""
    return lambda rng, shape: rng.uniform(-bound, bound, shape)


def normal_draw(scale: float) -> Draw:
    """Normal, with this standard deviation."""
    return lambda rng, shape: rng.normal(scale=scale, size=shape)


def constant_draw(value: float) -> Draw:
    """One number everywhere."""
    return lambda rng, shape: np.full(shape, value)


def _half(backend: str) -> Any:
    """The half of the modules that needs a framework."""
    package = "equinox" if backend == "jax" else "torch"
    try:
        return importlib.import_module(f"._{package}", __package__)
    except ImportError as error:
        raise TographError(f"modules for {backend} need {package}. Install it: pip install {package}") from error
