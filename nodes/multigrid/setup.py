"""Set-up: exact Galerkin operators of all levels, from the element moduli."""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Any

import array_api_extra as xpx
import numpy as np

from tograph.backends.base import Backend

from ..pattern import ElementPattern
from .levels import Level, corner_bits, corner_order, interpolation
from .operator import diagonal, stencil, to_nodes, upper, widened
from .planes import factor_planes


def in_corner_order(xp: Any, pattern: ElementPattern, elements: Any) -> Any:
    """(terms, d, d) -> (terms, corners, c, corners, c) with corners as in `corner_bits`."""
    order, c = corner_order(pattern), pattern.components
    k = len(order)
    blocks = xp.reshape(elements, (elements.shape[0], k, c, k, c))
    index = xp.asarray(order)
    return xp.take(xp.take(blocks, index, axis=1), index, axis=3)


def children(xp: Any, x: Any, factors: tuple[int, ...]) -> Any:
    """(..., *elements) -> (..., child, *coarse elements)."""
    lead, parts = x.ndim - len(factors), tuple(n // f for n, f in zip(x.shape[-len(factors) :], factors, strict=True))
    split = xp.reshape(x, (*x.shape[:lead], *(m for pair in zip(parts, factors, strict=True) for m in pair)))
    order = (*range(lead), *range(lead + 1, split.ndim, 2), *range(lead, split.ndim, 2))
    return xp.reshape(xp.permute_dims(split, order), (*x.shape[:lead], math.prod(factors), *parts))


def corner_values(level: Level, values: np.ndarray) -> np.ndarray:
    """(c, *nodes) -> (corners * c, *elements)."""
    parts = []
    for bits in corner_bits(level.dim):
        window = tuple(slice(b, b + n) for b, n in zip(bits, level.elements, strict=True))
        parts.append(values[(slice(None), *window)])
    return np.concatenate(parts)


def coarse_matrices(xp: Any, coarse: Level, factors: tuple[int, ...], moduli: Any, elements: Any) -> Any:
    """Element matrices of a coarse level as if no dof were fixed: sum over children of E_child B^T K B.

    One product of templates B^T K B, for the pairs of `upper`, with the moduli of all elements that make a coarse one;
    (pairs * c * c, coarse elements).
    """
    terms, k, c = elements.shape[:3]
    wanted = tuple(n * f for n, f in zip(coarse.elements, factors, strict=True))
    widths = [(0, 0), *((0, m - n) for n, m in zip(moduli.shape[1:], wanted, strict=True))]
    E = children(xp, xpx.pad(moduli, widths, xp=xp), factors)
    B = xp.asarray(interpolation(factors, c), dtype=moduli.dtype)
    K = xp.reshape(elements, (terms, 1, k * c, k * c))
    templates = xp.matmul(xp.permute_dims(B, (0, 2, 1))[None], xp.matmul(K, B[None]))
    rows = to_upper(xp, xp.reshape(templates, (-1, k * c, k * c)), c)
    return xp.matmul(rows, xp.reshape(E, (rows.shape[1], -1)))


def to_upper(xp: Any, matrices: Any, c: int) -> Any:
    """(elements, d, d) -> the entries that stencils are made of, (pairs * c * c, elements)."""
    d = matrices.shape[-1]
    places = [(i * c + a) * d + j * c + b for i, j in upper(d // c) for a in range(c) for b in range(c)]
    flat = xp.permute_dims(xp.reshape(matrices, (-1, d * d)), (1, 0))
    return xp.take(flat, xp.asarray(np.array(places)), axis=0)


def from_upper(xp: Any, rows: Any, c: int) -> Any:
    """The inverse of `to_upper`: the other entries by symmetry."""
    pairs = rows.shape[0] // c**2
    corners = next(k for k in range(1, pairs + 1) if k * (k + 1) // 2 == pairs)
    place = np.empty((corners, c, corners, c), dtype=np.int64)
    for p, (i, j) in enumerate(upper(corners)):
        for a, b in product(range(c), range(c)):
            place[i, a, j, b] = place[j, b, i, a] = (p * c + a) * c + b
    d = corners * c
    return xp.reshape(xp.permute_dims(xp.take(rows, xp.asarray(place.reshape(-1)), axis=0), (1, 0)), (-1, d, d))


def near_supports(levels: tuple[Level, ...]) -> list[np.ndarray]:
    """Per coarse level, the elements that `coarse_matrices` has wrong: with fixed dofs among those they are made of
    which interpolation does not keep at zero."""
    found, before = [], np.zeros(levels[0].elements, dtype=bool)
    for level, coarse in pairwise(levels):
        fixed = children(np, _grown(corner_values(level, 1.0 - level.free), level, coarse), level.factors)
        free = corner_values(coarse, coarse.free)
        B = np.abs(interpolation(level.factors, level.free.shape[0]))
        wrong = children(np, _grown(before, level, coarse), level.factors).any(axis=0)
        some: Any = np.nonzero(fixed.any(axis=(0, 1)))
        wrong[some] |= np.einsum("kpe,pkj,je->e", fixed[:, :, *some], B, free[:, *some]) > 0.0
        before = wrong
        found.append(np.flatnonzero(wrong))
    return found


def _grown(values: np.ndarray, level: Level, coarse: Level, fill: Any = 0) -> np.ndarray:
    """Element values with those that the coarse level has beyond the end."""
    lead = values.ndim - level.dim
    wide = [(0, n * f - m) for n, f, m in zip(coarse.elements, level.factors, level.elements, strict=True)]
    return np.pad(values, [(0, 0)] * lead + wide, constant_values=fill)


def rebuilt(xp: Any, level: Level, coarse: Level, near: np.ndarray, made: Any) -> Any:
    """Matrices of the coarse elements `near`, sum over children of B^T M K M B: (pairs * c * c, elements).

    `made` gives M K M of elements of the finer level by their numbers, where one past the end stands for none.
    """
    c = level.free.shape[0]
    numbers = np.arange(math.prod(level.elements)).reshape(level.elements)
    own = children(np, _grown(numbers, level, coarse, numbers.size), level.factors)
    own = own.reshape(own.shape[0], -1)[:, near]
    K = made(own.reshape(-1))
    B = xp.asarray(interpolation(level.factors, c), dtype=K.dtype)[:, None]
    K = xp.reshape(K, (*own.shape, *K.shape[1:]))
    return to_upper(xp, xp.sum(xp.matmul(xp.permute_dims(B, (0, 1, 3, 2)), xp.matmul(K, B)), axis=0), c)


def _finest(xp: Any, level: Level, moduli: Any, elements: Any) -> Any:
    """For `rebuilt`: M K M of elements of the grid itself."""
    terms, d = elements.shape[0], elements.shape[1] * elements.shape[2]

    def made(numbers: np.ndarray) -> Any:
        E = xpx.pad(xp.reshape(moduli, (terms, -1)), [(0, 0), (0, 1)], xp=xp)
        own = xp.take(E, xp.asarray(numbers), axis=1)
        K = xp.reshape(elements, (terms, 1, d, d))
        return masked(xp, level, numbers, xp.sum(own[..., None, None] * K, axis=0))

    return made


def _coarser(xp: Any, level: Level, rows: Any) -> Any:
    """For `rebuilt`: M K M of elements of a coarse level."""

    def made(numbers: np.ndarray) -> Any:
        padded = xpx.pad(rows, [(0, 0), (0, 1)], xp=xp)
        own = from_upper(xp, xp.take(padded, xp.asarray(numbers), axis=1), level.free.shape[0])
        return masked(xp, level, numbers, own)

    return made


def masked(xp: Any, level: Level, numbers: np.ndarray, matrices: Any) -> Any:
    """Element matrices (elements, d, d) with zero rows and columns at fixed dofs."""
    free = np.pad(corner_values(level, level.free).reshape(matrices.shape[-1], -1), [(0, 0), (0, 1)])
    M = xp.asarray(free[:, numbers].T, dtype=matrices.dtype)
    return matrices * M[:, :, None] * M[:, None, :]


def _replace(xp: Any, columns: Any, at: np.ndarray, new: Any) -> Any:
    """`columns` with those numbered `at` replaced."""
    place = np.arange(columns.shape[1])
    place[at] = columns.shape[1] + np.arange(at.size)
    return xp.take(xp.concat([columns, new], axis=1), xp.asarray(place), axis=1)


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
    factors, known = (1,) * fine.dim, _finest(xp, fine, E, K)
    for (level, coarse), near in zip(pairwise(levels), near_supports(levels), strict=True):
        factors = tuple(f * g for f, g in zip(factors, level.factors, strict=True))
        rows = coarse_matrices(xp, coarse, factors, *_cast(xp, low, E, K))
        if near.size:
            rows = _replace(xp, rows, near, xp.astype(rebuilt(xp, level, coarse, near, known), low))
        known = _coarser(xp, coarse, rows)
        made.append(coarse_level(backend, coarse, rows, low, last=coarse is levels[-1]))
    alive = xp.astype(jacobi > 0.0, E.dtype)
    return (wide, K, alive), tuple(made), xp.astype(element_bound(xp, K), low)


def coarse_level(backend: Backend, level: Level, rows: Any, low: Any, last: bool) -> Any:
    """Blocks and inverse diagonal, or the factors of the last level."""
    xp, c = backend.xp, level.free.shape[0]
    blocks = stencil(backend, level, xp.reshape(rows, (-1, c, c, *level.elements)))
    if last:
        return _cast(xp, low, *factor_planes(backend, level, blocks))
    centre = blocks[0, ..., level.reach : level.reach + level.size]
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
