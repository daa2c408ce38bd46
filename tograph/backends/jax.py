"""JAX: every device segment is one jitted function; 64-bit mode is on inside a program only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..spec import Spec
from .base import Backend, map_arrays


class JaxBackend(Backend):
    """JAX at one precision."""

    name = "jax"
    xp = jnp

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """64-bit types for float64 programs; the process-wide setting is left alone."""
        return jax.enable_x64(self.dtype == "float64")

    def scalar(self, value: float) -> Any:
        """A NumPy scalar: JAX treats it as a literal, which XLA can fold."""
        return np.asarray(value, dtype=self.dtype)

    def array(self, value: Any, dtype: str) -> Any:
        """As a JAX array."""
        return jnp.asarray(value, dtype=dtype)

    def to_numpy(self, value: Any) -> Any:
        """A view on the CPU."""
        return map_arrays(lambda x: np.asarray(x) if isinstance(x, jax.Array) else x, value)

    def is_native(self, value: Any) -> bool:
        """A concrete or traced JAX array."""
        return isinstance(value, jax.Array)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`jax.jit`."""
        return jax.jit(function)

    def vjp(self, function: Callable[[Any], Any], x: Any, ct: Any) -> Any:
        """`jax.vjp`."""
        return jax.vjp(function, x)[1](ct)[0]

    def jvp(self, function: Callable[[Any], Any], x: Any, t: Any) -> Any:
        """`jax.jvp`."""
        return jax.jvp(function, (x,), (t,))[1]

    def transpose(self, function: Callable[[Any], Any], like: tuple[Spec, ...], ct: Any) -> Any:
        """`jax.linear_transpose`."""
        return jax.linear_transpose(function, self.zeros(like))(ct)[0]
