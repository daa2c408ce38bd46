"""DOT -> pictures, by the layout engine inside pygraphviz: pip alone, no `dot` program."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..errors import TographError, did_you_mean
from .dot import to_dot
from .model import Diagram

DOTS_PER_INCH = "144"
"""Of PNG: twice the size in points, sharp on dense screens and in print."""

FORMATS = ("svg", "png", "pdf", "html", "dot", "json")


def render(diagram: Diagram, format: str) -> bytes:
    """The diagram as the bytes of a file of that format."""
    if format == "json":
        return (json.dumps(diagram.to_dict(), indent=1, ensure_ascii=False) + "\n").encode()
    source = dot_of(diagram)
    if format == "dot":
        return source.encode()
    return _placed(source, format)


def dot_of(diagram: Diagram) -> str:
    """The DOT text."""
    return str(to_dot(diagram).source)


def svg_of(diagram: Diagram, *, framed: bool = True) -> bytes:
    """The SVG; without header and legend unless `framed`."""
    return _placed(str(to_dot(diagram, framed=framed).source), "svg")


def _placed(source: str, format: str) -> bytes:
    import pygraphviz

    graph = pygraphviz.AGraph(string=source)
    if format == "png":
        graph.graph_attr["dpi"] = DOTS_PER_INCH
    made: bytes = graph.draw(format=format, prog="dot")
    return _in_pixels(made) if format == "svg" else made


def _in_pixels(svg: bytes) -> bytes:
    """Sizes in px: browsers show a pt as 4/3 px, which makes a diagram too large for a screen."""
    return re.sub(rb'<svg width="(\d+)pt" height="(\d+)pt"', rb'<svg width="\1px" height="\2px"', svg, count=1)


def format_of(path: Path, format: str | None) -> str:
    """The format asked for, else that of the extension.

    Raises:
        TographError: unknown format; lists the known ones.
    """
    wanted = (format or path.suffix).lower().lstrip(".")
    if wanted in FORMATS:
        return wanted
    what = f"the format {wanted!r}" if wanted else f"a file without extension ({path.name!r})"
    close = did_you_mean(wanted, FORMATS)
    hint = f"{close} " if close.startswith("Did") else ""
    raise TographError(f"cannot draw {what}. {hint}Known: {', '.join(FORMATS)}")
