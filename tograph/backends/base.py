"""What the compiler asks of an array framework. One small class per framework implements it."""

from __future__ import annotations

import abc
import contextlib
import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import TographError
from ..spec import Spec

DTYPES = ("float64", "float32")


class Backend(abc.ABC):
    """An array framework at one precision.

    Args:
        dtype: what "real" means: "float64" or "float32".

    Raises:
        TographError: for another dtype.
    """

    name: str
    xp: Any
    """The array namespace handed to `Node.forward` and to rules (array API standard)."""

    rolls: bool = False
    """Whether long runs of equal steps are compiled as loops (`scan`), because compilation is slow."""

    eager: bool = True
    """Whether steps run one by one as they are written, so that it matters when a value is let go."""

    unrolled: bool = False
    """Whether loops run to their limit (see `until`)."""

    def __init__(self, dtype: str) -> None:
        if dtype not in DTYPES:
            raise TographError(f"dtype {dtype!r} is not supported. Use one of {', '.join(DTYPES)}")
        self.dtype = dtype

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for backends that compile alike."""
        return type(self), self.dtype

    @property
    def real(self) -> int:
        """Bytes of a real number."""
        return 8 if self.dtype == "float64" else 4

    @property
    def on_cpu(self) -> bool:
        """Whether arrays are made in the memory of the processor, where caches decide how loops are best cut."""
        return True

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Context in which everything of this backend runs (precision, no gradient tape)."""
        return contextlib.nullcontext()

    def dtype_of(self, spec: Spec) -> str:
        """The concrete dtype of values of a spec."""
        return {"real": self.dtype, "integer": "int32"}.get(spec.dtype, spec.dtype)

    def scalar(self, value: float) -> Any:
        """A number as a zero-dimensional array of this backend."""
        return self.array(np.asarray(value), self.dtype)

    @abc.abstractmethod
    def array(self, value: Any, dtype: str) -> Any:
        """NumPy or framework array -> framework array of this dtype (no copy where possible)."""

    def argument(self, value: Any, dtype: str) -> Any:
        """As `array`, or what a compiled function takes in its place."""
        return self.array(value, dtype)

    def to_native(self, value: Any) -> Any:
        """What `argument` has left as it was, as framework array(s)."""
        return value

    @abc.abstractmethod
    def to_numpy(self, value: Any) -> Any:
        """Framework array(s) -> NumPy (no copy on the CPU); tuples item by item; other objects as they are."""

    @abc.abstractmethod
    def is_native(self, value: Any) -> bool:
        """Whether `value` is an array of this framework."""

    def compile(self, function: Callable[..., Any], static: tuple[int, ...] = ()) -> Callable[..., Any]:
        """Compile a pure function of arrays (but for `static` arguments); the default runs it as it is."""
        return function

    def compile_once(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """As `compile`, for what runs a single time."""
        return self.compile(function)

    def scan(self, count: int, body: Callable[..., Any], state: Any, arrays: tuple[Any, ...]) -> tuple[Any, Any]:
        """state, kept = body(i, state, *arrays) for i = 0, 1, ...; the last state, and what was kept, stacked."""
        rows = []
        for i in range(count):
            state, kept = body(i, state, *arrays)
            rows.append(kept)
        return state, tuple(self.xp.stack(column) for column in zip(*rows, strict=True))

    def vjp(self, function: Callable[[Any], Any], x: Any, ct: Any) -> Any:
        """(d function / dx)^T ct by the framework's AD."""
        raise TographError(f"the {self.name} backend has no automatic differentiation")

    def pullback(self, function: Callable[[Any], Any], x: Any) -> Callable[[Any], Any]:
        """ct -> (d function / dx)^T ct, for many ct: what does not depend on ct is computed once."""
        return lambda ct: self.vjp(function, x, ct)

    def jvp(self, function: Callable[[Any], Any], x: Any, t: Any) -> Any:
        """(d function / dx) t by the framework's AD."""
        raise TographError(f"the {self.name} backend has no automatic differentiation")

    def transpose(self, function: Callable[[Any], Any], like: tuple[Spec, ...], ct: Any) -> Any:
        """The transpose of a linear function, applied to ct; `like` are the specs of its argument(s)."""
        raise TographError(f"the {self.name} backend cannot transpose a linear function")

    def jacobian(self, function: Callable[[Any], Any], x: Any) -> Any:
        """The full Jacobian by AD, of shape (*output, *x)."""
        raise TographError(f"the {self.name} backend has no automatic differentiation")

    def row_gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        """d y / d x (..., k) of y (...) = function(x (..., k)) where each y depends on its own row of x alone."""
        return self.vjp(function, x, self.xp.ones_like(x[..., 0]))

    def row_hessian(self, function: Callable[[Any], Any], x: Any) -> Any:
        """The second derivatives (..., k, k), as for `row_gradient`."""
        xp = self.xp
        ways = [xp.broadcast_to(row, x.shape) for row in xp.eye(x.shape[-1], dtype=x.dtype)]
        return xp.stack([self.jvp(lambda z: self.row_gradient(function, z), x, way) for way in ways], axis=-1)

    def solve(self, matrix: Any, rhs: Any) -> Any:
        """matrix^-1 rhs (dense, rhs with columns); not finite where the matrix is singular, without raising."""
        return self.xp.linalg.solve(matrix, rhs)

    def adopt(self, function: Callable[..., Any]) -> tuple[Callable[..., Any], np.ndarray | None]:
        """A function as a node may keep it, and all its weights as one vector; None where it has none."""
        return function, None

    def with_weights(self, function: Callable[..., Any], weights: Any) -> Callable[..., Any]:
        """The adopted function with other weights: a vector of this backend."""
        raise TographError(f"the {self.name} backend knows no functions with weights")

    def batch(self, function: Callable[..., Any], *values: Any, varying: tuple[bool, ...] = (True,)) -> Any:
        """function(*values) for every member along axis 0 of the values that vary, stacked; pairs item by item."""

        def pick(i: int) -> list[Any]:
            return [map_arrays(lambda x: x[i], v) if moves else v for v, moves in zip(values, varying, strict=True)]

        first = next(value for value, moves in zip(values, varying, strict=True) if moves)
        while isinstance(first, tuple):
            first = first[0]
        count = first.shape[0]
        return self._stacked([function(*pick(i)) for i in range(count)])

    def _stacked(self, made: list[Any]) -> Any:
        if isinstance(made[0], tuple):
            return tuple(self._stacked(list(parts)) for parts in zip(*made, strict=True))
        return self.xp.stack(made)

    def stack(self, parts: list[Any]) -> Any:
        """Stack NumPy or framework arrays along a new first axis."""
        if any(self.is_native(part) for part in parts):
            return self.xp.stack([self.array(part, self.dtype) for part in parts])
        return np.stack(parts)

    def add_product(self, x: Any, a: Any, b: Any) -> Any:
        """x + a * b; x may be overwritten."""
        return x + a * b

    def apart(self, x: Any, after: Any = None) -> Any:
        """x, with which nothing computed before shares its value; eager frameworks compute what they are told."""
        return x

    def is_complex(self, value: Any) -> bool:
        """Whether an array holds complex numbers."""
        return "complex" in str(value.dtype)

    def repeat(self, count: int, body: Callable[[Any], Any], state: Any) -> Any:
        """state = body(state), `count` times; a tuple of arrays stays a tuple of arrays."""
        for _ in range(count):
            state = body(state)
        return state

    def until(self, going: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, limit: int) -> Any:
        """state = body(state) while going(state), at most `limit` times.

        On an `unrolling` backend always `limit` times, with the state frozen once it is done.
        """
        if self.unrolled:
            return self.repeat(limit, lambda s: self._frozen(going(s), body(s), s), state)
        return self._until(going, body, state, limit)

    def _frozen(self, going: Any, new: Any, old: Any) -> Any:
        if isinstance(new, tuple):
            return tuple(self._frozen(going, n, o) for n, o in zip(new, old, strict=True))
        return self.xp.where(going, new, old)

    def _until(self, going: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, limit: int) -> Any:
        for _ in range(limit):
            if not bool(going(state)):
                break
            state = body(state)
        return state

    def fold(self, body: Callable[[Any, Any], Any], state: Any, rows: tuple[Any, ...]) -> Any:
        """state = body(state, (row of each array)) along the first axis of some arrays."""
        for row in zip(*rows, strict=True):
            state = body(state, row)
        return state

    def window(self, x: Any, start: Any, length: int) -> Any:
        """x[..., start : start + length]; in a loop, `start` may be computed."""
        return x[..., int(start) : int(start) + length]

    def add_window(self, x: Any, start: Any, part: Any) -> Any:
        """x with `part` added to x[..., start : start + its length]; x itself may be overwritten."""
        x[..., int(start) : int(start) + part.shape[-1]] += part
        return x

    def unrolling(self) -> Backend:
        """This backend with loops of fixed length, which reverse-mode AD can follow."""
        made = copy.copy(self)
        made.unrolled = True
        return made

    def zeros(self, like: tuple[Spec, ...]) -> Any:
        """Zero array(s) of these specs."""
        made = tuple(self.array(np.zeros(spec.shape), self.dtype_of(spec)) for spec in like)
        return made if len(made) != 1 else made[0]


def map_arrays(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply to an array, or to each array of a tuple."""
    return tuple(map_arrays(function, item) for item in value) if isinstance(value, tuple) else function(value)
