"""The networks as `torch.nn.Module`, and what else of the nodes needs PyTorch."""

from __future__ import annotations

from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from torch.nn.grad import conv2d_weight

from .decoder import CNN
from .networks import FourierMLP, _Layers, named_parts


class Layers(torch.nn.Module):
    """`MLP`, `Siren` or `FourierMLP`."""

    def __init__(self, net: Any, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        kind = torch.float32 if net.dtype == "float32" else torch.float64
        self.net = net
        sizes = [weights[f"W{i}"].shape for i in range(net.depth + 1)]
        self.linears = torch.nn.ModuleList(torch.nn.Linear(m, k, dtype=kind) for m, k in sizes)
        scales = [name for name in weights if name.startswith("a")]
        self.scales = torch.nn.ParameterList(torch.ones(net.width, dtype=kind) for _ in scales)
        self.offsets = torch.nn.ParameterList(torch.zeros(net.width, dtype=kind) for _ in scales)
        if isinstance(net, FourierMLP):
            self.register_buffer("B", torch.as_tensor(net.first.frequencies(net.features), dtype=kind))
        with torch.no_grad():
            for name, part in self.parts().items():
                part.copy_(torch.as_tensor(weights[name]))

    def parts(self) -> dict[str, Any]:
        """The weights by the names of `layout()`, in its shapes."""
        return named_parts(self.linears, self.scales, self.offsets)

    def forward(self, x: Any) -> Any:
        """Points (..., features) to a field, or to (..., results)."""
        h = x.to(self.linears[0].weight.dtype)
        if isinstance(self.net, FourierMLP):
            angle = 2.0 * torch.pi * h @ self.B.T
            h = torch.cat([torch.cos(angle), torch.sin(angle)], dim=-1)
        for i, linear in enumerate(list(self.linears)[:-1]):
            h = linear(h)
            if len(self.scales):
                h = self.scales[i] * self.net.normalization.forward(xp, h) + self.offsets[i]
            sigma = self.net.sigma
            h = sigma.forward(xp, h, *sigma.parameters.values())
        y = self.linears[-1](h)
        return y[..., 0] if self.net.results is None else y


class Decoder(torch.nn.Module):
    """`CNN`; images are (1, channels, ny, nx) here."""

    def __init__(self, net: CNN, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        kind = torch.float32 if net.dtype == "float32" else torch.float64
        self.net = net
        self.z: Any
        z = torch.as_tensor(net.latent_vector() if net.fixed is not None else weights["z"], dtype=kind).clone()
        if net.fixed is None:
            self.z = torch.nn.Parameter(z)
        else:
            self.register_buffer("z", z)
        self.dense = torch.nn.Linear(*_sides(weights["W"]), dtype=kind)
        windows = [weights[f"W{i}"].shape for i in range(len(net.sizes) - 1)]
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv2d(d, c, k, padding="same", bias=False, dtype=kind) for k, _, d, c in windows
        )
        shapes = [weights[f"b{i}"].shape for i in range(len(windows))]
        self.offsets = torch.nn.ParameterList(torch.zeros(1, c, ny, nx, dtype=kind) for ny, nx, c in shapes)
        with torch.no_grad():
            for name, part in self.parts().items():
                part.copy_(torch.as_tensor(weights[name]))

    def parts(self) -> dict[str, Any]:
        """The weights by the names of `layout()`, in its shapes."""
        made: dict[str, Any] = {"z": self.z} if self.net.fixed is None else {}
        made |= {"W": self.dense.weight.T, "b": self.dense.bias}
        layers: Any = self.convolutions
        for i, (layer, offset) in enumerate(zip(layers, self.offsets, strict=True)):
            made |= {f"W{i}": layer.weight.permute(2, 3, 1, 0), f"b{i}": offset[0].permute(1, 2, 0)}
        return made

    def forward(self) -> Any:
        """The field (ny, nx)."""
        sizes = self.net.sizes
        h = self.dense(self.z).reshape(*sizes[0], self.net.channels).permute(2, 0, 1)[None]
        for size, layer, offset in zip(sizes[1:], self.convolutions, self.offsets, strict=True):
            h = torch.tanh(h)
            if tuple(h.shape[2:]) != size:
                h = torch.nn.functional.interpolate(h, size=size, mode="bilinear")
            h = layer((h - h.mean()) / torch.sqrt(h.var(correction=0) + 1e-6)) + self.net.offset * offset
        return h[0, 0]


def _sides(matrix: np.ndarray) -> tuple[int, int]:
    return matrix.shape[0], matrix.shape[1]


def module(net: Any, weights: dict[str, np.ndarray]) -> torch.nn.Module:
    """The module of a network."""
    if isinstance(net, CNN):
        return Decoder(net, weights)
    assert isinstance(net, _Layers)
    return Layers(net, weights)


def weights(module: Any) -> dict[str, np.ndarray]:
    """Its weights by the names of `layout()`."""
    return {name: part.detach().cpu().double().numpy() for name, part in module.parts().items()}


def convolve(x: Any, W: Any) -> Any:
    """`Conv2D`; (ny, nx, channels) is what PyTorch calls channels last, so nothing is copied."""
    seen = torch.nn.functional.conv2d(x.permute(2, 0, 1)[None], W.permute(3, 2, 0, 1), padding=W.shape[0] // 2)
    return seen[0].permute(1, 2, 0)


def kernel_cotangent(x: Any, ct: Any, W: Any) -> Any:
    """`KernelCotangent`."""
    shape, r = (W.shape[3], W.shape[2], *W.shape[:2]), W.shape[0] // 2
    images = (image.permute(2, 0, 1)[None] for image in (x, ct))
    return conv2d_weight(next(images), shape, next(images), padding=r).permute(2, 3, 1, 0)
