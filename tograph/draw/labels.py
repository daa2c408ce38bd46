"""The texts of a diagram as Graphviz's HTML-like labels."""

from __future__ import annotations

import zlib
from html import escape

from .model import Arrow, Box, Entry, Header
from .style import ARROWS, BADGES, BLACK, BOXES, GREY

SMALL, TINY = "10", "8"
IMAGE = 'WIDTH="104" HEIGHT="40"'
"""Room of a thumbnail, in points."""
COLUMNS = 3
"""Columns of the legend."""
ROW = 'HEIGHT="20"'
"""Height of a line of the legend."""


def _font(text: str, size: str = "", color: str = "") -> str:
    attributes = (f' POINT-SIZE="{size}"' if size else "") + (f' COLOR="{color}"' if color else "")
    return f"<FONT{attributes}>{text}</FONT>" if text and attributes else text


def _table(rows: list[str], *, padding: int = 1, spacing: int = 0) -> str:
    body = "".join(f"<TR>{row}</TR>" for row in rows)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="{padding}" CELLSPACING="{spacing}">{body}</TABLE>'


def _cell(text: str, attributes: str = "") -> str:
    return f"<TD{' ' + attributes if attributes else ''}>{text}</TD>"


def box_label(box: Box, faded: bool = False) -> str:
    """Title and operation; parameters; badges; line of declaration."""
    style = BOXES[box.kind]
    ink = "#555555" if faded and style.ink == BLACK else style.ink
    if style.shape in ("triangle", "circle"):
        return _compact(box, ink)
    title = f"<B>{escape(box.title)}</B>"
    if box.operation:
        title += _font(f" : {escape(box.operation)}", color=ink)
    rows = [_cell(_font(title, "12", ink))]
    rows += [_cell(_font(escape(line), SMALL, ink)) for line in box.lines]
    rows += [_cell(_font(_strong(line), SMALL, ink)) for line in box.numbers]
    if box.image:
        rows.append(_cell(f'<IMG SRC="{image_name(box)}" SCALE="TRUE"/>', f'FIXEDSIZE="TRUE" {IMAGE} BORDER="1"'))
    if box.badges:
        rows.append(_cell(_table(["".join(_badge(badge) for badge in box.badges)], padding=2, spacing=2)))
    if box.where and box.kind in ("node", "solve"):
        rows.append(_cell(_font(escape(box.where), TINY, GREY)))
    return f"<{_table(rows)}>"


def image_name(box: Box) -> str:
    """The file that a picture in a box is read from."""
    return f"{zlib.crc32(box.image.encode()):08x}.png"


def _strong(line: str) -> str:
    return f"<B>{escape(line)}</B>"


def _compact(box: Box, ink: str) -> str:
    sign = "+" if box.kind == "accumulate" else escape(box.title)
    rows = [_cell(_font(f"<B>{sign}</B>", "16" if sign == "+" else TINY, ink))]
    rows += [_cell(_font(escape(line), TINY, ink)) for line in box.lines]
    rows += [_cell(_font(_strong(line), TINY, BLACK)) for line in box.numbers]
    return f"<{_table(rows, padding=0)}>"


def _badge(kind: str) -> str:
    style = BADGES[kind]
    return _cell(_font(escape(style.label), TINY, style.ink), f'BGCOLOR="{style.fill}" STYLE="ROUNDED"')


def arrow_label(*arrows: Arrow, across: bool = False, numbers_only: bool = False) -> str:
    """The lines of one or more labels, with room between text and arrow; `across` if the arrow runs to the side."""
    said = [(arrow.label if not numbers_only else (), arrow.numbers) for arrow in arrows]
    lines = [line for words, numbers in said for line in (*map(escape, words), *map(_strong, numbers))]
    if not lines:
        return ""
    rows = [_cell("", 'WIDTH="3"') + _cell(line, 'ALIGN="LEFT"') for line in lines]
    rows += [_cell("", 'HEIGHT="7"')] if across else []
    return f"<{_table(rows, padding=0)}>"


def header_label(header: Header) -> str:
    """Graph and pass in bold; then backend, precision, hash and facts."""
    facts = (header.backend, header.dtype, f"graph {header.hash}", *header.facts)
    rows = [
        _cell(_font(f"<B>{escape(header.graph)}</B>   {escape(header.computes)}", "15"), 'ALIGN="LEFT"'),
        _cell(_font(escape("   ·   ".join(fact for fact in facts if fact)), SMALL, GREY), 'ALIGN="LEFT"'),
    ]
    return f"<{_table(rows)}>"


def legend_label(entries: tuple[Entry, ...]) -> str:
    """The marks in use, in columns."""
    if not entries:
        return ""
    height = -(-len(entries) // COLUMNS)
    columns = [entries[i : i + height] for i in range(0, len(entries), height)]
    # Columns of equal length, or else the rows of the shorter ones are stretched.
    rows = [[_entry(entry) for entry in column] + [_cell("", ROW)] * (height - len(column)) for column in columns]
    cells = "".join(_cell(_table(column), 'VALIGN="TOP"') for column in rows)
    return f"<{_table([cells], padding=6)}>"


def _entry(entry: Entry) -> str:
    if entry.table == "badge":
        sign = _table([_badge(entry.kind)], padding=2)
    elif entry.table == "box":
        look = BOXES[entry.kind]
        sign = _font(look.glyph, "15", look.line)
    else:
        arrow = ARROWS[entry.kind]
        sign = _font(escape(arrow.glyph), "12", arrow.color.split(":")[0])
    text = _font(escape(entry.text), "9", "#444444")
    return _cell(sign, f'ALIGN="CENTER" {ROW}') + _cell(text, 'ALIGN="LEFT"')
