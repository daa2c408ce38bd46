"""Graph <-> plain data (JSON). Versioned; never pickle, never eval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

from . import codec
from .edge import Edge, Origin, Vertex
from .errors import Finding, GraphError, Location, TographError, did_you_mean
from .graph import FORMAT, Graph
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
        "declared": [vertex.origin.where.file.rsplit("/", 1)[-1], vertex.origin.where.line],
    }


def from_dict(data: Mapping[str, Any]) -> Graph:
    """The inverse of `to_dict`.

    Raises:
        GraphError: with everything that is wrong with the data.
    """
    found = _format(data)
    if found:
        raise GraphError(found)
    records = {record["name"]: record for record in data["vertices"]}
    nodes, found = _nodes(records)
    found += _references(data, records)
    if not found:
        found += _cycles(records)
    if found:
        raise GraphError(found)
    made: dict[str, Vertex] = {}
    for name in _order(records):
        record = records[name]
        inputs = tuple((port, Edge(made[source], index)) for port, (source, index) in record["inputs"].items())
        where = Location(str(record["declared"][0]), int(record["declared"][1]))
        origin = Origin(name, where, tuple(record["cluster"]), chosen=bool(record["chosen"]))
        made[name] = Vertex(nodes[name], inputs, origin)
    outputs = {key: Edge(made[source], index) for key, (source, index) in data["outputs"].items()}
    return Graph([Edge(made[name]) for name in data["inputs"]], outputs, name=data["name"])


def _format(data: Mapping[str, Any]) -> list[Finding]:
    if not isinstance(data, Mapping) or "tograph" not in data:
        return [Finding("this is not a graph written by tograph: it has no 'tograph' version", fix="Use `Graph.to_dict`")]
    if data["tograph"] != FORMAT:
        message = f"the graph has format version {data['tograph']!r}, this tograph reads version {FORMAT}"
        return [Finding(message, fix="Write it again with a matching tograph")]
    missing = sorted({"name", "inputs", "outputs", "vertices"} - data.keys())
    return [Finding(f"the graph data has no {key!r}") for key in missing]


def _nodes(records: dict[str, Any]) -> tuple[dict[str, Node], list[Finding]]:
    nodes: dict[str, Node] = {}
    found: list[Finding] = []
    for name, record in records.items():
        try:
            cls = codec.find_type(record["type"])
            if record["version"] != cls.version:
                message = f"{record['type']} has version {record['version']} in the file, {cls.version} here"
                found.append(Finding(message, name, fix="Rebuild the graph with this version of the node"))
                continue
            nodes[name] = codec.decode({"type": record["type"], "fields": record["fields"]})
        except (TographError, TypeError, KeyError) as error:
            found.append(Finding(str(error), name))
    return nodes, found


def _references(data: Mapping[str, Any], records: dict[str, Any]) -> list[Finding]:
    wanted = [("inputs", name) for name in data["inputs"]]
    wanted += [(f"output {key!r}", source) for key, (source, _) in data["outputs"].items()]
    wanted += [(f"{name}.{port}", source) for name, r in records.items() for port, (source, _) in r["inputs"].items()]
    unknown = [(what, source) for what, source in wanted if source not in records]
    return [Finding(f"{what} refers to {source!r}, which is not in the graph", fix=did_you_mean(source, records)) for what, source in unknown]


def _digraph(records: dict[str, Any]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(records)
    graph.add_edges_from((source, name) for name, r in records.items() for source, _ in r["inputs"].values())
    return graph


def _cycles(records: dict[str, Any]) -> list[Finding]:
    graph = _digraph(records)
    if nx.is_directed_acyclic_graph(graph):
        return []
    cycle = [source for source, _ in nx.find_cycle(graph)]
    path = " -> ".join([*cycle, cycle[0]])
    where = Location(*records[cycle[0]]["declared"])
    return [Finding(f"cycle: {path}", cycle[0], where=where, fix="A graph has no cycles: solve the loop inside one implicit node")]


def _order(records: dict[str, Any]) -> list[str]:
    rank = {name: i for i, name in enumerate(records)}
    return list(nx.lexicographical_topological_sort(_digraph(records), key=rank.__getitem__))
