"""Pictures of results: the density with its supports and loads, and the convergence curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tograph.nodes.grid import Floats

from .scene import Scene
from .symbols import draw_loads, draw_supports

GREY = "0.35"


def save(figure: Figure, path: Path) -> None:
    """Write a PNG without a display and without global state."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=150, facecolor="white")


def density_figure(density: Floats, scene: Scene | None, title: str) -> Figure:
    """Black material on white. A 2D field with supports and loads; of a 3D one, its mean along each axis.

    What is no field of the scene's grid, such as a design of thicknesses, is shown without supports, in one row if it
    has one axis.
    """
    if density.ndim not in (2, 3):
        density = density.reshape(1, -1)
    scene = scene if scene is not None and scene.grid.shape == density.shape else None
    if density.ndim == 3:
        return _projections(density, scene, title)
    ny, nx = density.shape
    hx, hy = scene.grid.spacing if scene is not None else (1.0, 1.0)
    width, height = nx * hx, ny * hy
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    _show(axes, density, (width, height))
    axes.update_datalim([(0.0, 0.0), (width, height)])
    if scene is not None:
        labels = [*draw_supports(axes, scene), *draw_loads(axes, scene)]
        figure.legend(handles=labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    margin = 0.04 * max(width, height)
    low, high = axes.dataLim.min - margin, axes.dataLim.max + margin
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_axis_off()
    figure.set_size_inches(_size(*(high - low)))
    figure.suptitle(title, fontsize=11)
    return figure


def convergence_figure(history: Sequence[Mapping[str, Any]], objective: str, title: str, tol: float = 0.0) -> Figure:
    """The objective, the volume and the largest change of the design against the iteration; `tol` is dashed."""
    iterations = [row["iteration"] for row in history]
    figure = Figure(figsize=(7.5, 6.0), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(2.2, 1, 1.3))
    marker = "." if len(iterations) < 40 else ""
    for axes, name, colour in (
        (top, objective, "#0b3c5d"),
        (middle, "volume", "#2a7f4f"),
        (bottom, "change", "#b3541e"),
    ):
        values = np.array([float(row[name]) for row in history])
        axes.plot(iterations, values, color=colour, marker=marker, linewidth=1.6)
        axes.set_ylabel(name)
        axes.grid(True, color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        positive = values[values > 0]
        if name != "volume" and positive.size == values.size > 1 and values.max() > 20 * values.min():
            axes.set_yscale("log")
    top.annotate(
        f"{float(history[-1][objective]):.6g}",
        (iterations[-1], float(history[-1][objective])),
        xytext=(0, 8),
        textcoords="offset points",
        ha="right",
        color=GREY,
    )
    middle.ticklabel_format(axis="y", useOffset=False)
    _at_least_wide(middle, 0.02)
    if tol > 0.0:
        bottom.axhline(tol, color=GREY, linewidth=1.0, linestyle="--")
    bottom.set_xlabel("iteration")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(title, fontsize=11)
    return figure


def _at_least_wide(axes: Axes, span: float) -> None:
    """Keep rounding errors of a constant volume from filling the axis."""
    low, high = axes.get_ylim()
    if high - low < span:
        middle = (low + high) / 2
        axes.set_ylim(middle - span / 2, middle + span / 2)


def _show(axes: Axes, density: Floats, lengths: tuple[float, float]) -> None:
    width, height = lengths
    axes.imshow(
        density, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest", extent=(0.0, width, 0.0, height), zorder=1
    )
    axes.plot([0, width, width, 0, 0], [0, 0, height, height, 0], color=GREY, linewidth=0.8, zorder=2)


def _projections(density: Floats, scene: Scene | None, title: str) -> Figure:
    """Three views, each the mean density along the line of sight, so that grey means "partly filled along it"."""
    ny, nx, nz = density.shape
    hx, hy, hz = scene.grid.spacing if scene is not None else (1.0, 1.0, 1.0)
    x, y, z = nx * hx, ny * hy, nz * hz
    views = (
        ("front: mean along z", density.mean(axis=2), (x, y), "x", "y"),
        ("right: mean along x", density.mean(axis=1)[:, ::-1], (z, y), "z (to the back)", "y"),
        ("top: mean along y", density.mean(axis=0).T, (x, z), "x", "z (to the front, down)"),
    )
    figure = Figure(figsize=_size(1.15 * (x + z), 1.3 * (y + z)), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(x, z), height_ratios=(y, z))
    for (name, image, lengths, right, up), at in zip(views, (grid[0, 0], grid[0, 1], grid[1, 0]), strict=True):
        axes = figure.add_subplot(at)
        _show(axes, image, lengths)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(right, fontsize=8)
        axes.set_ylabel(up, fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.suptitle(title, fontsize=11)
    return figure


def _size(width: float, height: float) -> tuple[float, float]:
    """Inches: 8 along the longer side, and room for title and legend."""
    scale = 8.0 / max(width, height)
    return max(4.5, width * scale), max(1.6, height * scale) + 0.9
