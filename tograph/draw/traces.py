"""What the passes took away, found by holding the plan that runs against the plan before its passes.

A picture shows removed work as removed: a folded seed, a solve that was saved, a detached edge whose
derivative is missing. None of it is executed, so none of it is in the plan; it is in its history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

import attrs

from ..columns import TakeColumns
from ..declare import Detach, WithGradientOf
from ..edge import Edge, Origin, Vertex
from ..graph import topological
from ..node import Node
from ..plan import Label, Plan
from ..planning import make_plan
from .places import Place, base, forward_lane, places

Port = tuple[Vertex, str]
"""Where an executed edge ends: vertex and port."""


@attrs.frozen
class Removed:
    """Derivative work that the passes took away.

    Attributes:
        reasons: place -> why it is gone.
        joined: pairs of places, of which one was the input of the other; at least one of them may be gone.
        results: place that is gone -> the labels of the results it gave.
    """

    reasons: dict[Place, tuple[str, ...]]
    joined: list[tuple[Place, Place]]
    results: dict[Place, list[tuple[str, ...]]]


@attrs.frozen(eq=False)
class Traces:
    """A plan beside the one it was made from."""

    plan: Plan

    @cached_property
    def raw(self) -> Plan:
        """The plan as differentiation left it."""
        return make_plan(self.plan.graph, self.plan.request, self.plan.backend)

    @cached_property
    def twins(self) -> dict[Vertex, Vertex]:
        """Executed vertex -> the one it was before the passes; vertices that a pass made have none."""
        before = _by_identity(self.raw.order)
        found: dict[Vertex, Vertex] = {}
        for key, after in _by_identity(self.plan.order).items():
            found.update(zip(after, before.get(key, []), strict=False))
        return found

    @cached_property
    def detached(self) -> dict[Port, tuple[str, str]]:
        """Executed edges of the forward pass that were detached -> name and reason."""
        return self._cut(Detach)

    @cached_property
    def replaced(self) -> dict[Port, tuple[str, str]]:
        """Likewise, those that carry the value of a surrogate."""
        return self._cut(WithGradientOf)

    def _cut(self, by: type[Node]) -> dict[Port, tuple[str, str]]:
        forward = forward_lane(self.plan)
        both = [(vertex, twin) for vertex, twin in self.twins.items() if vertex in forward]
        ends = [((vertex, port), edge.vertex) for vertex, twin in both for port, edge in twin.inputs]
        return {port: named for port, before in ends if isinstance(before.node, by) and (named := cut_at(before))}

    @cached_property
    def surrogates(self) -> dict[Port | Label, tuple[str, str]]:
        """Executed edges, and results, by which a derivative goes where no value did -> the surrogate, and whose slope.

        They carry what the rule of the surrogate gave, back to where that slope is from or on to where the
        surrogate is used.
        """
        found: dict[Port | Label, tuple[str, str]] = {}
        for used in (used for used in self.raw.used if used.how == "surrogate" and used.port == "derivative"):
            slope, made = dict(used.vertex.inputs)["derivative"].vertex, used.made
            named = (used.vertex.origin.name, slope.origin.name)
            ends = {base(v) for v in (*topological([Edge(slope)]), used.vertex, *self._after(used.vertex))}
            for vertex in self.plan.order:
                ports = [port for port, edge in vertex.inputs if _same(edge, made) and base(vertex) in ends]
                found |= {(vertex, port): named for port in ports}
            results = {label: edge for label, edge in self.plan.results.items() if len(label) > 1 and _same(edge, made)}
            found |= {label: named for label in results if base(self._end(label)) in ends}
        return found

    def _end(self, label: Label) -> Vertex:
        """What a derivative is of that ends in a result."""
        graph = self.plan.graph
        return (graph.outputs[label[0]] if label[1] == "tangent" else graph.input(label[1])).vertex

    def _after(self, vertex: Vertex) -> set[Vertex]:
        """What a vertex of the forward pass leads to."""
        forward, reached = forward_lane(self.raw), {vertex}
        for other in self.raw.order:
            if other in forward and any(edge.vertex in reached for edge in other.edges):
                reached.add(other)
        return reached - {vertex}

    @cached_property
    def saved(self) -> dict[Port, tuple[Origin, bool]]:
        """Executed edges that read an adjoint state off a state -> the solve, and whether they are equal.

        They leave the vertex into which a solve of another role was merged. An edge that was there
        before the merge carries the state itself and is not among them.
        """
        forward = forward_lane(self.plan)
        found: dict[Port, tuple[Origin, bool]] = {}
        kept = {c.into for c in self.plan.changes if c.by == "sharing" and _saves_a_solve(c.removed, c.into)}
        origins = {vertex.origin for vertex in kept if vertex is not None}
        kept |= {v for v in self.plan.order if isinstance(v.node, TakeColumns) and v.origin in origins}
        for vertex in self.plan.order:
            for port, edge in vertex.inputs:
                if edge.vertex in kept and vertex not in forward:
                    was = self._was(vertex, port)
                    if was is None or was.origin.role != "forward" or was.node.counts != "solve":
                        equal = was is not None and was.node.counts == "solve"
                        found[vertex, port] = (base(edge.vertex), equal)
        return found

    def _was(self, vertex: Vertex, port: str) -> Vertex | None:
        twin = self.twins.get(vertex)
        return dict(twin.inputs)[port].vertex if twin and port in dict(twin.inputs) else None

    def removed(self, executed: Iterable[Place]) -> Removed:
        """The derivative work that is gone, and what it joined."""
        raw = places(self.raw, detail=False)
        alive = dict.fromkeys(executed)
        near: dict[tuple[str, str, str], list[Place]] = defaultdict(list)
        for place in alive:
            near[_work(place)].append(place)
        now = {place: _alive(place, near[_work(place)]) or place for place in raw.values() if place.lane != "forward"}
        gone = [p for p, kept in now.items() if kept not in alive and p.step in ("", "seed")]
        flow: dict[Place, list[Place]] = defaultdict(list)
        for vertex in self.raw.order:
            for edge in vertex.edges:
                ends = now.get(raw[edge.vertex]), now.get(raw[vertex])
                if ends[0] and ends[1] and ends[0] != ends[1]:
                    flow[ends[0]].append(ends[1])
        drawn = {*gone, *alive}
        joined = dict.fromkeys(
            (tail, head) for tail in list(flow) if tail in drawn for head in _next(tail, flow, drawn)
        )
        made_at = {label: raw[edge.vertex] for label, edge in self.raw.results.items()}
        results = {place: [label for label, at in made_at.items() if at == place] for place in gone}
        return Removed({place: self._reasons(place) for place in gone}, list(joined), results)

    def _reasons(self, place: Place) -> tuple[str, ...]:
        here = [c for c in self.plan.changes if c.removed and c.removed.origin.role != "forward"]
        return tuple(dict.fromkeys(c.reason for c in here if c.removed and base(c.removed) == place.origin))


def cut_at(vertex: Vertex) -> tuple[str, str] | None:
    """Name and reason of a cut or of a surrogate; None for another vertex."""
    cut = vertex.edges[0].vertex if isinstance(vertex.node, WithGradientOf) else vertex
    return (vertex.origin.name, cut.node.reason) if isinstance(cut.node, Detach) else None


def _same(edge: Edge, made: Edge | None) -> bool:
    """Whether an executed edge is that one, whatever it was computed from meanwhile."""
    if made is None or edge.index != made.index:
        return False
    return (edge.vertex.origin, edge.vertex.node) == (made.vertex.origin, made.vertex.node)


def _by_identity(order: tuple[Vertex, ...]) -> dict[tuple[Origin, str], list[Vertex]]:
    found: dict[tuple[Origin, str], list[Vertex]] = defaultdict(list)
    for vertex in order:
        found[vertex.origin, vertex.node.key].append(vertex)
    return found


def _saves_a_solve(removed: Vertex | None, into: Vertex | None) -> bool:
    if removed is None or into is None or removed.node.counts != "solve":
        return False
    return removed.origin.role != into.origin.role


def _work(place: Place) -> tuple[str, str, str]:
    """What places of the same work have in common, whatever output they serve."""
    return place.origin.name, place.lane, place.step


def _alive(place: Place, executed: list[Place]) -> Place | None:
    """The executed place that does its work, perhaps for more outputs than it did."""
    for other in executed:
        # A seed that is an input is declared by the request: its line is that of the caller.
        same = place.step == "seed" or other.origin == place.origin
        if same and set(place.of) <= set(other.of):
            return other
    return None


def _next(tail: Place, flow: dict[Place, list[Place]], drawn: set[Place]) -> list[Place]:
    """What a place feeds, passing over places that are not drawn."""
    found, stack, seen = [], list(flow[tail]), {tail}
    while stack:
        place = stack.pop(0)
        if place in seen:
            continue
        seen.add(place)
        if place in drawn:
            found.append(place)
        else:
            stack += flow[place]
    return found
