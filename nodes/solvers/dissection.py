"""Nested dissection of a structured grid: which nodes are eliminated in which box, and how boxes join.

The grid is halved across its longest side until the boxes are small. Joining two boxes, the nodes that no
element outside touches can be eliminated (George, Nested dissection of a regular finite element mesh, SIAM
J. Numer. Anal. 10:345, 1973). Boxes of equal size that touch the border of the grid in the same way are alike in
everything but their place, so that all that is said here is said once per *kind* of box, of which there
are some hundred, and all boxes of a kind are worked on at once.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import attrs
import numpy as np

Point = tuple[int, ...]
Borders = tuple[tuple[bool, bool], ...]
Runs = tuple[tuple[slice, slice], ...]


@attrs.define(eq=False)
class Child:
    """One of the two boxes that a box is joined from.

    Attributes:
        kind: its kind.
        shift: from the corner of the joined box to its corner.
        into: for each node it hands on, the number among the nodes of the joined box.
        boxes: which boxes of its kind these are, in the order of the joined boxes.
    """

    kind: Kind
    shift: Point
    into: np.ndarray
    boxes: slice = slice(0)


@attrs.define(eq=False)
class Kind:
    """All boxes of one size that touch the border of the grid with the same sides.

    Attributes:
        size: elements along each axis of the field.
        borders: for each axis, whether the first and last side are on the border of the grid.
        eliminated: nodes (from the corner of the box) that only elements of this box touch.
        handed_on: its other nodes, those that elements outside touch too.
        children: two, or none in the smallest boxes, where elements are added up.
        corners: (boxes, dim) first element of each box.
    """

    size: Point
    borders: Borders
    eliminated: list[Point]
    handed_on: list[Point]
    children: list[Child]
    corners: np.ndarray = attrs.field(factory=lambda: np.zeros((0, 0), dtype=np.int64))

    @property
    def nodes(self) -> list[Point]:
        """All that matter here, the eliminated ones first."""
        return self.eliminated + self.handed_on


def dissect(shape: Point, smallest: int) -> list[Kind]:
    """The kinds of box in a grid of that many elements, children before parents; the last is the whole grid.

    Args:
        shape: elements along each axis.
        smallest: a box of at most so many elements along every axis is not halved.
    """
    kinds: dict[tuple[Point, Borders], Kind] = {}
    _kind(kinds, shape, tuple((True, True) for _ in shape), smallest)
    ordered = sorted(kinds.values(), key=lambda kind: int(np.prod(kind.size)))
    corners: dict[Kind, list[np.ndarray]] = {kind: [] for kind in ordered}
    corners[ordered[-1]].append(np.zeros((1, len(shape)), dtype=np.int64))
    for kind in reversed(ordered):
        kind.corners = np.concatenate(corners[kind])
        for child in kind.children:
            start = sum(map(len, corners[child.kind]))
            child.boxes = slice(start, start + len(kind.corners))
            corners[child.kind].append(kind.corners + np.array(child.shift))
    return ordered


def _kind(kinds: dict[tuple[Point, Borders], Kind], size: Point, borders: Borders, smallest: int) -> Kind:
    if (size, borders) in kinds:
        return kinds[size, borders]
    handed_on = _shared(size, borders)
    outer = set(handed_on)
    if max(size) <= smallest:
        inner = [point for point in product(*(range(s + 1) for s in size)) if point not in outer]
        kinds[size, borders] = Kind(size, borders, inner, handed_on, [])
        return kinds[size, borders]
    axis = max(range(len(size)), key=lambda a: (size[a], a))
    half = size[axis] // 2
    shifts = [tuple(half * upper * (a == axis) for a in range(len(size))) for upper in (0, 1)]
    parts = [_half(kinds, size, borders, smallest, axis, upper) for upper in (0, 1)]
    seen = [[_add(point, shift) for point in part.handed_on] for part, shift in zip(parts, shifts, strict=True)]
    kind = Kind(size, borders, [point for point in seen[0] if point not in outer], handed_on, [])
    number = {point: i for i, point in enumerate(kind.nodes)}
    for part, shift, points in zip(parts, shifts, seen, strict=True):
        kind.children.append(Child(part, shift, np.array([number[point] for point in points], dtype=np.int64)))
    kinds[size, borders] = kind
    return kind


def _half(kinds: Any, size: Point, borders: Borders, smallest: int, axis: int, upper: int) -> Kind:
    """The lower or upper half across an axis."""
    half = size[axis] // 2
    length = size[axis] - half if upper else half
    ends = (False, borders[axis][1]) if upper else (borders[axis][0], False)
    replace = lambda given, new: (*given[:axis], new, *given[axis + 1 :])  # noqa: E731
    return _kind(kinds, replace(size, length), replace(borders, ends), smallest)


def _shared(size: Point, borders: Borders) -> list[Point]:
    """Nodes on sides inside the grid, in an order in which halves keep long stretches of it."""
    points = _outline(size) if len(size) == 2 else product(*(range(s + 1) for s in size))
    inside = [[x for x, border in ((0, low), (s, high)) if not border] for s, (low, high) in zip(size, borders)]  # noqa: B905
    return [point for point in points if any(x in sides for x, sides in zip(point, inside, strict=True))]


def _outline(size: Point) -> list[Point]:
    """The outline of a rectangle, every side in the direction of its axis.

    Two boxes side by side then number their common side in the same direction, and a side cut in two
    stays in order: every part of a child's outline is at most three or four stretches of its parent's.
    """
    n, m = size
    first, last = [(i, 0) for i in range(n + 1)], [(n, j) for j in range(1, m + 1)]
    return [*first, *last, *((0, j) for j in range(1, m + 1)), *((i, m) for i in range(1, n))]


def _add(point: Point, shift: Point) -> Point:
    return tuple(x + d for x, d in zip(point, shift, strict=True))


def runs(into: np.ndarray, border: int) -> Runs:
    """`into` as pairs of slices (from, to), none of which crosses `border` in the target."""
    breaks = np.flatnonzero((np.diff(into) != 1) | (into[1:] == border)) + 1
    starts, stops = [0, *breaks.tolist()], [*breaks.tolist(), into.size]
    return tuple(
        (slice(a, b), slice(int(into[a]), int(into[a]) + b - a)) for a, b in zip(starts, stops, strict=True) if b > a
    )
