"""The networks as `torch.nn.Module`, and what else of the nodes needs PyTorch."""

from __future__ import annotations

from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from .networks import FourierMLP, _Layers


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
        made: dict[str, Any] = {}
        for i, linear in enumerate(self.linears):
            made |= {f"W{i}": linear.weight.T, f"b{i}": linear.bias}
        for i, (a, c) in enumerate(zip(self.scales, self.offsets, strict=True)):
            made |= {f"a{i}": a, f"c{i}": c}
        return made

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


def module(net: Any, weights: dict[str, np.ndarray]) -> torch.nn.Module:
    """The module of a network."""
    assert isinstance(net, _Layers)
    return Layers(net, weights)


def weights(module: Any) -> dict[str, np.ndarray]:
    """Its weights by the names of `layout()`."""
    return {name: part.detach().cpu().double().numpy() for name, part in module.parts().items()}
