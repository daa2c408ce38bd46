"""Results as tables in Markdown and as a picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .contestants import CONTESTANTS, problem_of

Rows = dict[str, dict[str, Any]]
"""Contestant -> what was measured."""

COLUMNS = "| | ratio | CPU s | first call s | MiB | value error | gradient error | iterations | roofline |"


def table(results: dict[str, Rows]) -> str:
    """Per size: ratio to the fastest of tograph first; iterations; share of the time that a copy of the bytes takes."""
    lines = []
    for size, rows in results.items():
        lines += [f"\n**{size}**\n", COLUMNS, "|---|---|---|---|---|---|---|---|---|"]
        unit = min((row["cpu"] for name, row in rows.items() if _own(name, row)), default=math.nan)
        for name, row in sorted(rows.items(), key=lambda item: item[1].get("cpu", math.inf)):
            if "cpu" not in row:
                lines.append(f"| {name} | - | {row.get('absent') or row.get('failed')} | | | | | | |")
                continue
            numbers = f"{row['cpu']:.3g} | {row['first']:.2g} | {row['memory_MiB']:.0f}"
            errors = f"{row['value_error']:.0e} | {row['gradient_error']:.0e}"
            share = f"{row['floor'] / row['cpu']:.0%}" if "floor" in row else ""
            lines.append(
                f"| {name} | {row['cpu'] / unit:.2f} | {numbers} | {errors} | {row.get('iterations', '')} | {share} |"
            )
    return "\n".join(lines)


def device_table(results: dict[str, Rows]) -> str:
    """Per size and contestant: wall time, elements a second, share of the bandwidth, iterations."""
    lines = ["| | | wall s | elements/s | bandwidth | iterations | gradient error |", "|---|---|---|---|---|---|---|"]
    for size, rows in results.items():
        for name, row in rows.items():
            if "wall" not in row:
                lines.append(f"| {size} | {name} | {row.get('absent') or row.get('failed')} | | | | |")
                continue
            speed, share = problem_of(size).grid.n_elements / row["wall"], row["floor"] / row["wall"]
            end = f"{row['iterations']} | {row['gradient_error']:.0e} |"
            lines.append(f"| {size} | {name} | {row['wall']:.3g} | {speed:.2g} | {share:.0%} | {end}")
    return "\n".join(lines)


def _own(name: str, row: dict[str, Any]) -> bool:
    return name.startswith("tograph") and "cpu" in row


def plot(results: dict[str, Rows], path: str) -> None:
    """CPU seconds against dofs, log-log, the exponent of a fitted power in the legend; 2D left, 3D right."""
    dims = [dim for dim in (2, 3) if any(problem_of(size).grid.dim == dim for size in results)]
    figure = Figure(figsize=(8.5 * len(dims), 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, dim in zip(np.atleast_1d(figure.subplots(1, len(dims))), dims, strict=True):
        axes.set(title=f"{dim}D", xlabel="dofs", ylabel="CPU seconds, value and gradient", xscale="log", yscale="log")
        found = {size: rows for size, rows in results.items() if problem_of(size).grid.dim == dim}
        for i, name in enumerate(CONTESTANTS):
            style = {"tograph": "o-", "bare": ":"}.get(name.split(",")[0].split()[0], "s--")
            _line(axes, found, name, "cpu", style, name, f"C{i % 10}")
        _line(axes, found, "tograph, multigrid float32", "floor", "-", "its bytes at the speed of a copy", "0.6")
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, dpi=100)


def _line(axes: Axes, results: dict[str, Rows], name: str, key: str, style: str, label: str, color: str) -> None:
    points = [
        (problem_of(size).grid.n_dofs(), rows[name][key]) for size, rows in results.items() if key in rows.get(name, {})
    ]
    if points:
        dofs, seconds = np.array(sorted(points)).T
        power = f", n^{np.polyfit(np.log(dofs), np.log(seconds), 1)[0]:.2f}" if dofs.size > 1 else ""
        axes.plot(dofs, seconds, style, label=label + power, color=color)
