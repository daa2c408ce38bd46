"""The text of a segment: one line per vertex, a function and a call per loop, and what these names stand for."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from .again import ROLE
from .backends.base import Backend
from .derivative import Jvp, Vjp, implementation
from .edge import Edge, Vertex
from .generic import numbers_of, with_inputs
from .hosting import on_host
from .liveness import releases
from .loops import Carried, Entry, Loop, Piece, Source, Stack, Table
from .node import Constant, Node, snake
from .returned import checked, in_precision
from .reuse import operation_key, without_comments
from .rolling import roll
from .schedule import Segment
from .spec import Spec

Specs = Mapping[Vertex, tuple[Spec, ...]]

APART = 500
"""Device segments of more pieces are compiled operation by operation: as a whole they take 4 ms a piece (measured)."""


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

    def operation(self, node: Node, specs: tuple[Spec, ...]) -> str:
        """The function that computes a node; equal nodes with equal results share one."""
        key = node.key, tuple(spec.shape for spec in specs)
        if key not in self.operations:
            self.operations[key] = self.unique("do_" + snake(node.title))
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


def is_literal(edge: Edge) -> bool:
    """Single numbers are written into the code; arrays stay arguments."""
    node = edge.vertex.node
    return isinstance(node, Constant) and node.value.ndim == 0


@attrs.frozen(eq=False)
class Written:
    """A segment as text.

    Attributes:
        text: functions, the last of which is the segment.
        scope: what the other names in the text stand for.
        whole: whether it is to be compiled as a whole. A device segment that is still long when equal steps are rolled
            into loops is not: its operations are compiled one by one, each once.
        key: equal for texts that do the same (see `reuse`); None if that cannot be told.
    """

    text: str
    scope: dict[str, Any]
    whole: bool
    key: Hashable | None


def write(segment: Segment, names: Names, title: str, backend: Backend, specs: Specs) -> Written:
    """The text of a segment as functions, the last of which is called `title`."""
    if segment.where == "host":
        writer: _Writer = _HostWriter(segment, names, backend, specs)
        pieces: Sequence[Piece] = segment.vertices
    else:
        pieces = roll(segment.vertices, segment.outputs, specs) if backend.rolls else segment.vertices
        writer = _Writer(segment, names, backend, specs, apart=backend.rolls and len(pieces) > APART)
    for piece in pieces:
        writer.add(piece)
        writer.release(piece)
    text, whole = writer.text(title), segment.where == "device" and not writer.apart
    if not whole or None in writer.keys.values():
        return Written(text, writer.scope, whole, None)
    given = [specs[edge.vertex][edge.index] for edge in segment.inputs]
    shapes = tuple((spec.kind, spec.shape, spec.dtype) for spec in given)
    return Written(text, writer.scope, whole, (without_comments(text), shapes, tuple(writer.keys.items())))


class _Writer:
    """Collects lines, and what the names in them stand for."""

    def __init__(self, segment: Segment, names: Names, backend: Backend, specs: Specs, *, apart: bool = False) -> None:
        self.segment, self.names, self.backend, self.specs, self.apart = segment, names, backend, specs, apart
        self.scope: dict[str, Any] = {}
        self.keys: dict[str, Hashable] = {}
        self.literals: dict[str, float] = {}
        self.functions: list[str] = []
        self.lines: list[str] = []
        self.stacks: dict[Stack, str] = {}
        self.tables: dict[Table, str] = {}
        self.numbers: dict[tuple[str, float], str] = {}
        lets_go = (backend.eager or apart) and not segment.once
        self.gone = releases(segment.vertices, segment.outputs) if lets_go else {}

    def text(self, title: str) -> str:
        """All functions."""
        arguments = ", ".join(self.names.edge(edge) for edge in self.segment.inputs if not is_literal(edge))
        literals = [f"    # {name} = {value:g}" for name, value in self.literals.items()]
        results = ", ".join(map(self.value, self.segment.outputs))
        body = "\n".join([f"def {title}({arguments}):", *literals, *self.lines, f"    return ({results},)"])
        return "\n\n".join([*self.functions, body])

    def add(self, piece: Piece) -> None:
        """Write one piece."""
        if isinstance(piece, Loop):
            self.add_loop(piece)
        elif isinstance(piece, Stack):
            self.use("gather", lambda: lambda *values: self.backend.xp.stack(values))
            values = ", ".join(map(self.value, piece.edges))
            self.lines.append(f"    {self.stack(piece)} = gather({values})")
        elif self.apart:
            numbers = numbers_of(piece.node)
            node, operands = with_inputs(piece, numbers)
            given = [self.number(x, numbers[x]) if isinstance(x, str) else self.value(piece.edges[x]) for x in operands]
            self.lines.append(self.call(piece, node, given))
        else:
            self.lines.append(self.call(piece, piece.node, list(map(self.value, piece.edges))))

    def release(self, piece: Piece) -> None:
        """Let go of what nobody needs after a vertex; where steps are compiled together, the compiler does."""
        gone = self.gone.get(piece, ()) if isinstance(piece, Vertex) else ()
        names = [self.names.edge(edge) for edge in gone if not is_literal(edge)]
        self.lines += [f"    del {', '.join(names)}"] if names else []

    def value(self, edge: Edge) -> str:
        """The name of a value; a single number is put into the scope under it."""
        name = self.names.edge(edge)
        if is_literal(edge) and name not in self.scope:
            number = float(edge.vertex.node.value)  # type: ignore[attr-defined]
            self.literals[name] = self.keys[name] = number
            self.scope[name] = self.literal(number)
        return name

    def literal(self, number: float) -> Any:
        """What stands for a number in the code."""
        return self.backend.array(number, self.backend.dtype) if self.apart else self.backend.scalar(number)

    def number(self, wanted: str, value: float) -> str:
        """The name under which a parameter is given to an operation that takes it as an input."""
        if (wanted, value) not in self.numbers:
            name = self.numbers[wanted, value] = self.names.unique(wanted)
            self.literals[name] = self.keys[name] = value
            self.scope[name] = self.literal(value)
        return self.numbers[wanted, value]

    def call(self, vertex: Vertex, node: Node, given: list[str]) -> str:
        """The line that computes a vertex."""
        operation = self.operation(vertex, node)
        outputs = ", ".join(self.names.edge(Edge(vertex, k)) for k in range(len(node.outputs)))
        note = _one_line(f"{vertex.node.title} {vertex.node.describe()}; {vertex.origin.where}")
        return f"    {outputs} = {operation}({', '.join(given)})  # {note}"

    def operation(self, vertex: Vertex, node: Node) -> str:
        """The name of the function that computes a vertex."""
        specs = self.specs[vertex]
        name = self.names.operation(node, specs)
        if name not in self.scope:
            key = operation_key(node, self.backend.name)
            self.keys[name] = key and (key, tuple((spec.shape, spec.dtype) for spec in specs))
        self.use(name, lambda: checked(self._run(node, specs), vertex, specs))
        return name

    def _run(self, node: Node, specs: Sequence[Spec]) -> Callable[..., Any]:
        return in_precision(implementation(node, self.backend), specs, self.backend)

    def use(self, name: str, make: Callable[[], Callable[..., Any]], static: tuple[int, ...] = ()) -> None:
        """Put a function into the scope, compiled if each is compiled by itself."""
        if name not in self.scope:
            self.scope[name] = self.backend.compile(make(), static) if self.apart else make()

    def stack(self, stack: Stack) -> str:
        """The name of a stack."""
        if stack not in self.stacks:
            self.stacks[stack] = self.names.unique(f"{variable_name(stack.edges[-1].vertex)}_all")
        return self.stacks[stack]

    def add_loop(self, loop: Loop) -> None:
        """A function for one block, and the call that repeats it."""
        name, count = self.names.unique("loop"), len(loop.blocks)
        arrays = list(dict.fromkeys(self.stack(s.stack) for s in loop.sources if isinstance(s, Entry)))
        arrays += [self.value(edge) for edge in loop.fixed if not is_literal(edge)]
        self.functions.append("\n".join(self.body(loop, f"def {name}({', '.join(['i', 'carried', *arrays])}):")))
        self.use("scan", lambda: self.backend.scan, static=(0, 1))
        finals = _tuple([self.names.edge(loop.finals[c]) if c in loop.finals else "_" for c in loop.carried])
        kept = _tuple([self.stack(stack) for stack in loop.kept])
        first = _tuple([self.value(edge) for edge in loop.carried.values()])
        self.lines.append(f"    {finals}, {kept} = scan({count}, {name}, {first}, {_tuple(arrays)})")
        if loop.picked:
            self.use("entry", lambda: lambda stack, i: stack[i])
        for edge, entry in loop.picked.items():
            self.lines.append(f"    {self.names.edge(edge)} = entry({self.stack(entry.stack)}, {entry.first})")

    def body(self, loop: Loop, head: str) -> list[str]:
        """The function for one block."""
        block = loop.blocks[0]
        results = {c: self.names.edge(Edge(block[c.place], c.index)) for c in loop.carried}
        carried = {c: self.names.unique(f"{name}_before") for c, name in results.items()}
        lines = [f"{head}  # for i in range({len(loop.blocks)})"]
        lines += [f"    {_tuple(list(carried.values()))} = carried"] if carried else []
        for vertex, (node, given) in zip(block, loop.operations, strict=True):
            lines.append(self.call(vertex, node, [self.given(source, carried) for source in given]))
        after = [name if c.back == 1 else carried[attrs.evolve(c, back=c.back - 1)] for c, name in results.items()]
        kept = [carried[of] if isinstance(of, Carried) else self.names.edge(of) for of in loop.kept.values()]
        return [*lines, f"    return {_tuple(after)}, {_tuple(kept)}"]

    def given(self, source: Source, carried: Mapping[Carried, str]) -> str:
        """What an operation in a loop is given."""
        if isinstance(source, Carried):
            return carried[source]
        if isinstance(source, Table):
            return f"{self.table(source)}[i]"
        if isinstance(source, Entry):
            return f"{self.stack(source.stack)}[{_index(source)}]"
        return self.value(source)

    def table(self, table: Table) -> str:
        """The name of an array of numbers, one for each block."""
        if table not in self.tables:
            self.tables[table] = self.names.unique("numbers")
            self.keys[self.tables[table]] = table.values
            self.scope[self.tables[table]] = self.backend.array(np.asarray(table.values), self.backend.dtype)
        return self.tables[table]


class _HostWriter(_Writer):
    """Functions of NumPy arrays, never shared between vertices: their errors name the vertex."""

    def operation(self, vertex: Vertex, node: Node) -> str:
        name = self.names.unique("do_" + snake(node.title))
        inputs = [self.specs[edge.vertex][edge.index] for edge in vertex.edges]
        self.scope[name] = checked(on_host(vertex, variable_name(vertex), inputs), vertex, self.specs[vertex])
        return name

    def literal(self, number: float) -> Any:
        return np.asarray(number)


def _index(entry: Entry) -> str:
    if entry.step < 0:
        return f"{entry.first} - i"
    return f"i + {entry.first}" if entry.first else "i"


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _one_line(text: str) -> str:
    """Text for a comment. A line break in it, say in a field read from a file, must not begin a line of code."""
    return " ".join(text.split()).replace(" ;", ";")
