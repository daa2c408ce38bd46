"""Plain data <-> values: what a graph's JSON and its content hash are made of. No pickle, no eval."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import Any, TypeVar

import attrs
import numpy as np

from .errors import TographError, did_you_mean

T = TypeVar("T", bound=type)

TYPES: dict[str, type] = {}
"""Every attrs class that may stand in a graph file, by the name written there."""


def register(cls: T) -> T:
    """Allow an attrs class in graph files and hashes. Nodes are registered by `tograph.node`."""
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


def find_type(name: str) -> type:
    """The registered class of that name, or an error that suggests one."""
    if name in TYPES:
        return TYPES[name]
    hint = did_you_mean(name, TYPES)
    raise TographError(f"unknown type {name!r}. {hint} If it is yours, import the module that defines it first")


def encode(value: Any, *, inline: bool = True) -> Any:
    """Value -> JSON data. With `inline=False` arrays are replaced by their digest (for hashing)."""
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
        fields = {f.name: encode(getattr(value, f.name), inline=inline) for f in attrs.fields(type(value)) if f.init}
        return {"type": type_name(type(value)), "fields": fields}
    raise TographError(f"a {type(value).__name__} cannot be stored in a graph. Use numbers, text, tuples, arrays or attrs classes")


def decode(data: Any) -> Any:
    """JSON data -> value; the inverse of `encode`. Lists come back as tuples."""
    if isinstance(data, list):
        return tuple(decode(item) for item in data)
    if not isinstance(data, dict):
        return data
    if "dict" in data:
        return {decode(k): decode(v) for k, v in data["dict"]}
    if "array" in data:
        raw = zlib.decompress(base64.b64decode(data["array"]))
        array = np.frombuffer(raw, dtype=np.dtype(data["dtype"])).reshape(data["shape"])
        return array
    if "type" in data:
        return find_type(data["type"])(**{name: decode(field) for name, field in data["fields"].items()})
    raise TographError(f"not a stored value: {sorted(data)}")


def digest(value: Any) -> str:
    """A stable content hash (sha256, 64 hex digits) of anything `encode` takes."""
    text = json.dumps(encode(value, inline=False), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _encode_array(value: np.ndarray, inline: bool) -> dict[str, Any]:
    if value.dtype.kind not in "biuf":
        raise TographError(f"an array of dtype {value.dtype} cannot be stored in a graph. Use numbers or booleans")
    data = np.ascontiguousarray(value)
    head = {"dtype": data.dtype.str, "shape": list(data.shape)}
    if inline:
        return {"array": base64.b64encode(zlib.compress(data.tobytes())).decode(), **head}
    return {"digest": hashlib.sha256(data.tobytes()).hexdigest(), **head}
