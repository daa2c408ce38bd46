"""Numbers of the element stiffness, of the operator, and of its cotangent."""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np
import pytest

import reference
import tograph as tg
from tograph import Graph
from tograph import nodes as n
from tograph.problems import Problem, cantilever, cantilever_3d

BACKENDS = ("jax", "torch", "numpy")


def element(grid: n.Grid, nu: float, plane: str = "stress", backend: str = "numpy") -> np.ndarray:
    found: np.ndarray = Graph([], {"K_e": n.ElementStiffness(grid, plane, nu)()}).compile(backend)()["K_e"]
    return found


def corner_order(grid: n.Grid) -> np.ndarray:
    """Our element dofs in the order of tests/reference.py, whose corners follow (x, y, z) lexicographically."""
    ring = [(0, 0), (1, 0), (1, 1), (0, 1)]
    corners: list[tuple[int, ...]] = [(*c, z) for z in (0, 1) for c in ring] if grid.dim == 3 else [*ring]
    order = [corners.index(c) for c in sorted(corners)]
    return (np.array(order)[:, None] * grid.dim + np.arange(grid.dim)).ravel()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("nu", [-0.5, 0.0, 0.3, 0.45])
@pytest.mark.parametrize(
    ("grid", "plane"),
    [
        (n.Grid(2, 2), "stress"),
        (n.Grid(2, 2), "strain"),
        (n.Grid(2, 2, spacing=(0.5, 2.0)), "stress"),
        (n.Grid(2, 2, 2), "stress"),
        (n.Grid(2, 2, 2, spacing=(0.5, 2.0, 1.0)), "stress"),
    ],
    ids=str,
)
def test_element_matrix_is_that_of_the_oracle(grid: n.Grid, plane: str, nu: float, backend: str) -> None:
    order = corner_order(grid)
    expected = reference.element_stiffness(grid.spacing, nu, plane)
    found = element(grid, nu, plane, backend)
    assert found.shape == (1, *expected.shape)
    assert np.allclose(found[0][np.ix_(order, order)], expected, rtol=1e-12, atol=1e-13)


def test_element_matrix_of_the_88_line_code() -> None:
    """The first row of KE for nu = 0.3 (Sigmund 2001, subroutine lk), corners from the lower left."""
    nu = 0.3
    k = np.array([1 / 2 - nu / 6, 1 / 8 + nu / 8, -1 / 4 - nu / 12, -1 / 8 + 3 * nu / 8])
    rest = [-1 / 4 + nu / 12, -1 / 8 - nu / 8, nu / 6, 1 / 8 - 3 * nu / 8]
    found = element(n.Grid(1, 1), nu)[0]
    assert np.allclose(found[0], np.concatenate([k, rest]) / (1 - nu**2), rtol=1e-13)


@pytest.mark.parametrize("grid", [n.Grid(1, 1), n.Grid(1, 1, 1, spacing=(1.0, 2.0, 0.5))], ids=str)
def test_rigid_motions_need_no_force(grid: n.Grid) -> None:
    matrix = element(grid, 0.3)[0]
    assert np.allclose(matrix, matrix.T, atol=1e-14)
    values = np.linalg.eigvalsh(matrix)
    rigid = 3 if grid.dim == 2 else 6
    assert np.allclose(values[:rigid], 0.0, atol=1e-13) and values[rigid] > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("problem", [cantilever(4, 3), cantilever_3d(3, 2, 2)], ids=lambda p: p.name)
