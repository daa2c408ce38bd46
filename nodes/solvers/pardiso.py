"""Intel MKL's PARDISO, through `pypardiso`. Optional: pip install 'tograph[solvers-mkl]'."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import attrs
import numpy as np

from tograph import SolveError, codec

from ..pattern import ElementPattern
from .diagnosis import finite_load, no_factor, require_accurate, require_sound
from .protocol import Pool, System, kept, lower_triangle, optional

ANALYSE_AND_FACTORISE, FACTORISE, SOLVE = 12, 22, 33
SYMMETRIC_POSITIVE_DEFINITE = 2


@attrs.frozen(eq=False)
class Upper:
    """The upper triangle of the free-free block in rows, and handles for which it has been analysed."""

    indptr: np.ndarray
    indices: np.ndarray
    entries: np.ndarray
    pool: Pool


@attrs.frozen(eq=False)
class PardisoFactor:
    """A factorisation inside a PARDISO handle."""

    system: System
    handle: Any


@codec.register
@attrs.frozen
class Pardiso:
    """PARDISO in its mode for symmetric positive definite matrices; the analysis is kept from design to design.

    Its modes for indefinite matrices move small pivots, which at a contrast of 1e-9 costs most of the digits.

    Raises:
        TographError: pypardiso is not installed.
        SolveError: singular, not positive definite or non-finite, or an answer that is not accurate.
    """

    extra: ClassVar[str] = "solvers-mkl"

    def factor(self, pattern: ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> PardisoFactor:
        """Factorise in a handle that has analysed this pattern before, if one is idle."""
        library = optional("pypardiso", self.extra)
        system = System(pattern, moduli, elements)
        require_sound(system)
        if not pattern.free.size:
            return PardisoFactor(system, None)
        upper: Upper = kept(pattern, "pardiso", lambda: _analyse(pattern, library))
        handle = upper.pool.take()
        factor = upper.pool.lend(PardisoFactor(system, handle), handle)
        handle.matrix = _rows(pattern, upper, system.matrix.data[upper.entries])
        phase = FACTORISE if handle.analysed else ANALYSE_AND_FACTORISE
        handle.analysed = True
        _call(handle, phase, np.zeros((pattern.free.size, 1)), system)
        return factor

    def solve(self, factor: PardisoFactor, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        """Forward and back substitution, then a check of the residual."""
        system, free = factor.system, factor.system.pattern.free
        forces = finite_load(system.pattern, rhs)
        u = np.zeros_like(rhs)
        if free.size:
            u[:, free] = _call(factor.handle, SOLVE, forces.T, system).T
        require_accurate(system, u, forces)
        return u


def _analyse(pattern: ElementPattern, library: Any) -> Upper:
    # Columns of the lower triangle are rows of the upper one: the block is symmetric.
    entries, row, column = lower_triangle(pattern)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(column, minlength=pattern.free.size))])

    def make() -> Any:
        handle = library.PyPardisoSolver(mtype=SYMMETRIC_POSITIVE_DEFINITE)
        handle.analysed = False
        weakref.finalize(pattern, handle.free_memory, everything=True).atexit = False
        return handle

    return Upper(indptr.astype(np.int32), row.astype(np.int32), entries, Pool(make))


def _rows(pattern: ElementPattern, upper: Upper, data: np.ndarray) -> Any:
    kind = type(pattern.assembly[1])  # CSR
    return kind((data, upper.indices, upper.indptr), shape=(pattern.free.size,) * 2)


def _call(handle: Any, phase: int, rhs: np.ndarray, system: System) -> np.ndarray:
    handle.set_phase(phase)
    try:
        found: np.ndarray = handle._call_pardiso(handle.matrix, rhs)
    except Exception as error:
        if phase != SOLVE:
            raise no_factor(system) from error
        raise SolveError(f"PARDISO: {error}", "breakdown") from error
    return found
