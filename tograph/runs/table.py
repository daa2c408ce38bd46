"""The table of a sweep: a line per run, and how the methods compare."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]
NUMBERS = ("objective", "behind", "volume", "grey", "iterations", "evaluations", "seconds")
WITHIN = 0.01
"""How near to the best a run counts as good."""


def best_of(rows: Sequence[Row]) -> dict[str, float]:
    """The lowest objective of each case (a problem with its own parameters) over all runs that did not fail."""
    best: dict[str, float] = {}
    for row in rows:
        if not row["error"]:
            best[row["case"]] = min(row["objective"], best.get(row["case"], math.inf))
    return best


def behind(row: Row, best: Mapping[str, float]) -> float | None:
    """objective / best - 1, dimensionless; None for a run that failed."""
    return None if row["error"] else row["objective"] / best[row["case"]] - 1.0


def summary_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry per method and parameters, best first, over all problems and seeds.

    `runs` and `failed` count; `median` and `worst` are of objective / best of the case - 1; `best` counts the cases
    where it is the best, `good` those where it is within 1 % of it, the best seed counting.
    """
    best = best_of(rows)
    found = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        gaps: dict[str, list[float]] = {}
        for row in mine:
            gap = behind(row, best)
            if gap is not None:
                gaps.setdefault(row["case"], []).append(gap)
        all_gaps = [gap for some in gaps.values() for gap in some]
        nearest = [min(some) for some in gaps.values()]
        found.append(
            {
                "method": variant,
                "runs": len(mine),
                "failed": sum(bool(row["error"]) for row in mine),
                "median": float(np.median(all_gaps)) if all_gaps else None,
                "worst": max(all_gaps, default=None),
                "best": sum(gap == 0.0 for gap in nearest),
                "good": sum(gap <= WITHIN for gap in nearest),
                "seconds": sum(row["seconds"] for row in mine if not row["error"]),
            }
        )
    return sorted(found, key=lambda entry: math.inf if entry["median"] is None else entry["median"])


def text_of(rows: Sequence[Row]) -> str:
    """The table in plain text, for a terminal or a file."""
    best = best_of(rows)
    seeds = any(row["seed"] is not None for row in rows)
    head = ["problem", "method", *(["seed"] if seeds else []), *NUMBERS]
    lines = []
    for row in rows:
        named = [row["case"], row["variant"]]
        if seeds:
            named.append("" if row["seed"] is None else str(row["seed"]))
        values = {**row, "behind": behind(row, best)}
        cells = [row["error"].splitlines()[0]] if row["error"] else [_said(name, values[name]) for name in NUMBERS]
        lines.append(named + cells)
    parts = [_aligned(head, lines, 3 if seeds else 2)]
    summary = summary_of(rows)
    if len(summary) > 1:
        names = list(summary[0])
        cells = [[_said(name, entry[name]) for name in names] for entry in summary]
        parts.append(_aligned(names, cells, 1))
    return "\n\n".join(parts)


def csv_of(rows: Sequence[Row]) -> str:
    """The table with one column per parameter."""
    best = best_of(rows)
    parameters = list(dict.fromkeys(name for row in rows for name in row["parameters"]))
    columns = ["problem", "method", *parameters, "seed", "backend", *NUMBERS, "converged", "why", "error", "folder"]
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, **row["parameters"], "behind": behind(row, best)})
    return file.getvalue()


def _said(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("behind", "median", "worst"):
        return f"{100.0 * value:.2f} %"
    if name == "seconds":
        return f"{value:.1f}"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _aligned(head: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    """Columns as wide as what is in them; the first `left` to the left, the others to the right."""
    full = [line for line in [head, *lines] if len(line) == len(head)]
    widths = [max(len(line[i]) for line in full) for i in range(len(head))]
    widths[:left] = [max(len(line[i]) for line in [head, *lines]) for i in range(left)]
    return "\n".join(_line(line, widths, left, failed=len(line) != len(head)) for line in [head, *lines])


def _line(cells: Sequence[str], widths: Sequence[int], left: int, *, failed: bool) -> str:
    """One line; that of a failed run has a sentence instead of numbers."""
    names = [cell.ljust(width) for cell, width in zip(cells[:left], widths, strict=False)]
    numbers = cells[left:] if failed else [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)][left:]
    return "  ".join([*names, *numbers]).rstrip()
