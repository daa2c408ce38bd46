"""The legend: one line per mark in use, in the order of the tables of `style`."""

from __future__ import annotations

from collections.abc import Iterable

from .model import Arrow, Box, Entry
from .style import ARROWS, BADGES, BOXES, SILENT


def legend(boxes: Iterable[Box], arrows: Iterable[Arrow]) -> tuple[Entry, ...]:
    """What the marks of these boxes and arrows mean."""
    boxes = tuple(boxes)
    used = {("box", box.kind) for box in boxes} | {("arrow", arrow.kind) for arrow in arrows}
    used |= {("badge", badge) for box in boxes for badge in box.badges}
    rows = [Entry("box", kind, style.text) for kind, style in BOXES.items()]
    rows += [Entry("arrow", kind, style.text) for kind, style in ARROWS.items()]
    rows += [Entry("badge", kind, style.text) for kind, style in BADGES.items()]
    return tuple(row for row in rows if (row.table, row.kind) in used - SILENT)
