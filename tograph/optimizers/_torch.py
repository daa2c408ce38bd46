"""One step of an optimiser of torch.optim, in double precision, on NumPy arrays."""

from __future__ import annotations

from typing import Any

import torch

from .variables import Floats


def step(
    name: str, options: dict[str, Any], rate: float, design: Floats, gradient: Floats, moments: dict[str, Any]
) -> tuple[Floats, dict[str, Any]]:
    """The next design and the optimiser's memory for it, by name."""
    x = torch.nn.Parameter(torch.tensor(design, dtype=torch.float64))
    optimizer = getattr(torch.optim, name)([x], **options)
    for group in optimizer.param_groups:
        group["lr"] = rate * float(group["lr"])
    if moments:
        optimizer.state[x] = {key: torch.tensor(value) for key, value in moments.items()}
    x.grad = torch.tensor(gradient, dtype=torch.float64)
    optimizer.step()
    kept = {key: value for key, value in optimizer.state[x].items() if value is not None}
    return x.detach().numpy().copy(), {key: value.numpy().copy() for key, value in kept.items()}
