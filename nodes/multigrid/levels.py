"""The hierarchy of grids, made once from the pattern: sizes, which dofs are free, and how levels hang together."""

from __future__ import annotations

import math
from itertools import product

import attrs
import numpy as np

from ..pattern import ElementPattern


@attrs.frozen(eq=False)
class Level:
    """One grid, with elements that do not exist (E = 0) added at the ends until it can be coarsened.

    Attributes:
        elements: elements per axis.
        factors: how many of them make one of the next level's, per axis; all 1 on the coarsest level.
        free: 1 at free dofs, 0 at fixed ones, (components, *nodes).
        mirrored: see `ElementPattern`; used on the grid itself.
    """

    elements: tuple[int, ...]
    factors: tuple[int, ...]
    free: np.ndarray
    mirrored: bool = False

    @property
    def nodes(self) -> tuple[int, ...]:
        """Nodes per axis."""
        return tuple(n + 1 for n in self.elements)

    @property
    def size(self) -> int:
        """All nodes."""
        return math.prod(self.nodes)

    @property
    def strides(self) -> tuple[int, ...]:
        """How far apart neighbours along each axis are in the flattened array of nodes."""
        return tuple(math.prod(self.nodes[k + 1 :]) for k in range(len(self.nodes)))

    @property
    def reach(self) -> int:
        """From a node to the last one of its element."""
        return sum(self.strides)

    @property
    def shifts(self) -> tuple[int, ...]:
        """From the first node of an element to each of its corners, in the order of `corner_bits`."""
        return tuple(sum(b * s for b, s in zip(bits, self.strides, strict=True)) for bits in corner_bits(self.dim))

    @property
    def dim(self) -> int:
        """2 or 3."""
        return len(self.elements)


def corner_bits(dim: int) -> list[tuple[int, ...]]:
    """Corners of an element by their place (0 or 1) along the axes of the node array, in binary order."""
    return list(product((0, 1), repeat=dim))


def corner_order(pattern: ElementPattern) -> np.ndarray:
    """For each corner of `corner_bits`, its number in the grid's corner order."""
    bits = [tuple(int(axis.start == 1) for axis in corner) for corner in pattern.corners()]
    return np.array([bits.index(corner) for corner in corner_bits(pattern.grid.dim)])


def make_levels(pattern: ElementPattern, direct: int) -> tuple[Level, ...]:
    """From the grid itself down to one with at most `direct` work of elimination: two levels at least."""
    elements, spacing = pattern.grid.shape, _axis_spacing(pattern)
    supports = pattern.supports.reshape(*pattern.grid.node_shape, pattern.components)
    free = np.moveaxis(1.0 - supports, -1, 0)
    levels: list[Level] = []
    while True:
        small = levels and elimination(elements, pattern.components) <= direct
        factors = (1,) * len(elements) if small else _factors(elements, spacing)
        padded = tuple(-(-n // f) * f for n, f in zip(elements, factors, strict=True))
        widths = [(0, 0), *((0, p + 1 - n) for p, n in zip(padded, free.shape[1:], strict=True))]
        levels.append(Level(padded, factors, np.pad(free, widths, constant_values=1.0), pattern.mirrored))
        if max(factors) == 1 and len(levels) > 1:
            return tuple(levels)
        elements = tuple(n // f for n, f in zip(padded, factors, strict=True))
        spacing = tuple(h * f for h, f in zip(spacing, factors, strict=True))
        free = levels[-1].free[(slice(None), *(slice(None, None, f) for f in factors))]


def elimination(elements: tuple[int, ...], components: int) -> int:
    """Planes across the longest axis times the cube of the dofs in one: about a sixth of what `factor_planes` takes."""
    nodes = sorted(n + 1 for n in elements)
    return nodes[-1] * (components * math.prod(nodes[:-1])) ** 3


def _axis_spacing(pattern: ElementPattern) -> tuple[float, ...]:
    x, y, *z = pattern.grid.spacing
    return (y, x, *z)


def _factors(elements: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[int, ...]:
    """2 along the axes with the shortest elements: along the others point smoothing leaves errors that are rough."""
    left = [h for n, h in zip(elements, spacing, strict=True) if n > 1]
    return tuple(2 if n > 1 and h < 1.5 * min(left) else 1 for n, h in zip(elements, spacing, strict=True))


def interpolation(factors: tuple[int, ...], components: int) -> np.ndarray:
    """(child, d, d): corner values of an element -> those of each of the elements that it is made of."""
    made = []
    for child in product(*(range(f) for f in factors)):
        weights = np.ones((1, 1))
        for k, f in zip(child, factors, strict=True):
            x = np.array([k / f, (k + 1) / f])
            weights = np.kron(weights, np.stack([1.0 - x, x], axis=1))
        made.append(np.kron(weights, np.eye(components)))
    return np.stack(made)
