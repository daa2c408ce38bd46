"""Graph -> diagram: the forward pass as declared, one box per node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ..declare import Detach, WithGradientOf
from ..edge import Edge, Origin, Vertex
from ..expand import expand
from ..graph import Graph
from ..spec import Spec
from ..validate import all_specs, findings
from . import words
from .definitions import defined
from .legend import legend
from .model import Arrow, Box, Cluster, Diagram, Header, Wire
from .places import base

Specs = dict[Vertex, tuple[Spec, ...]]


def declared(graph: Graph, backend: str = "", dtype: str = "") -> Diagram:
    """The diagram of a graph. A graph with errors is drawn without port specs, and says so."""
    wrong = findings(graph)
    specs = {} if wrong else all_specs(list(graph.outputs.values()))
    # Nodes that one line of a loop declares share their origin: what is inside is noted once for all of them.
    inner: dict[Origin, dict[tuple[str, str, bool], None]] = defaultdict(dict)
    for vertex in () if wrong else expand(graph.outputs).specs:
        inner[base(vertex)][vertex.node.title, vertex.node.counts, vertex.node.host] = None
    drawn = [v for v in graph.vertices if not isinstance(v.node, Detach)]
    position = {vertex: i for i, vertex in enumerate(graph.vertices)}
    boxes = [_box(vertex, graph, inner[base(vertex)], position) for vertex in drawn]
    boxes += [Box(f"output {name}", "output", name, lines=()) for name in graph.outputs]
    arrows = [_arrow(v, port, edge, graph, specs, position) for v in drawn for port, edge in v.inputs]
    arrows += [_result(name, edge, graph, specs) for name, edge in graph.outputs.items()]
    facts = (f"{len(wrong)} problems: see graph.validate()",) if wrong else ()
    header = Header(
        graph.name, words.computes(graph, (), (), "value"), "forward", graph.hash[:12], backend, dtype, facts
    )
    return Diagram(header, tuple(boxes), tuple(arrows), _clusters(drawn, graph), legend(boxes, arrows), defined(drawn))


def _box(vertex: Vertex, graph: Graph, inner: Iterable[tuple[str, str, bool]], position: dict[Vertex, int]) -> Box:
    node = vertex.node
    titles, counts, hosts = zip((node.title, node.counts, node.host), *inner, strict=True)
    return Box(
        id=graph.names[vertex],
        kind=words.box_kind(node, set(counts)),
        title=graph.names[vertex],
        operation=words.operation(node),
        lines=_surrogate(vertex, graph) or words.parameters(node, graph.names[vertex]),
        badges=("host",) if any(hosts) else (),
        where=vertex.origin.where.brief,
        steps=(position[vertex],),
        detail=titles[1:],
        about=words.operation(node),
    )


def _surrogate(vertex: Vertex, graph: Graph) -> tuple[str, ...]:
    """What a surrogate is made of; () for everything else."""
    if not isinstance(vertex.node, WithGradientOf):
        return ()
    value, slope = (graph.names[_through(edge)[0].vertex] for edge in vertex.edges)
    return f"value of {value},", f"slope of {slope}"


def _arrow(vertex: Vertex, port: str, edge: Edge, graph: Graph, specs: Specs, position: dict[Vertex, int]) -> Arrow:
    start, cuts = _through(edge)
    spec = specs[start.vertex][start.index] if start.vertex in specs else None
    wire = Wire(position[start.vertex], start.index, position[vertex], port)
    label = words.port_label(start.vertex, start.index, spec)
    kind = words.flow(spec)
    if cuts:
        kind, label = "detached", (*label, *_cut_label(cuts))
    elif isinstance(vertex.node, WithGradientOf):
        kind, label = "surrogate", (*label, "derivative only")
    return Arrow(graph.names[start.vertex], graph.names[vertex], kind, label, spec.nbytes() if spec else None, (wire,))


def _through(edge: Edge) -> tuple[Edge, list[Vertex]]:
    """Where a value really comes from, and the cuts it passes."""
    cuts = []
    while isinstance(edge.vertex.node, Detach):
        cuts.append(edge.vertex)
        edge = edge.vertex.edges[0]
    return edge, cuts


def _cut_label(cuts: list[Vertex]) -> tuple[str, ...]:
    return tuple(line for v in cuts for line in cut_label(v.origin.name, v.node.reason))  # type: ignore[attr-defined]


def cut_label(name: str, reason: str) -> tuple[str, ...]:
    """The text on a detached edge."""
    return words.wrapped(f"✂ {name}: {reason or 'detached'}", 26)


def surrogate_label(name: str, slope: str) -> tuple[str, ...]:
    """The text on a derivative that takes another way than the value."""
    return words.wrapped(f"surrogate {name}: slope of {slope}", 26)


def _result(name: str, edge: Edge, graph: Graph, specs: Specs) -> Arrow:
    start, cuts = _through(edge)
    spec = specs[start.vertex][start.index] if start.vertex in specs else None
    label = words.port_label(start.vertex, start.index, spec)
    if cuts:
        return Arrow(graph.names[start.vertex], f"output {name}", "detached", (*label, *_cut_label(cuts)))
    return Arrow(graph.names[start.vertex], f"output {name}", words.flow(spec), label)


def _clusters(drawn: list[Vertex], graph: Graph) -> tuple[Cluster, ...]:
    paths: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for vertex in drawn:
        path = vertex.origin.cluster
        for depth in range(1, len(path) + 1):
            paths[path[:depth]] += [graph.names[vertex]] if depth == len(path) else []
    return tuple(Cluster(path, tuple(boxes)) for path, boxes in sorted(paths.items()))
