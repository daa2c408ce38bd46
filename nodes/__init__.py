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

from .conductivity import Conductivity
from .constitutive import StiffeningLaw, Stress
from .convolution import Convolve, Spectrum
from .decoder import CNN
from .device import SolveResidual
from .energy import ElementForm, ExternalWork, InverseSimp, StrainEnergy
from .equilibrium import InternalForce, NewtonSolve
from .filters import AverageSensitivity, ConeWeights, DensityFilter, SensitivityFilter, filter_share
from .grid import Grid
from .images import Conv2D, KernelCotangent, Resize, TurnedKernel
from .layers import Dense, LeakyRelu, Relu, Sin, Softplus, Tanh
from .materials import Ramp, Simp
from .multigrid import MultigridCG
from .networks import MLP, FourierFeatures, FourierMLP, Siren, coordinates
from .neural_energy import NeuralEnergy
from .newton import NewtonRow, SparseNewton
from .nodal import CornerMean, Gradient, StrainDensity
from .normalization import Affine, Normalize
from .objectives import Compliance, VolumeFraction, WeightCases
from .operators import ApplyOperator, Dyad, OnSupports
from .pattern import ElementPattern
from .projections import Heaviside, Passive
from .solve import ApplyFactor, Factor, LinearSolve
from .solvers import AMG, BandCholesky, Cholmod, CuDSS, DirectSolver, Multifrontal, Pardiso, Solver, SuperLU
from .stiffness import Assemble, ElementStiffness, Stiffness
from .volume import Sigmoid, VolumeEnforcing, VolumeHeaviside, VolumeShift, VolumeThreshold
from .weights import Network, Pack, Reshape, Unpack
from .wrappings import SimpCompliance, SimpDisplacement, SparseSolver

__all__ = [
    "AMG",
    "CNN",
    "MLP",
    "Add",
    "Affine",
    "ApplyFactor",
    "ApplyOperator",
    "Assemble",
    "AverageSensitivity",
    "BandCholesky",
    "Cast",
    "Cholmod",
    "Compliance",
    "Conductivity",
    "ConeWeights",
    "Conv2D",
    "Convolve",
    "CornerMean",
    "CuDSS",
    "Dense",
    "DensityFilter",
    "DirectSolver",
    "Divide",
    "Dot",
    "Dyad",
    "ElementForm",
    "ElementPattern",
    "ElementStiffness",
    "ExternalWork",
    "Factor",
    "FourierFeatures",
    "FourierMLP",
    "Gradient",
    "Grid",
    "Hadamard",
    "Heaviside",
    "InternalForce",
    "InverseSimp",
    "KernelCotangent",
    "LeakyRelu",
    "LinearSolve",
    "Multifrontal",
    "MultigridCG",
    "Multiply",
    "Network",
    "NeuralEnergy",
    "NewtonRow",
    "NewtonSolve",
    "Normalize",
    "OnSupports",
    "Pack",
    "Pardiso",
    "Passive",
    "Power",
    "Ramp",
    "Reciprocal",
    "Relu",
    "Reshape",
    "Resize",
    "Scale",
    "SensitivityFilter",
    "Shift",
    "Sigmoid",
    "Simp",
    "SimpCompliance",
    "SimpDisplacement",
    "Sin",
    "Siren",
    "Softplus",
    "SolveResidual",
    "Solver",
    "SparseNewton",
    "SparseSolver",
    "Spectrum",
    "StiffeningLaw",
    "Stiffness",
    "StrainDensity",
    "StrainEnergy",
    "Stress",
    "Sum",
    "SuperLU",
    "Tanh",
    "TurnedKernel",
    "Unpack",
    "VolumeEnforcing",
    "VolumeFraction",
    "VolumeHeaviside",
    "VolumeShift",
    "VolumeThreshold",
    "WeightCases",
    "coordinates",
    "filter_share",
]
