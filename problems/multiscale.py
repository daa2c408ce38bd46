"""Minimum compliance of a body with a microstructure at every point: density and microstructure designed together."""

from __future__ import annotations

from typing import Any

import numpy as np

import tograph as tg
from tograph import Edge, Graph
from tograph import nodes as n

from .problem import Problem


def multiscale_compliance(
    problem: Problem,
    energy: Any,
    *,
    theta: np.ndarray | None = None,
    load: float = 0.005,
    radius: float = 1.5,
    penal: float = 3.0,
    E_min: float = 1e-4,
    solver: n.SparseNewton | None = None,
) -> Graph:
    """Inputs `rho` and a field per microstructure parameter; outputs `compliance`, `volume`, `displacement`.

    rho -> rho_f -> E = Simp(rho_f); E psi(strain; a_f, ...) -> Newton -> u; compliance f . u at the last load step.
    Exact law and network are interchangeable: only `energy` and `theta` differ.

    Args:
        problem: one load case, supports at zero; its load is multiplied by `load`.
        energy: an energy node, e.g. `StiffeningLaw` or `NeuralEnergy`.
        theta: the weights, a further input, if the energy takes some.
        load: factor of the load; the strains it leads to must lie in what a network was trained for.
        radius: of the density filters, of rho and of the microstructure parameters.
        penal, E_min: as for `Simp`.
        solver: two load steps by default.
    """
    grid = problem.grid
    rho = tg.source("rho", grid.field(), lower=0.0, upper=1.0)
    names = [port.name for port in energy.inputs[1:] if "params" not in port.kind]
    micro = [tg.source(name, grid.field(), lower=0.0, upper=1.0) for name in names]
    density_filter = n.DensityFilter(grid, radius=radius)
    with tg.cluster("design"):
        rho_f = density_filter(rho, name="rho_f")
        felt = [density_filter(a, name=f"{name}_f") for a, name in zip(micro, names, strict=True)]
        E = n.Simp(p=penal, E_min=E_min)(rho_f)
    weights = [] if theta is None else [tg.source("theta", energy.weights_spec, default=theta)]
    f = tg.constant(load * problem.load, grid.vector(), name="f")
    solve = n.NewtonSolve(energy, grid, fixed=problem.fixed, solver=solver or n.SparseNewton(steps=2))
    u: Edge = solve(E, f, *felt, *weights, name="u")
    outputs = {"compliance": n.Compliance()(u, f), "volume": n.VolumeFraction()(rho_f), "displacement": u}
    return Graph([rho, *micro, *weights], outputs, name=f"multiscale {problem.name}")
