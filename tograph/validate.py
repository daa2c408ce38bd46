"""All that can be said about a graph without data. Every check is run; every finding is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from .declare import Source
from .edge import Edge, Vertex
from .errors import Finding, SpecError, a, did_you_mean
from .graph import Graph, source_of, topological
from .node import Constant, Node
from .port import Port
from .spec import Spec


def findings(graph: Graph) -> list[Finding]:
    """Everything wrong with a graph: names and ends first, then vertex by vertex, inputs before what they feed."""
    found = [*_names(graph), *_ends(graph)]
    specs: dict[Vertex, tuple[Spec, ...]] = {}
    for vertex in graph.vertices:
        here = [*_arity(vertex, graph), *_parameters(vertex, graph), *_data(vertex), *_kinds(vertex, graph, specs)]
        if not here and all(edge.vertex in specs for edge in vertex.edges):
            here = _infer(vertex, graph, specs)
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
            yield Finding(
                "this input does not reach any output", source_of(edge).name, where=edge.vertex.origin.where, fix=fix
            )
    for vertex in graph.vertices:
        if isinstance(vertex.node, Source) and vertex not in listed:
            fix = f"Add it to `inputs`. {did_you_mean(vertex.node.name, graph.input_names)}".rstrip(". ")
            yield Finding(
                "this source is used but is not an input of the graph",
                vertex.node.name,
                where=vertex.origin.where,
                fix=fix,
            )
    for name, edge in graph.outputs.items():
        if graph.inputs and not any(v in listed for v in topological([edge])):
            fix = "It is a constant: connect it to the design, or drop it"
            yield Finding(
                f"output {name!r} does not depend on any input",
                graph.names[edge.vertex],
                where=edge.vertex.origin.where,
                fix=fix,
            )


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
            fix = f"{vertex.node.title} takes {_count(data)}: {_signature(vertex.node)}"
            yield Finding("this input is not connected", name, port.name, where, fix)
    surplus = sum(port.startswith("surplus") for port in given)
    if surplus:
        fix = f"It takes: {_signature(vertex.node) or 'none'}"
        yield Finding(
            f"{vertex.node.title} takes {_count(data)} but was called with {data + surplus}", name, "", where, fix
        )


def _count(inputs: int) -> str:
    return f"{inputs} input{'s' if inputs != 1 else ''}"


def _signature(node: Node) -> str:
    return ", ".join(f"{port.name} ({port.kind}{', optional' if port.optional else ''})" for port in node.inputs)


def _parameters(vertex: Vertex, graph: Graph) -> Iterator[Finding]:
    wired = dict(vertex.inputs)
    for port, allowed in vertex.node.ranges.items():
        value = _known_value(vertex.node.parameters[port], wired.get(port))
        if value is None or (np.isfinite(value) and allowed.allows(value)):
            continue
        what = "outside its range" if np.isfinite(value) else "not a finite number"
        message, fix = f"{port} = {value:g} is {what}", f"It must be {allowed}"
        yield Finding(message, graph.names[vertex], port, vertex.origin.where, fix)


def _known_value(parameter: Any, edge: Edge | None) -> float | None:
    """The value of a parameter; of a wired one only a constant's, or the default of an input."""
    if isinstance(parameter, float):
        return parameter
    node = edge.vertex.node if edge is not None else None
    value = node.value if isinstance(node, Constant) else node.default if isinstance(node, Source) else None
    return float(value) if value is not None and value.ndim == 0 else None


def _data(vertex: Vertex) -> Iterator[Finding]:
    """Numbers that the graph itself holds: constants, and the default and bounds of an input."""
    node, name, where = vertex.node, vertex.origin.name, vertex.origin.where
    if isinstance(node, Constant) and not np.all(np.isfinite(node.value)):
        yield Finding(f"the constant is not finite{first_not_finite(node.value)}", name, "", where)
    if not isinstance(node, Source):
        return
    for what, value in (("default", node.default), ("lower", node.lower), ("upper", node.upper)):
        if value is not None and value.shape != node.spec.shape and (value.ndim or what == "default"):
            message = f"its {what} has shape {value.shape}, but it is declared as {a(node.spec.label())}"
            yield Finding(message, name, what, where, f"Give values of shape {node.spec.shape}")
            return
    if node.lower is not None and node.upper is not None and np.any(node.lower > node.upper):
        yield Finding("a lower bound is above the upper bound", name, "lower", where, "Exchange them")


