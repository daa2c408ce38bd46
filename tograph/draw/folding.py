"""Large diagrams open collapsed: the user's clusters, and runs of boxes where there are too many outside of them."""

from __future__ import annotations

import math
from collections import defaultdict

import attrs

from .model import Box, Cluster, Diagram

OPEN = 150
"""Boxes that are shown at once; a diagram with more opens collapsed."""


def folded(diagram: Diagram) -> tuple[Diagram, list[str]]:
    """The diagram with groups added where it has too many boxes outside of them, and the names of those to collapse."""
    if len(diagram.boxes) <= OPEN:
        return diagram, []
    grouped = {id for cluster in diagram.clusters for id in cluster.boxes}
    loose: dict[str, list[Box]] = defaultdict(list)
    for box in diagram.boxes:
        if box.id not in grouped and box.kind not in ("design", "parameter", "output", "gradient", "tangent"):
            loose[box.lane].append(box)
    made = list(diagram.clusters)
    for lane, boxes in loose.items():
        if len(boxes) > OPEN // 4:
            made += _runs(lane, boxes)
    names = dict.fromkeys(" / ".join(cluster.path) for cluster in made)
    return attrs.evolve(diagram, clusters=tuple(made)), list(names)


def _runs(lane: str, boxes: list[Box]) -> list[Cluster]:
    """Runs in the order of execution: as many as each has boxes, so that neither is too long."""
    size = max(10, math.isqrt(len(boxes)))
    parts = [boxes[i : i + size] for i in range(0, len(boxes), size)]
    return [Cluster((f"{part[0].title} … {part[-1].title}",), tuple(box.id for box in part), lane) for part in parts]
