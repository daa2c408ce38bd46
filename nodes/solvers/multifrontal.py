"""Multifrontal Cholesky factorisation on a structured grid, all boxes of a kind at once."""

from __future__ import annotations

from itertools import product

import attrs
import numpy as np
from scipy.linalg import lapack

from tograph import codec

from ..pattern import ElementPattern
from .diagnosis import finite_load, no_factor, require_accurate, require_sound
from .dissection import Kind, Runs, dissect, runs
from .protocol import System, kept

SMALLEST = {1: 8, 2: 5, 3: 3}
"""Elements along the sides of the smallest boxes, by dimension (measured)."""

FEW = 300
"""A stack of at most so many triangles is inverted one by one."""


@attrs.frozen(eq=False)
class Joined:
    """A child's part: which fronts, `boxes` among them, and which rows go where."""

    front: int
    boxes: slice
    runs: Runs


@attrs.frozen(eq=False)
class Front:
    """The dense matrices of all boxes of a kind: n_1 dofs to be eliminated first, then n_2 handed on.

    Attributes:
        split: n_1.
        size: n_1 + n_2.
        dofs: (boxes, n_1) the dofs that are eliminated here.
        pinned: which of these are fixed, as (box, place).
        children: two, or none in the smallest boxes. For these:
        elements: (boxes, elements in a box).
        place: (elements in a box, d, d) where an element matrix goes in the flattened front.
        touched: boxes that have fixed dofs.
        mask: (touched, size) 0 at fixed dofs, else 1.
    """

    split: int
    size: int
    dofs: np.ndarray
    pinned: tuple[np.ndarray, ...]
    children: tuple[Joined, ...]
    elements: np.ndarray
    place: np.ndarray
    touched: np.ndarray
    mask: np.ndarray


@attrs.frozen(eq=False)
class Fronts:
    """The factor: for each kind of box the stacks L_11^-1 and W = L_11^-1 K_12."""

    system: System
    fronts: list[Front]
    parts: list[tuple[np.ndarray, np.ndarray]]


