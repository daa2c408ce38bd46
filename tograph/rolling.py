"""Runs of equal steps become loops, so that the time to compile grows with what is different and not with what is long.

Straight-line code v_1 ... v_n, in which block b is the vertices [start + b p, start + (b + 1) p):

    for b in range(count): the same operations, wired alike

Two blocks are wired alike if each of their inputs comes from the same place of the same block, from the same place
d blocks before (a *carried* value), or from outside. What comes from outside is *fixed* (the same edge for
every block), an entry of a *stack* (block b takes entry first + step b; step -1 in a reverse pass, which takes what
the blocks of the forward pass have left, from last to first), or a *number* from a table. A stack is what an earlier
loop left, or is gathered for the purpose.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .edge import Edge, Vertex
from .generic import kind_of, numbers_of, with_inputs
from .loops import Carried, Entry, Loop, Piece, Source, Stack, Table
from .node import Constant
from .returned import PAIRS
from .spec import Spec

LONG = 100
"""Segments of fewer vertices are left as they are: they compile in a second or two."""
BLOCKS = 8
"""Fewer equal blocks than this are left as they are."""
PERIOD = 256
"""Blocks of more vertices are not looked for."""
DEPTH = 4
"""How many blocks back a carried value may come from."""

Specs = Mapping[Vertex, tuple[Spec, ...]]


def roll(vertices: Sequence[Vertex], outputs: Iterable[Edge], specs: Specs) -> list[Piece]:
    """The same work in order, with runs of equal blocks as loops, and the stacks that these gather before them."""
    if len(vertices) < LONG:
        return list(vertices)
    pieces: list[Piece] = []
    stacks = _Stacks()
    done = 0
    for start, period, count in _runs(_symbols(vertices, specs)):
        pieces += vertices[done:start]
        done = start + count * period
        blocks = [tuple(vertices[i : i + period]) for i in range(start, done, period)]
        pieces += _Run(blocks, stacks).pieces()
    pieces += vertices[done:]
    _hand_out(pieces, outputs, stacks)
    return pieces


def _symbols(vertices: Sequence[Vertex], specs: Specs) -> np.ndarray:
    """One number per vertex: equal ones may do each other's work. What is no plain array is like nothing else."""
    known: dict[Hashable, int] = {}
    made = []
    for vertex in vertices:
        inputs = tuple(specs[edge.vertex][edge.index] for edge in vertex.edges)
        plain = all(spec.kind not in PAIRS for spec in (*inputs, *specs[vertex]))
        kind = kind_of(vertex, inputs, specs[vertex]) if plain else vertex
        made.append(known.setdefault(kind, len(known)))
    return np.asarray(made)


