"""DOT -> pictures, by the layout engine inside pygraphviz: pip alone, no `dot` program."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from pathlib import Path

from ..errors import TographError, did_you_mean
from .dot import to_dot
from .labels import image_name
from .model import Diagram
from .text import to_text

DOTS_PER_INCH = "144"
"""Of PNG: twice the size in points, sharp on dense screens and in print."""

FORMATS = ("svg", "png", "pdf", "html", "txt", "dot", "json")


def render(diagram: Diagram, format: str) -> bytes:
    """The diagram as the bytes of a file of that format."""
    if format == "json":
        return (json.dumps(diagram.to_dict(), indent=1, ensure_ascii=False) + "\n").encode()
    if format == "txt":
        return to_text(diagram).encode()
    source = dot_of(diagram)
    if format == "dot":
        return source.encode()
    return _placed(diagram, source, format)


def dot_of(diagram: Diagram) -> str:
    """The DOT text."""
    return str(to_dot(diagram).source)


def svg_of(diagram: Diagram, *, framed: bool = True) -> bytes:
    """The SVG; without header and legend unless `framed`."""
    return _placed(diagram, str(to_dot(diagram, framed=framed).source), "svg")


def _placed(diagram: Diagram, source: str, format: str) -> bytes:
    import pygraphviz

    graph = pygraphviz.AGraph(string=source)
    if format == "png":
        graph.graph_attr["dpi"] = DOTS_PER_INCH
    pictures = {image_name(box): box.image for box in diagram.boxes if box.image}
    with tempfile.TemporaryDirectory() as folder:
        for name, image in pictures.items():
            (Path(folder) / name).write_bytes(base64.b64decode(image))
        if pictures:
            graph.graph_attr["imagepath"] = folder
        made: bytes = graph.draw(format=format, prog="dot")
    return _in_pixels(_inside(made, pictures)) if format == "svg" else made


def _inside(svg: bytes, pictures: dict[str, str]) -> bytes:
    """The pictures themselves, where Graphviz names their files."""
    for name, image in pictures.items():
        svg = re.sub(rb'"[^"]*' + name.encode(), b'"data:image/png;base64,' + image.encode(), svg)
    return svg.replace(b"<image ", b'<image style="image-rendering:pixelated" ')


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
