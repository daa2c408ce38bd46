"""When a value is last needed: the order that holds few values at a time, and what can be let go after each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from .edge import Edge, Vertex

LITTLE = 64
"""What is so many times smaller than what it is made from does not count."""


def releases(order: Sequence[Vertex], kept: Collection[Edge]) -> dict[Vertex, tuple[Edge, ...]]:
    """For each vertex the values that nobody needs after it, its own unwanted outputs among them."""
    last: dict[Edge, Vertex] = {}
    for vertex in order:
        last.update((Edge(vertex, i), vertex) for i in range(len(vertex.node.outputs)))
        last.update((edge, vertex) for edge in vertex.edges)
    found: dict[Vertex, list[Edge]] = {vertex: [] for vertex in order}
    for edge, vertex in last.items():
        if edge not in kept:
            found[vertex].append(edge)
    return {vertex: tuple(edges) for vertex, edges in found.items()}


def thrifty(order: Sequence[Vertex], kept: Iterable[Edge], size: Callable[[Edge], int]) -> tuple[Vertex, ...]:
    """The same vertices, each after its inputs; what makes room is done as soon as it can be.

    A step is brought forward if what it lets go is at least as large as what it makes, or if that is very
    little. So the gradient of each weight is made when its cotangent is there, and not when all are.
    """
    inside = set(order)
    uses = Counter(edge for vertex in order for edge in dict.fromkeys(vertex.edges))
    uses.update(dict.fromkeys(kept, 1))
    waiting = {v: len({edge.vertex for edge in v.edges if edge.vertex in inside}) for v in order}
    readers: dict[Vertex, list[Vertex]] = {vertex: [] for vertex in order}
    for vertex in order:
        for before in dict.fromkeys(edge.vertex for edge in vertex.edges if edge.vertex in inside):
            readers[before].append(vertex)
    done: dict[Vertex, None] = {}

    def makes_room(vertex: Vertex) -> bool:
        made = sum(size(Edge(vertex, i)) for i in range(len(vertex.node.outputs)))
        given = dict.fromkeys(vertex.edges)
        return made <= max(sum(size(edge) for edge in given if uses[edge] == 1), sum(map(size, given)) // LITTLE)

    def neighbours(vertex: Vertex) -> list[Vertex]:
        near = [*readers[vertex], *(r for edge in vertex.edges for r in readers.get(edge.vertex, ()))]
        return [v for v in dict.fromkeys(near) if v not in done and not waiting[v] and makes_room(v)]

    for first in order:
        queue = [first]
        while queue:
            vertex = queue.pop(0)
            if vertex in done:
                continue
            done[vertex] = None
            uses.subtract(dict.fromkeys(vertex.edges, 1))
            for reader in readers[vertex]:
                waiting[reader] -= 1
            queue += neighbours(vertex)
    return tuple(done)
