"""Means over corners, and energies at collocation points with derivatives along the coordinates."""

from __future__ import annotations

import numpy as np
import pytest

import tograph as tg
from tograph import Graph, GraphError
from tograph import nodes as n

BACKENDS = ("jax", "torch")
GRID = n.Grid(6, 4, spacing=(1.0, 0.5))


def points(x: np.ndarray) -> tg.Edge:
    return tg.constant(x, tg.Spec("array", (tg.Axis("point", len(x)), tg.Axis("coordinate", x.shape[1]))))


def test_corner_mean_of_a_linear_function_is_its_value_at_the_centre() -> None:
    x = tg.source("x", tg.Spec("array", (tg.Axis("node", GRID.n_nodes),)))
    program = Graph([x], {"y": n.CornerMean(GRID)(x)}).compile("numpy")
    a, b = GRID.node_coordinates().T
    u, v = GRID.centroids().T
    assert np.allclose(program(3.0 * a - b)["y"].ravel(), 3.0 * u - v)
    with pytest.raises(GraphError, match="the grid has 42 nodes"):
        Graph([x], {"y": n.CornerMean(n.Grid(6, 5))(x), "x": x}).validate()


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_of_a_network_along_its_coordinates(backend: str) -> None:
    """Against central differences; and its derivative by the weights, which is a mixed second derivative."""
    net = n.MLP(width=6, depth=2, results=2, activation=n.Tanh())
    theta, x = net.source(seed=1), np.random.default_rng(0).uniform(-1.0, 1.0, (5, 2))
    H = n.Gradient(net)(points(x), theta)
    weights = np.random.default_rng(1).normal(size=(5, 2, 2))
    program = Graph([theta], {"H": H, "c": n.Dot()(H, weights)}).compile(backend)

    def value(at: np.ndarray, w: np.ndarray) -> np.ndarray:
        made: np.ndarray = Graph([theta], {"u": net(points(at), theta)}).compile("numpy")(w)["u"]
        return made

    w, h = net.initial(1), 1e-5
    for k, way in enumerate(np.eye(2)):
        difference = (value(x + h * way, w) - value(x - h * way, w)) / (2.0 * h)
        assert np.allclose(program(w)["H"][..., k], difference, atol=1e-9)
    along = np.random.default_rng(2).normal(size=w.shape)
    ahead, behind = (float(program(w + t * along)["c"]) for t in (h, -h))
    slope = np.sum(program.value_and_grad("c", "theta")(w)[1] * along)
    assert slope == pytest.approx((ahead - behind) / (2.0 * h), rel=1e-6)


@pytest.mark.parametrize("plane", ["stress", "strain"])
def test_collocation_agrees_with_the_grid_for_a_linear_displacement(plane: str) -> None:
    H = np.array([[0.3, -0.2], [0.5, 0.1]])
    u = (GRID.node_coordinates() @ H.T).ravel()
    E = np.random.default_rng(0).uniform(0.5, 1.0, GRID.shape)
    modulus, given = tg.source("E", GRID.field()), tg.constant(u, GRID.vector())
    by_grid = n.StrainEnergy(GRID, nu=0.3, plane=plane)(modulus, given)
    everywhere = tg.constant(np.broadcast_to(H, (*GRID.shape, 2, 2)).copy())
    by_points = 0.5 * 0.5 * n.Dot()(modulus, n.StrainDensity(nu=0.3, plane=plane)(everywhere))  # 1/2 times the area
    found = Graph([modulus], {"grid": by_grid, "points": by_points}).compile("numpy")(E)
    assert found["grid"] == pytest.approx(found["points"], rel=1e-12)


def test_a_network_without_rows_has_no_gradient() -> None:
    net = n.MLP(width=4, depth=1)
    theta = net.source()
    x = n.coordinates(GRID)
    with pytest.raises(GraphError, match="`results`"):
        Graph([theta], {"H": n.Gradient(net)(x, theta)}).validate()
    with pytest.raises(GraphError, match=r"Give \(..., 2, 2\)"):
        Graph([theta], {"s": n.StrainDensity()(net(x, theta))}).validate()
