"""Backends by name. A framework is imported when a program is compiled for it, not before."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from ..errors import TographError, did_you_mean
from .base import Backend

BACKENDS = {"jax": "JaxBackend", "torch": "TorchBackend", "numpy": "NumpyBackend"}
"""Name -> class in the module of that name."""


def load_backend(name: str, dtype: str, **options: Any) -> Backend:
    """The backend of that name at that precision.

    Raises:
        TographError: unknown name, option or dtype, or a framework that is not installed (says how to install it).
    """
    if name not in BACKENDS:
        raise TographError(f"there is no backend {name!r}. {did_you_mean(name, BACKENDS)}")
    try:
        module = importlib.import_module(f".{name}", __package__)
    except ImportError as error:
        extra = "'tograph[torch]'" if name == "torch" else "tograph"  # all but PyTorch is in the base install
        message = f"backend {name!r} needs a package that is missing ({error})"
        raise TographError(f"{message}. Install it: pip install {extra}") from error
    cls = getattr(module, BACKENDS[name])
    known = [word for word in inspect.signature(cls).parameters if word != "dtype"]
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known) or "It has none"
            raise TographError(f"backend {name!r} has no option {option!r}. {hint}")
    made: Backend = cls(dtype, **options)
    return made
