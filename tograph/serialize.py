"""Graph <-> plain data (JSON). Versioned; never pickle, never eval."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import networkx as nx

from . import codec
from .declare import Source
from .edge import Edge, Origin, Vertex
from .errors import Finding, GraphError, Location, TographError, a, did_you_mean
from .graph import FORMAT, Graph
from .method import Derivative
from .node import Node


def to_dict(graph: Graph) -> dict[str, Any]:
    """A graph as plain data: format version, name, inputs, outputs, vertices in topological order."""
    names = graph.names
    return {
        "tograph": FORMAT,
        "name": graph.name,
        "inputs": [names[edge.vertex] for edge in graph.inputs],
        "outputs": {key: [names[edge.vertex], edge.index] for key, edge in graph.outputs.items()},
        "vertices": [_vertex_to_dict(vertex, names) for vertex in graph.vertices],
    }


def _vertex_to_dict(vertex: Vertex, names: dict[Vertex, str]) -> dict[str, Any]:
    encoded = codec.encode(vertex.node)
    return {
        "name": names[vertex],
        "chosen": vertex.origin.chosen,
        "type": encoded["type"],
        "version": vertex.node.version,
        "fields": encoded["fields"],
        "inputs": {port: [names[edge.vertex], edge.index] for port, edge in vertex.inputs},
        "cluster": list(vertex.origin.cluster),
        "derivative": codec.encode(vertex.origin.derivative),
        "declared": [PurePath(vertex.origin.where.file).name, vertex.origin.where.line],
    }


def from_dict(data: Mapping[str, Any]) -> Graph:
    """The inverse of `to_dict`.

    Raises:
        GraphError: with everything that is wrong with the data.
    """
    _refuse(_format(data) or _layout(data))
    records = {record["name"]: record for record in data["vertices"]}
    nodes, found = _nodes(records)
    methods, wrong = _methods(records)
    found += wrong
    _refuse(found + _ends(data, records, nodes) + _references(records, nodes) + _cycles(records))
    made: dict[str, Vertex] = {}
    for name in _order(records):
        record = records[name]
        inputs = tuple((port, Edge(made[source], index)) for port, (source, index) in _in_order(record, nodes[name]))
        cluster = tuple(record["cluster"])
        origin = Origin(name, _where(record), cluster, record["chosen"], derivative=methods[name])
        made[name] = Vertex(nodes[name], inputs, origin)
    outputs = {key: Edge(made[source], index) for key, (source, index) in data["outputs"].items()}
    return Graph([Edge(made[name]) for name in data["inputs"]], outputs, name=data["name"])


def _refuse(found: list[Finding]) -> None:
    if found:
        raise GraphError(found)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _is_pair(value: Any) -> bool:
    """A text and a count: [node, number of its output], or [file, line]."""
    pair = isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str)
    return pair and isinstance(value[1], int) and not isinstance(value[1], bool) and value[1] >= 0


def _is_wiring(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) and _is_pair(pair) for key, pair in value.items())


Keys = dict[str, tuple[Callable[[Any], bool], str]]

_GRAPH: Keys = {
    "name": (_is_text, "a text"),
    "inputs": (_is_texts, "a list of node names"),
    "outputs": (_is_wiring, "an object {output: [node, number of its output]}"),
    "vertices": (lambda value: isinstance(value, list | tuple), "a list of nodes"),
}
_VERTEX: Keys = {
    "name": (_is_text, "a text"),
    "chosen": (lambda value: isinstance(value, bool), "true or false"),
    "type": (_is_text, "a text"),
    "version": (lambda value: isinstance(value, int), "a whole number"),
    "fields": (lambda value: isinstance(value, Mapping), "an object {field: value}"),
    "inputs": (_is_wiring, "an object {port: [node, number of its output]}"),
    "cluster": (_is_texts, "a list of texts"),
    "derivative": (lambda value: value is None or isinstance(value, Mapping), "null, or a derivative method"),
    "declared": (_is_pair, "a pair [file, line]"),
}


def _format(data: Any) -> list[Finding]:
    if not isinstance(data, Mapping):
        fix = "Read the file with `json.load` first" if isinstance(data, str | bytes) else "Use `Graph.to_dict`"
        return [Finding(f"this is not a graph written by tograph, but {a(type(data).__name__)}", fix=fix)]
    if "tograph" not in data:
        return [Finding("this is not a graph written by tograph: it has no key 'tograph'", fix="Use `Graph.to_dict`")]
    if data["tograph"] != FORMAT:
        message = f"the graph has format version {data['tograph']!r}, this tograph reads version {FORMAT}"
        return [Finding(message, fix="Write it again with a matching tograph")]
    return []


def _layout(data: Mapping[str, Any]) -> list[Finding]:
    """What is missing or of the wrong JSON type; the rest of this file relies on it."""
    found = list(_wrong_keys(data, _GRAPH, "the graph"))
    records = data.get("vertices")
    seen: set[str] = set()
    for i, record in enumerate(records if isinstance(records, list | tuple) else ()):
        if not isinstance(record, Mapping):
            found.append(Finding(f"must be an object, got {_short(record)}", f"vertices[{i}]"))
            continue
        name = record["name"] if isinstance(record.get("name"), str) else f"vertices[{i}]"
        found += _wrong_keys(record, _VERTEX, name)
        if name in seen:
            found.append(Finding(f"two nodes are called {name!r}", name, fix="Every node needs a name of its own"))
        seen.add(name)
    return found


def _wrong_keys(data: Mapping[str, Any], keys: Keys, subject: str) -> Iterator[Finding]:
    for key, (fits, words) in keys.items():
        if key not in data:
            yield Finding(f"{key!r} is missing: it must be {words}", subject)
        elif not fits(data[key]):
            yield Finding(f"{key!r} must be {words}, got {_short(data[key])}", subject)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _where(record: Mapping[str, Any]) -> Location:
    return Location(*record["declared"])


def _nodes(records: Mapping[str, Any]) -> tuple[dict[str, Node], list[Finding]]:
    nodes: dict[str, Node] = {}
    found: list[Finding] = []
    for name, record in records.items():
        made = _node(record)
        if isinstance(made, Node):
            nodes[name] = made
        else:
            found.append(Finding(made.message, name, made.port, _where(record), made.fix))
    return nodes, found


def _node(record: Mapping[str, Any]) -> Node | Finding:
    try:
        cls = codec.find_type(record["type"])
        if not issubclass(cls, Node):
            return Finding(f"{record['type']} is not a node type")
        if record["version"] != cls.version:
            message = f"{record['type']} has version {record['version']} in the file, {cls.version} here"
            return Finding(message, fix="Rebuild the graph with this version of the node")
        made: Node = codec.decode({"type": record["type"], "fields": record["fields"]})
    except GraphError as error:
        return error.findings[0]
    except TographError as error:
        return Finding(str(error))
    return made


def _methods(records: Mapping[str, Any]) -> tuple[dict[str, Derivative | None], list[Finding]]:
    """How each node is to be differentiated, where that was chosen."""
    methods: dict[str, Derivative | None] = {}
    found: list[Finding] = []
    for name, record in records.items():
        try:
            made = codec.decode(record["derivative"])
        except TographError as error:
            found.append(Finding(str(error), name, where=_where(record)))
            continue
        methods[name] = made
        if made is not None and not isinstance(made, Derivative):
            got = type(made).__name__
            found.append(Finding(f"'derivative' must be a Derivative, got {a(got)}", name, where=_where(record)))
    return methods, found


def _ends(data: Mapping[str, Any], records: Mapping[str, Any], nodes: Mapping[str, Node]) -> list[Finding]:
    """What is wrong with the graph's inputs and outputs."""
    found: list[Finding] = []
    for name in data["inputs"]:
        if name not in records:
            found.append(_dangling("the list of inputs", name, records))
        elif name in nodes and not isinstance(nodes[name], Source):
            message = f"is listed as an input, but is {a(nodes[name].title)}, not a source"
            found.append(Finding(message, name, where=_where(records[name])))
    for key, (source, index) in data["outputs"].items():
        found += _wrong_source(f"output {key!r}", source, index, records, nodes)
    return found


