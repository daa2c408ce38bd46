"""Where NaN and infinity begin, as opposed to where they are met: all origins, forward ones first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..edge import Edge, Vertex
from .answer import Answer

if TYPE_CHECKING:
    from .report import GradientReport


@attrs.frozen
class Origin:
    """A step whose inputs are finite and whose result is not.

    Attributes:
        step: position in the plan's order.
        node: the declared node that it belongs to.
        where: `file:line` of its declaration.
        lane: "forward", "reverse" or "tangent".
        nan, infinite: how many entries of its result.
        inputs: what it was given, each with its range in words.
        reason: what a solver or host function said; "" where nothing did.
    """

    step: int
    node: str
    where: str
    lane: str
    nan: int
    infinite: int
    inputs: tuple[tuple[str, str], ...]
    reason: str


@attrs.frozen
class WhyNan(Answer):
    """All origins, forward ones first, and how many steps after them are not finite either."""

    origins: tuple[Origin, ...]
    affected: int


def distances(report: GradientReport) -> dict[int, int]:
    """Step that is not finite -> 0 for an origin, else how many steps it lies behind the nearest one."""
    found: dict[int, int] = {}
    for i, vertex in enumerate(report.plan.order):
        outputs = [report.statistics.get((i, k)) for k in range(len(vertex.node.outputs))]
        if i in report.failures or any(s is not None and not s.finite for s in outputs):
            before = [found[at] for e in vertex.edges if (at := report.position[e.vertex]) in found and _bad(report, e)]
            found[i] = 1 + min(before) if before else 0
    return found


def _bad(report: GradientReport, edge: Edge) -> bool:
    """Whether an input is not finite; of a factor, whether it could not be made."""
    s = report.of(edge)
    return report.position[edge.vertex] in report.failures if s is None else not s.finite


def why_nan(report: GradientReport) -> WhyNan:
    """The origins, in one sentence for the first of them."""
    far = distances(report)
    steps = [report.plan.order[i] for i, distance in far.items() if distance == 0]
    origins = tuple(_origin(report, v) for v in sorted(steps, key=report.reader.derived))
    if not origins:
        return WhyNan("every value and every derivative is finite", "fine", (), 0)
    affected = len(far) - len(origins)
    first = report.plan.order[origins[0].step]
    sentence = f"{_word(origins[0])} begins at {report.reader.words(first)}: {_what(report, first, origins[0])}"
    if len(origins) > 1:
        others = ", ".join(dict.fromkeys(report.reader.words(report.plan.order[o.step]) for o in origins[1:4]))
        sentence += f"; it also begins at {others}" + (f" and {len(origins) - 4} more" if len(origins) > 4 else "")
    if affected:
        words = "1 step after it is" if affected == 1 else f"{affected} steps after it are"
        sentence += f"; {words} not finite either"
    ends = [report.of(edge) for label, edge in report.plan.results.items() if label[0] != "status"]
    if any(s is not None and not s.finite for s in ends):
        return WhyNan(sentence, "error", origins, affected)
    return WhyNan(f"{sentence}; no result is touched by it", "warning", origins, affected)


def _origin(report: GradientReport, vertex: Vertex) -> Origin:
    step, reader = report.position[vertex], report.reader
    found = [s for k in range(len(vertex.node.outputs)) if (s := report.statistics.get((step, k)))]
    given = tuple((reader.carries(e), report.range(e)) for e in dict.fromkeys(vertex.edges) if report.of(e))
    reason = str(report.failures.get(step, ""))
    nan, infinite = sum(s.nan for s in found), sum(s.infinite for s in found)
    return Origin(
        step, reader.name(vertex), str(vertex.origin.where), reader.place(vertex).lane, nan, infinite, given, reason
    )


def _word(origin: Origin) -> str:
    return "infinity" if origin.infinite and not origin.nan else "NaN"


def _what(report: GradientReport, vertex: Vertex, origin: Origin) -> str:
    if origin.reason:
        return origin.reason
    size = sum(s.size for k in range(len(vertex.node.outputs)) if (s := report.statistics.get((origin.step, k))))
    both = [(n, word) for n, word in ((origin.nan, "NaN"), (origin.infinite, "infinite")) if n]
    entries = f"its result is {both[0][1]}"
    if size > 1:
        count = both[0][0]
        more = f" and {both[1][0]} {both[1][1]}" if len(both) > 1 else ""
        entries = f"{count} of the {size} entries of its result {'is' if count == 1 else 'are'} {both[0][1]}{more}"
    given = ", ".join(f"{name} is {words}" for name, words in origin.inputs)
    return f"its inputs are finite ({given}), but {entries}" if given else entries
