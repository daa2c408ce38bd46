"""Derivatives where they tend to be wrong: at inputs that are 0, 1, or the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..errors import TographError
from .judge import Verdict
from .measure import Line, one_sided
from .subject import Draw, Subject

LIMIT = 1e-5
"""Largest error, relative to the derivative at the ordinary point or here, whichever is larger."""

ORDER = ("pass", "not checked", "fail")


def degenerate(subject: Subject, x: str, drawn: Draw, g: np.ndarray) -> Verdict:
    """The worst of the degenerate points of one input; g is J^T w at the ordinary point."""
    with np.errstate(all="ignore"):  # what is not finite is judged below
        found = {what: _at(subject, x, drawn, g, value) for what, value in _points(subject, x)}
    if not found:
        return "not checked", 0.0, 0.0, "neither 0 nor 1 is in its range"
    what = max(found, key=lambda what: (ORDER.index(found[what][0]), found[what][1]))
    verdict, error, limit, note = found[what]
    return verdict, error, limit, f"at {what}: {note}" if note else ""


def _points(subject: Subject, x: str) -> Iterator[tuple[str, np.ndarray]]:
    """What is outside the range of the input is none of its points."""
    here, allowed = subject.point[x], subject.case.ranges[x]
    points = {"0": 0.0, "1": 1.0} | ({"equal values": float(np.mean(here))} if here.size > 1 else {})
    return ((what, np.full_like(here, value)) for what, value in points.items() if allowed.allows(value))


def _at(subject: Subject, x: str, drawn: Draw, g: np.ndarray, value: np.ndarray) -> Verdict:
    """The gradient there against differences from either side."""
    size = float(np.max(np.abs(value))) or 1.0
    v = size * np.where(g < 0.0, -1.0, 1.0) * drawn.generator("degenerate", x).uniform(0.5, 1.0, value.shape)

    def f(h: float) -> float:
        try:
            return float(np.sum(drawn.w * subject.y({x: value + h * v})))
        except TographError:
            return math.nan

    try:
        y, gradient = subject.y({x: value}), subject.gradient(drawn.w, {x: value})[x]
    except TographError as error:
        return "not checked", 0.0, 0.0, f"refused: {str(error).splitlines()[0]}"
    if not np.all(np.isfinite(y)):
        return "not checked", 0.0, 0.0, "there is no finite value"
    return _judged(f, float(np.sum(gradient * v)), float(np.sum(np.abs(g * v))), float(np.sum(np.abs(drawn.w * y))))


def _judged(f: Line, slope: float, usual: float, magnitude: float) -> Verdict:
    """A slope at a point where f may be defined on one side only, have a kink, or rise without bound."""
    sides = [one_sided(f, magnitude, sign) for sign in (1.0, -1.0)]
    scale = max([usual, *(abs(d) for d in (slope, *(d for d, _ in sides)) if math.isfinite(d))])
    known = [d for d, error in sides if error <= LIMIT * scale]
    if not known or max(known) - min(known) > 2.0 * LIMIT * scale:
        return "not checked", 0.0, 0.0, "the differences do not settle: a kink, a vertical tangent, or rounding"
    error = min(abs(d - slope) for d in known) / scale if scale else 0.0
    if math.isfinite(slope) and error <= LIMIT:
        return "pass", error, LIMIT, ""
    note = f"difference {known[0]:.8g}, gradient {slope:.8g}"
    return "fail", error if math.isfinite(slope) else math.inf, LIMIT, note
