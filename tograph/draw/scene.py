"""A plan sorted into places, with everything a picture has to know about them."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property

import attrs

from ..differentiate import Used
from ..edge import Edge, Origin, Vertex
from ..plan import Plan
from ..schedule import make_schedule
from ..spec import Spec
from ..writing import variable_name
from . import words
from .model import Wire
from .places import Place, base, places
from .traces import Removed, Traces


@attrs.frozen
class Flow:
    """One executed edge between two boxes (or, `tail == head`, inside one)."""

    tail: Place
    head: Place
    edge: Edge
    into: Vertex
    port: str


@attrs.frozen(eq=False)
class Scene:
    """A plan and where everything in it is drawn. `real` is the number of bytes of a real number."""

    plan: Plan
    detail: bool
    real: int

    @cached_property
    def traces(self) -> Traces:
        """What the passes took away."""
        return Traces(self.plan)

    @cached_property
    def gone(self) -> Removed:
        """The derivative work among it."""
        return self.traces.removed(self.members)

    @cached_property
    def where(self) -> dict[Vertex, Place]:
        """The place of every vertex."""
        return places(self.plan, self.detail)

    @cached_property
    def members(self) -> dict[Place, list[Vertex]]:
        """The steps at every place, in order of execution."""
        found: dict[Place, list[Vertex]] = defaultdict(list)
        for vertex in self.plan.order:
            found[self.where[vertex]].append(vertex)
        return dict(found)

    @cached_property
    def position(self) -> dict[Vertex, int]:
        """The positions in the plan's order."""
        return {vertex: i for i, vertex in enumerate(self.plan.order)}

    @cached_property
    def once(self) -> set[Vertex]:
        """What does not depend on the inputs, and is computed on the first call only."""
        segments = make_schedule(self.plan, self.plan.graph.inputs).segments
        return {vertex for segment in segments if segment.once for vertex in segment.vertices}

    @cached_property
    def flows(self) -> list[Flow]:
        """Every executed edge."""
        where = self.where
        return [
            Flow(where[edge.vertex], where[vertex], edge, vertex, port)
            for vertex in self.plan.order
            for port, edge in vertex.inputs
        ]

    @cached_property
    def leaving(self) -> dict[Place, list[Flow]]:
        """The executed edges that leave each place."""
        found: dict[Place, list[Flow]] = defaultdict(list)
        for flow in self.flows:
            found[flow.tail].append(flow)
        return found

    @cached_property
    def forward(self) -> dict[Origin, list[Place]]:
        """The places of the forward lane by origin."""
        found: dict[Origin, list[Place]] = defaultdict(list)
        for place in self.members:
            if place.lane == "forward":
                found[place.origin].append(place)
        return found

    @cached_property
    def used(self) -> dict[Origin, list[Used]]:
        """Which rules were taken, by the origin of what they differentiate."""
        found: dict[Origin, list[Used]] = defaultdict(list)
        for used in self.plan.used:
            found[base(used.vertex)].append(used)
        return found

    @cached_property
    def readers(self) -> dict[Vertex, set[Origin]]:
        """Steps that read an adjoint state off a state -> the origins of the solves that this saves."""
        found: dict[Vertex, set[Origin]] = defaultdict(set)
        for (vertex, _), (solve, _) in self.traces.saved.items():
            found[vertex].add(solve)
        return found

    @cached_property
    def results(self) -> dict[Place, list[tuple[str, ...]]]:
        """The labels of the results that each place computes."""
        found: dict[Place, list[tuple[str, ...]]] = defaultdict(list)
        for label, edge in self.plan.results.items():
            found[self.where[edge.vertex]].append(label)
        return found

    @cached_property
    def declared(self) -> dict[tuple[Origin, int], Vertex]:
        """The declared vertices by origin and copy."""
        found: dict[tuple[Origin, int], Vertex] = {}
        copies: Counter[Origin] = Counter()
        for vertex in self.plan.graph.vertices:
            found[base(vertex), copies[base(vertex)]] = vertex
            copies[base(vertex)] += 1
        return found

    def user(self, place: Place) -> Vertex | None:
        """The declared vertex that a place belongs to; None for the tangent of an input."""
        return self.declared.get((place.origin, place.copy)) or self.declared.get((place.origin, 0))

    def name(self, place: Place) -> str:
        """Its name, unique in the graph."""
        user = self.user(place)
        return self.plan.graph.names[user] if user else place.origin.name

    def id(self, place: Place) -> str:
        """The id of its box."""
        if self.detail and place in self.members:
            return f"step {self.position[self.members[place][0]]}"
        lane = () if place.lane == "forward" else (place.lane,)
        of = ("of", "+".join(place.of)) if place.of else ()
        return " ".join(part for part in (self.name(place), *lane, place.step, *of) if part)

    def spec(self, edge: Edge) -> Spec:
        """What an edge carries."""
        return self.plan.specs[edge.vertex][edge.index]

    def wire(self, flow: Flow) -> Wire:
        """An executed edge as plain data."""
        return Wire(self.position[flow.edge.vertex], flow.edge.index, self.position[flow.into], flow.port)

    def makes(self, place: Place) -> tuple[str, ...]:
        """The names of what a derivative place computes, by what it is used for: rho_bar, u_dot."""
        if self.detail:
            return (variable_name(self.members[place][0]),)
        suffix = words.SUFFIX[place.lane]
        if place.lane == "tangent":
            return (self.name(place) + suffix,)
        found = [label[1] + suffix for label in self.results.get(place, ()) if label[0] in place.of]
        if place.step == "solve" or self.reads_adjoint(place):
            return tuple(dict.fromkeys(("lambda", *found)))
        heads = [flow.head for flow in self.leaving.get(place, ()) if flow.head != place]
        return tuple(dict.fromkeys(found + [self.name(head) + suffix for head in heads]))

    def reads_adjoint(self, place: Place) -> bool:
        """Whether a place of another node scales a state to the adjoint state that was saved."""
        inside = self.members.get(place, ())
        return any(solve != place.origin for v in inside for solve in self.readers.get(v, ()))

    def mate(self, place: Place) -> str:
        """The id of the forward box beside which a derivative place is drawn."""
        forward = self.forward.get(place.origin, [])
        if place.step == "seed":
            ends = [name for name in place.of if name in self.plan.request.of]
            return f"output {ends[0]}" if ends else ""
        if place.step == "accumulate" or not forward or self.detail:
            return ""
        # K_bar is computed after lambda: one rank up, beside the factor.
        factors = [p for p in forward if p.step == "factor"]
        if place.lane == "reverse" and place.step != "solve":
            if factors:
                return self.id(factors[-1])
            if attrs.evolve(place, step="solve") in self.members:
                return ""
        return self.id(forward[-1])
