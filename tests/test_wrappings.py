"""Equilibrium wrapped at three depths: matrix, equation, black box. Values and gradients agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tograph as tg
from tograph import Edge, Graph, GraphError, SolveError
from tograph import nodes as n
from tograph.solvers import Newton

BACKENDS = ("jax", "torch")
GRID = n.Grid(5, 4, spacing=(1.0, 0.7))
FIXED = GRID.dofs(GRID.nodes("left"))
RNG = np.random.default_rng(11)
AT: dict[str, Any] = {
    "rho": RNG.uniform(0.2, 0.9, GRID.shape),
    "f": RNG.normal(size=(GRID.n_dofs(), 2)),  # two load cases without any symmetry
    "g": RNG.normal(size=(GRID.n_dofs(), 2)),
    "nu": 0.3,
    "p": 3.0,
}
WEIGHTS = RNG.uniform(size=(GRID.n_dofs(), 2))


def inputs() -> dict[str, Edge]:
    vectors = {x: tg.source(x, GRID.vector(cases=2)) for x in ("f", "g")}
    return {"rho": tg.source("rho", GRID.field()), **vectors, "nu": tg.source("nu"), "p": tg.source("p")}


def outputs(u: Edge, f: Edge) -> dict[str, Edge]:
    """Compliance, and something that is not self-adjoint."""
    return {"compliance": n.Compliance()(u, f), "other": n.Dot()(n.Power(exponent=2.0)(u), WEIGHTS)}


def matrix() -> Graph:
    """(a)."""
    x = inputs()
    K = n.Stiffness(GRID, nu=x["nu"], fixed=FIXED)(n.Simp(p=x["p"], E_min=1e-3)(x["rho"]))
    return Graph(list(x.values()), outputs(n.LinearSolve()(K, x["f"], x["g"]), x["f"]))


def equation(solver: Any) -> Graph:
    """(b)."""
    x = inputs()
    node = n.SimpDisplacement(GRID, nu=x["nu"], p=x["p"], E_min=1e-3, fixed=FIXED, solver=solver)
    return Graph(list(x.values()), outputs(node(x["rho"], x["f"], x["g"], name="u"), x["f"]))


def box() -> Graph:
    """(c)."""
    x = inputs()
    c, u = n.SimpCompliance(GRID, E_min=1e-3, fixed=FIXED)(x["rho"], x["f"], name="analysis")
    return Graph([x["rho"], x["f"]], outputs(u, x["f"]) | {"compliance": c})


def gradients(graph: Graph, backend: str, **at: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    given = {x: value for x, value in {**AT, **at}.items() if x in graph.input_names}
    values, found = graph.compile(backend).value_and_grad(("compliance", "other"), tuple(given))(**given)
    return values, found


def agree(a: Any, b: Any) -> None:
    for of, value in b[0].items():
        assert value == pytest.approx(a[0][of], rel=1e-10)
        for x, g in b[1][of].items():
            assert np.max(np.abs(g - a[1][of][x])) <= 1e-10 * np.max(np.abs(a[1][of][x])), (of, x)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("solver", [n.SparseSolver(), Newton()], ids=["host", "device"])
def test_matrix_is_equation(backend: str, solver: Any) -> None:
    agree(gradients(matrix(), backend), gradients(equation(solver), backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_matrix_is_equation_is_box_with_supports_at_zero(backend: str) -> None:
    zero = np.zeros_like(AT["g"])
    reference, made = gradients(matrix(), backend, g=zero), gradients(box(), backend)
    assert made[1]["compliance"].keys() == {"rho", "f"}
    agree(reference, gradients(equation(n.SparseSolver()), backend, g=zero))
    agree(reference, made)


def test_prescribed_values_arrive() -> None:
    x = inputs()
    u = n.SimpDisplacement(GRID, fixed=FIXED)(x["rho"], x["f"], x["g"])
    found = Graph([x["rho"], x["f"], x["g"]], {"u": u}).compile("torch")(AT["rho"], AT["f"], AT["g"])["u"]
    assert np.array_equal(found[FIXED], AT["g"][FIXED])


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_order_of_the_equation(backend: str) -> None:
    v = RNG.normal(size=GRID.shape)
    a, b = (
        graph.compile(backend).hvp("compliance", "rho")(**AT, rho_dot=v)[2]
        for graph in (matrix(), equation(n.SparseSolver()))
    )
    assert np.max(np.abs(a - b)) <= 1e-9 * np.max(np.abs(a))


def test_solves() -> None:
    """What each depth knows about its solves."""
    counts = {}
    for name, graph in (("a", matrix()), ("b", equation(n.SparseSolver())), ("c", box())):
        explained = graph.compile("jax").value_and_grad("other", "rho").explain()
        counts[name] = explained.factorizations, explained.solves
    assert counts == {"a": (1, 2), "b": (0, 1), "c": (0, 0)}


def test_symmetry_is_used() -> None:
    plan = equation(n.SparseSolver()).compile("jax").value_and_grad("other", "rho").plan
    assert any("r_y is symmetric" in change.reason for change in plan.changes)


def test_parameters_of_the_box_cannot_be_wires() -> None:
    x = inputs()
    c, _ = n.SimpCompliance(GRID, p=x["p"], fixed=FIXED)(x["rho"], x["f"])
    with pytest.raises(GraphError, match=r"cannot be wires.*SimpDisplacement"):
        Graph([x["rho"], x["f"], x["p"]], {"c": c}).compile("jax")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("solver", [n.SparseSolver(), Newton()], ids=["host", "device"])
def test_a_body_that_can_move_names_the_node(backend: str, solver: Any) -> None:
    x = inputs()
    u = n.SimpDisplacement(GRID, fixed=FIXED[:1], solver=solver)(x["rho"], x["f"], x["g"], name="moving")
    c, _ = n.SimpCompliance(GRID, fixed=FIXED[:1])(x["rho"], x["f"], name="moving")
    for made in (n.Compliance()(u, x["f"]), c):
        listed = [x["rho"], x["f"], *([x["g"]] if made is not c else [])]
        given = {name: AT[name] for name in ("rho", "f", "g")[: len(listed)]}
        with pytest.raises(SolveError, match="moving"):
            Graph(listed, {"c": made}).compile(backend)(**given)