@codec.register
@attrs.frozen
class Multifrontal:
    """Cholesky factorisation by geometric nested dissection, in stacks of dense matrices.

    For symmetric positive definite K on the grid. In each box the dofs that only its elements touch are
    eliminated, K_11 = L_11 L_11^T, and S = K_22 - W^T W with W = L_11^-1 K_12 is handed on to the box
    it is a part of, where the halves are added. Source: Duff & Reid, The multifrontal solution of indefinite
    sparse symmetric linear equations, ACM Trans. Math. Softw. 9:302 (1983).

    Raises:
        SolveError: singular, not positive definite or non-finite, or an answer that is not accurate.
    """

    def factor(self, pattern: ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> Fronts:
        """Eliminate box by box, from the smallest to the whole grid."""
        system = System(pattern, moduli, elements)
        require_sound(system)
        fronts: list[Front] = kept(pattern, "dissection", lambda: _analyse(pattern))
        users = np.bincount([child.front for front in fronts for child in front.children], minlength=len(fronts))
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        handed_on: dict[int, np.ndarray] = {}
        try:
            for i, front in enumerate(fronts):
                inverse, W, handed_on[i] = _eliminate(front, system, handed_on)
                parts.append((inverse, W))
                for child in front.children:
                    users[child.front] -= 1
                    if not users[child.front]:
                        del handed_on[child.front]
        except np.linalg.LinAlgError as error:
            raise no_factor(system) from error
        return Fronts(system, fronts, parts)

    def solve(self, factor: Fronts, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        """Up the boxes, down the boxes, then a check of the residual."""
        system = factor.system
        forces = finite_load(system.pattern, rhs)
        load = np.where(system.pattern.supports > 0.0, 0.0, rhs)
        u = np.ascontiguousarray(_down(factor, _up(factor, np.ascontiguousarray(load.T))).T)
        require_accurate(system, u, forces)
        return u


def _eliminate(front: Front, system: System, below: dict[int, np.ndarray]) -> tuple[np.ndarray, ...]:
    """L_11^-1, W and S of one kind of box."""
    n = front.split
    if front.children:
        rows, rest = np.zeros((len(front.dofs), n, front.size)), None
        for child in front.children:
            _add_block(rows, below[child.front][child.boxes], child.runs, 0, 0, n)
    else:
        whole = _added_up(front, system)
        rows, rest = whole[:, :n], whole[:, n:, n:]
    rows[(*front.pinned, front.pinned[1])] = 1.0
    inverse = _inverse(np.linalg.cholesky(rows[:, :, :n]))
    W = inverse @ rows[:, :, n:]
    # Not W.T @ W, for which NumPy computes one half and copies the other entry by entry.
    S = np.matmul(np.negative(W).transpose(0, 2, 1), W)
    if rest is not None:
        S += rest
    for child in front.children:
        _add_block(S, below[child.front][child.boxes], child.runs, n, n, front.size)
    return inverse, W, S


def _add_block(target: np.ndarray, source: np.ndarray, moves: Runs, first: int, left: int, stop: int) -> None:
    """Add the child's rows first..stop-1 and columns left.. of the joined front into `target`, which begins there."""
    columns = [(given, _back(to, left)) for given, to in moves if to.start >= left]
    for rows, to in moves:
        if first <= to.start < stop:
            for given, across in columns:
                target[:, _back(to, first), across] += source[:, rows, given]


def _back(place: slice, start: int) -> slice:
    return slice(place.start - start, place.stop - start)


def _added_up(front: Front, system: System) -> np.ndarray:
    """The smallest fronts: every box is a combination, by its moduli, of the same few matrices."""
    count, size = front.elements.shape[1], front.size
    shares = np.zeros((len(system.elements), count, size * size))
    for share, element in zip(shares, system.elements, strict=True):
        share.ravel()[front.place] = element
    moduli = system.moduli.reshape(len(shares), -1)[:, front.elements]
    weights = moduli.transpose(1, 0, 2).reshape(len(front.elements), -1)
    whole: np.ndarray = (weights @ shares.reshape(-1, size * size)).reshape(-1, size, size)
    if front.touched.size:
        whole[front.touched] *= front.mask[:, :, None] * front.mask[:, None, :]
    return whole


def _inverse(L: np.ndarray) -> np.ndarray:
    """The inverses of a stack of lower triangles."""
    inverse = np.zeros_like(L)
    if len(L) <= FEW:
        for triangle, result in zip(L, inverse, strict=True):
            result[...] = lapack.dtrtri(triangle.T)[0].T
    else:
        _invert(L, inverse)
    return inverse


def _invert(L: np.ndarray, inverse: np.ndarray) -> None:
    """[[A, 0], [B, C]]^-1 = [[A^-1, 0], [-C^-1 B A^-1, C^-1]], by halves, all at once."""
    n = L.shape[-1]
    if n <= 1:
        np.divide(1.0, L, out=inverse)
        return
    top, low = slice(0, n // 2), slice(n // 2, n)
    _invert(L[:, top, top], inverse[:, top, top])
    _invert(L[:, low, low], inverse[:, low, low])
    inverse[:, low, top] = np.negative(inverse[:, low, low]) @ (L[:, low, top] @ inverse[:, top, top])


def _up(factor: Fronts, load: np.ndarray) -> list[np.ndarray]:
    """y with L y = f, for f (n_dofs, cases); per kind of box (boxes, n_1, cases)."""
    found: list[np.ndarray] = []
    handed_on: list[np.ndarray] = []
    for front, (inverse, W) in zip(factor.fronts, factor.parts, strict=True):
        f = np.zeros((len(front.dofs), front.size, load.shape[1]))
        f[:, : front.split] = load[front.dofs]
        for child in front.children:
            for rows, to in child.runs:
                f[:, to] += handed_on[child.front][child.boxes, rows]
        found.append(inverse @ f[:, : front.split])
        handed_on.append(f[:, front.split :] - W.transpose(0, 2, 1) @ found[-1])
    return found


def _down(factor: Fronts, y: list[np.ndarray]) -> np.ndarray:
    """u with L^T u = y, (n_dofs, cases)."""
    fronts, cases = factor.fronts, y[0].shape[2]
    u = np.zeros((factor.system.pattern.n_dofs, cases))
    known = [np.empty((len(front.dofs), front.size - front.split, cases)) for front in fronts]
    for i in reversed(range(len(fronts))):
        front, (inverse, W), n = fronts[i], factor.parts[i], fronts[i].split
        x = np.empty((len(front.dofs), front.size, cases))
        x[:, n:] = known[i]
        x[:, :n] = inverse.transpose(0, 2, 1) @ (y[i] - W @ x[:, n:])
        u[front.dofs] = x[:, :n]
        for child in front.children:
            for rows, to in child.runs:
                known[child.front][child.boxes, rows] = x[:, to]
    return u


def _analyse(pattern: ElementPattern) -> list[Front]:
    kinds = dissect(pattern.grid.shape, SMALLEST[pattern.grid.dim])
    number = {kind: i for i, kind in enumerate(kinds)}
    return [_front(pattern, kind, number) for kind in kinds]


def _front(pattern: ElementPattern, kind: Kind, number: dict[Kind, int]) -> Front:
    grid, count = pattern.grid, pattern.components
    nodes = np.arange(grid.n_nodes).reshape(grid.node_shape)
    points = np.array(kind.nodes, dtype=np.int64).reshape(-1, grid.dim)
    where = nodes[tuple(np.moveaxis(kind.corners[:, None] + points, -1, 0))]
    dofs = (where[:, :, None] * count + np.arange(count)).reshape(len(where), -1)
    fixed = pattern.supports[dofs] > 0.0
    split = len(kind.eliminated) * count
    children = tuple(
        Joined(number[child.kind], child.boxes, runs(_per_dof(child.into, count), split)) for child in kind.children
    )
    pinned = np.nonzero(fixed[:, :split])
    touched = np.flatnonzero(fixed.any(axis=1)) if not children else np.zeros(0, dtype=np.int64)
    mask = np.where(fixed[touched], 0.0, 1.0)
    elements, place = _smallest(pattern, kind) if not children else (np.zeros((0, 0)), np.zeros(0))
    return Front(split, dofs.shape[1], dofs[:, :split].copy(), pinned, children, elements, place, touched, mask)


def _smallest(pattern: ElementPattern, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Which elements are in each box, and where their matrices go in its front."""
    grid, count = pattern.grid, pattern.components
    inside = np.array(list(product(*map(range, kind.size))), dtype=np.int64)
    numbers = np.arange(grid.n_elements).reshape(grid.shape)
    elements = numbers[tuple(np.moveaxis(kind.corners[:, None] + inside, -1, 0))]
    box = np.full(tuple(s + 1 for s in kind.size), -1)
    box[tuple(np.array(kind.nodes, dtype=np.int64).T)] = np.arange(len(kind.nodes))
    local = np.stack([box[corner].ravel() for corner in pattern.corners()], axis=1)
    dofs = _per_dof(local, count)
    size = len(kind.nodes) * count
    place = (np.arange(len(inside))[:, None, None] * size + dofs[:, :, None]) * size + dofs[:, None, :]
    return elements, place


def _per_dof(nodes: np.ndarray, count: int) -> np.ndarray:
    """Node numbers (..., n) -> dof numbers (..., n * count)."""
    return (nodes[..., None] * count + np.arange(count)).reshape(*nodes.shape[:-1], -1)
