"""The overlays of a report: name -> numbers and short texts on the wires and steps of its diagram."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..draw.model import Overlay, Reading
from ..explain import readable_bytes
from .measure import Statistics
from .nonfinite import distances
from .rules import RuleDigits

if TYPE_CHECKING:
    from .report import GradientReport, Key


def norms(report: GradientReport) -> Overlay:
    """Size of what flows, values and derivatives alike."""
    return _statistics(report, "norms", "2-norm of what flows", lambda s: s.norm, logarithmic=True)


def values(report: GradientReport) -> Overlay:
    """Range of the values."""
    wires = {key: Reading(s.norm, range_of(s)) for key, s in report.statistics.items() if not _derived(report, key)}
    return Overlay("values", "minimum .. maximum of the values", wires=wires, logarithmic=True)


def cotangents(report: GradientReport) -> Overlay:
    """Size of the derivatives alone."""
    wires = {k: Reading(s.norm, _short(s.norm)) for k, s in report.statistics.items() if _derived(report, k)}
    return Overlay("cotangents", "2-norm of the derivatives", wires=wires, logarithmic=True)


def sparsity(report: GradientReport) -> Overlay:
    """How much of it is exactly zero."""
    return _statistics(
        report, "sparsity", "part of the entries that is exactly 0", lambda s: s.sparsity, lambda s: f"{s.sparsity:.0%}"
    )


def nan(report: GradientReport) -> Overlay:
    """Where it is not finite: 0 at an origin, then the number of steps from the nearest one."""
    steps = {}
    for i, far in distances(report).items():
        found = [s for k in range(len(report.plan.order[i].node.outputs)) if (s := report.statistics.get((i, k)))]
        word = "Inf" if found and not any(s.nan for s in found) else "NaN"
        steps[i] = Reading(far, f"{word} ({far})" if far else f"{word}*")
    wires = {k: Reading(s.nan + s.infinite, _bad(s)) for k, s in report.statistics.items() if not s.finite}
    return Overlay("nan", "not finite: * where it begins, (n) n steps after it", "steps", wires, steps)


def cancellation(report: GradientReport) -> Overlay:
    """|sum| / sum |terms| at every sum of cotangents: 1 where the terms agree, 0 where they cancel."""
    found = report.cancellation()
    steps = {sum_.step: Reading(sum_.ratio, f"{sum_.ratio:.2g}") for sum_ in found.sums}
    return Overlay("cancellation", "|sum| / sum of |contributions|", "", {}, steps, logarithmic=True)


def time(report: GradientReport) -> Overlay:
    """Wall time of the steps that were timed."""
    steps = {step: Reading(t, _seconds(t)) for step, t in report.seconds.items()}
    return Overlay("time", "wall time", "s", {}, steps, logarithmic=True)


def size(report: GradientReport) -> Overlay:
    """Memory of what flows."""
    counts = {key: s.size * s.bits // 8 for key, s in report.statistics.items()}
    wires = {key: Reading(count, readable_bytes(count)) for key, count in counts.items()}
    return Overlay("bytes", "memory", "B", wires, logarithmic=True)


def sensitivity(report: GradientReport) -> Overlay:
    """|x_bar| |x| / |J|: by how much, relatively, J could change if x changed by its own size, entry by entry."""
    wires: dict[Key, Reading] = {}
    for step, outputs, ct in report.states():
        x, g = report.statistics.get((step, 0)), report.of(ct)
        value = float(report.results[outputs[0],]) if len(outputs) == 1 else 0.0
        if x and g and value and math.isfinite(value):
            number = g.norm * x.norm / abs(value)
            wires[step, 0] = wires[report.position[ct.vertex], ct.index] = Reading(number, _short(number))
    return Overlay("sensitivity", "|derivative| |value| / |output|", "", wires, logarithmic=True)


def digits(report: GradientReport) -> Overlay:
    """Digits in which the rules agree with difference quotients, see `worst_rules`; as numbers, those missing of 16."""
    least: dict[str, RuleDigits] = {}
    for rule in report.worst_rules().rules:
        least.setdefault(rule.node, rule)
    steps = {}
    for i, vertex in enumerate(report.plan.order):
        name = report.reader.name(vertex)
        if name in least and report.reader.derived(vertex) and vertex.origin.role in ("reverse", "tangent"):
            wrong = "WRONG: " if least[name].verdict == "fail" else ""
            steps[i] = Reading(16.0 - least[name].digits, f"{wrong}{least[name].digits:.0f} of 16")
    return Overlay("digits", "digits in which the rules agree (shaded: missing ones)", "digits", {}, steps)


OVERLAYS: dict[str, Callable[[GradientReport], Overlay]] = {
    "norms": norms,
    "values": values,
    "cotangents": cotangents,
    "sensitivity": sensitivity,
    "sparsity": sparsity,
    "cancellation": cancellation,
    "time": time,
    "bytes": size,
    "nan": nan,
    "digits": digits,
}
"""What `GradientReport.overlay` knows."""


def _statistics(
    report: GradientReport,
    name: str,
    title: str,
    number: Callable[[Statistics], float],
    text: Callable[[Statistics], str] | None = None,
    logarithmic: bool = False,
) -> Overlay:
    shown = text or (lambda s: _short(number(s)) if s.finite else _bad(s))
    wires = {key: Reading(number(s), shown(s)) for key, s in report.statistics.items()}
    return Overlay(name, title, "", wires, logarithmic=logarithmic)


def _derived(report: GradientReport, key: Key) -> bool:
    return report.reader.derived(report.plan.order[key[0]])


def _short(number: float) -> str:
    return f"{number:.2g}"


def range_of(s: Statistics) -> str:
    """Minimum and maximum in words, or what is wrong with it."""
    if not s.finite:
        return _bad(s)
    return _short(s.min) if s.min == s.max else f"{_short(s.min)} .. {_short(s.max)}"


def _bad(s: Statistics) -> str:
    counts: Iterable[tuple[int, str]] = ((s.nan, "NaN"), (s.infinite, "Inf"))
    return ", ".join(word if s.size == 1 else f"{count} {word}" for count, word in counts if count)


def _seconds(t: float) -> str:
    return f"{t:.2g} s" if t >= 1 else f"{t * 1e3:.2g} ms" if t >= 1e-3 else f"{t * 1e6:.2g} µs"
