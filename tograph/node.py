"""Nodes, the edges between them, and the one verb: calling a node on edges gives an edge. Nothing runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, TypeVar, dataclass_transform

import attrs
import numpy as np

from . import codec
from .edge import CLUSTER, MADE_FOR, Edge, Origin, Vertex
from .errors import SpecError, declared_here
from .method import as_derivative
from .port import Port, Range, Wire, as_array, not_a_value, only, parameter
from .spec import Axis, Spec

C = TypeVar("C", bound=type)


@attrs.frozen(eq=False, slots=False)
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
    elementwise: ClassVar[bool] = False
    """True if output entry i depends on entry i of each input alone."""
    host: ClassVar[bool] = False
    """True if `forward` wants NumPy arrays and must not be traced by a framework."""
    backends: ClassVar[tuple[str, ...]] = ()
    """The backends that this node is written for; empty for all."""
    family: ClassVar[str] = "graph"
    """The word for derivatives by `pull_back` and `push_forward` in diagrams and listings."""
    scaling: ClassVar[str] = ""
    """The input that this node only multiplies by numbers; such factors commute with a solve."""
    columns: ClassVar[str] = ""
    """The input, (n,) or (n, k), whose columns are treated each for itself: several uses or a batch may be one call."""
    counts: ClassVar[str] = ""
    """"factorization" or "solve": what `explain()` adds up."""
    plain: ClassVar[bool] = False
    """True if constant parameters are wanted as plain numbers, with which `x ** 3.0` is cheaper than with arrays."""
    times: ClassVar[int] = 1
    """How often the work is done in one call: once for each member of a batch that cannot share it."""
    version: ClassVar[int] = 1

    def __attrs_post_init__(self) -> None:
        # A node is a value: changing the array or the list that it was made from must not change it.
        for f in attrs.fields(type(self)):
            value = getattr(self, f.name)
            if isinstance(value, list):
                object.__setattr__(self, f.name, tuple(value))
            elif isinstance(value, np.ndarray) and value.flags.writeable:
                kept = value.copy()
                kept.setflags(write=False)
                object.__setattr__(self, f.name, kept)

    def infer(self, *specs: Spec) -> Spec | tuple[Spec, ...]:
        """Output spec(s) from input specs; the default is that of the first input."""
        return specs[0]

    def forward(self, xp: Any, *values: Any) -> Any:
        """The operation on arrays."""
        raise NotImplementedError(f"{type(self).__name__} defines neither forward nor expand")

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Any:
        """The operation in terms of other nodes; only for nodes without `forward`."""
        raise NotImplementedError

    def bind(self, backend: Any) -> Callable[..., Any] | None:
        """The node as a function of one backend's arrays, for nodes that need more of it than `xp`; else None."""
        return None

    def pull_back(self, port: str, ct: Any, values: dict[str, Any]) -> Any:
        """A graph rule shared by a family of nodes: the cotangent edge of `port`, or None if it has none.

        `values` are the edges of the node's inputs and outputs by name. Registered rules come first.
        """
        return None

    def push_forward(self, port: str, t: Any, values: dict[str, Any]) -> Any:
        """As `pull_back`, for the tangent of the output."""
        return None

    def refuses(self, method: str) -> str:
        """Why a derivative method (see `tograph.method`) would be wrong for this node; "" if it would not."""
        return ""

    def simplify(self, specs: tuple[Spec, ...]) -> tuple[Node, str] | None:
        """An equal but cheaper node for these inputs, with the reason; None if there is none."""
        return None

    def cuts(self, name: str, inputs: tuple[str, ...]) -> str | None:
        """What a node does that acts on derivatives alone, in words; the value of its first input passes unchanged.

        The compiler takes such a node out once the derivatives are made. `name` and `inputs` are those of its use.
        """
        return None

    def check(self) -> Node | None:
        """A node of (output, *inputs) that measures the error of the output: a scalar, at most 1 for one that may be
        used. The compiler adds it, forward and adjoint; None if there is nothing to check."""
        return None

    def advice(self, dtype: str) -> str:
        """Of a node that checks: the likely cause of an error above 1, and what to do; "" for the usual words."""
        return ""

    def counted(self) -> Node | None:
        """A node that does the same and has a second output, which says how long it took, for `check` to take as its
        last input. The compiler puts it in this one's place once everything is differentiated; None if there is none.
        """
        return None

    def chosen(self) -> tuple[str, str] | None:
        """The method that was picked among several to compute this, and why, for `explain`; None if none was."""
        return None

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """Floating-point operations of one run, estimated; the default is one per entry of the largest array.

        Also asked for a derivative of this node, with what goes into and out of that.
        """
        return max((spec.size for spec in (*inputs, *outputs)), default=0)

    def describe(self) -> str:
        """The parameters as shown in diagrams and listings, e.g. `p=3 E_min=1e-09`."""
        shown = []
        for f in attrs.fields(type(self)):
            value = getattr(self, f.name)
            plain = isinstance(value, bool | int | float | str) and value != f.default
            if "range" in f.metadata or plain:
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
        return type(self) is type(other) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __call__(self, *inputs: Any, name: str | None = None, derivative: Any = None) -> Any:
        """Declare one use of this node. Returns an `Edge`, or a tuple of them for several outputs.

        Numbers and arrays among the inputs become constants. Nothing is computed or checked here:
        `Graph.validate` reports all problems at once.

        Raises:
            GraphError: something else than edges, numbers and arrays among the inputs.
        """
        origin = _origin(name, self.title, derivative)
        ports = _port_names(self.ports(), len(inputs))
        edges = [as_edge(value, port, self.title) for port, value in zip(ports, inputs, strict=True)]
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


