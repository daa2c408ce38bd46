"""PyTorch: plain functions run eagerly without a tape, optionally through `torch.compile`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import array_api_compat.torch
import numpy as np
import torch

from ..spec import Spec
from .base import Backend, map_arrays


class TorchBackend(Backend):
    """PyTorch at one precision.

    Args:
        dtype: "float64" or "float32".
        compiled: pass device segments through `torch.compile`.
    """

    name = "torch"
    xp = array_api_compat.torch

    def __init__(self, dtype: str, *, compiled: bool = False) -> None:
        super().__init__(dtype)
        self.compiled = compiled

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """No tape: derivatives are steps of the program."""
        return torch.no_grad()

    def array(self, value: Any, dtype: str) -> Any:
        """As a tensor; NumPy memory is shared where it may be written to."""
        kind = getattr(torch, dtype)
        if isinstance(value, torch.Tensor):
            return value.detach().to(kind)
        array = np.asarray(value)
        return torch.as_tensor(array if array.flags.writeable else array.copy(), dtype=kind)

    def to_numpy(self, value: Any) -> Any:
        """A view on the CPU."""
        return map_arrays(lambda x: x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x, value)

    def is_native(self, value: Any) -> bool:
        """A tensor."""
        return isinstance(value, torch.Tensor)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`torch.compile` if asked for."""
        return torch.compile(function) if self.compiled else function

    def vjp(self, function: Callable[[Any], Any], x: Any, ct: Any) -> Any:
        """`torch.func.vjp`."""
        with torch.enable_grad():
            return torch.func.vjp(function, x)[1](ct)[0]

    def jvp(self, function: Callable[[Any], Any], x: Any, t: Any) -> Any:
        """`torch.func.jvp`."""
        return torch.func.jvp(function, (x,), (t,))[1]

    def transpose(self, function: Callable[[Any], Any], like: tuple[Spec, ...], ct: Any) -> Any:
        """The VJP of a linear function is its transpose, wherever it is taken."""
        return self.vjp(function, self.zeros(like), ct)
