"""`tg.check` finds planted faults, names the node, excuses what is meant to be inexact, and changes nothing."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import jax
import numpy as np
import pytest
import torch

import tograph as tg
from tograph import Node, Port, Report, TographError
from tograph import nodes as n
from tograph.check import BACKENDS
from tograph.check.measure import differentiate, one_sided, rounding_noise, taylor
from tograph.method import Derivative
from tograph.problems import cantilever, mbb

X = np.linspace(0.2, 0.9, 12).reshape(3, 4)


class Square(Node):
    """y = x^2, under rules with one fault each."""

    inputs = (Port("x", "field"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0] ** 2


def faulty(name: str, rule: Any, kind: str = "vjp") -> Node:
    """A node type with this rule, made anew so that no two tests share a table entry."""
    made: Any = tg.node(type(name, (Square,), {"__module__": __name__}))
    register = tg.vjp if kind == "vjp" else tg.jvp
    register(made, "x")(rule)
    node: Node = made()
    return node


def good(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return 2.0 * x * ct


def wrong_sign(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return -2.0 * x * ct


def wrong_scale(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return 2.000001 * x * ct


def not_linear(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return 2.0 * x * ct * xp.abs(ct)


def wrong_in_one_entry(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    slope = 2.0 * x
    return ct * xp.where(x > 0.89, 1.01 * slope, slope)


def reduced(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return xp.sum(2.0 * x * ct)


def not_finite(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return ct * x / (x - x)


def raising(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    raise KeyError("pattern")


def single(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return xp.astype(xp.astype(2.0 * x * ct, xp.float32), x.dtype)


def failing_tests(report: Report) -> set[str]:
    return {row.test for row in report.failed}


def test_a_correct_rule_passes() -> None:
    report = tg.check_node(faulty("Good", good), X)
    assert report.passed and report.counts() == {"pass": len(report.rows)}
    assert {row.test for row in report.rows} == {
        *("value", "gradient", "linear jvp", "linear vjp", "dot product", "change", "taylor"),
        *("difference", "curvature", "degenerate", "pure", "float32", "jit vmap", "vmap"),
    }
    for order, test in enumerate(("change", "taylor"), 1):
        slopes = [row.value for row in report.rows if row.test == test]
        assert slopes == pytest.approx([order] * len(BACKENDS), abs=0.05)


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (wrong_sign, {"taylor", "difference"}),
        (wrong_scale, {"difference"}),
        (not_linear, {"linear vjp", "taylor", "difference"}),
        (wrong_in_one_entry, {"taylor", "difference"}),
        (reduced, {"run"}),
        (not_finite, {"gradient"}),
        (raising, {"run"}),
        (single, {"dot product", "linear jvp", "linear vjp"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_planted_faults_of_a_vjp(rule: Any, found: set[str], backend: str) -> None:
    report = tg.check_node(faulty(f"Faulty_{rule.__name__}_{backend}", rule), X, backends=(backend,))
    assert not report.passed
    assert found <= failing_tests(report), f"\n{report}"
    assert all(row.backend == backend for row in report.failed)


def test_a_jvp_that_does_not_fit_its_vjp() -> None:
    made: Any = tg.node(type("Misfit", (Square,), {"__module__": __name__}))
    tg.vjp(made, "x")(good)
    tg.jvp(made, "x")(lambda node, xp, t, x: 3.0 * x * t)
    assert failing_tests(tg.check_node(made(), X)) == {"dot product"}


def test_a_rule_of_one_backend_that_differs() -> None:
    made: Any = tg.node(type("OneSided", (Square,), {"__module__": __name__}))
    tg.vjp(made, "x")(good)
    tg.vjp(made, "x", backend="torch")(wrong_sign)
    report = tg.check_node(made(), X)
    assert {row.backend for row in report.failed} == {"torch", "jax/torch"}


def test_a_forward_of_one_backend_that_differs() -> None:
    made: Any = tg.node(type("OneSidedForward", (Square,), {"__module__": __name__}))
    tg.implements(made, "torch")(lambda node, xp, x: x**2 + 1e-6)
    report = tg.check_node(made(), X)
    assert [(row.test, row.backend) for row in report.failed] == [("value", "torch/numpy")]


def test_the_first_wrong_node_of_a_graph_is_named() -> None:
    beam = mbb(nelx=6, nely=3)
    rho = tg.source("rho", beam.grid.field(), default=beam.uniform(0.5))
    broken = faulty("Broken", wrong_sign)(n.DensityFilter(beam.grid, radius=1.6)(rho), name="broken")
    E = n.Simp()(broken)
    u = n.LinearSolve()(n.Stiffness(beam.grid, fixed=beam.fixed)(E), beam.load)
    report = tg.check(tg.Graph([rho], {"c": n.Compliance()(u, beam.load)}), backends=("jax",))
    assert report.failed[0].node == "broken"
    assert {row.node for row in report.failed} == {"broken", "'c'"}


@tg.node
class Mild(Node):
    """y = x + x^2 / 1000."""

    inputs = (Port("x", "field"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0] + 0.001 * values[0] ** 2


def mild(name: str, rule: Any) -> Node:
    made: Any = tg.node(type(name, (Mild,), {"__module__": __name__, "forward": Mild.forward}))
    tg.vjp(made, "x")(rule)
    node: Node = made()
    return node


def chain(length: int, faults: dict[int, Node]) -> tg.Graph:
    edge = x = tg.source("x", n.Grid(4, 3).field(), default=X)
    for i in range(length):
        edge = faults.get(i, Mild())(edge, name=f"v{i}")
    return tg.Graph([x], {"y": edge})


def test_outputs_alone_show_that_something_is_wrong_but_not_where() -> None:
    bad = mild("MildOff", lambda node, xp, ct, x: ct)
    report = tg.check(chain(4, {2: bad}), backends=("torch",), vertices=False)
    assert {row.node for row in report.rows} == {"'y'"} and not report.passed
    assert tg.check(chain(4, {}), backends=("torch",), vertices=False).passed


def test_the_runs_of_a_quick_check_do_not_grow_with_the_graph() -> None:
    bad = mild("MildBad", lambda node, xp, ct, x: ct)
    short = tg.check(chain(64, {40: bad}), backends=("torch",), quick=True)
    long = tg.check(chain(256, {190: bad}), backends=("torch",), quick=True)
    assert (short.first_wrong, long.first_wrong) == ("v40", "v190")
    assert abs(long.runs - short.runs) <= 20 and long.runs < 256


def test_the_runs_grow_with_the_logarithm_if_a_rule_raises() -> None:
    bad = mild("MildRaising", raising)
    runs = {}
    for length in (32, 64, 128):
        report = tg.check(chain(length, {length // 3: bad}), backends=("torch",), quick=True)
        assert report.first_wrong == f"v{length // 3}"
        runs[length] = report.runs
    assert runs[128] - runs[64] < 80 and runs[64] - runs[32] < 80


def test_the_first_of_two_faults_is_named_even_if_they_cancel() -> None:
    signs = mild("MildSign", lambda node, xp, ct, x: -ct * (1.0 + 0.002 * x))
    report = tg.check(chain(16, {5: signs, 11: signs}), backends=("torch",), quick=True)
    assert report.first_wrong == "v5" and not any(row.node == "'y'" for row in report.failed)


def test_a_fault_in_one_branch_is_named() -> None:
    bad = mild("MildBranch", lambda node, xp, ct, x: ct)
    x = tg.source("x", n.Grid(4, 3).field(), default=X)
    left, right = Mild()(x, name="left"), bad(x, name="right")
    graph = tg.Graph([x], {"y": Mild()(left + right, name="below")})
    assert tg.check(graph, backends=("torch",), quick=True).first_wrong == "right"


def test_the_page_shows_what_failed_first() -> None:
    page = tg.check_node(faulty("Paged", wrong_sign), X, backends=("torch",)).to_html("paged <b>")
    assert "paged &lt;b&gt;: FAILED ✗" in page and "first wrong node is paged" in page
    assert page.index("✗ fail") < page.index("✓ pass</td>") and "http" not in page


def test_the_table_ends_with_the_worst() -> None:
    report = tg.check_node(faulty("Ordered", wrong_sign), X, backends=("jax",))
    lines = str(report).splitlines()
    assert lines[0].split()[:4] == ["verdict", "node", "port", "test"]
    verdicts = [line.split()[0] for line in lines[1:-1]]
    assert verdicts == sorted(verdicts, key=["pass", "fail"].index)
    assert lines[-1].startswith("FAILED: ") and "difference" in lines[-2]


def test_as_plain_data() -> None:
    data = json.loads(json.dumps(tg.check_node(n.Sum(), X, backends=("jax",)).to_dict(), allow_nan=False))
    assert data["passed"] is True and data["counts"]["pass"] == len(data["rows"])
    assert {"node", "port", "test", "backend", "verdict", "value", "limit", "note"} == data["rows"][0].keys()


def test_the_sensitivity_filter_is_inexact_not_wrong() -> None:
    beam = cantilever(nelx=6, nely=3)
    report = tg.check(beam.workflow(filter="sensitivity", radius=1.5))
    assert report.passed
    inexact = {(row.node, row.test) for row in report.rows if row.verdict == "inexact"}
    assert inexact >= {(name, test) for name in ("rho_s", "'compliance'") for test in ("taylor", "difference")}
    assert {name for name, _ in inexact} == {"rho_s", "'compliance'"}


def test_difference_quotients_are_inexact_within_reason() -> None:
    x = tg.source("x", n.Grid(4, 3).field(), default=X)
    fine = n.Heaviside(beta=8.0)(x, derivative=Derivative("finite-difference", step=1e-4))
    report = tg.check(tg.Graph([x], {"y": fine}))
    assert report.passed and ("difference", "inexact") in {(row.test, row.verdict) for row in report.rows}
    coarse = n.Heaviside(beta=8.0)(x, derivative=Derivative("finite-difference", step=0.1, scheme="forward"))
    assert "difference" in failing_tests(tg.check(tg.Graph([x], {"y": coarse})))


def test_detached_edges_are_held() -> None:
    x = tg.source("x", default=1.5)
    y = tg.detach(x * x, "by design") * x
    report = tg.check(tg.Graph([x], {"y": y}))
    assert report.passed and "inexact" not in report.counts()
    assert any(row.test == "difference" and row.node == "'y'" for row in report.rows)


def test_no_path_says_why() -> None:
    x, z = tg.source("x", default=1.5), tg.source("z", default=2.0)
    report = tg.check(tg.Graph([x, z], {"y": x * tg.detach(z, "frozen"), "z2": z * z}), backends=("jax",))
    missing = {(row.node, row.port): row.note for row in report.rows if row.verdict == "no path"}
    assert report.passed and missing.keys() == {("'y'", "z"), ("'z2'", "x")}
    assert "frozen" in missing["'y'", "z"] and missing["'z2'", "x"].startswith("no path")


def test_an_output_that_is_not_an_array() -> None:
    E = tg.source("E", n.Grid(2, 2).field())
    report = tg.check(tg.Graph([E], {"K": n.Stiffness(n.Grid(2, 2))(E)}), backends=("jax",))
    assert [row.verdict for row in report.rows] == ["not checked"]


def test_sampled_points_respect_ranges() -> None:
    grid = n.Grid(3, 2)
    rho, p = tg.source("rho", grid.field(), lower=0.4, upper=0.5), tg.source("p")
    seen: list[np.ndarray] = []

    class Spy(Square):
        def forward(self, xp: Any, *values: Any) -> Any:
            if isinstance(values[0], np.ndarray):
                seen.append(values[0])
            return values[0] ** 2

    spy: Any = tg.node(Spy)
    E = n.Simp(p=p)(spy()(rho))
    assert tg.check(tg.Graph([rho, p], {"E": E}), backends=("torch",)).passed
    assert seen and all(np.all((x >= 0.36) & (x <= 0.56)) for x in seen if x.shape == grid.shape)


def test_unknown_names() -> None:
    graph = mbb(nelx=4, nely=2).workflow()
    with pytest.raises(TographError, match=r"no input 'rh' to check. Did you mean 'rho'"):
        tg.check(graph, wrt=["rh"])
    with pytest.raises(TographError, match=r"no output 'volum' to check. Did you mean 'volume'"):
        tg.check(graph, of=["volum"])
    with pytest.raises(TographError, match="no input 'radius': its inputs are rho"):
        tg.check(graph, at={"radius": 1.0})


def test_nothing_is_changed() -> None:
    def state() -> tuple[Any, ...]:
        numpy = np.random.get_state()
        return (
            *(random.getstate(), str(numpy), torch.get_rng_state().tolist(), jax.config.read("jax_enable_x64")),
            *(torch.get_default_dtype(), torch.is_grad_enabled()),
        )

    beam = mbb(nelx=4, nely=2)
    graph = beam.workflow(radius=1.5)
    at = {"rho": beam.uniform(0.5)}
    before, data = state(), graph.to_dict()
    first, second = tg.check(graph, at=at), tg.check(graph, at=at)
    assert state() == before and graph.to_dict() == data
    assert np.array_equal(at["rho"], beam.uniform(0.5))
    assert str(first) == str(second) and first.passed


# The measurements on functions whose derivative is known.


def outcome(f: Any, slope: float) -> tuple[str, float]:
    return taylor(f, [(slope, abs(slope))], rounding_noise(f, 1.0))[:2]


@pytest.mark.parametrize(
    ("f", "slope", "verdict", "measured"),
    [
        (np.exp, 1.0, "pass", 2.0),
        (np.sin, 1.0, "pass", 3.0),
        (np.exp, 1.001, "fail", 1.0),
        (lambda h: 3.0 * h + 1.0, 3.0, "pass", math.inf),
        (lambda h: 3.0 * h + 1.0, 3.1, "fail", 1.0),
    ],
)
def test_taylor_slopes(f: Any, slope: float, verdict: str, measured: float) -> None:
    found = outcome(f, slope)
    assert found[0] == verdict
    assert found[1] == pytest.approx(measured, abs=0.02)


@pytest.mark.parametrize(("second", "verdict", "measured"), [(0.5, "pass", 3.0), (0.5001, "fail", 2.0)])
def test_taylor_slopes_of_second_order(second: float, verdict: str, measured: float) -> None:
    found = taylor(np.exp, [(1.0, 1.0), (second, second)], rounding_noise(np.exp, 1.0))
    assert found[0] == verdict and found[1] == pytest.approx(measured, abs=0.1)


def test_derivatives_from_one_side() -> None:
    assert one_sided(abs, 1e-3, 1.0)[0] == pytest.approx(1.0) and one_sided(abs, 1e-3, -1.0)[0] == pytest.approx(-1.0)
    value, error = one_sided(math.exp, 1.0, -1.0)
    assert abs(value - 1.0) <= error < 1e-6
    assert one_sided(lambda h: math.sqrt(h) if h >= 0.0 else math.nan, 1.0, 1.0)[1] > 1e-3


def test_taylor_without_a_slope() -> None:
    assert outcome(lambda h: 1.0 + 1e-16 * h, 1e-16)[0] == "inconclusive"
    assert outcome(lambda h: math.nan if h > 0.01 else h, 1.0)[0] == "fail"


def test_noise_is_seen() -> None:
    rng = np.random.default_rng(0)

    def noisy(h: float) -> float:
        return math.exp(h) + 1e-6 * rng.normal()

    noise = rounding_noise(noisy, 1.0)
    assert 1e-7 < noise < 1e-5
    assert taylor(noisy, [(1.0, 1.0)], noise)[0] in ("pass", "inconclusive")


def test_extrapolated_differences() -> None:
    value, error = differentiate(lambda h: math.sin(1.0 + h), 1e-16)
    assert abs(value - math.cos(1.0)) < 1e-12 and error < 1e-10
    value, error = differentiate(lambda h: abs(h - 0.01), 1e-16)
    assert value == pytest.approx(-1.0, abs=1e-9)
