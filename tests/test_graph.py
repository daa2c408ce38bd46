"""Declaring: names, places, clusters, order, and that nothing can be changed afterwards."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import networkx as nx
import numpy as np
import pytest

import tograph as tg
from tograph import nodes as n
from tograph.edge import Edge, Vertex
from tograph.graph import source_of, topological
from tograph.validate import all_specs, findings

GRID = n.Grid(4, 2)


def rho() -> Edge:
    return tg.source("rho", GRID.field())


def line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def name(edge: Edge) -> str:
    return edge.vertex.origin.name


# Names.


def test_a_node_is_called_after_the_variable() -> None:
    x = rho()
    E = n.Simp()(x)
    typed: Edge = n.Simp()(x)
    total = E + typed
    minus = -total
    assert [name(edge) for edge in (x, E, typed, total, minus)] == ["rho", "E", "typed", "total", "minus"]


class Holder:
    """Something with an attribute to assign to."""

    moduli: Edge


def test_an_attribute_is_a_variable_too() -> None:
    holder = Holder()
    holder.moduli = n.Simp()(rho())
    assert name(holder.moduli) == "moduli"


module_level = n.Simp()(rho())


def test_a_variable_of_a_module() -> None:
    assert name(module_level) == "module_level"


def test_a_chosen_name_wins() -> None:
    E = n.Simp()(rho(), name="moduli")
    assert name(E) == "moduli" and E.vertex.origin.chosen


def test_without_a_variable_the_operation_names_it() -> None:
    x = rho()
    inside = n.Sum()(n.DensityFilter(GRID, 1.5)(x))
    filtered = inside.vertex.edges[0]
    listed = [n.Simp()(x)]
    table = {"E": n.Simp()(x)}
    table["F"] = n.Simp()(x)
    assert [name(edge) for edge in (inside, filtered, *listed, *table.values())] == [
        "inside", "density_filter", "simp", "simp", "simp",
    ]  # fmt: skip


def test_constants_are_called_by_value_or_port() -> None:
    E = n.Simp()(np.ones((2, 4)))
    total = E * 2.0
    assert name(E.vertex.edges[0]) == "rho" and name(total.vertex.edges[1]) == "2"


def project(x: Edge) -> Edge:
    y = n.Heaviside(beta=2.0)(x)
    return y


def test_names_in_loops_and_functions_are_numbered() -> None:
    start = x = rho()
    for _ in range(3):
        x = n.Heaviside(beta=2.0)(x)
    y = project(project(x))
    x_2 = n.Sum()(y)
    graph = tg.Graph([start], {"sum": x_2})
    assert list(graph.names.values()) == ["rho", "x", "x_2", "x_3", "y", "y_2", "x_2_2"]
    assert [name(v.out()) for v in graph.vertices] == ["rho", "x", "x", "x", "y", "y", "x_2"]


def test_a_chosen_name_is_not_numbered() -> None:
    x = rho()
    E = n.Simp()(x)
    other = n.Ramp()(x, name="E")
    graph = tg.Graph([x], {"sum": n.Sum()(E + other)})
    assert graph.names[other.vertex] == "E" and graph.names[E.vertex] == "E_2"
    graph.validate()


# Places.


def test_the_place_is_the_line_of_the_call() -> None:
    here = line()
    x = rho()
    E = n.Simp()(x)
    twice = (
        E
        + E
    )  # fmt: skip
    f = tg.constant(1.0)
    cut = tg.detach(E)
    places = [edge.vertex.origin.where for edge in (E, twice, f, cut)]
    assert [place.line - here for place in places] == [2, 4, 7, 8]
    assert all(place.file == __file__ for place in places)
    assert x.vertex.origin.where.line == inspect.getsourcelines(rho)[1] + 1


def test_a_place_is_shown_relative_to_where_one_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    place = tg.constant(1.0).vertex.origin.where
    monkeypatch.chdir(tmp_path)
    assert str(place) == f"{__file__}:{place.line}"
    folder, _, file = __file__.rpartition("/")
    monkeypatch.chdir(folder)
    assert str(place) == f"{file}:{place.line}"


# Clusters.


@tg.cluster("projection")
def clustered(x: Edge) -> Edge:
    y: Edge = n.Heaviside(beta=2.0)(x)
    return y


def test_clusters_nest_and_end() -> None:
    x = rho()
    with tg.cluster("outer"):
        a = n.Simp()(x)
        with tg.cluster("inner"):
            b = n.Simp()(a)
        c = clustered(b)
    d = clustered(c)
    e = n.Simp()(d)
    paths = [edge.vertex.origin.cluster for edge in (x, a, b, c, d, e)]
    assert paths == [(), ("outer",), ("outer", "inner"), ("outer", "projection"), ("projection",), ()]


def test_a_cluster_ends_with_an_error() -> None:
    with pytest.raises(RuntimeError), tg.cluster("outer"):
        raise RuntimeError
    assert n.Simp()(rho()).vertex.origin.cluster == ()


# Values that do not change.


def test_everything_is_frozen() -> None:
    E = n.Simp()(rho())
    for thing, field in ((E, "index"), (E.vertex, "inputs"), (E.vertex.node, "p"), (GRID.field(), "kind")):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(thing, field, None)


def test_a_node_keeps_its_own_arrays() -> None:
    def made(mask: np.ndarray, fixed: Any, values: np.ndarray) -> tuple[tg.Node, ...]:
        void = np.zeros((2, 4), dtype=bool)
        return n.Passive(GRID, mask, void), n.Stiffness(GRID, fixed=fixed), tg.constant(values).vertex.node

    solid, fixed, values = np.zeros((2, 4), dtype=bool), [0, 1], np.ones((2, 4))
    nodes = made(solid, fixed, values)
    solid[:], values[:] = True, 3.0
    fixed.append(2)
    again = made(np.zeros((2, 4), dtype=bool), [0, 1], np.ones((2, 4)))
    assert [node.key for node in nodes] == [node.key for node in again] and nodes == again
    passive = nodes[0]
    assert isinstance(passive, n.Passive)
    with pytest.raises(ValueError, match="read-only"):
        passive.solid[0, 0] = True


def test_equal_nodes_are_equal() -> None:
    assert n.Simp(p=3) == n.Simp(p=3.0) and hash(n.Simp()) == hash(n.Simp())
    assert n.Simp(p=3.0) != n.Simp(p=3.5) and n.Simp() != n.Ramp() and n.Simp() != "Simp"


def test_nothing_runs_while_declaring() -> None:
    calls = []

    @tg.node
    class Loud(tg.Node):
        """Notes when it is computed."""

        inputs = (tg.Port("x"),)

        def forward(self, xp: Any, *values: Any) -> Any:
            calls.append(values)
            return values[0]

    x = rho()
    graph = tg.Graph([x], {"y": Loud()(x)})
    graph.validate()
    program = graph.compile("numpy")
    assert graph.hash and graph.names and graph.to_dict() and not calls
    assert program(np.ones((2, 4)))["y"].shape == (2, 4) and len(calls) == 1


# Graphs.


def test_inputs_and_outputs() -> None:
    x, p = rho(), tg.source("p", default=3.0)
    E = n.Simp(p=p)(x)
    graph = tg.Graph([x, p], {"E": E, "sum": n.Sum()(E)}, name="moduli")
    assert graph.input_names == ("rho", "p") and list(graph.outputs) == ["E", "sum"]
    assert graph.input("p") == p and source_of(p).default == 3.0
    with pytest.raises(TypeError, match=r"is not an input: inputs are made by `tg\.source`"):
        source_of(E)
    assert list(tg.Graph([x, p], [E]).outputs) == ["E"]


def test_repr() -> None:
    x = rho()
    E = n.Simp(p=3.5)(x)
    graph = tg.Graph([x], {"E": E}, name="moduli")
    assert repr(graph) == f"<Graph 'moduli': rho -> E; 2 nodes, {graph.hash[:12]}>"
    assert repr(E) == "<edge E from Simp>" and repr(E.vertex) == "E: Simp(p=3.5, E_min=1e-09, E_max=1.0)"
    assert repr(n.Simp(p=tg.source("p"))(x).vertex.node) == "Simp(p=wire, E_min=1e-09, E_max=1.0)"


def test_an_edge_has_no_truth() -> None:
    with pytest.raises(TypeError, match=r"^An edge has no value while the graph is declared"):
        bool(rho())


def test_arithmetic_with_arrays_makes_one_node() -> None:
    x = rho()
    left, right = np.ones((2, 4)) * x, x * np.ones((2, 4))
    assert left.vertex.node == right.vertex.node and [p for p, _ in left.vertex.inputs] == ["a", "b"]
    graph = tg.Graph([x], {"y": (2.0 - x) / 4.0 + x**3 - 1.0 / (1.0 + x)})
    at = np.linspace(0.1, 0.9, 8).reshape(2, 4)
    np.testing.assert_allclose(graph.compile("numpy")(at)["y"], (2.0 - at) / 4.0 + at**3 - 1.0 / (1.0 + at), rtol=1e-15)


def test_several_outputs_of_a_node_are_edges_of_one_vertex() -> None:
    @tg.node
    class Split(tg.Node):
        """Two copies."""

        inputs = (tg.Port("x"),)
        outputs = (tg.Port("left"), tg.Port("right"))

        def infer(self, *specs: tg.Spec) -> tuple[tg.Spec, ...]:
            return specs[0], specs[0]

    left, right = Split()(rho())
    assert left.vertex is right.vertex and (left.index, right.index) == (0, 1)
    assert repr(right) == "<edge split.right from Split>"


def test_topological_order() -> None:
    x = rho()
    a = n.Simp()(x)
    b = n.Ramp()(x)
    c = a + b
    order = topological([c, a, x])
    assert [name(v.out()) for v in order] == ["rho", "a", "b", "c"] and len(set(order)) == 4
    assert [name(v.out()) for v in topological([c], known={a.vertex})] == ["rho", "b", "c"]
    graph = tg.Graph([x], {"c": c})
    assert graph.vertices == tuple(order)
    assert nx.is_directed_acyclic_graph(graph.digraph)
    assert sorted(graph.digraph.edges(data=True), key=str) == [
        ("a", "c", {"port": "terms0", "output": 0}), ("b", "c", {"port": "terms1", "output": 0}),
        ("rho", "a", {"port": "rho", "output": 0}), ("rho", "b", {"port": "rho", "output": 0}),
    ]  # fmt: skip


def test_depth_and_repeated_names_are_no_limit() -> None:
    start = x = rho()
    for _ in range(10_000):
        x = n.Heaviside(beta=2.0)(x)
    graph = tg.Graph([start], {"sum": n.Sum()(x)})
    graph.validate()
    assert len(graph.vertices) == 10_002 and graph.names[x.vertex] == "x_10000"
    again = tg.Graph.from_dict(graph.to_dict())
    assert again.hash == graph.hash and isinstance(again.vertices[-1], Vertex)
    assert nx.dag_longest_path_length(graph.digraph) == 10_001


# Detached edges.


@pytest.mark.parametrize("kind", ["field", "operator", "integer"])
def test_anything_can_be_detached(kind: str) -> None:
    x = rho()
    edges = {
        "field": x,
        "operator": n.Stiffness(GRID)(x),
        "integer": tg.constant(np.arange(8).reshape(2, 4)),
    }
    cut = tg.detach(edges[kind], "to see")
    assert cut.vertex.node.describe() == "reason=to see"
    specs = all_specs([cut])
    assert specs[cut.vertex] == specs[edges[kind].vertex]
    assert not [finding for finding in findings(tg.Graph([x], {"cut": cut})) if finding.node == "cut" and finding.port]


def test_numbers_are_added_to_fields() -> None:
    x, by = rho(), tg.source("by")
    shifted = x + 1.0
    assert shifted.vertex.node == n.Shift(by=1.0) and (1 - x).vertex.node == n.Shift(by=1.0)
    graph = tg.Graph([x, by], {"y": n.Sum()((n.Shift(by=by)(x) - 0.5) ** 2)})
    at = np.linspace(0.1, 0.9, 8).reshape(2, 4)
    for backend in ("jax", "torch"):
        value, slopes = graph.compile(backend).value_and_grad("y", ["rho", "by"])(at, 0.25)
        assert value == pytest.approx(np.sum((at - 0.25) ** 2), rel=1e-14)
        np.testing.assert_allclose(slopes["rho"], 2.0 * (at - 0.25), rtol=1e-13)
        assert slopes["by"] == pytest.approx(2.0 * np.sum(at - 0.25), rel=1e-13)
