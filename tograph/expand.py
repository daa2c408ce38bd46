"""Replace every node that is defined by other nodes, until only nodes with `forward` are left."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from .edge import Edge, Vertex, made_for
from .graph import topological
from .node import Node, Wire
from .spec import Spec
from .validate import infer_specs


@attrs.frozen
class Expanded:
    """The edges asked for in terms of primitive nodes, and the specs of all of them."""

    edges: dict[str, Edge]
    specs: dict[Vertex, tuple[Spec, ...]]


def is_composite(node: Node) -> bool:
    """Whether the node is defined by `expand`."""
    return type(node).expand is not Node.expand


def expand(edges: Mapping[str, Edge]) -> Expanded:
    """Expand everything that the named edges depend on. Sources stay the very same vertices."""
    outs: dict[Vertex, tuple[Edge, ...]] = {}
    specs: dict[Vertex, tuple[Spec, ...]] = {}
    _expand(topological(edges.values()), outs, specs)
    return Expanded({name: outs[edge.vertex][edge.index] for name, edge in edges.items()}, specs)


def _expand(order: list[Vertex], outs: dict[Vertex, tuple[Edge, ...]], specs: dict[Vertex, tuple[Spec, ...]]) -> None:
    for vertex in order:
        inputs = tuple((port, outs[edge.vertex][edge.index]) for port, edge in vertex.inputs)
        if not is_composite(vertex.node):
            same = all(new == old for (_, new), (_, old) in zip(inputs, vertex.inputs, strict=True))
            kept = vertex if same else Vertex(vertex.node, inputs, vertex.origin)
            outs[vertex] = outs[kept] = tuple(Edge(kept, i) for i in range(len(kept.node.outputs)))
            specs[kept] = infer_specs(kept, specs)
            continue
        made = tuple(_named_as(vertex, edge, outs) for edge in _expansion(vertex, dict(inputs), specs))
        _expand(topological(made, known=outs), outs, specs)
        outs[vertex] = tuple(outs[edge.vertex][edge.index] for edge in made)


def _expansion(vertex: Vertex, inputs: dict[str, Edge], specs: dict[Vertex, tuple[Spec, ...]]) -> tuple[Edge, ...]:
    node = vertex.node
    data = [inputs.get(port.name) for port in node.inputs]
    if any(port.variadic for port in node.inputs):
        data = [edge for name, edge in inputs.items() if name not in node.parameters]  # type: ignore[misc]
    parameters = [inputs[name] if isinstance(value, Wire) else value for name, value in node.parameters.items()]
    known = tuple(specs[edge.vertex][edge.index] if edge is not None else None for edge in data)
    with made_for(vertex.origin):
        made = node.expand(known, *data, *parameters)
    return made if isinstance(made, tuple) else (made,)


def _named_as(vertex: Vertex, edge: Edge, known: dict[Vertex, tuple[Edge, ...]]) -> Edge:
    """The step that gives a composite's result carries the composite's name."""
    if edge.vertex in known:
        return edge
    return Edge(Vertex(edge.vertex.node, edge.vertex.inputs, vertex.origin), edge.index)
