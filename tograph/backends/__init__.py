"""Backends by name. A framework is imported when a program is compiled for it, not before."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import TographError, did_you_mean
from .base import Backend

BACKENDS = {"jax": "JaxBackend", "torch": "TorchBackend", "numpy": "NumpyBackend"}
"""Name -> class in the module of that name."""


def load_backend(name: str, dtype: str, **options: Any) -> Backend:
    """The backend of that name at that precision.

    Raises:
        TographError: unknown name, or the framework is not installed (says how to install it).
    """
    if name not in BACKENDS:
        raise TographError(f"there is no backend {name!r}. {did_you_mean(name, BACKENDS)}")
    try:
        module = importlib.import_module(f".{name}", __package__)
    except ImportError as error:
        raise TographError(f"backend {name!r} needs a package that is missing ({error}). Install it: pip install 'tograph[{name}]'") from error
    made: Backend = getattr(module, BACKENDS[name])(dtype, **options)
    return made
