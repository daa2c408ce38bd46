"""A diagram as text for a terminal: from each result down to what it is made of, every box once."""

from __future__ import annotations

from .model import Arrow, Box, Diagram
from .style import BADGES, BOXES

RESULTS = ("output", "gradient", "tangent", "no path")


def to_text(diagram: Diagram) -> str:
    """The tree: a box with one input stands above it, with several it branches; ↑ is a box that was shown before."""
    header = diagram.header
    facts = (header.backend, header.dtype, f"graph {header.hash}", *header.facts)
    lines = [f"{header.graph}   {header.computes}", " · ".join(fact for fact in facts if fact)]
    entering: dict[str, list[Arrow]] = {box.id: [] for box in diagram.boxes}
    for arrow in diagram.arrows:
        if arrow.kind != "mate":
            entering[arrow.head].append(arrow)
    shown: set[str] = set()
    for box in diagram.boxes:
        if box.kind in RESULTS:
            lines += ["", *_tree(diagram, box, entering, shown)]
    return "\n".join(lines) + "\n"


def _tree(diagram: Diagram, root: Box, entering: dict[str, list[Arrow]], shown: set[str]) -> list[str]:
    """Depth first without recursion: a chain may be longer than Python's stack."""
    lines = []
    stack: list[tuple[str, str, str, Arrow | None]] = [(root.id, "", "", None)]
    while stack:
        id, first, rest, arrow = stack.pop()
        box = diagram.by_id[id]
        again = id in shown
        lines.append(f"{first}{_line(box, arrow, again)}")
        if again:
            continue
        shown.add(id)
        branches = [(a.tail, a) for a in entering[id]]
        if len(branches) == 1:
            stack.append((branches[0][0], rest, rest, branches[0][1]))
            continue
        for i, (tail, a) in enumerate(reversed(branches)):
            last = i == 0
            stack.append((tail, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "), a))
    return lines


def _line(box: Box, arrow: Arrow | None, again: bool) -> str:
    carried = "  ".join((*arrow.label, *arrow.numbers)) if arrow else ""
    flows = f"  ── {carried}" if carried else ""
    name = f"{BOXES[box.kind].glyph} {box.title or box.kind}" + (f" : {box.operation}" if box.operation else "")
    if again:
        return f"{name} ↑{flows}"
    badges = "".join(f"  [{BADGES[badge].label}]" for badge in box.badges)
    more = "  ".join((*box.lines, *box.numbers))
    return f"{name}{f'  {more}' if more and more != carried else ''}{badges}{flows}"
