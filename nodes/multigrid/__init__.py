"""Multigrid on structured grids: a solver for `LinearSolve` that runs on the device and never assembles K."""

from __future__ import annotations

from .solver import MultigridCG

__all__ = ["MultigridCG"]
