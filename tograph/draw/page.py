"""Diagrams -> one HTML file that needs no network and no server: data, style and script are inside it.

Small diagrams are placed by Graphviz here; large ones, and all while groups are collapsed, by the page's own script.
"""

from __future__ import annotations

import base64
import json
import zlib
from html import escape
from importlib.resources import files
from typing import Any

import attrs

from .folding import folded
from .measured import laid_over
from .model import Arrow, Box, Diagram
from .render import svg_of
from .style import ARROWS, BADGES, BOXES

SCRIPTS = ("chart.js", "layout.js", "picture.js", "panel.js", "main.js")
PLACED = 120
"""Boxes up to which Graphviz places a diagram; its time grows faster than their number."""


@attrs.frozen
class View:
    """One picture of a page. Views of one tab follow each other on a slider, each with its label."""

    tab: str
    diagram: Diagram
    label: str = ""


def to_html(views: list[View], first: str = "") -> bytes:
    """The page, opened at the tab `first`."""
    looks: dict[str, dict[str, Any]] = {"box": BOXES, "arrow": ARROWS, "badge": BADGES}
    data = {
        "format": "tograph page",
        "version": 1,
        "first": first,
        "looks": {table: {kind: attrs.asdict(look) for kind, look in rows.items()} for table, rows in looks.items()},
        "views": [_view(view) for view in views],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _filled(
        title=escape(views[0].diagram.header.graph),
        style=_file("page.css"),
        script="\n".join(map(_file, SCRIPTS)),
        data=base64.b64encode(zlib.compress(text.encode(), 9)).decode(),
    )


def _view(view: View) -> dict[str, Any]:
    diagram, closed = folded(view.diagram)
    noticed = laid_over(diagram, ())
    svg = svg_of(_with_room(diagram), framed=False).decode() if len(diagram.boxes) <= PLACED else ""
    return {"tab": view.tab, "label": view.label, "diagram": noticed.to_dict(), "svg": svg, "collapsed": closed}


ROOM = "@" * 13
"""Stands where the script writes a number, so that Graphviz leaves the room."""


def _with_room(diagram: Diagram) -> Diagram:
    """Marks and images of the first run, and room for one number wherever some overlay has one."""
    if not diagram.frames:
        return diagram
    first = laid_over(attrs.evolve(diagram, frames=diagram.frames[:1]), ("fields",))
    steps = {step for overlay in diagram.frames[0].overlays for step in overlay.steps}

    def numbers(box: Box) -> tuple[str, ...]:
        return box.numbers if steps.isdisjoint(box.steps) else (*box.numbers, ROOM)

    def carries(arrow: Arrow) -> bool:
        return bool(arrow.wires) and arrow.kind != "factor"

    boxes = [attrs.evolve(box, numbers=numbers(box)) for box in first.boxes]
    arrows = [attrs.evolve(arrow, numbers=(ROOM,) if carries(arrow) else ()) for arrow in first.arrows]
    return attrs.evolve(first, boxes=tuple(boxes), arrows=tuple(arrows))


def _filled(**parts: str) -> bytes:
    page = _file("page.html")
    for name, part in parts.items():
        page = page.replace("{" + name + "}", part)
    return page.encode()


def _file(name: str) -> str:
    return (files(__package__) / "viewer" / name).read_text(encoding="utf-8").rstrip()
