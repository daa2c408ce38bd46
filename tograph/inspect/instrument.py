"""Plan -> the same plan with measurements as further results: one small array for each device segment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from ..arithmetic import Add
from ..declare import Source
from ..draw.places import forward_lane
from ..edge import Edge, Origin, Vertex, made_for
from ..node import Constant
from ..plan import Label, Plan
from ..schedule import Segment, make_schedule
from .measure import Cosine, Measure, Pack

ROLE = "measured"
"""Role of the vertices that measure."""

OPAQUE = ("factor",)
"""Kinds of which nothing can be measured."""


@attrs.frozen(eq=False)
class Instrumented:
    """A plan with its measurements.

    Attributes:
        plan: what runs: all vertices of `of`, and those that measure.
        of: what is measured.
        rows: label of a packed result -> the edges that its rows are of.
        cosines: label of a packed result -> (sum, position of the term) of each of its entries.
        fields: label of a result -> the edge whose value it is.
    """

    plan: Plan
    of: Plan
    rows: Mapping[Label, tuple[Edge, ...]]
    cosines: Mapping[Label, tuple[tuple[Vertex, int], ...]]
    fields: Mapping[Label, Edge]


def instrument(plan: Plan, inputs: Iterable[Edge], *, fields: bool = False) -> Instrumented:
    """Measure everything that is computed on the device; host segments measure themselves, constants need no run.

    Args:
        plan: after its passes.
        inputs: of the program.
        fields: give back the values themselves too.
    """
    results: dict[Label, Edge] = {}
    rows: dict[Label, tuple[Edge, ...]] = {}
    cosines: dict[Label, tuple[tuple[Vertex, int], ...]] = {}
    forward = forward_lane(plan)
    sources = tuple(Edge(v) for v in plan.order if isinstance(v.node, Source))
    schedule = make_schedule(plan, inputs)
    parts = [(sources, ()), *(_work(segment, plan) for segment in schedule.segments if segment.where == "device")]
    for i, (edges, vertices) in enumerate(parts):
        if edges:
            label = ("measured rows", str(i))
            rows[label], results[label] = edges, _packed(*(_made(Measure(), edge) for edge in edges))
        terms = [(v, k) for v in vertices if v not in forward and is_sum(v, plan) for k in range(len(v.edges))]
        if terms:
            label = ("measured cosines", str(i))
            cosines[label] = tuple(terms)
            results[label] = _packed(*(_made(Cosine(), v.edges[k], Edge(v)) for v, k in terms))
    kept: dict[Label, Edge] = {}
    if fields:
        kept = {("measured field", str(i)): edge for i, edge in enumerate(_arrays(plan))}
    return Instrumented(attrs.evolve(plan, results=plan.results | results | kept), plan, rows, cosines, kept)


def is_sum(vertex: Vertex, plan: Plan) -> bool:
    """Whether a vertex adds arrays; lists of products (operators, dyads) are only joined."""
    return isinstance(vertex.node, Add) and plan.specs[vertex][0].kind not in ("operator", "dyad")


def _work(segment: Segment, plan: Plan) -> tuple[tuple[Edge, ...], tuple[Vertex, ...]]:
    return tuple(edge for vertex in segment.vertices for edge in measurable(vertex, plan)), segment.vertices


def measurable(vertex: Vertex, plan: Plan) -> list[Edge]:
    """The outputs of a vertex that are arrays or pairs of arrays."""
    return [Edge(vertex, i) for i, spec in enumerate(plan.specs[vertex]) if spec.kind not in OPAQUE]


def _arrays(plan: Plan) -> list[Edge]:
    """Everything that is computed or given, factors apart."""
    return [e for v in plan.order if not isinstance(v.node, Constant) for e in measurable(v, plan)]


def _made(node: Measure | Cosine, *edges: Edge) -> Edge:
    with made_for(Origin(edges[0].vertex.origin.name, edges[0].vertex.origin.where, role=ROLE)):
        made: Edge = node(*edges)
    return made


def _packed(*edges: Edge) -> Edge:
    with made_for(Origin("statistics", role=ROLE)):
        made: Edge = Pack()(*edges)
    return made
