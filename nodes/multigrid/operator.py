"""K u without K: sums over shifted slices of flat arrays.

All arrays of nodes are flattened, so that the neighbours of all nodes are slices of one array, moved by a fixed
distance. Elements are stored at their first node, with E = 0 where there is none: then whatever a slice finds
beyond an edge of the grid is multiplied by zero.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import array_api_extra as xpx
import numpy as np

from tograph.backends.base import Backend

from .levels import Level, corner_bits
from .mirrored import corner_force, part_blocks, part_values

CHUNK = 1 << 14
"""Elements per product, where a call costs more than the memory that it saves."""

CHUNK_COMPILED = 1 << 11
"""Elements per product in a compiled loop on a processor: 24 displacements of each stay in its cache."""


def to_nodes(xp: Any, elements: Any, level: Level) -> Any:
    """(..., *elements) -> (..., nodes), zero where no element begins."""
    lead = elements.ndim - level.dim
    padded = xpx.pad(elements, [(0, 0)] * lead + [(0, 1)] * level.dim, xp=xp)
    return xp.reshape(padded, (*elements.shape[:lead], level.size))


def widened(xp: Any, x: Any, level: Level) -> Any:
    """Zeros on both sides of the last axis, as far as slices reach."""
    return xpx.pad(x, [(0, 0)] * (x.ndim - 1) + [(level.reach, level.reach)], xp=xp)


def shifted(x: Any, level: Level, shift: int) -> Any:
    """What is `shift` nodes further on, from a widened array."""
    return x[..., level.reach + shift : level.reach + shift + level.size]


def apply_elements(backend: Backend, level: Level, moduli: Any, elements: Any, u: Any) -> Any:
    """y = sum_t sum_e E_te P_e^T K_t P_e u.

    moduli: (terms, nodes), widened; elements: (terms, corners, c, corners, c); u, y: (cases, c, nodes).
    """
    few = elements.shape[1] * elements.shape[2] <= 8
    return (_by_slices if few else _by_products)(backend, level, moduli, elements, u)


def _by_slices(backend: Backend, level: Level, moduli: Any, elements: Any, u: Any) -> Any:
    """One sum per component, which compilers turn into one loop over the nodes without temporaries."""
    xp = backend.xp
    wide, terms, c = widened(xp, u, level), moduli.shape[0], u.shape[1]
    corners = list(enumerate(level.shifts))
    rows = []
    for a in range(c):
        total: Any = None
        for t, (i, from_node) in product(range(terms), corners):
            force: Any = None
            for (j, to_node), b in product(corners, range(c)):
                part = elements[t, i, a, j, b] * shifted(wide[:, b], level, to_node - from_node)
                force = part if force is None else force + part
            part = shifted(moduli[t], level, -from_node) * force
            total = part if total is None else total + part
        rows.append(total)
    return xp.stack(rows, axis=1)


def _by_products(backend: Backend, level: Level, moduli: Any, elements: Any, u: Any) -> Any:
    """Dense products K_t [corner values of many elements], for as many elements at a time as stay in the cache."""
    xp, size, c = backend.xp, level.size, u.shape[1]
    chunk = min(size, CHUNK_COMPILED if backend.on_cpu and not backend.eager else CHUNK)
    starts = np.arange(0, size, chunk)
    beyond = starts.size * chunk - size + level.reach
    wide = xpx.pad(u, [(0, 0), (0, 0), (0, beyond)], xp=xp)
    E = xpx.pad(moduli[:, level.reach : level.reach + size], [(0, 0), (0, beyond)], xp=xp)
    forces = _mirrored_forces if level.mirrored and not backend.eager else _forces
    forces_of = forces(xp, xp.reshape(elements, (elements.shape[0], len(level.shifts) * c, -1)))

    def add(y: Any, row: Any) -> Any:
        (start,) = row
        made = forces_of(
            [backend.window(wide, start + shift, chunk) for shift in level.shifts], backend.window(E, start, chunk)
        )
        for shift, force in zip(level.shifts, made, strict=True):
            y = backend.add_window(y, start + shift, force)
        return y

    return backend.fold(add, xp.zeros_like(wide), (starts,))[..., :size]


Forces = Callable[[list[Any], Any], list[Any]]


def _forces(xp: Any, K: Any) -> Forces:
    """(values at the corners, moduli) -> forces at the corners."""

    def forces_of(values: list[Any], own: Any) -> list[Any]:
        c, total = values[0].shape[1], _weighted(xp, K, own, xp.concat(values, axis=1))
        return [total[:, i * c : (i + 1) * c] for i in range(len(values))]

    return forces_of


def _mirrored_forces(xp: Any, K: Any) -> Forces:
    blocks = part_blocks(xp, K)

    def forces_of(values: list[Any], own: Any) -> list[Any]:
        parts = [_weighted(xp, blocks[:, p], own, part_values(xp, values, p)) for p in range(4)]
        return [corner_force(xp, parts, i) for i in range(len(values))]

    return forces_of


def _weighted(xp: Any, K: Any, own: Any, values: Any) -> Any:
    """sum_t E_t K_t values."""
    total = own[0] * _product(xp, K[0], values)
    for t in range(1, K.shape[0]):
        total = total + own[t] * _product(xp, K[t], values)
    return total


def _product(xp: Any, K: Any, values: Any) -> Any:
    """K times the values of every case; frameworks are faster at one plain product than at a batch of one."""
    return xp.matmul(K, values[0])[None] if values.shape[0] == 1 else xp.matmul(K, values)


def diagonal(xp: Any, level: Level, moduli: Any, elements: Any) -> Any:
    """The diagonal of K, (c, nodes); arguments as in `apply_elements`."""
    total: Any = None
    for t, (i, shift) in product(range(moduli.shape[0]), enumerate(level.shifts)):
        own = xp.stack([elements[t, i, a, i, a] for a in range(elements.shape[2])])
        part = own[:, None] * shifted(moduli[t], level, -shift)[None]
        total = part if total is None else total + part
    return total


def upper(corners: int) -> list[tuple[int, int]]:
    """Pairs of corners (i, j) with j not before i: what is needed of a symmetric element matrix."""
    return [(i, j) for i in range(corners) for j in range(i, corners)]


def offsets(dim: int) -> list[tuple[int, ...]]:
    """The neighbours of a node, itself included."""
    return list(product((-1, 0, 1), repeat=dim))


def later(dim: int) -> list[tuple[int, ...]]:
    """A node and those of its neighbours that come after it: the stencil of a symmetric matrix without the others."""
    return offsets(dim)[3**dim // 2 :]


def distance(level: Level, offset: tuple[int, ...]) -> int:
    """How far a neighbour is in the flattened array of nodes."""
    return sum(o * s for o, s in zip(offset, level.strides, strict=True))


def stencil(backend: Backend, level: Level, matrices: Any) -> Any:
    """Entries of element matrices (pairs of `upper`, c, c, *elements) -> blocks (`later`, c, c, nodes), widened.

    Rows and columns of fixed dofs are zero.
    """
    xp, bits = backend.xp, corner_bits(level.dim)
    pairs = upper(len(bits))
    wide = widened(xp, to_nodes(xp, matrices, level), level)
    made = []
    for offset in later(level.dim):
        total: Any = None
        for p, (i, j) in enumerate(pairs):
            if offset == tuple(y - x for x, y in zip(bits[i], bits[j], strict=True)):
                part = shifted(wide[p], level, -level.shifts[i])
                total = part if total is None else total + part
        made.append(total if level.free.all() else total * _both_free(xp, level, offset, total))
    return widened(xp, xp.stack(made), level)


def _both_free(xp: Any, level: Level, offset: tuple[int, ...], like: Any) -> Any:
    """(c, c, nodes): 1 where a dof and one of the neighbour are free."""
    free = xp.asarray(level.free.reshape(level.free.shape[0], -1), dtype=like.dtype)
    return free[:, None] * shifted(widened(xp, free, level), level, distance(level, offset))[None]


def apply_stencil(backend: Backend, level: Level, blocks: Any, u: Any) -> Any:
    """y(n) = sum over `later` neighbours o of B_o(n) u(n + o), and of B_o(n - o)^T u(n - o) but for the node itself.

    One sum per component, as in `_by_slices`; compiled in a loop over components: what comes next does not compute it
    again. Where every call costs, all components in one sum.
    """
    xp, c = backend.xp, u.shape[1]
    wide = xp.permute_dims(widened(xp, u, level), (1, 0, 2))

    def gather(total: Any, own: Any, turned: Any, wide: Any) -> Any:
        for (o, offset), b in product(enumerate(later(level.dim)), range(c)):
            away = distance(level, offset)
            total = backend.add_product(total, shifted(own[o, b], level, 0), shifted(wide[b], level, away))
            if o:
                total = backend.add_product(total, shifted(turned[o, b], level, -away), shifted(wide[b], level, -away))
        return total

    if backend.eager:
        return gather(xp.zeros_like(u), xp.permute_dims(blocks, (0, 2, 1, 3)), blocks, wide[:, :, None])

    def row(a: Any, state: Any, blocks: Any, wide: Any) -> Any:
        return state, (gather(xp.zeros_like(u[:, 0]), blocks[:, a], blocks[:, :, a], wide),)

    _, (y,) = backend.scan(c, row, xp.zeros((), dtype=u.dtype), (blocks, wide))
    return xp.permute_dims(y, (1, 0, 2))
