"""Findings along the way: how much each step stretches, which solves did not end well, where precision is lost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from ..edge import Edge
from ..passes.roots import Solved, solved
from .answer import Answer

if TYPE_CHECKING:
    from .report import GradientReport

EXPLODES, VANISHES = 1e6, 1e-12
"""Ratios |out| / |in| of a derivative step that are worth a word."""


@attrs.frozen
class Gain:
    """|out| / |in| of one derivative step, and the declared node that it belongs to."""

    step: int
    node: str
    ratio: float


@attrs.frozen
class Gains(Answer):
    """By how much the derivative steps stretch what arrives, the largest first; exact zeros and NaN left out."""

    steps: tuple[Gain, ...]


def gains(report: GradientReport) -> Gains:
    """Exploding and vanishing derivatives, step by step. Units are in the ratios: a modulus of 2e11 is one."""
    found = []
    for i, vertex in enumerate(report.plan.order):
        if report.reader.derived(vertex) and vertex.origin.role != "status" and (i, 0) in report.statistics:
            arriving = max(map(report.norm, report.reader.moving(vertex)), default=0.0)
            leaving = report.statistics[i, 0]
            if arriving > 0.0 and leaving.finite and leaving.norm > 0.0:
                found.append(Gain(i, report.reader.name(vertex), leaving.norm / arriving))
    steps = tuple(sorted(found, key=lambda gain: -gain.ratio))
    if not steps:
        return Gains("no derivative step has a measurable gain", "fine", ())
    for worst, outside, word in (
        (steps[0], steps[0].ratio > EXPLODES, "explodes"),
        (steps[-1], steps[-1].ratio < VANISHES, "vanishes"),
    ):
        if outside:
            at = report.plan.order[worst.step]
            words, out = report.reader.words(at), report.statistics[worst.step, 0].norm
            into = max(map(report.norm, report.reader.moving(at)))
            sentence = f"the derivative {word} at {words}: norm {into:.3g} arrives, {out:.3g} leaves"
            return Gains(sentence, "warning", steps)
    sentence = f"no derivative step stretches by more than {EXPLODES:.0e} or less than {VANISHES:.0e}"
    return Gains(sentence, "fine", steps)


@attrs.frozen
class Solve:
    """One factorisation or solve.

    Attributes:
        step: position in the plan's order.
        node: the declared node.
        lane: "forward", "reverse" or "tangent".
        what: "factorization" or "solve".
        residual: in units of what may be used, at most 1 for a good one; NaN where the solver does not say.
        failure: what went wrong; "" for a good one.
        relative: the residual as a share of the load, of the worst load case; None where the solver does not say.
        iterations: how many it took for all load cases together; None where the solver does not say.
    """

    step: int
    node: str
    lane: str
    what: str
    residual: float
    failure: str
    relative: float | None = None
    iterations: int | None = None


@attrs.frozen
class Solves(Answer):
    """All factorisations and solves in the order of execution."""

    solves: tuple[Solve, ...]


def solves(report: GradientReport) -> Solves:
    """How the solves ended, forward and adjoint."""
    labels = [label for label in report.plan.results if label[0] == "status"]
    found = solved({label: report.results[label] for label in labels})
    checks = {report.plan.results[k].vertex.edges[0].vertex: one for k, one in zip(labels, found, strict=True)}
    failed = {vertex: str(one.failure) for vertex, one in checks.items() if one.failure}
    failed |= {report.plan.order[i]: str(error) for i, error in report.failures.items()}
    rows = []
    for i, v in enumerate(report.plan.order):
        if v.node.counts or v in checks or v in failed:
            one = checks.get(v, Solved("", "", "", math.nan))
            what, lane, failure = v.node.counts or "solve", report.reader.place(v).lane, failed.get(v, "")
            rows.append(Solve(i, report.reader.name(v), lane, what, one.error, failure, one.residual, one.iterations))
    wrong = [row for row in rows if row.failure]
    if wrong:
        more = f"; {len(wrong) - 1} more did not end well" if len(wrong) > 1 else ""
        return Solves(wrong[0].failure.rstrip(".") + more, "error", tuple(rows))
    return Solves(f"{len(rows)} factorisations and solves, all of them good{_effort(rows)}", "fine", tuple(rows))


def _effort(rows: list[Solve]) -> str:
    """The largest residual and number of iterations, where they are known."""
    checked = [row.residual for row in rows if not math.isnan(row.residual)]
    counts = [row.iterations for row in rows if row.iterations is not None]
    worst = f"; the largest residual is {max(checked):.2g} of its tolerance" if checked else ""
    return worst + (f"; {' + '.join(map(str, counts))} iterations" if counts else "")


@attrs.frozen
class Precision(Answer):
    """Steps whose result has fewer bits than what they are given, in the order of execution: (step, node, bits)."""

    steps: tuple[tuple[int, str, int], ...]


def precision(report: GradientReport) -> Precision:
    """Where float64 becomes float32, or less."""
    wide = 64 if report.dtype == "float64" else 32
    found, narrow = [], 0
    for i, vertex in enumerate(report.plan.order):
        own = _bits(report, [Edge(vertex, k) for k in range(len(vertex.node.outputs))])
        if own and min(own) < wide:
            narrow += 1
            if min(_bits(report, vertex.edges), default=wide) >= wide:
                found.append((i, report.reader.name(vertex), min(own)))
    if not found:
        return Precision(f"all real numbers have {wide} bits", "fine", ())
    first = report.plan.order[found[0][0]]
    after = f", and {narrow - 1} step{'s' if narrow > 2 else ''} after it" if narrow > 1 else ""
    sentence = f"numbers of {found[0][2]} bits in a {report.dtype} program begin at {report.reader.words(first)}{after}"
    return Precision(sentence, "warning", tuple(found))


def _bits(report: GradientReport, edges: Iterable[Edge]) -> list[int]:
    """Of the real numbers on some edges."""
    specs = report.plan.specs
    real = [edge for edge in edges if specs[edge.vertex][edge.index].differentiable]
    return [s.bits for edge in real if (s := report.of(edge)) is not None]
