"""What a program costs and keeps: solves counted by calling, work done once, traces, array types, precision."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import attrs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import tograph as tg
from planted import CALLS, CountingSolver
from tograph import Edge, Graph, Node, Port
from tograph import nodes as n
from tograph.lower import Lowered
from tograph.problems import Problem, cantilever, mbb, two_load_cantilever
from tograph.program import Function

BACKENDS = ("jax", "torch")


@tg.node
class Counted(Node):
    """y = 2 x, and how often `forward` was entered: once per call when eager, once per trace when jitted."""

    inputs = (Port("x"),)
    linear = ("x",)
    label: str = "forward"

    def forward(self, xp: Any, *values: Any) -> Any:
        CALLS[self.label] += 1
        return 2.0 * values[0]


@pytest.fixture(autouse=True)
def _from_zero() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def planned(function: Function, what: str) -> int:
    return sum(vertex.node.counts == what for vertex in function.plan.order)


def expect_solves(function: Function, x: Any, factorizations: int, solves: int, right_hand_sides: int) -> None:
    """Twice, so that nothing is saved or added by the second call."""
    for _ in range(2):
        CALLS.clear()
        function(x)
        assert (CALLS["factor"], CALLS["solve"]) == (factorizations, solves)
        assert CALLS["right-hand sides"] == right_hand_sides
    assert (planned(function, "factorization"), planned(function, "solve")) == (factorizations, solves)
    shown = function.explain()
    assert (shown.factorizations, shown.solves, shown.right_hand_sides) == (factorizations, solves, right_hand_sides)


def analysis(problem: Problem, *prescribed: Any) -> tuple[Edge, Edge, Edge]:
    """rho, K and u of a problem with the counting solver."""
    rho = tg.source("rho", problem.grid.field())
    K = n.Stiffness(problem.grid, fixed=problem.fixed)(n.Simp()(rho))
    return rho, K, n.LinearSolve(CountingSolver())(K, problem.load, *prescribed)


BEAM = mbb(nelx=6, nely=3)
X = np.random.default_rng(3).uniform(0.3, 0.9, BEAM.grid.shape)


@pytest.mark.parametrize("backend", BACKENDS)
def test_compliance_and_volume_cost_one_solve(backend: str) -> None:
    program = BEAM.workflow(radius=1.5, beta=2.0, solver=CountingSolver()).compile(backend)
    expect_solves(program.value_and_grad(("compliance", "volume"), "rho"), X, 1, 1, 1)
    expect_solves(program.value_and_grad("compliance", "rho"), X, 1, 1, 1)
    expect_solves(program.value_and_grad("volume", "rho"), X, 0, 0, 0)
    expect_solves(program.values("compliance", "volume"), X, 1, 1, 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_five_load_cases_cost_one_solve(backend: str) -> None:
    loads = np.zeros((BEAM.grid.n_dofs(), 5))
    loads[BEAM.grid.dofs(BEAM.grid.nodes("top"), "y")[:5], np.arange(5)] = -1.0
    problem = attrs.evolve(BEAM, load=loads)
    program = problem.workflow(radius=1.5, weights=(1.0, 0.5, 2.0, 0.1, 3.0), solver=CountingSolver()).compile(backend)
    expect_solves(program.value_and_grad(("compliance", "volume"), "rho"), X, 1, 1, 5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_scaled_and_summed_compliances_cost_one_solve(backend: str) -> None:
    rho, _, u = analysis(BEAM)
    c = n.Compliance()(u, BEAM.load)
    program = Graph([rho], {"c": 3.0 * c, "c2": c + n.VolumeFraction()(rho), "power": c**2.0}).compile(backend)
    expect_solves(program.value_and_grad(("c", "c2", "power"), "rho"), X, 1, 1, 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_output_that_is_not_self_adjoint_costs_a_second_right_hand_side(backend: str) -> None:
    rho, _, u = analysis(BEAM)
    end = np.zeros(BEAM.grid.n_dofs())
    end[BEAM.grid.dofs(BEAM.grid.nodes("bottom-right"), "x")] = 1.0
    program = Graph([rho], {"slip": n.Dot()(u, end), "c": n.Compliance()(u, BEAM.load)}).compile(backend)
    expect_solves(program.value_and_grad("slip", "rho"), X, 1, 1, 2)
    expect_solves(program.value_and_grad(("slip", "c"), "rho"), X, 1, 1, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_adjoint_that_needs_the_state_costs_a_second_solve(backend: str) -> None:
    rho, _, u = analysis(BEAM)
    program = Graph([rho], {"size": n.Dot()(u, u)}).compile(backend)
    expect_solves(program.value_and_grad("size", "rho"), X, 1, 2, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_prescribed_displacements_make_the_adjoint_a_right_hand_side_of_its_own(backend: str) -> None:
    held = np.zeros(BEAM.grid.n_dofs())
    held[BEAM.fixed] = 0.1
    rho, _, u = analysis(BEAM, held)
    program = Graph([rho], {"c": n.Compliance()(u, BEAM.load)}).compile(backend)
    expect_solves(program.values("c"), X, 1, 1, 1)
    expect_solves(program.value_and_grad("c", "rho"), X, 1, 1, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_in_the_load_shares_the_adjoint(backend: str) -> None:
    rho = tg.source("rho", BEAM.grid.field(), default=X)
    f = tg.source("f", BEAM.grid.vector())
    u = n.LinearSolve(CountingSolver())(n.Stiffness(BEAM.grid, fixed=BEAM.fixed)(n.Simp()(rho)), f)
    function = Graph([f, rho], {"c": n.Compliance()(u, f)}).compile(backend).value_and_grad("c", ("rho", "f"))
    expect_solves(function, np.array(BEAM.load), 1, 1, 1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tangent_costs_a_second_solve(backend: str) -> None:
    function = BEAM.workflow(filter="none", solver=CountingSolver()).compile(backend).jvp("compliance", "rho")
    function(X, X)
    assert (CALLS["factor"], CALLS["solve"]) == (1, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_does_not_depend_on_the_inputs_runs_once(backend: str) -> None:
    x = tg.source("x", n.Grid(3, 2).field())
    fixed = Counted("fixed")(np.ones((2, 3)))
    function = Graph([x], {"y": n.Dot()(Counted("moving")(x), fixed)}).compile(backend).value_and_grad("y", "x")
    values = [float(function(np.full((2, 3), v))[0]) for v in (1.0, 2.0, 3.0)]
    assert values == [24.0, 48.0, 72.0]
    assert CALLS["fixed"] == 1
    assert [step.segment.once for step in function.lowered.steps].count(True) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_filter_weights_are_hoisted(backend: str) -> None:
    program = BEAM.workflow(radius=1.5).compile(backend)
    once = [s for s in program.value_and_grad("compliance", "rho").schedule.segments if s.once]
    titles = {vertex.node.title for segment in once for vertex in segment.vertices}
    assert {"ConeWeights", "Reciprocal", "ElementStiffness"} <= titles and "Simp" not in titles


def test_no_retrace_on_later_calls_nor_for_another_value_of_a_wire() -> None:
    grid = n.Grid(3, 2)
    rho, p = tg.source("rho", grid.field()), tg.source("p", default=3.0)
    E = n.Simp(p=p)(Counted()(rho))
    function = Graph([rho, p], {"sum": n.Sum()(E)}).compile("jax").value_and_grad("sum", ("rho", "p"))
    function(np.full(grid.shape, 0.4))
    traces = CALLS["forward"]
    assert traces >= 1
    results = [function(np.full(grid.shape, v), q)[0] for v, q in ((0.4, 3.0), (0.3, 1.0), (0.2, 2.5))]
    assert CALLS["forward"] == traces
    assert np.allclose(results, [6 * (1e-9 + (2 * v) ** q * (1 - 1e-9)) for v, q in ((0.4, 3), (0.3, 1), (0.2, 2.5))])


def test_the_same_request_is_the_same_function() -> None:
    program = BEAM.workflow(radius=1.5).compile("jax")
    assert program.value_and_grad("compliance", "rho") is program.value_and_grad("compliance", "rho")
    assert program.value_and_grad(["compliance"], "rho") is not program.value_and_grad("compliance", "rho")


# Arrays and precision.


def arrays(result: Any) -> Iterator[Any]:
    if isinstance(result, dict | tuple):
        for item in result.values() if isinstance(result, dict) else result:
            yield from arrays(item)
    else:
        yield result


@pytest.mark.parametrize("backend", BACKENDS)
def test_numpy_in_numpy_out(backend: str) -> None:
    program = BEAM.workflow(radius=1.5).compile(backend)
    for function in (program.values("compliance"), program.value_and_grad(("compliance", "volume"), ("rho",))):
        found = list(arrays(function(X)))
        assert found and all(isinstance(x, np.ndarray | np.generic) and x.dtype == np.float64 for x in found)


def test_jax_in_jax_out() -> None:
    with jax.enable_x64(True):
        x = jnp.asarray(X)
    found = list(arrays(BEAM.workflow(radius=1.5).compile("jax").value_and_grad(("compliance", "volume"), "rho")(x)))
    assert found and all(isinstance(y, jax.Array) and y.dtype == jnp.float64 for y in found)


def test_torch_in_torch_out() -> None:
    x = torch.as_tensor(X)
    found = list(arrays(BEAM.workflow(radius=1.5).compile("torch").value_and_grad(("compliance", "volume"), "rho")(x)))
    assert found and all(isinstance(y, torch.Tensor) and y.dtype == torch.float64 for y in found)
    assert not any(y.requires_grad for y in found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_that_is_zero_for_lack_of_a_path_is_of_the_same_kind(backend: str) -> None:
    p = tg.source("p", default=3.0)
    function = (
        BEAM.workflow(radius=1.5, penal=p).compile(backend).value_and_grad(("compliance", "volume"), ("rho", "p"))
    )
    _, grad = function(X)
    assert isinstance(grad["volume"]["p"], np.ndarray | np.generic) and float(grad["volume"]["p"]) == 0.0
    assert function.plan.no_path["volume", "p"].word == "no path"
    native = torch.as_tensor(X) if backend == "torch" else jnp.asarray(X)
    found = function(native)[1]["volume"]["p"]
    assert isinstance(found, torch.Tensor if backend == "torch" else jax.Array)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_are_not_written_to(backend: str) -> None:
    x = X.copy()
    x.setflags(write=False)
    program = BEAM.workflow(radius=1.5).compile(backend)
    _, grad = program.value_and_grad("compliance", "rho")(x)
    again = np.array(grad)
    program.value_and_grad("compliance", "rho")(np.full_like(x, 0.5))
    assert np.array_equal(x, X) and np.array_equal(grad, again)


def test_the_precision_of_the_process_is_left_alone() -> None:
    assert jax.config.read("jax_enable_x64") is False
    program = BEAM.workflow(radius=1.5).compile("jax")
    assert program.value_and_grad("compliance", "rho")(X)[0].dtype == np.float64
    assert jax.config.read("jax_enable_x64") is False
    assert jnp.asarray(np.ones(3)).dtype == jnp.float32
    default = torch.get_default_dtype()
    BEAM.workflow(radius=1.5).compile("torch")(X)
    assert torch.get_default_dtype() == default == torch.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_programs(backend: str) -> None:
    graph = BEAM.workflow(radius=1.5, E_min=1e-3)
    double, exact = graph.compile(backend).value_and_grad("compliance", "rho")(X)
    single, grad = graph.compile(backend, dtype="float32").value_and_grad("compliance", "rho")(X)
    assert np.asarray(single).dtype == np.float32 and grad.dtype == np.float32
    assert single == pytest.approx(double, rel=1e-3)
    assert np.allclose(grad, exact, rtol=1e-2, atol=1e-3 * np.abs(exact).max())


# The text that runs.


def replaced_by_text(function: Function) -> Lowered:
    """The lowered program with every step made anew from `program.source()`."""
    steps = []
    for step in function.lowered.steps:
        run: Any = inspect.unwrap(step.run)
        scope = dict(run.__globals__)
        exec(function.source(), scope)
        steps.append(attrs.evolve(step, run=scope[run.__name__]))
    return attrs.evolve(function.lowered, steps=tuple(steps))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_source_is_what_runs(backend: str) -> None:
    program = BEAM.workflow(radius=1.5).compile(backend)
    function = program.value_and_grad(("compliance", "volume"), "rho")
    value, grad = function(X)
    for step in function.lowered.steps:
        assert inspect.getsource(inspect.unwrap(step.run)).strip() in function.source()
    function.__dict__["lowered"] = replaced_by_text(function)
    again, regrad = function(X)
    for name in value:
        assert float(again[name]) == pytest.approx(float(value[name]), rel=1e-13)
        assert np.allclose(regrad[name], grad[name], rtol=1e-12, atol=1e-13 * np.abs(grad[name]).max())


def test_the_source_can_be_read() -> None:
    text = mbb(nelx=4, nely=2).workflow(radius=1.5).compile("jax").source()
    assert text == mbb(nelx=4, nely=2).workflow(radius=1.5).compile("jax").source()
    for name in ("rho", "rho_f", "E = ", "u = ", "compliance", "volume", "# Simp", "# ApplyFactor"):
        assert name in text
    assert "workflow.py:" in text


# Calls.


def test_inputs_by_name_and_by_default() -> None:
    problem = cantilever(nelx=4, nely=2)
    p = tg.source("p", default=3.0)
    program = problem.workflow(radius=1.5, penal=p).compile("torch")
    x = problem.uniform()
    values = [program(x), program(rho=x), program(x, 3.0), program(p=3.0, rho=x)]
    assert len({float(v["compliance"]) for v in values}) == 1
    assert program(x, p=1.0)["compliance"] != values[0]["compliance"]


def test_many_outputs_and_many_inputs() -> None:
    problem = two_load_cantilever(nelx=4, nely=4)
    p, eta = tg.source("p", default=3.0), tg.source("eta", default=0.5)
    program = problem.workflow(radius=1.5, penal=p, beta=2.0, eta=eta).compile("jax")
    x = problem.uniform()
    value, grad = program.value_and_grad(("compliance", "volume"), ("rho", "eta"))(x)
    assert value.keys() == grad.keys() == {"compliance", "volume"}
    assert all(part.keys() == {"rho", "eta"} for part in grad.values())
    alone, single = program.value_and_grad("compliance", "eta")(x)
    assert float(alone) == pytest.approx(float(value["compliance"]), rel=1e-13)
    assert float(single) == pytest.approx(float(grad["compliance"]["eta"]), rel=1e-12)


@pytest.mark.parametrize("bad", ["x\n    raise SystemExit", "x\r    raise SystemExit", "x\u2028    raise SystemExit"])
def test_text_of_a_graph_never_becomes_code(bad: str) -> None:
    # Names and text fields may come from a file; both stand in the source that is executed.
    nu = tg.source("nu", default=0.3)
    edge = n.ElementStiffness(n.Grid(1, 1), bad, nu=nu)(name=f"K²\n{bad}")
    graph = tg.Graph.from_dict(tg.Graph([nu], {"K": edge}).to_dict())
    program = graph.compile("torch")
    assert program()["K"].shape == (1, 8, 8)
    assert not any(line.strip().startswith("raise") for line in program.values("K").source().splitlines())


def test_explain_leaves_out_what_has_no_gradient() -> None:
    beam = mbb(4, 2)
    rho = tg.source("rho", beam.grid.field())
    u = n.LinearSolve()(n.Stiffness(beam.grid, fixed=beam.fixed)(rho), beam.load)
    both = Graph([rho], {"u": u, "c": n.Compliance()(u, beam.load)}).compile("torch").explain()
    assert both.computes == "value and gradient of c with respect to rho"
    assert Graph([rho], {"u": u}).compile("torch").explain().computes == "value of u"
