"""Plain data <-> values: what a graph's JSON and its content hash are made of. No pickle, no eval."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import operator
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import attrs
import numpy as np

from . import callables
from .errors import TographError, did_you_mean

T = TypeVar("T", bound=Callable[..., Any])

TYPES: dict[str, type] = {}
"""Every attrs class that may stand in a graph file, by the name written there."""


def register(cls: T) -> T:
    """Allow an attrs class, or a function that can be imported, in graph files. `tograph.node` does so for nodes."""
    if not isinstance(cls, type):
        callables.register(cls)
        return cls
    name = type_name(cls)
    known = TYPES.get(name)
    if known is not None and known.__module__ != cls.__module__:
        raise TographError(f"{name} is already registered by {known.__module__}. Choose another class name")
    TYPES[name] = cls
    return cls


def type_name(cls: type) -> str:
    """The name of a class in graph files: package and class, so that moving it inside a package is harmless."""
    package = cls.__module__
    for prefix in ("tograph.nodes", "tograph.problems", "tograph"):
        if package == prefix or package.startswith(prefix + "."):
            package = prefix
            break
    return f"{package}.{cls.__qualname__}"


def find_type(name: Any) -> type:
    """The registered class of that name, or an error that suggests one."""
    if isinstance(name, str) and name in TYPES:
        return TYPES[name]
    hint = did_you_mean(name, TYPES)
    raise TographError(f"unknown type {name!r}. {hint} If it is yours, import the module that defines it first")


def encode(value: Any, *, inline: bool = True) -> Any:
    """Value -> JSON data. With `inline=False` arrays are replaced by their digest (for hashing).

    Raises:
        TographError: a value that no graph file may hold.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}  # JSON has no word for these
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return encode(value.item(), inline=inline)
    if isinstance(value, tuple | list):
        return [encode(item, inline=inline) for item in value]
    if isinstance(value, dict):
        return {"dict": [[encode(k, inline=inline), encode(v, inline=inline)] for k, v in value.items()]}
    if isinstance(value, np.ndarray):
        return _encode_array(value, inline)
    if attrs.has(type(value)):
        return _encode_object(value, inline)
    if callable(value) and not isinstance(value, type):
        return (callables.encode_function if inline else callables.fingerprint)(value, partial(encode, inline=inline))
    raise TographError(
        f"a {type(value).__name__} cannot be stored in a graph. Use numbers, text, tuples, arrays or attrs classes"
    )


def decode(data: Any) -> Any:
    """JSON data -> value; the inverse of `encode`. Lists come back as tuples.

    Raises:
        TographError: data that `encode` cannot have written, in a sentence.
    """
    if isinstance(data, list):
        return tuple(decode(item) for item in data)
    if not isinstance(data, dict):
        return data
    for key, read in _READERS.items():
        if key in data:
            return read(data)
    raise TographError(f"not a stored value: an object with {', '.join(map(repr, sorted(data))) or 'nothing in it'}")


def digest(value: Any) -> str:
    """A stable content hash (sha256, 64 hex digits) of anything `encode` takes."""
    text = json.dumps(encode(value, inline=False), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _encode_object(value: Any, inline: bool) -> dict[str, Any]:
    name = type_name(type(value))
    if inline and TYPES.get(name) is not type(value):
        fix = "Decorate the class with `tograph.codec.register`"
        raise TographError(f"{name} cannot be stored in a graph: it is not registered. {fix}")
    fields = {f.name: encode(getattr(value, f.name), inline=inline) for f in attrs.fields(type(value)) if f.init}
    return {"type": name, "fields": fields}


def _encode_array(value: np.ndarray, inline: bool) -> dict[str, Any]:
    if value.dtype.kind not in "biuf":
        raise TographError(f"an array of dtype {value.dtype} cannot be stored in a graph. Use numbers or booleans")
    # One byte order and one memory layout, so that equal arrays have equal digests on every machine.
    raw = value.astype(value.dtype.newbyteorder("<")).tobytes(order="C")
    head = {"dtype": value.dtype.newbyteorder("<").str, "shape": list(value.shape)}
    if inline:
        return {"array": base64.b64encode(zlib.compress(raw)).decode(), **head}
    return {"digest": hashlib.sha256(raw).hexdigest(), **head}


def _decode_array(data: dict[str, Any]) -> np.ndarray:
    try:
        dtype, shape = np.dtype(data["dtype"]), tuple(operator.index(n) for n in data["shape"])
        size = math.prod(max(n, 0) for n in shape) * dtype.itemsize
        # No more is unpacked than the shape asks for, whatever the file says.
        raw = zlib.decompressobj().decompress(base64.b64decode(data["array"], validate=True), size + 1)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise TographError(f"not a stored array: {type(error).__name__}: {error}") from error
    if dtype.kind not in "biuf" or min(shape, default=0) < 0 or len(raw) != size:
        raise TographError(f"not a stored array: its data do not fill a {dtype} array of shape {shape}")
    return np.frombuffer(raw, dtype=dtype).reshape(shape)


def _decode_float(data: dict[str, Any]) -> float:
    if data["float"] not in ("nan", "inf", "-inf"):
        raise TographError(f"not a stored number: {data['float']!r}")
    return float(data["float"])


def _decode_dict(data: dict[str, Any]) -> dict[Any, Any]:
    try:
        return {decode(key): decode(value) for key, value in data["dict"]}
    except (TypeError, ValueError) as error:
        raise TographError("not a stored dict: it must be a list of pairs (key, value)") from error


def _decode_object(data: dict[str, Any]) -> Any:
    cls, given = find_type(data["type"]), data.get("fields")
    known = {f.name: f for f in attrs.fields(cls) if f.init}
    if not isinstance(given, dict):
        raise TographError(f"{data['type']} needs an object of fields, got {given!r:.40}")
    for name in given.keys() - known.keys():
        raise TographError(f"{data['type']} has no field {name!r}. {did_you_mean(name, known)}")
    for name, field in known.items():
        if name not in given and field.default is attrs.NOTHING:
            raise TographError(f"{data['type']} needs the field {name!r}")
    values = {known[name].alias: decode(value) for name, value in given.items()}
    try:
        return cls(**values)
    except TographError:
        raise
    except Exception as error:  # whatever the class finds wrong with what a file says
        raise TographError(f"{data['type']} cannot be made from its fields: {error}") from error


_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": _decode_dict,
    "array": _decode_array,
    "float": _decode_float,
    "function": callables.decode_function,
    "partial": lambda data: callables.decode_partial(data, decode),
    "type": _decode_object,
}
"""What stands for itself in JSON needs no entry; the rest is told by its first key."""
