"""Verdicts: an error against its limit, against the noise at that point, and against what is inexact by design."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .measure import largest
from .subject import Subject

PARITY, LINEARITY, DOT, DIFFERENCE = 1e-10, 1e-10, 1e-10, 1e-7
"""Largest relative errors allowed."""

SINGLE = 1e-2
"""The same in float32, whose roundings of 6e-8 a solve of contrast 1e-9 makes 1e5 times larger."""

QUOTIENT = 1e-4
"""Largest relative error of a node that is differentiated by difference quotients, by the choice of its user."""

NEAR_NOISE = 20.0
"""An error within this many times the measured rounding noise says nothing about the rule."""

AGAINST_FUNCTION = ("taylor", "difference", "curvature", "degenerate")
"""The tests that compare a derivative with values."""

ROUGH = ("taylor", "curvature", "float32")
"""The tests that a difference quotient cannot pass: it is no derivative, and float32 leaves few of its digits."""

Verdict = tuple[str, float, float, str]
"""The verdict, the value, the limit and the note of a row."""


def judge(error: float, limit: float, noise: Callable[[], float]) -> Verdict:
    """Pass, or fail unless the result scatters as much when its input changes in the last digits."""
    if error <= limit:
        return "pass", error, limit, ""
    scatter = noise() if math.isfinite(error) else 0.0
    if error <= NEAR_NOISE * scatter:
        return "inconclusive", error, limit, f"rounding alone changes the result by {scatter:.0e}"
    return "fail", error, limit, ""


def scatter(
    subject: Subject, function: Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]], dtype: type = np.float64
) -> float:
    """How much the worst of some results changes when all inputs change by a few roundings of that precision."""
    rng = np.random.default_rng(0)
    eps = 4.0 * float(np.finfo(dtype).eps)
    real = {x: value for x, value in subject.point.items() if value.dtype.kind == "f"}
    here, worst = function({}), 0.0
    for _ in range(3):
        shaken = {x: np.asarray(value * (1.0 + eps * rng.uniform(-1.0, 1.0, value.shape))) for x, value in real.items()}
        worst = max(worst, largest(here, function(shaken)))
    return worst


def excused(subject: Subject, test: str, outcome: Verdict) -> Verdict:
    """What is inexact by design and differs no more than that lets expect is called so."""
    verdict, value, limit, _ = outcome
    if verdict not in ("fail", "inconclusive"):
        return outcome
    if {"inexact", "surrogate"} & subject.methods and test in AGAINST_FUNCTION:
        return "inexact", value, limit, "a heuristic by design"
    if "finite-difference" in subject.methods and (test in ROUGH or value <= QUOTIENT):
        return "inexact", value, limit, "a difference quotient"
    return outcome


def sentence(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
