"""Replace every node that is defined by other nodes, until only nodes with `forward` are left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from .declare import Source, source
from .derivative import implementation
from .edge import Edge, Origin, Vertex, made_for
from .errors import Finding, GraphError
from .graph import topological
from .node import Constant, Node, Port, Wire, node
from .spec import Spec
from .validate import infer_specs

if TYPE_CHECKING:
    from .backends.base import Backend


@attrs.frozen
class Expanded:
    """The edges asked for in terms of primitive nodes, and the specs of all of them."""

    edges: dict[str, Edge]
    specs: dict[Vertex, tuple[Spec, ...]]


def is_composite(node: Node) -> bool:
    """Whether the node is defined by `expand`."""
    return type(node).expand is not Node.expand


def expand(edges: Mapping[str, Edge], names: Mapping[Vertex, str] | None = None) -> Expanded:
    """Expand everything that the named edges depend on. Sources stay the very same vertices.

    With `names`, every step carries the unique name of the vertex it comes from.
    """
    outs: dict[Vertex, tuple[Edge, ...]] = {}
    specs: dict[Vertex, tuple[Spec, ...]] = {}
    for vertex in topological(edges.values()):
        name = (names or {}).get(vertex, vertex.origin.name)
        renamed = (
            vertex
            if name == vertex.origin.name
            else attrs.evolve(vertex, origin=attrs.evolve(vertex.origin, name=name))
        )
        _expand([renamed], outs, specs)
        outs[vertex] = outs[renamed]
    return Expanded({name: outs[edge.vertex][edge.index] for name, edge in edges.items()}, specs)


def _expand(order: list[Vertex], outs: dict[Vertex, tuple[Edge, ...]], specs: dict[Vertex, tuple[Spec, ...]]) -> None:
    for vertex in order:
        inputs = tuple((port, outs[edge.vertex][edge.index]) for port, edge in vertex.inputs)
        if not is_composite(vertex.node):
            same = all(new == old for (_, new), (_, old) in zip(inputs, vertex.inputs, strict=True))
            kept = vertex if same else Vertex(vertex.node, inputs, vertex.origin)
            _keep(vertex, kept, outs, specs)
        elif _differentiated_whole(vertex):
            known = tuple(specs[edge.vertex][edge.index] for _, edge in inputs)
            whole = Block(vertex.node, tuple(port for port, _ in inputs), known)
            _keep(vertex, Vertex(whole, inputs, vertex.origin), outs, specs)
        else:
            made = tuple(_named_as(vertex, edge, outs) for edge in _expansion(vertex, dict(inputs), specs))
            _expand(topological(made, known=outs), outs, specs)
            outs[vertex] = tuple(outs[edge.vertex][edge.index] for edge in made)
            _require_agreement(Vertex(vertex.node, inputs, vertex.origin), outs[vertex], specs)


def _require_agreement(vertex: Vertex, made: tuple[Edge, ...], specs: dict[Vertex, tuple[Spec, ...]]) -> None:
    """Raise `GraphError` unless the parts of a composite make what it promises."""
    promised, found = infer_specs(vertex, specs), tuple(specs[edge.vertex][edge.index] for edge in made)
    if [_nature(spec) for spec in promised] == [_nature(spec) for spec in found]:
        return
    node, origin = vertex.node, vertex.origin
    says = ", ".join(f"{port.name}: {spec.label()}" for port, spec in zip(node.outputs, promised, strict=False))
    message = f"{type(node).__name__}.expand gives ({', '.join(s.label() for s in found)}), but infer says ({says})"
    raise GraphError([Finding(message, origin.name, "", origin.where, "Make the two agree")])


def _nature(spec: Spec) -> tuple[Any, ...]:
    """What two specs of the same values have in common: a field and a vector may hold the same."""
    return spec.shape, spec.differentiable, spec.kind if spec.kind in ("operator", "factor", "dyad") else ""


def _keep(
    vertex: Vertex, kept: Vertex, outs: dict[Vertex, tuple[Edge, ...]], specs: dict[Vertex, tuple[Spec, ...]]
) -> None:
    outs[vertex] = outs[kept] = _outs(kept)
    specs[kept] = infer_specs(kept, specs)


def _differentiated_whole(vertex: Vertex) -> bool:
    """A method such as finite differences, chosen for a composite, means the composite and not its parts."""
    wanted = vertex.origin.derivative
    return wanted is not None and wanted.method not in ("registered", "implicit")


def _expansion(vertex: Vertex, inputs: dict[str, Edge], specs: dict[Vertex, tuple[Spec, ...]]) -> tuple[Edge, ...]:
    node = vertex.node
    data = [inputs.get(port.name) for port in node.inputs]
    if any(port.variadic for port in node.inputs):
        data = [edge for name, edge in inputs.items() if name not in node.parameters]
    parameters = [inputs[name] if isinstance(value, Wire) else value for name, value in node.parameters.items()]
    known = tuple(specs[edge.vertex][edge.index] if edge is not None else None for edge in data)
    with made_for(vertex.origin):
        made = node.expand(known, *data, *parameters)
    return made if isinstance(made, tuple) else (made,)


def _named_as(vertex: Vertex, edge: Edge, known: dict[Vertex, tuple[Edge, ...]]) -> Edge:
    """The step that gives a composite's result carries its name, and the method that `expand` chose for it."""
    if edge.vertex in known:
        return edge
    origin = attrs.evolve(vertex.origin, derivative=edge.vertex.origin.derivative)
    return Edge(Vertex(edge.vertex.node, edge.vertex.inputs, origin), edge.index)