def _runs(symbols: np.ndarray) -> list[tuple[int, int, int]]:
    """Where symbols repeat, as (start, period, count): the longest first, none overlapping, then in order."""
    found = []
    for period in range(1, min(PERIOD, len(symbols) // BLOCKS) + 1):
        same = np.concatenate(([0], symbols[period:] == symbols[:-period], [0]))
        turns = np.flatnonzero(np.diff(same))
        starts, lengths = turns[::2], turns[1::2] - turns[::2]
        for i in np.flatnonzero(lengths >= (BLOCKS - 1) * period):
            count = int(lengths[i]) // period + 1
            found.append((period * (count - 1), -period, int(starts[i]), count))
    taken = np.zeros(len(symbols), bool)
    kept = []
    for _, negative, start, count in sorted(found, reverse=True):
        stop = start - negative * count
        if not taken[start:stop].any():
            taken[start:stop] = True
            kept.append((start, -negative, count))
    return sorted(kept)


class _Stacks:
    """Where an edge stands in the stacks that earlier loops can leave."""

    def __init__(self) -> None:
        self.places: dict[Edge, list[tuple[Stack, int]]] = {}
        self.makers: dict[Stack, tuple[Loop, Carried | Edge]] = {}
        self.inside: dict[Vertex, Loop] = {}

    def add(self, loop: Loop) -> Loop:
        """Note what a new loop can leave, and have others leave what it takes."""
        for source in loop.sources:
            if isinstance(source, Entry):
                self.keep(source.stack)
        for stack, of in loop.possible():
            self.makers[stack] = loop, of
            for i, edge in enumerate(stack.edges):
                self.places.setdefault(edge, []).append((stack, i))
        self.inside.update((vertex, loop) for block in loop.blocks for vertex in block)
        return loop

    def keep(self, stack: Stack) -> None:
        """Have its loop leave a stack."""
        if stack in self.makers:
            loop, of = self.makers[stack]
            loop.kept[stack] = of

    def entry(self, edges: Sequence[Edge]) -> tuple[Entry, int] | None:
        """The entry that stands for as many of the edges as possible, from the first on, and for how many."""
        found = []
        second = dict(self.places.get(edges[1], ()))
        for stack, first in self.places.get(edges[0], ()):
            step = second.get(stack, first) - first
            if step in (1, -1):
                held = stack.edges[first::step]
                count = next((i for i, (a, b) in enumerate(zip(edges, held, strict=False)) if a != b), None)
                whole = min(len(held), len(edges))
                found.append((whole if count is None else count, Entry(stack, first, step)))
        best = max(found, key=lambda pair: (pair[0], self._is_kept(pair[1].stack)), default=None)
        return None if best is None else (best[1], best[0])

    def pick(self, edge: Edge) -> None:
        """Have the loop that makes an edge leave it by name."""
        loop = self.inside.get(edge.vertex)
        if loop is None or edge in loop.finals.values():
            return
        places = [(stack, i) for stack, i in self.places[edge] if self.makers[stack][0] is loop]
        stack, i = max(places, key=lambda place: self._is_kept(place[0]))
        self.keep(stack)
        loop.picked[edge] = Entry(stack, i)

    def _is_kept(self, stack: Stack) -> bool:
        return stack in self.makers[stack][0].kept


class _Run:
    """Equal blocks in a row, of which loops are made as far as they are wired alike."""

    def __init__(self, blocks: list[tuple[Vertex, ...]], stacks: _Stacks) -> None:
        self.blocks, self.stacks = blocks, stacks
        self.place = {v: (b, o) for b, block in enumerate(blocks) for o, v in enumerate(block)}

    def pieces(self) -> list[Piece]:
        """Loops, and the blocks between them."""
        codes = [[code for _, _, code in self._codes(b)] for b in range(len(self.blocks))]
        made: list[Piece] = []
        b = 0
        while b < len(self.blocks):
            end = next((i for i in range(b, len(codes)) if codes[i] != codes[b]), len(codes))
            b += self._loop(b, end, made)
        return made

    def _codes(self, b: int) -> Iterator[tuple[int, int, Any]]:
        """For every input of a block: its place, its position, and where in the run it is from (None: outside)."""
        for o, vertex in enumerate(self.blocks[b]):
            for j, edge in enumerate(vertex.edges):
                source, p = self.place.get(edge.vertex, (None, 0))
                if source is None:
                    yield o, j, None
                else:  # what is from far back is like nothing in another block
                    yield o, j, Carried(p, edge.index, b - source) if b - source <= DEPTH else b

    def _loop(self, start: int, end: int, made: list[Piece]) -> int:
        """Append a loop over as many blocks as are alike, or these as they are; returns how many."""
        outside = [(o, j) for o, j, code in self._codes(start) if code is None]
        count = end - start
        sources: dict[tuple[int, int], Source] = {}
        while count >= BLOCKS:
            found = [
                self._source([block[o].edges[j] for block in self.blocks[start : start + count]]) for o, j in outside
            ]
            shortest = min((n for _, n in found), default=count)
            if shortest == count:
                sources = dict(zip(outside, (source for source, _ in found), strict=True))
                made += [s.stack for s in sources.values() if isinstance(s, Entry) and not s.stack.made]
                made.append(self._made(start, count, sources))
                return count
            count = shortest
        made += [vertex for block in self.blocks[start : start + count] for vertex in block]
        return count

    def _source(self, edges: list[Edge]) -> tuple[Source, int]:
        """What stands for these edges, one for each block, and for how many from the first on."""
        fixed = next((i for i, edge in enumerate(edges) if edge != edges[0]), len(edges))
        if fixed == len(edges):
            return edges[0], fixed
        numbers = [edge.vertex.node.value for edge in edges if isinstance(edge.vertex.node, Constant)]
        if len(numbers) == len(edges) and not numbers[0].ndim:
            return Table(tuple(float(value) for value in numbers)), len(edges)
        found = self.stacks.entry(edges)
        if found is not None and found[1] >= max(fixed, BLOCKS):
            return found
        return (edges[0], fixed) if fixed >= BLOCKS else (Entry(Stack(tuple(edges), made=False)), len(edges))

    def _made(self, start: int, count: int, sources: Mapping[tuple[int, int], Source]) -> Loop:
        blocks = tuple(self.blocks[start : start + count])
        codes = {(o, j): code for o, j, code in self._codes(start)}
        operations, most = [], dict[tuple[int, int], int]()
        for o, vertex in enumerate(blocks[0]):
            tables = _tables([block[o] for block in blocks])
            inner = [sources[o, j] if (o, j) in sources else codes[o, j] for j in range(len(vertex.inputs))]
            known = [vertex.edges[j] if isinstance(s, Carried) and not s.back else s for j, s in enumerate(inner)]
            node, operands = with_inputs(vertex, tables)
            operations.append((node, tuple(tables[x] if isinstance(x, str) else known[x] for x in operands)))
        for code in codes.values():
            if code is not None and code.back:
                most[code.place, code.index] = max(code.back, most.get((code.place, code.index), 0))
        carried = {
            Carried(place, index, back): Edge(self.blocks[start - back][place], index)
            for (place, index), depth in most.items()
            for back in range(1, depth + 1)
        }
        return self.stacks.add(Loop(blocks, tuple(operations), carried))


def _tables(vertices: Sequence[Vertex]) -> dict[str, Table]:
    """The parameters in which vertices differ."""
    numbers = [numbers_of(vertex.node) for vertex in vertices]
    columns = {name: tuple(row[name] for row in numbers) for name in numbers[0]}
    return {name: Table(values) for name, values in columns.items() if len(set(values)) > 1}


def _hand_out(pieces: Sequence[Piece], outputs: Iterable[Edge], stacks: _Stacks) -> None:
    """Take out of the stacks what is needed by name."""
    needed = list(outputs)
    for piece in pieces:
        needed += [*piece.fixed, *piece.carried.values()] if isinstance(piece, Loop) else piece.edges
    for edge in dict.fromkeys(needed):
        stacks.pick(edge)
