"""What a program is called with, held against what its inputs are declared to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from .declare import Source
from .errors import Location, TographError, a, did_you_mean
from .graph import Graph
from .port import Range
from .validate import first_not_finite


@attrs.frozen
class Limit:
    """The range of a parameter of a node, which an input is wired to."""

    node: str
    port: str
    where: Location
    allowed: Range


Limits = Mapping[str, Sequence[Limit]]
"""Name of an input -> the ranges that it must be in."""


def limits(graph: Graph) -> Limits:
    """The ranges of all parameters that an input of the graph is wired to."""
    found: dict[str, list[Limit]] = defaultdict(list)
    for vertex in graph.vertices:
        wired, ranges = dict(vertex.inputs), vertex.node.ranges
        for port in wired.keys() & ranges.keys():
            if isinstance(source := wired[port].vertex.node, Source):
                found[source.name].append(Limit(graph.names[vertex], port, vertex.origin.where, ranges[port]))
    return found


def bind(
    sources: Sequence[Source], args: Sequence[Any], kwargs: Mapping[str, Any], within: Limits | None = None
) -> list[Any]:
    """One value per input, by position or by name; an input with a default may be left out.

    NumPy arrays, numbers and lists must be finite, and a number `within` the ranges it is wired to. Arrays of a
    framework may lie on a device or be traced, so of them only shape and dtype are looked at.

    Raises:
        TographError: an input that is missing, unknown, given twice, or not what it is declared to be.
    """
    names = [source.name for source in sources]
    if len(args) > len(names):
        count = f"{len(names)} input{'s' if len(names) != 1 else ''}"
        raise TographError(f"the program takes {count} ({', '.join(names)}), got {len(args)}")
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names:
            raise TographError(f"the program has no input {name!r}. {did_you_mean(name, names)}")
        if name in given:
            raise TographError(f"input {name!r} is given twice, by position and by name. Give it once")
        given[name] = value
    ranges = within or {}
    return [_checked(s, given.get(s.name, s.default), ranges.get(s.name, ())) for s in sources]


def _checked(source: Source, value: Any, ranges: Sequence[Limit]) -> Any:
    if value is None:
        raise TographError(f"input {source.name!r} is missing: it is {a(source.spec.label())}. {_HOW}")
    of_framework = hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)
    values = value if of_framework else _as_numbers(source, value)
    _require_dtype(source, str(values.dtype).rpartition(".")[2])
    shape = tuple(values.shape)
    if shape != source.spec.shape:
        turned = len(shape) > 1 and shape[::-1] == source.spec.shape
        fix = "Transpose it" if turned else f"Give values of shape {source.spec.shape}"
        raise TographError(f"input {source.name!r} must be {a(source.spec.label())}, got shape {shape}. {fix}")
    if not of_framework and not np.all(np.isfinite(values)):
        raise TographError(f"input {source.name!r} is not finite{first_not_finite(values)}")
    for limit in () if of_framework else ranges:
        number = next((x for x in map(float, values.flat) if not limit.allowed.allows(x)), None)
        if number is not None:
            outside = f"outside the range of {limit.node}.{limit.port} (declared at {limit.where})"
            raise TographError(f"input {source.name!r} = {number:g} is {outside}. It must be {limit.allowed}")
    return values


_HOW = "Give it by position or by name"


def _as_numbers(source: Source, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise TographError(f"input {source.name!r} must be one array: its rows have different lengths") from error
    if array.dtype.kind not in "biufc":
        raise TographError(f"input {source.name!r} must be numbers, got {a(type(value).__name__)}")
    return array


def _require_dtype(source: Source, dtype: str) -> None:
    if dtype.startswith("complex"):
        raise TographError(f"input {source.name!r} must be real, got {dtype}. Give its real part")
    if source.spec.dtype == "integer" and not dtype.startswith(("int", "uint", "bool")):
        raise TographError(f"input {source.name!r} must be integers, got {dtype}. Round and convert it first")
