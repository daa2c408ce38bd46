"""Energies with a given displacement, and what detaching the displacement does to the sensitivity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tograph as tg
from tograph import Edge, Graph, GraphError
from tograph import nodes as n
from tograph.problems import cantilever

BACKENDS = ("jax", "torch")
BEAM = cantilever(60, 30)
GRID = BEAM.grid
STIFFNESS = n.Stiffness(GRID, nu=BEAM.nu, fixed=BEAM.fixed)
RHO = np.random.default_rng(3).uniform(0.2, 1.0, GRID.shape)
P, E_MIN = 3.0, 1e-9


def equilibrium(rho: Edge) -> Edge:
    u: Edge = n.LinearSolve()(STIFFNESS(n.Simp(p=P, E_min=E_MIN)(rho)), BEAM.load)
    return u


@pytest.fixture(scope="module", params=BACKENDS)
def adjoint(request: pytest.FixtureRequest) -> tuple[str, float, np.ndarray, np.ndarray]:
    """Backend, compliance, its sensitivity by the adjoint method, and the displacement."""
    rho = tg.source("rho", GRID.field())
    u = equilibrium(rho)
    program = Graph([rho], {"c": n.Compliance()(u, BEAM.load), "u": u}).compile(request.param)
    c, gradient = program.value_and_grad("c", "rho")(RHO)
    return request.param, c, gradient, program(RHO)["u"]


def twice_energy(E: Edge, u: Edge) -> Edge:
    edge: Edge = 2.0 * n.StrainEnergy(GRID, nu=BEAM.nu)(E, u)
    return edge


def modified(rho: Edge, u: Edge) -> Edge:
    """E_hat = E_min + sg(rho)^(2p) / rho^p (E_max - E_min)."""
    return twice_energy(n.InverseSimp(p=P, E_min=E_MIN)(rho, tg.detach(rho, "held")), u)


def inverted(rho: Edge, u: Edge) -> Edge:
    """sg(E)^2 / E."""
    E = n.Simp(p=P, E_min=E_MIN)(rho)
    return twice_energy(tg.detach(E, "held") ** 2.0 / E, u)


def reflected(rho: Edge, u: Edge) -> Edge:
    """2 sg(c) - c."""
    c = twice_energy(n.Simp(p=P, E_min=E_MIN)(rho), u)
    return 2.0 * tg.detach(c, "held") - c


def naive(rho: Edge, u: Edge) -> Edge:
    """Only u held."""
    return twice_energy(n.Simp(p=P, E_min=E_MIN)(rho), u)


def held(form: Any, backend: str, u: np.ndarray) -> tuple[float, np.ndarray]:
    """Value and gradient of a form at a given displacement."""
    rho, given = tg.source("rho", GRID.field()), tg.source("u", GRID.vector())
    graph = Graph([rho, given], {"c": form(rho, tg.detach(given, "predicted"))})
    found: tuple[float, np.ndarray] = graph.compile(backend).value_and_grad("c", "rho")(RHO, u)
    return found


def error(gradient: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(gradient - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize("form", [modified, inverted, reflected])
def test_the_three_forms_have_the_sensitivity_of_the_compliance(form: Any, adjoint: Any) -> None:
    backend, c, exact, u = adjoint
    value, gradient = held(form, backend, u)
    assert value == pytest.approx(c, rel=1e-10)
    assert error(gradient, exact) < 1e-10


def test_detaching_the_displacement_alone_has_exactly_the_opposite_sign(adjoint: Any) -> None:
    backend, c, exact, u = adjoint
    value, gradient = held(naive, backend, u)
    assert value == pytest.approx(c, rel=1e-10)
    assert error(-gradient, exact) < 1e-10


def test_the_bias_report_says_so() -> None:
    rho = tg.source("rho", GRID.field())
    u = equilibrium(rho)
    graph = Graph([rho], {"c": naive(rho, tg.detach(u, "predicted"))})
    report = tg.bias(graph, "c", "rho", {"rho": RHO}, backend="torch")
    assert report.angle == pytest.approx(180.0, abs=1e-6) and report.ratio == pytest.approx(1.0)
    wanted = "detaching 'u' gives a gradient that points 180 degrees away (wrong sign) and is 1 times as long"
    assert wanted in str(report)


@pytest.mark.parametrize("form", [modified, inverted, reflected])
def test_away_from_equilibrium_the_error_is_that_of_the_energy(form: Any, adjoint: Any) -> None:
    """u scaled by 0.95 scales the energy by 0.9025: 9.75 %."""
    backend, _, exact, u = adjoint
    assert error(held(form, backend, 0.95 * u)[1], exact) == pytest.approx(0.0975, abs=0.003)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("grid", [n.Grid(4, 3, spacing=(1.0, 0.5)), n.Grid(2, 3, 2)], ids=["Q4", "H8"])
def test_strain_energy_is_half_the_form_of_the_stiffness(grid: n.Grid, backend: str) -> None:
    rng = np.random.default_rng(0)
    E, u = tg.source("E", grid.field()), tg.source("u", grid.vector(cases=2))
    stiffness = n.Stiffness(grid, nu=0.2)
    by_operator = 0.5 * n.Dot()(n.ApplyOperator(stiffness.pattern())(stiffness(E), u), u)
    program = Graph([E, u], {"w": n.StrainEnergy(grid, nu=0.2)(E, u), "other": by_operator}).compile(backend)
    at = rng.uniform(size=grid.shape), rng.normal(size=(grid.n_dofs(), 2))
    values, by = program.value_and_grad(("w", "other"), ("E", "u"))(*at)
    assert values["w"] == pytest.approx(values["other"], rel=1e-12)
    for x in ("E", "u"):
        assert np.allclose(by["w"][x], by["other"][x], rtol=1e-11, atol=1e-12)


def test_a_rigid_motion_has_no_energy_and_void_has_no_stiffness() -> None:
    grid = n.Grid(3, 2)
    E, u = tg.source("E", grid.field()), tg.source("u", grid.vector())
    x, y = grid.node_coordinates().T
    turn = np.stack([-y, x], axis=1).ravel()
    program = Graph([E, u], {"w": n.StrainEnergy(grid)(E, u)}).compile("numpy")
    assert abs(program(np.ones(grid.shape), turn)["w"]) < 1e-12
    rho = tg.source("rho", grid.field())
    modulus = n.InverseSimp(E_min=1e-3)(rho, tg.detach(rho, "held"))
    program = Graph([rho], {"E": modulus, "sum": n.Sum()(modulus)}).compile("jax")
    void = np.zeros(grid.shape)
    assert np.all(program(void)["E"] == 1e-3)
    assert np.all(program.value_and_grad("sum", "rho")(void)[1] == 0.0)


def test_wrong_shapes() -> None:
    E, u = tg.source("E", n.Grid(3, 2).field()), tg.source("u", n.Grid(2, 3).vector(1))
    with pytest.raises(GraphError, match=r"the grid has 24 dofs.*\(24,\) or \(24, cases\)"):
        Graph([E, u], {"w": n.StrainEnergy(n.Grid(3, 2))(E, u)}).validate()
    with pytest.raises(GraphError, match=r"'u' is .*, 'f' is "):
        Graph([u], {"W": n.ExternalWork()(u, np.ones(4))}).validate()
