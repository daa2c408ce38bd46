"""The instrumented program: the same numbers as the normal one, and what it measures on the way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tograph as tg
from tograph import nodes as n
from tograph.declare import Source
from tograph.draw import draw
from tograph.inspect import GradientReport, GradientReports
from tograph.inspect.measure import Statistics
from tograph.inspect.overlays import OVERLAYS
from tograph.problems import mbb

BACKENDS = ("jax", "torch")


@pytest.fixture(scope="module")
def beam() -> tg.Graph:
    return mbb(nelx=12, nely=4).workflow()


@pytest.fixture(scope="module")
def density() -> np.ndarray:
    return 0.2 + 0.6 * np.random.default_rng(3).random((4, 12))


@pytest.fixture(scope="module", params=BACKENDS)
def pair(request: Any, beam: tg.Graph, density: np.ndarray) -> tuple[Any, GradientReport]:
    """What the normal program gives, and the report of the instrumented one, with fields."""
    program = beam.compile(request.param)
    normal = program.value_and_grad("compliance", "rho")
    return normal, program.inspect("compliance", "rho", keep="fields")(density)


def test_numbers_and_plan_are_those_of_the_normal_program(pair: Any, density: np.ndarray) -> None:
    normal, report = pair
    value, grad = normal(density)
    assert report.value == value
    np.testing.assert_array_equal(report.grad, grad)
    assert report.plan is normal.plan
    assert "measure" not in normal.source()


def test_statistics_are_those_of_the_values(pair: Any) -> None:
    _, report = pair
    assert {key for key, value in report.fields.items()} <= set(report.statistics)
    for key, value in report.fields.items():
        found, wanted = report.statistics[key], Statistics.of_value(value)
        for name in ("size", "norm", "min", "max", "mean", "zeros", "nan", "infinite"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-12, abs=1e-12), (key, name)
    factors = sum(spec.kind == "factor" for v in report.plan.order for spec in report.plan.specs[v])
    outputs = sum(len(v.node.outputs) for v in report.plan.order)
    assert len(report.statistics) == outputs - factors


def test_fields_are_computed_when_asked_for(beam: tg.Graph, density: np.ndarray) -> None:
    report = beam.compile("torch").inspect("compliance", "rho")(density)
    source = next(i for i, v in enumerate(report.plan.order) if isinstance(v.node, Source))
    np.testing.assert_array_equal(report.fields[source, 0], density)


def test_every_overlay_fits_the_diagram(pair: Any) -> None:
    _, report = pair
    wires = {(w.tail, w.output) for arrow in draw(report.plan, detail=True).diagram.arrows for w in arrow.wires}
    edges = {(i, k) for i, vertex in enumerate(report.plan.order) for k in range(len(vertex.node.outputs))}
    assert wires <= edges
    for name in OVERLAYS:
        overlay = report.overlay(name)
        assert overlay.name == name
        assert set(overlay.wires) <= edges
        assert all(0 <= step < len(report.plan.order) for step in overlay.steps)
        json.dumps(overlay.to_dict(), allow_nan=False)
    assert set(report.overlay("norms").wires) >= {w for w in wires if w in report.statistics}
    with pytest.raises(tg.TographError, match=r"no overlay 'norm'. Did you mean 'norms'"):
        report.overlay("norm")


def test_sensitivity_is_relative(pair: Any) -> None:
    """Compliance is c(rho): |g| |rho| / c at the input."""
    _, report = pair
    rho = next(i for i, v in enumerate(report.plan.order) if isinstance(v.node, Source))
    wanted = np.linalg.norm(report.grad) * np.linalg.norm(report.fields[rho, 0]) / report.value
    assert report.overlay("sensitivity").wires[rho, 0].number == pytest.approx(wanted, rel=1e-12)


def test_a_report_is_plain_data(pair: Any) -> None:
    _, report = pair
    data = json.loads(json.dumps(report.to_dict()))
    assert (data["format"], data["version"], data["backend"]) == ("tograph gradient report", 1, report.plan.backend)
    assert len(data["steps"]) == len(report.plan.order)
    assert len(data["edges"][0]) == len(data["columns"])
    assert "all finite" in repr(report)


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_modes(backend: str, beam: tg.Graph, density: np.ndarray) -> None:
    program = beam.compile(backend)
    moved = program.inspect("compliance", "rho", mode="tangent")(density, rho_dot=np.ones_like(density))
    value, slope = program.jvp("compliance", "rho")(density, rho_dot=np.ones_like(density))
    assert (float(moved.value), float(moved.grad)) == (value, slope)
    values = program.inspect(("compliance", "volume"), mode="value")(density)
    assert values.value == program.values("compliance", "volume")(density)
    assert values.grad is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_times_of_all_steps(backend: str, density: np.ndarray) -> None:
    x = tg.source("x", tg.Spec("field", (tg.Axis("ny", 4), tg.Axis("nx", 12))))
    graph = tg.Graph([x], {"c": n.Dot()(x**2.0, x)})
    report = graph.compile(backend).inspect("c", "x", times=True)(density)
    work = [i for i, v in enumerate(report.plan.order) if not report.reader.is_input(v)]
    assert sorted(report.seconds) == work
    assert all(t > 0 for t in report.seconds.values())
    assert set(report.overlay("time").steps) == set(work)


def test_single_precision_is_seen(beam: tg.Graph, density: np.ndarray) -> None:
    report = beam.compile("torch", dtype="float32").inspect("compliance", "rho")(density)
    wide = {report.plan.order[step].node.title for (step, _), s in report.statistics.items() if s.bits == 64}
    assert wide <= {"ApplyFactor", "Constant"}  # the host computes in float64


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_solve_that_fails_is_reported_not_raised(backend: str) -> None:
    problem = mbb(nelx=6, nely=2)
    rho = tg.source("rho", problem.grid.field())
    K = n.Stiffness(problem.grid, fixed=np.array([0]))(n.Simp()(rho))
    u = n.LinearSolve()(K, problem.load)
    graph = tg.Graph([rho], {"c": n.Compliance()(u, problem.load)})
    program = graph.compile(backend)
    with pytest.raises(tg.SolveError):
        program.value_and_grad("c", "rho")(problem.uniform(0.5))
    report = program.inspect("c", "rho")(problem.uniform(0.5))
    first = min(step for step, reading in report.overlay("nan").steps.items() if reading.text.endswith("*"))
    assert report.plan.order[first].origin.name == "u"
    assert "singular" in str(report.failures[first])
    assert np.isnan(report.value)
    assert "NOT FINITE" in repr(report)


def test_wrong_questions(beam: tg.Graph) -> None:
    program = beam.compile("torch")
    with pytest.raises(tg.TographError, match="Did you mean 'reverse'"):
        program.inspect("compliance", "rho", mode="revers")
    with pytest.raises(tg.TographError, match=r"keep is 'field'. Did you mean 'fields'"):
        program.inspect("compliance", "rho", keep="field")
    with pytest.raises(tg.TographError, match="a batch cannot be inspected"):
        program.batch("rho").inspect("compliance", "rho")
    with pytest.raises(tg.TographError, match="one output and one input, got 2 names"):
        program.inspect(("compliance", "volume"), "rho", mode="tangent")


def test_norms_neither_overflow_nor_underflow() -> None:
    found = Statistics.of_value(np.array([3e200, 4e200, np.inf, np.nan, 0.0]))
    assert found.norm == pytest.approx(5e200)
    assert (found.nan, found.infinite, found.zeros) == (1, 1, 1)
    assert (found.min, found.max, found.finite, found.sparsity) == (0.0, 4e200, False, 0.2)
    assert found.mean == pytest.approx(7e200 / 3)
    none = Statistics.of_value(np.array([np.nan]))
    assert np.isnan([none.min, none.max, none.mean]).all()
    assert Statistics.of_value(np.zeros((0,))).size == 0
    assert Statistics.of_value(np.array([3, 4])).norm == pytest.approx(5.0)
    assert Statistics.of_value((np.ones(2), np.ones((2, 2)))).size == 6


def test_reports_during_an_optimisation(beam: tg.Graph, tmp_path: Path) -> None:
    watch = GradientReports(every=2, file=tmp_path / "gradient.jsonl")
    program, start = beam.compile("torch"), np.full((4, 12), 0.5)
    bound = ["volume <= 0.5"]
    seen: list[tg.Iteration] = []
    options: Any = {"minimize": "compliance", "subject_to": bound, "max_iter": 4, "tol": 1e-9}
    tg.optimize(program, start, observers=[watch, lambda iteration: seen.append(iteration)], **options)
    assert sorted(watch.reports) == [1, 2, 4]
    for number, report in watch.reports.items():
        np.testing.assert_allclose(report.grad["rho"], seen[number - 1].gradients["compliance"], rtol=1e-12)
    rows = [json.loads(line) for line in (tmp_path / "gradient.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [1, 2, 4]
    assert rows[0]["severity"] == "fine"
    assert rows[-1]["derivatives"]["rho"] == pytest.approx(np.linalg.norm(watch.reports[4].grad["rho"]))
    with pytest.raises(tg.TographError, match="every is 0"):
        GradientReports(every=0)
