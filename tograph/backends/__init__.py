"""Backends by name. A framework is imported when a program is compiled for it, not before."""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path
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
    cls = getattr(_module(name), BACKENDS[name])
    known = [word for word in inspect.signature(cls).parameters if word != "dtype"]
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known) or "It has none"
            raise TographError(f"backend {name!r} has no option {option!r}. {hint}")
    made: Backend = cls(dtype, **options)
    return made


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f".{name}", __package__)
    except ImportError as error:
        extra = "'tograph[torch]'" if name == "torch" else "tograph"  # all but PyTorch is in the base install
        message = f"backend {name!r} needs a package that is missing ({error})"
        raise TographError(f"{message}. Install it: pip install {extra}") from error


def compilation_cache(folder: str | os.PathLike[str] | None) -> None:
    """Keep what JAX compiles in a folder, for later processes; None switches it off. Off unless it is asked for.

    A program is found again by its operations, shapes, device and versions. The setting is JAX's, for all that this
    process compiles from now on. The folder is trusted: whoever may write to it can have this process run code.
    PyTorch keeps what `torch.compile` makes in a folder of its own anyway.

    Raises:
        TographError: the folder cannot be made, or JAX is not installed.
    """
    path = None if folder is None else Path(folder).expanduser().absolute()
    try:
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TographError(f"compiled programs cannot be kept in {str(path)!r}: {error.strerror}") from error
    _module("jax").keep_compiled(path and str(path))
