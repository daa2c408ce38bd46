"""Rematerialisation: of the values that the derivative needs, keep some and compute the others again.

With s slots, a chain of n forward steps is reversed like this: run to step m and keep what goes on from there (one
slot); reverse the steps after m with s - 1 slots; let go of the slot, compute the first m steps again, and reverse
them with s slots. If C(s + r, s) >= n, then m can be chosen such that no step is computed again more than r times,
which is the least possible (A. Griewank, A. Walther, ACM Trans. Math. Softw. 26:19, 2000, algorithm 799). For
other graphs than chains the steps are taken in their order, and a slot is all that goes on from step m.

The most slots are taken whose predicted peak is within the budget. Solves, equations and host steps are
never repeated: their results are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import attrs

from ..again import ROLE, Again
from ..declare import Source
from ..edge import Edge, Vertex
from ..errors import TographError
from ..implicit import ImplicitNode
from ..liveness import thrifty
from ..memory import Peak
from ..node import Constant, Node
from ..plan import Change, Plan

DERIVED = ("reverse", "seed", "accumulate", "tangent")
REASON = "what is computed again need not be held until the derivative wants it"
MOST = 16
"""A step is computed again so many times on average, at most."""


def rematerialise(plan: Plan, budget: int, peak: Callable[[Plan], Peak]) -> Plan:
    """The plan that computes least again among those whose predicted peak is within `budget` bytes.

    Args:
        plan: after all other passes.
        budget: bytes.
        peak: predicts the peak of a plan.

    Raises:
        TographError: none is; says the smallest peak, and where it is reached.
    """
    peaks = []
    for choice in choices(plan):
        peaks.append(peak(choice))
        if peaks[-1].bytes <= budget:
            return choice
    least = min(peaks, key=lambda found: found.bytes)
    assert least.at is not None
    where = f"{least.at.node.title} of {least.at.origin.name!r}, which takes and gives {least.own:,} bytes at once"
    raise TographError(
        f"the memory budget of {budget:,} bytes cannot be met: the peak is {peaks[0].bytes:,} bytes, and "
        f"{least.bytes:,} if all that can be is computed again, reached in {where}. "
        "Give a larger budget, dtype='float32', or a smaller problem"
    )


def choices(plan: Plan) -> Iterator[Plan]:
    """The plan as it is, then with ever fewer slots."""
    yield plan
    stages = _stages(plan)
    slots = len(stages) - 1
    while slots > 0 and repetitions(len(stages), slots - 1) <= MOST * len(stages):
        slots = min(slots - 1, slots * 9 // 10)
        yield _Repetition(plan, stages, slots).plan()


def repetitions(steps: int, slots: int) -> int:
    """How many steps are computed again, all repetitions counted."""
    return sum(last - first for first, last, _ in _intervals(steps, slots))


def _intervals(steps: int, slots: int) -> Iterator[tuple[int, int, int]]:
    """The intervals of steps that are computed again: first, beyond the last, and how many such are around it."""
    stack = [(0, steps, slots, 0)]
    while stack:
        first, end, left, depth = stack.pop()
        if end - first > left + 1:
            middle = first + _split(end - first, left)
            yield first, middle, depth
            stack += [(middle, end, max(left - 1, 0), depth), (first, middle, left, depth + 1)]


def _split(steps: int, slots: int) -> int:
    """After how many of the steps to keep what goes on; the rest has one slot less."""
    if not slots:
        return steps - 1
    most = next(r for r in range(1, steps + 1) if math.comb(slots + r, slots) >= steps)
    return max(1, steps - math.comb(slots + most - 1, slots - 1))


def _repeatable(plan: Plan) -> list[Vertex]:
    """The forward steps on the device that depend on an input and are no solves."""
    varying: set[Vertex] = set()
    for vertex in plan.order:
        if isinstance(vertex.node, Source) or any(edge.vertex in varying for edge in vertex.edges):
            varying.add(vertex)
    return [v for v in plan.order if v in varying and v.origin.role == "forward" and _is_cheap(v.node)]


def _stages(plan: Plan) -> list[list[Vertex]]:
    """The repeatable steps in groups, each of which ends with one whose result a derivative reads."""
    read = {edge.vertex for vertex in plan.order if vertex.origin.role in DERIVED for edge in vertex.edges}
    stages: list[list[Vertex]] = [[]]
    for vertex in _repeatable(plan):
        stages[-1].append(vertex)
        if vertex in read:
            stages.append([])
    return [stage for stage in stages if stage]


def _is_cheap(node: Node) -> bool:
    inner = getattr(node, "of", node)  # what is done for each member of a batch
    return not (node.host or node.counts or isinstance(node, Source) or isinstance(inner, ImplicitNode))


@attrs.define(eq=False)
class _Copy:
    """Stages `first` to `end` (not included), computed again from what `within` has (None: the first time)."""

    first: int
    end: int
    within: _Copy | None
    values: dict[Edge, Edge] = attrs.field(factory=dict)
    made: bool = False

    @property
    def around(self) -> list[_Copy]:
        """This one and those it lies in, outermost first."""
        return [*(self.within.around if self.within else ()), self]


class _Repetition:
    """A plan whose derivative reads copies of forward steps."""

    def __init__(self, plan: Plan, stages: list[list[Vertex]], slots: int) -> None:
        self.before, self.stages = plan, stages
        self.at = {vertex: i for i, stage in enumerate(stages) for vertex in stage}
        self.reach: dict[Edge, float] = dict.fromkeys(plan.results.values(), math.inf)
        for vertex in plan.order:
            if vertex.origin.role not in DERIVED:
                place = self.at.get(vertex, math.inf)
                self.reach.update((edge, max(place, self.reach.get(edge, 0))) for edge in vertex.edges)
        self.innermost: list[_Copy | None] = [None] * len(stages)
        for first, end, depth in _intervals(len(stages), slots):
            within = self.innermost[first]
            copy = _Copy(first, end, within.around[depth - 1] if within and depth else None)
            self.innermost[first:end] = [copy] * (end - first)
        self.new: dict[Edge, Edge] = {}
        self.changes: list[Change] = []

    def plan(self) -> Plan:
        """Walk over the plan."""
        specs = self.before.specs
        order = thrifty(self.before.order, self.before.results.values(), lambda e: specs[e.vertex][e.index].nbytes())
        for vertex in order:
            derived = vertex.origin.role in DERIVED
            inputs = tuple((p, self._read(e, vertex) if derived else self.new[e]) for p, e in vertex.inputs)
            made = vertex if inputs == vertex.inputs else Vertex(vertex.node, inputs, vertex.origin)
            self.new.update((Edge(vertex, i), Edge(made, i)) for i in range(len(vertex.node.outputs)))
        # Results that are there first come first: a later one must not ask for its copies before they are gone.
        place = {vertex: i for i, vertex in enumerate(order)}
        found = sorted(self.before.results.items(), key=lambda item: place[item[1].vertex])
        results = {label: self.new[edge] for label, edge in found}
        return self.before.changed("rematerialise", REASON, results, tuple(self.changes))

    def _read(self, edge: Edge, reader: Vertex) -> Edge:
        """What a derivative reads: the first of the copies in which the value is still held."""
        found = self.innermost[self.at[edge.vertex]] if edge.vertex in self.at else None
        source: _Copy | None = None
        for copy in found.around if found else ():
            if self._goes_on(edge, copy):
                break
            source = copy
        if source is None:
            return self.new[edge]
        moving = (e for e in reader.edges if e.vertex.origin.role in DERIVED and not _is_given(e))
        after = next((self.new[e] for e in moving), None)
        for copy in source.around:
            if not copy.made:
                copy.made = True
                self._fill(copy, after)
        return source.values[edge]

    def _goes_on(self, edge: Edge, copy: _Copy) -> bool:
        """Whether a value made in a copied interval is kept from before, for what follows the interval."""
        return self.reach.get(edge, 0) >= copy.end

    def _value(self, edge: Edge, copy: _Copy | None) -> Edge:
        while copy is not None:
            if edge in copy.values:
                return copy.values[edge]
            copy = copy.within
        return self.new[edge]

    def _fill(self, copy: _Copy, after: Edge | None) -> None:
        steps = [vertex for stage in self.stages[copy.first : copy.end] for vertex in stage]
        for vertex in steps:
            inputs = tuple((port, self._value(edge, copy)) for port, edge in vertex.inputs)
            if not any(edge in copy.values for edge in vertex.edges):
                inputs = _apart(vertex, inputs, after)
            made = Vertex(vertex.node, inputs, attrs.evolve(vertex.origin, role=ROLE))
            outs = (Edge(vertex, i) for i in range(len(vertex.node.outputs)))
            copy.values.update((out, Edge(made, out.index)) for out in outs if not self._goes_on(out, copy))
        self.changes.append(_change(steps))


Inputs = tuple[tuple[str, Edge], ...]


def _apart(vertex: Vertex, inputs: Inputs, after: Edge | None) -> Inputs:
    """One input behind `Again`: then the step differs from the one that it repeats."""
    at = next(i for i, (_, edge) in enumerate(inputs) if not isinstance(edge.vertex.node, Constant))
    port, edge = inputs[at]
    origin = attrs.evolve(vertex.origin, role=ROLE, part=f"from_{edge.vertex.origin.name}")
    waits = (("after", after),) if after is not None else ()
    mark = Edge(Vertex(Again(), (("x", edge), *waits), origin))
    return (*inputs[:at], (port, mark), *inputs[at + 1 :])


def _is_given(edge: Edge) -> bool:
    return isinstance(edge.vertex.node, Source | Constant)


def _change(steps: list[Vertex]) -> Change:
    names = list(dict.fromkeys(vertex.origin.name for vertex in steps))
    listed = ", ".join(names) if len(names) < 5 else f"{names[0]}, ..., {names[-1]}"
    count = f"{len(steps)} step{'s' if len(steps) != 1 else ''}"
    return Change("rematerialise", f"{count} ({listed}) computed again for the derivative, not kept until then")
