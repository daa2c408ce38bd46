"""Direct solvers that every installation has: SciPy's SuperLU, and the choice between it and our own two."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import numpy as np
import scipy.sparse.linalg as spla

from tograph import codec

from ..pattern import ElementPattern
from .band import BandCholesky, band_operations
from .diagnosis import finite_load, no_factor, require_accurate, require_sound
from .multifrontal import Multifrontal
from .protocol import Solver, System

BAND_OPERATIONS = {1: 1e10, 2: 2e9, 3: 2e10}
"""By dimension of the grid: up to so many multiplications a band is faster than nested dissection (measured)."""


@attrs.frozen(eq=False)
class LU:
    """A sparse LU factorisation of the free-free block."""

    system: System
    lu: Any


@codec.register
@attrs.frozen
class SuperLU:
    """SciPy's SuperLU, with the ordering for symmetric patterns. K may be indefinite or unsymmetric.

    Raises:
        SolveError: singular or non-finite matrix, or an answer that is not accurate.
    """

    ordering: Literal["MMD_AT_PLUS_A", "COLAMD", "MMD_ATA", "NATURAL"] = "MMD_AT_PLUS_A"

    def factor(self, pattern: ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> LU:
        """Assemble and factorise."""
        system = System(pattern, moduli, elements)
        require_sound(system)
        if not pattern.free.size:
            return LU(system, None)
        options: dict[str, Any] = {"SymmetricMode": True, "DiagPivotThresh": 0.0}
        try:
            return LU(system, spla.splu(system.matrix, permc_spec=self.ordering, options=options))
        except RuntimeError as error:
            raise no_factor(system) from error

    def solve(self, factor: LU, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        """Forward and back substitution, then a check of the residual."""
        pattern = factor.system.pattern
        forces = finite_load(pattern, rhs)
        u = np.zeros_like(rhs)
        if pattern.free.size:
            u[:, pattern.free] = factor.lu.solve(forces.T, trans="T" if transposed else "N").T
        require_accurate(factor.system, u, forces, transposed)
        return u


@codec.register
@attrs.frozen
class DirectSolver:
    """The fastest direct solver that needs nothing but SciPy, chosen by `choice`.

    Raises:
        SolveError: singular, not positive definite or non-finite, or an answer that is not accurate.
    """

    def choice(self, pattern: ElementPattern) -> tuple[Solver, str]:
        """The solver for this pattern, and why."""
        if not pattern.symmetric:
            return SuperLU(), "K is not symmetric"
        operations = band_operations(pattern)
        few = operations <= BAND_OPERATIONS[pattern.grid.dim]
        reason = f"a band would take {operations:.1g} multiplications"
        return (BandCholesky() if few else Multifrontal()), f"K is symmetric, and {reason}"

    def factor(self, pattern: ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> Any:
        """By the solver that is chosen."""
        solver, _ = self.choice(pattern)
        return solver, solver.factor(pattern, moduli, elements)

    def solve(self, factor: Any, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        """By the solver that was chosen."""
        solver, made = factor
        return solver.solve(made, rhs, transposed=transposed)
