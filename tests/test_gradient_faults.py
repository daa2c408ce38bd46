"""The gallery of faults: for each, the right node is named first, in the words of docs/fault-gallery.md."""

import json
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

import tograph as tg
from gradient_faults import FAULTS, Counted, Fault, ramp
from tograph import nodes as n
from tograph.errors import SolveError
from tograph.inspect import GradientReport
from tograph.inspect.answer import Answer
from tograph.problems import mbb

BACKENDS = ("jax", "torch")


def inspected(fault: Fault, backend: str) -> GradientReport:
    """The report; a derivative that exists stands beside one that does not."""
    wrt = fault.graph.input_names if fault.graph.input_names != ("rho",) else fault.wrt
    return fault.graph.compile(backend).inspect("c", wrt)(**fault.inputs)


ANSWERS = {
    "root": (
        "infinity begins at the reverse step of 'root' (vjp Power.x, declared at PLACE): its inputs are finite "
        "(root_bar is 0.44 .. 1.9, rho is 0 .. 1), but 1 of the 24 entries of its result is infinite"
    ),
    "overflow": (
        "NaN begins at 'rho_p' (Sigmoid, declared at PLACE): its inputs are finite (rho_f is 0.16 .. 0.84), but 16 of "
        "the 24 entries of its result are NaN; 5 steps after it are not finite either"
    ),
    "detached": (
        "d c / d rho is zero: detached: the path is cut by 'held' (frozen within an iteration), declared at PLACE"
    ),
    "saturated": (
        "d c / d rho is zero: numerically zero: a derivative of norm 29.4 arrives at the reverse step of 'rho_p' "
        "(vjp Heaviside.rho, declared at PLACE), and none of it passes, where rho is 0.8 .. 0.9"
    ),
    "missing": (
        "d c / d theta is zero: no path leads from 'theta' (declared at PLACE) to 'c'; it reaches only 'other'"
    ),
    "exploding": (
        "the derivative explodes at the reverse step of 'compliance' (vjp Reciprocal.x, declared at PLACE): "
        "norm 1.58e-05 arrives, 1.58e+13 leaves"
    ),
    "cancelling": (
        "the sum of the cotangents of 'rho_f' (DensityFilter, declared at PLACE) has norm 1.67e-09, its contributions "
        "5.32 from 'less' and 5.32 from 'more': about 10 digits are lost by cancellation"
    ),
    "adjoint": (
        "adjoint solve of y (adjoint solve Relaxed), declared at PLACE, did not converge: its residual is 3.4e+07 "
        "times the tolerance. Look at its inputs, its bracket or start, or allow more iterations"
    ),
    "single": "numbers of 32 bits in a float64 program begin at 'cheap' (Cast, declared at PLACE)",
}
"""Fault -> the first sentence of the summary."""


def place(fault: Fault) -> str:
    vertex = next(v for v, name in fault.graph.names.items() if name == fault.node)
    return str(vertex.origin.where)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ANSWERS)
def test_the_right_node_is_named_first(name: str, backend: str) -> None:
    fault = FAULTS[name]()
    summary = inspected(fault, backend).summary()
    first = summary.answers[0]
    assert first.sentence == ANSWERS[name].replace("PLACE", place(fault))
    assert str(summary) == f"{first.severity}: {first.sentence}"
    assert summary.severity == first.severity in ("error", "warning")


@pytest.mark.parametrize("backend", BACKENDS)
def test_origins_as_data(backend: str) -> None:
    report = inspected(FAULTS["overflow"](), backend)
    found = report.why_nan()
    [origin] = found.origins
    assert (origin.node, origin.lane, origin.nan, origin.infinite) == ("rho_p", "forward", 16, 0)
    assert origin.inputs == (("rho_f", "0.16 .. 0.84"),)
    assert found.affected == 5
    far = report.overlay("nan").steps
    assert (far[origin.step].number, far[origin.step].text) == (0, "NaN*")
    assert {reading.text for step, reading in far.items() if step > origin.step} >= {"NaN (1)"}


