"""Numbers of objectives and of the arithmetic on edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tograph as tg
from tograph import Graph
from tograph import nodes as n

BACKENDS = ("jax", "torch", "numpy")
X = np.arange(6.0).reshape(2, 3) + 0.5
Y = np.linspace(1.0, 3.0, 6).reshape(2, 3)
FIELD = n.Grid(3, 2).field()


def run(build: Any, backend: str) -> np.ndarray:
    x, y = tg.source("x", FIELD), tg.source("y", FIELD)
    both = n.Sum()(x) + n.Sum()(y)  # so that no input is unused
    found: np.ndarray = Graph([x, y], {"out": build(x, y), "both": both}).compile(backend)(X, Y)["out"]
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda x, y: x + y, X + Y),
        (lambda x, y: x - y, X - Y),
        (lambda x, y: x * y, X * Y),
        (lambda x, y: x / y, X / Y),
        (lambda x, y: -x, -X),
        (lambda x, y: x**3, X**3),
        (lambda x, y: x**-0.5, X**-0.5),
        (lambda x, y: 2.0 * x, 2 * X),
        (lambda x, y: x * 2.0, 2 * X),
        (lambda x, y: x / 2.0, X / 2),
        (lambda x, y: 2.0 / x, 2 / X),
        (lambda x, y: X * y, X * Y),
        (lambda x, y: x - Y, X - Y),
        (lambda x, y: 1.0 - x, 1 - X),
        (lambda x, y: x + 1.0, X + 1),
        (lambda x, y: n.Add()(x, y, x), 2 * X + Y),
        (lambda x, y: n.Dot()(x, y), np.sum(X * Y)),
        (lambda x, y: n.Sum()(x), X.sum()),
        (lambda x, y: n.Sum()(x) * y, X.sum() * Y),
        (lambda x, y: n.Hadamard()(x, x), X**2),
        (lambda x, y: n.Reciprocal()(x), 1 / X),
        (lambda x, y: n.VolumeFraction()(x), X.mean()),
        (lambda x, y: n.VolumeFraction(X > 3)(x), X[X > 3].mean()),
        (
            lambda x, y: tg.weighted_sum({"a": n.Sum()(x), "b": n.Sum()(y)}, {"a": 2.0, "b": 3.0}),
            2 * X.sum() + 3 * Y.sum(),
        ),
    ],
)
def test_arithmetic(build: Any, expected: Any, backend: str) -> None:
    found = run(build, backend)
    assert np.shape(found) == np.shape(expected) and found.dtype == np.float64
    assert np.allclose(found, expected, rtol=1e-14)


def test_weighted_sum_wants_the_same_names() -> None:
    with pytest.raises(tg.SpecError, match=r"weights are for \['b'\], terms are \['a'\]"):
        tg.weighted_sum({"a": tg.source("a")}, {"b": 1.0})


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_cast_rounds_values_and_casts_cotangents_back(backend: str) -> None:
    x = tg.source("x", FIELD)
    y = n.Cast("float64")(n.Cast("float32")(x))
    program = Graph([x], {"y": y, "sum": n.Dot()(y, Y)}).compile(backend)
    value, grad = program.value_and_grad("sum", "x")(X / 3)
    assert np.array_equal(program(X / 3)["y"], (X / 3).astype(np.float32).astype(np.float64))
    assert np.asarray(value).dtype == grad.dtype == np.float64
    assert np.array_equal(grad, Y.astype(np.float32).astype(np.float64))


VECTOR = tg.Spec("vector", (tg.Axis("dof", 4),))
CASES = tg.Spec("vector", (tg.Axis("dof", 4), tg.Axis("case", 2)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_compliance(backend: str) -> None:
    u, f = np.arange(8.0).reshape(4, 2), np.ones((4, 2)) * [1.0, 2.0]
    edges = [tg.source("u", CASES), tg.source("f", CASES)]
    outputs = {"c": n.Compliance()(*edges), "weighted": n.Compliance((3.0, 0.5))(*edges)}
    found = Graph(edges, outputs).compile(backend)(u, f)
    assert float(found["c"]) == 12.0 + 32.0 and float(found["weighted"]) == 36.0 + 16.0
    single = [tg.source("u", VECTOR), tg.source("f", VECTOR)]
    assert float(Graph(single, {"c": n.Compliance()(*single)}).compile(backend)(u[:, 0], f[:, 1])["c"]) == 24.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_of_cases(backend: str) -> None:
    x = tg.source("x", CASES)
    found = Graph([x], {"y": n.WeightCases((2.0, -1.0))(x)}).compile(backend)(np.ones((4, 2)))["y"]
    assert np.array_equal(found, np.ones((4, 2)) * [2.0, -1.0])


def test_weights_must_fit_the_cases() -> None:
    u, f = tg.source("u", CASES), tg.source("f", CASES)
    with pytest.raises(tg.GraphError, match="3 weights for 2 load cases"):
        Graph([u, f], {"c": n.Compliance((1.0, 2.0, 3.0))(u, f)}).validate()


def test_the_load_must_have_the_shape_of_the_state() -> None:
    u, f = tg.source("u", CASES), tg.source("f", VECTOR)
    with pytest.raises(tg.GraphError, match="Use the load that was solved for"):
        Graph([u, f], {"c": n.Compliance()(u, f)}).validate()


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_volume_counts_only_its_mask(backend: str) -> None:
    x = tg.source("x", FIELD)
    _, grad = Graph([x], {"v": n.VolumeFraction(X > 3)(x)}).compile(backend).value_and_grad("v", "x")(X)
    assert np.array_equal(grad, np.where(X > 3, 1 / 3, 0.0))
