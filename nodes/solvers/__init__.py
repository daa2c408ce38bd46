"""Linear solvers on the host, one a file; the contract is `protocol.Solver`."""

from __future__ import annotations

from .band import BandCholesky
from .direct import DirectSolver, SuperLU
from .multifrontal import Multifrontal
from .protocol import Solver

__all__ = ["BandCholesky", "DirectSolver", "Multifrontal", "Solver", "SuperLU"]
