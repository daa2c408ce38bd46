"""Conduction of heat: exact solutions, an independent oracle, every solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference
import tograph as tg
from tograph import nodes as n
from tograph.problems import heat_conduction
from tograph.problems.workflow import compliance_workflow

SOLVERS = (n.DirectSolver(), n.BandCholesky(), n.Multifrontal(), n.SuperLU(), n.MultigridCG(tolerance=1e-12))


def temperatures(grid: n.Grid, held: np.ndarray, values: np.ndarray, heat: np.ndarray, **options: Any) -> np.ndarray:
    k = tg.source("k", grid.field())
    K = n.Conductivity(grid, fixed=held, **options)(k)
    T = n.LinearSolve()(K, heat, values)
    found: np.ndarray = tg.Graph([k], {"T": T}).compile("numpy")(np.full(grid.shape, 2.0))["T"]
    return found


@pytest.mark.parametrize("grid", [n.Grid(5, 4, spacing=(0.5, 2.0)), n.Grid(3, 2, 4, spacing=(0.5, 2.0, 1.5))])
def test_a_linear_temperature_is_exact(grid: n.Grid) -> None:
    held = np.union1d(grid.nodes("left"), grid.nodes("right"))
    slope = 3.0 - 0.7 * grid.node_coordinates()[:, 0]
    along = (0.3, *(1.0,) * (grid.dim - 1))
    assert temperatures(grid, held, slope, np.zeros(grid.n_nodes), along=along) == pytest.approx(slope, rel=1e-12)


def test_a_bar_that_is_heated_at_its_end() -> None:
    # T = q x / (k A): conductivity 2 * 0.25 along x, height 3, total heat 6.
    grid = n.Grid(8, 3)
    heat = np.zeros(grid.n_nodes)
    end = grid.nodes("right")
    heat[end] = 6.0 / 3.0 * np.where(np.isin(end, end[[0, -1]]), 0.5, 1.0)
    T = temperatures(grid, grid.nodes("left"), np.zeros(grid.n_nodes), heat, along=(0.25, 1.0))
    assert pytest.approx(4.0 * grid.node_coordinates()[:, 0], rel=1e-12) == T


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
def test_value_and_gradient_are_those_of_the_oracle(solver: Any) -> None:
    problem = heat_conduction(14, 10)
    rho = np.random.default_rng(1).uniform(0.05, 1.0, problem.grid.shape)
    case = reference.from_problem(problem, e_min=1e-3)
    value, gradient = reference.compliance(case, reference.from_field(rho))
    graph = compliance_workflow(problem, filter="none", E_min=1e-3, solver=solver)
    function = graph.compile("torch" if isinstance(solver, n.MultigridCG) else "jax").value_and_grad(
        "compliance", "rho"
    )
    c, dc = function(rho)
    assert c == pytest.approx(value, rel=1e-10)
    assert reference.from_field(dc) == pytest.approx(gradient, rel=1e-7, abs=1e-9 * np.abs(gradient).max())
    report = function.explain()
    assert (report.factorizations, report.solves) == (1, 1), "the adjoint is the state"


def test_a_block_by_multigrid() -> None:
    problem = heat_conduction(8, 6, 5)
    rho = np.random.default_rng(1).uniform(0.0, 1.0, problem.grid.shape)
    value, _ = reference.compliance(reference.from_problem(problem, e_min=1e-3), reference.from_field(rho))
    found = compliance_workflow(problem, filter="none", E_min=1e-3, solver=n.MultigridCG()).compile("jax")(rho)
    assert found["compliance"] == pytest.approx(value, rel=1e-8)


def test_an_optimised_heat_sink_is_much_better_than_an_even_one() -> None:
    problem = heat_conduction(20, 20)
    program = problem.workflow(radius=1.5).compile("jax")
    bound = [f"volume <= {problem.volume}"]
    found = tg.optimize(program, problem.uniform(), minimize="compliance", subject_to=bound, max_iter=30)
    assert found.values["compliance"] < 0.3 * program(problem.uniform())["compliance"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": np.array([999])}, "fixed dofs must lie in 0..8"),
        ({"fixed": np.array([0.5])}, "fixed dofs must be whole numbers"),
        ({"along": (1.0,)}, r"along is .*Give 2 positive numbers, for x, y"),
        ({"along": (1.0, 0.0)}, "along is"),
    ],
)
def test_what_makes_no_conductivity(options: dict[str, Any], message: str) -> None:
    grid = n.Grid(2, 2)
    k = tg.source("k", grid.field())
    with pytest.raises(tg.GraphError, match=message):
        tg.Graph([k], {"T": n.LinearSolve()(n.Conductivity(grid, **options)(k), np.ones(9))}).validate()


def test_no_sink_is_an_error() -> None:
    grid = n.Grid(2, 2)
    k = tg.source("k", grid.field())
    graph = tg.Graph([k], {"T": n.LinearSolve()(n.Conductivity(grid)(k), np.ones(9))})
    with pytest.raises(tg.SolveError, match="a constant may be added"):
        graph.compile("numpy")(np.ones(grid.shape))
