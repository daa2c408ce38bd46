"""What the compiler asks of an array framework. One small class per framework implements it."""

from __future__ import annotations

import abc
import contextlib
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

    def __init__(self, dtype: str) -> None:
        if dtype not in DTYPES:
            raise TographError(f"dtype {dtype!r} is not supported. Use one of {', '.join(DTYPES)}")
        self.dtype = dtype

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

    @abc.abstractmethod
    def to_numpy(self, value: Any) -> Any:
        """Framework array(s) -> NumPy (no copy on the CPU); tuples item by item; other objects as they are."""

    @abc.abstractmethod
    def is_native(self, value: Any) -> bool:
        """Whether `value` is an array of this framework."""

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile a pure function of arrays; the default runs it as it is."""
        return function

    def vjp(self, function: Callable[[Any], Any], x: Any, ct: Any) -> Any:
        """(d function / dx)^T ct by the framework's AD."""
        raise TographError(f"the {self.name} backend has no automatic differentiation")

    def jvp(self, function: Callable[[Any], Any], x: Any, t: Any) -> Any:
        """(d function / dx) t by the framework's AD."""
        raise TographError(f"the {self.name} backend has no automatic differentiation")

    def transpose(self, function: Callable[[Any], Any], like: tuple[Spec, ...], ct: Any) -> Any:
        """The transpose of a linear function, applied to ct; `like` are the specs of its argument(s)."""
        raise TographError(f"the {self.name} backend cannot transpose a linear function")

    def zeros(self, like: tuple[Spec, ...]) -> Any:
        """Zero array(s) of these specs."""
        made = tuple(self.array(np.zeros(spec.shape), self.dtype_of(spec)) for spec in like)
        return made if len(made) != 1 else made[0]


def map_arrays(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply to an array, or to each array of a tuple."""
    return tuple(map_arrays(function, item) for item in value) if isinstance(value, tuple) else function(value)
