"""A derivative against the function itself, along one line through the point."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from ..errors import TographError
from .judge import DIFFERENCE, NEAR_NOISE, Verdict, sentence
from .measure import SHORTFALL, Line, differentiate, rounding_noise, taylor
from .subject import Draw, Subject


class Walk:
    """f(h) = <w, y(x + h v)> for one input x, with what the gradient says about it."""

    def __init__(self, subject: Subject, x: str, drawn: Draw, g: np.ndarray) -> None:
        self.subject, self.x, self.w, self.v = subject, x, drawn.w, drawn.walk(x, g)
        self.slope = float(np.sum(g * self.v)), float(np.sum(np.abs(g * self.v)))
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

    def change(self) -> Verdict:
        """Slope of |f(h) - f(0)|: 1 where f has a derivative, whatever the rule says of it."""
        verdict, slope, note = taylor(self.f, [], self.noise)
        return verdict, slope, 1.0 - SHORTFALL, note

    def taylor(self) -> Verdict:
        """Slope of |f(h) - f(0) - h g.v|."""
        verdict, slope, note = taylor(self.f, [self.slope], self.noise)
        return verdict, slope, 2.0 - SHORTFALL, note

    def curvature(self) -> Verdict:
        """Slope of |f(h) - f(0) - h g.v - h^2/2 v.Hv|."""
        try:
            bent = self.v * self.subject.curved(self.x, self.v, self.w)
        except TographError as error:  # a node without a second derivative says so
            return "not checked", 0.0, 0.0, sentence(error)
        if not np.all(np.isfinite(bent)):
            return "not checked", 0.0, 0.0, "the second derivative is not finite here"
        second = 0.5 * float(np.sum(bent)), 0.5 * float(np.sum(np.abs(bent)))
        verdict, slope, note = taylor(self.f, [self.slope, second], self.noise)
        return verdict, slope, 3.0 - SHORTFALL, note

    def central(self) -> Verdict:
        """Relative to the derivative."""
        return against_difference(self.f, self.slope[0], self.noise)


def against_difference(f: Line, slope: float, noise: float) -> Verdict:
    """A directional derivative against the extrapolated central difference of f, relative to the derivative."""
    derivative, uncertainty = differentiate(f, noise)
    scale, error = max(abs(slope), abs(derivative)), abs(derivative - slope)
    relative = error / scale if scale else 0.0
    if not math.isfinite(relative):
        return "fail", math.inf, DIFFERENCE, "the difference is not finite"
    if relative <= DIFFERENCE:
        return "pass", relative, DIFFERENCE, ""
    if error <= NEAR_NOISE * uncertainty:
        return "inconclusive", relative, DIFFERENCE, f"the difference itself is known to {uncertainty / scale:.0e}"
    return "fail", relative, DIFFERENCE, f"central difference {derivative:.10g}, gradient {slope:.10g}"
