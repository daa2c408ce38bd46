"""The standard density workflow of a problem: filter, projection, interpolation, analysis, compliance, volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tograph as tg
from tograph import Edge, Graph
from tograph import nodes as n
from tograph.errors import did_you_mean

if TYPE_CHECKING:
    from .problem import Problem

FILTERS = ("density", "sensitivity", "none")


def compliance_workflow(
    problem: Problem,
    *,
    filter: str = "density",
    radius: Any = 2.4,
    penal: Any = 3.0,
    E_min: Any = 1e-9,
    beta: Any = None,
    eta: Any = 0.5,
    weights: tuple[float, ...] = (),
    solver: Any = None,
) -> Graph:
    """Minimum compliance as a graph: input `rho` (and wires given), outputs `compliance` and `volume`.

    Args:
        problem: what to optimise.
        filter: "density" (rho_f enters both outputs), "sensitivity" (heuristic on the way back) or "none".
        radius: filter radius in units of length.
        penal: SIMP exponent p.
        E_min: modulus of void, relative to 1.
        beta: sharpness of a Heaviside projection; None for no projection.
        eta: threshold of the projection.
        weights: weights of the load cases in the compliance; all 1 by default.
        solver: a linear solver; the default one if None.

    `penal`, `E_min`, `beta`, `eta` may be edges made by `tg.source`: they become further inputs.

    Raises:
        ValueError: unknown filter.
    """
    if filter not in FILTERS:
        raise ValueError(f"there is no filter {filter!r}. {did_you_mean(filter, FILTERS)}")
    grid = problem.grid
    rho = tg.source("rho", grid.field(), lower=0.0, upper=1.0)
    with tg.cluster("design"):
        felt, counted = _filtered(problem, rho, filter, radius)
        if beta is not None:
            felt = n.Heaviside(beta=beta, eta=eta)(felt, name="rho_p")
            counted = felt if filter != "sensitivity" else n.Heaviside(beta=beta, eta=eta)(counted, name="rho_counted")
        felt, counted = _with_regions(problem, felt, counted)
    with tg.cluster("analysis"):
        E = n.Simp(p=penal, E_min=E_min)(felt)
        K = n.Stiffness(grid, nu=problem.nu, fixed=problem.fixed, plane=problem.plane)(E)
        f = tg.constant(problem.load, grid.vector(cases=None if problem.load.ndim == 1 else problem.cases), name="f")
        solve = n.LinearSolve() if solver is None else n.LinearSolve(solver)
        u = solve(K, f) if problem.prescribed is None else solve(K, f, _per_case(problem))
    compliance = n.Compliance(weights)(u, f)
    volume = n.VolumeFraction()(counted)
    wires = [edge for edge in (radius, penal, E_min, beta, eta) if isinstance(edge, Edge)]
    return Graph([rho, *wires], {"compliance": compliance, "volume": volume}, name=problem.name)


def _filtered(problem: Problem, rho: Edge, filter: str, radius: Any) -> tuple[Edge, Edge]:
    """The density that the analysis feels, and the one that the volume counts."""
    if filter == "density":
        rho_f = n.DensityFilter(problem.grid, radius=radius)(rho)
        return rho_f, rho_f
    if filter == "sensitivity":
        return n.SensitivityFilter(problem.grid, radius=radius)(rho, name="rho_s"), rho
    return rho, rho


def _with_regions(problem: Problem, felt: Edge, counted: Edge) -> tuple[Edge, Edge]:
    if problem.solid is None and problem.void is None:
        return felt, counted
    none = np.zeros(problem.grid.shape, dtype=bool)
    regions = n.Passive(
        problem.grid,
        none if problem.solid is None else problem.solid,
        none if problem.void is None else problem.void,
    )
    physical = regions(felt, name="rho_phys")
    return physical, physical if counted is felt else regions(counted, name="rho_counted_phys")


def _per_case(problem: Problem) -> np.ndarray:
    """The prescribed values, repeated for every load case."""
    values = np.asarray(problem.prescribed)
    return values if problem.load.ndim == 1 else np.repeat(values[:, None], problem.cases, axis=1)
