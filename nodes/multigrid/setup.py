"""Set-up: exact Galerkin operators of all levels, from the element moduli."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import array_api_extra as xpx
import attrs
import numpy as np

from tograph.backends.base import Backend
from tograph.rootsolver import rounding

from ..pattern import ElementPattern
from .levels import Level, corner_bits, corner_order, interpolation
from .operator import diagonal, stencil, to_dense, to_nodes, widened


def in_corner_order(xp: Any, pattern: ElementPattern, elements: Any) -> Any:
    """(terms, d, d) -> (terms, corners, c, corners, c) with corners as in `corner_bits`."""
    order, c = corner_order(pattern), pattern.components
    k = len(order)
    blocks = xp.reshape(elements, (elements.shape[0], k, c, k, c))
    index = xp.asarray(order)
    return xp.take(xp.take(blocks, index, axis=1), index, axis=3)


def children(xp: Any, x: Any, factors: tuple[int, ...]) -> Any:
    """(..., *elements) -> (..., child, *coarse elements)."""
    lead = x.ndim - len(factors)
    parts = []
    for child in np.ndindex(*factors):
        parts.append(x[(*(slice(None),) * lead, *(slice(k, None, f) for k, f in zip(child, factors, strict=True)))])
    return xp.stack(parts, axis=lead)


def corner_values(level: Level, values: np.ndarray) -> np.ndarray:
    """(c, *nodes) -> (corners * c, *elements)."""
    parts = []
    for bits in np.ndindex(*(2,) * level.dim):
        window = tuple(slice(b, b + n) for b, n in zip(bits, level.elements, strict=True))
        parts.append(values[(slice(None), *window)])
    return np.concatenate(parts)


def coarsen_moduli(backend: Backend, level: Level, coarse: Level, moduli: Any, elements: Any) -> Any:
    """Element matrices of the first coarse level, (d, d, *coarse elements) with d = corners * c.

    sum over children of E_child B^T K B, and for the elements near supports B^T M K M B with the mask M
    of the free dofs, which interpolation does not respect by itself. Entries come first, elements last: all
    that follows is then products of small matrices with long ones, and sums of slices.
    """
    xp = backend.xp
    c, d = elements.shape[2], elements.shape[1] * elements.shape[2]
    B = interpolation(level.factors, c)
    Bx = xp.asarray(B, dtype=moduli.dtype)
    K = xp.reshape(elements, (elements.shape[0], d, d))
    templates = xp.matmul(xp.permute_dims(Bx, (0, 2, 1))[None], xp.matmul(K[:, None], Bx[None]))
    E = xp.reshape(children(xp, moduli, level.factors), (K.shape[0] * B.shape[0], -1))
    made = xp.matmul(xp.permute_dims(xp.reshape(templates, (-1, d * d)), (1, 0)), E)
    near, masks = supported_parents(level, coarse, B)
    if near.size:
        made = _replace(xp, made, near, _masked(xp, E, K, Bx, near, masks))
    return xp.reshape(made, (d, d, *(n // f for n, f in zip(level.elements, level.factors, strict=True))))


def supported_parents(level: Level, coarse: Level, B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the coarse elements where a fixed dof is not at zero already, and the masks of their children."""
    count, d = B.shape[0], B.shape[1]
    fine = children(np, corner_values(level, level.free), level.factors).reshape(d, count, -1).transpose(2, 1, 0)
    parents = tuple(n // f for n, f in zip(level.elements, level.factors, strict=True))
    window = (slice(None), *(slice(0, n + 1) for n in parents))
    bare = attrs.evolve(coarse, elements=parents)
    above = corner_values(bare, coarse.free[window]).reshape(d, -1).T
    some = np.flatnonzero((fine == 0.0).any(axis=(1, 2)))
    spoiled = np.einsum("pki,kij,pj->p", 1.0 - fine[some], np.abs(B), above[some])
    near = some[spoiled > 0.0]
    return near, fine[near]


def _masked(xp: Any, E: Any, K: Any, B: Any, near: np.ndarray, masks: np.ndarray) -> Any:
    count, d = B.shape[0], B.shape[1]
    own = xp.reshape(xp.take(E, xp.asarray(near), axis=1), (K.shape[0], count, near.size))
    M = xp.asarray(masks, dtype=E.dtype)
    total: Any = 0.0
    for t in range(K.shape[0]):
        scale = xp.permute_dims(own[t], (1, 0))[..., None, None]
        fine = scale * K[t][None, None] * M[..., :, None] * M[..., None, :]
        total = total + xp.sum(xp.matmul(xp.permute_dims(B, (0, 2, 1))[None], xp.matmul(fine, B[None])), axis=1)
    return xp.permute_dims(xp.reshape(total, (near.size, d * d)), (1, 0))


def _replace(xp: Any, columns: Any, at: np.ndarray, new: Any) -> Any:
    """`columns` with those numbered `at` replaced."""
    place = np.arange(columns.shape[1])
    place[at] = columns.shape[1] + np.arange(at.size)
    return xp.take(xp.concat([columns, new], axis=1), xp.asarray(place), axis=1)


def coarsen_matrices(backend: Backend, level: Level, matrices: Any) -> Any:
    """(d, d, *elements) -> (d, d, *coarse elements): sum over children of B^T K B."""
    xp, d = backend.xp, matrices.shape[0]
    B = interpolation(level.factors, d // 2**level.dim)
    split = children(xp, matrices, level.factors)
    coarse = split.shape[3:]
    total: Any = None
    for child in range(B.shape[0]):
        T = xp.asarray(B[child].T, dtype=matrices.dtype)
        half = xp.matmul(T, xp.reshape(split[:, :, child], (d, -1)))  # B^T K
        part = xp.matmul(T, xp.reshape(half, (d, d, -1)))  # (B^T K) B, row by row
        total = part if total is None else total + part
    return xp.reshape(total, (d, d, *coarse))


def pad_elements(xp: Any, matrices: Any, level: Level) -> Any:
    """Zero element matrices up to the size of the level."""
    widths = [(0, m - n) for m, n in zip(level.elements, matrices.shape[2:], strict=True)]
    return xpx.pad(matrices, [(0, 0), (0, 0), *widths], xp=xp)


def mask_matrices(xp: Any, matrices: Any, level: Level) -> Any:
    """Zero rows and columns at fixed dofs."""
    if level.free.all():
        return matrices
    nodal = xp.asarray(level.free, dtype=matrices.dtype)
    parts = []
    for bits in corner_bits(level.dim):
        parts.append(nodal[(slice(None), *(slice(b, b + n) for b, n in zip(bits, level.elements, strict=True)))])
    free = xp.concat(parts)
    return matrices * free[:, None] * free[None, :]


def prepare(
    backend: Backend, levels: tuple[Level, ...], pattern: ElementPattern, moduli: Any, elements: Any, low: Any
) -> tuple[Any, ...]:
    """((moduli, element matrices, live dofs) of the outer iteration; all levels, in dtype `low`; eigenvalue bound)."""
    xp, fine = backend.xp, levels[0]
    K = in_corner_order(xp, pattern, elements)
    widths = [(0, 0), *((0, m - n) for m, n in zip(fine.elements, moduli.shape[1:], strict=True))]
    E = xpx.pad(moduli, widths, xp=xp)
    wide = widened(xp, to_nodes(xp, E, fine), fine)
    free = xp.asarray(fine.free.reshape(fine.free.shape[0], -1), dtype=E.dtype)
    jacobi = inverse(xp, free * diagonal(xp, fine, wide, K))
    made = [_cast(xp, low, wide, K, jacobi)]
    matrices = None
    for level, coarse in pairwise(levels):
        if matrices is None:
            matrices = xp.astype(coarsen_moduli(backend, level, coarse, E, K), low)
        else:
            matrices = coarsen_matrices(backend, level, matrices)
        matrices = mask_matrices(xp, pad_elements(xp, matrices, coarse), coarse)
        made.append(coarse_level(backend, coarse, matrices, low, last=coarse is levels[-1]))
    alive = xp.astype(jacobi > 0.0, E.dtype)
    return (wide, K, alive), tuple(made), xp.astype(element_bound(xp, K), low)


def coarse_level(backend: Backend, level: Level, matrices: Any, low: Any, last: bool) -> Any:
    """Blocks and inverse diagonal, or the dense inverse of the last level."""
    xp, c = backend.xp, level.free.shape[0]
    corners = 2**level.dim
    blocks = stencil(backend, level, xp.reshape(matrices, (corners, c, corners, c, *level.elements)))
    if last:
        return _cast(xp, low, dense_inverse(backend, to_dense(xp, level, blocks)))
    centre = blocks[blocks.shape[0] // 2]
    return _cast(xp, low, blocks, inverse(xp, xp.stack([centre[a, a] for a in range(c)])))


def _cast(xp: Any, dtype: Any, *arrays: Any) -> tuple[Any, ...]:
    return tuple(xp.astype(array, dtype) for array in arrays)


def inverse(xp: Any, diag: Any) -> Any:
    """1 / diag, and 0 where there is no stiffness or no freedom."""
    live = diag > 0.0
    return xp.where(live, 1.0 / xp.where(live, diag, xp.ones_like(diag)), xp.zeros_like(diag))


def element_bound(xp: Any, elements: Any) -> Any:
    """The largest eigenvalue of D^-1 K is at most the largest of D_t^-1 K_t of the element matrices.

    u^T K u = sum E u_e^T K_t u_e <= bound sum E u_e^T D_t u_e = bound u^T D u. Source: Wathen, IMA J. Numer.
    Anal. 7:449 (1987).
    """
    d = elements.shape[1] * elements.shape[2]
    matrices = xp.reshape(elements, (elements.shape[0], d, d))
    diagonals = xp.sum(matrices * xp.eye(d, dtype=matrices.dtype), axis=-1)
    scale = 1.0 / xp.sqrt(diagonals)
    return xp.max(xp.linalg.eigvalsh(matrices * scale[:, :, None] * scale[:, None, :]))


def dense_inverse(backend: Backend, matrix: Any) -> Any:
    """The inverse on the dofs that have stiffness, 0 on the others."""
    xp = backend.xp
    eye = xp.eye(matrix.shape[0], dtype=matrix.dtype)
    scale = xp.sqrt(inverse(xp, xp.sum(matrix * eye, axis=0)))
    tiny = 10.0 * rounding(xp, matrix)  # what rounding leaves of a motion without stiffness stays solvable
    unit = matrix * scale[:, None] * scale[None, :] * (1.0 - eye) + (1.0 + tiny) * eye
    return backend.solve(unit, eye) * scale[:, None] * scale[None, :]
