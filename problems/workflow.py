"""The standard density workflow of a problem: filter, projection, interpolation, analysis, compliance, volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tograph as tg
from tograph import Edge, Graph
from tograph import nodes as n
from tograph.declare import Source
from tograph.errors import did_you_mean
from tograph.graph import topological

if TYPE_CHECKING:
    from .problem import Problem

FILTERS = ("density", "active density", "sensitivity", "none")


def compliance_workflow(
    problem: Problem,
    *,
    rho: Edge | None = None,
    filter: str = "density",
    radius: Any = 2.4,
    max_radius: float | None = None,
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
        rho: densities that other nodes make; what is behind them becomes inputs. Default: an input from 0 to 1.
        filter: "density", "active density" (averages over what is not void), "sensitivity" (a heuristic), or "none".
        radius, max_radius: filter radius in units of length; the largest one, for a radius that is an edge.
        penal, E_min: SIMP exponent, and modulus of void relative to 1.
        beta, eta: sharpness and threshold of a Heaviside projection; no projection if beta is None.
        weights: weights of the load cases in the compliance; all 1 by default.
        solver: a linear solver; the default one if None.

    Numbers may be edges made by `tg.source` instead: further inputs. Raises `ValueError` for an unknown filter.
    """
    rho = tg.source("rho", problem.grid.field(), lower=0.0, upper=1.0) if rho is None else rho
    with tg.cluster("design"):
        felt, counted = _filtered(problem, rho, filter, radius, max_radius)
        felt, counted = _projected(felt, counted, beta, eta)
        felt, counted = _with_regions(problem, felt, counted)
    with tg.cluster("analysis"):
        u, f = _analysis(problem, felt, penal, E_min, solver)
    outputs = {"compliance": n.Compliance(weights)(u, f), "volume": n.VolumeFraction()(counted)}
    wires = [edge for edge in (radius, penal, E_min, beta, eta) if isinstance(edge, Edge)]
    return Graph([*_inputs_behind(rho), *wires], outputs, name=problem.name)


def _inputs_behind(edge: Edge) -> list[Edge]:
    return [Edge(vertex) for vertex in topological([edge]) if isinstance(vertex.node, Source)]


def _analysis(problem: Problem, felt: Edge, penal: Any, E_min: Any, solver: Any) -> tuple[Edge, Edge]:
    """Displacements and loads; of a scalar problem temperatures and heat."""
    grid, components = problem.grid, problem.components
    E = n.Simp(p=penal, E_min=E_min)(felt)
    if components == 1:
        K = n.Conductivity(grid, fixed=problem.fixed)(E)
    else:
        K = n.Stiffness(grid, nu=problem.nu, fixed=problem.fixed, plane=problem.plane)(E)
    cases = None if problem.load.ndim == 1 else problem.cases
    f = tg.constant(problem.load, grid.vector(components, cases), name="f")
    solve = n.LinearSolve() if solver is None else n.LinearSolve(solver)
    held = () if problem.prescribed is None else (_per_case(problem),)
    u = solve(K, f, *held)
    return u, f


def _projected(felt: Edge, counted: Edge, beta: Any, eta: Any) -> tuple[Edge, Edge]:
    if beta is None:
        return felt, counted
    project = n.Heaviside(beta=beta, eta=eta)
    sharp = project(felt, name="rho_p")
    return sharp, sharp if counted is felt else project(counted, name="rho_counted")


def _filtered(problem: Problem, rho: Edge, filter: str, radius: Any, largest: float | None) -> tuple[Edge, Edge]:
    """The density that the analysis feels, and the one that the volume counts."""
    if filter not in FILTERS:
        raise ValueError(f"there is no filter {filter!r}. {did_you_mean(filter, FILTERS)}")
    if filter == "density":
        rho_f = n.DensityFilter(problem.grid, radius=radius, max_radius=largest)(rho)
        return rho_f, rho_f
    if filter == "active density":
        rho_f = _filtered_inside(problem, rho, radius, largest)
        return rho_f, rho_f
    if filter == "sensitivity":
        return n.SensitivityFilter(problem.grid, radius=radius)(rho, name="rho_s"), rho
    return rho, rho


def _filtered_inside(problem: Problem, rho: Edge, radius: Any, largest: float | None) -> Edge:
    """m F(m rho) / F(m) with the density filter F and the mask m of what is not void; 0 in the void.

    F divides by the weights of all neighbours in the domain; the ratio leaves those of the void out.
    """
    void = np.zeros(problem.grid.shape) if problem.void is None else problem.void.astype(float)
    spec = problem.grid.field()
    m = tg.constant(1.0 - void, spec, name="m")
    density_filter = n.DensityFilter(problem.grid, radius=radius, max_radius=largest)
    weight = density_filter(m, name="weight") + tg.constant(void, spec, name="outside")
    rho_f: Edge = m * density_filter(m * rho, name="rho_a") / weight
    return rho_f


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
