"""Nodes, the edges between them, and the one verb: calling a node on edges gives an edge. Nothing runs."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, ClassVar, TypeVar, dataclass_transform

import attrs
import numpy as np

from . import codec
from .edge import CLUSTER, MADE_FOR, Edge, Origin, Vertex
from .errors import Finding, GraphError, declared_here
from .spec import Axis, Spec

C = TypeVar("C", bound=type)


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
    default: Any = attrs.NOTHING, *, above: float | None = None, low: float = -np.inf, high: float = np.inf
) -> Any:
    """A numeric parameter of a node: a number fixed at declaration, or an edge (then a further input).

    Args:
        default: the value if none is given.
        above: exclusive lower bound.
        low: inclusive lower bound.
        high: inclusive upper bound. Bounds are checked by `Graph.validate`.
    """
    allowed = Range(low if above is None else above, high, above is not None)
    return attrs.field(default=default, converter=_number_or_edge, metadata={"range": allowed})


def _number_or_edge(value: Any) -> Any:
    return value if isinstance(value, Edge | Wire) else float(value)


class Node:
    """One operation. Frozen and pure: parameters are fields, arrays come through edges.

    A node type says what it is by a few class attributes and methods:

    * `inputs`, `outputs`: the ports;
    * `linear`: the inputs in which the node is linear (each on its own); for these the tangent rule
      is the node itself, and the compiler may move scalars through it;
    * `infer(*specs)`: output spec(s), or `SpecError`;
    * `forward(xp, *values)`: the operation on arrays of the array namespace `xp`, inputs first, then
      parameters, each in declared order. Pure; no framework. *Or*
    * `expand(specs, *edges)`: the operation in terms of other nodes.

    Derivative rules are registered beside the class: see `tograph.rules`.
    """

    inputs: ClassVar[tuple[Port, ...]] = ()
    outputs: ClassVar[tuple[Port, ...]] = (Port("out"),)
    linear: ClassVar[tuple[str, ...]] = ()
    host: ClassVar[bool] = False
    """True if `forward` wants NumPy arrays and must not be traced by a framework."""
    scaling: ClassVar[str] = ""
    """The input that this node only multiplies by numbers; such factors commute with a solve."""
    counts: ClassVar[str] = ""
    """"factorization" or "solve": what `explain()` adds up."""
    version: ClassVar[int] = 1

    def infer(self, *specs: Spec) -> Spec | tuple[Spec, ...]:
        """Output spec(s) from input specs; the default is that of the first input."""
        return specs[0]

    def forward(self, xp: Any, *values: Any) -> Any:
        """The operation on arrays."""
        raise NotImplementedError(f"{type(self).__name__} defines neither forward nor expand")

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Any:
        """The operation in terms of other nodes; only for nodes without `forward`."""
        raise NotImplementedError

    def simplify(self, specs: tuple[Spec, ...]) -> tuple[Node, str] | None:
        """An equal but cheaper node for these inputs, with the reason; None if there is none."""
        return None

    def describe(self) -> str:
        """The parameters as shown in diagrams and listings, e.g. `p=3 E_min=1e-09`."""
        shown = []
        for f in attrs.fields(type(self)):
            value = getattr(self, f.name)
            if isinstance(value, bool | int | float | str | Wire) and value != f.default:
                shown.append(f"{f.name}={value:g}" if isinstance(value, float) else f"{f.name}={value}")
        return " ".join(shown)

    @property
    def title(self) -> str:
        """The name of the operation, as shown in diagrams."""
        return type(self).__name__

    @cached_property
    def key(self) -> str:
        """Content hash: equal nodes have equal keys."""
        return codec.digest(self)

    @property
    def parameters(self) -> dict[str, Any]:
        """The numeric parameters, constant or `Wire`, in declared order."""
        return {f.name: getattr(self, f.name) for f in attrs.fields(type(self)) if "range" in f.metadata}

    @property
    def constants(self) -> dict[str, float]:
        """The parameters that are plain numbers."""
        return {name: value for name, value in self.parameters.items() if not isinstance(value, Wire)}

    @property
    def ranges(self) -> dict[str, Range]:
        """The allowed values of the numeric parameters."""
        return {f.name: f.metadata["range"] for f in attrs.fields(type(self)) if "range" in f.metadata}

    def ports(self) -> tuple[Port, ...]:
        """All input ports: the declared ones, then the parameters that are wires."""
        wires = tuple(Port(name, "scalar") for name, value in self.parameters.items() if isinstance(value, Wire))
        return self.inputs + wires

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.key == other.key  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.key)

    def __call__(self, *inputs: Any, name: str | None = None) -> Any:
        """Declare one use of this node. Returns an `Edge`, or a tuple of them for several outputs.

        Numbers and arrays among the inputs become constants. Nothing is computed or checked here:
        `Graph.validate` reports all problems at once.
        """
        origin = _origin(name, self.title)
        ports = _port_names(self.inputs, len(inputs))
        edges = [as_edge(value, port) for port, value in zip(ports, inputs, strict=True)]
        parameters = self.parameters
        wired = {port: edge for port, edge in parameters.items() if isinstance(edge, Edge)}
        node = attrs.evolve(self, **{port: Wire() for port in wired}) if wired else self
        bound = [*zip(ports, edges, strict=True), *wired.items()]
        return Vertex(node, tuple(bound), origin).out()


def _port_names(ports: tuple[Port, ...], count: int) -> list[str]:
    names = [port.name for port in ports if not port.variadic][:count]
    variadic = next((port.name for port in ports if port.variadic), "surplus")
    return names + [f"{variadic}{i}" for i in range(count - len(names))]


@dataclass_transform(frozen_default=True, field_specifiers=(parameter, attrs.field))
def node(cls: C) -> C:
    """Class decorator: make a `Node` subclass a frozen value type that graphs can store."""
    made = attrs.frozen(cls, eq=False, slots=False, hash=False)
    return codec.register(made)


def _origin(name: str | None, title: str) -> Origin:
    made_for = MADE_FOR.get()
    if made_for is not None:
        return attrs.evolve(made_for, part=snake(title))
    where, assigned = declared_here()
    return Origin(name or assigned or snake(title), where, CLUSTER.get(), chosen=name is not None)


def as_edge(value: Any, label: str = "constant") -> Edge:
    """An edge as it is; a number or an array as a constant, labelled unless its value says it all."""
    return value if isinstance(value, Edge) else constant(value, label=label)


@node
class Constant(Node):
    """A fixed number or array; `kind` "array" fits every array port of the same shape."""

    value: np.ndarray
    spec: Spec

    def infer(self, *specs: Spec) -> Spec:
        """The spec of the value."""
        return self.spec

    def describe(self) -> str:
        """The value, if it is one number."""
        return f"{float(self.value):g}" if self.value.ndim == 0 else ""


def constant(value: Any, spec: Spec | None = None, *, name: str | None = None, label: str = "constant") -> Edge:
    """Declare a constant from a number or an array; `label` names it where no `name` is chosen.

    Raises:
        GraphError: if `value` is not numeric.
    """
    made_by = MADE_FOR.get()
    where = made_by.where if made_by else declared_here()[0]
    if isinstance(value, Spec | str) or value is None:
        array = np.asarray(None)
    else:
        array = np.array(value)
    if array.dtype.kind not in "biuf":
        fix = "Give an edge, a number or an array"
        raise GraphError([Finding(f"cannot use {value!r} as an input of a node", where=where, fix=fix)])
    if array.dtype.kind == "f" or array.ndim == 0:
        array = array.astype(np.float64)
    array.setflags(write=False)
    made = Constant(array, spec or _spec_of(array))
    if made_by is not None:
        return Edge(Vertex(made, (), attrs.evolve(made_by, part=made.describe() or label)))
    return Edge(Vertex(made, (), Origin(name or made.describe() or label, where, CLUSTER.get(), chosen=name is not None)))


def _spec_of(array: np.ndarray) -> Spec:
    if array.ndim == 0:
        return Spec("scalar")
    axes = tuple(Axis(f"axis{i}", n) for i, n in enumerate(array.shape))
    return Spec("array", axes) if array.dtype.kind == "f" else Spec("integer", axes, "integer")


def snake(title: str) -> str:
    """`DensityFilter` -> `density_filter`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", title).lower()

