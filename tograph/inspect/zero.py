"""Why a derivative is zero: four different reasons, and the node where it became so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from ..arithmetic import Add
from ..differentiate import cut
from ..edge import Edge, Vertex
from ..errors import TographError, did_you_mean
from ..expand import expand
from ..graph import Graph, source_of, topological
from ..spec import Spec
from .answer import Answer

if TYPE_CHECKING:
    from .report import GradientReport


@attrs.frozen
class WhyZero(Answer):
    """Why d of / d wrt is zero.

    Attributes:
        of, wrt: the output and the input.
        word: "no path"; "detached"; "structurally zero", by a rule that says so; "integer", where the path is not
            of real numbers; "numerically zero", where a computed derivative is exactly 0; or "not zero".
        node: the frontier: the declared node beyond which there is no derivative; "" where it is not zero.
        where: `file:line` of its declaration.
        step: position of the step in the plan's order that gives 0 first; None where nothing is computed.
        zeros: part of the entries that is exactly 0; 1 where nothing is computed.
    """

    of: str
    wrt: str
    word: str
    node: str = ""
    where: str = ""
    step: int | None = None
    zeros: float = 1.0


def structural(graph: Graph, of: str, wrt: str) -> WhyZero:
    """What the graph alone says; see `WhyZero`. Its word is "not zero" where a path is open.

    Raises:
        TographError: unknown names; `GraphError` if the graph is not valid.
    """
    graph.validate()
    for name, known, what in ((of, tuple(graph.outputs), "output"), (wrt, graph.input_names, "input")):
        if name not in known:
            raise TographError(f"there is no {what} {name!r}. {did_you_mean(name, known)}")
    made = expand({"of": graph.outputs[of], "wrt": graph.input(wrt)}, graph.names)
    end, start = made.edges["of"], made.edges["wrt"]
    order = topological([end])
    if not source_of(start).spec.differentiable:
        where = str(start.vertex.origin.where)
        why = f"d {of} / d {wrt} is zero: integer: the input {wrt!r} (declared at {where}) is of integers"
        return WhyZero(why, "error", of, wrt, "integer", wrt, where)
    open_to = reached(order, start, made.specs)
    if end.vertex in open_to and made.specs[end.vertex][end.index].differentiable:
        names = " -> ".join(dict.fromkeys(v.origin.name for v in _back(open_to, end.vertex)))
        return WhyZero(f"d {of} / d {wrt} is not zero by structure: {names}", "fine", of, wrt, "not zero", zeros=0.0)
    stops = list(_stops(order, open_to, made.specs))
    return _cut(of, wrt, stops) if stops else _no_path(graph, of, wrt)


def reached(order: list[Vertex], start: Edge, specs: Mapping[Vertex, tuple[Spec, ...]]) -> dict[Vertex, Vertex | None]:
    """Vertex -> the one before it, for all that a derivative with respect to `start` is felt in."""
    found: dict[Vertex, Vertex | None] = {start.vertex: None}
    for vertex in order:
        for port, edge in vertex.inputs:
            real = specs[edge.vertex][edge.index].differentiable
            if edge.vertex in found and vertex not in found and real and cut(vertex, port) is None:
                found[vertex] = edge.vertex
    return found


def _back(before: Mapping[Vertex, Vertex | None], vertex: Vertex) -> list[Vertex]:
    path: list[Vertex] = []
    at: Vertex | None = vertex
    while at is not None:
        path.append(at)
        at = before[at]
    return path[::-1]


Stop = tuple[str, Vertex, str]
"""Word, the vertex that no derivative passes, and the reason in brackets."""


def _stops(
    order: list[Vertex], open_to: Mapping[Vertex, Vertex | None], specs: Mapping[Vertex, tuple[Spec, ...]]
) -> Iterator[Stop]:
    """Where the paths to the output end."""
    for vertex in order:
        for port, edge in vertex.inputs:
            if edge.vertex not in open_to:
                continue
            found = cut(vertex, port)
            if not specs[edge.vertex][edge.index].differentiable:
                yield "integer", edge.vertex, " (its result is integers)"
            elif found is not None:
                reason = getattr(vertex.node, "reason", "") if found.word == "detached" else f"input {port!r}"
                yield found.word, vertex, f" ({reason})" if reason else ""


def _cut(of: str, wrt: str, stops: list[Stop]) -> WhyZero:
    word, vertex, _ = stops[0]
    listed = dict.fromkeys(f"{v.origin.name!r}{reason}, declared at {v.origin.where}" for _, v, reason in stops)
    every = "every path is cut by" if len(listed) > 1 else "the path is cut by"
    sentence = f"d {of} / d {wrt} is zero: {word}: {every} {'; '.join(listed)}"
    return WhyZero(sentence, "error", of, wrt, word, vertex.origin.name, str(vertex.origin.where))


def _no_path(graph: Graph, of: str, wrt: str) -> WhyZero:
    start = graph.input(wrt)
    felt = {start.vertex}
    for vertex in graph.vertices:
        if any(edge.vertex in felt for edge in vertex.edges):
            felt.add(vertex)
    others = ", ".join(repr(name) for name, edge in graph.outputs.items() if edge.vertex in felt)
    where = str(start.vertex.origin.where)
    why = f"no path leads from {wrt!r} (declared at {where}) to {of!r}; it reaches only {others}"
    return WhyZero(f"d {of} / d {wrt} is zero: {why}", "error", of, wrt, "no path", wrt, where)


def why_zero(report: GradientReport, wrt: str, of: str | None = None) -> WhyZero:
    """By structure, or by the numbers of a run."""
    request = report.plan.request
    of = of or request.of[0]
    label = (of, "tangent") if request.mode == "tangent" else (of, wrt)
    if label not in report.plan.results:
        return structural(report.plan.graph, of, wrt)
    edge = report.plan.results[label]
    s = report.of(edge)
    assert s is not None
    if not s.zero:
        part = f"; {s.sparsity:.0%} of its entries are exactly 0" if s.zeros else ""
        sentence = f"d {of} / d {wrt} is not zero: its norm is {s.norm:.3g}{part}"
        return WhyZero(sentence, "fine", of, wrt, "not zero", zeros=s.sparsity)
    found = frontier(report, edge)
    vertex = found[0].vertex
    sentence = f"d {of} / d {wrt} is zero: numerically zero: {_reason(report, found[0])}"
    more = f" (and likewise on {len(found) - 1} more paths)" if len(found) > 1 else ""
    name, where = report.reader.name(vertex), str(vertex.origin.where)
    step = report.position[vertex]
    return WhyZero(sentence + more, "error", of, wrt, "numerically zero", name, where, step)


def frontier(report: GradientReport, edge: Edge) -> list[Edge]:
    """The derivatives that are exactly 0 though what they are made from is not, seen from a zero result."""
    found: dict[Edge, None] = {}
    stack, seen = [edge], {edge}
    while stack:
        at = stack.pop()
        moving = report.reader.moving(at.vertex)
        zeros = [e for e in moving if (s := report.of(e)) is not None and s.zero]
        every = isinstance(at.vertex.node, Add) or len(zeros) == len(moving)
        if not zeros or not every:
            found[at] = None
        for before in zeros if every else ():
            if before not in seen:
                seen.add(before)
                stack.append(before)
    return sorted(found, key=lambda e: report.position[e.vertex])


def _reason(report: GradientReport, edge: Edge) -> str:
    vertex, reader = edge.vertex, report.reader
    moving = reader.moving(vertex)
    if not moving:
        return f"it is the value of {reader.words(vertex)}, which is 0"
    if isinstance(vertex.node, Add):
        return f"the contributions to {reader.words(vertex)} cancel exactly"
    arriving = max(report.norm(e) for e in moving)
    kept = [e for e in vertex.edges if e not in moving]
    given = "".join(f", where {reader.carries(e)} is {report.range(e)}" for e in kept[:1] if report.of(e))
    return f"a derivative of norm {arriving:.3g} arrives at {reader.words(vertex)}, and none of it passes{given}"