@node
class Block(Node):
    """A composite node run as one step, so that a derivative method can be applied to it as a whole.

    Attributes:
        of: the composite.
        names: its connected inputs.
        specs: their specs.
    """

    of: Node
    names: tuple[str, ...]
    specs: tuple[Spec, ...]

    def ports(self) -> tuple[Port, ...]:
        """The connected inputs."""
        return tuple(Port(name) for name in self.names)

    @property
    def outputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """Those of the composite."""
        return self.of.outputs

    @property
    def title(self) -> str:
        """That of the composite."""
        return self.of.title

    @property
    def host(self) -> bool:  # type: ignore[override]
        """Whether any inner step needs the host."""
        return any(vertex.node.host for vertex in self.inner[1])

    @cached_property
    def inner(self) -> tuple[tuple[Edge, ...], list[Vertex], tuple[Edge, ...]]:
        """The inputs as sources, the inner vertices in order, and the results."""
        sources = tuple(source(name, spec) for name, spec in zip(self.names, self.specs, strict=True))
        with made_for(Origin(self.title)):
            declared = Vertex(self.of, tuple(zip(self.names, sources, strict=True)), Origin(self.title)).out()
        edges = declared if isinstance(declared, tuple) else (declared,)
        made = expand({str(i): edge for i, edge in enumerate(edges)}).edges
        return sources, topological(made.values()), tuple(made.values())

    def infer(self, *specs: Spec) -> Spec | tuple[Spec, ...]:
        """As the composite."""
        return self.of.infer(*specs)

    def refuses(self, method: str) -> str:
        """What the first inner step that refuses says."""
        return next((why for vertex in self.inner[1] if (why := vertex.node.refuses(method))), "")

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """Run the inner vertices one after the other."""
        sources, order, results = self.inner
        steps = [(v, implementation(v.node, backend)) for v in order if not isinstance(v.node, Source | Constant)]
        fixed = {
            Edge(v): backend.array(v.node.value, backend.dtype_of(v.node.spec))
            for v in order
            if isinstance(v.node, Constant)
        }

        def run(*values: Any) -> Any:
            known = fixed | dict(zip(sources, values, strict=True))
            for vertex, step in steps:
                made = step(*(known[edge] for edge in vertex.edges))
                known |= dict(zip(_outs(vertex), made if len(vertex.node.outputs) > 1 else (made,), strict=True))
            return known[results[0]] if len(results) == 1 else tuple(known[edge] for edge in results)

        return run


def _outs(vertex: Vertex) -> tuple[Edge, ...]:
    return tuple(Edge(vertex, i) for i in range(len(vertex.node.outputs)))
