"""How solves ended, as data: iterations, residuals and status, forward, adjoint and tangent; and why which solver."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import tograph as tg
from tograph import nodes as n
from tograph.problems import mbb

BEAM = mbb(12, 4)
DESIGN = np.random.default_rng(0).uniform(0.3, 1.0, BEAM.grid.shape)


def graph(solver: Any, weights: np.ndarray | None = None) -> tg.Graph:
    """The compliance; with weights q = w . u^2, whose adjoint cannot be solved for together with u."""
    E = tg.source("E", BEAM.grid.field())
    u = n.LinearSolve(solver)(n.Stiffness(BEAM.grid, fixed=BEAM.fixed)(E), BEAM.load)
    square = n.Hadamard()(u, u) if weights is not None else u
    return tg.Graph([E], {"q": n.Dot()(square, BEAM.load if weights is None else weights)})


WEIGHTS = np.random.default_rng(1).normal(size=BEAM.grid.n_dofs())
SOLVERS = [("jax", n.MultigridCG()), ("torch", n.MultigridCG()), ("torch", n.AMG(tolerance=1e-8))]


@pytest.mark.parametrize(("backend", "solver"), SOLVERS)
def test_every_solve_is_counted(backend: str, solver: Any) -> None:
    if isinstance(solver, n.AMG):
        pytest.importorskip("pyamg")
    program = graph(solver, WEIGHTS).compile(backend)
    function = program.value_and_grad("q", "E")
    function(DESIGN)
    assert [one.role for one in function.solved] == ["forward", "adjoint"]
    for one in function.solved:
        assert one.name == "u (ApplyFactor)" and one.iterations is not None and 0 < one.iterations < 30
        assert one.residual is not None and 0.0 < one.residual <= 1e-5 and 0.0 < one.error <= 1.0
    if backend == "jax":  # compiled anew for an inspection, which takes seconds
        return
    rows = [row for row in program.inspect("q", "E")(DESIGN).solves().solves if row.what == "solve"]
    assert [row.iterations for row in rows] == [one.iterations for one in function.solved]
    assert [row.relative for row in rows] == pytest.approx([one.residual for one in function.solved], rel=0.1)
    assert [row.lane for row in rows] == ["forward", "reverse"]


def test_the_tangent_is_counted_too() -> None:
    function = graph(n.MultigridCG()).compile("torch").jvp("q", "E")
    function(DESIGN, E_dot=np.ones(DESIGN.shape))
    assert [one.role for one in function.solved] == ["forward", "tangent"]


def test_a_poor_solution_says_how_long_it_took() -> None:
    function = graph(n.MultigridCG(iterations=2)).compile("torch", on_failure="record").value_and_grad("q", "E")
    function(DESIGN)
    (error,), (one,) = function.failures, function.solved
    assert error.status == "iteration limit" and "after 2 iterations" in str(error)
    assert one.iterations == 2 and one.residual is not None and one.residual > 1e-7
    function(DESIGN * 0.0 + 1.0)
    assert len(function.solved) == 1


def test_a_failure_on_the_host_is_told_once() -> None:
    pytest.importorskip("pyamg")
    function = graph(n.AMG(iterations=1)).compile("torch", on_failure="record").value_and_grad("q", "E")
    function(DESIGN)
    assert len(function.failures) == 1 and "no convergence in 1 iterations" in str(function.failures[0])


@pytest.mark.parametrize("shared", [True, False])
def test_members_of_a_batch(shared: bool) -> None:
    """Loads of one matrix are columns of one solve, with one count; every matrix has a count of its own."""
    E, f = tg.source("E", BEAM.grid.field()), tg.source("f", BEAM.grid.vector())
    u = n.LinearSolve(n.MultigridCG())(n.Stiffness(BEAM.grid, fixed=BEAM.fixed)(E), f)
    program = tg.Graph([E, f], {"q": n.Dot()(u, WEIGHTS)}).compile("torch").batch("f" if shared else "E")
    function = program.value_and_grad("q", "E")
    loads, designs = np.stack([BEAM.load, WEIGHTS]), np.stack([DESIGN, DESIGN**3])
    function(DESIGN, loads) if shared else function(designs, BEAM.load)
    assert all(one.iterations and one.residual and one.residual <= 1e-5 for one in function.solved)
    counts = {one.name.partition(" of ")[2]: one.iterations for one in function.solved if one.role == "forward"}
    assert list(counts) == ["member 0 of the batch", "member 1 of the batch"]
    assert (counts["member 0 of the batch"] == counts["member 1 of the batch"]) == shared


def test_direct_solvers_count_nothing() -> None:
    program = graph(n.DirectSolver()).compile("torch")
    function = program.value_and_grad("q", "E")
    function(DESIGN)
    assert function.solved == ()
    assert {row.iterations for row in program.inspect("q", "E")(DESIGN).solves().solves} == {None}


def test_why_this_solver() -> None:
    def methods(solver: Any) -> list[tuple[str, str]]:
        explained = graph(solver).compile("torch").explain()
        return [(row["method"], row["reason"]) for row in explained.methods]

    band = "K is symmetric, and a band would take 3e+04 multiplications"
    assert methods(n.DirectSolver()) == [("BandCholesky", band)]
    assert methods("auto") == [("BandCholesky", f"130 dofs in 2D, where iterating is faster from 100000; {band}")]
    assert methods(n.SuperLU()) == methods(n.MultigridCG()) == []


def test_a_matrix_that_is_not_symmetric_is_never_iterated_on() -> None:
    pattern = attrs.evolve(n.Stiffness(n.Grid(20, 20, 20)).pattern(), symmetric=False)
    assert isinstance(n.solve.automatic(pattern)[0], n.DirectSolver)