def test_applied_operator_is_the_assembled_matrix(problem: Problem, backend: str, rng: np.random.Generator) -> None:
    grid = problem.grid
    E, u = rng.uniform(0.5, 2.0, grid.shape), rng.normal(size=(grid.n_dofs(), 2))
    edge = tg.source("E", grid.field())
    stiffness = n.Stiffness(grid, fixed=problem.fixed)
    y = n.ApplyOperator(stiffness.pattern())(stiffness(edge), tg.constant(u, grid.vector(cases=2)))
    found = Graph([edge], {"y": y}).compile(backend)(E)["y"]
    matrix = reference.stiffness(reference.from_problem(problem), reference.from_field(E))
    expected = reference.to_dofs(problem, matrix @ reference.from_dofs(problem, u))
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_assembled_matrix_is_the_free_block(rng: np.random.Generator) -> None:
    grid, fixed = n.Grid(3, 2), np.array([0, 1, 6])
    pattern = n.Stiffness(grid, fixed=fixed).pattern()
    K_e, E = element(grid, 0.3), rng.uniform(0.5, 2.0, grid.shape)
    full = np.zeros((grid.n_dofs(),) * 2)
    for dofs, modulus in zip(grid.element_dofs(), E.ravel(), strict=True):
        full[np.ix_(dofs, dofs)] += modulus * K_e[0]
    free = np.setdiff1d(np.arange(grid.n_dofs()), fixed)
    assert np.array_equal(pattern.free, free)
    assert np.allclose(pattern.matrix(E[None], K_e).toarray(), full[np.ix_(free, free)], rtol=1e-13, atol=1e-14)


def test_gather_and_scatter_are_transposes(rng: np.random.Generator) -> None:
    for grid in (n.Grid(3, 2), n.Grid(2, 3, 2)):
        pattern = n.Stiffness(grid).pattern()
        u = rng.normal(size=(2, grid.n_dofs()))
        e = rng.normal(size=(2, *grid.shape, grid.dim * 2**grid.dim))
        left = np.sum(pattern.gather(xp, u) * e)
        assert left == pytest.approx(np.sum(pattern.scatter(xp, e) * u), rel=1e-12)
        gathered = pattern.gather(xp, u[:1])[0].reshape(grid.n_elements, -1)
        assert np.array_equal(gathered, u[0][grid.element_dofs()])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dyad_is_the_pair(backend: str, rng: np.random.Generator) -> None:
    grid = n.Grid(2, 1)
    a, b = (rng.normal(size=(grid.n_dofs(), 3)) for _ in range(2))
    edges = [tg.source(name, grid.vector(cases=3)) for name in "ab"]
    pair = Graph(edges, {"pair": n.Dyad(n.Stiffness(grid).pattern())(*edges)}).compile(backend)(a, b)["pair"]
    assert isinstance(pair, tuple) and np.array_equal(pair[0], a.T) and np.array_equal(pair[1], b.T)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_cotangent_of_the_moduli_is_the_element_energy(backend: str, rng: np.random.Generator) -> None:
    """d(a.K b)/dE_e = a_e.K_e b_e."""
    grid = n.Grid(3, 2)
    a, b, E = rng.normal(size=grid.n_dofs()), rng.normal(size=grid.n_dofs()), rng.uniform(1.0, 2.0, grid.shape)
    edge = tg.source("E", grid.field())
    pattern = n.Stiffness(grid).pattern()
    forces = n.ApplyOperator(pattern)(n.Stiffness(grid)(edge), tg.constant(b, grid.vector()))
    work = n.Dot()(tg.constant(a, grid.vector()), forces)
    _, grad = Graph([edge], {"work": work}).compile(backend).value_and_grad("work", "E")(E)
    dofs = grid.element_dofs()
    expected = np.einsum("ei,ij,ej->e", a[dofs], element(grid, 0.3)[0], b[dofs]).reshape(grid.shape)
    assert np.allclose(grad, expected, rtol=1e-12, atol=1e-13)


def test_supports_and_plane_are_checked() -> None:
    E = tg.source("E", n.Grid(2, 2).field())
    with pytest.raises(tg.GraphError, match=r"fixed dofs must lie in 0\.\.17"):
        Graph([E], {"K": n.Stiffness(n.Grid(2, 2), fixed=np.array([18]))(E)}).validate()
    with pytest.raises(tg.GraphError, match=r"plane is 'flat'.*Use 'stress' or 'strain'"):
        Graph([E], {"K": n.Stiffness(n.Grid(2, 2), plane="flat")(E)}).validate()
