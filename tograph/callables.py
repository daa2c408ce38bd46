"""Functions as plain data: by import path where they have one, and a content hash for all of them.

A graph file names a function, it never holds one. Reading a file imports nothing: only functions that
this process has registered are found, so a file cannot make the reader call what it likes.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable
from types import CellType, CodeType
from typing import Any

from .errors import TographError, did_you_mean

FUNCTIONS: dict[str, Callable[..., Any]] = {}
"""Every function that may stand in a graph file, by its import path `module:qualname`."""

Encode = Callable[[Any], Any]


def register(function: Callable[..., Any]) -> None:
    """Allow a function in graph files; one without an import path (a lambda, a closure) is left out."""
    path = import_path(function)
    if path is not None:
        FUNCTIONS[path] = function


def import_path(function: Any) -> str | None:
    """`module:qualname`, or None for what cannot be imported by it."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<none>")
    bound = getattr(function, "__self__", None)
    if module is None or "<" in name or not (bound is None or inspect.ismodule(bound)):
        return None
    if hasattr(function, "__wrapped__") and _find(module, name) is not function:
        return None  # `jax.vmap(f)` bears the name of f
    return f"{module}:{name}"


def _find(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def encode_function(function: Callable[..., Any], encode: Encode) -> Any:
    """As JSON data.

    Raises:
        TographError: for a function without an import path, with what to do about it.
    """
    if isinstance(function, functools.partial):
        return {"partial": [encode(function.func), encode(function.args), encode(dict(function.keywords))]}
    path = import_path(function)
    if path is None:
        words = f"{_words(function)} cannot be stored in a graph: it has no import path, so another process would"
        raise TographError(f"{words} not find it. Write it as a function at the top level of a module")
    known = FUNCTIONS.get(path)
    if known is not function:
        why = "it is not registered" if known is None else "another function of that name was registered after it"
        raise TographError(f"{path} cannot be stored in a graph: {why}. Call `tograph.codec.register` on it")
    return {"function": path}


def decode_function(data: dict[str, Any]) -> Callable[..., Any]:
    """The registered function of that path."""
    path = data["function"]
    if isinstance(path, str) and path in FUNCTIONS:
        return FUNCTIONS[path]
    fix = "Import the module that declares a node with it, or call `tograph.codec.register` on it, first"
    raise TographError(f"unknown function {path!r}. {did_you_mean(path, FUNCTIONS)} {fix}".replace("  ", " "))


def decode_partial(data: dict[str, Any], decode: Encode) -> Callable[..., Any]:
    """The inverse of `encode_function` for `functools.partial`."""
    try:
        function, args, keywords = (decode(item) for item in data["partial"])
        return functools.partial(function, *args, **keywords)
    except (TypeError, ValueError) as error:
        raise TographError("not a stored partial: it must be [function, arguments, keywords]") from error


def fingerprint(function: Callable[..., Any], encode: Encode) -> Any:
    """What a content hash is made of: import path and source; of a lambda or closure its code and what it holds.

    What cannot be read (an object with `__call__`, a bound method, what a closure holds beyond numbers,
    text and arrays) is told apart by its identity, which another process does not share.
    """
    if isinstance(function, functools.partial):
        held = [_held(value, encode) for value in (function.args, dict(function.keywords))]
        return {"partial": [fingerprint(function.func, encode), *held]}
    path, code = import_path(function), getattr(function, "__code__", None)
    if path is not None:
        return {"function": path, "source": _source(function) if code is not None else ""}
    if code is None or inspect.ismethod(function):
        return _identity(function)
    held = [_held(cell, encode) for cell in (function.__closure__ or ())]
    held.append(_held(function.__defaults__, encode))
    return {"code": hashlib.sha256(_code(code).encode()).hexdigest(), "held": held}


def _held(value: Any, encode: Encode) -> Any:
    """A captured value; functions by identity, for a closure may hold itself."""
    try:
        value = value.cell_contents if isinstance(value, CellType) else value
        return _identity(value) if callable(value) else encode(value)
    except (TographError, ValueError):  # no plain data; a cell that is still empty
        return _identity(value)


def _identity(value: Any) -> dict[str, Any]:
    return {"object": type(value).__qualname__, "id": id(value)}


def _source(function: Callable[..., Any]) -> str:
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt
        text = _code(function.__code__)
    return hashlib.sha256(text.encode()).hexdigest()


def _code(code: CodeType) -> str:
    """All that tells two code objects apart, but for where they were written."""
    constants = [_code(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants))


def _words(function: Any) -> str:
    name = getattr(function, "__qualname__", None)
    return f"the function {name}" if name else f"a {type(function).__qualname__}"
