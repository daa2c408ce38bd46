"""Optimisation of a compiled graph: `optimize`, its methods, stages and schedules, and the values that come out.

A further method is one more class with the functions of `Method`.
"""

from __future__ import annotations

from .checkpoint import Checkpoint, CheckpointError, Checkpoints, load_checkpoint, save_checkpoint
from .choice import METHODS
from .constraint import Constraint
from .criteria import OptimalityCriteria
from .first_order import Optax, TorchOptim
from .formulation import Formulation, Point
from .kkt import kkt_residual
from .loop import optimize
from .method import Method
from .mma import GCMMA, MMA
from .observers import HistoryLines, grey_level
from .result import Iteration, Observer, Result
from .schedules import Geometric, Linear, OnPlateau, Schedule
from .scipy_methods import Scipy
from .stage import Position, Stage
from .variables import Variables

__all__ = [
    "GCMMA",
    "METHODS",
    "MMA",
    "Checkpoint",
    "CheckpointError",
    "Checkpoints",
    "Constraint",
    "Formulation",
    "Geometric",
    "HistoryLines",
    "Iteration",
    "Linear",
    "Method",
    "Observer",
    "OnPlateau",
    "Optax",
    "OptimalityCriteria",
    "Point",
    "Position",
    "Result",
    "Schedule",
    "Scipy",
    "Stage",
    "TorchOptim",
    "Variables",
    "grey_level",
    "kkt_residual",
    "load_checkpoint",
    "optimize",
    "save_checkpoint",
]
