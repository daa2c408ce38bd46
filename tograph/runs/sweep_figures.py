"""The pictures of a sweep: designs side by side, objectives falling, and how often a method is near the best."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tograph.nodes.grid import Floats

from .carry_out import DESIGN, HISTORY
from .figures import GREY, save
from .table import behind, best_of

Row = Mapping[str, Any]
CASES, VARIANTS = 8, 8
"""The most rows and columns of a picture; of more cases, some evenly spread."""
COLOURS = ("#0b3c5d", "#c1121f", "#2a7f4f", "#e07a1f", "#7b2cbf", "#1b7f79", "#b3541e", "#555555")
DESIGNS, CONVERGENCE, PROFILE = "designs.png", "convergence.png", "profile.png"


def save_sweep_figures(rows: Sequence[Row], folder: Path) -> None:
    """Write `designs.png` and `convergence.png`, and from four cases and two methods on `profile.png`."""
    good = [row for row in rows if not row["error"]]
    if not good:
        return
    save(designs_figure(good, folder), folder / DESIGNS)
    save(convergences_figure(good, folder), folder / CONVERGENCE)
    if len(_cases(good)) >= 4 and len(_variants(good)) >= 2:
        save(profile_figure(rows), folder / PROFILE)


def designs_figure(rows: Sequence[Row], folder: Path) -> Figure:
    """The physical density of each case (rows) by each method (columns), the best seed; red is the best of a row.

    Of a 3D density, the mean along z.
    """
    cases, variants = _some(_cases(rows), CASES), _variants(rows)[:VARIANTS]
    best = best_of(rows)
    images = {(row["case"], row["variant"]): (row, _density(folder / row["folder"])) for row in _best_seeds(rows)}
    tallest = [max(_aspect(images, case, variant) for variant in variants) for case in cases]
    heights = [min(max(2.6 * aspect, 0.5), 4.0) + 0.45 for aspect in tallest]
    figure = Figure(figsize=(2.7 * len(variants) + 0.6, sum(heights) + 0.5), layout="constrained")
    panels = figure.subplots(len(cases), len(variants), squeeze=False, height_ratios=heights)
    for case, line in zip(cases, panels, strict=True):
        for variant, axes in zip(variants, line, strict=True):
            _frame(axes)
            row, density = images.get((case, variant), (None, None))
            if row is None or density is None:
                continue
            axes.imshow(density, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")
            winner = row["objective"] == best[case]
            axes.set_title(f"{row['objective']:.5g}", fontsize=9, color="#c1121f" if winner else "black")
        line[0].set_ylabel(_wrapped(case), fontsize=8)
    for variant, axes in zip(variants, panels[-1], strict=True):
        axes.set_xlabel(_wrapped(variant), fontsize=9)
    return figure


def convergences_figure(rows: Sequence[Row], folder: Path) -> Figure:
    """The lowest objective so far against the iteration, one panel per case; the end of each run is a dot.

    A row of the history counts from the first one on that keeps the volume of the best design to 1 %.
    """
    cases, variants = _some(_cases(rows), CASES), _variants(rows)[:VARIANTS]
    columns = min(len(cases), 2 if len(cases) < 5 else 3)
    lines = math.ceil(len(cases) / columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * lines + 0.6), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.flat[len(cases) :]:
        axes.set_axis_off()
    for case, axes in zip(cases, panels.flat, strict=False):
        for row in rows:
            if row["case"] == case and row["variant"] in variants:
                at, values = _falling(row, folder)
                colour = COLOURS[variants.index(row["variant"]) % len(COLOURS)]
                axes.plot(at, values, color=colour, linewidth=1.4, label=row["variant"])
                axes.plot(at[-1:], values[-1:], color=colour, marker="o", markersize=4)
        axes.set_title(case, fontsize=9)
        axes.set_yscale("log")
        axes.grid(True, which="both", color="0.93")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, which="both")
        axes.set_xlabel("iteration", fontsize=8)
    _legend(figure, panels.flat[0])
    figure.supylabel("lowest objective so far", fontsize=9)
    return figure


def profile_figure(rows: Sequence[Row]) -> Figure:
    """The share of cases in which a method, with its best seed, comes within a distance of the best of all.

    A performance profile in the sense of E. D. Dolan and J. J. Moré, Math. Program. 91 (2002) 201-213, of the objective
    instead of the time.
    """
    best, cases = best_of(rows), _cases(rows)
    nearest: dict[str, dict[str, float]] = {}
    for row in rows:
        gap = behind(row, best)
        if gap is not None:
            of = nearest.setdefault(row["variant"], {})
            of[row["case"]] = min(gap, of.get(row["case"], math.inf))
    figure = Figure(figsize=(6.5, 4.0), layout="constrained")
    axes = figure.subplots()
    least = 1e-4
    far = max([0.1, *(gap for of in nearest.values() for gap in of.values())])
    for (variant, of), colour in zip(nearest.items(), _cycled(len(nearest)), strict=True):
        gaps = np.maximum(np.sort(list(of.values())), least)
        shares = np.arange(1, len(gaps) + 1) / len(cases)
        x = np.concatenate([[least], gaps, [2.0 * far]])
        axes.step(x, np.concatenate([[0.0], shares, shares[-1:]]), where="post", color=colour, label=variant)
    axes.set_xscale("log")
    axes.set_xlim(least, 2.0 * far)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("objective / best - 1, at most")
    axes.set_ylabel(f"share of {len(cases)} cases")
    axes.grid(True, color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _best_seeds(rows: Sequence[Row]) -> list[Row]:
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        at = (row["case"], row["variant"])
        if at not in found or row["objective"] < found[at]["objective"]:
            found[at] = row
    return list(found.values())


def _falling(row: Row, folder: Path) -> tuple[list[int], list[float]]:
    with (folder / row["folder"] / HISTORY).open(encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    name = next(name for name, value in row["values"].items() if value == row["objective"])
    most = math.inf if row["volume"] is None else row["volume"] * 1.01
    at, values, least = [], [], math.inf
    for entry in history:
        if float(entry.get("volume") or 0.0) <= most:
            least = min(least, float(entry[name]))
            at.append(int(entry["iteration"]))
            values.append(least)
    return at, values


def _density(place: Path) -> Floats | None:
    with np.load(place / DESIGN) as arrays:
        density = np.asarray(arrays["density"]) if "density" in arrays else None
    if density is None or density.ndim not in (2, 3):
        return None
    return density if density.ndim == 2 else density.mean(axis=2)


def _aspect(images: Mapping[Any, Any], case: str, variant: str) -> float:
    density = images.get((case, variant), (None, None))[1]
    return 0.0 if density is None else density.shape[0] / density.shape[1]


def _frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(GREY)
        spine.set_linewidth(0.6)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    each = dict(zip(labels, handles, strict=True))
    figure.legend(
        list(each.values()), list(each), loc="outside upper center", ncols=min(4, len(each)), frameon=False, fontsize=9
    )


def _cases(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["case"] for row in rows))


def _variants(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["variant"] for row in rows))


def _some(names: Sequence[str], most: int) -> list[str]:
    """All of a few, and some of many: evenly spread, with both ends."""
    if len(names) <= most:
        return list(names)
    return [names[i] for i in np.linspace(0, len(names) - 1, most).round().astype(int)]


def _cycled(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _wrapped(name: str) -> str:
    return name.replace(" ", "\n")
