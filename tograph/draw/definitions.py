"""What the operations of a graph are, for a reader who clicks on one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from ..declare import Source
from ..edge import Vertex
from ..errors import Location
from ..node import Constant, Node
from ..rules import rules
from .model import Definition


def defined(vertices: Iterable[Vertex]) -> tuple[Definition, ...]:
    """One definition per operation, in the order of first use; inputs and constants need none."""
    found: dict[str, Definition] = {}
    for vertex in vertices:
        node = vertex.node
        if not isinstance(node, Source | Constant) and node.title not in found:
            found[node.title] = _definition(node)
    return tuple(found.values())


def _definition(node: Node) -> Definition:
    lines = [str(rule).rsplit(" ", 1)[0] + f" {rule.where.brief}" for rule in rules(type(node))]
    return Definition(node.title, inspect.getdoc(type(node)) or "", _place(type(node)), tuple(lines))


def _place(node_type: type[Node]) -> str:
    """File and line of a class; "" for one that was made without a file."""
    try:
        file, (_, line) = inspect.getsourcefile(node_type), inspect.getsourcelines(node_type)
    except (OSError, TypeError):
        return ""
    return Location(file or "", line).brief
