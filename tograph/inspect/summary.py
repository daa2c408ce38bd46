"""Everything that was found in a run, most severe first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .answer import SEVERITIES, Answer

if TYPE_CHECKING:
    from .report import GradientReport


@attrs.frozen
class Summary(Answer):
    """All answers, the most severe first; `str` gives a line for each that matters."""

    answers: tuple[Answer, ...]

    def __str__(self) -> str:
        shown = [answer for answer in self.answers if answer.rank > 0] or [self]
        return "\n".join(f"{answer.severity}: {answer.sentence}" for answer in shown)


def summary(report: GradientReport) -> Summary:
    """NaN, solves, zero derivatives, precision, cancellation, gains: in this order where they are equally severe."""
    request = report.plan.request
    zeros: list[Answer] = []
    if request.mode in ("reverse", "vjp", "hvp"):
        zeros = [report.why_zero(x, of) for of in request.of for x in request.wrt]
    elif request.mode == "tangent":
        zeros = [report.why_zero(request.wrt[0], request.of[0])]
    found = [report.why_nan(), report.solves(), *zeros, report.precision(), report.cancellation(), report.gains()]
    ordered = tuple(sorted(found, key=lambda answer: -answer.rank))
    worst = ordered[0]
    count = sum(answer.rank > 0 for answer in ordered)
    more = f" (and {count - 1} more)" if count > 1 else ""
    sentence = f"{worst.sentence}{more}" if count else f"nothing conspicuous in {report.computes}"
    return Summary(sentence, worst.severity if count else SEVERITIES[0], ordered)
