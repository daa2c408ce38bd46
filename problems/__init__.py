"""Topology-optimisation problems: grids, supports, loads, regions and the numbers published for them."""

from __future__ import annotations

if __name__ != "tograph.problems":
    raise ImportError("This folder is the package tograph.problems: import it by that name.")

from collections.abc import Callable

from .beams import (
    bridge,
    cantilever,
    cantilever_3d,
    cantilever_with_hole,
    mbb,
    michell,
    tensile,
    two_load_cantilever,
)
from .heat import heat_conduction
from .hoyer import SUITE, TASKS, hoyer
from .multiscale import multiscale_compliance
from .neural import NETWORKS, held_density, network, neural_compliance
from .pinn import finite_elements, pinn_compliance, pinn_network, pinn_stages, pinn_start
from .problem import Problem
from .surrogate import Fit, Samples, fit_energy, sample

PROBLEMS: dict[str, Callable[..., Problem]] = {
    "bridge": bridge,
    "cantilever": cantilever,
    "cantilever_3d": cantilever_3d,
    "cantilever_with_hole": cantilever_with_hole,
    "heat_conduction": heat_conduction,
    "mbb": mbb,
    "michell": michell,
    "tensile": tensile,
    "two_load_cantilever": two_load_cantilever,
}

__all__ = [
    "NETWORKS",
    "PROBLEMS",
    "SUITE",
    "TASKS",
    "Fit",
    "Problem",
    "Samples",
    "bridge",
    "cantilever",
    "cantilever_3d",
    "cantilever_with_hole",
    "finite_elements",
    "fit_energy",
    "heat_conduction",
    "held_density",
    "hoyer",
    "mbb",
    "michell",
    "multiscale_compliance",
    "network",
    "neural_compliance",
    "pinn_compliance",
    "pinn_network",
    "pinn_stages",
    "pinn_start",
    "sample",
    "tensile",
    "two_load_cantilever",
]
