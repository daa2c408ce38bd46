"""The structured grid, and the one place where layout and signs are stated.

Axes        x points right, y points UP, z (3D) points toward the viewer; the origin is the lower left (back) corner.
Fields      one value per element, shape (ny, nx) or (ny, nx, nz). Row 0 is the TOP row, column 0 the left one,
            layer 0 the back one. Elements are numbered in C order of this array.
Nodes       numbered in C order of the node array (ny+1, nx+1) or (ny+1, nx+1, nz+1): node 0 is top left (back).
Dofs        dof = node * components + component, components in the order x, y, z; a scalar problem has one.
            A positive y component points up, so gravity is negative.
Element     corners run counter-clockwise from the lower left: (x-, y-), (x+, y-), (x+, y+), (x-, y+).
            An H8 has those four at z- and then the same four at z+.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import attrs
import numpy as np
import numpy.typing as npt

from tograph import codec
from tograph.errors import did_you_mean
from tograph.spec import Axis, Spec

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Range = tuple[float, float] | None

DIRECTIONS = "xyz"
FACES = {"left": (1, 0), "right": (1, -1), "top": (0, 0), "bottom": (0, -1), "back": (2, 0), "front": (2, -1)}


def _spacing(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(float(h) for h in np.atleast_1d(value))


@codec.register
@attrs.frozen
class Grid:
    """A box of nelx x nely (x nelz) equal elements: Q4 in 2D, H8 in 3D. Conventions: see the module.

    Attributes:
        nelx, nely: elements along x and y, at least 1.
        nelz: elements along z; 0 means two-dimensional.
        spacing: element edge lengths (hx, hy[, hz]), positive, in the user's unit of length. One number means the same
            for all; default 1.0.

    Raises:
        ValueError: a count or a length that is not positive, or too few or many lengths.
    """

    nelx: int
    nely: int
    nelz: int = 0
    spacing: tuple[float, ...] = attrs.field(default=(1.0,), converter=_spacing)

    def __attrs_post_init__(self) -> None:
        for name, least in (("nelx", 1), ("nely", 1), ("nelz", 0)):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < least:
                raise ValueError(f"Grid: {name} must be a whole number of elements >= {least}, got {count!r}.")
            object.__setattr__(self, name, int(count))
        spacing = self.spacing * self.dim if len(self.spacing) == 1 else self.spacing
        if len(spacing) != self.dim or not all(math.isfinite(h) and h > 0 for h in spacing):
            names = ", ".join(f"h{d}" for d in self._directions)
            raise ValueError(f"Grid: spacing must be {self.dim} positive lengths ({names}), got {self.spacing}.")
        object.__setattr__(self, "spacing", spacing)

    @property
    def dim(self) -> int:
        """2 or 3."""
        return 3 if self.nelz else 2

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a field, (ny, nx[, nz])."""
        return (self.nely, self.nelx, self.nelz)[: self.dim]

    @property
    def node_shape(self) -> tuple[int, ...]:
        """Shape of the node array, (ny+1, nx+1[, nz+1])."""
        return tuple(n + 1 for n in self.shape)

    @property
    def n_elements(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def n_nodes(self) -> int:
        """How many nodes."""
        return math.prod(self.node_shape)

    def n_dofs(self, components: int | None = None) -> int:
        """How many degrees of freedom with `components` per node (default: `dim`)."""
        return self.n_nodes * self._components(components)

    def field(self, unit: str | None = None) -> Spec:
        """Spec of one value per element, axes (ny, nx[, nz])."""
        return Spec("field", tuple(map(Axis, ("ny", "nx", "nz"), self.shape)), unit=unit)

    def vector(self, components: int | None = None, cases: int | None = None, unit: str | None = None) -> Spec:
        """Spec of one value per dof, axes (dof,), or (dof, case) for `cases` right-hand sides at once."""
        if cases is not None and cases < 1:
            raise ValueError(f"Grid.vector: cases must be at least 1, got {cases}; leave it out for a single vector.")
        axes = (Axis("dof", self.n_dofs(components)),)
        return Spec("vector", axes if cases is None else (*axes, Axis("case", cases)), unit=unit)

    def node_coordinates(self) -> Floats:
        """Coordinates (x, y[, z]) of every node, shape (n_nodes, dim), in units of `spacing`."""
        return self._coordinates(self.node_shape, 0.0)

    def centroids(self) -> Floats:
        """Coordinates (x, y[, z]) of every element centre, shape (n_elements, dim), in units of `spacing`."""
        return self._coordinates(self.shape, 0.5)

    def nodes(self, where: str) -> Integers:
        """Ascending node numbers of an edge or face ("left", "right", "top", "bottom"; 3D also "front", "back"), or of
        where several meet, joined by "-": "bottom-right", "top-left-front". `where="all"` gives every node.

        Raises:
            ValueError: unknown name, a face of 3D asked of a 2D grid, or two faces that never meet ("top-bottom").
        """
        index: list[slice | int] = [slice(None)] * self.dim
        for name in where.split("-") if where != "all" else ():
            axis, position = self._face(name, where)
            if index[axis] not in (slice(None), position):
                raise ValueError(f"Grid.nodes({where!r}): opposite sides have no node in common.")
            index[axis] = position
        return np.atleast_1d(self._node_numbers()[tuple(index)]).ravel()

    def nodes_in(self, x: Range = None, y: Range = None, z: Range = None) -> Integers:
        """Ascending numbers of the nodes inside closed coordinate ranges, e.g. `x=(0, 2.5)`; None means everywhere.

        The ends count as inside up to 1e-9 of an element, so that a computed coordinate still hits its node.
        """
        return np.flatnonzero(self._inside(self.node_coordinates(), (x, y, z)))

    def nearest_node(self, *point: float) -> int:
        """Number of the node nearest to `point` = x, y[, z]; of equally near ones the lowest number."""
        if len(point) != self.dim:
            raise ValueError(f"Grid.nearest_node takes {self.dim} coordinates on a {self.dim}D grid, got {len(point)}.")
        distance = ((self.node_coordinates() - np.asarray(point, float)) ** 2).sum(axis=1)
        return int(np.argmin(distance))

    def elements_in(self, x: Range = None, y: Range = None, z: Range = None) -> Mask:
        """True where the element's centre is inside closed coordinate ranges, shape of a field (ny, nx[, nz])."""
        return self._inside(self.centroids(), (x, y, z)).reshape(self.shape)

    def dofs(self, nodes: npt.ArrayLike, directions: str | None = None) -> Integers:
        """Ascending dofs of `nodes` in `directions`, a string among "x", "y", "z" (default: all of the grid's).

        For problems with `dim` components per node; in a scalar problem the dof is the node.

        Raises:
            ValueError: unknown direction, or a node number outside 0 .. n_nodes-1.
        """
        directions = self._directions if directions is None else directions
        wrong = [d for d in directions if d not in self._directions]
        if wrong or not directions:
            known = f"{self._directions!r} in {self.dim}D"
            raise ValueError(f"Grid.dofs: directions must be among {known}, got {directions!r}.")
        numbers = np.unique(np.asarray(nodes, dtype=np.int64))
        if numbers.size and (numbers[0] < 0 or numbers[-1] >= self.n_nodes):
            raise ValueError(f"Grid.dofs: nodes must be in 0 .. {self.n_nodes - 1}, got {numbers[0]} .. {numbers[-1]}.")
        components = np.array(sorted({DIRECTIONS.index(d) for d in directions}))
        return (numbers[:, None] * self.dim + components).ravel()

    def element_nodes(self) -> Integers:
        """Node numbers of every element in corner order, shape (n_elements, 4 or 8); elements in C order of a field."""
        numbers = self._node_numbers()
        ring = ((0, 0), (1, 0), (1, 1), (0, 1))
        corners = [(x, y, z) for z, (x, y) in product(range(self.dim - 1), ring)]
        columns = []
        for right, up, front in corners:
            # Row index grows downward: the lower corners are the ones in the next row.
            starts = (1 - up, right, front)[: self.dim]
            window = tuple(slice(start, start + n) for start, n in zip(starts, self.shape, strict=True))
            columns.append(numbers[window].ravel())
        return np.stack(columns, axis=1)

    def element_dofs(self, components: int | None = None) -> Integers:
        """Dofs of every element, corner by corner, shape (n_elements, corners * components); default `dim` each."""
        count = self._components(components)
        return (self.element_nodes()[:, :, None] * count + np.arange(count)).reshape(self.n_elements, -1)

    def describe_dof(self, dof: int, components: int | None = None) -> str:
        """A dof in words for messages, e.g. "dof 5 (y of node 2 at x=2, y=20)"; `components` as in `n_dofs`."""
        count = self._components(components)
        if not 0 <= dof < self.n_dofs(count):
            raise ValueError(f"Grid: dof must be in 0 .. {self.n_dofs(count) - 1}, got {dof}.")
        node, component = divmod(dof, count)
        at = ", ".join(f"{d}={x:g}" for d, x in zip(DIRECTIONS, self.node_coordinates()[node], strict=False))
        direction = DIRECTIONS[component] if count == self.dim else f"component {component}"
        return f"dof {dof} ({f'{direction} of ' if count > 1 else ''}node {node} at {at})"

    @property
    def _directions(self) -> str:
        return DIRECTIONS[: self.dim]

    def _components(self, components: int | None) -> int:
        count = self.dim if components is None else components
        if count < 1:
            raise ValueError(f"Grid: components must be at least 1 per node, got {count}.")
        return count

    def _node_numbers(self) -> Integers:
        return np.arange(self.n_nodes, dtype=np.int64).reshape(self.node_shape)

    def _coordinates(self, shape: tuple[int, ...], offset: float) -> Floats:
        row, *rest = np.indices(shape, dtype=np.float64)
        lattice = (rest[0], shape[0] - 1 - row, *rest[1:])
        return np.stack([((i + offset) * h).ravel() for i, h in zip(lattice, self.spacing, strict=True)], axis=1)

    def _inside(self, points: Floats, ranges: tuple[Range, Range, Range]) -> Mask:
        if self.dim == 2 and ranges[2] is not None:
            raise ValueError("Grid: a range in z was given, but this grid is 2D; leave z out.")
        inside = np.ones(len(points), dtype=np.bool_)
        for axis, (bounds, h) in enumerate(zip(ranges, self.spacing, strict=False)):
            if bounds is None:
                continue
            low, high = bounds
            if low > high:
                raise ValueError(f"Grid: range {DIRECTIONS[axis]}=({low}, {high}) is empty; give (low, high).")
            inside &= (points[:, axis] >= low - 1e-9 * h) & (points[:, axis] <= high + 1e-9 * h)
        return inside

    def _face(self, name: str, where: str) -> tuple[int, int]:
        known = {face: at for face, at in FACES.items() if at[0] < self.dim}
        if name in known:
            return known[name]
        if name in FACES:
            raise ValueError(f"Grid.nodes({where!r}): a 2D grid has no {name!r} side; give nelz for a 3D grid.")
        raise ValueError(f"Grid.nodes({where!r}): unknown side {name!r}. {did_you_mean(name, [*known, 'all'])}")
