"""What is checked: every vertex on its own, and every output as a whole. Both are small graphs with values.

A vertex is cut out of its graph: its inputs become sources that hold the values they have there. What
is not an array (an operator, a factorisation) is no value to start from, so whatever makes it is cut
out together with the vertex; an operator is thus checked through each vertex that turns it into an
array, e.g. E -> K -> factor -> u and E -> K -> K u. Nothing here has to know what an operator is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np

from ..arithmetic import Dot
from ..backends.base import Backend
from ..declare import Detach, Source, source
from ..differentiate import NoPath, active_vertices, why_no_path
from ..edge import Edge, Vertex
from ..expand import expand
from ..graph import Graph, source_of, topological
from ..node import Constant, Node, constant
from ..port import Range
from ..spec import Spec
from ..validate import all_specs
from .point import allowed

ARRAYS = ("field", "vector", "scalar", "array")
WEIGHT = "check weight"
"""The input that holds the weights w of the scalar <w, y> whose gradient is J^T w."""

Values = Mapping[str, np.ndarray]
Specs = Mapping[Vertex, tuple[Spec, ...]]


@attrs.frozen(eq=False)
class Case:
    """Something to be checked.

    Attributes:
        node: its name in the report.
        graph: inputs, the output "y" and, unless y is a scalar, the output "probe" = <w, y>.
        still: the same with every detached edge held at its value: what the derivatives are those of.
        values: the point.
        ports: the inputs to differentiate by, with their names in the report.
        kinds: of all inputs.
        spec: of y.
        ranges: the values allowed by the node or the input, where somebody said.
        no_path: the inputs asked for on which y does not depend, and why.
        whole: an output of the graph, and not a single vertex.
    """

    node: str
    graph: Graph
    still: Graph
    values: Values
    ports: Mapping[str, str]
    kinds: Mapping[str, str]
    spec: Spec
    ranges: Mapping[str, Range] = attrs.field(factory=dict)
    no_path: Mapping[str, str] = attrs.field(factory=dict)
    whole: bool = False

    @property
    def probe(self) -> str:
        """The scalar output."""
        return "probe" if "probe" in self.graph.outputs else "y"

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of y, which is that of w."""
        return source_of(self.graph.input(WEIGHT)).spec.shape if self.probe == "probe" else ()

    def dtypes(self, backend: Backend) -> dict[str, str]:
        """What a program of this precision gives for the gradients, and for the scalar unless y is of a fixed dtype."""
        found = {x: backend.dtype_of(source_of(self.graph.input(x)).spec) for x in self.ports}
        return found | ({"value": backend.dtype} if self.spec.dtype == "real" else {})

    def repeats(self, other: Case) -> bool:
        """Whether an output is a single vertex that has been checked already."""
        if self.graph.hash != other.graph.hash or self.ports != other.ports or self.no_path:
            return False
        return all(np.array_equal(value, self.values[x]) for x, value in other.values.items())

    @property
    def primitives(self) -> list[Vertex]:
        """All that is computed, composites expanded."""
        return topological(expand({"y": self.graph.outputs["y"]}).edges.values())


def whole(graph: Graph, name: str, wrt: Sequence[str], values: Values) -> Case | None:
    """One output of the graph; None if it is not an array."""
    edge = graph.outputs[name]
    spec = all_specs([edge])[edge.vertex][edge.index]
    if spec.kind not in ARRAYS:
        return None
    order = topological([edge])
    inputs = {source_of(e).name: e for e in graph.inputs if e.vertex in order}
    reached = {x: edge.vertex in _reached(order, [inputs[x]]) for x in wrt if x in inputs}
    ports = {x: x for x in wrt if reached.get(x)}
    missing = {x: why_no_path(order, graph.input(x)) for x in wrt if x not in ports}
    made = _graph(inputs, edge, spec)
    ranges = {x: allowed(inputs[x], order) for x in ports}
    still, why = _held(made, values), _reasons(missing)
    return Case(f"{name!r}", made, still, values, ports, _kinds(made), spec, ranges, why, whole=True)


