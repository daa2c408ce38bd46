"""Numbers from functions: rounding noise, Taylor slopes, differences. Knows nothing of graphs.

All take f(h), a scalar function along one line through the point h = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Line = Callable[[float], float]

FIRST_STEP = 0.1
"""Directions are scaled to the magnitude of the input, so this is a tenth of it."""

MARGIN = 50.0
"""A remainder counts as seen when it is this many times the noise: its slope is then known to a few percent."""

SHORTFALL = 0.1
"""The remainder after n correct terms falls with slope n + 1, less what noise does to the finest steps used."""


SETTLED = 1e-9
"""A derivative from one side that is known to this is known well enough."""


def rounding_noise(f: Line, magnitude: float) -> float:
    """The scatter of f by rounding: second differences over steps so small that curvature adds nothing.

    f(d) - 2 f(0) + f(-d) = d^2 f''(0) + noise, and d^2 = 1e-18. `magnitude` is the size of the terms
    that are summed up in f: no result is known better than one rounding of those. It does not use a
    derivative, so a wrong rule cannot hide behind it.
    """
    here = f(0.0)
    seconds = [abs(f(d) - 2.0 * here + f(-d)) for d in (1e-9, 2e-9, 3e-9)]
    return max(*seconds, float(np.finfo(float).eps) * magnitude)


def taylor(f: Line, terms: Sequence[tuple[float, float]], noise: float) -> tuple[str, float, str]:
    """Verdict, Taylor slope and note: |f(h) - f(0) - c_1 h - ... - c_n h^n| must fall like h^(n+1) (or faster).

    A coefficient c_k that is wrong by e adds e h^k, which shows at the finest steps. So the slope is that of
    the last steps before the remainder drowns in the noise, not the best one found. Each of `terms` is c_k
    and the size of what is summed up in it, whose rounding is part of the noise.
    """
    here, seen, order = f(0.0), [], len(terms)
    eps = float(np.finfo(float).eps)
    for k in range(20):
        h = FIRST_STEP * 2.0**-k
        remainder = abs(f(h) - here - sum(c * h**i for i, (c, _) in enumerate(terms, 1)))
        if not math.isfinite(remainder):
            return "fail", math.nan, f"not finite at h = {h:.1g}"
        if remainder <= MARGIN * (noise + eps * sum(size * h**i for i, (_, size) in enumerate(terms, 1))):
            break
        seen.append(remainder)
    if not seen:
        last = terms[-1][0] if terms else 0.0
        visible = last == 0.0 or FIRST_STEP**order * abs(last) > MARGIN * noise
        return ("pass" if visible else "inconclusive"), math.inf, "the remainder is rounding"
    slopes = -np.diff(np.log2(seen))[-3:]
    if len(slopes) < 2:
        return "inconclusive", math.nan, "only rounding is left after one or two steps"
    measured = float(np.mean(slopes))
    if measured >= order + 1.0 - SHORTFALL:
        return "pass", measured, ""
    return ("fail" if measured < order + 0.5 else "inconclusive"), measured, f"over the steps down to h = {h:.1g}"


def differentiate(f: Line, noise: float) -> tuple[float, float]:
    """f'(0) and the error of it, by central differences extrapolated to h = 0.

    Ridders' method: Neville extrapolation in h^2 over halved steps, keeping the entry whose neighbours
    agree best (Ridders, Accurate computation of F'(x) and F'(x)F''(x), Adv. Eng. Softw. 4:75, 1982).
    """
    best, error, first = math.nan, math.inf, _first_step(f)
    above: list[float] = []
    for k in range(11):
        h = first * 2.0**-k
        row = [(f(h) - f(-h)) / (2.0 * h)]
        for j, previous in enumerate(above, 1):
            row.append(row[-1] + (row[-1] - previous) / (4.0**j - 1.0))
            # The extrapolation weights add up to less than 2, so the noise of an entry is below 2 noise / h.
            spread = max(abs(row[j] - row[j - 1]), abs(row[j] - previous)) + 2.0 * noise / h
            if spread < error:
                best, error = row[j], spread
        above = row
    return best, error


def one_sided(f: Line, magnitude: float, sign: float) -> tuple[float, float]:
    """The derivative at 0 from one side and the error of it: as `differentiate`, with an extrapolation in h.

    `magnitude` is as for `rounding_noise`, whose differences are taken on this side here.
    """
    best, error = math.nan, math.inf
    noise = max(abs(f(sign * d) - 2.0 * f(sign * 2.0 * d) + f(sign * 3.0 * d)) for d in (1e-9, 2e-9))
    noise = max(noise, float(np.finfo(float).eps) * magnitude)
    above: list[float] = []
    for k in range(12):
        h = FIRST_STEP * 2.0**-k
        row = [sign * (f(sign * h) - f(0.0)) / h]
        for j, previous in enumerate(above, 1):
            row.append(row[-1] + (row[-1] - previous) / (2.0**j - 1.0))
            # These weights add up to less than 9.
            spread = max(abs(row[j] - row[j - 1]), abs(row[j] - previous)) + 9.0 * noise / h
            if spread < error:
                best, error = row[j], spread
        if error <= SETTLED * abs(best):
            break
        above = row
    return best, error


def _first_step(f: Line) -> float:
    """The largest step from which on f is nearly straight: a tangent through a pole or a kink says nothing.

    Straight means that the second difference is small beside the first for this step and the next two.
    """
    straight = 0
    for k in range(18):
        h = FIRST_STEP * 2.0**-k
        above, below = f(h) - f(0.0), f(0.0) - f(-h)
        straight = straight + 1 if abs(above - below) < 0.25 * abs(above + below) else 0
        if straight == 3:
            return 4.0 * h
    return FIRST_STEP


def sizes(x: np.ndarray, kind: str) -> np.ndarray:
    """How far each entry may be moved: by its own size, so that what is positive stays positive.

    A field that is exactly 0 somewhere is at the end of its range there, and not moved; entries of
    other kinds that are 0 move by the mean size of the others.
    """
    size = np.abs(x)
    mean = float(np.sqrt(np.mean(size**2))) if np.any(size) else 1.0
    return size if kind == "field" and np.any(size) else np.where(size == 0.0, mean, size)


def direction(rng: np.random.Generator, size: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """A random direction in which the terms of <gradient, v> do not cancel: a small error stays visible.

    Three signs of four are those of the gradient, the others are random.
    """
    sign = np.where(rng.random(size.shape) < 0.5, -1.0, 1.0)
    sign = np.where((rng.random(size.shape) < 0.75) & (gradient != 0.0), np.sign(gradient), sign)
    return np.asarray(sign * rng.uniform(0.5, 1.0, size.shape) * size)


def deviation(a: Any, b: Any) -> float:
    """The largest difference relative to the largest entry; inf if shapes differ or something is not finite."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        return math.inf
    if a.size == 0:
        return 0.0
    scale = max(float(np.max(np.abs(a))), float(np.max(np.abs(b))))
    return float(np.max(np.abs(a - b))) / scale if scale else 0.0


def largest(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """The largest deviation of several arrays, each by itself."""
    return max(deviation(a, b) for a, b in zip(found, wanted, strict=True))
