"""Nonlinear equilibrium with exact and learned energies: Newton, adjoints, bounded memory."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tograph as tg
from tograph import Graph, GraphError, SolveError
from tograph import nodes as n
from tograph.nodes.constitutive import energy_function

BACKENDS = ("jax", "torch")
GRID = n.Grid(8, 4, spacing=(1.0, 0.8))
FIXED = GRID.dofs(GRID.nodes("left"))
TIP = GRID.dofs(GRID.nodes("bottom-right"), "y")
RNG = np.random.default_rng(5)
LAW = n.StiffeningLaw()
NETWORK = n.NeuralEnergy(width=8, strain_scale=2e-2)
ENERGIES = {"exact": LAW, "network": NETWORK}
RHO, ALPHA = RNG.uniform(0.4, 1.0, GRID.shape), RNG.uniform(0.2, 0.8, GRID.shape)
LOAD = np.zeros(GRID.n_dofs())
LOAD[TIP] = -4e-2


def weights(node: Any) -> tuple[np.ndarray, ...]:
    return (node.initial(1),) if isinstance(node, n.NeuralEnergy) else ()


def study(energy: Any, **options: Any) -> Graph:
    """Compliance, and something that is not self-adjoint, of a cantilever under a large load."""
    rho, alpha = tg.source("rho", GRID.field()), tg.source("alpha", GRID.field())
    E = n.Simp(p=3.0, E_min=1e-3)(rho)
    given = [tg.source("theta", NETWORK.weights_spec, default=w) for w in weights(energy)]
    solver = n.SparseNewton(**options)
    u = n.NewtonSolve(energy, GRID, fixed=FIXED, solver=solver)(E, LOAD, alpha, *given)
    other = n.Dot()(n.Power(exponent=2.0)(u), np.linspace(0.0, 1.0, GRID.n_dofs()))
    return Graph([rho, alpha, *given], {"c": n.Compliance()(u, LOAD), "other": other, "u": u})


@pytest.mark.parametrize("energy", ENERGIES.values(), ids=list(ENERGIES))
def test_newton_is_quadratic(energy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    node = n.NewtonSolve(energy, GRID, fixed=FIXED, solver=n.SparseNewton(steps=2, tolerance=1e-13))
    rows = node.history(RHO**3, LOAD, ALPHA, *weights(energy))
    assert {row.step for row in rows} == {1, 2}
    with capsys.disabled():
        print()
        for row in rows:
            print(f"  step {row.step} iteration {row.iteration} residual {row.residual:.3e} length {row.length:g}")
    for step in (1, 2):
        r = [row.residual for row in rows if row.step == step]
        small = [(a, b) for a, b in itertools.pairwise(r) if b > 1e-12 and a < 0.1]
        assert r[-1] < 1e-10 and len(r) < 12
        assert small and all(b < 10.0 * a**2 for a, b in small), "each residual is of the order of the last one squared"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("energy", ENERGIES.values(), ids=list(ENERGIES))
def test_adjoint_equals_central_differences(energy: Any, backend: str) -> None:
    program = study(energy, steps=2).compile(backend)
    values, gradients = program.value_and_grad(("c", "other"), ("rho", "alpha"))(RHO, ALPHA)
    rng, h = np.random.default_rng(2), 1e-4
    for x in ("rho", "alpha"):
        way = rng.normal(size=GRID.shape)
        moved = [
            program(**{"rho": RHO, "alpha": ALPHA, x: {"rho": RHO, "alpha": ALPHA}[x] + t * way})
            for t in (h, -h, 2 * h, -2 * h)
        ]
        for of in ("c", "other"):
            a, b, c, d = (float(found[of]) for found in moved)
            difference = (8.0 * (a - b) - (c - d)) / (12.0 * h)
            assert np.sum(gradients[of][x] * way) == pytest.approx(difference, rel=1e-7), (of, x)
    assert all(np.isfinite(value) for value in values.values())


def test_backends_agree_and_weights_are_differentiated() -> None:
    graph = study(NETWORK)
    found = [graph.compile(b).value_and_grad("other", ("rho", "theta"))(RHO, ALPHA) for b in BACKENDS]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-10)
    for x in ("rho", "theta"):
        a, b = (found[i][1][x] for i in (0, 1))
        assert np.max(np.abs(a - b)) < 1e-10 * np.max(np.abs(a))
    program, way, h = graph.compile("torch"), RNG.normal(size=NETWORK.weights_spec.shape), 1e-5
    theta = NETWORK.initial(1)
    ahead, behind = (float(program(RHO, ALPHA, theta + t * way)["other"]) for t in (h, -h))
    assert found[1][1]["theta"] @ way == pytest.approx((ahead - behind) / (2.0 * h), rel=1e-6)


@pytest.mark.parametrize(("backend", "grid"), [("jax", GRID), ("torch", n.Grid(2, 2, 2))], ids=["Q4", "H8"])
def test_without_fibres_it_is_linear_elasticity(backend: str, grid: n.Grid) -> None:
    fixed, load = grid.dofs(grid.nodes("left")), np.zeros(grid.n_dofs())
    load[-1] = -1e-2
    E, alpha = tg.source("E", grid.field()), tg.constant(np.full(grid.shape, 0.5), grid.field())
    law = n.StiffeningLaw(E_m=1.0, E_f=0.0, nu=0.3)
    nonlinear = n.NewtonSolve(law, grid, fixed=fixed)(E, load, alpha)
    linear = n.LinearSolve()(n.Stiffness(grid, nu=0.3, fixed=fixed)(E), load)
    both = {name: n.Compliance()(u, load) for name, u in (("a", nonlinear), ("b", linear))}
    at = np.random.default_rng(0).uniform(0.5, 1.0, grid.shape)
    values, by = Graph([E], both).compile(backend).value_and_grad(("a", "b"), "E")(at)
    assert values["a"] == pytest.approx(values["b"], rel=1e-9)
    assert np.allclose(by["a"], by["b"], rtol=1e-8)


@pytest.mark.parametrize("backend", [*BACKENDS, "numpy"])
@pytest.mark.parametrize("energy", ENERGIES.values(), ids=list(ENERGIES))
def test_zero_strain_has_no_energy_and_no_stress(energy: Any, backend: str) -> None:
    strain, alpha = tg.source("strain", tg.Spec("array", (tg.Axis("p", 5), tg.Axis("k", 3)))), np.linspace(0, 1, 5)
    psi, sigma = energy(strain, alpha, *weights(energy)), n.Stress(energy)(strain, alpha, *weights(energy))
    found = Graph([strain], {"psi": psi, "sigma": sigma}).compile(backend)(np.zeros((5, 3)))
    assert np.all(np.abs(found["psi"]) < 1e-16) and np.all(np.abs(found["sigma"]) < 1e-14)


@pytest.mark.parametrize("energy", ENERGIES.values(), ids=list(ENERGIES))
def test_stress_and_tangent_are_the_same_on_all_backends_and_convex(energy: Any) -> None:
    strain = RNG.normal(size=(20, 3)) * 10.0 ** RNG.uniform(-5, -1, (20, 1))
    alpha = RNG.uniform(size=20)
    found = {}
    for name in (*BACKENDS, "numpy"):
        backend = tg.backends.load_backend(name, "float64")
        with backend.scope():
            e, *others = (backend.array(x, "float64") for x in (strain, alpha, *weights(energy)))
            psi = energy_function(energy, backend)
            row = lambda x, psi=psi, others=others: psi(x, *others)  # noqa: E731
            found[name] = [backend.to_numpy(f(row, e)) for f in (backend.row_gradient, backend.row_hessian)]
    for name in BACKENDS:
        for a, b in zip(found[name], found["numpy"], strict=True):
            assert np.max(np.abs(a - b)) < 1e-10 * np.max(np.abs(b))
    assert np.all(np.linalg.eigvalsh(found["numpy"][1]) > 0.0)


def test_a_free_network_need_not_be_convex() -> None:
    free = n.NeuralEnergy(width=8, convex=False)
    backend = tg.backends.load_backend("numpy", "float64")
    psi = energy_function(free, backend)
    w, alpha = free.initial(0), np.full(50, 0.5)
    C = backend.row_hessian(lambda e: psi(e, alpha, w), RNG.normal(size=(50, 3)) * 1e-2)
    assert np.min(np.linalg.eigvalsh(C)) < 0.0


def test_internal_force_balances_the_load() -> None:
    E, alpha = tg.source("E", GRID.field()), tg.source("alpha", GRID.field())
    u = n.NewtonSolve(LAW, GRID, fixed=FIXED)(E, LOAD, alpha)
    f = n.InternalForce(LAW, GRID)(E, u, alpha)
    found = Graph([E, alpha], {"f": f, "u": u}).compile("torch")(RHO, ALPHA)
    free = np.setdiff1d(np.arange(GRID.n_dofs()), FIXED)
    assert np.max(np.abs(found["f"] - LOAD)[free]) < 1e-9 * np.max(np.abs(LOAD))
    reaction = found["f"].reshape(-1, 2).sum(axis=0)
    assert np.allclose(reaction, 0.0, atol=1e-12), "internal forces have no resultant"


def test_memory_does_not_grow_with_load_steps() -> None:
    explained = [study(LAW, steps=k).compile("jax").value_and_grad("other", "rho").explain() for k in (1, 50)]
    assert explained[0].residual_bytes == explained[1].residual_bytes
    assert explained[0].peak_bytes == explained[1].peak_bytes
    sentence = "u is differentiated at its solution: nothing of its iteration is kept"
    assert sentence in explained[0].savings and f"{sentence}, 50 load steps or one" in explained[1].savings


def test_what_cannot_be_solved_says_so() -> None:
    with pytest.raises(SolveError, match="u"):
        study(LAW, iterations=1).compile("torch")(RHO, ALPHA)
    E, k = tg.source("E", GRID.field()), tg.source("k")
    u = n.NewtonSolve(n.StiffeningLaw(k=k), GRID, fixed=FIXED)(E, LOAD, ALPHA)
    with pytest.raises(GraphError, match="k of StiffeningLaw cannot be wired inside another node"):
        Graph([E], {"c": n.Dot()(u, LOAD)}).validate()
    turned = n.NewtonSolve(LAW, GRID, fixed=FIXED)(E, LOAD, ALPHA.T.copy())
    with pytest.raises(GraphError, match="does not fit the grid"):
        Graph([E], {"c": n.Dot()(turned, LOAD)}).validate()
