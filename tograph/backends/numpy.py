"""NumPy: the reference for forward values, and what host nodes run on. No compiler; AD of pointwise functions only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy
import numpy as np

from .base import Backend
from .jets import rowwise


class NumpyBackend(Backend):
    """Plain NumPy."""

    name = "numpy"
    xp = array_api_compat.numpy

    def array(self, value: Any, dtype: str) -> Any:
        """As a NumPy array."""
        return np.asarray(value, dtype=dtype)

    def solve(self, matrix: Any, rhs: Any) -> Any:
        """NaN where `numpy.linalg.solve` would raise."""
        try:
            return np.linalg.solve(matrix, rhs)
        except np.linalg.LinAlgError:
            return np.full_like(rhs, np.nan)

    def jacobian(self, function: Callable[[Any], Any], x: Any) -> Any:
        """By central differences: enough for the steps of a Newton iteration, which ends by its residual."""
        steps = np.cbrt(np.finfo(x.dtype).eps) * np.maximum(1.0, np.abs(x)).ravel()
        moves = (np.eye(x.size) * steps).reshape(x.size, *x.shape)
        columns = [(function(x + d) - function(x - d)) / (2.0 * h) for d, h in zip(moves, steps, strict=True)]
        return np.stack(columns, axis=-1).reshape((*np.shape(columns[0]), *x.shape))

    def row_gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        """By jets."""
        return rowwise(function, x)[0]

    def row_hessian(self, function: Callable[[Any], Any], x: Any) -> Any:
        """By jets."""
        return rowwise(function, x)[1]

    def to_numpy(self, value: Any) -> Any:
        """Already NumPy."""
        return value

    def is_native(self, value: Any) -> bool:
        """Any NumPy array."""
        return isinstance(value, np.ndarray)