def test_all_origins_are_logged_and_what_harms_no_result_is_a_warning() -> None:
    rho = tg.source("rho", n.Grid(6, 4).field())
    first = rho**0.5
    second = (rho - 0.5) ** 0.5
    graph = tg.Graph([rho], {"c": n.Dot()(first, first), "d": n.Dot()(second, second)})
    program = graph.compile("jax")
    found = program.inspect(("c", "d"), "rho")(ramp(0.0, 1.0)).why_nan()
    assert [(o.node, o.lane) for o in found.origins] == [("second", "forward"), ("first", "reverse")]
    assert "it also begins at the reverse step of 'first'" in found.sentence
    fine = program.inspect("c", "rho")(ramp(0.1, 1.0)).why_nan()
    assert (fine.severity, fine.sentence) == ("fine", "every value and every derivative is finite")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wrong_rule(backend: str) -> None:
    fault = FAULTS["wrong_rule"]()
    report = inspected(fault, backend)
    assert not report.certified
    worst = report.worst_rules()
    assert report.certified
    assert worst.sentence.startswith(f"'E' (Stiffening, declared at {place(fault)}) is wrong through 'x': ")
    assert (worst.rules[0].node, worst.rules[0].verdict, worst.severity) == ("E", "fail", "error")
    assert report.worst_rules() is worst
    shown = report.overlay("digits").steps
    [step] = [step for step, reading in shown.items() if reading.text == "WRONG: 0 of 16"]
    assert report.plan.order[step].node.title == "vjp Stiffening.x"
    assert shown[step].number == 16.0


def test_rules_that_are_right() -> None:
    report = inspected(FAULTS["missing"](), "torch")
    worst = report.worst_rules()
    assert worst.severity == "fine"
    assert all(rule.digits > 7 for rule in worst.rules)
    assert report.worst_rules(worst.check).rules == worst.rules


def test_integers_are_found_in_the_graph() -> None:
    fault = FAULTS["integers"]()
    with pytest.raises(tg.GraphError, match="integers on the differentiated path"):
        fault.graph.compile("jax").inspect("c", "rho")
    found = fault.graph.why_zero("c", "rho")
    assert found.sentence == (
        f"d c / d rho is zero: integer: the path is cut by 'solid' (its result is integers), declared at {place(fault)}"
    )
    assert (found.word, found.node, found.severity) == ("integer", "solid", "error")


@pytest.mark.parametrize(("name", "word"), [("detached", "detached"), ("missing", "no path"), ("root", "not zero")])
def test_structure_needs_no_run(name: str, word: str) -> None:
    fault = FAULTS[name]()
    found = fault.graph.why_zero("c", fault.wrt)
    assert found.word == word
    assert found.node == (fault.node if word != "not zero" else "")
    assert str(found) == found.sentence
    with pytest.raises(tg.TographError, match=r"there is no input 'ro'. Did you mean 'rho'"):
        fault.graph.why_zero("c", "ro")
    with pytest.raises(tg.TographError, match="there is no output 'e'"):
        fault.graph.why_zero("e", "rho")


def test_an_integer_input() -> None:
    i, x = tg.source("i", tg.Spec("integer", (tg.Axis("n", 2),), "integer")), tg.source("x")
    graph = tg.Graph([i, x], {"c": x * x, "d": n.Dot()(Counted()(i), np.ones(2))})
    assert "integer: the input 'i' (declared at" in graph.why_zero("d", "i").sentence
    assert graph.why_zero("c", "x").sentence == "d c / d x is not zero by structure: x -> multiply"


def test_a_structural_zero_of_a_rule() -> None:
    @tg.node
    class Stepped(tg.Node):
        inputs = (tg.Port("x"),)

        def forward(self, xp: object, *values: object) -> object:
            return values[0]

    tg.zero(Stepped, "x", reason="piecewise constant")
    x = tg.source("x")
    y = Stepped()(x)
    found = tg.Graph([x], {"c": y * 2.0}).why_zero("c", "x")
    assert (found.word, found.node) == ("structurally zero", "y")


def test_numbers_that_are_zero_upstream() -> None:
    """d (a . b) / d a = b, which is 0; and contributions that cancel exactly."""
    x, y = tg.source("x"), tg.source("y")
    graph = tg.Graph([x, y], {"c": x * y, "d": x * y - y * x})
    report = graph.compile("torch").inspect(("c", "d"), ("x", "y"))(2.0, 0.0)
    assert report.why_zero("x", "c").word == "numerically zero"
    assert report.why_zero("x", "c").sentence.endswith("and none of it passes, where y is 0")
    assert report.why_zero("y", "c").word == "not zero"
    assert report.why_zero("y", "d").word == "numerically zero"


def test_paths_have_numbers() -> None:
    fault = FAULTS["root"]()
    report = fault.graph.compile("torch").inspect("c", "rho")(ramp(0.25, 1.0))
    found = report.path("rho", "c")
    assert [s.node for s in found.stations] == ["rho", "root", "rho_f", "dot"]
    assert found.stations[0].value == pytest.approx(np.linalg.norm(ramp(0.25, 1.0)))
    assert found.stations[0].derivative == pytest.approx(np.linalg.norm(report.grad))
    assert found.sentence.startswith("rho (3.2")
    assert report.path("c", "rho").sentence == "no path leads from 'c' to 'rho'"
    held = inspected(FAULTS["detached"](), "torch").path("rho", "c")
    assert (held.cut_at, held.severity) == ("held", "note")
    with pytest.raises(tg.TographError, match="there is no node 'ro'"):
        report.path("ro", "c")


