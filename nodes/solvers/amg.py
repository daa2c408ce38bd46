"""Algebraic multigrid, through PyAMG. Optional: pip install 'tograph[amg]'."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np

from tograph import SolveError, codec

from ..pattern import ElementPattern
from .diagnosis import finite_load, require_sound, rigid_motions, why_singular, worst_dof
from .protocol import System, kept, optional

TENFOLD = 10.0
"""Near rounding the recursion of CG and the true residual part: so large a difference is let through."""


@attrs.frozen(eq=False)
class Hierarchy:
    """The levels for one matrix."""

    system: System
    levels: Any


@codec.register
@attrs.frozen
class AMG:
    """Conjugate gradients preconditioned by smoothed aggregation, told of the rigid-body motions.

    For symmetric positive definite K of any size, in memory that grows with the number of dofs only.
    Source: Vanek, Mandel & Brezina, Algebraic multigrid by smoothed aggregation for second and fourth order
    elliptic problems, Computing 56:179 (1996).

    Attributes:
        tolerance: stop at this residual, as a share of the load.
        iterations: at most this many.

    Raises:
        TographError: pyamg is not installed.
        SolveError: non-finite input, or the tolerance is not met ("iteration limit").
    """

    tolerance: float = 1e-10
    iterations: int = 500
    extra: ClassVar[str] = "amg"
    iterates: ClassVar[bool] = True

    def factor(self, pattern: ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> Hierarchy:
        """Build the levels."""
        library = optional("pyamg", self.extra)
        system = System(pattern, moduli, elements)
        require_sound(system)
        if not pattern.free.size:
            return Hierarchy(system, None)
        if np.any(system.diagonal[pattern.free] <= 0.0):
            raise SolveError(f"the stiffness matrix is singular. {why_singular(system)}", "singular")
        rigid = kept(
            pattern, "rigid", lambda: rigid_motions(pattern.grid.node_coordinates(), pattern.components)[pattern.free]
        )
        return Hierarchy(system, library.smoothed_aggregation_solver(system.matrix.tocsr(), B=rigid))

    def solve(self, factor: Hierarchy, rhs: np.ndarray, *, transposed: bool) -> tuple[np.ndarray, float, float]:
        """Iterate, case by case; u, the number of iterations, and what is left of the residual, as in `error`."""
        pattern = factor.system.pattern
        forces = finite_load(pattern, rhs)
        u, count, worst = np.zeros_like(rhs), 0, 0.0
        for load, displacement in zip(forces, u, strict=True):
            if np.any(load):
                displacement[pattern.free], taken, left = self._iterate(factor, load)
                count, worst = count + taken, max(worst, left)
        return u, float(count), worst / (TENFOLD * self.tolerance)

    def error(self, factor: Hierarchy, rhs: np.ndarray, u: np.ndarray) -> tuple[float, float]:
        """|f - K u| in units of what is let through, and as a share of |f|, each the largest of all cases."""
        free = factor.system.pattern.free
        left = np.linalg.norm(rhs[:, free] - factor.system.on_free(u), axis=1)
        load = np.linalg.norm(rhs[:, free], axis=1)
        share = float(np.max(np.divide(left, load, out=np.zeros_like(left), where=load > 0.0), initial=0.0))
        return share / (TENFOLD * self.tolerance), share

    def _iterate(self, factor: Hierarchy, load: np.ndarray) -> tuple[np.ndarray, int, float]:
        """x, the number of iterations, and |load - K x| / |load|."""
        history: list[float] = []
        x, _ = factor.levels.solve(
            load, tol=self.tolerance, maxiter=self.iterations, accel="cg", return_info=True, residuals=history
        )
        found: np.ndarray = x
        left = float(np.linalg.norm(load - factor.system.matrix @ found) / np.linalg.norm(load))
        if not left <= TENFOLD * self.tolerance:
            u = np.zeros(factor.system.pattern.n_dofs)
            u[factor.system.pattern.free] = found
            raise SolveError(
                f"no convergence in {self.iterations} iterations: the residual is {left:.0e} of the load, and "
                f"{self.tolerance:.0e} is asked for. Largest displacement at {worst_dof(factor.system.pattern, u)}. "
                "Allow more iterations, or use a direct solver",
                "iteration limit",
            )
        return found, max(len(history) - 1, 0), left
