"""Linear solvers on the host, one a file; the contract is `protocol.Solver`."""

from __future__ import annotations

from .amg import AMG
from .band import BandCholesky
from .cholmod import Cholmod
from .cudss import CuDSS
from .direct import DirectSolver, SuperLU
from .multifrontal import Multifrontal
from .pardiso import Pardiso
from .protocol import Solver

__all__ = ["AMG", "BandCholesky", "Cholmod", "CuDSS", "DirectSolver", "Multifrontal", "Pardiso", "Solver", "SuperLU"]
