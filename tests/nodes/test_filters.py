"""Numbers of the filters: by hand, and against the dense filters of tests/reference.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference
import tograph as tg
from tograph import Edge, Graph, Node
from tograph import nodes as n

BACKENDS = ("jax", "torch", "numpy")
GRIDS = [n.Grid(7, 4), n.Grid(4, 7, spacing=(1.0, 0.5)), n.Grid(3, 4, 2), n.Grid(1, 5), n.Grid(1, 1)]


def run(node: Node, grid: n.Grid, rho: np.ndarray, backend: str) -> np.ndarray:
    x = tg.source("rho", grid.field())
    found: np.ndarray = Graph([x], {"y": node(x)}).compile(backend)(rho)["y"]
    return found


def dense(grid: n.Grid, radius: float) -> np.ndarray:
    shape = (grid.shape[1], grid.shape[0], *grid.shape[2:])
    return reference.cone_weights(shape, radius, grid.spacing)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("radius", [0.4, 1.0, 1.5, 2.4, 20.0])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_density_filter_is_the_dense_one(grid: n.Grid, radius: float, backend: str, rng: np.random.Generator) -> None:
    rho = rng.uniform(0.0, 1.0, grid.shape)
    expected = reference.density_filter(dense(grid, radius), reference.from_field(rho))
    found = run(n.DensityFilter(grid, radius=radius), grid, rho, backend)
    assert np.allclose(found, reference.to_field(expected), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_density_filter_keeps_constants_and_bounds(backend: str, rng: np.random.Generator) -> None:
    grid = n.Grid(9, 6)
    assert np.allclose(run(n.DensityFilter(grid, radius=2.5), grid, np.full(grid.shape, 0.3), backend), 0.3, rtol=1e-14)
    found = run(n.DensityFilter(grid, radius=2.5), grid, rng.integers(0, 2, grid.shape).astype(float), backend)
    assert found.min() > -1e-14 and found.max() < 1 + 1e-14


def test_density_filter_by_hand() -> None:
    """Radius 1.5 on 3 x 1 elements of length 1: weights 1.5 for itself and 0.5 for a neighbour."""
    grid = n.Grid(3, 1)
    found = run(n.DensityFilter(grid, radius=1.5), grid, np.array([[1.0, 0.0, 0.0]]), "numpy")
    assert np.allclose(found, [[0.75, 0.2, 0.0]], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_small_radius_is_no_filter(backend: str, rng: np.random.Generator) -> None:
    grid = n.Grid(5, 4)
    rho = rng.uniform(size=grid.shape)
    assert np.allclose(run(n.DensityFilter(grid, radius=1.0), grid, rho, backend), rho, rtol=1e-14)


def test_a_wired_radius_gives_the_same(rng: np.random.Generator) -> None:
    grid = n.Grid(5, 4)
    rho, radius = tg.source("rho", grid.field()), tg.source("radius")
    wired = Graph([rho, radius], {"y": n.DensityFilter(grid, radius=radius, max_radius=3.0)(rho)}).compile("jax")
    x = rng.uniform(size=grid.shape)
    for r in (0.7, 1.0, 2.4, 3.0):
        assert np.allclose(wired(x, r)["y"], run(n.DensityFilter(grid, radius=r), grid, x, "jax"), rtol=1e-13)


def test_a_wired_radius_needs_a_bound() -> None:
    grid = n.Grid(5, 4)
    rho, radius = tg.source("rho", grid.field()), tg.source("radius")
    with pytest.raises(tg.GraphError, match=r"a wired radius needs an upper bound .*max_radius"):
        Graph([rho, radius], {"y": n.DensityFilter(grid, radius=radius)(rho)}).validate()


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("grid", GRIDS[:3], ids=str)
def test_sensitivity_filter_is_the_heuristic(grid: n.Grid, backend: str, rng: np.random.Generator) -> None:
    rho, slope = rng.uniform(1e-4, 1.0, grid.shape), rng.normal(size=grid.shape)
    x = tg.source("rho", grid.field())
    y: Edge = n.SensitivityFilter(grid, radius=1.7)(x)
    value, grad = Graph([x], {"c": n.Dot()(y, slope)}).compile(backend).value_and_grad("c", "rho")(rho)
    flat = reference.sensitivity_filter(dense(grid, 1.7), reference.from_field(rho), reference.from_field(slope))
    assert float(value) == pytest.approx(float(np.sum(rho * slope)), rel=1e-13)
    assert np.allclose(grad, reference.to_field(flat), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("window", [(3, 5), (1, 1), (7, 9), (9, 1)])
def test_convolution_is_the_sum(backend: str, window: tuple[int, int], rng: np.random.Generator) -> None:
    x, w = rng.normal(size=(4, 5)), rng.normal(size=window)
    w = w + np.flip(w)  # even
    middle = np.array(window) // 2
    expected = np.zeros_like(x)
    for at in np.ndindex(*x.shape):
        for other in np.ndindex(*x.shape):
            d = tuple(np.array(at) - np.array(other) + middle)
            if all(0 <= i < size for i, size in zip(d, window, strict=True)):
                expected[at] += w[d] * x[other]
    edge = tg.source("x", tg.Spec("field", (tg.Axis("ny", 4), tg.Axis("nx", 5))))
    y = n.Convolve()(edge, n.Spectrum((4, 5))(w))
    found = Graph([edge], {"y": y}).compile(backend)(x)["y"]
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_a_field_of_the_wrong_shape_is_named() -> None:
    grid = n.Grid(5, 4)
    rho = tg.source("rho", n.Grid(4, 5).field())
    with pytest.raises(tg.GraphError, match=r"shape \(5, 4\) does not fit the grid.*transposed"):
        Graph([rho], {"y": n.DensityFilter(grid, radius=2.0)(rho)}).validate()


def _quotient_rule(rho: Any, beta: Any, eta: Any) -> tuple[Any, Any]:
    """d rho_p / d beta and d rho_p / d eta as the formula says, in extended precision."""
    rho, beta, eta = (np.asarray(x, np.longdouble) for x in (rho, beta, eta))

    def sech2(x: Any) -> Any:
        return 1 - np.tanh(x) ** 2

    N, D = np.tanh(beta * eta) + np.tanh(beta * (rho - eta)), np.tanh(beta * eta) + np.tanh(beta * (1 - eta))
    low, up, top = sech2(beta * eta), sech2(beta * (rho - eta)), sech2(beta * (1 - eta))
    by_beta = (eta * low + (rho - eta) * up - N / D * (eta * low + (1 - eta) * top)) / D
    return by_beta, beta * (low - up - N / D * (low - top)) / D


@pytest.mark.skipif(bool(np.finfo(np.longdouble).eps > 1e-18), reason="long double is no longer than double here")
@pytest.mark.parametrize("eta", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("beta", [1e-3, 0.02, 0.1249, 0.1251, 1.0, 8.0, 64.0])
def test_projection_has_all_digits_however_gentle_or_steep(beta: float, eta: float) -> None:
    """The quotient rule loses 1 / beta^2 of the precision for small beta, all of it for large beta."""
    line = tg.Spec("field", (tg.Axis("ny", 21),))
    edge, b, e = tg.source("rho", line), tg.source("beta"), tg.source("eta")
    rho = np.linspace(0.0, 1.0, 21)
    program = Graph([edge, b, e], {"y": n.Heaviside(beta=b, eta=e)(edge)}).compile("numpy")
    for x, exact in zip(("beta", "eta"), _quotient_rule(rho, beta, eta), strict=True):
        found = program.jvp("y", x)(rho, beta, eta, **{f"{x}_dot": 1.0})[1]
        assert np.max(np.abs(found - exact)) <= 4e-12 * np.max(np.abs(exact)), x
