"""PyTorch: plain functions run eagerly without a tape, optionally through `torch.compile`."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import array_api_compat.torch
import numpy as np
import torch

from ..errors import TographError
from ..spec import Spec
from .base import Backend, map_arrays


class TorchBackend(Backend):
    """PyTorch at one precision.

    Args:
        dtype: "float64" or "float32".
        compiled: pass device segments through `torch.compile`; a text names one of its backends, e.g. "aot_eager".
        device: "cpu", "cuda", "cuda:1", ...: where the program's arrays are. Tensors that it is given must be there.

    Raises:
        TographError: there is no such device; when called, a tensor on another one.
    """

    name = "torch"
    xp = array_api_compat.torch

    def __init__(self, dtype: str, *, compiled: bool | str = False, device: str = "cpu") -> None:
        super().__init__(dtype)
        self.compiled = compiled
        self.device = _device(device)

    @property
    def key(self) -> tuple[Any, ...]:
        """With what it was made with."""
        return *super().key, self.compiled, str(self.device)

    @property
    def on_cpu(self) -> bool:
        """By the device."""
        return self.device.type == "cpu"

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """No tape: derivatives are steps of the program. New arrays are made on the device."""
        if self.device.type == "cpu":
            return torch.no_grad()
        stack = contextlib.ExitStack()
        stack.enter_context(torch.no_grad())
        stack.enter_context(self.device)
        return stack

    def array(self, value: Any, dtype: str) -> Any:
        """As a tensor; NumPy memory is shared where it may be written to."""
        kind = getattr(torch, dtype)
        if isinstance(value, torch.Tensor):
            if value.device != self.device:
                message = f"a tensor is on {value.device}, but this program runs on {self.device}"
                raise TographError(f"{message}. Move it there, or compile with device={str(value.device)!r}")
            return value.detach().to(kind)
        array = np.asarray(value)
        if array.dtype == dtype and array.flags.carray and self.on_cpu:  # the usual case
            return torch.from_numpy(array)
        shared = array.flags.writeable and all(step >= 0 for step in array.strides)
        return torch.as_tensor(array if shared else array.copy(), dtype=kind, device=self.device)

    def to_numpy(self, value: Any) -> Any:
        """A view on the CPU."""
        return map_arrays(lambda x: x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x, value)

    def is_native(self, value: Any) -> bool:
        """A tensor."""
        return isinstance(value, torch.Tensor)

    def compile(self, function: Callable[..., Any], static: tuple[int, ...] = ()) -> Callable[..., Any]:
        """`torch.compile` if asked for."""
        if not self.compiled:
            return function
        made: Callable[..., Any] = torch.compile(
            function, backend=self.compiled if isinstance(self.compiled, str) else "inductor"
        )
        return made

    def compile_once(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """As it is: compiling would take longer than running."""
        return function

    def vjp(self, function: Callable[[Any], Any], x: Any, ct: Any) -> Any:
        """`torch.func.vjp`."""
        with torch.enable_grad():
            return torch.func.vjp(function, x)[1](ct)[0]

    def pullback(self, function: Callable[[Any], Any], x: Any) -> Callable[[Any], Any]:
        """`torch.func.vjp`, once."""
        with torch.enable_grad():
            pull = torch.func.vjp(function, x)[1]
        return lambda ct: pull(ct)[0]

    def jvp(self, function: Callable[[Any], Any], x: Any, t: Any) -> Any:
        """`torch.func.jvp`."""
        return torch.func.jvp(function, (x,), (t,))[1]

    def transpose(self, function: Callable[[Any], Any], like: tuple[Spec, ...], ct: Any) -> Any:
        """The VJP of a linear function is its transpose, wherever it is taken."""
        return self.vjp(function, self.zeros(like), ct)

    def solve(self, matrix: Any, rhs: Any) -> Any:
        """`torch.linalg.solve_ex`, which fills in NaN where `solve` would raise."""
        x, info = torch.linalg.solve_ex(matrix, rhs)
        return torch.where(info == 0, x, torch.full_like(x, torch.nan))

    def add_product(self, x: Any, a: Any, b: Any) -> Any:
        """In place, without an array for the product."""
        return x.addcmul_(a, b)

    def adopt(self, function: Callable[..., Any]) -> tuple[Callable[..., Any], np.ndarray | None]:
        """A copy of a module in evaluation mode, and its parameters in the order of `Module.parameters`."""
        if not isinstance(function, torch.nn.Module):
            return function, None
        kept = copy.deepcopy(function).eval().requires_grad_(False)
        weights = [parameter.detach().cpu().double().numpy().ravel() for parameter in kept.parameters()]
        return kept, np.concatenate(weights) if weights else None

    def with_weights(self, function: Callable[..., Any], weights: Any) -> Callable[..., Any]:
        """`torch.func.functional_call`, with the buffers in the dtype of the weights."""
        assert isinstance(function, torch.nn.Module)
        held = {name: b.to(weights) if b.is_floating_point() else b for name, b in function.named_buffers()}
        start = 0
        for name, parameter in function.named_parameters():
            held[name] = weights[start : start + parameter.numel()].reshape(parameter.shape)
            start += parameter.numel()
        module = function
        return lambda *values: torch.func.functional_call(module, held, values)

    def batch(self, function: Callable[..., Any], *values: Any, varying: tuple[bool, ...] = (True,)) -> Any:
        """`torch.func.vmap`; one by one where the function branches on values, e.g. in an iteration that stops."""
        try:
            return torch.func.vmap(function, tuple(0 if moves else None for moves in varying))(*values)
        except RuntimeError:
            return super().batch(function, *values, varying=varying)

    def jacobian(self, function: Callable[[Any], Any], x: Any) -> Any:
        """`torch.func.jacfwd`."""
        return torch.func.jacfwd(function)(x)


def _device(name: str) -> torch.device:
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise TographError(f"PyTorch has no device {name!r} here ({str(error).splitlines()[0]})") from error