def test_contributions_as_data() -> None:
    report = inspected(FAULTS["cancelling"](), "jax")
    worst = report.cancellation().sums[0]
    assert worst.name == "rho_f"
    assert {term.name for term in worst.terms} == {"more", "less"}
    assert worst.ratio == pytest.approx(1.57e-10, rel=0.01)
    assert sorted(np.sign(term.cosine) for term in worst.terms) == [-1, 1]
    [reading] = report.overlay("cancellation").steps.values()
    assert reading.number == worst.ratio


def test_gains_are_sorted() -> None:
    report = inspected(FAULTS["exploding"](), "torch")
    ratios = [gain.ratio for gain in report.gains().steps]
    assert ratios == sorted(ratios, reverse=True)
    assert report.gains().steps[0].ratio == pytest.approx(1e18)
    small = fault_of_tiny_slope().gains()
    assert small.sentence.startswith("the derivative vanishes at the reverse step of 'y'")


def fault_of_tiny_slope() -> GradientReport:
    x = tg.source("x")
    y = x**8.0
    return tg.Graph([x], {"c": y * 1.0 + y}).compile("torch").inspect("c", "x")(1e-3)


def test_solves_as_data() -> None:
    report = inspected(FAULTS["adjoint"](), "torch")
    wrong = [solve for solve in report.solves().solves if solve.failure]
    assert [(solve.node, solve.lane) for solve in wrong] == [("y", "reverse")]
    assert wrong[0].residual > 1.0
    good = mbb(nelx=6, nely=2)
    found = good.workflow().compile("torch").inspect("compliance", "rho")(good.uniform()).solves()
    assert [solve.what for solve in found.solves] == ["factorization", "solve"]
    assert found.sentence == "2 factorisations and solves, all of them good"


def test_a_summary_with_nothing_in_it() -> None:
    problem = mbb(nelx=6, nely=2)
    summary = problem.workflow().compile("torch").inspect("compliance", "rho")(problem.uniform()).summary()
    assert str(summary) == "fine: nothing conspicuous in value and gradient of compliance with respect to rho"
    assert all(isinstance(answer, Answer) for answer in summary.answers)


def run_script(text: str, folder: Path) -> str:
    script = folder / "reproducer.py"
    script.write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_reproducer_of_a_user_node(tmp_path: Path) -> None:
    fault = FAULTS["wrong_rule"]()
    report = inspected(fault, "torch")
    text = report.reproducer("E")
    assert "import gradient_faults  # defines Stiffening" in text
    out = run_script(text, tmp_path)
    assert "FAILED" in out
    assert "taylor" in out


def test_reproducer_with_an_operator(capsys: pytest.CaptureFixture[str]) -> None:
    problem = mbb(nelx=6, nely=2)
    report = problem.workflow().compile("torch").inspect("compliance", "rho")(problem.uniform())
    exec(compile(report.reproducer("u"), "reproducer.py", "exec"), {})
    assert "passed" in capsys.readouterr().out
    with pytest.raises(tg.TographError, match=r"'K' gives operator .*Name a node that uses it"):
        report.reproducer("K")
    with pytest.raises(tg.TographError, match="'rho' is an input"):
        report.reproducer("rho")
    with pytest.raises(tg.TographError, match="there is no node 'EE'"):
        report.reproducer("EE")


def test_a_host_function_that_raises_is_reported() -> None:
    @tg.host(vjp=lambda ct, x: ct)
    def touchy(x: np.ndarray) -> np.ndarray:
        raise ValueError("out of paper")

    x = tg.source("x", n.Grid(3, 2).field())
    y = touchy(x)
    report = tg.Graph([x], {"c": n.Dot()(y, y)}).compile("jax").inspect("c", "x")(np.ones((2, 3)))
    found = report.why_nan()
    assert found.origins[0].node == "y"
    assert "out of paper" in found.sentence
    assert isinstance(report.solves(), Answer)
    assert isinstance(report.failures[found.origins[0].step], tg.HostError | SolveError)


def test_answers_are_plain_data() -> None:
    report = inspected(FAULTS["root"](), "torch")
    for answer in (*report.summary().answers, report.path("rho", "c")):
        json.dumps(attrs.asdict(answer))
