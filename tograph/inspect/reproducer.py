"""One node of a run as a script of its own: rebuilt with the values it was given, and checked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from ..declare import Source, source
from ..edge import Edge, Vertex
from ..errors import TographError, did_you_mean
from ..graph import Graph, topological
from ..spec import Spec

if TYPE_CHECKING:
    from .report import GradientReport

ARRAYS = ("field", "vector", "scalar", "params", "integer", "array")
"""Kinds that a value can be given for."""

SCRIPT = '''"""{about}

Made by tograph from a run of graph {hash} on {backend} in {dtype}; its inputs are the values of that run.
"""

import json
{imports}
import tograph as tg
import tograph.nodes

GRAPH = {graph}

graph = tg.Graph.from_dict(json.loads(GRAPH))
print(graph.compile({backend!r}, on_failure="record")())
report = tg.check(graph, backends=({backend!r},))
print(report)
'''


def reproducer(report: GradientReport, node: str) -> str:
    """The script; see `GradientReport.reproducer`."""
    graph = report.plan.graph
    known = {name: vertex for vertex, name in graph.names.items()}
    if node not in known:
        raise TographError(f"there is no node {node!r}. {did_you_mean(node, known)}")
    vertex = known[node]
    if isinstance(vertex.node, Source):
        raise TographError(f"{node!r} is an input: there is nothing to rebuild. Name a node that uses it")
    alone = _alone(report, vertex)
    about = f"{node!r} ({vertex.node.title}, declared at {vertex.origin.where}) by itself."
    return SCRIPT.format(
        about=about.replace("\\", "/"),
        hash=graph.hash[:12],
        backend=report.plan.backend,
        dtype=report.dtype,
        imports="".join(f"{line}\n" for line in _imports(alone)),
        graph=repr(json.dumps(alone.to_dict())),
    )


def _alone(report: GradientReport, vertex: Vertex) -> Graph:
    """The graph of a node: arrays that it is given become inputs with defaults; what makes an operator comes along."""
    graph = report.plan.graph
    made: dict[Vertex, Vertex] = {}
    inputs: dict[Edge, Edge] = {}

    def given(edge: Edge) -> Edge:
        spec = report.declared_specs[edge.vertex][edge.index]
        if spec.kind in ARRAYS:
            if edge not in inputs:
                inputs[edge] = _input(report, edge, spec)
            return inputs[edge]
        return Edge(made[edge.vertex], edge.index)

    for each in _with_operators(report, vertex):
        ends = tuple((port, given(edge)) for port, edge in each.inputs)
        made[each] = attrs.evolve(each, inputs=ends)
    specs = report.declared_specs[vertex]
    outputs = {p.name: Edge(made[vertex], i) for i, p in enumerate(vertex.node.outputs) if specs[i].kind in ARRAYS}
    if not outputs:
        name = graph.names[vertex]
        raise TographError(f"{name!r} gives {specs[0].label()}, not an array. Name a node that uses it")
    used = [Edge(v) for v in topological(outputs.values()) if isinstance(v.node, Source)]
    return Graph(used, outputs, name=graph.names[vertex])


def _with_operators(report: GradientReport, vertex: Vertex) -> list[Vertex]:
    """The vertex after all that makes operators for it."""
    order: list[Vertex] = []
    for edge in vertex.edges:
        if report.declared_specs[edge.vertex][edge.index].kind not in ARRAYS:
            order += [v for v in _with_operators(report, edge.vertex) if v not in order]
    return [*order, vertex]


def _input(report: GradientReport, edge: Edge, spec: Spec) -> Edge:
    name = report.plan.graph.names[edge.vertex]
    at = report.heads.get(name)
    value = report.fields.get((at, edge.index)) if at is not None else None
    if value is None and hasattr(edge.vertex.node, "value"):
        value = edge.vertex.node.value
    if value is None:
        raise TographError(f"the value of {name!r} is not part of the program that ran")
    label = name if name.isidentifier() else f"input_{report.plan.graph.vertices.index(edge.vertex)}"
    return source(label, spec, default=np.array(value))


def _imports(graph: Graph) -> Iterator[str]:
    """Lines that make the user's own node classes known."""
    for cls in dict.fromkeys(type(vertex.node) for vertex in graph.vertices):
        module = cls.__module__
        if module.partition(".")[0] == "tograph":
            continue
        file: Any = getattr(sys.modules.get(module), "__file__", None)
        if module == "__main__" or file is None:
            raise TographError(f"{cls.__qualname__} is defined in {module}: move it to a file that can be imported")
        folder = Path(file).resolve().parents[module.count(".")]
        yield f"import sys\n\nsys.path.insert(0, {str(folder)!r})\nimport {module}  # defines {cls.__qualname__}"
