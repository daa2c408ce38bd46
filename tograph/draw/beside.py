"""Two runs of one graph, as on JAX and on PyTorch, in one diagram, with the deviation between them on every edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from ..errors import TographError
from .executed import executed
from .frame import Frame, Overlay, Reading
from .legend import legend
from .measured import Report
from .model import Cluster, Diagram, Wire


def beside(runs: Mapping[str, Report], *, detail: bool = False) -> Diagram:
    """Both diagrams as groups of one, named as the runs are; its one overlay is "deviation".

    The deviation of an edge is max |a - b| / max |a|, over the entries of the values in the first and second run.

    Raises:
        TographError: not two runs, or they are of different graphs or requests.
    """
    if len(runs) != 2:
        raise TographError(f"two reports can be drawn side by side, not {len(runs)}")
    (first, a), (second, b) = runs.items()
    if (a.plan.graph.hash, a.plan.request) != (b.plan.graph.hash, b.plan.request):
        raise TographError("these reports are of different graphs or ask for different derivatives")
    shift = len(a.plan.order)
    left, right = (executed(report.plan, detail=detail, dtype=report.dtype) for report in (a, b))
    deviations = _deviations(left, right, a.fields, b.fields)
    overlay = Overlay("deviation", f"max |{first} - {second}| / max |{first}|", wires=deviations, logarithmic=True)
    mine, theirs = _named(left, first, 0), _named(right, second, shift)
    boxes, arrows = (*mine.boxes, *theirs.boxes), (*mine.arrows, *theirs.arrows)
    worst = max((r.number for r in deviations.values()), default=0.0)
    facts = (f"largest deviation {worst:.1e}", *left.header.facts)
    header = attrs.evolve(left.header, view="side by side", backend=f"{first} beside {second}", facts=facts)
    shifted = {
        (tail + shift, output): reading for (tail, output), reading in _mirrored(left, right, deviations).items()
    }
    both = attrs.evolve(overlay, wires={**deviations, **shifted})
    return Diagram(
        header,
        boxes,
        arrows,
        (*mine.clusters, *theirs.clusters),
        legend(boxes, arrows),
        left.definitions,
        (Frame("", (both,)),),
    )


def _named(diagram: Diagram, name: str, shift: int) -> Diagram:
    """Everything renamed, and moved by so many positions, so that two diagrams do not collide."""

    def new(id: str) -> str:
        return f"{name}: {id}" if id else ""

    boxes = tuple(
        attrs.evolve(b, id=new(b.id), mate=new(b.mate), steps=tuple(s + shift for s in b.steps)) for b in diagram.boxes
    )
    arrows = tuple(
        attrs.evolve(a, tail=new(a.tail), head=new(a.head), wires=tuple(_moved(w, shift) for w in a.wires))
        for a in diagram.arrows
    )
    lanes = dict.fromkeys(box.lane for box in diagram.boxes)
    clusters = [Cluster((name,), tuple(b.id for b in boxes if b.lane == lane), lane) for lane in lanes]
    return attrs.evolve(diagram, boxes=boxes, arrows=arrows, clusters=tuple(clusters))


def _moved(wire: Wire, shift: int) -> Wire:
    return Wire(wire.tail + shift, wire.output, wire.head + shift, wire.port)


def _pairs(left: Diagram, right: Diagram) -> list[tuple[Wire, Wire]]:
    """Wires that carry the same value in both: those of arrows that join the same boxes in the same way."""
    of = {(arrow.tail, arrow.head, arrow.kind, arrow.label): arrow.wires for arrow in right.arrows}
    both = [(a.wires, of.get((a.tail, a.head, a.kind, a.label), ())) for a in left.arrows]
    return [pair for mine, theirs in both if len(mine) == len(theirs) for pair in zip(mine, theirs, strict=True)]


def _deviations(left: Diagram, right: Diagram, a: Mapping[Any, Any], b: Mapping[Any, Any]) -> dict[Any, Reading]:
    found = {}
    for mine, theirs in _pairs(left, right):
        x, y = a.get((mine.tail, mine.output)), b.get((theirs.tail, theirs.output))
        number = None if x is None or y is None else _deviation(_flat(x), _flat(y))
        if number is not None:
            found[mine.tail, mine.output] = Reading(number, f"{number:.0e}" if number else "0")
    return found


def _flat(value: Any) -> Any:
    """All entries of an array, or of both parts of an operator or dyad."""
    return np.concatenate([np.ravel(part) for part in (value if isinstance(value, tuple) else (value,))])


def _deviation(x: Any, y: Any) -> float | None:
    if x.shape != y.shape:
        return None
    scale = float(np.max(np.abs(x), initial=0.0))
    difference = float(np.max(np.abs(x - y), initial=0.0))
    return difference / scale if scale else difference


def _mirrored(left: Diagram, right: Diagram, found: Mapping[Any, Reading]) -> dict[Any, Reading]:
    """The same readings at the places of the second run."""
    pairs = _pairs(left, right)
    return {(b.tail, b.output): found[a.tail, a.output] for a, b in pairs if (a.tail, a.output) in found}