def _origin(name: str | None, title: str, derivative: Any = None) -> Origin:
    made_for = MADE_FOR.get()
    if made_for is not None:
        return attrs.evolve(made_for, part=snake(title), derivative=as_derivative(derivative) or made_for.derivative)
    where, assigned = declared_here()
    if name is not None and not isinstance(name, str):
        raise not_a_value(name, "a text", title, "name")
    found = name or assigned or snake(title)
    return Origin(found, where, CLUSTER.get(), chosen=name is not None, derivative=as_derivative(derivative))


def as_edge(value: Any, label: str = "constant", of: str = "") -> Edge:
    """An edge as it is; a number or an array as a constant, labelled unless its value says it all.

    Raises:
        GraphError: if `value` is none of these; `of` is the node that it was given to.
    """
    if isinstance(value, Edge):
        return value
    array = as_array(value)
    if array is None:
        raise not_a_value(value, "an edge, a number or an array", of, label)
    return constant(array, label=label)


@node
class Constant(Node):
    """A fixed number or array; `kind` "array" fits every array port of the same shape."""

    value: np.ndarray = attrs.field(validator=only(np.ndarray))
    spec: Spec = attrs.field(validator=only(Spec))

    def infer(self, *specs: Spec) -> Spec:
        """The spec of the value, which must have its shape."""
        if self.value.shape != self.spec.shape:
            raise SpecError(f"has shape {self.value.shape}, but is declared as {self.spec.label()}")
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
    array = as_array(value)
    if array is None:
        raise not_a_value(value, "a number or an array", "constant")
    if array.dtype.kind == "f" or array.ndim == 0:
        array = array.astype(np.float64)
    array.setflags(write=False)
    made = Constant(array, spec or _spec_of(array))
    if made_by is not None:
        return Edge(Vertex(made, (), attrs.evolve(made_by, part=made.describe() or label)))
    return Edge(
        Vertex(made, (), Origin(name or made.describe() or label, where, CLUSTER.get(), chosen=name is not None))
    )


def _spec_of(array: np.ndarray) -> Spec:
    if array.ndim == 0:
        return Spec("scalar")
    axes = tuple(Axis(f"axis{i}", n) for i, n in enumerate(array.shape))
    return Spec("array", axes) if array.dtype.kind == "f" else Spec("integer", axes, "integer")


def snake(title: str) -> str:
    """`DensityFilter` -> `density_filter`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", title).lower()
