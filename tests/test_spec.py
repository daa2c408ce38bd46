"""The types of edges, and the two precisions side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

import tograph as tg
from tograph import nodes as n
from tograph.spec import DTYPES, KINDS, Axis, Spec, array, require_same, scalar

GRID = n.Grid(4, 2)
PATTERN = n.Stiffness(GRID).pattern()


def test_shape_and_size() -> None:
    spec = array("field", ny=2, nx=4)
    assert spec == GRID.field() and spec.axes == (Axis("ny", 2), Axis("nx", 4))
    assert spec.shape == (2, 4) and spec.size == 8 and str(spec.axes[1]) == "nx=4"
    assert scalar().shape == () and scalar().size == 1 and scalar("mm").unit == "mm"
    assert array("vector", dof=0).size == 0
    assert Spec("field", [Axis("ny", 2)]).axes == (Axis("ny", 2),)


def test_specs_are_values() -> None:
    assert hash(GRID.field()) == hash(n.Grid(4, 2).field())
    assert GRID.field("mm") != GRID.field() and scalar() != scalar(dtype="float32")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        scalar().kind = "field"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        (GRID.field(), "field 2x4"),
        (GRID.field("MPa"), "field 2x4 [MPa]"),
        (scalar(), "scalar"),
        (array("vector", "float32", "N", dof=30, case=2), "vector 30x2 [N] float32"),
        (array("integer", "integer", axis0=3), "integer 3"),
        (Spec("operator", GRID.field().axes, structure=PATTERN), "operator 30x30"),
    ],
)
def test_label(spec: Spec, label: str) -> None:
    assert spec.label() == label


def test_bytes() -> None:
    field = array("field", ny=2, nx=4)
    assert field.nbytes() == 64 and field.nbytes(real=4) == 32
    assert attrs.evolve(field, dtype="float32").nbytes() == 32 and attrs.evolve(field, dtype="float64").nbytes(4) == 64


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_are_not_differentiated(kind: str, dtype: str) -> None:
    assert Spec(kind, dtype=dtype).differentiable == (kind != "integer" and dtype != "integer")


def test_the_cotangent_of_an_operator_is_a_dyad() -> None:
    assert GRID.field().cotangent() == GRID.field()
    for kind in ("operator", "factor"):
        dyad = Spec(kind, GRID.field().axes, structure=PATTERN).cotangent()
        assert dyad.kind == "dyad" and dyad.axes == (Axis("dof", 30),) and dyad.structure is PATTERN


MALFORMED: list[tuple[Callable[[], Any], str]] = [
    (lambda: Spec("feild"), "there is no kind 'feild'. Did you mean 'field'?"),
    (
        lambda: Spec("x"),
        "there is no kind 'x'. Known: array, dyad, factor, field, integer, operator, params, scalar, vector",
    ),
    (lambda: Spec("field", dtype="float"), "there is no dtype 'float'. Did you mean 'float64'?"),
    (
        lambda: Spec("field", (2, 4)),
        'axes must be a tuple of Axis, got (2, 4). Give a tuple of `Axis`, or use `array("field", ny=2, nx=4)`',
    ),
    (lambda: array("field", ny=2.5), "axis 'ny': the length must be a whole number, got 2.5"),  # type: ignore[arg-type]
    (lambda: Axis("ny", -1), "axis 'ny': the length must be a whole number, got -1"),
    (lambda: Axis("ny", True), "axis 'ny': the length must be a whole number, got True"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), MALFORMED, ids=[row[1] for row in MALFORMED])
def test_malformed(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(tg.SpecError) as caught:
        make()
    assert str(caught.value) == message


def test_require_same() -> None:
    require_same(GRID.field(), array("array", a=2, b=4), ("a", "b"))
    require_same(GRID.field("mm"), GRID.field(), ("a", "b"))
    with pytest.raises(tg.SpecError) as caught:
        require_same(GRID.field(), n.Grid(3, 3).field(), ("a", "b"))
    assert caught.value.message == "shapes differ: 'a' is field 2x4, 'b' is field 3x3"
    assert (caught.value.port, caught.value.fix) == ("b", "Both must live on the same grid")


# Precisions.


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cast(backend: str, dtype: str) -> None:
    """y = sum (x in another precision)^2: value and derivatives carry its rounding, and come back in that of x."""
    x = tg.source("x", GRID.field())
    low = n.Cast(dtype)(x)
    graph = tg.Graph([x], {"low": low, "y": n.Dot()(low, low)})
    program = graph.compile(backend)
    at = np.linspace(0.1, 0.9, 8).reshape(2, 4)
    rounded = at.astype(dtype)
    found = program(at)["low"]
    assert found.dtype == dtype and np.array_equal(found, rounded)
    value, slope = program.value_and_grad("y", "x")(at)
    assert value.dtype == dtype and slope.dtype == np.float64
    accuracy = 1e-6 if dtype == "float32" else 1e-15
    np.testing.assert_allclose(slope, 2.0 * rounded.astype(np.float64), rtol=accuracy)
    if dtype == "float32":
        assert np.array_equal(slope, slope.astype(np.float32)) and not np.array_equal(slope, 2.0 * at)
    _, push = program.jvp("y", "x")(at, np.ones((2, 4)))
    assert push.dtype == dtype and push == pytest.approx(2.0 * rounded.sum(), rel=accuracy)
    rules = {row["rule"] for row in program.value_and_grad("y", "x").explain().rules if row["operation"] == "Cast"}
    assert rules == {"registered"}


def test_cast_is_said_in_the_spec() -> None:
    assert n.Cast("float32").infer(GRID.field("mm")) == Spec("field", GRID.field().axes, "float32", "mm")
    x = tg.source("x", GRID.field())
    graph = tg.Graph([x], {"y": n.Cast("float32")(x)})
    assert tg.Graph.from_dict(graph.to_dict()).hash == graph.hash != tg.Graph([x], {"y": n.Cast("float64")(x)}).hash
