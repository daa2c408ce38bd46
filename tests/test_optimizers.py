"""The design loop: published optima, the volume of the physical field, stopping, and its messages."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import numpy as np
import pytest

import reference
import tograph as tg
from tograph import nodes as n
from tograph.optimizers import Formulation, Method, Point, Position, Stage
from tograph.optimizers.formulation import formulate
from tograph.optimizers.loop import Course, run
from tograph.problems import PROBLEMS, Problem, cantilever, cantilever_with_hole, mbb, two_load_cantilever
from tograph.program import Program

PUBLISHED = [
    ("mbb", "sensitivity", 216.813662962690, 106, (216.785192425, 103)),
    ("mbb", "density", 233.714572808443, 144, (233.712543661, 146)),
    ("cantilever", "sensitivity", 208.442935435814, 169, (208.491717171, 169)),
]


def minimize(problem: Problem, program: Program, **options: Any) -> tg.Result:
    bound = [f"volume <= {problem.volume}"]
    return tg.optimize(program, problem.uniform(), minimize="compliance", subject_to=bound, **options)


def volume_errors(problem: Problem, result: tg.Result) -> np.ndarray:
    """Relative, of every design that the optimiser made: the first one is the start."""
    return np.array([abs(row["volume"] / problem.volume - 1.0) for row in result.history[1:]])


# Numbers.


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(("name", "filter", "compliance", "iterations", "exact"), PUBLISHED)
def test_classical_bracket_repeats_the_published_numbers(
    name: str, filter: str, compliance: float, iterations: int, exact: Any, backend: str
) -> None:
    problem = PROBLEMS[name]()
    program = problem.workflow(filter=filter, radius=2.4).compile(backend)
    result = minimize(problem, program, method=tg.OptimalityCriteria(bracket=1e-3))
    assert result.converged
    assert result.iterations == iterations
    assert result.values["compliance"] == pytest.approx(compliance, rel=1e-9)
    assert volume_errors(problem, result).max() < 6e-4
    if f"oc_{filter}_filter" in problem.reference:
        assert problem.reference[f"oc_{filter}_filter"]["iterations"] == iterations


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(("name", "filter", "compliance", "iterations", "exact"), PUBLISHED)
def test_exact_volume(
    name: str, filter: str, compliance: float, iterations: int, exact: tuple[float, int], backend: str
) -> None:
    problem = PROBLEMS[name]()
    result = minimize(problem, problem.workflow(filter=filter, radius=2.4).compile(backend))
    assert result.iterations == exact[1]
    assert result.values["compliance"] == pytest.approx(exact[0], rel=1e-9)
    assert volume_errors(problem, result).max() < 1e-9
    # The volume is linear in the design: its prediction is confirmed by one evaluation, and there is no search.
    assert (result.evaluations, result.extra_evaluations) == (exact[1], exact[1])


@pytest.mark.parametrize(("filter", "bracket"), [("sensitivity", 1e-3), ("density", 1e-3), ("density", None)])
def test_every_iteration_is_that_of_the_oracle(filter: str, bracket: float | None) -> None:
    problem = mbb(nelx=18, nely=6)
    theirs = reference.optimise(
        reference.from_problem(problem), reference.OC(0.5, 1.6, kind=filter, interval=bracket or 1e-15)
    )
    method = tg.OptimalityCriteria(bracket=bracket)
    ours = minimize(problem, problem.workflow(filter=filter, radius=1.6).compile("torch"), method=method)
    assert ours.iterations == theirs.iterations
    np.testing.assert_allclose([row["compliance"] for row in ours.history], theirs.history, rtol=1e-9)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_projection_makes_the_volume_nonlinear_and_it_is_held(backend: str) -> None:
    problem = mbb(nelx=24, nely=8)
    graph = problem.workflow(radius=1.6, beta=tg.source("beta"), eta=tg.source("eta"))
    program = graph.compile(backend)
    for inputs in ({"beta": 2.0, "eta": 0.5}, {"beta": 8.0, "eta": 0.4}):
        result = minimize(problem, program, inputs=inputs, max_iter=15)
        assert volume_errors(problem, result)[2:].max() < 1e-9
        assert result.history[-1]["compliance"] < result.history[3]["compliance"]
        assert result.extra_evaluations > result.evaluations


def test_passive_regions_are_in_the_volume() -> None:
    problem = cantilever_with_hole(nelx=18, nely=12)
    result = minimize(problem, problem.workflow(radius=1.5).compile("torch"), max_iter=30)
    assert volume_errors(problem, result).max() < 1e-9
    assert result.values["compliance"] < 0.6 * result.history[0]["compliance"]


def test_designs_without_influence_stay() -> None:
    problem = cantilever_with_hole(nelx=18, nely=12)
    # Without a filter nothing depends on the design inside the hole.
    result = minimize(problem, problem.workflow(filter="none").compile("torch"), max_iter=5)
    assert problem.void is not None
    np.testing.assert_array_equal(result.design[problem.void], problem.uniform()[problem.void])


def test_several_load_cases() -> None:
    problem = two_load_cantilever(nelx=12, nely=12)
    program = problem.workflow(radius=1.5, weights=(1.0, 0.5)).compile("torch")
    result = minimize(problem, program, max_iter=20)
    assert volume_errors(problem, result).max() < 1e-9
    assert result.values["compliance"] < 0.5 * result.history[0]["compliance"]


def test_wired_penalty_comes_through_inputs() -> None:
    problem = mbb(nelx=18, nely=6)
    wired = problem.workflow(radius=1.6, penal=tg.source("penal")).compile("torch")
    fixed = problem.workflow(radius=1.6, penal=2.0).compile("torch")
    of_wire = minimize(problem, wired, design="rho", inputs={"penal": 2.0}, max_iter=10)
    of_constant = minimize(problem, fixed, max_iter=10)
    assert of_wire.values["compliance"] == pytest.approx(of_constant.values["compliance"], rel=1e-10)
    other = minimize(problem, wired, inputs={"penal": 3.0}, max_iter=10)
    assert other.values["compliance"] > 1.1 * of_wire.values["compliance"]


# A problem with a known answer: minimize sum a / x subject to mean x <= v has x = v sqrt(a) / mean(sqrt(a)),
# and the update with damping 1/2 gets there in one step.

A = np.array([1.0, 4.0, 9.0, 16.0])
BEST = np.sqrt(A) / np.sqrt(A).mean()


def rods(a: np.ndarray = A, counted: Any = 0.25, dtype: str = "float64", **bounds: Any) -> Program:
    """Outputs: `cost` = sum a / x, `size` = sum of `counted` x, `peak` = sum x^2, `all` = x."""
    bounds = {"lower": 0.0, "upper": 10.0} | bounds
    spec = tg.Spec("vector", (tg.Axis("rod", len(a)),))
    x = tg.source("x", spec, **bounds)
    outputs = {
        "cost": n.Dot()(n.Reciprocal()(x), tg.constant(a, spec)),
        "size": n.Dot()(x, tg.constant(np.broadcast_to(counted, a.shape), spec)),
        "peak": n.Dot()(x, x),
        "all": n.Scale()(1.0, x),
    }
    return tg.Graph([x], outputs, name="rods").compile("torch", dtype=dtype)


def solve(program: Program, start: Any = 1.0, bound: str = "size <= 1", **options: Any) -> tg.Result:
    return tg.optimize(program, np.broadcast_to(start, 4), minimize="cost", subject_to=[bound], **options)


@pytest.mark.parametrize("bracket", [None, 1e-6])
def test_known_optimum(bracket: float | None) -> None:
    result = solve(rods(), method=tg.OptimalityCriteria(move=2.0, bracket=bracket), tol=1e-5)
    assert result.converged
    assert result.iterations == 2
    np.testing.assert_allclose(result.design, BEST, rtol=1e-12 if bracket is None else 1e-6)


def test_single_precision() -> None:
    result = solve(rods(dtype="float32"), method=tg.OptimalityCriteria(move=0.3), tol=1e-4)
    assert result.converged
    assert result.values["size"] == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_allclose(result.design, BEST, rtol=1e-4)


@pytest.mark.parametrize("bracket", [None, 1e-3])
def test_target_beyond_the_move_limit(bracket: float | None) -> None:
    result = solve(rods(), start=3.0, method=tg.OptimalityCriteria(move=0.5, bracket=bracket), max_iter=60)
    np.testing.assert_allclose([row["size"] for row in result.history[:4]], [3.0, 2.5, 2.0, 1.5], rtol=1e-12)
    assert result.converged
    np.testing.assert_allclose(result.design, BEST, rtol=2e-3)


@pytest.mark.parametrize("bracket", [None, 1e-3])
def test_inactive_constraint(bracket: float | None) -> None:
    method = tg.OptimalityCriteria(move=0.5, bracket=bracket)
    result = solve(rods(upper=2.0), bound="size <= 5", method=method)
    assert (result.converged, result.iterations) == (True, 3)
    np.testing.assert_array_equal(result.design, np.full(4, 2.0))


def test_what_the_constraint_does_not_feel() -> None:
    # The second is felt by the cost alone, the third by neither, the fourth raises the cost and is felt.
    program = rods(a=np.array([1.0, 1.0, 0.0, -1.0]), counted=np.array([0.5, 0.0, 0.0, 0.5]))
    result = solve(program, max_iter=3)
    np.testing.assert_allclose(result.design, [1.4, 1.4, 1.0, 0.6], rtol=1e-12)
    assert volume_of(result) == pytest.approx([1.0, 1.0, 1.0], rel=1e-9)


def volume_of(result: tg.Result) -> list[float]:
    return [row["size"] for row in result.history]


def test_a_nonlinear_constraint_beyond_reach_and_within() -> None:
    result = solve(rods(), start=2.0, bound="peak <= 4", method=tg.OptimalityCriteria(move=0.4), tol=1e-8)
    np.testing.assert_allclose(result.history[1]["peak"], 4 * 1.6**2)
    # -a / x^2 + 2 lambda x = 0: x^3 ~ a.
    expected = np.cbrt(A) * np.sqrt(4.0 / np.sum(np.cbrt(A) ** 2))
    assert result.converged
    np.testing.assert_allclose(result.design, expected, rtol=1e-6)
    assert all(abs(row["peak"] / 4.0 - 1.0) < 1e-9 for row in result.history[4:])


# The loop.


def test_history_and_values_belong_to_the_analysed_design() -> None:
    program, seen = rods(), list[tg.Iteration]()
    result = solve(program, observers=[seen.append])
    assert [it.number for it in seen] == list(range(1, result.iterations + 1))
    assert [list(row) for row in result.history] == [["iteration", "cost", "size", "peak", "change", "seconds"]] * len(
        seen
    )
    for it, row in zip(seen, result.history, strict=True):
        assert row == {"iteration": it.number, **it.values, "change": it.change, "seconds": it.seconds}
        assert it.values["cost"] == pytest.approx(np.sum(A / it.design), rel=1e-12)
        assert it.values["peak"] == pytest.approx(np.sum(it.design**2), rel=1e-12)
        assert it.change == np.abs(it.next_design - it.design).max()
        np.testing.assert_allclose(it.gradients["cost"], -A / it.design**2, rtol=1e-12)
        np.testing.assert_allclose(it.gradients["size"], np.full(4, 0.25), rtol=1e-12)
    for it, following in itertools.pairwise(seen):
        np.testing.assert_array_equal(it.next_design, following.design)
    assert result.design is seen[-1].design
    assert result.values == seen[-1].values
    assert result.seconds >= seen[-1].seconds >= seen[0].seconds > 0.0


def test_ends() -> None:
    done = solve(rods())
    assert done.converged
    assert done.why == "converged: no design variable changes by more than 0.01"
    assert done.history[-1]["change"] <= 0.01 < done.history[-2]["change"]
    cut = solve(rods(), max_iter=2)
    assert (cut.converged, cut.iterations) == (False, 2)
    assert cut.why == "stopped after 2 iterations: the design still changes by 0.2 (tol 0.01)"
    stuck = solve(rods(lower=0.8), bound="size <= 0.5")
    assert (stuck.converged, stuck.iterations) == (False, 2)
    missed = "size <= 0.5 (size is 0.8)"
    assert stuck.why == f"stopped: the design cannot move any further, and still misses {missed}"


def test_observers_stop_by_true_only() -> None:
    numbers: list[int] = []

    def third(iteration: tg.Iteration) -> bool:
        return iteration.number == 3

    result = solve(rods(), tol=0.0, observers=[third, lambda it: numbers.append(it.number)])
    assert (result.iterations, result.converged, result.why) == (3, False, "stopped by an observer")
    assert numbers == [1, 2, 3]
    truthy: Any = lambda iteration: "yes"  # noqa: E731
    assert solve(rods(), observers=[truthy]).converged


def test_observers_cannot_change_the_run() -> None:
    def vandal(iteration: tg.Iteration) -> None:
        for array in (iteration.design, iteration.next_design, *iteration.gradients.values()):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 7.0

    start = np.ones(4)
    assert tg.optimize(rods(), start, minimize="cost", subject_to=["size <= 1"], observers=[vandal]).converged
    start[0] = 2.0  # the array of the caller stays writable


def test_a_run_goes_on_from_a_position_to_the_last_bit() -> None:
    problem = mbb(nelx=12, nely=4)
    program = problem.workflow(radius=1.6).compile("torch")
    positions: list[Position] = []
    whole = minimize(
        problem, program, observers=[lambda it: positions.append(Position(it.number, it.next_design.copy()))]
    )
    formulation, x = formulate(program, problem.uniform(), "compliance", ["volume <= 0.5"], None, 0.01, {})
    stage = Stage({}, tg.OptimalityCriteria(), 200, 0.01)
    rest = run(Course.of(formulation, [stage], x), positions[9])
    assert rest.iterations == whole.iterations > 15
    np.testing.assert_array_equal(rest.design, whole.design)
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in whole.history]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in rest.history] == timeless[10:]


@attrs.frozen
class Descent:
    """Steepest descent with momentum: a method with state, written with the protocol alone."""

    rate: float

    def findings(self, problem: Formulation) -> list[str]:
        return ["descent knows no constraints"] if problem.constraints else []

    def init(self, problem: Formulation, design: np.ndarray) -> np.ndarray:
        return np.zeros_like(design)

    def step(self, problem: Formulation, point: Point, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        velocity = 0.5 * state - self.rate * point.gradients[problem.minimize]
        return np.clip(point.design + velocity, problem.lower, problem.upper), velocity


def test_further_methods_need_only_the_protocol() -> None:
    method: Method = Descent(0.1)
    result = tg.optimize(rods(), np.full(4, 3.0), minimize="peak", method=method, tol=1e-9)
    assert result.converged
    np.testing.assert_allclose(result.design, 0.0, atol=1e-8)
    # What is only observed may be infinite.
    assert result.values["cost"] == np.inf
    with pytest.raises(tg.TographError, match=r"^descent knows no constraints$"):
        solve(rods(), method=method)


# What is said.


@pytest.mark.parametrize("text", ["volume <= 0.5", "volume<=.5", "  volume  <=  5e-1 "])
def test_constraint_texts(text: str) -> None:
    assert tg.Constraint.parse(text) == tg.Constraint("volume", "<=", 0.5)
    assert str(tg.Constraint.parse(text)) == "volume <= 0.5"


def test_violation() -> None:
    assert tg.Constraint("g", "<=", 2.0).violation(3.0) == 0.5
    assert tg.Constraint("g", "<=", 2.0).violation(1.0) == 0.0
    assert tg.Constraint("g", ">=", -2.0).violation(-3.0) == 0.5
    assert tg.Constraint("g", "==", 0.0).violation(-3.0) == 3.0


FORM = "Write it as 'name <= number', e.g. 'volume <= 0.5'"
OC = "optimality criteria take"
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("no sense", {"subject_to": ["size"]}, f"cannot read the constraint 'size'. {FORM}"),
    ("strict", {"subject_to": ["size < 1"]}, f"cannot read the constraint 'size < 1'. {FORM}"),
    ("two bounds", {"subject_to": ["0 <= size <= 1"]}, f"cannot read the constraint '0 <= size <= 1'. {FORM}"),
    (
        "not a number",
        {"subject_to": ["size <= one"]},
        f"cannot read the constraint 'size <= one': 'one' is not a number. {FORM}",
    ),
    ("infinite", {"subject_to": ["size <= inf"]}, "the bound of 'size' must be a finite number, got inf"),
    (
        "unknown output",
        {"subject_to": ["sise <= 1"]},
        "there is no output 'sise' to constrain (sise <= 1). Did you mean 'size'?",
    ),
    ("unknown objective", {"minimize": "costs"}, "there is no output 'costs' to minimize. Did you mean 'cost'?"),
    ("unknown design", {"design": "y"}, "there is no input 'y' to design. Known: x"),
    ("unknown input", {"inputs": {"xx": 1.0}}, "there is no input 'xx' to set. Did you mean 'x'?"),
    (
        "design among inputs",
        {"inputs": {"x": np.ones(4)}},
        "'x' is the design: give its first value as `start`, not among the `inputs`",
    ),
    (
        "no constraint",
        {"subject_to": []},
        f"{OC} exactly one constraint, got none. Keep one, and weigh the others into the objective (`tg.weighted_sum`)",
    ),
    (
        "two constraints",
        {"subject_to": ["size <= 1", "peak <= 2"]},
        f"{OC} exactly one constraint, got size <= 1, peak <= 2. Keep one, and weigh the others into the objective "
        "(`tg.weighted_sum`)",
    ),
    (
        "equality",
        {"subject_to": ["size == 1"]},
        f"{OC} '<=', got 'size == 1'. Write 'size <= 1': it is met with equality wherever more of it helps",
    ),
    (
        "lower bound",
        {"subject_to": [tg.Constraint("size", ">=", 1.0)]},
        f"{OC} '<=', got 'size >= 1'. Weigh 'size' into the objective, or give a method of your own "
        "(`tograph.optimizers.Method`)",
    ),
    (
        "small move",
        {"method": tg.OptimalityCriteria(move=0.005)},
        "the move limit 0.005 must be larger than tol 0.01, or every step would count as converged",
    ),
    ("max_iter", {"max_iter": 0}, "max_iter must be at least 1, got 0"),
    ("tol", {"tol": -1.0}, "tol must be at least 0, got -1"),
    ("start outside", {"start": np.full(4, 11.0)}, "the start of 'x' is outside its bounds (0 to 10) in 4 of 4 places"),
    ("start nan", {"start": np.array([1, np.nan, 1, 1])}, "input 'x' is not finite, first at (1,): nan"),
    ("start shape", {"start": np.ones(3)}, "input 'x' must be a vector 4, got shape (3,). Give values of shape (4,)"),
    (
        "several at once",
        {"minimize": "costs", "subject_to": ["size < 1", "sise <= 1"]},
        "The optimisation has 3 problems:\n"
        f"1. cannot read the constraint 'size < 1'. {FORM}\n"
        "2. there is no output 'costs' to minimize. Did you mean 'cost'?\n"
        "3. there is no output 'sise' to constrain (sise <= 1). Did you mean 'size'?",
    ),
    (
        "falling constraint",
        {"minimize": "size", "subject_to": ["cost <= 40"]},
        "iteration 1: optimality criteria need a constraint that grows with the design, such as a volume, but 'cost' "
        "falls in 4 of 4 places. Minimize 'cost', and bound the other",
    ),
    (
        "infinite value",
        {"start": np.array([0.0, 1.0, 1.0, 1.0])},
        "iteration 1: output 'cost' is inf. Look for a division by zero, or a power of zero, on the way from the "
        "design to this output",
    ),
]


@pytest.mark.parametrize(("options", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_messages(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"start": np.ones(4), "minimize": "cost", "subject_to": ["size <= 1"]} | options
    with pytest.raises(tg.TographError) as caught:
        tg.optimize(rods(), **given)
    assert str(caught.value) == message


def test_infinite_gradient_is_named() -> None:
    spec = tg.Spec("vector", (tg.Axis("rod", 4),))
    x = tg.source("x", spec)
    root = n.Sum()(n.Power(exponent=0.5)(x))
    program = tg.Graph([x], {"root": root, "size": n.Sum()(x)}).compile("torch")
    with pytest.raises(tg.TographError) as caught:
        tg.optimize(program, np.array([0.0, 0.0, 1.0, 1.0]), minimize="root", subject_to=["size <= 2"])
    assert str(caught.value) == (
        "iteration 1: the gradient of 'root' with respect to 'x' is not finite in 2 of 4 places. Look for a division "
        "by zero, or a power of zero, on the way from the design to this output"
    )


def test_bounds_that_cannot_be() -> None:
    with pytest.raises(tg.TographError, match=r"^the lower bound of 'x' is above the upper one in 4 of 4 places$"):
        solve(rods(lower=3.0, upper=None), start=2.5)
    with pytest.raises(tg.TographError, match=r"^optimality criteria need a design that is not negative .* Shift 'x'$"):
        solve(rods(lower=-1.0))


def test_a_multiplier_outside_the_classical_bracket_is_not_hidden() -> None:
    with pytest.raises(tg.TographError) as caught:
        solve(rods(a=1e12 * A), method=tg.OptimalityCriteria(bracket=1e-3))
    assert str(caught.value) == (
        "the multiplier of 'size <= 1' is above 1e+09, where the classical bracket ends. Scale the objective down, or "
        "leave out `bracket`"
    )
    assert solve(rods(a=1e12 * A)).converged


def test_a_graph_is_not_a_program() -> None:
    graph: Any = cantilever(nelx=4, nely=2).workflow()
    with pytest.raises(tg.TographError, match=r"^a graph is not a program yet. Compile it first: `graph.compile\(\)`$"):
        tg.optimize(graph, np.ones((2, 4)), minimize="compliance")


@pytest.mark.parametrize("setting", [{"move": 0.0}, {"damping": 1.5}, {"bracket": 1.0}, {"move": np.nan}])
def test_settings_out_of_range(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        tg.OptimalityCriteria(**setting)