def cells(graph: Graph, of: Sequence[str], wrt: Sequence[str], values: Values, backends: Sequence[str]) -> list[Case]:
    """Every vertex between the inputs `wrt` and the outputs `of`, in the order of computation."""
    expanded = expand({name: graph.outputs[name] for name in of})
    ends = _unnamed(list(expanded.edges.values()))
    specs, order = all_specs(ends), topological(ends)
    moving = _reached(order, [edge for edge in graph.inputs if source_of(edge).name in wrt])
    names = _names(order)
    heads = [Edge(v, i) for v in order for i in range(len(v.node.outputs)) if v in moving and not _is_end(v)]
    cut = {head: _cut(head, specs) for head in heads if specs[head.vertex][head.index].kind in ARRAYS}
    known = _evaluate(graph, {e for inner in cut.values() for e in inner.values()}, values, backends)
    made = (_cell(head, inner, specs, moving, known, names) for head, inner in cut.items())
    return [case for case in made if case.ports or case.no_path]


Port = tuple[Vertex, str]


def _cut(head: Edge, specs: Specs) -> dict[Port, Edge]:
    """Where arrays enter the part of the graph that is checked with this edge."""
    found: dict[Port, Edge] = {}
    waiting = [head.vertex]
    while waiting:
        vertex = waiting.pop()
        for port, edge in vertex.inputs:
            if specs[edge.vertex][edge.index].kind not in (*ARRAYS, "integer", "params"):
                waiting.append(edge.vertex)
            elif not isinstance(edge.vertex.node, Constant):
                found[vertex, port] = edge
    return found


def _cell(
    head: Edge,
    inner: dict[Port, Edge],
    specs: Specs,
    moving: set[Vertex],
    known: dict[Edge, np.ndarray],
    names: dict[Vertex, str],
) -> Case:
    label = {(v, p): p if v == head.vertex else f"{names[v]}.{p}" for v, p in inner}
    sources = {at: _source(label[at], edge, specs) for at, edge in inner.items()}
    made: dict[Vertex, Vertex] = {}
    for vertex in topological([head], known={edge.vertex for edge in inner.values()} - {head.vertex}):
        inputs = tuple(
            (p, sources.get((vertex, p), Edge(made.get(e.vertex, e.vertex), e.index))) for p, e in vertex.inputs
        )
        made[vertex] = Vertex(vertex.node, inputs, vertex.origin)
    values = {label[at]: known[edge] for at, edge in inner.items()}
    spec = specs[head.vertex][head.index]
    graph = _graph({label[at]: edge for at, edge in sources.items()}, Edge(made[head.vertex], head.index), spec)
    asked = {at for at, e in inner.items() if e.vertex in moving and specs[e.vertex][e.index].differentiable}
    order = topological([graph.outputs["y"]])
    felt = {at for at in asked if made[head.vertex] in active_vertices(order, [sources[at]])}
    missing = {label[at]: why_no_path(order, sources[at]) for at in inner if at in asked - felt}
    ports = {label[at]: label[at] for at in inner if at in felt}
    ranges = {label[at]: allowed(edge, [at[0]]) for at, edge in inner.items() if at in felt}
    name, outputs = names[head.vertex], head.vertex.node.outputs
    named = name if len(outputs) == 1 else f"{name}.{outputs[head.index].name}"
    return Case(named, graph, graph, values, ports, _kinds(graph), spec, ranges, _reasons(missing))


def _reasons(missing: Mapping[str, NoPath]) -> dict[str, str]:
    return {x: f"{why.word}: {why.reason}" for x, why in missing.items()}


def _source(name: str, edge: Edge, specs: Specs) -> Edge:
    node = edge.vertex.node
    return edge if isinstance(node, Source) and node.name == name else source(name, specs[edge.vertex][edge.index])


def _graph(inputs: Mapping[str, Edge], y: Edge, spec: Spec) -> Graph:
    """With the output y and its weighted sum."""
    if spec.kind == "scalar":
        return Graph(list(inputs.values()), {"y": y}, name="check")
    weight = source(WEIGHT, attrs.evolve(spec, unit=None))
    return Graph([*inputs.values(), weight], {"y": y, "probe": Dot()(y, weight)}, name="check")


