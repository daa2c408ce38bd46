"""Graphs as JSON: what goes in comes out, the content hash says so, and every malformed file is told what it lacks."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

import tograph as tg
from certify import CERTIFIED
from tograph import codec
from tograph import nodes as n
from tograph.graph import FORMAT
from tograph.node import Constant
from tograph.problems import PROBLEMS

GRID = n.Grid(4, 2)
WORKFLOWS = {
    "plain": {},
    "sensitivity": {"filter": "sensitivity"},
    "projected": {"beta": 4.0},
    "wired": {"penal": tg.source("penal"), "E_min": tg.source("E_min", default=1e-9)},
}


def through_json(graph: tg.Graph, **options: Any) -> tg.Graph:
    return tg.Graph.from_dict(json.loads(json.dumps(graph.to_dict(), allow_nan=False, **options)))


def workflow(p: float = 3.0, label: str = "E", fixed: Any = (0, 1), cls: Any = n.Simp, swap: bool = False) -> tg.Graph:
    rho = tg.source("rho", GRID.field())
    E = cls(p)(rho, name=label)
    f = np.zeros(30)
    f[-1] = -1.0
    u = n.LinearSolve()(n.Stiffness(GRID, fixed=np.array(fixed))(E), f)
    c, v = n.Dot()(*((f, u) if swap else (u, f))), n.VolumeFraction()(rho)
    return tg.Graph([rho], {"c": c, "v": v}, name=label)


def assert_same(again: tg.Graph, graph: tg.Graph) -> None:
    assert again == graph and again.hash == graph.hash and hash(again) == hash(graph)
    assert again.to_dict() == graph.to_dict()
    for one, other in zip(again.vertices, graph.vertices, strict=True):
        assert one.node == other.node and one.origin.cluster == other.origin.cluster
        assert [port for port, _ in one.inputs] == [port for port, _ in other.inputs]
        if isinstance(one.node, Constant) and isinstance(other.node, Constant):
            assert one.node.value.shape == other.node.value.shape and np.array_equal(one.node.value, other.node.value)


@pytest.mark.parametrize("cls", CERTIFIED, ids=[cls.__name__ for cls in CERTIFIED])
def test_every_node_type(cls: type[tg.Node]) -> None:
    for example in CERTIFIED[cls]:
        graph = example.graph()
        assert any(type(vertex.node) is cls for vertex in graph.vertices)
        assert_same(through_json(graph), graph)
        assert_same(through_json(graph, sort_keys=True), graph)


@pytest.mark.parametrize("options", WORKFLOWS.values(), ids=WORKFLOWS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_workflow(name: str, options: dict[str, Any]) -> None:
    size = {"nelz": 2} if name == "cantilever_3d" else {}
    graph = PROBLEMS[name](nelx=6, nely=4, **size).workflow(**options)
    again = through_json(graph)
    assert_same(again, graph)
    assert again.names.values() == graph.names.values() or list(again.names.values()) == list(graph.names.values())
    again.validate()


def test_a_graph_from_a_file_computes_the_same() -> None:
    graph = PROBLEMS["mbb"](nelx=6, nely=4).workflow()
    x = np.random.default_rng(0).uniform(0.2, 0.9, (4, 6))
    (a, da), (b, db) = (
        g.compile("torch").value_and_grad("compliance", "rho")(x) for g in (graph, through_json(graph, sort_keys=True))
    )
    assert a == b and np.array_equal(da, db)


def test_what_a_file_keeps_of_the_declaration() -> None:
    with tg.cluster("outer"), tg.cluster("inner"):
        graph = workflow(label="moduli")
    again = through_json(graph)
    vertex = next(v for v in again.vertices if v.origin.name == "moduli")
    assert vertex.origin.cluster == ("outer", "inner") and vertex.origin.chosen
    assert vertex.origin.where.file == "test_serialize.py"
    assert vertex.origin.where.line == next(v for v in graph.vertices if v.origin.name == "moduli").origin.where.line
    assert again.name == "moduli" and through_json(again).to_dict() == graph.to_dict()


def test_a_chosen_derivative_is_kept() -> None:
    rho = tg.source("rho", GRID.field())
    plain, chosen = (
        tg.Graph([rho], {"E": n.Simp()(rho, **options)}) for options in ({}, {"derivative": "finite-difference"})
    )
    assert_same(through_json(chosen), chosen)
    assert str(through_json(chosen).outputs["E"].vertex.origin.derivative).startswith("finite-difference")
    assert chosen.hash != plain.hash


# The content hash.


def test_the_hash_is_the_same_tomorrow() -> None:
    """Changes only with `FORMAT`, or with the version of a node: results are found by it again."""
    assert FORMAT == 1
    assert workflow().hash == "deaf21255ad0d259338f4d7a890764ed63a5e4a16a114a44abcdb58ebcfd5f49"


def test_the_hash_does_not_see_labels_lines_and_clusters() -> None:
    plain = workflow()
    with tg.cluster("somewhere"):
        other = workflow(label="called_otherwise")
    assert other == plain
    assert tg.Graph(plain.inputs, dict(reversed(plain.outputs.items()))) == plain


def test_the_hash_does_not_see_how_an_array_lies_in_memory() -> None:
    rho = tg.source("rho", GRID.field())
    values = np.arange(8.0).reshape(2, 4)
    forms = [values, np.asfortranarray(values), values.astype(">f8"), values[:, ::-1][:, ::-1]]
    graphs = [tg.Graph([rho], {"y": rho + tg.constant(form)}) for form in forms]
    assert len({graph.hash for graph in graphs}) == 1
    masks = [n.Passive(GRID, form > 3, form > 9).key for form in forms[:2]]
    assert masks[0] == masks[1]


DIFFERENT: dict[str, Callable[[], tg.Graph]] = {
    "a parameter": lambda: workflow(p=3.5),
    "a node type": lambda: workflow(cls=n.Ramp),
    "an array": lambda: workflow(fixed=(0, 2)),
    "the dtype of an array": lambda: workflow(fixed=np.array([0, 1], dtype=np.int32)),
    "the order of the inputs of a node": lambda: workflow(swap=True),
    "a constant in place of a wire": lambda: workflow(p=tg.source("p")),  # type: ignore[arg-type]
    "the name of an output": lambda: tg.Graph(workflow().inputs, {"d": workflow().outputs["c"]}),
}


@pytest.mark.parametrize("make", DIFFERENT.values(), ids=DIFFERENT)
def test_the_hash_sees(make: Callable[[], tg.Graph]) -> None:
    assert make().hash != workflow().hash


def test_the_hash_sees_the_wiring() -> None:
    rho = tg.source("rho", GRID.field())
    once, twice = n.Heaviside(beta=2.0), n.Heaviside(beta=2.0)
    a, b = once(rho), twice(rho)
    shared, apart = (tg.Graph([rho], {"y": x * y}) for x, y in ((a, a), (a, b)))
    chained = tg.Graph([rho], {"y": a * twice(a)})
    assert len({shared.hash, apart.hash, chained.hash}) == 3


# The codec.


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 2.5, 1e-300, -0.0, "text", (), (1, (2.0, "x")), {"a": 1, "b": (2,)}, {1: "integer keys"}],
    ids=repr,
)
def test_values(value: Any) -> None:
    assert codec.decode(json.loads(json.dumps(codec.encode(value)))) == value


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_numbers_that_json_does_not_know(value: float) -> None:
    text = json.dumps(codec.encode(value), allow_nan=False)
    assert np.array_equal(codec.decode(json.loads(text)), value, equal_nan=True)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_arrays(dtype: str, shape: tuple[int, ...]) -> None:
    value = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3, dtype=dtype)
    again = codec.decode(json.loads(json.dumps(codec.encode(value))))
    assert again.dtype == value.dtype and again.shape == value.shape and np.array_equal(again, value)
    assert not again.flags.writeable


@attrs.frozen
class Unregistered:
    """A class that no file may name."""

    x: int = 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1j, "a complex cannot be stored in a graph. Use numbers, text, tuples, arrays or attrs classes"),
        ({1}, "a set cannot be stored in a graph. Use numbers, text, tuples, arrays or attrs classes"),
        (np.array(["a"]), "an array of dtype <U1 cannot be stored in a graph. Use numbers or booleans"),
        (np.array([{}]), "an array of dtype object cannot be stored in a graph. Use numbers or booleans"),
        (
            Unregistered(),
            f"{codec.type_name(Unregistered)} cannot be stored in a graph: it is not registered. "
            "Decorate the class with `tograph.codec.register`",
        ),
    ],
)
def test_what_cannot_be_stored(value: Any, message: str) -> None:
    with pytest.raises(tg.TographError) as caught:
        codec.encode(value)
    assert str(caught.value) == message


def test_a_class_name_is_taken_once() -> None:
    made = type("Grid", (), {"__module__": "tograph.nodes.elsewhere"})
    with pytest.raises(
        tg.TographError, match=r"^tograph.nodes.Grid is already registered by tograph.nodes.grid. Choose"
    ):
        codec.register(made)


# Malformed files.


def tiny() -> dict[str, Any]:
    """rho -> E -> sum, as JSON data."""
    rho = tg.source("rho", GRID.field())
    E = n.Simp()(rho)
    total = n.Sum()(E)
    data: dict[str, Any] = json.loads(json.dumps(tg.Graph([rho], {"total": total}).to_dict()))
    for record in data["vertices"]:
        record["declared"] = ["beam.py", {"rho": 1, "E": 2, "total": 3}[record["name"]]]
    return data


def put(*path: Any) -> Callable[[dict[str, Any]], Any]:
    """Set the last item at the path given by all but it; `...` removes the key."""

    def change(data: dict[str, Any]) -> None:
        *way, key, value = path
        place: Any = data
        for step in way:
            place = (
                next(v for v in place["vertices"] if v["name"] == step)
                if step in ("rho", "E", "total")
                else place[step]
            )
        if value is ...:
            del place[key]
        else:
            place[key] = value

    return change


def both(*changes: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def change(data: dict[str, Any]) -> None:
        for one in changes:
            one(data)

    return change


SHORT = {"array": "eJxjYEAFAAAQAAE=", "dtype": "<f8", "shape": [2]}
MALFORMED: list[tuple[str, Callable[[dict[str, Any]], Any], tuple[str, ...]]] = [
    ("no version", put("tograph", ...),
     ("this is not a graph written by tograph: it has no key 'tograph'. Use `Graph.to_dict`",)),
    ("another version", put("tograph", 99),
     ("the graph has format version 99, this tograph reads version 1. Write it again with a matching tograph",)),
    ("no vertices", both(put("vertices", ...), put("inputs", 3)),
     ("the graph: 'inputs' must be a list of node names, got 3",
      "the graph: 'vertices' is missing: it must be a list of nodes")),
    ("outputs as a list", put("outputs", ["total"]),
     ("the graph: 'outputs' must be an object {output: [node, number of its output]}, got ['total']",)),
    ("a node that is no object", put("vertices", 1, "E"),
     ("vertices[1]: must be an object, got 'E'",)),
    ("missing and wrong keys", both(put("E", "type", ...), put("total", "inputs", []), put("rho", "chosen", "yes")),
     ("rho: 'chosen' must be true or false, got 'yes'",
      "E: 'type' is missing: it must be a text",
      "total: 'inputs' must be an object {port: [node, number of its output]}, got []")),
    ("a wire that is no pair", put("E", "inputs", "rho", "rho"),
     ("E: 'inputs' must be an object {port: [node, number of its output]}, got {'rho': 'rho'}",)),
    ("a line that is no number", put("E", "declared", ["beam.py", None]),
     ("E: 'declared' must be a pair [file, line], got ['beam.py', None]",)),
    ("two nodes of one name", lambda data: data["vertices"].append(data["vertices"][1]),
     ("E: two nodes are called 'E'. Every node needs a name of its own",)),
    ("an unknown type", put("E", "type", "tograph.nodes.Simpp"),
     ("E: unknown type 'tograph.nodes.Simpp'. Did you mean 'tograph.nodes.Simp'? If it is yours, import the module "
      "that defines it first (declared at beam.py:2)",)),
    ("a type that is no node", put("E", "type", "tograph.nodes.Grid"),
     ("E: tograph.nodes.Grid is not a node type (declared at beam.py:2)",)),
    ("an unknown version of a node", put("E", "version", 7),
     ("E: tograph.nodes.Simp has version 7 in the file, 1 here (declared at beam.py:2). "
      "Rebuild the graph with this version of the node",)),
    ("an unknown field", put("E", "fields", "E_mim", 0.1),
     ("E: tograph.nodes.Simp has no field 'E_mim'. Did you mean 'E_min'? (declared at beam.py:2)",)),
    ("a missing field", put("rho", "fields", "name", ...),
     ("rho: tograph.Source needs the field 'name' (declared at beam.py:1)",)),
    ("a field of the wrong type", put("E", "fields", "p", "three"),
     ("E.p: expects a number or an edge, got the text 'three' (declared at beam.py:2). Give a number or an edge",)),
    ("an impossible kind", put("rho", "fields", "spec", "fields", "kind", "feild"),
     ("rho: there is no kind 'feild'. Did you mean 'field'? (declared at beam.py:1)",)),
    ("a list where an object is expected", put("rho", "fields", "spec", "fields", []),
     ("rho: tograph.Spec needs an object of fields, got [] (declared at beam.py:1)",)),
    ("an object that stands for nothing", put("rho", "fields", "spec", {"kind": "field"}),
     ("rho: not a stored value: an object with 'kind' (declared at beam.py:1)",)),
    ("an array of the wrong dtype", put("rho", "fields", "lower", SHORT | {"dtype": "complex128"}),
     ("rho: not a stored array: its data do not fill a complex128 array of shape (2,) (declared at beam.py:1)",)),
    ("an array of no dtype", put("rho", "fields", "lower", SHORT | {"dtype": "floaty"}),
     ("rho: not a stored array: TypeError: data type 'floaty' not understood (declared at beam.py:1)",)),
    ("an array of the wrong length", put("rho", "fields", "lower", codec.encode(np.zeros(2)) | {"shape": [3]}),
     ("rho: not a stored array: its data do not fill a float64 array of shape (3,) (declared at beam.py:1)",)),
    ("an array of a negative shape", put("rho", "fields", "lower", codec.encode(np.zeros(2)) | {"shape": [-1]}),
     ("rho: not a stored array: its data do not fill a float64 array of shape (-1,) (declared at beam.py:1)",)),
    ("a dict that is no list of pairs", put("rho", "fields", "lower", {"dict": 3}),
     ("rho: not a stored dict: it must be a list of pairs (key, value) (declared at beam.py:1)",)),
    ("a number of no meaning", put("rho", "fields", "lower", {"float": "huge"}),
     ("rho: not a stored number: 'huge' (declared at beam.py:1)",)),
    ("dangling references", both(put("E", "inputs", "rho", ["rhp", 0]), put("outputs", "total", ["totl", 0])),
     ("output 'total' refers to 'totl', which is not in the graph. Did you mean 'total'?",
      "E.rho refers to 'rhp', which is not in the graph. Did you mean 'rho'?")),
    ("a dangling input", put("inputs", ["rh"]),
     ("the list of inputs refers to 'rh', which is not in the graph. Did you mean 'rho'?",)),
    ("an input that is no source", put("inputs", ["E"]),
     ("E: is listed as an input, but is a Simp, not a source (declared at beam.py:2)",)),
    ("an output that a node does not have", put("total", "inputs", "x", ["E", 1]),
     ("total.x refers to output 1 of 'E', which has 1, numbered from 0",)),
    ("a port that a node does not have", put("total", "inputs", "xx", ["E", 0]),
     ("total: Sum has no input 'xx' (declared at beam.py:3). Did you mean 'x'?",)),
    ("a cycle", put("E", "inputs", "rho", ["E", 0]),
     ("E: cycle: E -> E (declared at beam.py:2). A graph has no cycles: solve the loop inside one implicit node",)),
    ("a longer cycle", put("E", "inputs", "rho", ["total", 0]),
     ("E: cycle: E -> total -> E (declared at beam.py:2). "
      "A graph has no cycles: solve the loop inside one implicit node",)),
    ("a derivative of another kind", put("E", "derivative", codec.encode(GRID)),
     ("E: 'derivative' must be a Derivative, got a Grid (declared at beam.py:2)",)),
    ("everything at once",
     both(put("E", "version", 7), put("rho", "type", "Source"), put("total", "inputs", "x", ["F", 0])),
     ("rho: unknown type 'Source'. Did you mean 'tograph.Source'? If it is yours, import the module that defines it "
      "first (declared at beam.py:1)",
      "E: tograph.nodes.Simp has version 7 in the file, 1 here (declared at beam.py:2). "
      "Rebuild the graph with this version of the node",
      "total.x refers to 'F', which is not in the graph. Known: E, rho, total")),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed(change: Callable[[dict[str, Any]], Any], expected: tuple[str, ...]) -> None:
    data = tiny()
    change(data)
    with pytest.raises(tg.GraphError) as caught:
        tg.Graph.from_dict(data)
    assert tuple(str(finding) for finding in caught.value.findings) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{}", "this is not a graph written by tograph, but a str. Read the file with `json.load` first"),
        ([], "this is not a graph written by tograph, but a list. Use `Graph.to_dict`"),
        ({}, "this is not a graph written by tograph: it has no key 'tograph'. Use `Graph.to_dict`"),
    ],
)
def test_not_a_graph(data: Any, message: str) -> None:
    with pytest.raises(tg.GraphError) as caught:
        tg.Graph.from_dict(data)
    assert [str(finding) for finding in caught.value.findings] == [message]


def places(data: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in JSON data."""
    items = list(data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ())
    return [(*way, key) for key, _ in items] + [path for key, value in items for path in places(value, (*way, key))]


def test_whatever_is_wrong_is_said_in_a_sentence() -> None:
    """Every value of a file replaced by every other kind of value: a graph, or a `GraphError`, and nothing else."""
    original = PROBLEMS["mbb"](nelx=2, nely=2).workflow().to_dict()
    original = json.loads(json.dumps(original))
    chosen = random.Random(0)
    refused = 0
    for path in places(original):
        junk = chosen.choice([None, True, -1, 1.5, "junk", [], ["junk", 0], {}, {"junk": 1}, {"type": "junk"}])
        data = copy.deepcopy(original)
        place = data
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = junk
        try:
            tg.Graph.from_dict(data).validate()
        except tg.GraphError as error:
            refused += 1
            assert all(finding.message for finding in error.findings)
    assert refused > 100
