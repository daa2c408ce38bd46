"""CHOLMOD, through `cvxopt` (GPL). Optional: pip install 'tograph[solvers-cholmod]'."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np

from tograph import codec

from ..pattern import ElementPattern
from .diagnosis import finite_load, no_factor, require_accurate, require_sound
from .protocol import Pool, System, kept, lower_triangle, optional


@attrs.frozen(eq=False)
class CholmodFactor:
    """The matrix and the factor that CHOLMOD keeps for it."""

    system: System
    matrix: Any
    factor: Any


@codec.register
@attrs.frozen
class Cholmod:
    """Supernodal Cholesky factorisation for symmetric positive definite K; the analysis is kept.

    Source: Chen, Davis, Hager & Rajamanickam, Algorithm 887: CHOLMOD, ACM Trans. Math. Softw. 35:22 (2008).

    Raises:
        TographError: cvxopt is not installed.
        SolveError: singular, not positive definite or non-finite, or an answer that is not accurate.
    """

    extra: ClassVar[str] = "solvers-cholmod"

    def factor(self, pattern: ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> CholmodFactor:
        """Put the numbers into a matrix that has been analysed before, and factorise."""
        library, cvxopt = optional("cvxopt.cholmod", self.extra), optional("cvxopt", self.extra)
        system = System(pattern, moduli, elements)
        require_sound(system)
        if not pattern.free.size:
            return CholmodFactor(system, None, None)
        entries, pool = kept(pattern, "cholmod", lambda: _analyse(pattern, library, cvxopt))
        workspace = pool.take()
        factor: CholmodFactor = pool.lend(CholmodFactor(system, *workspace), workspace)
        factor.matrix.V = cvxopt.matrix(system.matrix.data[entries])
        try:
            library.numeric(factor.matrix, factor.factor)
        except ArithmeticError as error:
            raise no_factor(system) from error
        return factor

    def solve(self, factor: CholmodFactor, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        """Forward and back substitution, then a check of the residual."""
        library, cvxopt = optional("cvxopt.cholmod", self.extra), optional("cvxopt", self.extra)
        system, free = factor.system, factor.system.pattern.free
        forces = finite_load(system.pattern, rhs)
        u = np.zeros_like(rhs)
        if free.size:
            x = cvxopt.matrix(forces.T)
            library.solve(factor.factor, x)
            u[:, free] = np.asarray(x).T
        require_accurate(system, u, forces)
        return u


def _analyse(pattern: ElementPattern, library: Any, cvxopt: Any) -> tuple[np.ndarray, Pool]:
    entries, row, column = lower_triangle(pattern)
    size = pattern.free.size

    def make() -> tuple[Any, Any]:
        matrix = cvxopt.spmatrix(1.0, row.tolist(), column.tolist(), (size, size))
        return matrix, library.symbolic(matrix)

    return entries, Pool(make)
