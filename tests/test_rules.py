"""Every node of the library, on every backend: see the table in tests/certify.py."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tograph as tg
from certify import CERTIFIED, EXEMPT, Example
from tograph import Graph, Node
from tograph.codec import TYPES
from tograph.graph import source_of

BACKENDS = ("jax", "torch")
EXAMPLES = [
    pytest.param(example, id=f"{kind.__name__}-{i}")
    for kind, examples in CERTIFIED.items()
    for i, example in enumerate(examples)
]
HEURISTIC = {"SensitivityFilter", "AverageSensitivity"}
FURTHER = ("curvature", "degenerate", "float32", "vmap", "jit vmap")
"""Tests that some examples cannot take: a pole at 0, a value that is all rounding."""
KEYS = "import certify; print([e.node.key for es in certify.CERTIFIED.values() for e in es])"


@pytest.fixture(params=EXAMPLES, scope="module")
def example(request: pytest.FixtureRequest) -> Example:
    """One row after the other, each through all its tests, which thus share what is compiled."""
    row: Example = request.param
    return row


def defaults(graph: Graph) -> dict[str, np.ndarray]:
    return {source_of(edge).name: source_of(edge).default for edge in graph.inputs}


def test_every_node_has_a_row() -> None:
    ours = {cls for cls in TYPES.values() if issubclass(cls, Node) and cls.__module__.split(".")[0] == "tograph"}
    missing = sorted(cls.__name__ for cls in ours - CERTIFIED.keys() - EXEMPT.keys())
    assert not missing, f"Give these node types a row in tests/certify.py: {', '.join(missing)}"
    assert not CERTIFIED.keys() & EXEMPT.keys()
    assert all(reason for reason in EXEMPT.values())


def test_no_row_hides_another(root: Path) -> None:
    tree = ast.parse((root / "tests" / "certify.py").read_text(encoding="utf-8"))
    keys = [ast.unparse(key) for d in ast.walk(tree) if isinstance(d, ast.Dict) for key in d.keys if key is not None]
    twice = sorted({key for key in keys if keys.count(key) > 1 and not key.startswith("'")})
    assert not twice, f"These node types have two rows in tests/certify.py, of which only the last counts: {twice}"


def test_every_example_is_of_its_row() -> None:
    assert all(type(example.node) is kind for kind, examples in CERTIFIED.items() for example in examples)


def test_values_and_derivatives(example: Example) -> None:
    graph = example.graph()
    report = tg.check(graph, backends=BACKENDS)
    assert report.passed, f"\n{report}"
    assert {row.verdict for row in report.rows if row.test not in FURTHER} <= {"pass", "inexact"}, f"\n{report}"
    assert ("inexact" in report.counts()) <= (example.node.title in HEURISTIC)
    for backend in BACKENDS:
        tried = {row.port.split(".")[-1] for row in report.rows if row.test == "taylor" and row.backend == backend}
        assert set(graph.input_names) <= tried
        assert set(example.node.constants) <= tried | example.constant.keys()


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32(example: Example, backend: str) -> None:
    graph = example.graph()
    given = defaults(graph)
    single = graph.compile(backend, dtype="float32")(**given)
    double = graph.compile(backend)(**given)
    for name, value in double.items():
        assert np.asarray(single[name]).dtype == np.float32 and np.asarray(value).dtype == np.float64
        assert np.allclose(single[name], value, rtol=1e-4, atol=1e-4 * max(float(np.max(np.abs(value))), 1e-30))


def test_json_round_trip(example: Example) -> None:
    for graph in (example.graph(), example.graph(wired=False)):
        again = Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
        assert again.hash == graph.hash and again == graph
        assert [v.node.key for v in again.vertices] == [v.node.key for v in graph.vertices]
    before, after = graph.compile("numpy")(**defaults(graph)), again.compile("numpy")(**defaults(again))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_graphs_built_twice_are_equal(example: Example) -> None:
    assert example.graph().hash == example.graph().hash
    assert example.graph(wired=False) == example.graph(wired=False)


def test_keys_do_not_depend_on_the_process(root: Path) -> None:
    def keys(seed: str) -> str:
        path = os.pathsep.join([str(root), str(root / "tests")])
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", KEYS], cwd=root, env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = keys("1")
    assert first == keys("2")
    assert first.count(",") + 1 == len(EXAMPLES)
