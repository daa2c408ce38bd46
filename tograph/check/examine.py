"""One case on all backends: rows. The rules that are measured are those of the programs that run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from ..declare import Source
from ..errors import SolveError
from ..node import Constant
from .cases import Case, is_portable
from .degenerate import degenerate
from .further import further
from .judge import DOT, LINEARITY, PARITY, Verdict, excused, judge, scatter, sentence
from .measure import deviation
from .report import Row
from .subject import Draw, Runs, Subject
from .walk import Walk

Gradients = dict[str, dict[str, np.ndarray]]


def examine(case: Case, backends: Sequence[str], seed: int, runs: Runs) -> Iterator[Row]:
    """All rows of one case."""
    for x, why in case.no_path.items():
        yield Row(case.node, x, "gradient", "", "no path", 0.0, 0.0, why)
    drawn, reference = Draw(case, seed), _portable_value(case, runs)
    gradients: Gradients = {}
    for backend in backends:
        failed = partial(Row, case.node, test="run", backend=backend, verdict="fail", value=math.inf, limit=0.0)
        try:
            subject = Subject(case, backend, runs)
            yield _value(subject, reference)
            if not case.ports:
                continue
            gradients[backend] = subject.gradient(drawn.w)
        except Exception as error:  # whatever a user's rule raises is a finding, not the end of the check
            yield failed(port="", note=sentence(error))
            continue
        yield from _derivatives(subject, drawn, gradients)
        yield from further(subject, drawn)


def _derivatives(subject: Subject, drawn: Draw, gradients: Gradients) -> Iterator[Row]:
    first, found = next(iter(gradients)), gradients[subject.backend]
    for x in subject.case.ports:
        if subject.backend != first:
            yield _parity(subject, drawn, first, gradients, x)
        yield from _port(subject, x, drawn, found[x])


def portable(case: Case) -> bool:
    """Whether the NumPy backend can run it."""
    return all(is_portable(v.node) for v in case.primitives if not isinstance(v.node, Source | Constant))


def _portable_value(case: Case, runs: Runs) -> np.ndarray | Exception | None:
    """y on the NumPy backend; None if a node has no portable implementation."""
    if not portable(case):
        return None
    try:
        return Subject(case, "numpy", runs).y({})
    except Exception as error:  # as above
        return error


def _value(subject: Subject, reference: np.ndarray | Exception | None) -> Row:
    row = partial(Row, subject.case.node, "", "value", f"{subject.backend}/numpy")
    y = subject.y({})
    if reference is None:
        return row("not checked", 0.0, 0.0, "a node has no portable implementation")
    if isinstance(reference, Exception):
        return row("fail", math.inf, PARITY, f"on NumPy: {sentence(reference)}")
    return row(*judge(deviation(y, reference), PARITY, lambda: scatter(subject, lambda c: [subject.y(c)])))


def _parity(subject: Subject, drawn: Draw, first: str, gradients: Gradients, x: str) -> Row:
    """The gradient of this backend against that of the first."""
    error = deviation(gradients[subject.backend][x], gradients[first][x])
    judged = judge(error, PARITY, partial(scatter, subject, lambda c: [subject.gradient(drawn.w, c)[x]]))
    verdict = excused(subject, "gradient", judged)
    return Row(subject.case.node, subject.case.ports[x], "gradient", f"{first}/{subject.backend}", *verdict)


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
        "change": walk.change,
        "taylor": walk.taylor,
        "difference": walk.central,
        "curvature": walk.curvature,
    }
    if not subject.case.whole:
        tests["degenerate"] = partial(degenerate, subject, x, drawn, g)
    for test, measure in tests.items():
        try:
            outcome = excused(subject, test, measure())
        except SolveError as error:
            outcome = ("not checked", 0.0, 0.0, f"beside this point there is no solution: {sentence(error)}")
        except Exception as error:  # as in `examine`
            outcome = ("fail", math.inf, 0.0, sentence(error))
        yield row(test, subject.backend, *outcome)


def _linear(subject: Subject, x: str, drawn: Draw) -> Verdict:
    """J (2 a - 3 b) = 2 J a - 3 J b."""
    a, b = drawn.tangents(x)
    both, one, two = (subject.tangent(x, v) for v in (2.0 * a - 3.0 * b, a, b))
    noise = partial(scatter, subject, lambda c: [subject.tangent(x, a, c)])
    return judge(deviation(both, 2.0 * one - 3.0 * two), LINEARITY, noise)


def _linear_transposed(subject: Subject, x: str, drawn: Draw, g: np.ndarray) -> Verdict:
    """J^T (2 w - 3 z) = 2 J^T w - 3 J^T z."""
    both = subject.gradient(2.0 * drawn.w - 3.0 * drawn.weights[1])[x]
    two = subject.gradient(drawn.weights[1])[x]
    noise = partial(scatter, subject, lambda c: [subject.gradient(drawn.w, c)[x]])
    return judge(deviation(both, 2.0 * g - 3.0 * two), LINEARITY, noise)


def _dot_product(subject: Subject, x: str, drawn: Draw, g: np.ndarray) -> Verdict:
    """<w, J v> = <J^T w, v>, relative to |w| |J v|, the largest that the product can be."""
    v, w = drawn.tangents(x)[0], drawn.w
    moved = subject.tangent(x, v)
    left, right = float(np.sum(w * moved)), float(np.sum(g * v))
    scale = max(float(np.linalg.norm(w) * np.linalg.norm(moved)), abs(right))
    error = abs(left - right) / scale if scale else 0.0
    noise = partial(scatter, subject, lambda c: [subject.tangent(x, v, c)])
    return judge(error if math.isfinite(error) else math.inf, DOT, noise)
