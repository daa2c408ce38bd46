"""Sums of cotangents: which contributions there are, and whether they cancel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from ..edge import Vertex
from .answer import Answer
from .instrument import is_sum

if TYPE_CHECKING:
    from .report import GradientReport

CANCELLED = 1e-6
"""|sum| / sum |terms| below which half of the digits of float64 are gone."""


@attrs.frozen
class Contribution:
    """One term of a sum: where it comes from, its norm, and the cosine of its angle with the sum (NaN if unknown)."""

    name: str
    norm: float
    cosine: float


@attrs.frozen
class CotangentSum:
    """A sum of derivatives.

    Attributes:
        step: position in the plan's order.
        name: the declared node whose derivative it is.
        terms: the contributions, largest first.
        norm: of the sum.
        ratio: |sum| / sum |terms|, in [0, 1]: about -log10(ratio) digits are lost by cancellation.
    """

    step: int
    name: str
    terms: tuple[Contribution, ...]
    norm: float
    ratio: float


@attrs.frozen
class Cancellation(Answer):
    """All sums of derivatives, the one that cancels most first."""

    sums: tuple[CotangentSum, ...]


def cancellation(report: GradientReport) -> Cancellation:
    """Hold every sum of derivatives against its terms."""
    found = [
        _sum(report, vertex)
        for vertex in report.plan.order
        if is_sum(vertex, report.plan) and report.reader.derived(vertex)
    ]
    sums = tuple(sorted(found, key=lambda s: s.ratio))
    if not sums:
        return Cancellation("no derivative is a sum of several contributions", "fine", ())
    worst = sums[0]
    where = report.reader.words(report.plan.order[worst.step])
    parts = " and ".join(f"{_g(term.norm)} from {term.name!r}" for term in worst.terms[:3])
    more = f" and {len(worst.terms) - 3} more" if len(worst.terms) > 3 else ""
    kept = f"{where} has norm {_g(worst.norm)}, its contributions {parts}{more}"
    if worst.ratio >= CANCELLED:
        return Cancellation(f"no sum of derivatives cancels: the nearest to it, {kept}", "fine", sums)
    lost = "all digits are" if worst.ratio == 0.0 else f"about {-math.log10(worst.ratio):.0f} digits are"
    return Cancellation(f"{kept}: {lost} lost by cancellation", "warning", sums)


def _sum(report: GradientReport, vertex: Vertex) -> CotangentSum:
    step = report.position[vertex]
    total = report.statistics[step, 0].norm
    terms = []
    for k, edge in enumerate(vertex.edges):
        cosine = report.cosines.get((step, k), math.nan)
        terms.append(Contribution(report.reader.name(edge.vertex), report.norm(edge), cosine))
    whole = sum(term.norm for term in terms)
    ordered = tuple(sorted(terms, key=lambda term: -term.norm))
    return CotangentSum(step, report.reader.name(vertex), ordered, total, total / whole if whole else 1.0)


def _g(number: float) -> str:
    return f"{number:.3g}"
