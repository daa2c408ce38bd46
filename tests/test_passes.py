"""The passes one by one, the verifier, the debug mode, and what all passes together save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

import tograph as tg
from planted import CALLS, CountingSolver
from savings import SAVINGS, Saving, beam, probe, standard
from tograph import Edge, Graph
from tograph import nodes as n
from tograph.arithmetic import Add, Dot, Scale
from tograph.backends import load_backend
from tograph.compiled import Function
from tograph.edge import Vertex
from tograph.elementwise import Cast, Shift
from tograph.passes import PASSES, Pass, PassError, run_compared, run_passes, verify
from tograph.passes.compare import evaluate, random_inputs
from tograph.passes.linearity import Sums
from tograph.passes.rewrite import Made, rewrite
from tograph.plan import Plan, Request
from tograph.planning import make_plan

BACKENDS = ("jax", "torch")
GRID = n.Grid(3, 2)
X = np.random.default_rng(5).uniform(0.3, 0.9, (3, 6))


def raw(graph: Graph, *of: str, wrt: tuple[str, ...] = ("rho",), mode: str = "reverse") -> Plan:
    return make_plan(graph, Request(of or tuple(graph.outputs), wrt, mode), "torch")


def run(graph: Graph, *of: str, **options: Any) -> Plan:
    """All passes, each verified and its numbers compared."""
    return run_compared(raw(graph, *of, **options), load_backend("torch", "float64"))


def titles(plan: Plan) -> Counter[str]:
    return Counter(vertex.node.title for vertex in plan.order)


def reasons(plan: Plan) -> str:
    return "\n".join(change.reason for change in plan.changes)


# What they save.


@pytest.mark.parametrize("row", SAVINGS, ids=[row.name for row in SAVINGS])
def test_solves_are_the_fewest_that_can_be(row: Saving) -> None:
    function = row.request(row.graph(beam(), CountingSolver()).compile("torch"))
    direction = (X,) if function.request.mode == "hvp" else ()
    for _ in range(2):
        CALLS.clear()
        function(X, *direction)
        assert (CALLS["factor"], CALLS["solve"], CALLS["right-hand sides"]) == row.least
    before = make_plan(function.graph, function.request, "torch").counts
    assert (before["factorizations"], before["solves"], before["right-hand sides"]) == row.naive
    told = function.explain()
    assert (told.factorizations, told.solves, told.right_hand_sides) == row.least
    assert (told.naive["factorizations"], told.naive["solves"], told.naive["right-hand sides"]) == row.naive


@pytest.mark.parametrize("row", SAVINGS, ids=[row.name for row in SAVINGS])
def test_savings_do_not_change_results(row: Saving) -> None:
    function = row.request(row.graph(beam(), n.DirectSolver()).compile("torch"))
    run_compared(make_plan(function.graph, function.request, "torch"), load_backend("torch", "float64"))


def heat(load: np.ndarray, probed: np.ndarray) -> Graph:
    """A scalar diffusion operator: one unknown per node, three of them held."""
    rho = tg.source("rho", GRID.field())
    pattern = n.ElementPattern(GRID, 1, np.array([0, 1, 2]))
    element = np.array([[4, -1, -2, -1], [-1, 4, -1, -2], [-2, -1, 4, -1], [-1, -2, -1, 4]]) / 6.0
    K = n.Assemble(pattern)(n.Simp()(rho), element[None])
    t = n.LinearSolve()(K, load)
    return Graph([rho], {"thermal compliance": Dot()(t, load), "temperature": Dot()(t, probed)})


def test_thermal_compliance_is_self_adjoint_and_a_temperature_is_not() -> None:
    rng = np.random.default_rng(1)
    graph = heat(rng.normal(size=12), rng.normal(size=12))
    assert run(graph, "thermal compliance").counts["right-hand sides"] == 1
    assert run(graph, "temperature").counts["right-hand sides"] == 2
    assert "adjoint solve of 't' removed: K symmetric" in reasons(run(graph, "thermal compliance"))
    assert "removed" not in reasons(run(graph, "temperature"))


def weighted(factor: Any) -> Graph:
    problem = beam()
    rho = tg.source("rho", problem.grid.field())
    K = n.Stiffness(problem.grid, fixed=problem.fixed)(rho)
    a, b = (n.LinearSolve()(K, f) for f in (problem.load, probe(problem, 3)))
    return Graph([rho], {"c": factor * Dot()(a, problem.load) + 2.0 * Dot()(b, probe(problem, 3))})


def test_weighted_sums_of_load_cases_are_self_adjoint() -> None:
    assert run(weighted(0.3)).counts["right-hand sides"] == 2


def test_a_wrong_pairing_of_loads_is_not_self_adjoint() -> None:
    problem = beam()
    rho = tg.source("rho", problem.grid.field())
    u = n.LinearSolve()(n.Stiffness(problem.grid, fixed=problem.fixed)(rho), problem.load)
    nearly = np.array(problem.load)
    nearly[np.flatnonzero(nearly)[0] + 1] = 1e-12
    assert run(Graph([rho], {"c": Dot()(u, problem.load)})).counts["right-hand sides"] == 1
    assert run(Graph([rho], {"c": Dot()(u, nearly)})).counts["right-hand sides"] == 2


def test_an_unsymmetric_matrix_keeps_its_adjoint() -> None:
    problem = beam()
    rho = tg.source("rho", problem.grid.field())
    pattern = attrs.evolve(n.Stiffness(problem.grid, fixed=problem.fixed).pattern(), symmetric=False)
    K = n.Assemble(pattern)(rho, n.ElementStiffness(problem.grid)())
    u = n.LinearSolve()(K, problem.load)
    plan = run(Graph([rho], {"c": Dot()(u, problem.load)}))
    assert plan.counts["right-hand sides"] == 2 and "removed" not in reasons(plan)


def test_what_runs_once_is_not_joined_with_what_runs_every_time() -> None:
    problem = beam()
    f = tg.source("f", problem.grid.vector())
    K = n.Stiffness(problem.grid, fixed=problem.fixed)(tg.constant(X, problem.grid.field()))
    solve = n.LinearSolve(CountingSolver())
    fixed = solve(K, problem.load)
    graph = Graph([f], {"c": Dot()(solve(K, f), f) + Dot()(solve(K, f * 2.0), fixed)})
    function = graph.compile("torch").value_and_grad("c", "f")
    function(problem.load)
    CALLS.clear()
    function(problem.load)
    assert (CALLS["factor"], CALLS["solve"]) == (0, 1), "the factor and the solve of constants were done before"


def test_solves_that_need_one_another_are_not_joined() -> None:
    problem = beam()
    rho = tg.source("rho", problem.grid.field())
    K = n.Stiffness(problem.grid, fixed=problem.fixed)(rho)
    u = problem.load
    for _ in range(3):
        u = n.LinearSolve()(K, u)
    plan = run(Graph([rho], {"c": Dot()(u, problem.load)}))
    # K^-3 f on the way there; on the way back K^-1 f and K^-2 f are known, and K^-3 f too.
    assert (plan.counts["solves"], plan.counts["right-hand sides"]) == (3, 3)


# Algebra.


def source() -> Edge:
    return tg.source("rho", GRID.field())


ALGEBRA: dict[str, tuple[Callable[[Edge], Edge], dict[str, int]]] = {
    "double negation": (lambda x: -1.0 * (-x), {"Scale": 0}),
    "factors": (lambda x: 2.0 * (3.0 * (0.5 * x)), {"Scale": 1}),
    "nothing added": (lambda x: Shift(0.0)(x), {"Shift": 0}),
    "first power": (lambda x: x**1.0, {"Power": 0}),
    "one term": (lambda x: Add()(x), {"Add": 0}),
    "a zero": (lambda x: x + np.zeros(GRID.shape), {"Add": 0}),
    "numbers": (lambda x: Scale()(tg.constant(2.0) * tg.constant(3.0) + tg.constant(1.0), x), {"Scale": 1, "Add": 0}),
    "casts": (lambda x: Cast("float64")(Cast("float64")(x)), {"Cast": 1}),
    "a cast that rounds": (lambda x: Cast("float64")(Cast("float32")(x)), {"Cast": 2}),
    "there and back": (lambda x: Cast("float32")(Cast("float64")(Cast("float32")(x))), {"Cast": 1}),
    "two islands": (lambda x: Cast("float32")(-2.0 * (0.25 * Cast("float64")(Cast("float32")(x)))), {"Cast": 1}),
    "a factor that rounds": (lambda x: Cast("float32")(0.3 * Cast("float64")(Cast("float32")(x))), {"Cast": 3}),
    "something added": (lambda x: Cast("float32")(0.5 + Cast("float64")(Cast("float32")(x))), {"Cast": 3}),
    "zero times": (lambda x: 0.0 * x, {"Scale": 1}),
}


@pytest.mark.parametrize("case", ALGEBRA)
def test_algebra(case: str) -> None:
    build, expected = ALGEBRA[case]
    x = source()
    plan = run(Graph([x], {"y": build(x)}), wrt=(), mode="value")
    assert {title: titles(plan)[title] for title in expected} == expected


def test_a_float32_island_is_the_same_before_and_after_bit_by_bit() -> None:
    x = source()
    low = Cast("float32")(x)
    y = Cast("float64")(n.Simp()(Cast("float32")(-4.0 * Cast("float64")(low * 1.7))))
    before = raw(Graph([x], {"c": Dot()(y, y)}), "c")
    backend = load_backend("torch", "float64")
    given = random_inputs(before)
    found, kept = (evaluate(plan, given, backend) for plan in (before, run_passes(before)))
    assert "two islands of float32 are one" in reasons(run_passes(before))
    assert all(np.array_equal(found[label], kept[label]) for label in found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_in_float32_stays_in_float32(backend: str) -> None:
    """An operand in float64, such as a parameter, does not lift an island of float32; both backends agree."""
    x = source()
    low = Cast("float32")(x)
    kinds = {"scaled": 0.3 * low, "shifted": low + 0.1, "power": low**2.5, "simp": n.Simp()(low), "sum": low + low}
    found = Graph([x], kinds).compile(backend)(X[:2, :3])
    rounded = X[:2, :3].astype(np.float32)
    assert {name: value.dtype for name, value in found.items()} == dict.fromkeys(kinds, np.dtype("float32"))
    np.testing.assert_allclose(found["power"], rounded**2.5, rtol=3e-7)


def test_sums_that_differentiation_makes_are_flat() -> None:
    x = source()
    y = [x * float(k) for k in range(2, 6)]
    plan = run(Graph([x], {"c": Dot()(y[0], y[1]) + Dot()(y[2], y[3])}))
    inner = [e.vertex for v in plan.order if isinstance(v.node, Add) for e in v.edges]
    assert not [v for v in inner if isinstance(v.node, Add) and v.origin.role != "forward"]


def test_a_sum_of_one_linear_map_is_the_map_of_the_sum() -> None:
    grid = n.Grid(4, 3)
    rho = tg.source("rho", grid.field())
    rho_f = n.DensityFilter(grid, 1.5)
    plan = run(Graph([rho], {"y": rho_f(rho**2.0) + 3.0 * rho_f(rho**3.0)}), wrt=(), mode="value")
    assert sum(v.node.title == "Convolve" and v in plan.varying for v in plan.order) == 1
    assert "summed" in reasons(plan)


def test_the_terms_of_a_long_sum_are_not_compared_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = n.Grid(2, 1)
    rho = tg.source("rho", grid.field())
    y = rho
    for _ in range(20):
        y = Shift(0.1)(y) * rho
    plan = raw(Graph([rho], {"c": Dot()(y, y)}))
    terms = [len(v.edges) for v in plan.order if isinstance(v.node, Add)]
    looked: list[Any] = []
    keys = Sums._keys

    def counted(self: Sums, term: Any) -> Any:
        looked.append(term)
        return keys(self, term)

    monkeypatch.setattr(Sums, "_keys", counted)
    run_passes(plan)
    assert max(terms) == 21 and len(looked) < 2 * sum(terms)  # merged terms are the terms of a further sum


def test_a_term_that_is_wanted_for_itself_stays() -> None:
    problem = beam()
    f = tg.source("rho", problem.grid.vector())
    K = n.Stiffness(problem.grid, fixed=problem.fixed)(tg.constant(X, problem.grid.field()))
    a, b = n.LinearSolve()(K, f), n.LinearSolve()(K, f**2.0)
    assert "linearity" in [s.name for s in run(Graph([f], {"y": a + b}), wrt=(), mode="value").history]
    kept = run(Graph([f], {"y": a + b, "a": a}), wrt=(), mode="value")
    assert "linearity" not in [s.name for s in kept.history]


# History.


def test_every_stage_has_the_plans_before_and_after() -> None:
    plan = run_passes(raw(standard(beam(), n.DirectSolver()), "compliance", "u0"))
    names = [stage.name for stage in plan.history]
    assert names == [one.name for one in PASSES if one.name in names]
    assert {"symmetry", "sharing", "batching"} <= set(names)
    assert all(a.after.results == b.before.results for a, b in zip(plan.history, plan.history[1:], strict=False))
    assert plan.history[-1].after.results == plan.results
    saved = sum((Counter(stage.counters) for stage in plan.history), Counter())  # of what grew
    assert saved["solves"] == 0
    batching = next(stage for stage in plan.history if stage.name == "batching")
    assert batching.counters["solves"] == -1 and batching.counters["right-hand sides"] == 0
    assert all(one.name and one.reason for one in PASSES)


def test_a_pass_that_does_nothing_leaves_the_plan() -> None:
    plan = run_passes(raw(standard(beam(), n.DirectSolver()), "compliance"))
    assert all(one(plan) is plan for one in PASSES)


# Planted faults.


def _drops_a_term(vertex: Vertex, inputs: Any) -> Edge | None:
    if isinstance(vertex.node, Add) and len(inputs) > 1:
        return Edge(Vertex(vertex.node, inputs[:1], vertex.origin))
    return None


def _wrong_sign(vertex: Vertex, inputs: Any) -> Edge | None:
    if isinstance(vertex.node, Scale):
        right = Edge(Vertex(vertex.node, inputs, vertex.origin))
        return Edge(Vertex(Scale(), (("s", tg.constant(-1.0)), ("x", right)), vertex.origin))
    return None


def _forgets_to_transpose(vertex: Vertex, inputs: Any) -> Edge | None:
    if isinstance(vertex.node, n.ApplyFactor) and vertex.node.transposed:
        return Edge(Vertex(attrs.evolve(vertex.node, transposed=False), inputs, vertex.origin))
    return None


def _changes_a_spec(vertex: Vertex, inputs: Any) -> Edge | None:
    if isinstance(vertex.node, Scale):
        return Edge(Vertex(Dot(), (("a", inputs[1][1]), ("b", inputs[1][1])), vertex.origin))
    return None


def _new_input(vertex: Vertex, inputs: Any) -> Edge | None:
    if isinstance(vertex.node, Scale):
        return Edge(Vertex(vertex.node, (("s", tg.source("s")), inputs[1]), vertex.origin))
    return None


def _wrong_port(vertex: Vertex, inputs: Any) -> Edge | None:
    if isinstance(vertex.node, Scale):
        return Edge(Vertex(vertex.node, (("q", inputs[0][1]), inputs[1]), vertex.origin))
    return None


def broken(visit: Callable[[Vertex, Any], Edge | None]) -> Pass:
    def change(plan: Plan) -> Made:
        return rewrite(plan, visit), []

    return Pass("broken", "it is not", change)


def expression() -> Graph:
    x = source()
    return Graph([x], {"c": Dot()(2.0 * x + x**2.0, x), "y": 3.0 * x})


FAULTS = [
    (_drops_a_term, "the pass 'broken' changed the result 'c' by "),
    (_wrong_sign, "the pass 'broken' changed the result "),
    (_changes_a_spec, "Shapes|shapes|was field 2x3, and is scalar"),
    (_new_input, "the input 's' is new: nobody will give it a value"),
    (_wrong_port, r"Scale of .* has inputs \['q', 'x'\], but its ports are \['s', 'x'\]"),
]


@pytest.mark.parametrize("at", [0, 3, len(PASSES)])
@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_broken_pass_is_named(fault: Any, message: str, at: int) -> None:
    passes = (*PASSES[:at], broken(fault), *PASSES[at:])
    with pytest.raises(PassError, match=message) as caught:
        run_compared(raw(expression(), "c"), load_backend("torch", "float64"), passes)
    assert "the pass 'broken'" in str(caught.value)


def test_a_lost_result_is_named() -> None:
    lost = Pass("broken", "", lambda plan: ({("c",): plan.results["c",]}, []))
    with pytest.raises(PassError, match="the result 'c' by 'rho' is gone"):
        run_passes(raw(expression(), "c"), (lost,), verify)


def test_a_forgotten_transpose_is_found_by_its_numbers() -> None:
    problem = beam()
    rho = tg.source("rho", problem.grid.field())
    rng = np.random.default_rng(0)
    pattern = attrs.evolve(n.Stiffness(problem.grid, fixed=problem.fixed).pattern(), symmetric=False)
    element = n.ElementStiffness(problem.grid).forward(np, np.asarray(0.3)) + 0.1 * rng.normal(size=(1, 8, 8))
    graph = Graph(
        [rho], {"c": Dot()(n.LinearSolve()(n.Assemble(pattern)(rho, element), problem.load), probe(problem, 2))}
    )
    backend = load_backend("torch", "float64")
    assert run_compared(raw(graph), backend).counts["solves"] == 2
    with pytest.raises(PassError, match="the pass 'broken' changed the result 'c' by 'rho'"):
        run_compared(raw(graph), backend, (broken(_forgets_to_transpose), *PASSES))


def test_debug_mode_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = standard(beam(), n.DirectSolver())
    program = graph.compile("torch", debug=True)
    value, grad = program.value_and_grad("compliance", "rho")(X)
    plain, slope = graph.compile("torch").value_and_grad("compliance", "rho")(X)
    assert float(value) == float(plain) and np.array_equal(grad, slope)
    monkeypatch.setattr(Function, "passes", (*PASSES, broken(_wrong_sign)))
    with pytest.raises(PassError, match="the pass 'broken' changed the result"):
        graph.compile("torch", debug=True).value_and_grad("compliance", "rho")
