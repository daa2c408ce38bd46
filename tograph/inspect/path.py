"""One path through the graph with the numbers on it: values on the way there, cotangents on the way back."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from ..differentiate import cut
from ..edge import Vertex
from ..errors import TographError, did_you_mean
from .answer import Answer

if TYPE_CHECKING:
    from .report import GradientReport


@attrs.frozen
class Station:
    """A declared node on a path: norms of its value and of the derivative with respect to it (NaN if unknown)."""

    node: str
    operation: str
    where: str
    value: float
    derivative: float


@attrs.frozen
class Path(Answer):
    """A shortest path, from `stations[0]` to `stations[-1]`; `cut_at` is the node that no derivative passes, or ""."""

    stations: tuple[Station, ...]
    cut_at: str = ""


def path(report: GradientReport, start: str, end: str) -> Path:
    """The shortest path between two declared nodes; outputs are known by their names too.

    Raises:
        TographError: there is no such node.
    """
    graph = report.plan.graph
    known = {graph.names[v]: v for v in graph.vertices} | {k: e.vertex for k, e in graph.outputs.items()}
    for name in (start, end):
        if name not in known:
            raise TographError(f"there is no node {name!r}. {did_you_mean(name, known)}")
    steps = shortest(graph.vertices, known[start], known[end])
    if not steps:
        return Path(f"no path leads from {start!r} to {end!r}", "note", ())
    heads = report.heads
    back = {step: report.norm(ct) for step, _, ct in report.states()}
    stations = []
    for vertex in steps:
        at = heads.get(graph.names[vertex])
        value = report.statistics.get((at, 0)) if at is not None else None
        norm = value.norm if value else math.nan
        title, where = vertex.node.title, str(vertex.origin.where)
        stations.append(Station(graph.names[vertex], title, where, norm, back.get(-1 if at is None else at, math.nan)))
    stop = next((v for u, v in pairwise(steps) if _closed(u, v)), None)
    names = " -> ".join(f"{s.node} ({s.value:.3g})" for s in stations)
    words = f"{names}, values by their norms"
    if stop is None:
        return Path(words, "fine", tuple(stations))
    name = graph.names[stop]
    words += f"; no derivative passes {name!r}, declared at {stop.origin.where}"
    return Path(words, "note", tuple(stations), name)


def _closed(before: Vertex, vertex: Vertex) -> bool:
    """Whether every wire between two vertices is cut."""
    return all(cut(vertex, port) is not None for port, edge in vertex.inputs if edge.vertex is before)


def shortest(order: tuple[Vertex, ...], start: Vertex, end: Vertex) -> list[Vertex]:
    """A path with the fewest vertices, those through cuts only where there is no other; [] if there is none."""
    best: dict[Vertex, tuple[int, int, Vertex | None]] = {start: (0, 0, None)}
    for vertex in order:
        for _, edge in vertex.inputs:
            if edge.vertex in best and vertex is not start:
                cuts, length, _ = best[edge.vertex]
                through = (cuts + _closed(edge.vertex, vertex), length + 1, edge.vertex)
                if vertex not in best or through[:2] < best[vertex][:2]:
                    best[vertex] = through
    if end not in best:
        return []
    found: list[Vertex] = []
    at: Vertex | None = end
    while at is not None:
        found.append(at)
        at = best[at][2]
    return found[::-1]
