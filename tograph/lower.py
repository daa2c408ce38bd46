"""Schedule -> runnable: each segment becomes a Python function that can be read, then compiled, and run over slots.

The text that `program.source()` prints is the text that is executed. A call of a program (`compiled`) and a program
inside a framework's transforms (`parts`) run the same steps by `run`; they differ in what they do about the host.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import attrs

from .backends.base import Backend
from .edge import Edge
from .reuse import reused
from .schedule import Schedule, Segment
from .spec import Spec
from .writing import Names, Written, is_literal, write


@attrs.frozen(eq=False)
class Step:
    """A compiled segment: reads the slots `inputs`, fills the slots `outputs` (of `specs`), then `free`s some.

    `why` says whether, and why, it was compiled for this program.
    """

    run: Callable[..., tuple[Any, ...]]
    segment: Segment
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    specs: tuple[Spec, ...]
    free: tuple[int, ...]
    why: str


Execute = Callable[[Step, list[Any]], Sequence[Any]]
"""Runs one step on the values of its inputs."""


@attrs.frozen(eq=False, slots=False)
class Lowered:
    """All steps over numbered slots, and the source text they were made from.

    Attributes:
        schedule: what they were made from.
        steps: in order.
        slots: where the value of every edge between steps is.
        source: the text of all steps.
    """

    schedule: Schedule
    steps: tuple[Step, ...]
    slots: dict[Edge, int]
    source: str

    def prepared(self, backend: Backend, execute: Execute) -> list[Any]:
        """The slots with constants, and with everything that does not depend on the inputs."""
        slots: list[Any] = [None] * len(self.slots)
        for edge, value in self.constants(backend).items():
            slots[self.slots[edge]] = value
        run((step for step in self.steps if step.segment.once), slots, execute)
        return slots

    def constants(self, backend: Backend) -> dict[Edge, Any]:
        """The constants as arrays."""
        nodes: dict[Edge, Any] = {edge: edge.vertex.node for edge in self.schedule.constants}
        return {edge: backend.array(node.value, backend.dtype_of(node.spec)) for edge, node in nodes.items()}

    @cached_property
    def repeated(self) -> tuple[Step, ...]:
        """The steps of every call."""
        return tuple(step for step in self.steps if not step.segment.once)


def run(steps: Iterable[Step], slots: list[Any], execute: Execute) -> None:
    """Run steps in order. What nobody needs after a step is held by the step alone, which lets go of it early."""
    for step in steps:
        values = [slots[i] for i in step.inputs]
        for i in step.free:
            slots[i] = None
        for i, value in zip(step.outputs, execute(step, values), strict=True):
            slots[i] = value


def lower(schedule: Schedule, backend: Backend) -> Lowered:
    """Write, compile and wire all segments."""
    names = Names()
    for edge in schedule.inputs:
        names.edge(edge)
    slots: dict[Edge, int] = {}
    for edge in (*schedule.inputs, *schedule.constants, *(e for s in schedule.segments for e in s.outputs)):
        slots.setdefault(edge, len(slots))
    steps, texts = [], []
    last = _last_use(schedule)
    for i, segment in enumerate(schedule.segments):
        title = f"{'once' if segment.once else segment.where}_{i}"
        written = write(segment, names, title, backend, schedule.plan.specs)
        function, why = _runnable(written, title, backend.compile_once if segment.once else backend.compile, backend)
        arguments = tuple(edge for edge in segment.inputs if not is_literal(edge))
        free = tuple(slots[edge] for edge in arguments if last[edge] == i)
        specs = tuple(schedule.plan.specs[edge.vertex][edge.index] for edge in segment.outputs)
        steps.append(
            Step(function, segment, _slots(arguments, slots), _slots(segment.outputs, slots), specs, free, why)
        )
        texts.append(written.text)
    return Lowered(schedule, tuple(steps), slots, "\n\n".join(texts))


Function = Callable[..., tuple[Any, ...]]


def _runnable(
    written: Written, title: str, compiled: Callable[[Function], Function], backend: Backend
) -> tuple[Function, str]:
    def make() -> Function:
        made = _compile(written.text, title, written.scope)
        return compiled(made) if written.whole else made

    if written.key is not None:
        return reused((backend.key, written.key), make)
    if written.whole:
        return make(), "new: a function inside, wrapped or of an implicit node, cannot be compared"
    return make(), "not compiled as a whole"


def _slots(edges: Sequence[Edge], slots: dict[Edge, int]) -> tuple[int, ...]:
    return tuple(slots[edge] for edge in edges)


def _last_use(schedule: Schedule) -> dict[Edge, int]:
    """The segment after which an edge's value is no longer wanted (never, for results and constants)."""
    last = {edge: i for i, segment in enumerate(schedule.segments) for edge in segment.inputs}
    kept = {*schedule.results.values(), *schedule.constants}
    kept |= {edge for segment in schedule.segments if segment.once for edge in segment.outputs}
    return {edge: -1 if edge in kept else i for edge, i in last.items()}


def _compile(text: str, title: str, scope: dict[str, Any]) -> Callable[..., tuple[Any, ...]]:
    """Make a function of our own text (never of data from outside), visible to tracebacks."""
    filename = f"<tograph {title} {abs(hash(text)):x}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), scope)
    made: Callable[..., tuple[Any, ...]] = scope[title]
    return made
