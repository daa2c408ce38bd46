"""Optimisation of a compiled graph: `optimize`, its methods, and the values that come out.

A further method is one more class beside `OptimalityCriteria`, with the two steps of `loop.Method`.
"""

from __future__ import annotations

from .constraint import Constraint
from .criteria import OptimalityCriteria
from .formulation import Formulation, Point
from .loop import Iteration, Method, Position, Result, optimize

__all__ = [
    "Constraint",
    "Formulation",
    "Iteration",
    "Method",
    "OptimalityCriteria",
    "Point",
    "Position",
    "Result",
    "optimize",
]
