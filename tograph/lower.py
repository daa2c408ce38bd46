"""Schedule -> runnable: each segment becomes a Python function that can be read, then compiled.

The text that `program.source()` prints is the text that is executed.
"""

from __future__ import annotations

import keyword
import linecache
import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from .again import ROLE
from .backends.base import Backend
from .derivative import Jvp, Vjp, implementation
from .edge import Edge, Vertex
from .hosting import on_host
from .liveness import releases
from .node import Constant, snake
from .returned import checked
from .schedule import Schedule, Segment
from .spec import Spec


@attrs.frozen(eq=False)
class Step:
    """A compiled segment: reads the slots `inputs`, fills the slots `outputs`, then `free`s some."""

    run: Callable[..., tuple[Any, ...]]
    segment: Segment
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    free: tuple[int, ...]


@attrs.frozen(eq=False)
class Lowered:
    """All steps over numbered slots, and the source text they were made from."""

    steps: tuple[Step, ...]
    slots: dict[Edge, int]
    source: str


class Names:
    """Readable, unique Python names for edges and operations."""

    def __init__(self) -> None:
        self.edges: dict[Edge, str] = {}
        self.operations: dict[tuple[str, tuple[tuple[int, ...], ...]], str] = {}
        self._taken: dict[str, int] = {}

    def unique(self, wanted: str) -> str:
        """`wanted`, or `wanted_2`, ..."""
        name = re.sub(r"[^A-Za-z0-9_]+", "_", wanted).strip("_") or "value"
        name = f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name
        base, i = name, self._taken.get(name, 0)
        while name in self._taken:
            i += 1
            name = f"{base}_{i + 1}"
        self._taken[base] = i
        self._taken.setdefault(name, 0)
        return name

    def edge(self, edge: Edge) -> str:
        """The variable that holds an edge."""
        if edge not in self.edges:
            self.edges[edge] = self.unique(variable_name(edge.vertex) + (f"_{edge.index}" if edge.index else ""))
        return self.edges[edge]

    def operation(self, vertex: Vertex, specs: tuple[Spec, ...]) -> str:
        """The function that computes a vertex; equal nodes with equal results share one."""
        key = vertex.node.key, tuple(spec.shape for spec in specs)
        if key not in self.operations:
            self.operations[key] = self.unique("do_" + snake(vertex.node.title))
        return self.operations[key]


def variable_name(vertex: Vertex) -> str:
    """rho_f, E_vjp_rho (cotangent of rho through E), u_bar, u_dot."""
    name, role = vertex.origin.name, vertex.origin.role
    if isinstance(vertex.node, Vjp):
        return f"{name}_vjp_{vertex.node.port}"
    if isinstance(vertex.node, Jvp):
        return f"{name}_jvp_{vertex.node.port}"
    if role == "forward" and vertex.origin.part:
        name += f"_{vertex.origin.part}"
    return name + {"reverse": "_bar", "seed": "_seed", "accumulate": "_bar", "tangent": "_dot", ROLE: "_again"}.get(
        role, ""
    )


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
        text, scope = _write(segment, names, title, backend, schedule.plan.specs)
        run = _compile(text, title, scope)
        if segment.where == "device":
            run = backend.compile(run)
        arguments = tuple(edge for edge in segment.inputs if not _is_literal(edge))
        free = tuple(slots[edge] for edge in arguments if last[edge] == i)
        steps.append(Step(run, segment, _slots(arguments, slots), _slots(segment.outputs, slots), free))
        texts.append(text)
    return Lowered(tuple(steps), slots, "\n\n".join(texts))


def _slots(edges: Sequence[Edge], slots: dict[Edge, int]) -> tuple[int, ...]:
    return tuple(slots[edge] for edge in edges)


def _last_use(schedule: Schedule) -> dict[Edge, int]:
    """The segment after which an edge's value is no longer wanted (never, for results and constants)."""
    last = {edge: i for i, segment in enumerate(schedule.segments) for edge in segment.inputs}
    kept = {*schedule.results.values(), *schedule.constants}
    kept |= {edge for segment in schedule.segments if segment.once for edge in segment.outputs}
    return {edge: -1 if edge in kept else i for edge, i in last.items()}


def _is_literal(edge: Edge) -> bool:
    """Single numbers are written into the code; arrays stay arguments."""
    node = edge.vertex.node
    return isinstance(node, Constant) and node.value.ndim == 0


def _write(
    segment: Segment, names: Names, title: str, backend: Backend, specs: dict[Vertex, tuple[Spec, ...]]
) -> tuple[str, dict[str, Any]]:
    scope: dict[str, Any] = {}
    for edge in segment.inputs:
        if _is_literal(edge):
            value = edge.vertex.node.value  # type: ignore[attr-defined]
            scope[names.edge(edge)] = value if segment.where == "host" else backend.scalar(float(value))
    arguments = ", ".join(names.edge(edge) for edge in segment.inputs if not _is_literal(edge))
    literals = "".join(f"    # {name} = {float(value):g}\n" for name, value in scope.items())
    lines = []
    gone = releases(segment.vertices, segment.outputs) if backend.eager and not segment.once else {}
    for vertex in segment.vertices:
        if segment.where == "host":  # never shared between vertices: its errors name the vertex
            operation = names.unique("do_" + snake(vertex.node.title))
            run = on_host(vertex, variable_name(vertex), [specs[edge.vertex][edge.index] for edge in vertex.edges])
        else:
            operation, run = names.operation(vertex, specs[vertex]), implementation(vertex.node, backend)
        scope[operation] = checked(run, vertex, specs[vertex])
        outputs = ", ".join(names.edge(Edge(vertex, k)) for k in range(len(vertex.node.outputs)))
        given = ", ".join(names.edge(edge) for edge in vertex.edges)
        note = _one_line(f"{vertex.node.title} {vertex.node.describe()}; {vertex.origin.where}")
        lines.append(f"    {outputs} = {operation}({given})  # {note}")
        if released := [names.edge(edge) for edge in gone.get(vertex, ()) if not _is_literal(edge)]:
            lines.append(f"    del {', '.join(released)}")
    results = ", ".join(names.edge(edge) for edge in segment.outputs)
    body = "\n".join(lines)
    return f"def {title}({arguments}):\n{literals}{body}\n    return ({results},)", scope


def _one_line(text: str) -> str:
    """Text for a comment. A line break in it, say in a field read from a file, must not begin a line of code."""
    return " ".join(text.split()).replace(" ;", ";")


def _compile(text: str, title: str, scope: dict[str, Any]) -> Callable[..., tuple[Any, ...]]:
    """Make a function of our own text (never of data from outside), visible to tracebacks."""
    filename = f"<tograph {title} {abs(hash(text)):x}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), scope)
    made: Callable[..., tuple[Any, ...]] = scope[title]
    return made
