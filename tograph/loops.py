"""Loops over equal blocks of vertices: what `rolling` finds and `writing` writes down."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .edge import Edge, Vertex
from .node import Node


@attrs.frozen(eq=False)
class Stack:
    """The values of several edges along a new first axis; `made` by a loop, or gathered."""

    edges: tuple[Edge, ...]
    made: bool = True


@attrs.frozen
class Entry:
    """In block b, entry first + step b of a stack."""

    stack: Stack
    first: int = 0
    step: int = 1


@attrs.frozen
class Table:
    """In block b, number b."""

    values: tuple[float, ...]


@attrs.frozen
class Carried:
    """In block b, what place (`place`, `index`) of block b - `back` gave."""

    place: int
    index: int
    back: int


Source = Edge | Entry | Table | Carried
"""An edge is a value of the same block (of the first block, standing for all) or of the surroundings."""


@attrs.frozen(eq=False)
class Loop:
    """Equal blocks, run one after the other.

    Attributes:
        blocks: the vertices of each.
        operations: for every place of a block its node, and what that is given.
        carried: the values handed from block to block, with the edge that stands for each before the first.
        kept: the stacks that are wanted of it.
        picked: the entries of these that are wanted by name.
    """

    blocks: tuple[tuple[Vertex, ...], ...]
    operations: tuple[tuple[Node, tuple[Source, ...]], ...]
    carried: dict[Carried, Edge]
    kept: dict[Stack, Carried | Edge] = attrs.field(factory=dict)
    picked: dict[Edge, Entry] = attrs.field(factory=dict)

    @property
    def finals(self) -> dict[Carried, Edge]:
        """The carried values after the last block."""
        return {c: Edge(self.blocks[-1][c.place], c.index) for c in self.carried if c.back == 1}

    @property
    def sources(self) -> list[Source]:
        """Everything that the operations are given."""
        return list(dict.fromkeys(source for _, given in self.operations for source in given))

    @property
    def fixed(self) -> list[Edge]:
        """The single edges that every block takes from outside."""
        inside = set(self.blocks[0])
        return [s for s in self.sources if isinstance(s, Edge) and s.vertex not in inside]

    def possible(self) -> Iterator[tuple[Stack, Carried | Edge]]:
        """The stacks that it could leave: what goes into every block, and what comes out of each place."""
        for carried, first in self.carried.items():
            if carried.back == 1:
                before = (Edge(block[carried.place], carried.index) for block in self.blocks[:-1])
                yield Stack((first, *before)), carried
        for o, vertex in enumerate(self.blocks[0]):
            for k in range(len(vertex.node.outputs)):
                yield Stack(tuple(Edge(block[o], k) for block in self.blocks)), Edge(vertex, k)


Piece = Vertex | Stack | Loop
