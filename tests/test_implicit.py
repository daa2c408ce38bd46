"""Nodes defined by an equation: solvers, derivatives of every order, and what happens when there is no answer."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest

import tograph as tg
from tograph import Edge, Graph, RuleError, SolveError, TographError, codec
from tograph import nodes as n
from tograph.implicit import ImplicitNode
from tograph.solvers import Bisection, FixedPoint, Newton, RootSolver

BACKENDS = ("jax", "torch")
GRID = n.Grid(4, 3)
MATRIX = np.array([[3.0, 1.0, 0.0], [0.5, 2.5, -1.0], [0.2, -0.3, 2.0]])  # not symmetric on purpose


@tg.node
class Cubic(ImplicitNode):
    """y_i^3 + k y_i = x_i, each on its own."""

    inputs = (tg.Port("x"),)
    jacobian: ClassVar[str] = "diagonal"
    k: Any = tg.parameter(default=1.0)
    solver: Any = attrs.field(factory=Bisection)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        x, k = inputs
        return y**3 + k * y - x

    def bracket(self, xp: Any, *inputs: Any) -> tuple[Any, Any]:
        # Far from most roots: widening has to find them.
        return xp.zeros_like(inputs[0]), xp.zeros_like(inputs[0]) + 0.01

    def start(self, xp: Any, *inputs: Any) -> Any:
        return xp.zeros_like(inputs[0])

    def scale(self, xp: Any, *inputs: Any) -> Any:
        return 1.0 + xp.max(xp.abs(inputs[0]))


@tg.node
class Coupled(ImplicitNode):
    """A y + k y^3 = x; A is not symmetric."""

    inputs = (tg.Port("x"),)
    k: Any = tg.parameter(default=0.1)
    solver: Any = attrs.field(factory=Newton)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        x, k = inputs
        return xp.matmul(xp.asarray(MATRIX, dtype=y.dtype), y) + k * y**3 - x

    def bracket(self, xp: Any, *inputs: Any) -> tuple[Any, Any]:
        return inputs[0] - 1.0, inputs[0] + 1.0

    def start(self, xp: Any, *inputs: Any) -> Any:
        return xp.zeros_like(inputs[0])


@tg.node
class Relaxed(ImplicitNode):
    """y = k tanh(A y + x) / 4: a contraction."""

    inputs = (tg.Port("x"),)
    k: Any = tg.parameter(default=1.0)
    solver: Any = attrs.field(factory=FixedPoint)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        x, k = inputs
        return 0.25 * k * xp.tanh(xp.matmul(xp.asarray(MATRIX, dtype=y.dtype), y) + x) - y

    def start(self, xp: Any, *inputs: Any) -> Any:
        return xp.zeros_like(inputs[0])


@tg.node
class Arctan(ImplicitNode):
    """atan(y_i - 3 x_i) = 0. Plain Newton steps from 0 diverge where |3 x_i| > 1.39."""

    inputs = (tg.Port("x"),)
    jacobian: ClassVar[str] = "diagonal"
    solver: Any = attrs.field(factory=Newton)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        return xp.atan(y - 3.0 * inputs[0])

    def start(self, xp: Any, *inputs: Any) -> Any:
        return xp.zeros_like(inputs[0])

    def at_step(self, xp: Any, fraction: float, *inputs: Any) -> tuple[Any, ...]:
        return (fraction * inputs[0],)


@tg.node
class Square(ImplicitNode):
    """y^2 = x: r_y = 2 y vanishes at x = 0."""

    inputs = (tg.Port("x"),)
    jacobian: ClassVar[str] = "diagonal"
    solver: Any = attrs.field(factory=FixedPoint)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        return inputs[0] - y**2

    def start(self, xp: Any, *inputs: Any) -> Any:
        return xp.zeros_like(inputs[0])


@tg.node
class Singular(ImplicitNode):
    """B y = B x with a B of rank 1, solved by y = x: the forward answer is fine, r_y is singular."""

    inputs = (tg.Port("x"),)
    solver: Any = attrs.field(factory=FixedPoint)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        d = y - inputs[0]
        return xp.zeros_like(d) + xp.sum(d)

    def start(self, xp: Any, *inputs: Any) -> Any:
        return inputs[0]


X = np.array([1.3, -0.7, 2.1])
W = np.array([0.4, -1.1, 0.7])

SOLVED = [
    pytest.param(Cubic, Bisection(), id="cubic-bisection"),
    pytest.param(Cubic, Newton(), id="cubic-newton"),
    pytest.param(Coupled, Newton(), id="coupled-newton"),
    pytest.param(Relaxed, FixedPoint(), id="relaxed-fixed"),
    pytest.param(Relaxed, FixedPoint(memory=3), id="relaxed-anderson"),
    pytest.param(Relaxed, Newton(), id="relaxed-newton"),
]


def graph(kind: Any, derivative: Any = None, **fields: Any) -> Graph:
    """x -> y -> c = w . y^2 + sum(y)^3, not linear in y."""
    x, k = tg.source("x", tg.Spec("vector", (tg.Axis("i", 3),))), tg.source("k", default=0.8)
    wired = {"k": k} if "k" in attrs.fields_dict(kind) else {}
    y = kind(**wired, **fields)(x, derivative=derivative, name="y")
    c = n.Dot()(n.Power(exponent=2.0)(y), W) + n.Power(exponent=3.0)(n.Sum()(y))
    return Graph([x, *wired.values()], {"c": c, "y": y})


def slope(function: Any, x: np.ndarray | float, v: Any, h: float) -> Any:
    """Fourth-order central difference along v."""
    f = [function(x + k * h * v) for k in (-2, -1, 1, 2)]
    return (8.0 * (f[2] - f[1]) - (f[3] - f[0])) / (12.0 * h)


# values


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("kind", "solver"), SOLVED)
def test_residual_is_zero(kind: Any, solver: Any, backend: str) -> None:
    y = graph(kind, solver=solver).compile(backend)(X)["y"]
    assert np.max(np.abs(kind(k=0.8).residual(np, y, X, 0.8))) < 5e-12


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("kind", "solver"), SOLVED)
def test_float32(kind: Any, solver: Any, backend: str) -> None:
    made = graph(kind, solver=solver)
    single, double = (made.compile(backend, dtype=d).value_and_grad("c", "x")(X) for d in ("float32", "float64"))
    assert single[1].dtype == np.float32
    assert np.allclose(single[1], double[1], rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_anderson_needs_fewer_residuals(backend: str) -> None:
    plain, mixed = (graph(Relaxed, solver=FixedPoint(memory=m, iterations=7)).compile(backend) for m in (0, 3))
    assert np.isfinite(mixed(X)["y"]).all()
    with pytest.raises(SolveError, match="did not converge"):
        plain(X)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bisection_is_vectorised_and_widens_each_bracket(backend: str) -> None:
    x = np.array([-1e12, -3.0, 0.0, 1e-9, 0.005, 7.0, 1e9])
    edge = tg.source("x", tg.Spec("vector", (tg.Axis("i", x.size),)))
    y = Graph([edge], {"y": Cubic()(edge)}).compile(backend)(x)["y"]
    roots = [np.roots([1.0, 0.0, 1.0, -xi]) for xi in x]
    assert np.allclose(y, [r[np.abs(r.imag).argmin()].real for r in roots], rtol=1e-9, atol=1e-14)


def test_bisection_of_coupled_equations_is_refused() -> None:
    with pytest.raises(RuleError, match="3 coupled equations"):
        graph(Coupled, solver=Bisection()).compile("jax")(X)


@pytest.mark.parametrize("backend", BACKENDS)
def test_newton_line_search_and_load_steps(backend: str) -> None:
    x = np.array([1.5, -1.4, 0.3])
    plain = graph(Arctan, solver=Newton(backtracking=0)).compile(backend)
    with pytest.raises(SolveError, match=r"solve of y \(Arctan\)"):
        plain(x)
    for solver in (Newton(), Newton(backtracking=0, steps=12)):
        assert np.allclose(graph(Arctan, solver=solver).compile(backend)(x)["y"], 3.0 * x, rtol=1e-9)


# the published trap: fixed bounds of the bisection broke the volume constraint for large logits


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mask", [None, np.arange(12).reshape(3, 4) % 3 == 0], ids=["all", "mask"])
@pytest.mark.parametrize("low", [-40.0, 20.0, 1e4])
def test_volume_is_exact(backend: str, mask: Any, low: float, rng: np.random.Generator) -> None:
    x, V = tg.source("x", GRID.field()), tg.source("V")
    rho = n.VolumeEnforcing(V=V, mask=mask)(x)
    made = Graph([x, V], {"volume": n.VolumeFraction(mask)(rho), "c": n.Dot()(rho, rng.normal(size=(3, 4)))})
    program, logits = made.compile(backend), rng.uniform(low, low + 20.0, (3, 4))
    for volume in (0.4, 1e-6, 0.999):
        assert abs(program(logits, volume)["volume"] - volume) < 1e-10
    _, found = program.value_and_grad("volume", ("x", "V"))(logits, 0.4)
    assert np.max(np.abs(found["x"])) < 1e-12  # the design cannot change the volume
    assert found["V"] == pytest.approx(1.0, abs=1e-12)
    single = made.compile(backend, dtype="float32")(logits, 0.4)["volume"]
    assert abs(float(single) - 0.4) < (1e-6 if abs(low) < 100.0 else 1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_logits_close_the_bracket(backend: str) -> None:
    x = tg.source("x", GRID.field())
    made = Graph([x], {"eta": n.VolumeShift(V=0.25)(x)}).compile(backend)
    assert made(np.full((3, 4), 30.0))["eta"] == pytest.approx(np.log(1 / 3) - 30.0, rel=1e-12)


# derivatives


@pytest.mark.parametrize(("kind", "solver"), [SOLVED[0], SOLVED[2], SOLVED[4]])
def test_certified(kind: Any, solver: Any) -> None:
    report = tg.check(graph(kind, solver=solver), at={"x": X})
    assert report.passed, f"\n{report}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("kind", "solver"), SOLVED)
def test_reverse_forward_and_second_order(kind: Any, solver: Any, backend: str) -> None:
    program = graph(kind, solver=solver).compile(backend)
    gradient = program.value_and_grad("c", ("x", "k"))
    _, g = gradient(X)
    assert slope(lambda x: gradient(x)[0], X, W, 1e-3) == pytest.approx(g["x"] @ W, rel=1e-9)
    assert slope(lambda k: gradient(X, k)[0], 0.8, 1.0, 1e-3) == pytest.approx(float(g["k"]), rel=1e-9)
    assert float(program.jvp("c", "x")(X, x_dot=W)[1]) == pytest.approx(g["x"] @ W, rel=1e-12)
    assert np.allclose(program.vjp("c", "x")(X, c_bar=2.0)[1], 2.0 * g["x"], rtol=1e-12)
    c, _, second = program.hvp("c", "x")(X, x_dot=W)
    assert np.allclose(second, slope(lambda x: gradient(x)[1]["x"], X, W, 1e-3), rtol=1e-7, atol=1e-8)
    values = [gradient(X + h * W)[0] - c - h * g["x"] @ W - 0.5 * h**2 * second @ W for h in (4e-2, 2e-2, 1e-2)]
    rates = np.log2(np.abs(values[:-1]) / np.abs(values[1:]))  # of the Taylor remainder of second order
    assert np.all(np.abs(rates - 3.0) < 0.25), rates


UNROLLED = [param for param in SOLVED if param.id != "cubic-bisection"]


TRACED = [pytest.param("unrolled", *param.values, id=f"unrolled-{param.id}") for param in UNROLLED] + [
    pytest.param(method, Coupled, Newton(), id=f"{method}-coupled") for method in ("autodiff", "jacobian")
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("method", "kind", "solver"), TRACED)
def test_unrolled_is_implicit(method: str, kind: Any, solver: Any, backend: str) -> None:
    solver = attrs.evolve(solver, iterations=60)
    exact = graph(kind, solver=solver).compile(backend).value_and_grad("c", ("x", "k"))(X)[1]
    traced = graph(kind, method, solver=solver).compile(backend).value_and_grad("c", ("x", "k"))(X)[1]
    for name in exact:
        assert np.allclose(traced[name], exact[name], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_unrolled_from_the_solution_itself(backend: str) -> None:
    """The residual is small at once; an iteration that stops there has not moved its derivative yet."""
    made = graph(Coupled, "unrolled", solver=Newton()).compile(backend).value_and_grad("c", "x")(np.zeros(3))[1]
    exact = graph(Coupled, solver=Newton()).compile(backend).value_and_grad("c", "x")(np.zeros(3))[1]
    x, y = X * 0.0, np.ones(3)
    jvp = [graph(Coupled, how).compile(backend).jvp("y", "x")(x, x_dot=y)[1] for how in ("unrolled", None)]
    assert np.allclose(made, exact) and np.allclose(jvp[0], np.linalg.solve(MATRIX, y)) and np.allclose(jvp[0], jvp[1])


@pytest.mark.parametrize("method", ["unrolled", "autodiff", "jacobian", "complex-step"])
def test_bisection_cannot_be_traced(method: str) -> None:
    with pytest.raises(tg.GraphError, match=r"Cubic cannot be differentiated by .*'finite-difference'"):
        graph(Cubic, method).compile("jax").value_and_grad("c", "x")(X)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bisection_by_differences(backend: str) -> None:
    programs = [graph(Cubic, how).compile(backend) for how in (None, "finite-difference")]
    exact, quotient = (program.value_and_grad("c", "x")(X)[1] for program in programs)
    assert np.allclose(quotient, exact, rtol=1e-7)


# no answer


@pytest.mark.parametrize("backend", BACKENDS)
def test_forward_that_does_not_converge(backend: str) -> None:
    for solver in (Newton(iterations=1), FixedPoint(iterations=2)):
        with pytest.raises(SolveError, match=r"^solve of y \(Relaxed\), declared at .*test_implicit"):
            graph(Relaxed, solver=solver).compile(backend)(X)


@codec.register
@attrs.frozen
class Sloppy(Newton):
    """A solver whose linearised solve stops too early."""

    def solve_linearized(self, *args: Any) -> Any:
        return super().solve_linearized(*args) * (1.0 + 1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_adjoint_that_does_not_converge(backend: str) -> None:
    program = graph(Coupled, solver=Sloppy()).compile(backend)
    assert np.isfinite(program(X)["c"])
    with pytest.raises(SolveError, match=r"^adjoint solve of y \(adjoint solve Coupled\).*did not converge"):
        program.value_and_grad("c", "x")(X)
    with pytest.raises(SolveError, match=r"^tangent solve of y \(tangent solve Coupled\).*did not converge"):
        program.jvp("c", "x")(X, x_dot=W)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("kind", "x"), [(Square, np.zeros(3)), (Singular, X)], ids=["diagonal", "dense"])
def test_singular_adjoint(kind: Any, x: np.ndarray, backend: str) -> None:
    program = graph(kind).compile(backend)
    assert np.allclose(program(x)["y"], x)
    for ask, extra in (("value_and_grad", {}), ("vjp", {"c_bar": 1.0}), ("jvp", {"x_dot": W})):
        with pytest.raises(SolveError, match=r"(adjoint|tangent) solve of y"):
            getattr(program, ask)("c", "x")(x, **extra)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_zero_cotangent_is_no_alarm(backend: str, dtype: str) -> None:
    for kind, solver in ((Cubic, Bisection()), (Coupled, Newton())):
        program = graph(kind, solver=solver).compile(backend, dtype=dtype)
        assert np.all(program.vjp("c", "x")(X, c_bar=0.0)[1] == 0.0)
        assert np.all(program.jvp("c", "x")(X, x_dot=np.zeros(3))[1] == 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_contrast_of_a_stiffness_is_no_alarm(backend: str) -> None:
    """r_y with entries from 1e-9 to 1: ill-conditioned, and yet the adjoint may be used."""

    x = tg.source("x", tg.Spec("vector", (tg.Axis("i", 3),)))
    y = Graded()(x, name="y")
    g = Graph([x], {"c": n.Sum()(y)}).compile(backend).value_and_grad("c", "x")(X)[1]
    assert np.allclose(g, np.linalg.solve(CONTRAST.T, np.ones(3)), rtol=1e-6)


CONTRAST = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0 + 1e-9, -1e-9], [0.0, -1e-9, 3e-9]])


@tg.node
class Graded(ImplicitNode):
    inputs = (tg.Port("x"),)
    solver: Any = attrs.field(factory=Newton)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        return xp.matmul(xp.asarray(CONTRAST, dtype=y.dtype), y) - inputs[0]

    def scale(self, xp: Any, *inputs: Any) -> Any:
        return 1e9  # y is about 1e9

    def start(self, xp: Any, *inputs: Any) -> Any:
        return xp.zeros_like(inputs[0])


# in graphs


def test_counts_and_explanation() -> None:
    function = graph(Coupled).compile("jax").value_and_grad("c", "x")
    explained = function.explain()
    assert explained.solves == 1  # the adjoint; the forward iteration is no linear solve
    rules = {(row["node"], row["port"]): row["rule"] for row in explained.rules}
    assert rules["y", "x"] == "implicit"
    assert "adjoint solve Coupled" in str(explained)


def test_second_order_needs_no_new_kind_of_solve() -> None:
    order = graph(Coupled).compile("jax").hvp("c", "x").plan.order
    kinds = [v.node.title for v in order if isinstance(v.node, ImplicitNode)]
    assert sorted(set(kinds)) == ["Coupled", "adjoint solve Coupled", "tangent solve Coupled"]
    assert kinds.count("tangent solve Coupled") == 1  # y moves with x alone


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_solve_is_watched(backend: str) -> None:
    x = tg.source("x", tg.Spec("vector", (tg.Axis("i", 3),)))
    y = Coupled(solver=Sloppy())(x, name="y")
    made = Graph([x], {"a": n.Sum()(y), "b": n.Dot()(y, W)})
    function = made.compile(backend).value_and_grad(("a", "b"), "x")
    assert sum(label[0] == "status" for label in function.plan.results) == 3


def test_json_round_trip() -> None:
    for param in SOLVED:
        kind, solver = param.values
        made = graph(kind, "finite-difference", solver=solver)
        again = Graph.from_dict(json.loads(json.dumps(made.to_dict())))
        assert again == made and again.compile("jax")(X)["c"] == made.compile("jax")(X)["c"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_inside_a_workflow(backend: str, rng: np.random.Generator) -> None:
    from tograph.problems import mbb

    problem = mbb(8, 4)
    x = tg.source("x", problem.grid.field())
    rho = n.VolumeEnforcing(V=0.4)(n.DensityFilter(problem.grid, radius=1.5)(x))
    K = n.Stiffness(problem.grid, fixed=problem.fixed)(n.Simp()(rho))
    u = n.LinearSolve()(K, problem.load)
    made = Graph([x], {"c": n.Compliance()(u, problem.load), "v": n.VolumeFraction()(rho)})
    program, at, v = made.compile(backend), rng.normal(size=(4, 8)), rng.normal(size=(4, 8))
    gradient = program.value_and_grad("c", "x")
    assert program(at)["v"] == pytest.approx(0.4, abs=1e-12)
    assert slope(lambda x: gradient(x)[0], at, v, 1e-3) == pytest.approx(np.sum(gradient(at)[1] * v), rel=1e-8)
    second = program.hvp("c", "x")(at, x_dot=v)[2]
    difference = slope(lambda x: gradient(x)[1], at, v, 1e-3)
    assert np.max(np.abs(second - difference)) < 1e-7 * np.max(np.abs(second))
    assert gradient.explain().solves == 2  # the state, which is also its adjoint, and the adjoint of the shift


@codec.register
@attrs.frozen
class Library(RootSolver):
    """SciPy's hybrid Powell method: a library that knows nothing of any framework."""

    host: ClassVar[bool] = True

    def solve(self, backend: Any, node: Any, residual: Any, inputs: list[Any]) -> Any:
        from scipy.optimize import root

        start = node.start(backend.xp, *inputs)
        assert isinstance(start, np.ndarray)
        return root(residual, start, tol=1e-13).x


