"""What is measured on an edge: some ten numbers, computed where the value is, never sent to the host one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import numpy as np

from ..backends.base import Backend
from ..backends.numpy import NumpyBackend
from ..node import Node, Port, node
from ..spec import Axis, Spec, scalar

COLUMNS = ("size", "norm", "min", "max", "mean", "zeros", "nan", "infinite", "bits")
"""The entries of one row, in order; see `Statistics`."""

REFERENCE = NumpyBackend("float64")


@attrs.frozen
class Statistics:
    """What is known of one value. Norm, minimum, maximum and mean are those of its finite entries.

    Attributes:
        size: numbers in it; of an operator or dyad those of both parts.
        norm: 2-norm. Scaled while it is summed, so that squares neither overflow nor underflow.
        min, max, mean: NaN where no entry is finite.
        zeros, nan, infinite: how many entries are exactly 0, not a number, and infinite of either sign.
        bits: of one number: 64, 32, ...
    """

    size: int
    norm: float
    min: float
    max: float
    mean: float
    zeros: int
    nan: int
    infinite: int
    bits: int

    @property
    def finite(self) -> bool:
        """Whether every entry is finite."""
        return not (self.nan or self.infinite)

    @property
    def zero(self) -> bool:
        """Whether every entry is exactly 0."""
        return self.zeros == self.size

    @property
    def rms(self) -> float:
        """Root mean square: norm / sqrt(size)."""
        return self.norm / math.sqrt(self.size) if self.size else 0.0

    @property
    def sparsity(self) -> float:
        """Fraction of entries that are exactly 0, in [0, 1]."""
        return self.zeros / self.size if self.size else 0.0

    @classmethod
    def of_row(cls, row: Any) -> Statistics:
        """From the numbers that `Measure` gives."""
        numbers = dict(zip(COLUMNS, (float(x) for x in row), strict=True))
        counts = {"size", "zeros", "nan", "infinite", "bits"}
        made = cls(**{name: int(x) if name in counts else x for name, x in numbers.items()})  # type: ignore[arg-type]
        none = made.nan + made.infinite == made.size
        return attrs.evolve(made, min=math.nan, max=math.nan, mean=math.nan) if none else made

    @classmethod
    def of_value(cls, value: Any) -> Statistics:
        """Of a NumPy array or a pair of them."""
        with np.errstate(all="ignore"):
            return cls.of_row(row_of(REFERENCE.xp, value))


def row_of(xp: Any, value: Any) -> Any:
    """The statistics of an array, or of a pair of arrays taken together, as one vector of `COLUMNS`."""
    parts = value if isinstance(value, tuple) else (value,)
    bits = min(8 * part.dtype.itemsize for part in parts)
    real = [_as_real(xp, xp.asarray(part)) for part in parts]
    x = real[0] if len(real) == 1 else xp.concat([xp.reshape(part, (-1,)) for part in real])
    size = math.prod(x.shape)
    if size == 0:
        return xp.stack([xp.asarray(number, dtype=x.dtype) for number in (*([0.0] * (len(COLUMNS) - 1)), bits)])
    finite = xp.isfinite(x)
    low = xp.min(xp.where(finite, x, xp.full_like(x, math.inf)))
    high = xp.max(xp.where(finite, x, xp.full_like(x, -math.inf)))
    none = high < low
    largest = xp.where(none, xp.zeros_like(low), xp.maximum(xp.abs(low), xp.abs(high)))
    unit = xp.where(finite, x, xp.zeros_like(x)) / xp.where(largest > 0.0, largest, xp.ones_like(largest))
    nan, lost = _count(xp, xp.isnan(x)), _count(xp, ~finite)
    whole = xp.full_like(low, size)
    kept = xp.where(none, xp.ones_like(low), whole - lost)
    mean = largest * (xp.sum(unit) / kept)
    norm = largest * xp.sqrt(xp.sum(unit * unit))
    numbers = (whole, norm, low, high, mean, _count(xp, x == 0.0), nan, lost - nan, xp.full_like(low, bits))
    return xp.stack([xp.astype(number, x.dtype) for number in numbers])


def _as_real(xp: Any, x: Any) -> Any:
    return x if "float" in str(x.dtype) else xp.astype(x, xp.float32)


def _count(xp: Any, test: Any) -> Any:
    return xp.sum(xp.astype(test, xp.int32))


@node
class Measure(Node):
    """The statistics of one value, as a vector of `COLUMNS`; see `Statistics`."""

    inputs = (Port("x"),)

    def infer(self, *specs: Spec) -> Spec:
        """One number per column."""
        return Spec("array", (Axis("statistic", len(COLUMNS)),))

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """`row_of`, traced once for all values of one shape."""
        return backend.compile(partial(row_of, backend.xp))


@node
class Cosine(Node):
    """cos = a . b / (|a| |b|), in [-1, 1]; NaN where one of them is 0 or not finite."""

    inputs = (Port("a"), Port("b"))

    def infer(self, *specs: Spec) -> Spec:
        """A scalar."""
        return scalar()

    def forward(self, xp: Any, *values: Any) -> Any:
        """Of both scaled to maximum 1, so that nothing overflows."""
        a, b = (x / xp.max(xp.abs(x)) for x in values)
        return xp.sum(a * b) / xp.sqrt(xp.sum(a * a) * xp.sum(b * b))


@node
class Pack(Node):
    """Arrays of one shape as one, along a new first axis: all that a segment measures leaves it together."""

    inputs = (Port("parts", variadic=True),)

    def infer(self, *specs: Spec) -> Spec:
        """One axis more."""
        return Spec("array", (Axis("part", len(specs)), *specs[0].axes))

    def forward(self, xp: Any, *values: Any) -> Any:
        """Stack, in the widest precision among them."""
        wide = max((value.dtype for value in values), key=lambda dtype: dtype.itemsize)
        return xp.stack([xp.astype(value, wide) for value in values])
