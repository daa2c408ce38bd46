"""Whole workflows: both backends against each other, against differences, and against an independent oracle."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import reference
import tograph as tg
from tograph import Edge, Graph, Report
from tograph import nodes as n
from tograph.problems import (
    Problem,
    bridge,
    cantilever,
    cantilever_3d,
    cantilever_with_hole,
    mbb,
    michell,
    tensile,
    two_load_cantilever,
)

BACKENDS = ("jax", "torch")

WORKFLOWS: dict[str, tuple[Problem, dict[str, Any]]] = {
    "mbb": (mbb(8, 4), {"radius": 1.7}),
    "mbb without filter": (mbb(6, 3), {"filter": "none"}),
    "mbb projected": (mbb(6, 4), {"radius": 1.7, "beta": 4.0, "eta": 0.4}),
    "cantilever": (cantilever(8, 4), {"radius": 2.4}),
    "cantilever mid": (cantilever(6, 4, load="mid"), {"radius": 1.5, "penal": 1.0}),
    "michell": (michell(8, 4), {"radius": 1.7}),
    "tensile": (tensile(8, 4), {"radius": 1.7}),
    "bridge": (bridge(6, 6), {"radius": 1.7}),
    "two loads": (two_load_cantilever(5, 5), {"radius": 1.7, "weights": (1.0, 0.3)}),
    "hole": (cantilever_with_hole(9, 6), {"radius": 1.7, "beta": 2.0}),
    "3d": (cantilever_3d(4, 2, 2), {"radius": 1.7}),
}


FIRST_ORDER = ("value", "gradient", "linear jvp", "linear vjp", "dot product", "taylor", "difference")


def design(problem: Problem, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.3, 0.9, problem.grid.shape)


def certified(graph: Graph, vertices: bool = False, **options: Any) -> Report:
    """All rows of the outputs pass: backends to 1e-10, slope 2, differences to 1e-7. All nodes: tests/certify.py."""
    report = tg.check(graph, vertices=vertices, **options)
    assert report.passed, f"\n{report}"
    first_order = [row for row in report.rows if row.node.startswith("'") and row.test in FIRST_ORDER]
    assert {row.verdict for row in first_order} <= {"pass", "no path"}, f"\n{report}"
    return report


def tried(report: Report) -> set[tuple[str, str]]:
    """The (output, input) pairs whose gradients were compared with differences on both backends."""
    found = [{(r.node, r.port) for r in report.rows if r.test == "difference" and r.backend == b} for b in BACKENDS]
    assert found[0] == found[1]
    return {(node.strip("'"), port) for node, port in found[0] if node.startswith("'")}


def oracle(problem: Problem, rho: np.ndarray, radius: float, p: float) -> tuple[float, np.ndarray]:
    """Compliance of a density-filtered design and its classical sensitivity, by tests/reference.py."""
    case = reference.from_problem(problem, p=p)
    weights = reference.cone_weights(case.shape, radius, case.spacing)
    physical = reference.density_filter(weights, reference.from_field(rho))
    c, slope = reference.compliance(case, physical)
    return c, reference.to_field(reference.density_filter_transposed(weights, slope))


def close(a: Any, b: Any, limit: float = 1e-10) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and float(np.max(np.abs(a - b))) <= limit * float(np.max(np.abs(b)))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows(name: str) -> None:
    problem, options = WORKFLOWS[name]
    each = name in ("two loads", "hole", "3d")
    report = certified(problem.workflow(**options), vertices=each, at={"rho": design(problem)})
    assert tried(report) == {("compliance", "rho"), ("volume", "rho")}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["mbb", "cantilever mid", "michell", "tensile", "bridge", "3d"])
def test_compliance_and_sensitivity_of_the_oracle(name: str, backend: str) -> None:
    problem, options = WORKFLOWS[name]
    rho = design(problem)
    c, slope = oracle(problem, rho, options["radius"], options.get("penal", 3.0))
    value, grad = problem.workflow(**options).compile(backend).value_and_grad(("compliance", "volume"), "rho")(rho)
    assert value["compliance"] == pytest.approx(c, rel=1e-10)
    assert close(grad["compliance"], slope)
    assert value["volume"] == pytest.approx(float(np.mean(n_filtered(problem, rho, options["radius"]))), rel=1e-12)


def n_filtered(problem: Problem, rho: np.ndarray, radius: float) -> np.ndarray:
    case = reference.from_problem(problem)
    weights = reference.cone_weights(case.shape, radius, case.spacing)
    return reference.to_field(reference.density_filter(weights, reference.from_field(rho)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_sensitivity_filter_of_the_oracle(backend: str) -> None:
    problem, rho = cantilever(8, 4), design(cantilever(8, 4))
    case = reference.from_problem(problem)
    weights = reference.cone_weights(case.shape, 1.7, case.spacing)
    c, slope = reference.compliance(case, reference.from_field(rho))
    filtered = reference.to_field(reference.sensitivity_filter(weights, reference.from_field(rho), slope))
    workflow = problem.workflow(filter="sensitivity", radius=1.7)
    value, grad = workflow.compile(backend).value_and_grad(("compliance", "volume"), "rho")(rho)
    assert value["compliance"] == pytest.approx(c, rel=1e-10) and close(grad["compliance"], filtered)
    assert close(grad["volume"], np.full(problem.grid.shape, 1 / problem.grid.n_elements), 1e-12)


PUBLISHED = [
    mbb(60, 20, 0.5),
    mbb(96, 64, 0.4),
    mbb(144, 48, 0.2),
    michell(128, 64, 0.3),
    tensile(128, 64, 0.3),
    bridge(96, 96, 0.5),
]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("problem", PUBLISHED, ids=lambda p: f"{p.name}-{p.grid.nelx}x{p.grid.nely}")
def test_published_uniform_compliances(problem: Problem, backend: str) -> None:
    published = problem.reference["uniform_compliance"]["value"]
    program = problem.workflow(filter="density", radius=2.0).compile(backend)
    assert program(problem.uniform())["compliance"] == pytest.approx(published, rel=2e-9)


# Wires.


@pytest.mark.parametrize("name", ["mbb", "two loads"])
def test_every_parameter_as_a_wire(name: str) -> None:
    problem, options = WORKFLOWS[name]
    grid = problem.grid
    wires = {"p": 2.7, "E_min": 1e-2, "E_max": 1.3, "beta": 3.0, "eta": 0.45, "nu": 0.25, "radius": 1.7}
    p, E_min, E_max, beta, eta, nu, radius = (tg.source(x, default=v) for x, v in wires.items())
    rho = tg.source("rho", grid.field(), default=design(problem))
    rho_f = n.DensityFilter(grid, radius=radius, max_radius=2.5)(rho)
    E = n.Simp(p=p, E_min=E_min, E_max=E_max)(n.Heaviside(beta=beta, eta=eta)(rho_f))
    u = n.LinearSolve()(n.Stiffness(grid, nu=nu, fixed=problem.fixed)(E), problem.load)
    c = n.Compliance(options.get("weights", ()))(u, problem.load)
    graph = Graph([rho, p, E_min, E_max, beta, eta, nu, radius], {"c": c})
    assert tried(certified(graph)) == {("c", x) for x in ("rho", *wires)}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wire_gives_what_the_constant_gives(backend: str) -> None:
    problem, rho = mbb(6, 4), design(mbb(6, 4))
    constant = problem.workflow(radius=1.7, penal=2.5, beta=3.0, eta=0.4).compile(backend)
    p, beta, eta = (tg.source(x) for x in ("p", "beta", "eta"))
    wired = problem.workflow(radius=1.7, penal=p, beta=beta, eta=eta).compile(backend)
    value, grad = constant.value_and_grad("compliance", "rho")(rho)
    again, regrad = wired.value_and_grad("compliance", "rho")(rho, p=2.5, beta=3.0, eta=0.4)
    assert float(again) == pytest.approx(float(value), rel=1e-13) and close(regrad, grad, 1e-12)


def test_one_scalar_that_feeds_two_parameters() -> None:
    """s enters E and K_e, so that in forward mode two operator tangents are added."""
    problem = mbb(4, 2)
    s = tg.source("s", default=0.3)
    rho = tg.source("rho", problem.grid.field(), default=design(problem))
    K = n.Stiffness(problem.grid, nu=s, fixed=problem.fixed)(n.Simp(p=1.0 + 5.0 * s)(rho))
    u = n.LinearSolve()(K, problem.load)
    assert tried(certified(Graph([rho, s], {"c": n.Compliance()(u, problem.load)}))) == {("c", "rho"), ("c", "s")}


# Loads and supports.


def loaded(problem: Problem, f: Any, held: Any = None) -> tuple[Edge, Edge, Edge]:
    rho = tg.source("rho", problem.grid.field(), default=design(problem))
    K = n.Stiffness(problem.grid, nu=problem.nu, fixed=problem.fixed)(n.Simp()(rho))
    return rho, K, n.LinearSolve()(K, f) if held is None else n.LinearSolve()(K, f, held)


def moved_supports(problem: Problem, seed: int = 11) -> np.ndarray:
    """Unequal displacements of all supports: not a rigid motion."""
    held = np.zeros(problem.grid.n_dofs())
    held[problem.fixed] = np.random.default_rng(seed).normal(size=problem.fixed.size)
    return held


def output(problem: Problem, seed: int = 13) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=problem.grid.n_dofs())


def test_unsymmetric_load_and_an_output_that_is_not_self_adjoint() -> None:
    problem = mbb(6, 3)
    f = np.where(np.isin(np.arange(problem.grid.n_dofs()), problem.fixed), 0.0, output(problem, 17))
    rho, _, u = loaded(problem, f)
    outputs = {"slip": n.Dot()(u, output(problem)), "c": n.Compliance()(u, f), "square": n.Dot()(u, u)}
    assert tried(certified(Graph([rho], outputs))) == {(name, "rho") for name in outputs}


@pytest.mark.parametrize("force", [0.0, 1.0], ids=["supports only", "supports and load"])
def test_prescribed_displacements(force: float) -> None:
    """The objective f.u is not self-adjoint here; a state taken for the adjoint would be wrong by its full size."""
    problem = mbb(6, 3)
    f = force * np.asarray(problem.load)
    rho, K, u = loaded(problem, f, moved_supports(problem))
    forces = n.ApplyOperator(problem_pattern(problem))(K, u)
    outputs = {
        "output": n.Dot()(u, output(problem)),
        "energy": n.Dot()(u, forces),
        "reaction": n.Dot()(forces, moved_supports(problem, 19)),
    }
    if force:
        outputs["work"] = n.Compliance()(u, f)
    assert tried(certified(Graph([rho], outputs))) == {(name, "rho") for name in outputs}


def problem_pattern(problem: Problem) -> n.ElementPattern:
    return n.Stiffness(problem.grid, fixed=problem.fixed).pattern()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cases", [0, 2])
def test_prescribed_displacements_of_the_oracle(backend: str, cases: int) -> None:
    """u, u.K u and the sensitivity of the energy of moved supports, dE/dE_e = u_e.k0 u_e (no load: Clapeyron)."""
    problem = mbb(6, 3)
    rho, held = design(problem), moved_supports(problem)
    f = np.zeros((problem.grid.n_dofs(), cases)) if cases else np.zeros(problem.grid.n_dofs())
    held_cases = np.repeat(held[:, None], cases, 1) if cases else held
    edge, K, u = loaded(problem, tg.constant(f, problem.grid.vector(cases=cases or None)), held_cases)
    energy = n.Dot()(u, n.ApplyOperator(problem_pattern(problem))(K, u))
    program = Graph([edge], {"u": u, "energy": energy}).compile(backend)
    case = attrs_free(reference.from_problem(problem))
    moduli = case.e_min + reference.from_field(rho) ** case.p * (1 - case.e_min)
    expected = reference.displacement(case, moduli, reference.from_dofs(problem, held))
    found = program(rho)["u"]
    assert close(found[:, 0] if cases else found, reference.to_dofs(problem, expected))
    local = expected[reference.element_dofs(case.shape)]
    density = np.einsum("ei,ij,ej->e", local, case.element, local).reshape(case.shape)
    slope = case.p * reference.from_field(rho) ** (case.p - 1) * (1 - case.e_min) * density
    value, grad = program.value_and_grad("energy", "rho")(rho)
    assert float(value) == pytest.approx(max(cases, 1) * float(np.sum(moduli * density)), rel=1e-10)
    assert close(grad, max(cases, 1) * reference.to_field(slope), 1e-9)


def attrs_free(case: reference.Case) -> reference.Case:
    """The same case without its load."""
    return reference.Case(case.shape, case.fixed, np.zeros_like(case.load), case.spacing, case.nu, case.plane)


def test_load_and_prescribed_displacements_as_inputs() -> None:
    problem = mbb(5, 3)
    f = tg.source("f", problem.grid.vector(), default=output(problem, 23))
    held = tg.source("held", problem.grid.vector(), default=moved_supports(problem) + 0.1)
    rho, _, u = loaded(problem, f, held)
    outputs = {"work": n.Compliance()(u, f), "output": n.Dot()(u, output(problem))}
    assert tried(certified(Graph([rho, f, held], outputs))) == {(y, x) for y in outputs for x in ("rho", "f", "held")}


def test_several_load_cases_with_prescribed_displacements() -> None:
    problem = two_load_cantilever(4, 4)
    held = np.stack([moved_supports(problem), np.zeros(problem.grid.n_dofs())], axis=1)
    f = tg.source("f", problem.grid.vector(cases=2), default=problem.load)
    rho, _, u = loaded(problem, f, held)
    outputs = {"work": n.Compliance((0.4, -1.5))(u, f), "square": n.Dot()(u, u)}
    certified(Graph([rho, f], outputs))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradient_in_the_load_is_twice_the_displacement(backend: str) -> None:
    problem = mbb(5, 3)
    f = tg.source("f", problem.grid.vector())
    rho, _, u = loaded(problem, f)
    program = Graph([rho, f], {"c": n.Compliance()(u, f), "u": u}).compile(backend)
    load = np.array(problem.load)
    _, grad = program.value_and_grad("c", "f")(design(problem), load)
    assert close(grad, 2.0 * program(design(problem), load)["u"], 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_passive_regions_have_no_sensitivity(backend: str) -> None:
    problem = cantilever_with_hole(9, 6)
    solid = problem.grid.elements_in(y=(5.0, 6.0)) & ~np.asarray(problem.void)
    problem = attrs.evolve(problem, solid=solid)
    program = problem.workflow(filter="none").compile(backend)
    rho = design(problem)
    value, grad = program.value_and_grad(("compliance", "volume"), "rho")(rho)
    passive = solid | np.asarray(problem.void)
    for name in ("compliance", "volume"):
        assert np.all(grad[name][passive] == 0.0) and np.all(grad[name][~passive] != 0.0)
    assert float(value["volume"]) == pytest.approx(
        np.where(solid, 1.0, np.where(np.asarray(problem.void), 0.0, rho)).mean()
    )
    certified(problem.workflow(radius=1.5), at={"rho": rho}, backends=(backend,))


# Detached edges.


@pytest.mark.parametrize("backend", BACKENDS)
def test_detached_and_attached_uses_meet(backend: str) -> None:
    x = tg.source("x", n.Grid(2, 2).field())
    y = n.Sum()(x * x * tg.detach(x, "frozen"))
    value, grad = Graph([x], {"y": y}).compile(backend).value_and_grad("y", "x")(np.full((2, 2), 3.0))
    assert float(value) == 108.0 and np.all(grad == 18.0)
    _, moved = Graph([x], {"y": y}).compile(backend).jvp("y", "x")(np.full((2, 2), 3.0), np.ones((2, 2)))
    assert float(moved) == 72.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_detached_state_leaves_the_explicit_part(backend: str) -> None:
    """c = u.K(rho) u with u held: dc/dE_e = u_e.k0 u_e, the opposite of the full sensitivity."""
    problem = mbb(5, 3)
    rho, K, u = loaded(problem, problem.load)
    held = tg.detach(u, "explicit part")
    energy = n.Dot()(held, n.ApplyOperator(problem_pattern(problem))(K, held))
    graph = Graph([rho], {"explicit": energy, "full": n.Compliance()(u, problem.load)})
    _, grad = graph.compile(backend).value_and_grad(("explicit", "full"), "rho")(design(problem))
    assert close(grad["explicit"], -grad["full"], 1e-9)
    certified(graph, backends=(backend,))


@pytest.mark.parametrize("backend", BACKENDS)
def test_detached_everywhere_is_an_error_that_says_so(backend: str) -> None:
    x = tg.source("x")
    program = Graph([x], {"y": tg.detach(x, "by mistake") * 2.0}).compile(backend)
    assert float(program(3.0)["y"]) == 6.0
    with pytest.raises(tg.GraphError, match=r"detached: every path is cut by .*by mistake"):
        program.value_and_grad("y", "x")
