"""The declared workflow: an immutable graph of vertices with named inputs and outputs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx

from .declare import Source
from .edge import Edge, Vertex
from .errors import Finding, GraphError, a, declared_here

if TYPE_CHECKING:
    from .inspect.zero import WhyZero
    from .program import Program

FORMAT = 1
"""Version of the JSON that `Graph.to_dict` writes."""


def topological(edges: Iterable[Edge], known: Container[Vertex] = ()) -> list[Vertex]:
    """All vertices that the edges depend on, each after its inputs, short of the `known` ones.

    Iterative: depth is no limit.
    """
    order: list[Vertex] = []
    done: set[Vertex] = set()
    for root in edges:
        stack: list[tuple[Vertex, bool]] = [(root.vertex, False)]
        while stack:
            vertex, expanded = stack.pop()
            if vertex in done or vertex in known:
                continue
            if expanded:
                done.add(vertex)
                order.append(vertex)
                continue
            stack.append((vertex, True))
            stack.extend((edge.vertex, False) for edge in reversed(vertex.edges) if edge.vertex not in done)
    return order


class Graph:
    """A topology-optimisation workflow: typed nodes, edges, named inputs and outputs. Holds no values.

    Args:
        inputs: the `source` edges, in the order in which programs take them.
        outputs: the named results; a list of edges is named after their nodes.
        name: shown in diagrams.

    Raises:
        GraphError: if inputs or outputs are not edges. Everything else is found by `validate`.
    """

    def __init__(
        self, inputs: Sequence[Edge], outputs: Mapping[str, Edge] | Sequence[Edge], *, name: str = "graph"
    ) -> None:
        listed = [(_output_name(edge, i), edge) for i, edge in enumerate(_several(outputs, "outputs"))]
        named = list(outputs.items()) if isinstance(outputs, Mapping) else listed
        _require_edges(_several(inputs, "inputs"), named)
        self.name = name
        self.inputs: tuple[Edge, ...] = tuple(inputs)
        self.outputs: dict[str, Edge] = dict(named)
        self.vertices: tuple[Vertex, ...] = tuple(topological([*self.outputs.values(), *self.inputs]))

    @cached_property
    def names(self) -> dict[Vertex, str]:
        """A unique name for every vertex; names chosen by the user win over those found by us."""
        taken: set[str] = set()
        last: Counter[str] = Counter()
        names: dict[Vertex, str] = {}
        for vertex in sorted(self.vertices, key=lambda v: not v.origin.chosen):
            wanted = name = vertex.origin.name
            while name in taken:
                last[wanted] = max(last[wanted], 1) + 1
                name = f"{wanted}_{last[wanted]}"
            taken.add(name)
            names[vertex] = name
        return names

    @cached_property
    def digraph(self) -> nx.MultiDiGraph:
        """The vertices as a networkx graph keyed by name; edges carry `port` and `output`."""
        graph = nx.MultiDiGraph(name=self.name)
        graph.add_nodes_from((name, {"vertex": vertex}) for vertex, name in self.names.items())
        for vertex in self.vertices:
            for port, edge in vertex.inputs:
                graph.add_edge(self.names[edge.vertex], self.names[vertex], port=port, output=edge.index)
        return graph

    @cached_property
    def hash(self) -> str:
        """Content hash: operations, parameters, wiring, input and output names; not labels or line numbers."""
        outputs = sorted(self.outputs.items())  # results go by name: the order in which they are listed says nothing
        ids = {vertex: i for i, vertex in enumerate(topological([*(edge for _, edge in outputs), *self.inputs]))}
        nodes = [[v.node.key, v.node.version, str(v.origin.derivative)] for v in ids]
        wires = [[[port, ids[edge.vertex], edge.index] for port, edge in v.inputs] for v in ids]
        ends = [[ids[e.vertex] for e in self.inputs], [[k, ids[e.vertex], e.index] for k, e in outputs]]
        return hashlib.sha256(json.dumps([FORMAT, nodes, wires, ends]).encode()).hexdigest()

    def input(self, name: str) -> Edge:
        """The input edge of that name (KeyError if there is none)."""
        return next(edge for edge in self.inputs if source_of(edge).name == name)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names under which programs take the inputs."""
        return tuple(source_of(edge).name for edge in self.inputs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def __repr__(self) -> str:
        ends = f"{', '.join(self.input_names)} -> {', '.join(self.outputs)}"
        return f"<Graph {self.name!r}: {ends}; {len(self.vertices)} nodes, {self.hash[:12]}>"

    # The verbs. Each is one line here so that users find it; the work is done above this layer.

    def validate(self) -> None:
        """Check everything that can be checked without data.

        Raises:
            GraphError: with all findings, each naming node, port, line of declaration and likely fix.
        """
        from .validate import findings

        if found := findings(self):
            raise GraphError(found)

    def compile(self, backend: str = "jax", *, dtype: str = "float64", **options: Any) -> Program:
        """Make a runnable program; see `tograph.program.Program`."""
        from .program import Program

        return Program(self, backend, dtype=dtype, **options)

    def draw(self, path: str | Path | None = None, **options: Any) -> Any:
        """Draw the forward pass, or with `of` and `wrt` the reverse pass; see `tograph.draw.draw`."""
        from .draw import draw

        return draw(self, path, **options)

    def why_zero(self, of: str, wrt: str) -> WhyZero:
        """Whether the derivative of an output with respect to an input is zero by structure, and why.

        Raises:
            TographError: unknown names; `GraphError` if the graph is not valid.
        """
        from .inspect.zero import structural

        return structural(self, of, wrt)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `Graph.from_dict` reads it back."""
        from .serialize import to_dict

        return to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Graph:
        """Rebuild a graph from `to_dict` data.

        Raises:
            GraphError: unknown node type or version, cycle, missing node: all of them at once.
        """
        from .serialize import from_dict

        return from_dict(data)

    def _repr_svg_(self) -> str:
        from .draw import draw

        return str(draw(self))

    def _repr_html_(self) -> str:
        from .draw import draw

        return draw(self)._repr_html_()


def source_of(edge: Edge) -> Source:
    """The `Source` node behind an input edge."""
    node = edge.vertex.node
    if not isinstance(node, Source):
        raise TypeError(f"{edge!r} is not an input: inputs are made by `tg.source`")
    return node


def _output_name(edge: Any, i: int) -> str:
    return edge.vertex.origin.name if isinstance(edge, Edge) else f"output{i}"


def _several(edges: Any, what: str) -> Iterable[Any]:
    if isinstance(edges, Iterable) and not isinstance(edges, str):
        return edges
    got = repr(edges) if isinstance(edges, Edge) else a(type(edges).__name__)
    fix = f"Put it in brackets: {what}=[...]" if isinstance(edges, Edge) else "Give a list of edges"
    raise GraphError([Finding(f"`{what}` is {got}, not a list of edges", where=declared_here()[0], fix=fix)])


def _kind(value: Any) -> str:
    return "None" if value is None else a(type(value).__name__)


def _require_edges(inputs: Iterable[Any], outputs: Sequence[tuple[Any, Any]]) -> None:
    where, _ = declared_here()
    found = []
    for i, edge in enumerate(inputs):
        if not (isinstance(edge, Edge) and isinstance(edge.vertex.node, Source)):
            got = repr(edge) if isinstance(edge, Edge) else _kind(edge)
            found.append(Finding(f"input {i} is {got}, not an edge made by `tg.source`", where=where))
    for name, edge in outputs:
        if not isinstance(name, str):
            found.append(Finding(f"the output name {name!r} is not a text", where=where, fix="Name outputs by texts"))
        if not isinstance(edge, Edge):
            fix = "Pick one: it is a tuple of edges" if isinstance(edge, tuple) else "Give the edge to be computed"
            found.append(Finding(f"output {name!r} is {_kind(edge)}, not an edge", where=where, fix=fix))
    for name, count in Counter(name for name, _ in outputs).items():
        if count > 1:
            fix = "Name them apart: outputs={name: edge, ...}"
            found.append(Finding(f"{count} outputs are called {name!r}", where=where, fix=fix))
    if not outputs:
        found.append(Finding("there are no outputs", where=where, fix="Name at least one edge to be computed"))
    if found:
        raise GraphError(found)
