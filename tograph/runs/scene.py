"""What a density picture shows besides the density: the grid, its supports and its loads, read from the graph."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

import attrs
import numpy as np

from tograph import Edge, Graph
from tograph.edge import Vertex
from tograph.graph import source_of, topological
from tograph.node import Constant
from tograph.nodes import Conductivity, Grid, LinearSolve, Ramp, Simp, Stiffness, VolumeFraction
from tograph.nodes.grid import Floats, Mask
from tograph.program import Program


@attrs.frozen(eq=False)
class Scene:
    """Grid, supports and loads of the first finite-element solve of a graph.

    Attributes:
        grid: lengths and numbering.
        held: which displacements (temperatures) are fixed, shape (n_nodes, components).
        forces: forces or heat, one array (n_nodes, components) per load case.
        moved: prescribed displacements, shape (n_nodes, components).
    """

    grid: Grid
    held: Mask
    forces: tuple[Floats, ...]
    moved: Floats


def scene_of(graph: Graph) -> Scene | None:
    """The scene; None where the graph has no operator on a grid. A load that is an input is not shown."""
    operator = _first(graph, Stiffness, Conductivity)
    if operator is None:
        return None
    node: Any = operator.node
    grid: Grid = node.grid
    components = node.pattern().components
    n_dofs = grid.n_dofs(components)
    held = np.zeros(n_dofs, dtype=np.bool_)
    held[np.asarray(node.fixed, dtype=np.int64)] = True
    solve = _first(graph, LinearSolve)
    ports = dict(solve.inputs) if solve is not None else {}
    load = _value(ports.get("f"), n_dofs)
    moved = _value(ports.get("prescribed"), n_dofs)[:, 0] * held
    return Scene(
        grid,
        held.reshape(-1, components),
        tuple(case.reshape(-1, components) for case in load.T),
        moved.reshape(-1, components),
    )


def physical_density(program: Program, design: str, value: Floats) -> Floats:
    """The field that the volume counts (else the one that the material law sees, else the design itself)."""
    found = physical_field(program, {design: value})
    return value if found is None else found


def physical_field(program: Program, given: Mapping[str, Any]) -> Floats | None:
    """The same at given inputs, of which one at least must be behind it; None if there is no such field."""
    function = field_function(program, given)
    return None if function is None else function(given)


def field_function(program: Program, given: Container[str]) -> Callable[[Mapping[str, Any]], Floats] | None:
    """The same as a function of inputs by name, compiled once; `given` are the names that it will get."""
    graph = program.graph
    for kind in (VolumeFraction, Simp, Ramp):
        vertex = _first(graph, kind)
        if vertex is not None and (needed := _all_known(graph, vertex.edges[0], given)):
            made = Graph(needed, {"density": vertex.edges[0]}).compile(program.backend.name, dtype=program.dtype)
            behind = [name for name in made.graph.input_names if name in given]
            return lambda values: np.asarray(made(**{name: values[name] for name in behind})["density"])
    return None


def _all_known(graph: Graph, edge: Edge, given: Container[str]) -> list[Edge]:
    """The inputs behind an edge, if one is given and the others are too or have defaults; else none."""
    behind = set(topological([edge]))
    needed = [source for source in graph.inputs if source.vertex in behind]
    sources = [source_of(source) for source in needed]
    known = all(source.name in given or source.default is not None for source in sources)
    return needed if known and any(source.name in given for source in sources) else []


def _first(graph: Graph, *kinds: type) -> Vertex | None:
    return next((vertex for vertex in graph.vertices if isinstance(vertex.node, kinds)), None)


def _value(edge: Edge | None, n_dofs: int) -> Floats:
    """A constant (n_dofs, cases); zeros for what is not there or not constant."""
    node = edge.vertex.node if edge is not None else None
    if not isinstance(node, Constant):
        return np.zeros((n_dofs, 1))
    return np.asarray(node.value, dtype=np.float64).reshape(n_dofs, -1)
