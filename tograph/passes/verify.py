"""What no pass may change: shapes, types, labels, inputs; and that every step still fits what it is given."""

from __future__ import annotations

from collections.abc import Iterator

from ..declare import Source
from ..edge import Edge, Vertex
from ..errors import TographError
from ..graph import topological
from ..plan import Label, Plan, Stage
from ..spec import Spec
from ..validate import infer_specs


class PassError(TographError):
    """A pass made a plan that is wrong: a fault of the compiler, not of the graph."""


def verify(stage: Stage) -> None:
    """Look at a plan after a pass without running it.

    Checked are: the results (none lost or added; kinds, shapes and dtypes as before); every step (its
    ports, that it accepts its inputs, that it is linear in ports that exist); the inputs (no new ones). Numbers
    are compared by `Comparison`.

    Raises:
        PassError: names the pass and everything that is wrong.
    """
    found = list(_wrong(stage.before, stage.after))
    if found:
        lines = "".join(f"\n  {line}" for line in found)
        raise PassError(f"the pass {stage.name!r} made a plan that is not valid:{lines}")


def _wrong(before: Plan, after: Plan) -> Iterator[str]:
    order = topological(after.results.values())
    specs: dict[Vertex, tuple[Spec, ...]] = {}
    for vertex in order:
        found = list(_misfits(vertex, specs))
        yield from found
        if found:
            return  # what depends on it has no specs to be checked with
    yield from _inputs(before, order)
    yield from _results(before, after, specs)


def _misfits(vertex: Vertex, specs: dict[Vertex, tuple[Spec, ...]]) -> Iterator[str]:
    node, name = vertex.node, f"{vertex.node.title} of {vertex.origin.name!r}"
    ports, given = [port.name for port in node.ports()], [port for port, _ in vertex.inputs]
    if not any(port.variadic for port in node.ports()):
        required = [port.name for port in node.ports() if not port.optional]
        if [p for p in given if p not in ports] or [p for p in required if p not in given]:
            yield f"{name} has inputs {given}, but its ports are {ports}"
            return
    if missing := [port for port in (*node.linear, node.scaling, node.columns) if port and port not in ports]:
        yield f"{name} is said to be linear in {missing}, which are no ports of it"
    if any(edge.index >= len(edge.vertex.node.outputs) for edge in vertex.edges):
        yield f"{name} takes an output that does not exist"
        return
    try:
        specs[vertex] = infer_specs(vertex, specs)
    except TographError as error:
        yield f"{name} does not accept its inputs: {error}"


def _inputs(before: Plan, order: list[Vertex]) -> Iterator[str]:
    known = {v for v in before.order if isinstance(v.node, Source)}
    for vertex in order:
        if isinstance(vertex.node, Source) and vertex not in known:
            yield f"the input {vertex.node.name!r} is new: nobody will give it a value"


def _results(before: Plan, after: Plan, specs: dict[Vertex, tuple[Spec, ...]]) -> Iterator[str]:
    for label, edge in before.results.items():
        if label not in after.results:
            yield f"the result {_words(label)} is gone"
            continue
        was, now = _spec(edge, before.specs), _spec(after.results[label], specs)
        if (was.kind, was.shape, was.dtype) != (now.kind, now.shape, now.dtype):
            yield f"the result {_words(label)} was {was.label()}, and is {now.label()}"
    for label in after.results:
        if label not in before.results and label[0] != "status":
            yield f"the result {_words(label)} is new"


def _spec(edge: Edge, specs: dict[Vertex, tuple[Spec, ...]]) -> Spec:
    return specs[edge.vertex][edge.index]


def _words(label: Label) -> str:
    """("c", "x") -> 'c' by 'x'."""
    return " by ".join(repr(part) for part in label)
