"""Plan -> plan for every member of a batch: what depends on the batch gets a leading axis, the rest is done once.

Vertex by vertex, in order:

* nothing that arrives has the axis: the vertex is kept, and shared by all members;
* a linear map that treats the columns of its argument one by one (`Node.columns`, e.g. a solve with a given
  factor), where only that argument has the axis: the members become columns of one call;
* anything else becomes `Each`: vectorised on the device, member by member on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from .backends.base import map_arrays
from .declare import Source
from .derivative import implementation
from .edge import Edge, Vertex
from .errors import SolveError
from .node import Node, Port, node
from .plan import Change, Label, Plan
from .spec import Axis, Spec

if TYPE_CHECKING:
    from .backends.base import Backend

MEMBER = "member"
"""The name of the leading axis."""


@node
class Each(Node):
    """A node applied to every member of a batch.

    Attributes:
        of: the node.
        varying: for each of its inputs, whether it has the leading axis.
        count: how many members there are.
    """

    of: Node
    varying: tuple[bool, ...]
    count: int

    def ports(self) -> tuple[Port, ...]:
        """Those of the node."""
        return self.of.ports()

    @property
    def outputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """Those of the node."""
        return self.of.outputs

    @property
    def title(self) -> str:
        """That of the node."""
        return self.of.title

    @property
    def host(self) -> bool:  # type: ignore[override]
        """Whether the node runs on the host: then the members are done one by one."""
        return self.of.host

    @property
    def counts(self) -> str:  # type: ignore[override]
        """As the node."""
        return self.of.counts

    @property
    def times(self) -> int:  # type: ignore[override]
        """Once for every member."""
        return self.count * self.of.times

    def describe(self) -> str:
        """The node's own parameters, and how many members there are."""
        return f"{self.of.describe()} for each of {self.count}".strip()

    def infer(self, *specs: Spec) -> Spec | tuple[Spec, ...]:
        """The specs of the node, with the leading axis."""
        one = [member_of(spec) if moves else spec for spec, moves in zip(specs, self.varying, strict=True)]
        made = self.of.infer(*one)
        several = made if isinstance(made, tuple) else (made,)
        batched = tuple(every(spec, self.count) for spec in several)
        return batched if isinstance(made, tuple) else batched[0]

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """Vectorised, or a loop of NumPy calls."""
        run = implementation(self.of, backend)
        if self.host:
            return lambda *values: _one_by_one(run, values, self.varying, self.count)
        return lambda *values: backend.batch(run, *values, varying=self.varying)


def _one_by_one(run: Callable[..., Any], values: tuple[Any, ...], varying: tuple[bool, ...], count: int) -> Any:
    made = []
    for i in range(count):
        try:
            made.append(run(*(_pick(v, i) if moves else v for v, moves in zip(values, varying, strict=True))))
        except SolveError as error:
            raise SolveError(f"member {i} of the batch: {error}") from error
    return _gather(made)


def _pick(value: Any, i: int) -> Any:
    """Member i of an array, of a pair of arrays, or of a list of what a solver keeps."""
    return value[i] if isinstance(value, list) else map_arrays(lambda x: x[i], value)


def _gather(made: list[Any]) -> Any:
    if isinstance(made[0], tuple):
        return tuple(_gather(list(parts)) for parts in zip(*made, strict=True))
    return np.stack(made) if isinstance(made[0], np.ndarray | np.generic | float | int) else made


@node
class Repeat(Node):
    """y_i = x for every member i of a batch."""

    inputs = (Port("x"),)
    count: int

    def infer(self, *specs: Spec) -> Spec:
        """x with the leading axis."""
        return every(specs[0], self.count)

    def forward(self, xp: Any, *values: Any) -> Any:
        """Broadcast."""
        return map_arrays(lambda x: xp.broadcast_to(x[None], (self.count, *x.shape)), values[0])


@node
class ToColumns(Node):
    """(members, n) or (members, n, cases) -> (n, members * cases): every member's columns side by side."""

    inputs = (Port("x", "vector"),)

    def infer(self, *specs: Spec) -> Spec:
        """A vector with as many cases as there are columns."""
        (x,) = specs
        cases = x.shape[0] * (x.shape[2] if len(x.shape) > 2 else 1)
        return attrs.evolve(x, axes=(x.axes[1], Axis("case", cases)))

    def forward(self, xp: Any, *values: Any) -> Any:
        """Move the members to the second axis."""
        (x,) = values
        n = x.shape[1]
        return xp.reshape(xp.permute_dims(x, (1, 0, *range(2, x.ndim))), (n, -1))


