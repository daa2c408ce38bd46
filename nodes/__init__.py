"""The vocabulary: what topology optimisation computes, one family a file."""

from __future__ import annotations

if __name__ != "tograph.nodes":
    raise ImportError("This folder is the package tograph.nodes: import it by that name.")

from tograph.arithmetic import (
    Add,
    Divide,
    Dot,
    Hadamard,
    Multiply,
    Scale,
    Sum,
)
from tograph.elementwise import Cast, Power, Reciprocal, Shift

from .device import SolveResidual
from .filters import ConeWeights, Convolve, DensityFilter, SensitivityFilter
from .grid import Grid
from .materials import Ramp, Simp
from .multigrid import MultigridCG
from .objectives import Compliance, VolumeFraction, WeightCases
from .operators import ApplyOperator, Dyad, OnSupports
from .pattern import ElementPattern
from .projections import Heaviside, Passive
from .solve import ApplyFactor, DirectSolver, Factor, LinearSolve, Solver
from .stiffness import Assemble, ElementStiffness, Stiffness
from .volume import Sigmoid, VolumeEnforcing, VolumeShift
from .wrappings import SimpCompliance, SimpDisplacement, SparseSolver

__all__ = [
    "Add",
    "ApplyFactor",
    "ApplyOperator",
    "Assemble",
    "Cast",
    "Compliance",
    "ConeWeights",
    "Convolve",
    "DensityFilter",
    "DirectSolver",
    "Divide",
    "Dot",
    "Dyad",
    "ElementPattern",
    "ElementStiffness",
    "Factor",
    "Grid",
    "Hadamard",
    "Heaviside",
    "LinearSolve",
    "MultigridCG",
    "Multiply",
    "OnSupports",
    "Passive",
    "Power",
    "Ramp",
    "Reciprocal",
    "Scale",
    "SensitivityFilter",
    "Shift",
    "Sigmoid",
    "Simp",
    "SimpCompliance",
    "SimpDisplacement",
    "SolveResidual",
    "Solver",
    "SparseSolver",
    "Stiffness",
    "Sum",
    "VolumeEnforcing",
    "VolumeFraction",
    "VolumeShift",
    "WeightCases",
]
