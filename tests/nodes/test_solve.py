"""Numbers of the linear solve, and what is said when there is no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference
import tograph as tg
from tograph import Edge, Graph, SolveError
from tograph import nodes as n
from tograph.problems import Problem, cantilever_3d, mbb, tensile, two_load_cantilever

BACKENDS = ("jax", "torch", "numpy")


def solve(problem: Problem, f: Any, *held: Any) -> Graph:
    E = tg.source("E", problem.grid.field())
    K = n.Stiffness(problem.grid, nu=problem.nu, fixed=problem.fixed)(E)
    return Graph([E], {"u": n.LinearSolve()(K, f, *held)})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "problem", [mbb(6, 4), cantilever_3d(3, 2, 2), two_load_cantilever(4, 4)], ids=lambda p: p.name
)
def test_displacements_of_the_oracle(problem: Problem, backend: str, rng: np.random.Generator) -> None:
    E = rng.uniform(0.1, 1.0, problem.grid.shape)
    found = solve(problem, problem.load).compile(backend)(E)["u"]
    expected = reference.displacement(reference.from_problem(problem), reference.from_field(E))
    expected = reference.to_dofs(problem, expected)
    assert found.shape == problem.load.shape
    assert np.allclose(found, expected, rtol=0.0, atol=1e-10 * np.abs(expected).max())
    assert np.all(found[problem.fixed] == 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_prescribed_displacements_are_met(backend: str, rng: np.random.Generator) -> None:
    problem = mbb(6, 4)
    held = rng.normal(size=problem.grid.n_dofs())
    E = rng.uniform(0.5, 1.0, problem.grid.shape)
    u = solve(problem, problem.load, held).compile(backend)(E)["u"]
    assert np.array_equal(u[problem.fixed], held[problem.fixed])
    expected = reference.displacement(
        reference.from_problem(problem), reference.from_field(E), reference.from_dofs(problem, held)
    )
    assert np.allclose(u, reference.to_dofs(problem, expected), rtol=0.0, atol=1e-10 * np.abs(u).max())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_moved_rigid_support_moves_the_body(backend: str) -> None:
    """All supports moved by one rigid motion: no strain, whatever the moduli."""
    problem = mbb(4, 3)
    points = problem.grid.node_coordinates()
    motion = np.column_stack([0.2 - 0.1 * points[:, 1], -0.3 + 0.1 * points[:, 0]]).ravel()
    E = np.random.default_rng(1).uniform(0.1, 1.0, problem.grid.shape)
    u = solve(problem, np.zeros(problem.grid.n_dofs()), motion).compile(backend)(E)["u"]
    assert np.allclose(u, motion, rtol=1e-10, atol=1e-11)


def test_a_bar_in_tension_by_hand() -> None:
    """F = 1 on a bar of unit modulus with nu = 0: u = F L / (E A), the sides free."""
    grid = n.Grid(6, 2)
    fixed = np.union1d(grid.dofs(grid.nodes("left"), "x"), grid.dofs(grid.nodes("bottom-left"), "y"))
    f = np.zeros(grid.n_dofs())
    f[grid.dofs(grid.nodes("right"), "x")] = [0.25, 0.5, 0.25]
    E = tg.source("E", grid.field())
    u = n.LinearSolve()(n.Stiffness(grid, nu=0.0, fixed=fixed)(E), f)
    found = Graph([E], {"u": u}).compile("jax")(np.ones(grid.shape))["u"]
    assert np.allclose(found[grid.dofs(grid.nodes("right"), "x")], 6.0 / 2.0, rtol=1e-12)
    assert np.allclose(found[1::2], 0.0, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_forces_on_supports_have_no_effect(backend: str) -> None:
    problem = mbb(4, 3)
    f = np.array(problem.load)
    E = np.ones(problem.grid.shape)
    plain = solve(problem, f).compile(backend)(E)["u"]
    f = f.copy()
    f[problem.fixed] = 7.0
    assert np.array_equal(solve(problem, f).compile(backend)(E)["u"], plain)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_zero_load_gives_a_zero_state(backend: str) -> None:
    problem = mbb(4, 3)
    u = solve(problem, np.zeros(problem.grid.n_dofs())).compile(backend)(np.ones(problem.grid.shape))["u"]
    assert np.all(u == 0.0)


def test_one_case_as_a_column() -> None:
    problem = mbb(4, 3)
    E = np.ones(problem.grid.shape)
    column = solve(problem, problem.load[:, None]).compile("torch")(E)["u"]
    assert np.array_equal(column[:, 0], solve(problem, problem.load).compile("torch")(E)["u"])


# No answer.


def run(problem: Problem, E: np.ndarray, fixed: Any = None) -> Any:
    edge = tg.source("E", problem.grid.field())
    K = n.Stiffness(problem.grid, fixed=problem.fixed if fixed is None else fixed)(edge)
    u: Edge = n.LinearSolve()(K, problem.load, name="u")
    return Graph([edge], {"u": u}).compile("jax")(E)


def test_too_few_supports() -> None:
    problem = mbb(4, 3)
    free = "The supports leave the body free to move: translation along y, rotation. Add supports$"
    with pytest.raises(SolveError, match=rf"^u_factor .*declared at .*test_solve.py.*{free}"):
        run(problem, np.ones(problem.grid.shape), fixed=problem.fixed[:1])


def test_no_material() -> None:
    problem = tensile(4, 2)
    E = np.ones(problem.grid.shape)
    E[:, 2:] = 0.0
    with pytest.raises(SolveError, match=r"dofs have no stiffness, the first is dof .* Raise E_min"):
        run(problem, E)


def test_a_modulus_that_is_not_a_number() -> None:
    problem = mbb(4, 3)
    x = tg.source("x", problem.grid.field())
    K = n.Stiffness(problem.grid, fixed=problem.fixed)(n.Power(exponent=0.5)(x))
    program = Graph([x], {"u": n.LinearSolve()(K, problem.load)}).compile("jax")
    negative = np.ones(problem.grid.shape)
    negative[1, 2] = -1.0
    with pytest.raises(SolveError, match=r"the modulus of element \(1, 2\) is not finite"):
        program(negative)


def test_a_vector_of_the_wrong_length() -> None:
    problem = mbb(4, 3)
    E = tg.source("E", problem.grid.field())
    K = n.Stiffness(problem.grid, fixed=problem.fixed)(E)
    with pytest.raises(tg.GraphError, match="but K has 40 dofs"):
        Graph([E], {"u": n.LinearSolve()(K, np.zeros(39))}).validate()
    with pytest.raises(tg.GraphError, match="Give both the same shape"):
        Graph([E], {"u": n.LinearSolve()(K, np.zeros(40), np.zeros((40, 2)))}).validate()
