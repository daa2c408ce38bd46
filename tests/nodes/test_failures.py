"""When a solve has no answer: the status, the message, and what becomes of the results."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tograph as tg
from tograph import Graph, SolveError
from tograph import nodes as n
from tograph.nodes.solvers.diagnosis import free_motions
from tograph.problems import Problem, cantilever_3d, mbb, tensile

BEAM = mbb(6, 4)
ONES = np.ones(BEAM.grid.shape)


def graph(
    problem: Problem = BEAM,
    *,
    f: Any = None,
    fixed: Any = None,
    solver: Any = None,
    weight: Any = None,
    exponent: float = 1.0,
) -> Graph:
    """u and c = w . u for moduli E = x^exponent; by default the compliance."""
    x = tg.source("x", problem.grid.field())
    E = x if exponent == 1.0 else n.Power(exponent=exponent)(x)
    K = n.Stiffness(problem.grid, fixed=problem.fixed if fixed is None else fixed)(E)
    f = problem.load if f is None else f
    u = n.LinearSolve(solver=solver or n.DirectSolver())(K, f, name="u")
    return Graph([x], {"u": u, "c": n.Dot()(u, problem.load if weight is None else weight)})


def too_large(dof: int) -> Any:
    """A force that only the program itself makes infinite: constants and inputs are checked before it runs."""
    return n.Power(exponent=2.0)(tg.constant(at(BEAM.grid, dof, 1e300), BEAM.grid.vector()))


def at(grid: n.Grid, dof: int, value: float) -> np.ndarray:
    f = np.zeros(grid.n_dofs())
    f[dof] = value
    return f


def with_element(value: float) -> np.ndarray:
    E = ONES.copy()
    E[1, 2] = value
    return E


def tip(problem: Problem = BEAM) -> int:
    return int(np.flatnonzero(problem.load)[0])


def half_void() -> np.ndarray:
    E = np.ones((2, 4))
    E[:, 2:] = 0.0
    return E


def loose_island() -> np.ndarray:
    """Solid at the load, next to nothing in between."""
    E = np.full((2, 8), 1e-16)
    E[:, :2], E[:, 6:] = 1.0, 1.0
    return E


BAR, LONG = tensile(4, 2), tensile(8, 2)
SKY = at(BEAM.grid, 1, 1.0)
SKY_E = np.vstack([np.full((1, 6), 1e-14), np.ones((3, 6))])

# What is wrong, graph, moduli, status, the message after "u (..., declared at ...): ".
CASES: list[tuple[str, Graph, np.ndarray, str, str]] = [
    (
        "floating structure",
        graph(fixed=[]),
        ONES,
        "singular",
        "The supports leave the body free to move: translation along x, translation along y, rotation. Add supports",
    ),
    (
        "a missing support",
        graph(fixed=BEAM.fixed[:-1]),
        ONES,
        "singular",
        "The supports leave the body free to move: translation along y. Add supports",
    ),
    (
        "one support",
        graph(fixed=BEAM.grid.dofs([BEAM.grid.nearest_node(0, 0)])),
        ONES,
        "singular",
        "The supports leave the body free to move: rotation. Add supports",
    ),
    (
        "no material",
        graph(BAR),
        half_void(),
        "singular",
        "the stiffness matrix is singular. 12 dofs have no stiffness, the first is dof 6 (x of node 3 at x=3, y=2). "
        "Raise E_min, or fix them",
    ),
    (
        "a load on void",
        graph(f=SKY),
        SKY_E,
        "singular",
        "The load acts on void: dof 1 (y of node 0 at x=0, y=4) has 2e-15 of the largest stiffness. "
        "Keep material under the load (Passive), or raise E_min",
    ),
    (
        "a loose island",
        graph(LONG),
        loose_island(),
        "singular",
        "E_min may be too small, or a part be held by a hinge only. Raise E_min, or add supports",
    ),
    (
        "a modulus that is not a number",
        graph(exponent=0.5),
        with_element(-1.0),
        "non-finite input",
        "the modulus of element (1, 2) is not finite. Look at what computes E",
    ),
    (
        "an infinite modulus",
        graph(exponent=-0.5),
        with_element(0.0),
        "non-finite input",
        "the modulus of element (1, 2) is not finite. Look at what computes E",
    ),
    (
        "a negative modulus",
        graph(),
        with_element(-3.0),
        "not positive definite",
        "the stiffness matrix is not positive definite: the modulus of element (1, 2) is -3. Look at what computes E",
    ),
    (
        "an infinite load",
        graph(f=too_large(tip())),
        ONES,
        "non-finite input",
        f"the right-hand side is not finite at {BEAM.grid.describe_dof(tip())}. Look at what computes the load",
    ),
    (
        "iteration limit",
        graph(solver=n.AMG(iterations=1, tolerance=1e-12)),
        np.random.default_rng(0).uniform(0.1, 1.0, ONES.shape),
        "iteration limit",
        "Allow more iterations, or use a direct solver",
    ),
]


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(("graph", "E", "status", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_no_answer(graph: Graph, E: np.ndarray, status: str, message: str, backend: str) -> None:
    where = r"^(u|K)\w* \((ApplyFactor|Factor), declared at .*test_failures.py:\d+\): "
    with pytest.raises(SolveError, match=where + ".*" + re.escape(message) + "$") as caught:
        graph.compile(backend)(E)
    assert caught.value.status == status


@pytest.mark.parametrize(("case", "E", "status", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_no_gradient(case: Graph, E: np.ndarray, status: str, message: str) -> None:
    """Of |u|^2, whose adjoint has a right-hand side of its own: what is wrong is said as without a gradient."""
    u = case.outputs["u"]
    other = Graph(case.inputs, {"q": n.Sum()(n.Hadamard()(u, u))})
    with pytest.raises(SolveError, match=r"^u.* \((ApplyFactor|Factor), .*" + re.escape(message) + "$") as caught:
        other.compile("torch").value_and_grad("q", "x")(E)
    assert caught.value.status == status


def test_an_adjoint_that_does_not_converge() -> None:
    """Without a load the state is found at once."""
    pytest.importorskip("pyamg")
    solver = n.AMG(iterations=1, tolerance=1e-12)
    case = graph(f=BEAM.load * 0.0, solver=solver, weight=BEAM.load)
    E = np.random.default_rng(0).uniform(0.1, 1.0, ONES.shape)
    assert case.compile("torch")(E)["c"] == 0.0
    with pytest.raises(
        SolveError, match=r"^u and adjoint of u \(ApplyFactor, .*no convergence in 1 iterations"
    ) as caught:
        case.compile("torch").value_and_grad("c", "x")(E)
    assert caught.value.status == "iteration limit"


@pytest.mark.parametrize("solver", [n.BandCholesky(), n.Multifrontal(), n.SuperLU(), n.Pardiso(), n.Cholmod()])
def test_every_solver_says_the_same(solver: Any) -> None:
    if isinstance(solver, n.Pardiso):
        pytest.importorskip("pypardiso", exc_type=ImportError)
    if isinstance(solver, n.Cholmod):
        pytest.importorskip("cvxopt")
    for what, case, E, status, message in CASES:
        if what in ("iteration limit", "a negative modulus"):  # LU does without positive definiteness
            continue
        again = graph(fixed=[]) if what == "floating structure" else case
        u = again.outputs["u"]
        node: Any = u.vertex.node
        other = Graph(again.inputs, {"u": type(node)(solver=solver)(*u.vertex.edges)})
        with pytest.raises(SolveError, match=re.escape(message)) as caught:
            other.compile("torch")(E)
        assert caught.value.status == status


def test_an_adjoint_that_is_not_finite() -> None:
    weight = too_large(tip())
    with pytest.raises(SolveError, match=r"^u and adjoint of u \(ApplyFactor, .*the right-hand side is not finite at"):
        graph(weight=weight).compile("torch").value_and_grad("c", "x")(ONES)


def test_an_adjoint_load_on_void() -> None:
    with pytest.raises(SolveError, match=r"^u and adjoint of u \(ApplyFactor, .*The load acts on void: dof 1 "):
        graph(f=BEAM.load * 0.0 + at(BEAM.grid, tip() + 40, 1.0), weight=SKY).compile("torch").value_and_grad("c", "x")(
            SKY_E
        )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_too_large_for_float32(backend: str) -> None:
    E = tg.source("E", BEAM.grid.field())
    K = n.Stiffness(BEAM.grid, fixed=BEAM.fixed)(E)
    u = n.LinearSolve()(K, BEAM.load * 1e30)
    message = r"^u \(ApplyFactor, declared at .*a result of \de\+\d+ is infinite in float32. Compile with"
    with pytest.raises(SolveError, match=message) as caught:
        Graph([E], {"u": u}).compile(backend, dtype="float32")(np.full(BEAM.grid.shape, 1e-30))
    assert caught.value.status == "overflow"


def test_nothing_to_solve_is_not_a_failure() -> None:
    """All dofs fixed, a load on fixed dofs only, no load: zero is the answer, of value and gradient."""
    everything = np.arange(BEAM.grid.n_dofs())
    for case in (
        graph(fixed=everything),
        graph(fixed=everything, solver=n.SuperLU()),
        graph(fixed=everything, solver=n.Multifrontal()),
        graph(f=BEAM.load * 0.0),
        graph(f=at(BEAM.grid, int(BEAM.fixed[0]), 1.0)),
    ):
        value, gradient = case.compile("torch").value_and_grad("c", "x")(ONES)
        assert value == 0.0 and np.all(gradient == 0.0)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_recorded_failures(backend: str) -> None:
    """Nothing is raised; no number is given that was not computed; the next call starts anew."""
    program = graph(fixed=BEAM.fixed[:-1]).compile(backend, on_failure="record")
    function = program.value_and_grad("c", "x")
    value, gradient = function(ONES)
    assert np.isnan(value) and np.all(np.isnan(gradient))
    assert [error.status for error in function.failures] == ["singular"]
    assert "translation along y" in str(function.failures[0])
    sound = graph().compile(backend, on_failure="record").value_and_grad("c", "x")
    assert np.isfinite(sound(ONES)[0]) and not sound.failures
    assert np.isnan(sound(with_element(-9.0))[0])
    assert [error.status for error in sound.failures] == ["not positive definite"]
    assert np.isfinite(sound(ONES)[0]) and not sound.failures


def test_a_failed_adjoint() -> None:
    function = graph(weight=too_large(tip())).compile("torch", on_failure="record").value_and_grad(("c",), "x")
    _, gradients = function(ONES)
    assert np.all(np.isnan(gradients["c"])) and "u and adjoint of u (ApplyFactor" in str(function.failures[0])


def test_a_warning() -> None:
    program = graph(fixed=[]).compile("torch", on_failure="warn")
    with pytest.warns(tg.SolveWarning, match="translation along x, translation along y, rotation"):
        assert np.isnan(program(ONES)["c"])


def test_an_unknown_policy() -> None:
    with pytest.raises(tg.TographError, match=r"on_failure is 'ignore'. Known: raise, record, warn"):
        graph().compile("torch", on_failure="ignore")


def test_motions_in_space() -> None:
    grid = cantilever_3d(2, 2, 2).grid
    corner = grid.nodes("top-left-front")
    bottom = grid.nodes("bottom")

    def motions(fixed: Any) -> list[str]:
        return free_motions(n.ElementPattern(grid, 3, np.asarray(fixed, dtype=np.int64)))

    assert motions([]) == [f"translation along {d}" for d in "xyz"] + [f"rotation about {d}" for d in "xyz"]
    assert motions(grid.dofs(bottom, "y")) == ["translation along x", "translation along z", "rotation about y"]
    assert motions(grid.dofs(corner)) == ["rotation about x", "rotation about y", "rotation about z"]
    assert motions(grid.dofs(bottom, "xy")) == ["translation along z"]
    assert motions(grid.dofs(grid.nodes("left"))) == []
    hinge = grid.dofs(grid.nodes("bottom-left"))
    assert motions(hinge) == ["rotation about z"]


def test_motions_of_a_scalar_problem() -> None:
    assert free_motions(n.ElementPattern(BEAM.grid, 1, np.zeros(0, dtype=np.int64))) == ["a constant may be added"]
    assert free_motions(n.ElementPattern(BEAM.grid, 1, np.array([3]))) == []
