"""Edges and the vertices they join: what a user holds while declaring. No values, only structure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import attrs

from .errors import Location
from .method import Derivative

if TYPE_CHECKING:
    from .node import Node


CLUSTER: ContextVar[tuple[str, ...]] = ContextVar("cluster", default=())


MADE_FOR: ContextVar[Origin | None] = ContextVar("made_for", default=None)


@contextlib.contextmanager
def cluster(name: str) -> Iterator[None]:
    """Name a group of nodes: `with tg.cluster("filter"): ...` or `@tg.cluster("filter")` on a function.

    The group is drawn as a box. Clusters nest.
    """
    token = CLUSTER.set((*CLUSTER.get(), name))
    try:
        yield
    finally:
        CLUSTER.reset(token)


@contextlib.contextmanager
def made_for(origin: Origin) -> Iterator[None]:
    """Vertices declared inside carry this origin: they stand for, or differentiate, another vertex."""
    token = MADE_FOR.set(origin)
    try:
        yield
    finally:
        MADE_FOR.reset(token)


@attrs.frozen
class Origin:
    """Where a vertex comes from: its name, its line in the user's file, its cluster, and its role.

    `role` is "forward" for what the user declared, "reverse" and "tangent" for what
    differentiation added; then `name` is that of the forward vertex it differentiates. `part` names
    an inner step of a composite node, and is empty for the step that gives its result. `derivative` is
    the method chosen for differentiating the node, if one was chosen. `joined` are those of the vertices that this
    one does the work of, in words.
    """

    name: str
    where: Location = attrs.field(factory=Location)
    cluster: tuple[str, ...] = ()
    chosen: bool = False
    role: str = "forward"
    part: str = ""
    derivative: Derivative | None = None
    joined: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The name, with "adjoint of" or "tangent of" for what differentiation added."""
        of = {"forward": "", "tangent": "tangent of "}.get(self.role, "adjoint of ")
        return of + self.name


@attrs.frozen(eq=False, repr=False)
class Vertex:
    """One use of a node: the node, the edges that end in its ports, and its origin."""

    node: Node
    inputs: tuple[tuple[str, Edge], ...]
    origin: Origin

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The input edges in port order."""
        return tuple(edge for _, edge in self.inputs)

    def out(self) -> Any:
        """The output edge, or the tuple of them."""
        edges = tuple(Edge(self, i) for i in range(len(self.node.outputs)))
        return edges[0] if len(edges) == 1 else edges

    def __repr__(self) -> str:
        return f"{self.origin.name}: {self.node!r}"


OPERATORS: dict[str, Callable[..., Edge]] = {}
"""What `+ - * / **` on edges declare; filled by `tograph.arithmetic`."""


@attrs.frozen(repr=False)
class Edge:
    """An output of a vertex, to be used as input of others. Arithmetic on edges declares nodes."""

    vertex: Vertex
    index: int = 0

    __array_ufunc__ = None  # so that `array * edge` asks the edge instead of looping over the array

    def __add__(self, other: Any) -> Edge:
        return OPERATORS["add"](self, other)

    def __radd__(self, other: Any) -> Edge:
        return OPERATORS["add"](other, self)

    def __sub__(self, other: Any) -> Edge:
        return OPERATORS["subtract"](self, other)

    def __rsub__(self, other: Any) -> Edge:
        return OPERATORS["subtract"](other, self)

    def __mul__(self, other: Any) -> Edge:
        return OPERATORS["multiply"](self, other)

    def __rmul__(self, other: Any) -> Edge:
        return OPERATORS["multiply"](other, self)

    def __truediv__(self, other: Any) -> Edge:
        return OPERATORS["divide"](self, other)

    def __rtruediv__(self, other: Any) -> Edge:
        return OPERATORS["divide"](other, self)

    def __pow__(self, exponent: Any) -> Edge:
        return OPERATORS["power"](self, exponent)

    def __neg__(self) -> Edge:
        return OPERATORS["negative"](self)

    def __bool__(self) -> bool:
        raise TypeError("An edge has no value while the graph is declared, so it cannot decide an `if`")

    def __repr__(self) -> str:
        output = f".{self.vertex.node.outputs[self.index].name}" if len(self.vertex.node.outputs) > 1 else ""
        return f"<edge {self.vertex.origin.name}{output} from {self.vertex.node.title}>"
