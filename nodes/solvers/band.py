"""Cholesky factorisation of a band matrix: the least work for small and slender grids."""

from __future__ import annotations

import attrs
import numpy as np
from scipy.linalg import lapack

from tograph import codec

from ..pattern import ElementPattern
from .diagnosis import finite_load, no_factor, require_accurate, require_sound
from .protocol import Pool, System, kept, lower_triangle


@attrs.frozen(eq=False)
class Band:
    """Where the free-free block stands in a band: dofs along the longest axis of the grid, last.

    Attributes:
        order: (n,) free dofs in the order of the band.
        entries: the stored entries of one half of the assembled block.
        place: for each of them its place in the (n, width + 1) array of columns.
        width: half the bandwidth.
        pool: arrays (n, width + 1), zero wherever nothing is placed before the factorisation.
    """

    order: np.ndarray
    entries: np.ndarray
    place: np.ndarray
    width: int
    pool: Pool


@attrs.frozen(eq=False)
class BandFactor:
    """L with K = L L^T, in LAPACK's lower band storage."""

    system: System
    band: Band
    columns: np.ndarray


@codec.register
@attrs.frozen
class BandCholesky:
    """LAPACK's band Cholesky (dpbtrf): about n w^2 multiplications for n dofs and half-bandwidth w.

    For symmetric positive definite K. Memory: n (w + 1) numbers.
    Source: Du Croz, Mayes & Radicati, Factorizations of band matrices using Level 3 BLAS, 1990 (LAPACK
    Working Note 21).

    Raises:
        SolveError: singular, not positive definite or non-finite, or an answer that is not accurate.
    """

    def factor(self, pattern: ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> BandFactor:
        """Assemble into the band and factorise in place."""
        system = System(pattern, moduli, elements)
        require_sound(system)
        band: Band = kept(pattern, "band", lambda: _analyse(pattern))
        columns = band.pool.take()
        factor = band.pool.lend(BandFactor(system, band, columns), columns)
        columns.fill(0.0)
        columns.ravel()[band.place] = system.matrix.data[band.entries]
        if band.order.size:
            _, info = lapack.dpbtrf(columns.T, lower=1, overwrite_ab=1)
            if info:
                raise no_factor(system)
        return factor

    def solve(self, factor: BandFactor, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        """Forward and back substitution, then a check of the residual."""
        system, order = factor.system, factor.band.order
        forces = finite_load(system.pattern, rhs)
        u = np.zeros_like(rhs)
        if order.size:
            x, _ = lapack.dpbtrs(factor.columns.T, rhs[:, order].T, lower=1)
            u[:, order] = x.T
        require_accurate(system, u, forces)
        return u


def band_operations(pattern: ElementPattern) -> float:
    """Multiplications of the factorisation: n w^2."""
    strides = np.cumprod([1, *sorted(pattern.grid.node_shape)[:-1]])
    return float(pattern.n_dofs) * float(pattern.components * (strides.sum() + 1)) ** 2


def _analyse(pattern: ElementPattern) -> Band:
    shape, count = pattern.grid.node_shape, pattern.components
    axes = np.argsort(shape, kind="stable")[::-1]
    nodes = np.arange(pattern.grid.n_nodes).reshape(shape).transpose(axes).ravel()
    dofs = (nodes[:, None] * count + np.arange(count)).ravel()
    order = dofs[pattern.supports[dofs] == 0.0]
    rank = np.zeros(pattern.n_dofs, dtype=np.int64)
    rank[order] = np.arange(order.size)
    entries, row, column = lower_triangle(pattern)
    row, column = rank[pattern.free][row], rank[pattern.free][column]
    row, column = np.maximum(row, column), np.minimum(row, column)
    offset = row - column
    width = int(offset.max(initial=0))
    place = column * (width + 1) + offset
    return Band(order, entries, place, width, Pool(lambda: np.zeros((order.size, width + 1))))
