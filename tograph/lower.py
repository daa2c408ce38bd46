"""Schedule -> runnable: each segment becomes a Python function that can be read, then compiled.

The text that `program.source()` prints is the text that is executed.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
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


@attrs.frozen(eq=False)
class Lowered:
    """All steps over numbered slots, and the source text they were made from."""

    steps: tuple[Step, ...]
    slots: dict[Edge, int]
    source: str


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
        run, why = _runnable(written, title, backend)
        arguments = tuple(edge for edge in segment.inputs if not is_literal(edge))
        free = tuple(slots[edge] for edge in arguments if last[edge] == i)
        specs = tuple(schedule.plan.specs[edge.vertex][edge.index] for edge in segment.outputs)
        steps.append(Step(run, segment, _slots(arguments, slots), _slots(segment.outputs, slots), specs, free, why))
        texts.append(written.text)
    return Lowered(tuple(steps), slots, "\n\n".join(texts))


def _runnable(written: Written, title: str, backend: Backend) -> tuple[Callable[..., tuple[Any, ...]], str]:
    def make() -> Callable[..., tuple[Any, ...]]:
        made = _compile(written.text, title, written.scope)
        return backend.compile(made) if written.whole else made

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
