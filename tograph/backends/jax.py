"""JAX: every device segment is one jitted function; 64-bit mode is on inside a program only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from ..errors import TographError
from ..spec import Spec
from .base import Backend, map_arrays


class JaxBackend(Backend):
    """JAX at one precision.

    Args:
        dtype: "float64" or "float32".
        compiled: pass device segments through `jax.jit`; without it they run operation by operation, which is
            slower, but starts at once.
        device: "cpu", "gpu", "cuda:1", ...; JAX's own choice if omitted.

    Raises:
        TographError: there is no such device.
    """

    name = "jax"
    xp = jnp

    def __init__(self, dtype: str, *, compiled: bool = True, device: str | None = None) -> None:
        super().__init__(dtype)
        self.compiled = self.rolls = compiled
        self.eager = not compiled
        self.device = device and _device(device)

    @property
    def key(self) -> tuple[Any, ...]:
        """With the device, and whether it compiles."""
        return *super().key, self.compiled, self.device

    @property
    def on_cpu(self) -> bool:
        """Of the device, or of JAX's own choice."""
        return bool((self.device or jax.devices()[0]).platform == "cpu")

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """64-bit types for float64 programs, and the device; the process-wide settings are left alone."""
        precision = jax.enable_x64(self.dtype == "float64")
        if self.device is None:
            return precision
        stack = contextlib.ExitStack()
        stack.enter_context(precision)
        stack.enter_context(jax.default_device(self.device))
        return stack

    def scalar(self, value: float) -> Any:
        """A NumPy scalar: JAX treats it as a literal, which XLA can fold."""
        return np.asarray(value, dtype=self.dtype)

    def array(self, value: Any, dtype: str) -> Any:
        """As a JAX array."""
        return jnp.asarray(value, dtype=dtype)

    def argument(self, value: Any, dtype: str) -> Any:
        """NumPy arrays as they are: a jitted function takes them over faster than `jnp.asarray` does."""
        return np.asarray(value, dtype) if isinstance(value, np.ndarray | np.generic) else self.array(value, dtype)

    def to_native(self, value: Any) -> Any:
        """NumPy arrays that no jitted function has seen, as JAX arrays."""
        return map_arrays(lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, value)

    def to_numpy(self, value: Any) -> Any:
        """A view on the CPU."""
        return map_arrays(lambda x: np.asarray(x) if isinstance(x, jax.Array) else x, value)

    def is_native(self, value: Any) -> bool:
        """A concrete or traced JAX array."""
        return isinstance(value, jax.Array)

    def compile(self, function: Callable[..., Any], static: tuple[int, ...] = ()) -> Callable[..., Any]:
        """`jax.jit`, unless it was declined."""
        return jax.jit(function, static_argnums=static) if self.compiled else function

    def scan(self, count: int, body: Callable[..., Any], state: Any, arrays: tuple[Any, ...]) -> tuple[Any, Any]:
        """`jax.lax.scan` over the counter."""
        first = jax.tree.map(jnp.asarray, state)
        made: tuple[Any, Any] = jax.lax.scan(lambda s, i: body(i, s, *arrays), first, jnp.arange(count))
        return made

    def vjp(self, function: Callable[[Any], Any], x: Any, ct: Any) -> Any:
        """`jax.vjp`."""
        return jax.vjp(function, x)[1](ct)[0]

    def pullback(self, function: Callable[[Any], Any], x: Any) -> Callable[[Any], Any]:
        """`jax.vjp`, once."""
        pull = jax.vjp(function, x)[1]
        return lambda ct: pull(ct)[0]

    def jvp(self, function: Callable[[Any], Any], x: Any, t: Any) -> Any:
        """`jax.jvp`."""
        return jax.jvp(function, (x,), (t,))[1]

    def transpose(self, function: Callable[[Any], Any], like: tuple[Spec, ...], ct: Any) -> Any:
        """`jax.linear_transpose`."""
        return jax.linear_transpose(function, self.zeros(like))(ct)[0]

    def adopt(self, function: Callable[..., Any]) -> tuple[Callable[..., Any], np.ndarray | None]:
        """The floating-point leaves of a callable pytree (an Equinox module), in the order of its leaves."""
        weights = [np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(function) if _is_weight(leaf)]
        return function, np.concatenate(weights) if weights else None

    def with_weights(self, function: Callable[..., Any], weights: Any) -> Callable[..., Any]:
        """The pytree with its floating-point leaves replaced."""
        leaves, tree = jax.tree.flatten(function)
        start = 0
        for i, leaf in enumerate(leaves):
            if _is_weight(leaf):
                leaves[i] = jnp.reshape(weights[start : start + leaf.size], leaf.shape)
                start += leaf.size
        made: Callable[..., Any] = jax.tree.unflatten(tree, leaves)
        return made

    def batch(self, function: Callable[..., Any], *values: Any, varying: tuple[bool, ...] = (True,)) -> Any:
        """`jax.vmap`."""
        return jax.vmap(function, tuple(0 if moves else None for moves in varying))(*values)

    def apart(self, x: Any, after: Any = None) -> Any:
        """x, or NaN where `after` is: so it waits for `after`, and XLA cannot know that it is x.

        (`jax.lax.optimization_barrier` alone is removed on the CPU before equal computations are merged.)
        """
        if after is None:
            return jax.lax.optimization_barrier(x)
        probe = after[0] if isinstance(after, tuple) else after
        lost = jnp.isnan(probe[(0,) * probe.ndim])
        return map_arrays(lambda a: jnp.where(lost, jnp.asarray(jnp.nan, a.dtype), a), x)

    def repeat(self, count: int, body: Callable[[Any], Any], state: Any) -> Any:
        """`jax.lax.fori_loop`, which reverse-mode AD can follow (the count is static)."""
        return jax.lax.fori_loop(0, count, lambda _, s: body(s), state)

    def _until(self, going: Callable[[Any], Any], body: Callable[[Any], Any], state: Any, limit: int) -> Any:
        """`jax.lax.while_loop` with a counter."""
        first = (jnp.asarray(0), state)
        return jax.lax.while_loop(lambda s: (s[0] < limit) & going(s[1]), lambda s: (s[0] + 1, body(s[1])), first)[1]

    def fold(self, body: Callable[[Any, Any], Any], state: Any, rows: tuple[Any, ...]) -> Any:
        """`jax.lax.scan`."""
        return jax.lax.scan(lambda s, row: (body(s, row), None), state, rows)[0]

    def window(self, x: Any, start: Any, length: int) -> Any:
        """`jax.lax.dynamic_slice_in_dim`."""
        return jax.lax.dynamic_slice_in_dim(x, start, length, axis=-1)

    def add_window(self, x: Any, start: Any, part: Any) -> Any:
        """`jax.lax.dynamic_update_slice_in_dim`, in place inside a loop."""
        before = self.window(x, start, part.shape[-1])
        return jax.lax.dynamic_update_slice_in_dim(x, before + part, start, axis=-1)

    def jacobian(self, function: Callable[[Any], Any], x: Any) -> Any:
        """`jax.jacfwd`."""
        return jax.jacfwd(function)(x)


def keep_compiled(folder: str | None) -> None:
    """See `compilation_cache`. Small programs are kept as well: JAX's own limit of a second is made for large ones."""
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0 if folder is None else 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0 if folder is None else -1)
    compilation_cache.reset_cache()  # the folder is opened once, when something is first compiled


def _device(name: str) -> Any:
    kind, _, number = name.partition(":")
    try:
        return jax.devices(kind)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        found = ", ".join(f"{d.platform}:{d.id}" for d in jax.devices())
        raise TographError(f"JAX has no device {name!r} here. It has {found}") from error


def _is_weight(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.floating)
