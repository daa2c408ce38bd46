"""One case on all backends: rows. The rules that are measured are those of the programs that run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial

import numpy as np

from ..declare import Source
from ..node import Constant
from .cases import Case, is_portable
from .measure import SLOPE, deviation, differentiate, rounding_noise, taylor
from .report import Row
from .subject import Draw, Subject

PARITY, LINEARITY, DOT, DIFFERENCE = 1e-10, 1e-10, 1e-10, 1e-7
"""Largest relative errors allowed."""

QUOTIENT = 1e-4
"""Largest relative error of a node that is differentiated by difference quotients, by the choice of its user."""

NEAR_NOISE = 20.0
"""An error within this many times the measured rounding noise says nothing about the rule."""


def examine(case: Case, backends: Sequence[str], seed: int) -> Iterator[Row]:
    """All rows of one case."""
    for x, why in case.no_path.items():
        yield Row(case.node, x, "gradient", "", "no path", 0.0, 0.0, why)
    drawn, reference = Draw(case, seed), _portable_value(case)
    gradients: dict[str, dict[str, np.ndarray]] = {}
    for backend in backends:
        failed = partial(Row, case.node, test="run", backend=backend, verdict="fail", value=math.inf, limit=0.0)
        try:
            subject = Subject(case, backend)
            yield _value(subject, reference)
            if not case.ports:
                continue
            gradients[backend] = subject.gradient(drawn.w)
        except Exception as error:  # whatever a user's rule raises is a finding, not the end of the check
            yield failed(port="", note=_sentence(error))
            continue
        first = next(iter(gradients))
        for x in case.ports:
            if backend != first:
                yield _parity(subject, drawn, first, gradients, x)
            yield from _port(subject, x, drawn, gradients[backend][x])


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def _portable_value(case: Case) -> np.ndarray | Exception | None:
    """y on the NumPy backend; None if a node has no portable implementation."""
    ends = (Source, Constant)
    if not all(is_portable(v.node) for v in case.primitives if not isinstance(v.node, ends)):
        return None
    try:
        return Subject(case, "numpy").y({})
    except Exception as error:  # as above
        return error


def _value(subject: Subject, reference: np.ndarray | Exception | None) -> Row:
    row = partial(Row, subject.case.node, "", "value", f"{subject.backend}/numpy")
    y = subject.y({})
    if reference is None:
        return row("not checked", 0.0, 0.0, "a node has no portable implementation")
    if isinstance(reference, Exception):
        return row("fail", math.inf, PARITY, f"on NumPy: {_sentence(reference)}")
    return row(*_judge(deviation(y, reference), PARITY, lambda: _scatter(subject, lambda c: subject.y(c))))


def _parity(subject: Subject, drawn: Draw, first: str, gradients: dict[str, dict[str, np.ndarray]], x: str) -> Row:
    """The gradient of this backend against that of the first."""
    error = deviation(gradients[subject.backend][x], gradients[first][x])
    judged = _judge(error, PARITY, partial(_scatter, subject, lambda c: subject.gradient(drawn.w, c)[x]))
    verdict = _excused(subject, "gradient", judged)
    return Row(subject.case.node, subject.case.ports[x], "gradient", f"{first}/{subject.backend}", *verdict)


Verdict = tuple[str, float, float, str]


def _port(subject: Subject, x: str, drawn: Draw, g: np.ndarray) -> Iterator[Row]:
    """All tests of the derivative through one input."""
    row = partial(Row, subject.case.node, subject.case.ports[x])
    wanted = np.shape(subject.point[x])
    if g.shape != wanted or not np.all(np.isfinite(g)):
        what = f"its shape is {g.shape}, the input is {wanted}" if g.shape != wanted else "it is not finite"
        yield row("gradient", subject.backend, "fail", math.inf, 0.0, f"the gradient cannot be used: {what}")
        return
    walk = Walk(subject, x, drawn, g)
    tests: dict[str, Callable[[], Verdict]] = {"linear jvp": partial(_linear, subject, x, drawn)}
    if subject.case.probe == "probe":
        tests["linear vjp"] = partial(_linear_transposed, subject, x, drawn, g)
    tests |= {
        "dot product": partial(_dot_product, subject, x, drawn, g),
        "taylor": walk.taylor,
        "difference": walk.central,
    }
    for test, measure in tests.items():
        try:
            outcome = _excused(subject, test, measure())
        except Exception as error:  # as in `examine`
            outcome = ("fail", math.inf, 0.0, _sentence(error))
        yield row(test, subject.backend, *outcome)


def _linear(subject: Subject, x: str, drawn: Draw) -> Verdict:
    """J (2 a - 3 b) = 2 J a - 3 J b."""
    a, b = drawn.tangents(x)
    both, one, two = (subject.tangent(x, v) for v in (2.0 * a - 3.0 * b, a, b))
    noise = partial(_scatter, subject, lambda c: subject.tangent(x, a, c))
    return _judge(deviation(both, 2.0 * one - 3.0 * two), LINEARITY, noise)


def _linear_transposed(subject: Subject, x: str, drawn: Draw, g: np.ndarray) -> Verdict:
    """J^T (2 w - 3 z) = 2 J^T w - 3 J^T z."""
    both = subject.gradient(2.0 * drawn.w - 3.0 * drawn.weights[1])[x]
    two = subject.gradient(drawn.weights[1])[x]
    noise = partial(_scatter, subject, lambda c: subject.gradient(drawn.w, c)[x])
    return _judge(deviation(both, 2.0 * g - 3.0 * two), LINEARITY, noise)


def _dot_product(subject: Subject, x: str, drawn: Draw, g: np.ndarray) -> Verdict:
    """<w, J v> = <J^T w, v>, relative to |w| |J v|, the largest that the product can be."""
    v, w = drawn.tangents(x)[0], drawn.w
    moved = subject.tangent(x, v)
    left, right = float(np.sum(w * moved)), float(np.sum(g * v))
    scale = max(float(np.linalg.norm(w) * np.linalg.norm(moved)), abs(right))
    error = abs(left - right) / scale if scale else 0.0
    noise = partial(_scatter, subject, lambda c: subject.tangent(x, v, c))
    return _judge(error if math.isfinite(error) else math.inf, DOT, noise)


class Walk:
    """The gradient against the function itself, along one direction: f(h) = <w, y(x + h v)>."""

    def __init__(self, subject: Subject, x: str, drawn: Draw, g: np.ndarray) -> None:
        self.subject, self.x, self.w, self.v = subject, x, drawn.w, drawn.walk(x, g)
        self.terms = g * self.v
        self.slope = float(np.sum(self.terms))
        self.known: dict[float, float] = {}

    def f(self, h: float) -> float:
        """<w, y(x + h v)>, evaluated once for each h."""
        if h not in self.known:
            moved = self.subject.point[self.x] + h * self.v
            self.known[h] = float(np.sum(self.w * self.subject.y({self.x: moved})))
        return self.known[h]

    @cached_property
    def noise(self) -> float:
        """The rounding noise of f."""
        return rounding_noise(self.f, float(np.sum(np.abs(self.w * self.subject.y({})))))

    def taylor(self) -> Verdict:
        """Slope of the remainder."""
        verdict, slope, note = taylor(self.f, self.slope, self.noise, float(np.sum(np.abs(self.terms))))
        return verdict, slope, SLOPE, note

    def central(self) -> Verdict:
        """Relative to the derivative."""
        derivative, uncertainty = differentiate(self.f, self.noise)
        scale = max(abs(self.slope), abs(derivative))
        error = abs(derivative - self.slope)
        relative = error / scale if scale else 0.0
        if not math.isfinite(relative):
            return "fail", math.inf, DIFFERENCE, "the difference is not finite"
        if relative <= DIFFERENCE:
            return "pass", relative, DIFFERENCE, ""
        if error <= NEAR_NOISE * uncertainty:
            return "inconclusive", relative, DIFFERENCE, f"the difference itself is known to {uncertainty / scale:.0e}"
        note = f"central difference {derivative:.10g}, gradient {self.slope:.10g}"
        return "fail", relative, DIFFERENCE, note


def _excused(subject: Subject, test: str, outcome: Verdict) -> Verdict:
    """What is inexact by design and differs no more than that lets expect is called so."""
    verdict, value, limit, _ = outcome
    against_function = test in ("taylor", "difference")
    if verdict not in ("fail", "inconclusive"):
        return outcome
    if {"inexact", "surrogate"} & subject.methods and against_function:
        return "inexact", value, limit, "a heuristic by design"
    if "finite-difference" in subject.methods and (test == "taylor" or value <= QUOTIENT):
        return "inexact", value, limit, "a difference quotient"
    return outcome


def _judge(error: float, limit: float, noise: Callable[[], float]) -> Verdict:
    """Pass, or fail unless the result scatters as much when its input changes in the last digits."""
    if error <= limit:
        return "pass", error, limit, ""
    scatter = noise() if math.isfinite(error) else 0.0
    if error <= NEAR_NOISE * scatter:
        return "inconclusive", error, limit, f"rounding alone changes the result by {scatter:.0e}"
    return "fail", error, limit, ""


def _scatter(subject: Subject, function: Callable[[Mapping[str, np.ndarray]], np.ndarray]) -> float:
    """How much a result changes when all inputs change by a few roundings."""
    rng = np.random.default_rng(0)
    eps = 4.0 * float(np.finfo(float).eps)
    real = {x: value for x, value in subject.point.items() if value.dtype.kind == "f"}
    here, worst = function({}), 0.0
    for _ in range(3):
        shaken = {x: np.asarray(value * (1.0 + eps * rng.uniform(-1.0, 1.0, value.shape))) for x, value in real.items()}
        worst = max(worst, deviation(here, function(shaken)))
    return worst
