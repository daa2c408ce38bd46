"""K u without K: sums over shifted slices of flat arrays.

All arrays of nodes are flattened, so that the neighbours of all nodes are slices of one array, moved by a fixed
distance. Elements are stored at their first node, with E = 0 where there is none: then whatever a slice finds
beyond an edge of the grid is multiplied by zero.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import array_api_extra as xpx
import numpy as np

from tograph.backends.base import Backend

from .levels import Level, corner_bits

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
    K = xp.reshape(elements, (elements.shape[0], len(level.shifts) * c, -1))

    def add(y: Any, row: Any) -> Any:
        (start,) = row
        values = xp.concat([backend.window(wide, start + shift, chunk) for shift in level.shifts], axis=1)
        own = backend.window(E, start, chunk)
        forces = own[0] * xp.matmul(K[0], values)
        for t in range(1, K.shape[0]):
            forces = forces + own[t] * xp.matmul(K[t], values)
        for i, shift in enumerate(level.shifts):
            y = backend.add_window(y, start + shift, forces[:, i * c : (i + 1) * c])
        return y

    return backend.fold(add, xp.zeros_like(wide), (starts,))[..., :size]


def diagonal(xp: Any, level: Level, moduli: Any, elements: Any) -> Any:
    """The diagonal of K, (c, nodes); arguments as in `apply_elements`."""
    total: Any = None
    for t, (i, shift) in product(range(moduli.shape[0]), enumerate(level.shifts)):
        own = xp.stack([elements[t, i, a, i, a] for a in range(elements.shape[2])])
        part = own[:, None] * shifted(moduli[t], level, -shift)[None]
        total = part if total is None else total + part
    return total


def offsets(dim: int) -> list[tuple[int, ...]]:
    """The neighbours of a node, itself included."""
    return list(product((-1, 0, 1), repeat=dim))


def stencil(backend: Backend, level: Level, matrices: Any) -> Any:
    """Element matrices (corners, c, corners, c, *elements) -> blocks (neighbours, c, c, nodes)."""
    xp, dim = backend.xp, level.dim
    bits = corner_bits(dim)
    wide = widened(xp, to_nodes(xp, matrices, level), level)
    made = []
    for offset in offsets(dim):
        total: Any = None
        for i, corner in enumerate(bits):
            other = tuple(x + o for x, o in zip(corner, offset, strict=True))
            if other in bits:
                part = shifted(wide[i, :, bits.index(other)], level, -level.shifts[i])
                total = part if total is None else total + part
        made.append(total)
    return xp.stack(made)


def apply_stencil(backend: Backend, level: Level, blocks: Any, u: Any) -> Any:
    """y_a(n) = sum over neighbours o and components b of blocks[o, a, b, n] u_b(n + o)."""
    wide = widened(backend.xp, u, level)
    starts = np.array(
        [level.reach + sum(o * s for o, s in zip(offset, level.strides, strict=True)) for offset in offsets(level.dim)]
    )

    def add(y: Any, row: Any) -> Any:
        start, block = row
        near = backend.window(wide, start, level.size)
        for b in range(u.shape[1]):
            y = y + block[:, b] * near[:, b, None]
        return y

    return backend.fold(add, backend.xp.zeros_like(u), (starts, blocks))


def to_dense(xp: Any, level: Level, blocks: Any) -> Any:
    """The matrix of a stencil, (c nodes, c nodes); dofs in the order of (c, nodes)."""
    c, n = blocks.shape[1], level.size
    place = np.full((c, n, c, n), blocks.shape[0] * c * c * n)
    for o, offset in enumerate(offsets(level.dim)):
        near = np.arange(n) + sum(x * s for x, s in zip(offset, level.strides, strict=True))
        here = np.flatnonzero((near >= 0) & (near < n))
        for a, b in product(range(c), range(c)):
            place[a, here, b, near[here]] = ((o * c + a) * c + b) * n + here
    values = xp.concat([xp.reshape(blocks, (-1,)), xp.zeros((1,), dtype=blocks.dtype)])
    return xp.reshape(values[xp.asarray(place.reshape(-1))], (c * n, c * n))
