"""How much memory a program needs, found without running it: what is alive while each step runs."""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from .again import Again
from .declare import Source
from .derivative import Jvp, Vjp
from .edge import Edge, Vertex
from .errors import TographError
from .liveness import releases
from .node import Constant, Node
from .plan import Plan
from .schedule import Schedule

POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@attrs.frozen
class Peak:
    """The moment at which most is held.

    Attributes:
        bytes: of all values computed in the call that are alive then, results among them; without inputs,
            constants and what is computed once, and without what a solver keeps inside its factor.
        at: the vertex that runs then; None where nothing is computed.
        own: of these, the bytes of what that vertex takes and gives: no plan can do with less.
    """

    bytes: int
    at: Vertex | None
    own: int = 0


def peak(schedule: Schedule, real: int, *, eager: bool) -> Peak:
    """Walk over the steps in the order in which they run, letting go of values as the program does.

    Args:
        schedule: the segments.
        real: bytes of a real number.
        eager: whether steps run one by one. Then a step holds one more array like its results while it runs, for it
            is usually more than one array operation (d and d ct, x W and x W + b). In a compiled
            program such steps are fused, and an elementwise one writes over what it reads last. But what is
            computed again starts from a copy there, and the compiler's own order of steps holds an array more.
    """
    size = _sizes(schedule.plan, real, eager)
    fused = not eager and not any(isinstance(vertex.node, Again) for vertex in schedule.plan.order)
    order = [v for segment in schedule.segments if not segment.once for v in segment.vertices]
    held = {edge for segment in schedule.segments if segment.once for edge in segment.outputs}
    gone = releases(order, {*schedule.results.values()} | held)
    alive, most = 0, Peak(0, None)
    for vertex in order:
        made = sum(size(Edge(vertex, i)) for i in range(len(vertex.node.outputs)))
        freed = sum(map(size, gone[vertex]))
        alive += made
        besides = 0 if isinstance(vertex.node, Again) else made
        if fused:
            besides = -min(made, freed) if _in_place(vertex.node) else 0
        if alive + besides > most.bytes:
            own = sum(map(size, dict.fromkeys(vertex.edges))) + made
            most = Peak(alive + besides, vertex, own)
        alive -= freed
    return most


def _sizes(plan: Plan, real: int, eager: bool) -> Callable[[Edge], int]:
    """Edge -> bytes of its value; 0 for what is no memory of the call's own."""
    outside = (Source, Constant, Again) if eager else (Source, Constant)

    def size(edge: Edge) -> int:
        node = edge.vertex.node
        return 0 if isinstance(node, outside) else plan.specs[edge.vertex][edge.index].nbytes(real)

    return size


def _in_place(node: Node) -> bool:
    return (node.of if isinstance(node, Vjp | Jvp) else node).elementwise


def bytes_of(budget: int | str) -> int:
    """Bytes of a number or of a text such as "256 MiB" (1024^2) or "1.5 GB" (1000^3).

    Raises:
        TographError: anything else, or nothing at all.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]?)(i?)b?\s*", str(budget).lower())
    if isinstance(budget, bool) or not found or float(found[1]) <= 0:
        raise TographError(f"memory_budget is {budget!r}. Give bytes, or a text such as '256 MiB'")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** POWERS[found[2]])
