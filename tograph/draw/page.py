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
from .model import Diagram
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
    svg = svg_of(view.diagram, framed=False).decode() if len(diagram.boxes) <= PLACED else ""
    return {"tab": view.tab, "label": view.label, "diagram": diagram.to_dict(), "svg": svg, "collapsed": closed}


def _filled(**parts: str) -> bytes:
    page = _file("page.html")
    for name, part in parts.items():
        page = page.replace("{" + name + "}", part)
    return page.encode()


def _file(name: str) -> str:
    return (files(__package__) / "viewer" / name).read_text(encoding="utf-8").rstrip()
