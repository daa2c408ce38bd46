"""Where edges end in a node: ports for data, parameters for numbers, and what may be given to either."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from . import codec
from .edge import Edge
from .errors import Finding, GraphError, TographError, a, declared_here
from .spec import Spec


@attrs.frozen
class Port:
    """A named place where an edge ends or begins.

    `kind` is one of `spec.KINDS`, several of them separated by "|", or "any". A `variadic` port
    takes all remaining edges (they are named name0, name1, ...).
    """

    name: str
    kind: str = "any"
    optional: bool = False
    variadic: bool = False


@codec.register
@attrs.frozen
class Wire:
    """Stands in a node's field for a parameter that arrives through an edge instead."""

    def __repr__(self) -> str:
        return "wire"


@attrs.frozen
class Range:
    """Allowed values of a parameter; the bounds are inclusive unless `open_below`."""

    low: float = -np.inf
    high: float = np.inf
    open_below: bool = False

    def allows(self, value: float) -> bool:
        """Whether `value` is inside."""
        return (self.low < value if self.open_below else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        low = "" if self.low == -np.inf else f"{'>' if self.open_below else '>='} {self.low:g}"
        high = "" if self.high == np.inf else f"<= {self.high:g}"
        return " and ".join(part for part in (low, high) if part) or "any number"


def parameter(
    *, default: Any = attrs.NOTHING, above: float | None = None, low: float = -np.inf, high: float = np.inf
) -> Any:
    """A numeric parameter of a node: a number fixed at declaration, or an edge (then a further input).

    Args:
        default: the value if none is given.
        above: exclusive lower bound.
        low: inclusive lower bound.
        high: inclusive upper bound. Bounds are checked by `Graph.validate`.
    """
    allowed = Range(low if above is None else above, high, above is not None)
    return attrs.field(default=default, converter=_NUMBER, metadata={"range": allowed})


def _number_or_edge(value: Any, of: Any, field: attrs.Attribute) -> Any:
    if isinstance(value, Edge | Wire):
        return value
    number = hasattr(value, "__float__") and np.shape(value) == () and not np.iscomplexobj(value)
    if not number or isinstance(value, bool | np.bool_):
        raise not_a_value(value, "a number or an edge", type(of).__name__, field.name)
    return float(value)


_NUMBER = attrs.Converter(_number_or_edge, takes_self=True, takes_field=True)


def only(kind: type, *, optional: bool = False) -> Any:
    """An attrs validator: a value of this type, or None if `optional`."""

    def check(of: Any, field: attrs.Attribute, value: Any) -> None:
        if not isinstance(value, kind) and not (optional and value is None):
            raise TographError(f"{type(of).__name__}.{field.name} must be {a(kind.__name__)}, got {value!r:.60}")

    return check


def as_array(value: Any) -> np.ndarray | None:
    """A copy as real numbers, integers or booleans; None if it is something else."""
    try:
        array = np.array(value)
    except ValueError:  # rows of different lengths
        return None
    return array if array.dtype.kind in "biuf" else None


def not_a_value(value: Any, wanted: str, of: str = "", port: str = "") -> GraphError:
    """What to say when something is given that cannot be a value, with a remedy for the usual slips."""
    fix, got = f"Give {wanted}", a(type(value).__name__)
    if value is None:
        got, fix = "None", "Leave out what is optional; else the function that makes it returned nothing"
    elif isinstance(value, type):
        got, fix = f"the class {value.__name__}", f"Make a node and call it on an edge first: {value.__name__}(...)(x)"
    elif callable(getattr(value, "forward", None)):  # a node: their class stands above this file
        got, fix = f"the node {value.title}", f"Call the node on an edge first: {value.title}(...)(x)"
    elif isinstance(value, Spec):
        got, fix = f"a spec ({value.label()})", "A spec has no value: declare an input with `tg.source(name, spec)`"
    elif isinstance(value, tuple | list) and any(isinstance(item, Edge) for item in value):
        fix = f"It holds {len(value)} edges: pick one, or unpack it"
    elif isinstance(value, str):
        got = f"the text {value!r}"
        fix += "; a node is named by `name=...`" if wanted.startswith("an edge") else ""
    return GraphError([Finding(f"expects {wanted}, got {got}", of, port, declared_here()[0], fix)])
