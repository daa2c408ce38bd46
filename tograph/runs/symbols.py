"""Supports and loads as engineers draw them: walls, pins and rollers outside the domain, arrows for forces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tograph.nodes.grid import Floats, Integers, Mask

from .scene import Scene

INK, MOVED = "#0b3c5d", "#6a3d9a"
CASES = ("#c1121f", "#e07a1f", "#1b7f79", "#7b2cbf")
DENSITY = 24
"""Symbols along the longer side of the grid; more of them only make a smear."""

# Triangles with the tip at the node and the base away from it: a held displacement along x or along y.
TIPS = {
    (0, -1): [(0, 0), (-1, -0.6), (-1, 0.6), (0, 0)],
    (0, 1): [(0, 0), (1, -0.6), (1, 0.6), (0, 0)],
    (1, -1): [(0, 0), (-0.6, -1), (0.6, -1), (0, 0)],
    (1, 1): [(0, 0), (-0.6, 1), (0.6, 1), (0, 0)],
}
SIDES = {"left": (0, -1), "right": (0, 1), "bottom": (1, -1), "top": (1, 1)}


def draw_supports(axes: Axes, scene: Scene) -> list[Line2D]:
    """Hatched walls along runs of clamped nodes, filled triangles for single ones, open ones for rollers.

    Returns the entries of a legend.
    """
    if scene.held.shape[1] == 1:
        return _dots(axes, scene, scene.held[:, 0], INK, "held temperature")
    points, span = scene.grid.node_coordinates(), _span(scene)
    clamped: Mask = np.logical_and.reduce(scene.held, axis=1)
    walled = np.zeros_like(clamped)
    for side, (axis, sign) in SIDES.items():
        on_side = scene.grid.nodes(side)
        for run in _runs(clamped[on_side]):
            if len(run) > 1:
                _wall(axes, points[on_side[run]], axis, sign, span)
                walled[on_side[run]] = True
    pins = clamped & ~walled
    beside = _on(scene, "left", "right") & ~_on(scene, "bottom", "top")
    _triangles(axes, scene, pins & beside, axis=0, filled=True)
    _triangles(axes, scene, pins & ~beside, axis=1, filled=True)
    for axis in (0, 1):
        _triangles(axes, scene, scene.held[:, axis] & ~clamped, axis, filled=False)
    rollers = bool((scene.held.any(axis=1) & ~clamped).any())
    entries = (
        (walled.any(), "s", "0.75", "clamped"),
        (pins.any(), "^", INK, "pinned"),
        (rollers, "^", "white", "roller"),
    )
    return [_entry(mark, face, INK, label) for there, mark, face, label in entries if there]


def draw_loads(axes: Axes, scene: Scene) -> list[Line2D]:
    """Arrows for forces, one colour per load case, and for prescribed displacements.

    Returns the entries of a legend.
    """
    if scene.held.shape[1] == 1:
        return _heat(axes, scene)
    handles = []
    for k, forces in enumerate(scene.forces):
        colour = CASES[k % len(CASES)]
        if _arrows(axes, scene, forces, colour):
            handles.append(
                _entry(r"$\downarrow$", colour, colour, "load" if len(scene.forces) == 1 else f"load case {k + 1}")
            )
    if _arrows(axes, scene, scene.moved, MOVED):
        handles.append(_entry(r"$\rightarrow$", MOVED, MOVED, "prescribed displacement"))
    return handles


def _dots(axes: Axes, scene: Scene, where: Mask, colour: str, label: str) -> list[Line2D]:
    """Marked nodes of a scalar problem."""
    at = scene.grid.node_coordinates()[where]
    axes.plot(at[:, 0], at[:, 1], linestyle="", marker="o", markersize=6, color=colour, clip_on=False, zorder=4)
    return [_entry("o", colour, colour, label)] if where.any() else []


def _heat(axes: Axes, scene: Scene) -> list[Line2D]:
    """Where heat is put in: dots, or words alone where that is nearly everywhere."""
    heated: Mask = np.logical_or.reduce([forces[:, 0] != 0.0 for forces in scene.forces])
    if heated.mean() > 0.5:
        return [_entry("s", "white", CASES[0], "heated everywhere")]
    return _dots(axes, scene, heated, CASES[0], "heated")


def _wall(axes: Axes, points: Floats, axis: int, sign: int, span: float) -> None:
    low, high = points.min(axis=0), points.max(axis=0)
    depth = 0.03 * span
    corner, size = low.copy(), high - low
    corner[axis] = low[axis] if sign > 0 else low[axis] - depth
    size[axis] = depth
    box = Rectangle(tuple(corner), *size, facecolor="0.92", edgecolor=INK, hatch="////", linewidth=0.0, zorder=3)
    axes.add_patch(box)
    axes.update_datalim([corner, corner + size])
    axes.plot([low[0], high[0]], [low[1], high[1]], color=INK, linewidth=1.8, zorder=4)


def _triangles(axes: Axes, scene: Scene, where: Mask, axis: int, *, filled: bool) -> None:
    points = scene.grid.node_coordinates()
    low, high = points[:, axis].min(), points[:, axis].max()
    for run in _neighbours(scene, where):
        kept = points[_thinned(run, scene)]
        sign = 1 if (kept[:, axis] == high).all() and low < high else -1
        axes.plot(
            kept[:, 0],
            kept[:, 1],
            linestyle="",
            marker=TIPS[axis, sign],
            markersize=20,
            markerfacecolor=INK if filled else "white",
            markeredgecolor=INK,
            clip_on=False,
            zorder=4,
        )


def _arrows(axes: Axes, scene: Scene, vectors: Floats, colour: str) -> bool:
    """Arrows outside the domain where that can be: they end at nodes they push inward, and start at others."""
    sizes = np.linalg.norm(vectors, axis=1)
    if not sizes.any():
        return False
    points = scene.grid.node_coordinates()
    low, high = points.min(axis=0), points.max(axis=0)
    length = 0.11 * _span(scene)
    for run in _neighbours(scene, sizes > 0):
        for node in _thinned(run, scene):
            step = length * max(sizes[node] / sizes.max(), 0.35) * vectors[node] / sizes[node]
            inside = bool(((points[node] + step > low - 1e-9) & (points[node] + step < high + 1e-9)).all())
            tail = points[node] - step if inside else points[node]
            arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
            axes.update_datalim([tail, tail + step])
            axes.annotate("", xy=tuple(tail + step), xytext=tuple(tail), arrowprops=arrow, zorder=5)
    return True


def _on(scene: Scene, *sides: str) -> Mask:
    found = np.zeros(scene.grid.n_nodes, dtype=np.bool_)
    for side in sides:
        found[scene.grid.nodes(side)] = True
    return found


def _neighbours(scene: Scene, where: Mask) -> Iterator[Integers]:
    """The marked nodes, those that follow each other in one column, or else in one row, together."""
    marked = where.reshape(scene.grid.node_shape).copy()
    numbers = np.arange(marked.size).reshape(marked.shape)
    for lines, names, least in ((marked.T, numbers.T, 2), (marked, numbers, 1)):
        for line, name in zip(lines, names, strict=True):
            for run in _runs(line):
                if len(run) >= least:
                    line[run] = False
                    yield name[run]


def _runs(marked: Mask) -> list[Integers]:
    """Positions of neighbouring True values, one array per run."""
    at = np.flatnonzero(marked)
    return [run for run in np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) if run.size]


def _thinned(run: Integers, scene: Scene) -> Integers:
    """Some of a run with both its ends, evenly where its length has a divisor that allows it."""
    points = scene.grid.node_coordinates()[run[[0, -1]]]
    most = max(2, int(DENSITY * np.abs(points[1] - points[0]).max() / _span(scene)) + 1)
    steps = len(run) - 1
    if steps < most:
        return run
    even = [n for n in range(most - 1, most // 2, -1) if steps % n == 0]
    return run[np.linspace(0, steps, (even[0] if even else most - 1) + 1).round().astype(int)]


def _span(scene: Scene) -> float:
    """The longer side of the grid."""
    return max(n * h for n, h in zip((scene.grid.nelx, scene.grid.nely), scene.grid.spacing, strict=False))


def _entry(marker: str, face: str, edge: str, label: str) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker=marker, markersize=9, markerfacecolor=face, markeredgecolor=edge, label=label
    )
