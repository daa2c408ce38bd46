"""Numbers of the material interpolations and of the projections, by their formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tograph as tg
from tograph import Graph, Node
from tograph import nodes as n

BACKENDS = ("jax", "torch", "numpy")
RHO = np.array([[0.0, 0.25, 0.5], [0.75, 0.9, 1.0]])
GRID = n.Grid(3, 2)


def run(node: Node, backend: str, rho: Any = RHO) -> np.ndarray:
    x = tg.source("rho", GRID.field())
    found: np.ndarray = Graph([x], {"y": node(x)}).compile(backend)(rho)["y"]
    return found


def slope(node: Node, backend: str, rho: Any = RHO) -> np.ndarray:
    x = tg.source("rho", GRID.field())
    _, found = Graph([x], {"y": n.Sum()(node(x))}).compile(backend).value_and_grad("y", "rho")(rho)
    return np.asarray(found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_simp(backend: str) -> None:
    assert np.allclose(run(n.Simp(), backend), 1e-9 + RHO**3 * (1 - 1e-9), rtol=1e-14, atol=0)
    assert np.allclose(run(n.Simp(p=1.5, E_min=0.1, E_max=2.0), backend), 0.1 + RHO**1.5 * 1.9, rtol=1e-14, atol=0)
    ends = run(n.Simp(p=4.0, E_min=1e-3, E_max=5.0), backend)
    assert ends[0, 0] == 1e-3 and ends[-1, -1] == pytest.approx(5.0, rel=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ramp(backend: str) -> None:
    expected = 0.1 + RHO / (1 + 4.0 * (1 - RHO)) * 1.9
    assert np.allclose(run(n.Ramp(q=4.0, E_min=0.1, E_max=2.0), backend), expected, rtol=1e-14, atol=0)
    assert np.allclose(run(n.Ramp(q=0.0, E_min=0.0), backend), RHO, rtol=1e-15, atol=0)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_slopes_at_the_ends(backend: str) -> None:
    """SIMP has no slope at 0 (p > 1); RAMP keeps 1/(1 + q) there and has 1 + q at 1."""
    simp, ramp = slope(n.Simp(p=3.0, E_min=0.0), backend), slope(n.Ramp(q=8.0, E_min=0.0), backend)
    assert simp[0, 0] == 0.0 and simp[-1, -1] == pytest.approx(3.0, rel=1e-14)
    assert ramp[0, 0] == pytest.approx(1 / 9, rel=1e-14) and ramp[-1, -1] == pytest.approx(9.0, rel=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_simp_of_a_rounding_below_zero_is_a_number(backend: str) -> None:
    assert np.all(run(n.Simp(p=2.5), backend, np.full((2, 3), -1e-17)) == 1e-9)


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("p", [1.0, 1.5, 3.0])
def test_derivative_in_the_exponent_at_zero(backend: str, p: float) -> None:
    x, exponent = tg.source("rho", GRID.field()), tg.source("p")
    program = Graph([x, exponent], {"y": n.Sum()(n.Simp(p=exponent, E_min=0.0)(x))}).compile(backend)
    _, found = program.value_and_grad("y", "p")(RHO, p)
    positive = RHO[RHO > 0]
    assert float(found) == pytest.approx(float(np.sum(positive**p * np.log(positive))), rel=1e-13)


@pytest.mark.parametrize(
    ("node", "port", "value"),
    [
        (n.Simp(p=0.5), "p", "0.5"),
        (n.Simp(E_min=-1.0), "E_min", "-1"),
        (n.Simp(E_max=0.0), "E_max", "0"),
        (n.Ramp(q=-1.0), "q", "-1"),
        (n.Heaviside(beta=0.0), "beta", "0"),
        (n.Heaviside(beta=1.0, eta=1.5), "eta", "1.5"),
    ],
    ids=lambda value: str(value),
)
def test_parameters_out_of_range(node: Node, port: str, value: str) -> None:
    x = tg.source("rho", GRID.field())
    with pytest.raises(tg.GraphError, match=rf"{port} = {value} is outside its range"):
        Graph([x], {"y": node(x)}).validate()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("beta", "eta"), [(1.0, 0.5), (8.0, 0.3), (64.0, 0.5), (4.0, 0.0), (4.0, 1.0)])
def test_heaviside(backend: str, beta: float, eta: float) -> None:
    low, high = math.tanh(beta * eta), math.tanh(beta * (1 - eta))
    expected = (low + np.tanh(beta * (RHO - eta))) / (low + high)
    found = run(n.Heaviside(beta=beta, eta=eta), backend)
    assert np.allclose(found, expected, rtol=1e-13, atol=1e-15)
    assert found[0, 0] == pytest.approx(0.0, abs=1e-15) and found[-1, -1] == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
def test_heaviside_at_its_threshold(backend: str) -> None:
    found = run(n.Heaviside(beta=32.0), backend, np.full((2, 3), 0.5))
    assert np.allclose(found, 0.5, rtol=1e-15)
    steps = run(n.Heaviside(beta=1e4), backend)
    assert np.array_equal(np.round(steps, 12), [[0.0, 0.0, 0.5], [1.0, 1.0, 1.0]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_passive_regions(backend: str) -> None:
    solid, void = RHO == 0.25, RHO > 0.8
    expected = np.array([[0.0, 1.0, 0.5], [0.75, 0.0, 0.0]])
    assert np.array_equal(run(n.Passive(GRID, solid, void), backend), expected)


def test_passive_regions_must_not_overlap() -> None:
    x = tg.source("rho", GRID.field())
    with pytest.raises(tg.GraphError, match="both solid and void"):
        Graph([x], {"y": n.Passive(GRID, RHO > 0.4, RHO > 0.8)(x)}).validate()