@pytest.mark.parametrize("backend", BACKENDS)
def test_solver_from_a_library(backend: str) -> None:
    ours, theirs = (graph(Coupled, solver=solver).compile(backend) for solver in (Newton(), Library()))
    for ask in ("value_and_grad", "hvp"):
        extra = {"x_dot": W} if ask == "hvp" else {}
        a, b = (getattr(program, ask)("c", "x")(X, **extra) for program in (ours, theirs))
        assert all(np.allclose(p, q, rtol=1e-10) for p, q in zip(a, b, strict=True))
    with pytest.raises(TographError, match="host node"):
        graph(Coupled, "unrolled", solver=Library()).compile(backend).value_and_grad("c", "x")


# declared wrongly


def test_declaration_errors() -> None:
    @attrs.frozen(eq=False, slots=False)
    class NoSolver(ImplicitNode):
        inputs = (tg.Port("x"),)

    @attrs.frozen(eq=False, slots=False)
    class Two(ImplicitNode):
        outputs = (tg.Port("a"), tg.Port("b"))
        solver: Any = attrs.field(factory=Newton)

    @attrs.frozen(eq=False, slots=False)
    class Optional(ImplicitNode):
        inputs = (tg.Port("x", optional=True),)
        solver: Any = attrs.field(factory=Newton)

    for kind, words in ((NoSolver, "no field `solver`"), (Two, "2 outputs"), (Optional, "optional")):
        with pytest.raises(RuleError, match=words):
            kind()


def test_missing_hook_says_which() -> None:
    x = tg.source("x", tg.Spec("vector", (tg.Axis("i", 3),)))
    made: Edge = Square(solver=Bisection())(x)
    with pytest.raises(RuleError, match=r"Square does not define bracket"):
        Graph([x], {"y": made}).compile("jax")(X)
