"""The networks as Equinox modules."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .decoder import CNN
from .networks import FourierMLP, _Layers, named_parts


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
        return named_parts(self.linears, self.scales, self.offsets)


def _at_points(linear: eqx.nn.Linear, h: Any) -> Any:
    """An Equinox layer takes one point."""
    flat = jax.vmap(linear)(h.reshape(-1, h.shape[-1]))
    return flat.reshape(*h.shape[:-1], -1)


class Decoder(eqx.Module):
    """`CNN`; images are (channels, ny, nx) here."""

    net: CNN = eqx.field(static=True)
    z: Any
    dense: eqx.nn.Linear
    convolutions: list[eqx.nn.Conv2d]
    offsets: list[jax.Array]

    def __call__(self) -> Any:
        """The field (ny, nx)."""
        sizes, z = self.net.sizes, self.z
        if z is None:
            z = jnp.asarray(self.net.latent_vector(), self.dense.weight.dtype)
        h = jnp.moveaxis(self.dense(z).reshape(*sizes[0], self.net.channels), 2, 0)
        for size, layer, offset in zip(sizes[1:], self.convolutions, self.offsets, strict=True):
            h = jax.image.resize(jnp.tanh(h), (h.shape[0], *size), "linear")
            h = layer((h - h.mean()) / jnp.sqrt(h.var() + 1e-6)) + self.net.offset * offset
        return h[0]

    def parts(self) -> dict[str, Any]:
        """The weights by the names of `layout()`, in its shapes."""
        made: dict[str, Any] = {} if self.z is None else {"z": self.z}
        made |= {"W": self.dense.weight.T, "b": self.dense.bias}
        for i, (layer, offset) in enumerate(zip(self.convolutions, self.offsets, strict=True)):
            made |= {f"W{i}": jnp.transpose(layer.weight, (2, 3, 1, 0)), f"b{i}": jnp.moveaxis(offset, 0, 2)}
        return made


def _decoder(net: CNN, given: dict[str, Any]) -> Decoder:
    count = len(net.sizes) - 1
    offsets = [jnp.moveaxis(given[f"b{i}"], 2, 0) for i in range(count)]
    convolutions = [_convolution(given[f"W{i}"]) for i in range(count)]
    return Decoder(net, given.get("z"), _linear(given["W"], given["b"]), convolutions, offsets)


def _convolution(W: Any) -> eqx.nn.Conv2d:
    k, _, d, c = W.shape
    blank = eqx.nn.Conv2d(d, c, k, padding="SAME", use_bias=False, key=jax.random.key(0))
    return eqx.tree_at(lambda layer: layer.weight, blank, jnp.transpose(W, (3, 2, 0, 1)))


def module(net: Any, weights: dict[str, np.ndarray]) -> eqx.Module:
    """The module of a network."""
    kind = "float32" if net.dtype == "float32" else "float64"
    with jax.enable_x64(True):
        given = {name: jnp.asarray(value, kind) for name, value in weights.items()}
        if isinstance(net, CNN):
            return _decoder(net, given)
        assert isinstance(net, _Layers)
        linears = [_linear(given[f"W{i}"], given[f"b{i}"]) for i in range(net.depth + 1)]
        scaled = [i for i in range(net.depth) if f"a{i}" in given]
        return Layers(net, linears, [given[f"a{i}"] for i in scaled], [given[f"c{i}"] for i in scaled])


def _linear(W: Any, b: Any) -> eqx.nn.Linear:
    blank = eqx.nn.Linear(*W.shape, key=jax.random.key(0))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), blank, (W.T, b))


def weights(module: Any) -> dict[str, np.ndarray]:
    """Its weights by the names of `layout()`."""
    return {name: np.asarray(part) for name, part in module.parts().items()}
