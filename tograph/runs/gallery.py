"""Many problems side by side: where they are held, what pulls, and what must stay empty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from tograph.nodes.grid import Floats, Mask
from tograph.problems import Problem

from .figures import save

HELD, FORCE, EMPTY = "#0b3c5d", "#c1121f", "0.85"
ARROWS = 20
"""Arrows along the longer side; of more loads only every so many-th is drawn."""


def save_gallery(problems: Sequence[Problem], title: str, path: Path) -> None:
    """Write a PNG of `gallery_figure`."""
    save(gallery_figure(problems, title), path)


def gallery_figure(problems: Sequence[Problem], title: str, columns: int = 6) -> Figure:
    """One small picture per 2D problem; those in 3D are left out.

    Blue ticks point along the directions in which a node is held, red arrows are forces, grey is void.
    """
    flat = [problem for problem in problems if problem.grid.dim == 2]
    rows = math.ceil(len(flat) / columns)
    figure = Figure(figsize=(2.7 * columns, 2.7 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for problem, axes in zip(flat, panels.flat, strict=False):
        _draw(axes, problem)
    figure.suptitle(f"{title}: held nodes (blue ticks along the direction), forces (red), void (grey)", fontsize=11)
    return figure


def _draw(axes: Axes, problem: Problem) -> None:
    grid = problem.grid
    width, height = (n * h for n, h in zip((grid.nelx, grid.nely), grid.spacing, strict=True))
    span = max(width, height)
    if problem.void is not None:
        axes.imshow(problem.void, cmap="Greys", vmin=0.0, vmax=4.0, extent=(0.0, width, 0.0, height))
    axes.plot([0, width, width, 0, 0], [0, 0, height, height, 0], color="0.4", linewidth=0.7)
    points = grid.node_coordinates()
    held = np.zeros(grid.n_dofs(), bool)
    held[problem.fixed] = True
    _ticks(axes, points, held.reshape(-1, 2), 0.025 * span)
    for load in problem.load.reshape(grid.n_dofs(), -1).T:
        _arrows(axes, points, load.reshape(-1, 2), span)
    axes.set_aspect("equal")
    axes.set_xlim(-0.16 * span, width + 0.16 * span)
    axes.set_ylim(-0.16 * span, height + 0.16 * span)
    axes.set_title(problem.name, fontsize=7.5)


def _ticks(axes: Axes, points: Floats, held: Mask, size: float) -> None:
    """A tick along x at a node held in x, along y at one held in y: a cross where both are."""
    for axis in (0, 1):
        at, step = points[held[:, axis]], size * np.eye(2)[axis]
        axes.add_collection(LineCollection(list(np.stack([at - step, at + step], axis=1)), colors=HELD, linewidths=1.0))


def _arrows(axes: Axes, points: Floats, force: Floats, span: float) -> None:
    sizes = np.linalg.norm(force, axis=1)
    loaded = np.flatnonzero(sizes > 0.3 * sizes.max())
    kept = loaded[:: max(1, len(loaded) // (2 * ARROWS))]
    direction = 0.12 * span * force[kept] / sizes.max()
    axes.quiver(
        *(points[kept] - direction).T, *direction.T, color=FORCE, angles="xy", scale_units="xy", scale=1.0, width=0.008
    )
