"""Rules that are wrong, or have few digits: the certification of the graph at the point of the run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from ..check import check
from ..check.report import SLOPES, Report
from ..graph import source_of
from .answer import Answer

if TYPE_CHECKING:
    from .report import GradientReport


KNOWN = ("pass", "fail", "inexact")
"""Verdicts that say something about a rule."""


@attrs.frozen
class RuleDigits:
    """A node and input with the digits in which its derivative agrees, at least (16 for no difference at all)."""

    node: str
    port: str
    digits: float
    test: str
    verdict: str


@attrs.frozen
class WorstRules(Answer):
    """The rules that were checked, failing ones first, then those with the fewest digits; `check` is all."""

    rules: tuple[RuleDigits, ...]
    check: Report


def worst_rules(report: GradientReport, checked: Report | None = None) -> WorstRules:
    """Certify the graph where the report was made, on its backend; or read a check that was made before."""
    graph, request = report.plan.graph, report.plan.request
    if checked is None:
        real = [x for x in request.wrt if source_of(graph.input(x)).spec.differentiable]
        given = {name: value for name, value in report.inputs.items() if name in graph.input_names}
        checked = check(graph, backends=(report.plan.backend,), wrt=real, of=request.of, at=given, quick=True)
    rows = [row for row in checked.rows if row.verdict in KNOWN and row.port and row.node[:1] not in ("'", '"')]
    worst: dict[tuple[str, str], RuleDigits] = {}
    for row in rows:
        error = 1.0 if row.test in SLOPES and row.verdict == "fail" else 0.0 if row.test in SLOPES else row.value
        digits = 16.0 if error == 0.0 else 0.0 if not math.isfinite(error) else min(16.0, max(0.0, -math.log10(error)))
        made = RuleDigits(row.node, row.port, digits, row.test, row.verdict)
        before = worst.get((row.node, row.port))
        if before is None or _order(made) < _order(before):
            worst[row.node, row.port] = made
    rules = tuple(sorted(worst.values(), key=_order))
    if checked.first_wrong is not None:
        return WorstRules(_sentence(report, checked), "error", rules, checked)
    least = [f"{r.node!r} through {r.port!r}, agrees in {r.digits:.0f} digits" for r in rules[:1]]
    sentence = ": the least exact, ".join([f"all {len(rules)} rules pass", *least])
    return WorstRules(sentence, "fine", rules, checked)


def _order(rule: RuleDigits) -> tuple[bool, float]:
    return rule.verdict != "fail", rule.digits


def _sentence(report: GradientReport, checked: Report) -> str:
    row = checked.failed[0]
    graph = report.plan.graph
    vertex = next((v for v, name in graph.names.items() if name == row.node), None)
    about = f" ({vertex.node.title}, declared at {vertex.origin.where})" if vertex is not None else ""
    through = f" through {row.port!r}" if row.port else ""
    sign = "at least" if row.test in SLOPES else "at most"
    note = f": {row.note}" if row.note else ""
    measured = f"{row.test} gives {row.value:.2g}, {sign} {row.limit:.2g} is right" if row.limit else row.test
    return f"{row.node!r}{about} is wrong{through}: {measured}{note}"