@node
class FromColumns(Node):
    """The inverse of `ToColumns`. `spec` is that of one member."""

    inputs = (Port("y", "vector"),)
    count: int
    spec: Spec

    def infer(self, *specs: Spec) -> Spec:
        """One vector for every member."""
        return every(self.spec, self.count)

    def forward(self, xp: Any, *values: Any) -> Any:
        """Move the members to the first axis."""
        n, *cases = self.spec.shape
        x = xp.reshape(values[0], (n, self.count, *cases))
        return xp.permute_dims(x, (1, 0, *range(2, x.ndim)))


def every(spec: Spec, count: int) -> Spec:
    """A spec with the leading axis."""
    return attrs.evolve(spec, axes=(Axis(MEMBER, count), *spec.axes))


def member_of(spec: Spec) -> Spec:
    """The spec of one member."""
    return attrs.evolve(spec, axes=spec.axes[1:])


def batched(plan: Plan, over: Collection[str], count: int) -> tuple[Plan, dict[Edge, Edge]]:
    """The plan for `count` members, and what became of the inputs `over` (graph inputs and further ones)."""
    made = _Batching(plan, count)
    for edge in (*plan.graph.inputs, *plan.further):
        made.begin(edge, over)
    for vertex in plan.order:
        made.visit(vertex)
    results = {label: made.result(label, edge) for label, edge in plan.results.items()}
    further = tuple(made.new[edge] for edge in plan.further)
    inputs = {edge: made.new[edge] for edge in (*plan.graph.inputs, *plan.further)}
    reason = f"{count} members at once: what does not differ between them is done once"
    return attrs.evolve(plan.changed("batch", reason, results, tuple(made.changes(over))), further=further), inputs


class _Batching:
    """One walk over a plan."""

    def __init__(self, plan: Plan, count: int) -> None:
        self.plan, self.count = plan, count
        self.new: dict[Edge, Edge] = {}
        self.moving: set[Edge] = set()
        self.columns: list[Change] = []
        self.shared = self.repeated = 0

    def begin(self, edge: Edge, over: Collection[str]) -> None:
        """An input, of which every member has its own if it is named in `over`."""
        source = edge.vertex.node
        assert isinstance(source, Source)
        if source.name not in over:
            self.new[edge] = edge
            return
        own = Source(source.name, every(source.spec, self.count))
        self.new[edge] = Edge(Vertex(own, (), edge.vertex.origin))
        self.moving.add(edge)

    def visit(self, vertex: Vertex) -> None:
        """Keep the vertex, or have it done for every member."""
        if isinstance(vertex.node, Source):
            return
        inputs = tuple((port, self.new[edge]) for port, edge in vertex.inputs)
        moves = tuple(edge in self.moving for edge in vertex.edges)
        outs = [Edge(vertex, i) for i in range(len(vertex.node.outputs))]
        if not any(moves):
            kept = vertex if inputs == vertex.inputs else Vertex(vertex.node, inputs, vertex.origin)
            self.new.update((out, Edge(kept, out.index)) for out in outs)
            self.shared += bool(vertex.edges)
            return
        if [port for (port, _), moving in zip(inputs, moves, strict=True) if moving] == [vertex.node.columns]:
            self._side_by_side(vertex, inputs)
            return
        self.moving.update(outs)
        each = Vertex(Each(vertex.node, moves, self.count), inputs, vertex.origin)
        self.new.update((out, Edge(each, out.index)) for out in outs)
        self.repeated += 1

    def _side_by_side(self, vertex: Vertex, inputs: tuple[tuple[str, Edge], ...]) -> None:
        """Every member has columns of its own in the first output; others are of the call as a whole."""
        origin = vertex.origin
        aside = attrs.evolve(origin, part="members")
        placed = tuple(
            (port, Edge(Vertex(ToColumns(), (("x", edge),), aside)) if port == vertex.node.columns else edge)
            for port, edge in inputs
        )
        solved = Vertex(vertex.node, placed, origin)
        reason = f"{vertex.node.title} of {origin.name!r}: one call for all {self.count} members, as columns"
        self.columns.append(Change("batch", reason, vertex, solved))
        back = FromColumns(self.count, self.plan.specs[vertex][0])
        first = Edge(vertex)
        self.new[first] = Edge(Vertex(back, (("y", Edge(solved)),), aside))
        self.moving.add(first)
        self.new.update((Edge(vertex, i), Edge(solved, i)) for i in range(1, len(vertex.node.outputs)))

    def result(self, label: Label, edge: Edge) -> Edge:
        """A result has the axis, whether it depends on the batch or not; the check of an equation need not."""
        if edge in self.moving or label[0] == "status":
            return self.new[edge]
        return Edge(Vertex(Repeat(self.count), (("x", self.new[edge]),), edge.vertex.origin))

    def changes(self, over: Collection[str]) -> list[Change]:
        """What was done, for the history."""
        reason = f"{self.count} members, which differ in {', '.join(over)}: {self.repeated} steps are done for each"
        return [Change("batch", f"{reason}, {self.shared} once for all"), *self.columns]
