"""All that can be said about a graph without data. Every check is run; every finding is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .declare import Detach, Source
from .edge import Edge, Vertex
from .errors import Finding, SpecError, did_you_mean
from .graph import Graph, source_of, topological
from .node import Node, Port
from .spec import Spec

Specs = dict[Edge | tuple[Vertex, int], Spec]


def findings(graph: Graph) -> list[Finding]:
    """Everything wrong with a graph, in the order of declaration."""
    found = [*_names(graph), *_ends(graph)]
    specs: dict[Vertex, tuple[Spec, ...]] = {}
    for vertex in graph.vertices:
        here = [*_arity(vertex, graph), *_parameters(vertex, graph)]
        if not here and all(edge.vertex in specs for edge in vertex.edges):
            here += _kinds(vertex, graph, specs)
            if not here:
                here += _infer(vertex, graph, specs)
        found += here
    return found


def infer_specs(vertex: Vertex, specs: dict[Vertex, tuple[Spec, ...]]) -> tuple[Spec, ...]:
    """The output specs of a vertex from those of its inputs.

    Raises:
        SpecError: if the inputs do not fit.
    """
    made = vertex.node.infer(*(specs[edge.vertex][edge.index] for edge in vertex.edges))
    return made if isinstance(made, tuple) else (made,)


def all_specs(edges: list[Edge]) -> dict[Vertex, tuple[Spec, ...]]:
    """The specs of everything the edges depend on."""
    specs: dict[Vertex, tuple[Spec, ...]] = {}
    for vertex in topological(edges):
        specs[vertex] = infer_specs(vertex, specs)
    return specs


def _names(graph: Graph) -> Iterator[Finding]:
    chosen = [v for v in graph.vertices if v.origin.chosen]
    first: dict[str, Vertex] = {}
    for vertex in chosen:
        name = vertex.origin.name
        if name in first:
            message = f"the name {name!r} is already taken by the node declared at {first[name].origin.where}"
            yield Finding(message, name, where=vertex.origin.where, fix="Choose another name")
        first.setdefault(name, vertex)
    for name, count in Counter(graph.input_names).items():
        if count > 1:
            yield Finding(f"the input {name!r} is listed {count} times", fix="List each source once in `inputs`")


def _ends(graph: Graph) -> Iterator[Finding]:
    listed = {edge.vertex for edge in graph.inputs}
    reached = set(topological(graph.outputs.values()))
    for edge in graph.inputs:
        if edge.vertex not in reached:
            fix = "Remove it from `inputs`, or connect it"
            yield Finding("this input does not reach any output", source_of(edge).name, where=edge.vertex.origin.where, fix=fix)
    for vertex in graph.vertices:
        if isinstance(vertex.node, Source) and vertex not in listed:
            fix = f"Add it to `inputs`. {did_you_mean(vertex.node.name, graph.input_names)}".rstrip()
            yield Finding("this source is used but is not an input of the graph", vertex.node.name, where=vertex.origin.where, fix=fix)
    for name, edge in graph.outputs.items():
        if graph.inputs and not any(v in listed for v in topological([edge])):
            fix = "It is a constant: connect it to the design, or drop it"
            yield Finding(f"output {name!r} does not depend on any input", graph.names[edge.vertex], where=edge.vertex.origin.where, fix=fix)


def _arity(vertex: Vertex, graph: Graph) -> Iterator[Finding]:
    name, where = graph.names[vertex], vertex.origin.where
    given = {port for port, _ in vertex.inputs}
    inputs = vertex.node.ports()
    if any(port.variadic for port in inputs):
        if not given:
            yield Finding(f"{vertex.node.title} needs at least one input", name, where=where)
        return
    data = len(vertex.node.inputs) or len(inputs)
    for port in inputs:
        if port.name not in given and not port.optional:
            fix = f"{vertex.node.title} takes {data} input{'s' if data != 1 else ''}: {_signature(vertex.node)}"
            yield Finding("this input is not connected", name, port.name, where, fix)
    surplus = sum(port.startswith("surplus") for port in given)
    if surplus:
        fix = f"It takes: {_signature(vertex.node) or 'none'}"
        yield Finding(f"{vertex.node.title} takes {data} inputs but was called with {data + surplus}", name, "", where, fix)


def _signature(node: Node) -> str:
    return ", ".join(f"{port.name} ({port.kind}{', optional' if port.optional else ''})" for port in node.inputs)


def _parameters(vertex: Vertex, graph: Graph) -> Iterator[Finding]:
    allowed = vertex.node.ranges
    for name, value in vertex.node.constants.items():
        if not allowed[name].allows(value):
            message = f"{name} = {value:g} is outside its range"
            yield Finding(message, graph.names[vertex], name, vertex.origin.where, f"It must be {allowed[name]}")


def _kinds(vertex: Vertex, graph: Graph, specs: dict[Vertex, tuple[Spec, ...]]) -> Iterator[Finding]:
    name, where = graph.names[vertex], vertex.origin.where
    dtypes: dict[str, str] = {}
    for port, edge in vertex.inputs:
        spec = specs[edge.vertex][edge.index]
        wanted = _port(vertex.node, port).kind
        if not _fits(spec, wanted):
            source = graph.names[edge.vertex]
            fix = f"{source!r} comes from {edge.vertex.node.title}. {_kind_hint(spec.kind, wanted)}".rstrip()
            message = f"expects {_kind_words(wanted)}, got {spec.label()}"
            yield Finding(message, name, port, where, fix)
        if spec.dtype in ("float32", "float64"):
            dtypes[spec.dtype] = port
    if len(dtypes) > 1:
        both = " and ".join(f"{port!r} is {dtype}" for dtype, port in sorted(dtypes.items()))
        yield Finding(f"dtypes clash: {both}", name, "", where, "Cast one of them with `n.Cast`")


def _port(node: Node, name: str) -> Port:
    for port in node.ports():
        if port.name == name or (port.variadic and name.startswith(port.name)):
            return port
    return Port(name)


def _fits(spec: Spec, wanted: str) -> bool:
    kinds = wanted.split("|")
    if "any" in kinds:
        return spec.kind not in ("operator", "factor", "integer")
    return spec.kind in kinds or (spec.kind == "array" and bool({"field", "vector"} & set(kinds)))


def _kind_words(wanted: str) -> str:
    if wanted == "any":
        return "numbers"
    return " or ".join(("an " if kind[0] in "aeiou" else "a ") + kind for kind in wanted.split("|"))


def _kind_hint(got: str, wanted: str) -> str:
    hints = {
        ("field", "operator"): "Assemble it first, e.g. with `n.Stiffness`",
        ("operator", "field"): "Use the field before assembly",
        ("operator", "vector"): "Solve with it first, e.g. with `n.LinearSolve`",
        ("field", "scalar"): "Reduce it, e.g. with `n.Sum`",
        ("integer", "any"): "Integers are not differentiated: convert the values to floats",
    }
    return hints.get((got, wanted), "")


def _infer(vertex: Vertex, graph: Graph, specs: dict[Vertex, tuple[Spec, ...]]) -> list[Finding]:
    try:
        specs[vertex] = infer_specs(vertex, specs)
    except SpecError as error:
        return [Finding(error.message, graph.names[vertex], error.port, vertex.origin.where, error.fix)]
    return []


def is_cut(vertex: Vertex) -> bool:
    """Whether no derivative passes this vertex."""
    return isinstance(vertex.node, Detach)
