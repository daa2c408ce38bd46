"""The networks as Equinox modules, and what else of the nodes needs JAX."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .networks import FourierMLP, _Layers


class Layers(eqx.Module):
    """`MLP`, `Siren` or `FourierMLP`."""

    net: Any = eqx.field(static=True)
    linears: list[eqx.nn.Linear]
    scales: list[jax.Array]
    offsets: list[jax.Array]

    def __call__(self, x: Any) -> Any:
        """Points (..., features) to a field, or to (..., results)."""
        h = jnp.asarray(x, self.linears[0].weight.dtype)
        if isinstance(self.net, FourierMLP):
            angle = 2.0 * jnp.pi * h @ jnp.asarray(self.net.first.frequencies(self.net.features).T, h.dtype)
            h = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        for i, linear in enumerate(self.linears[:-1]):
            h = _at_points(linear, h)
            if self.scales:
                h = self.scales[i] * self.net.normalization.forward(jnp, h) + self.offsets[i]
            sigma = self.net.sigma
            h = sigma.forward(jnp, h, *sigma.parameters.values())
        y = _at_points(self.linears[-1], h)
        return y[..., 0] if self.net.results is None else y

    def parts(self) -> dict[str, Any]:
        """The weights by the names of `layout()`, in its shapes."""
        made: dict[str, Any] = {}
        for i, linear in enumerate(self.linears):
            made |= {f"W{i}": linear.weight.T, f"b{i}": linear.bias}
        for i, (a, c) in enumerate(zip(self.scales, self.offsets, strict=True)):
            made |= {f"a{i}": a, f"c{i}": c}
        return made


def _at_points(linear: eqx.nn.Linear, h: Any) -> Any:
    """An Equinox layer takes one point."""
    flat = jax.vmap(linear)(h.reshape(-1, h.shape[-1]))
    return flat.reshape(*h.shape[:-1], -1)


def module(net: Any, weights: dict[str, np.ndarray]) -> eqx.Module:
    """The module of a network."""
    assert isinstance(net, _Layers)
    kind = "float32" if net.dtype == "float32" else "float64"
    with jax.enable_x64(True):
        given = {name: jnp.asarray(value, kind) for name, value in weights.items()}
        linears = [_linear(given[f"W{i}"], given[f"b{i}"]) for i in range(net.depth + 1)]
        scaled = [i for i in range(net.depth) if f"a{i}" in given]
        return Layers(net, linears, [given[f"a{i}"] for i in scaled], [given[f"c{i}"] for i in scaled])


def _linear(W: Any, b: Any) -> eqx.nn.Linear:
    blank = eqx.nn.Linear(*W.shape, key=jax.random.key(0))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), blank, (W.T, b))


def weights(module: Any) -> dict[str, np.ndarray]:
    """Its weights by the names of `layout()`."""
    return {name: np.asarray(part) for name, part in module.parts().items()}
