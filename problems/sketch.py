"""Supports, forces and empty elements of a plane problem, drawn with rows and columns of nodes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tograph.nodes.grid import Floats, Grid, Mask

from .problem import Problem

EVERYWHERE = np.s_[:]


class Sketch:
    """A plane problem of unit squares; row 0 of nodes is the top, rows and columns may be slices or lists."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        shape = (height + 1, width + 1)
        self.held = {"x": np.zeros(shape, bool), "y": np.zeros(shape, bool)}
        self.force = {"x": np.zeros(shape), "y": np.zeros(shape)}
        self.void: Mask | None = None

    def hold(self, directions: str, rows: Any, columns: Any) -> None:
        """Fix the nodes in these rows and columns in x, y or both."""
        for direction in directions:
            self.held[direction][rows, columns] = True

    def pull(self, direction: str, rows: Any, columns: Any, value: Any) -> None:
        """Force on each of these nodes; y is up, so a weight is negative."""
        self.force[direction][rows, columns] = value

    def deck(self, row: int) -> None:
        """A weight of about 1 spread over all nodes of a row."""
        self.pull("y", row, EVERYWHERE, -1.0 / self.width)

    def mirror(self, column: int) -> None:
        """A symmetry line along a column."""
        self.hold("x", EVERYWHERE, column)

    def empty(self, rows: Any, columns: Any) -> None:
        """Elements without material."""
        self.void = np.zeros((self.height, self.width), bool) if self.void is None else self.void
        self.void[rows, columns] = True

    def problem(self, density: float, **described: Any) -> Problem:
        """The problem with this fraction of the elements that are not empty; further arguments as for `Problem`."""
        grid = Grid(self.width, self.height)
        held, force = (np.stack([part["x"], part["y"]], axis=-1).ravel() for part in (self.held, self.force))
        active = 1.0 if self.void is None else 1.0 - float(self.void.mean())
        load = np.where(held, 0.0, force)
        fixed = np.flatnonzero(held)
        return Problem(grid=grid, fixed=fixed, load=load, volume=density * active, void=self.void, **described)


def line(s: Sketch, start: tuple[int, int], end: tuple[int, int]) -> Floats:
    """A line from (column, row) to (column, row), anti-aliased: 1 - distance from it, 0 from distance 1 on."""
    row, col = np.indices(s.held["x"].shape, dtype=float)
    across, down = end[0] - start[0], end[1] - start[1]
    distance = np.abs(across * (row - start[1]) - down * (col - start[0])) / math.hypot(across, down)
    beside = (row >= min(start[1], end[1])) & (row <= max(start[1], end[1]))
    return np.where(beside, np.maximum(1.0 - distance, 0.0), 0.0)


def circle(s: Sketch, radius: float) -> Floats:
    """A circle about the middle of the right edge, anti-aliased.

    One octant is walked in unit steps, and each crossing shared by the two nodes beside it; of crossings
    that meet at a node near the diagonal the last one counts. Source: X. Wu (1991), "An efficient antialiasing
    technique", SIGGRAPH Computer Graphics 25(4):143-152.
    """
    shares = {(0, round(radius)): 1.0}
    step, outer = 0, math.ceil(radius)
    while outer > step + 1:
        step += 1
        exact = math.sqrt(radius**2 - step**2)
        outer = math.ceil(exact)
        for at, share in ((outer, 1.0 - (outer - exact)), (outer - 1, outer - exact)):
            shares[step, at] = shares[at, step] = share
    made = np.zeros_like(s.force["y"])
    middle = s.height // 2
    for (a, b), share in shares.items():
        for left, away in ((a, b), (b, a)):
            made[[middle - away, middle + away], s.width - left] = share
    return made
