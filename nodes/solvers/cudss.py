"""NVIDIA's cuDSS on a GPU, through `nvmath-python`. Optional: pip install 'tograph[solvers-cuda]'."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import attrs
import numpy as np

from tograph import SolveError, codec

from ..pattern import ElementPattern
from .diagnosis import finite_load, no_factor, require_accurate, require_sound
from .protocol import Pool, System, kept, optional


@attrs.frozen(eq=False)
class CuDSSFactor:
    """A factorisation on the GPU."""

    system: System
    handle: Any


@codec.register
@attrs.frozen
class CuDSS:
    """Sparse Cholesky factorisation on a GPU; the analysis is kept from design to design.

    The matrix is assembled on the host and copied to the GPU, and u back, whatever the program runs on; right-hand
    sides are solved for one by one. Written from the documentation of nvmath-python and tested against a stand-in with
    its interface: it has not been run on a GPU.

    Raises:
        TographError: nvmath-python is not installed.
        SolveError: singular, not positive definite or non-finite, or an answer that is not accurate.
    """

    extra: ClassVar[str] = "solvers-cuda"

    def factor(self, pattern: ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> CuDSSFactor:
        """Factorise in a handle that has analysed this pattern before, if one is idle."""
        library = optional("nvmath.sparse.advanced", self.extra)
        system = System(pattern, moduli, elements)
        require_sound(system)
        if not pattern.free.size:
            return CuDSSFactor(system, None)
        matrix = _rows(system)
        pool: Pool = kept(pattern, "cudss", lambda: Pool(lambda: _analysed(library, pattern, matrix)))
        handle = pool.take()
        factor = pool.lend(CuDSSFactor(system, handle), handle)
        handle.reset_operands(a=matrix)
        try:
            handle.factorize()
        except Exception as error:
            raise no_factor(system) from error
        return factor

    def solve(self, factor: CuDSSFactor, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        """Forward and back substitution, then a check of the residual."""
        system, free = factor.system, factor.system.pattern.free
        forces = finite_load(system.pattern, rhs)
        u = np.zeros_like(rhs)
        for load, displacement in zip(rhs, u, strict=True):
            if free.size:
                displacement[free] = _solved(factor.handle, np.ascontiguousarray(load[free]))
        require_accurate(system, u, forces)
        return u


def _solved(handle: Any, load: np.ndarray) -> np.ndarray:
    handle.reset_operands(b=load)
    try:
        found: np.ndarray = handle.solve()
    except Exception as error:
        raise SolveError(f"cuDSS: {error}", "breakdown") from error
    return found


def _analysed(library: Any, pattern: ElementPattern, matrix: Any) -> Any:
    options = library.DirectSolverOptions(sparse_system_type=library.DirectSolverMatrixType.SPD)
    handle = library.DirectSolver(matrix, np.zeros(pattern.free.size), options=options)
    weakref.finalize(pattern, handle.free).atexit = False
    handle.plan()
    return handle


def _rows(system: System) -> Any:
    """The free-free block by rows; its columns are its rows, as it is symmetric."""
    matrix, kind = system.matrix, type(system.pattern.assembly[1])  # CSR
    return kind((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
