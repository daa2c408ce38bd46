"""A run on one page: a single HTML file without scripts, that needs no network and no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

import tograph as tg
from tograph import Graph, TographError
from tograph.check.html import STYLE
from tograph.check.report import Report

from .figures import density_figure, save
from .health import health_of, health_rows
from .scene import scene_of

REPORT, PROBLEM = "report.html", "problem.png"
PAGE = (
    STYLE
    + """
h1 { margin-bottom: 0; } h2 { margin-top: 1.6em; border-bottom: 2px solid #0b3c5d; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1em 2em; align-items: start; }
.pair img { width: 100%; } figcaption { color: #444; }
.wide { overflow-x: auto; border: 1px solid #ccc; padding: 0.5em; } .wide img { max-width: none; }
@media (max-width: 60em) { .pair { grid-template-columns: 1fr; } }
"""
)


def write_report(folder: Path, checked: Report | None = None) -> Path:
    """Write `report.html` into the folder of a finished run, from the files that are there.

    Args:
        folder: made by `tograph run`.
        checked: what `tg.check` found for its graph.

    Raises:
        TographError: the folder holds no finished run.
    """
    result, graph, density = _read(folder)
    scene = scene_of(graph)
    if scene is not None and scene.grid.shape == density.shape:
        save(density_figure(np.zeros(density.shape), scene, "the problem"), folder / PROBLEM)
    name, value = result["objective"], result["values"][result["objective"]]
    title = f"{result['problem']}: {name} {value:.6g}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_sentence(result))}</p>",
        _pictures(folder, [(PROBLEM, "Supports and loads"), ("density.png", "The physical density")]),
        "<h2>Health</h2>",
        _table(health_rows(health_of(density, scene), result["options"].get("volume"), result["kkt"])),
        _check(checked),
        "<h2>Convergence</h2>",
        _pictures(folder, [("convergence.png", "Against the iteration"), ("evolution.gif", "The design as it became")]),
        "<h2>What ran</h2>",
        *(_diagram(folder, view) for view in ("forward", "reverse")),
        "<h2>Settings</h2>",
        _table([*result["options"].items(), *result["versions"].items(), ("graph", result["graph"])]),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{PAGE}</style>'
    body = "\n".join(part for part in parts if part)
    path = folder / REPORT
    path.write_text(f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n', "utf-8")
    return path


def check_of(folder: Path) -> Report:
    """The quick check of the graph of a run, on its backend; errors as of `write_report`."""
    result, graph, _ = _read(folder)
    return tg.check(graph, backends=(result["backend"],), quick=True)


def _read(folder: Path) -> tuple[dict[str, Any], Graph, Any]:
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        graph = Graph.from_dict(json.loads((folder / "graph.json").read_text(encoding="utf-8")))
        with np.load(folder / "design.npz") as arrays:
            return result, graph, arrays["density"]
    except (OSError, KeyError, ValueError) as error:
        raise TographError(f"{folder} holds no finished run: {error}. Run or resume it first") from error


def _sentence(result: Mapping[str, Any]) -> str:
    spent = f"{result['iterations']} iterations in {result['seconds']:.1f} s on {result['backend']}"
    return f"{spent}, by {result['method']}; {result['why']}."


def _check(checked: Report | None) -> str:
    if checked is None:
        return "<p>The derivatives of this run were not checked: <code>tograph report RUN</code> does that.</p>"
    counts = ", ".join(f"{count} {verdict}" for verdict, count in checked.counts().items())
    if checked.passed:
        return f"<p>✓ The derivatives were certified in {checked.runs} runs of the graph: {escape(counts)}.</p>"
    rows = [(row.node, row.test, row.note) for row in checked.failed]
    return f"<p>✗ The derivatives are wrong, first in {escape(str(checked.first_wrong))}.</p>{_table(rows)}"


def _pictures(folder: Path, wanted: Sequence[tuple[str, str]]) -> str:
    there = [(folder / name, caption) for name, caption in wanted if (folder / name).exists()]
    figures = [f"<figure>{_image(path)}<figcaption>{escape(said)}</figcaption></figure>" for path, said in there]
    return f'<div class="pair">{"".join(figures)}</div>' if figures else ""


def _diagram(folder: Path, view: str) -> str:
    path = folder / f"{view}.svg"
    said = {"forward": "The graph as declared", "reverse": "Values and gradients, as they ran"}[view]
    if not path.exists():
        return ""
    return f'<figure><figcaption>{said}</figcaption><div class="wide">{_image(path)}</div></figure>'


def _image(path: Path) -> str:
    kind = {".png": "png", ".gif": "gif", ".svg": "svg+xml"}[path.suffix]
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{path.stem}" src="data:image/{kind};base64,{data}">'


def _table(rows: Sequence[Sequence[Any]]) -> str:
    lines = ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    return "<table>" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
