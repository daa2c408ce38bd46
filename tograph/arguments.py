"""What a program is called with, held against what its inputs are declared to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np

from .declare import Source
from .edge import Edge
from .errors import Location, TographError, a, did_you_mean
from .graph import Graph, source_of
from .port import Range
from .validate import first_not_finite


@attrs.frozen
class Limit:
    """The range of a parameter of a node, which an input is wired to."""

    node: str
    port: str
    where: Location
    allowed: Range


@attrs.frozen(eq=False, slots=False)
class Arguments:
    """The inputs of a function, and what each may be; worked out once, as it is looked at in every call.

    Attributes:
        graph: whose nodes say which ranges there are.
        inputs: the inputs, in order.
    """

    graph: Graph
    inputs: tuple[Edge, ...]

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Every input by its name."""
        return {source.name: source for source in map(source_of, self.inputs)}

    @cached_property
    def limits(self) -> dict[str, list[Limit]]:
        """The ranges of all parameters that an input is wired to."""
        found: dict[str, list[Limit]] = {name: [] for name in self.sources}
        for vertex in self.graph.vertices:
            wired, ranges = dict(vertex.inputs), vertex.node.ranges
            for port in wired.keys() & ranges.keys():
                if isinstance(source := wired[port].vertex.node, Source) and source.name in found:
                    limit = Limit(self.graph.names[vertex], port, vertex.origin.where, ranges[port])
                    found[source.name].append(limit)
        return found

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, anywhere: bool = False) -> list[Any]:
        """One value per input, by position or by name; an input with a default may be left out.

        NumPy arrays, numbers and lists must be finite, and numbers within the ranges they are wired to, unless they may
        be `anywhere`. Arrays of a framework may lie on a device or be traced, so of them only shape and dtype are
        looked at.

        Raises:
            TographError: an input that is missing, unknown, given twice, or not what it is declared to be.
        """
        given = self._by_name(args, kwargs)
        limits = {} if anywhere else self.limits
        return [
            _checked(source, given.get(name, source.default), limits.get(name, ()))
            for name, source in self.sources.items()
        ]

    def _by_name(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = self.sources
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
        return given


def _checked(source: Source, value: Any, ranges: Sequence[Limit]) -> Any:
    if type(value) is np.ndarray and value.dtype == np.float64 and source.spec.dtype == "real":
        values, numbers = value, True  # the usual case
    elif value is None:
        raise TographError(f"input {source.name!r} is missing: it is {a(source.spec.label())}. {_HOW}")
    else:
        numbers = not hasattr(value, "dtype") or isinstance(value, np.ndarray | np.generic)
        values = _as_numbers(source, value) if numbers else value
        _require_dtype(source, str(values.dtype).rpartition(".")[2])
    if values.shape != source.spec.shape:
        raise _wrong_shape(source, tuple(values.shape))
    if numbers and not np.isfinite(values).all():
        raise TographError(f"input {source.name!r} is not finite{first_not_finite(values)}")
    for limit in ranges if numbers else ():
        number = next((x for x in map(float, values.flat) if not limit.allowed.allows(x)), None)
        if number is not None:
            outside = f"outside the range of {limit.node}.{limit.port} (declared at {limit.where})"
            raise TographError(f"input {source.name!r} = {number:g} is {outside}. It must be {limit.allowed}")
    return values


def _wrong_shape(source: Source, shape: tuple[int, ...]) -> TographError:
    turned = len(shape) > 1 and shape[::-1] == source.spec.shape
    fix = "Transpose it" if turned else f"Give values of shape {source.spec.shape}"
    return TographError(f"input {source.name!r} must be {a(source.spec.label())}, got shape {shape}. {fix}")


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
