"""Both lanes as equals: values to the right above, derivatives to the left below, each below the node it is of."""

from __future__ import annotations

import attrs

from .legend import legend
from .model import Arrow, Diagram


def joint(diagram: Diagram) -> Diagram:
    """The joint view of the diagram of a reverse pass: with links between mates, and laid out in two rows."""
    joined = {(arrow.tail, arrow.head) for arrow in diagram.arrows}
    pairs = [(box.mate, box.id) for box in diagram.boxes if box.mate in diagram.by_id]
    links = [Arrow(*pair, "mate") for pair in pairs if pair not in joined]
    # What is kept stands on an arrow of its own in the other view; here there is no room beside short arrows.
    silent = [attrs.evolve(arrow, label=()) if arrow.kind == "residual" else arrow for arrow in diagram.arrows]
    arrows = (*silent, *links)
    header = attrs.evolve(diagram.header, view="joint")
    return attrs.evolve(diagram, header=header, arrows=arrows, legend=legend(diagram.boxes, arrows))