def _references(records: Mapping[str, Any], nodes: Mapping[str, Node]) -> list[Finding]:
    """Inputs of nodes that come from nowhere, or end in a port that the node does not have."""
    found: list[Finding] = []
    for name, record in records.items():
        for port, (source, index) in record["inputs"].items():
            found += _wrong_source(f"{name}.{port}", source, index, records, nodes)
            if name in nodes and _position(nodes[name], port) is None:
                known = [p.name for p in nodes[name].ports()]
                message = f"{nodes[name].title} has no input {port!r}"
                found.append(Finding(message, name, where=_where(record), fix=did_you_mean(port, known)))
    return found


def _wrong_source(
    what: str, source: str, index: int, records: Mapping[str, Any], nodes: Mapping[str, Node]
) -> Iterator[Finding]:
    if source not in records:
        yield _dangling(what, source, records)
    elif source in nodes and index >= len(nodes[source].outputs):
        count = len(nodes[source].outputs)
        yield Finding(f"{what} refers to output {index} of {source!r}, which has {count}, numbered from 0")


def _dangling(what: str, source: str, records: Mapping[str, Any]) -> Finding:
    return Finding(f"{what} refers to {source!r}, which is not in the graph", fix=did_you_mean(source, records))


def _position(node: Node, port: str) -> tuple[int, int] | None:
    """Where a port stands among those of the node; None if it has no such port."""
    for i, known in enumerate(node.ports()):
        if port == known.name and not known.variadic:
            return i, 0
        number = port.removeprefix(known.name)
        if known.variadic and port != number and number.isdecimal():
            return i, int(number)
    return None


def _in_order(record: Mapping[str, Any], node: Node) -> list[tuple[str, tuple[str, int]]]:
    """The inputs in port order: the order of the keys of a JSON object has no meaning."""
    return sorted(record["inputs"].items(), key=lambda item: _position(node, item[0]) or (0, 0))


def _digraph(records: Mapping[str, Any], names: Container[str]) -> nx.DiGraph:
    """The wiring among the named nodes, in the order of the records."""
    graph = nx.DiGraph()
    graph.add_nodes_from(name for name in records if name in names)
    for name in graph:
        graph.add_edges_from((source, name) for source, _ in records[name]["inputs"].values() if source in graph)
    return graph


def _cycles(records: Mapping[str, Any]) -> list[Finding]:
    rank = {name: i for i, name in enumerate(records)}
    whole = _digraph(records, records)
    groups = [g for g in nx.strongly_connected_components(whole) if len(g) > 1 or whole.has_edge(*[*g, *g])]
    found = []
    for group in sorted(groups, key=lambda group: min(rank[name] for name in group)):
        cycle = [source for source, _ in nx.find_cycle(_digraph(records, group))]
        fix = "A graph has no cycles: solve the loop inside one implicit node"
        path = " -> ".join([*cycle, cycle[0]])
        found.append(Finding(f"cycle: {path}", cycle[0], where=_where(records[cycle[0]]), fix=fix))
    return found


def _order(records: Mapping[str, Any]) -> list[str]:
    rank = {name: i for i, name in enumerate(records)}
    return list(nx.lexicographical_topological_sort(_digraph(records, records), key=rank.__getitem__))