def first_not_finite(value: np.ndarray) -> str:
    """Where the first NaN or infinity stands: ", first at (3, 4): nan"; for a single number ": nan"."""
    at = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
    return f", first at {at}: {value[at]}" if at else f": {value}"


def _kinds(vertex: Vertex, graph: Graph, specs: dict[Vertex, tuple[Spec, ...]]) -> Iterator[Finding]:
    name, where = graph.names[vertex], vertex.origin.where
    dtypes: dict[str, str] = {}
    for port, edge in vertex.inputs:
        if edge.vertex not in specs:
            continue
        spec = specs[edge.vertex][edge.index]
        wanted = _port(vertex.node, port).kind
        if not _fits(spec, wanted):
            fix = f"{graph.names[edge.vertex]!r} comes from {edge.vertex.node.title}. {_kind_hint(spec.kind, wanted)}"
            message = f"expects {_kind_words(wanted)}, got {a(spec.label())}"
            yield Finding(message, name, port, where, fix.rstrip(". "))
        if spec.dtype in ("float32", "float64"):
            dtypes.setdefault(spec.dtype, port)
    if len(dtypes) > 1:
        both = " and ".join(f"{port!r} is {dtype}" for dtype, port in sorted(dtypes.items()))
        yield Finding(f"dtypes clash: {both}", name, "", where, "Cast one of them with `Cast`")


def _port(node: Node, name: str) -> Port:
    for port in node.ports():
        if port.name == name or (port.variadic and name.startswith(port.name)):
            return port
    return Port(name)


def _fits(spec: Spec, wanted: str) -> bool:
    kinds = wanted.split("|")
    numbers = "any" in kinds and spec.kind not in ("operator", "factor", "integer")
    return numbers or spec.kind in kinds or (spec.kind == "array" and bool({"field", "vector"} & set(kinds)))


def _kind_words(wanted: str) -> str:
    return " or ".join("numbers" if kind == "any" else a(kind) for kind in wanted.split("|"))


_HINTS = {
    ("field", "operator"): "Assemble an operator from it first",
    ("operator", "field"): "Use the field that the operator was assembled from",
    ("operator", "vector"): "Solve with the operator first, and use the solution",
    ("vector", "scalar"): "Reduce it to one number first, e.g. with `Sum` or `Dot`",
    ("field", "scalar"): "Reduce it to one number first, e.g. with `Sum` or `Dot`",
}


def _kind_hint(got: str, wanted: str) -> str:
    if got == "integer":
        return "Integers are not differentiated: if these are real numbers, give them as floats"
    return _HINTS.get((got, wanted), "")


def _infer(vertex: Vertex, graph: Graph, specs: dict[Vertex, tuple[Spec, ...]]) -> list[Finding]:
    name, where, node = graph.names[vertex], vertex.origin.where, vertex.node
    try:
        made = infer_specs(vertex, specs)
    except SpecError as error:
        return [Finding(error.message, name, error.port, where, error.fix)]
    except Exception as error:  # of a node type that does not check what it is given
        message = f"{node.title}.infer failed with {type(error).__name__}: {error}"
        return [Finding(message, name, "", where, "Look at the parameters and inputs it was given")]
    if len(made) != len(node.outputs) or not all(isinstance(spec, Spec) for spec in made):
        got = ", ".join(type(spec).__name__ for spec in made)
        message = f"{node.title}.infer gives ({got}) for {len(node.outputs)} output(s)"
        return [Finding(message, name, "", where, "It must return one Spec per output")]
    specs[vertex] = made
    return []