def _held(graph: Graph, values: Values) -> Graph:
    """The graph with every `Detach` replaced by the constant that it passes on at this point."""
    detached = [vertex for vertex in graph.vertices if isinstance(vertex.node, Detach)]
    if not detached:
        return graph
    point = {edge: values[name] for edge, name in zip(graph.inputs, graph.input_names, strict=True) if name != WEIGHT}
    at = Graph(list(point), {str(i): Edge(v) for i, v in enumerate(detached)} | {"y": graph.outputs["y"]})
    found = at.compile("numpy")(*point.values())
    specs = all_specs(list(at.outputs.values()))
    new = {v: constant(found[str(i)], specs[v][0]).vertex for i, v in enumerate(detached)}
    (y,) = rebuilt([graph.outputs["y"]], new)
    reached = topological([y])
    return Graph([edge for edge in graph.inputs if edge.vertex in reached], {"y": y}, name="check")


def rebuilt(edges: Sequence[Edge], new: dict[Vertex, Vertex]) -> list[Edge]:
    """The edges with some vertices replaced."""
    for vertex in topological(edges, known=dict(new)):
        inputs = tuple((port, Edge(new[edge.vertex], edge.index)) for port, edge in vertex.inputs)
        new[vertex] = vertex if inputs == vertex.inputs else Vertex(vertex.node, inputs, vertex.origin)
    return [Edge(new[edge.vertex], edge.index) for edge in edges]


def _unnamed(edges: Sequence[Edge]) -> list[Edge]:
    """A copy in which no name is insisted on: the parts of a composite all carry its name."""
    new: dict[Vertex, Vertex] = {}
    for vertex in topological(edges):
        inputs = tuple((port, Edge(new[edge.vertex], edge.index)) for port, edge in vertex.inputs)
        origin = attrs.evolve(vertex.origin, chosen=False)
        new[vertex] = vertex if isinstance(vertex.node, Source) else Vertex(vertex.node, inputs, origin)
    return [Edge(new[edge.vertex], edge.index) for edge in edges]


def _evaluate(graph: Graph, edges: Iterable[Edge], values: Values, backends: Sequence[str]) -> dict[Edge, np.ndarray]:
    """The values of edges at the point, by the reference backend where it can."""
    wanted = list(edges)
    found = {e: values[source_of(e).name] for e in wanted if isinstance(e.vertex.node, Source)}
    rest = [edge for edge in wanted if edge not in found]
    varying = set(_reached(topological(rest), graph.inputs, through=True))
    for part in ([e for e in rest if e.vertex in varying], [e for e in rest if e.vertex not in varying]):
        if not part:
            continue
        reached = topological(part)
        inputs = [edge for edge in graph.inputs if edge.vertex in reached]
        at = Graph(inputs, {str(i): edge for i, edge in enumerate(part)}, name="check")
        portable = all(is_portable(v.node) for v in reached if not _is_end(v))
        made = at.compile("numpy" if portable else backends[0])(*(values[source_of(edge).name] for edge in inputs))
        found |= {edge: np.asarray(made[str(i)]) for i, edge in enumerate(part)}
    return found


def _reached(order: Sequence[Vertex], start: Sequence[Edge], through: bool = False) -> set[Vertex]:
    """The vertices that a derivative with respect to `start` passes; with `through`, all that depend on it."""
    found = {edge.vertex for edge in start}
    for vertex in order:
        open_ = through or not isinstance(vertex.node, Detach)
        if open_ and any(edge.vertex in found for edge in vertex.edges):
            found.add(vertex)
    return found


def is_portable(node: Node) -> bool:
    """Whether the node runs on every backend: it has a `forward`, or makes one for each (see `Node.bind`)."""
    return type(node).forward is not Node.forward or type(node).bind is not Node.bind


def _is_end(vertex: Vertex) -> bool:
    return isinstance(vertex.node, Source | Constant | Detach)


def _kinds(graph: Graph) -> dict[str, str]:
    return {source_of(edge).name: source_of(edge).spec.kind for edge in graph.inputs}


def _names(order: Sequence[Vertex]) -> dict[Vertex, str]:
    """Unique names: that of the declared vertex and, inside a composite, the step."""
    names: dict[Vertex, str] = {}
    for vertex in order:
        base = ".".join(part for part in (vertex.origin.name, vertex.origin.part) if part)
        name, i = base, 1
        while name in names.values():
            i += 1
            name = f"{base}_{i}"
        names[vertex] = name
    return names
