"""One step of an optax transformation, in double precision, on NumPy arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .variables import Floats


def init(transform: Any, design: Floats) -> list[Any]:
    """The leaves of the state before the first step."""
    with jax.enable_x64(True):
        return [np.asarray(leaf) for leaf in jax.tree.leaves(transform.init(jnp.asarray(design)))]


def step(transform: Any, design: Floats, gradient: Floats, leaves: list[Any]) -> tuple[Floats, list[Any]]:
    """The next design and the leaves of the next state."""
    with jax.enable_x64(True):
        x = jnp.asarray(design)
        structure = jax.tree.structure(transform.init(x))
        state = jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in leaves])
        updates, after = transform.update(jnp.asarray(gradient), state, x)
        made = np.array(optax.apply_updates(x, updates), dtype=np.float64)
        return made, [np.asarray(leaf) for leaf in jax.tree.leaves(after)]
