"""A report as one HTML page: no script, no file or address outside of it, and readable when printed in grey."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import Report, Row

SIGNS = {"pass": "✓", "no path": "∅", "not checked": "–", "inexact": "≈", "inconclusive": "?", "fail": "✗"}
"""Verdicts are told apart by their sign and word; colour comes on top."""

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; max-width: 76em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0 2em; }
th, td { text-align: left; padding: 0.2em 0.8em 0.2em 0; border-bottom: 1px solid #ccc; vertical-align: top; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.fail td { font-weight: bold; color: #a30000; border-bottom: 2px solid #a30000; }
tr.pass td { color: #444; }
figure { margin: 0; overflow-x: auto; }
g.failing path, g.failing polygon { stroke: #a30000; stroke-width: 4; }
"""


def to_html(report: Report, title: str, picture: str) -> str:
    """The page: outcome, failing rows, picture, all other rows in the order of the graph."""
    others = [row for row in report.rows if row.verdict != "fail"]
    parts = [
        f"<h1>{escape(title)}: {'passed ✓' if report.passed else 'FAILED ✗'}</h1>",
        f"<p>{escape(_summary(report))}</p>",
        _table("Failing", report.failed),
        _figure(report, picture[picture.find("<svg") :]) if picture else "",
        _table("All other tests", others),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _figure(report: Report, picture: str) -> str:
    """The diagram, in which the boxes of failing vertices have a thick outline."""
    boxes = {_box(row.node, picture) for row in report.failed} - {""}
    for box in boxes:
        picture = picture.replace(f'{box} class="node"', f'{box} class="node failing"')
    caption = "<figcaption>✗ Thick red outline: a node with a failing test.</figcaption>" if boxes else ""
    return f"<figure>{picture}{caption}</figure>"


def _box(node: str, picture: str) -> str:
    """Where the picture has the box of a vertex, which for a step of a composite is that of the composite; or ""."""
    parts = node.split(".")
    names = (escape(".".join(parts[:count])) for count in range(len(parts), 0, -1))
    return next((f'<g id="{name}"' for name in names if f'<g id="{name}" class="node"' in picture), "")


def _summary(report: Report) -> str:
    counts = ", ".join(f"{SIGNS[verdict]} {count} {verdict}" for verdict, count in report.counts().items())
    first = f" The first wrong node is {report.first_wrong}." if report.first_wrong else ""
    return f"{counts or 'nothing to check'}; {report.runs} runs.{first}"


def _table(title: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    names = ("verdict", "node", "port", "test", "backend", "value", "limit", "note")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<h2>{title}</h2>\n<table><tr>{head}</tr>\n" + "\n".join(map(_row, rows)) + "\n</table>"


def _row(row: Row) -> str:
    verdict, *cells = row.cells()
    shown = [f"{SIGNS[verdict]} {verdict}", *cells]
    marks = ["", "", "", "", "", ' class="number"', ' class="number"', ""]
    data = "".join(f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks, shown, strict=True))
    return f'<tr class="{verdict.replace(" ", "-")}">{data}</tr>'
