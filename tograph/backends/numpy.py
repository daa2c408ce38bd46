"""NumPy: the reference for forward values, and what host nodes run on. No compiler, no AD."""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy
import numpy as np

from .base import Backend


class NumpyBackend(Backend):
    """Plain NumPy."""

    name = "numpy"
    xp = array_api_compat.numpy

    def array(self, value: Any, dtype: str) -> Any:
        """As a NumPy array."""
        return np.asarray(value, dtype=dtype)

    def to_numpy(self, value: Any) -> Any:
        """Already NumPy."""
        return value

    def is_native(self, value: Any) -> bool:
        """Any NumPy array."""
        return isinstance(value, np.ndarray)
