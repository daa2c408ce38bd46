"""Minimum compliance without a solve: one network for density and displacement, trained by one loss.

    loss = c_weight c + (w - W + positive)

    w = 1/2 u . K(E) u         with E = Simp(sg(rho)): trains the displacement only
    W = f . u
    positive = (1 + delta)/2 sg(W): keeps w - W + positive > 0 at equilibrium, where w - W = -W/2; no derivative
    c = sg(u) . K(E_hat) sg(u) with E_hat = InverseSimp(rho, sg(rho)): trains the density only

sg: detached. The volume is exact: the logits are shifted until the mean density is V. Source: Sanu, Bessa & Aragon,
Struct. Multidisc. Optim. 69:126 (2026), appendix A; there the volume is a penalty, and c_weight is 1/100.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tograph as tg
from tograph import Edge, Graph
from tograph import nodes as n
from tograph.columns import TakeColumns
from tograph.nodes.weights import Reshape
from tograph.optimizers import Linear, Stage, TorchOptim
from tograph.solvers import Newton

from .problem import Problem

DELTA = 0.1
"""By how much the positive term exceeds what it must make up for."""


def pinn_network(**options: Any) -> n.FourierMLP:
    """From nodal coordinates to (u, v, logit): 64 Fourier features, one layer of 128 tanh units, linear heads."""
    given = {"width": 128, "depth": 1, "results": 3, "m": 64, "scale": 0.5, "activation": n.Tanh(), **options}
    return n.FourierMLP(**given)


def pinn_start(network: n.FourierMLP, seed: int = 0) -> np.ndarray:
    """First weights, with small heads: nearly uniform density, nearly no displacement."""
    theta, last = network.initial(seed), network.width * 3 + 3
    theta[-last:] *= 0.05
    return theta


def pinn_compliance(
    problem: Problem,
    network: n.FourierMLP | None = None,
    *,
    length: float = 30.0,
    sharpness: float = 1.0,
    E_min: float = 1e-6,
    seed: int = 0,
) -> Graph:
    """The workflow as a graph: inputs `theta`, `penal`, `c_weight`; outputs `loss`, `compliance`, `potential`, fields.

    `compliance` is that of the predicted displacement; its value means something only near equilibrium.

    Args:
        problem: one load case in the plane, supports at zero.
        network: `pinn_network()` if omitted.
        length: displacements are this times what the network gives, in units of length.
        sharpness: logits are this times what the network gives, dimensionless.
        E_min: modulus of void relative to 1.
        seed: of the first weights.

    Raises:
        ValueError: a problem of another kind.
    """
    _require_plane(problem)
    net = network or pinn_network()
    theta = tg.source("theta", net.weights_spec, default=pinn_start(net, seed), lower=-np.inf, upper=np.inf)
    penal, c_weight = tg.source("penal", default=3.0), tg.source("c_weight", default=0.2)
    with tg.cluster("network"):
        rho, u = _fields(problem, net(_points(problem), theta, name="predicted"), length, sharpness)
    c, potential, W = _terms(problem, rho, u, penal, E_min)
    with tg.cluster("trains the displacement"):
        W_held = tg.detach(W, "keeps the loss positive, trains nothing", name="W_held")
        positive = potential + 0.5 * (1.0 + DELTA) * W_held
    loss = c_weight * c + positive
    outputs = {"loss": loss, "compliance": c, "potential": potential, "density": rho, "displacement": u}
    return Graph([theta, penal, c_weight], outputs, name=f"pinn {problem.name}")


def _terms(problem: Problem, rho: Edge, u: Edge, penal: Edge, E_min: float) -> tuple[Edge, Edge, Edge]:
    """c, w - W, and W."""
    grid = problem.grid
    f = tg.constant(problem.load, grid.vector(), name="f")
    energy = n.StrainEnergy(grid, nu=problem.nu, plane=problem.plane)
    with tg.cluster("trains the displacement"):
        rho_held = tg.detach(rho, "the potential energy trains the displacement only", name="rho_held")
        E = n.Simp(p=penal, E_min=E_min)(rho_held)
        w = energy(E, u)
        W = n.ExternalWork()(u, f)
        potential = w - W
    with tg.cluster("trains the density"):
        held = tg.detach(rho, "only 1 / rho^p is differentiated", name="rho_numerator")
        E_hat = n.InverseSimp(p=penal, E_min=E_min)(rho, held)
        u_held = tg.detach(u, "the compliance trains the density only", name="u_held")
        c = 2.0 * energy(E_hat, u_held)
    return c, potential, W


def _points(problem: Problem) -> Edge:
    """Nodal coordinates, the longest side of the grid scaled to [-1, 1]."""
    points = problem.grid.node_coordinates()
    middle, half = (points.max(axis=0) + points.min(axis=0)) / 2.0, np.ptp(points, axis=0).max() / 2.0
    spec = tg.Spec("array", (tg.Axis("node", len(points)), tg.Axis("coordinate", problem.grid.dim)))
    return tg.constant((points - middle) / half, spec, name="x")


def _fields(problem: Problem, y: Edge, length: float, sharpness: float) -> tuple[Edge, Edge]:
    """Density and displacement of what the network gives at the nodes, (n_nodes, 3)."""
    grid = problem.grid
    nodes, components = tg.Axis("node", grid.n_nodes), tg.Axis("component", 2)
    pairs = Reshape(tg.Spec("array", (nodes, components)), grid.vector())(TakeColumns(0, 2)(y))
    free = np.ones(grid.n_dofs())
    free[problem.fixed] = 0.0
    u = n.Hadamard()(pairs, tg.constant(length * free, grid.vector(), name="supports"), name="u")
    logits = sharpness * n.CornerMean(grid)(TakeColumns(2, 1)(y))
    rho = n.VolumeEnforcing(V=problem.volume, solver=Newton())(logits, name="rho")
    return rho, u


def _require_plane(problem: Problem) -> None:
    passive = problem.solid is not None or problem.void is not None or problem.prescribed is not None
    if problem.grid.dim != 2 or problem.cases != 1 or problem.components != 2 or passive:
        raise ValueError(
            f"{problem.name}: pinn_compliance takes one load case in the plane, without passive regions and with"
            " supports at zero."
        )


def pinn_stages(steps: int, *, rate: float = 1e-3, c_weight: float = 0.2, warm_up: float = 0.15) -> list[Stage]:
    """Adam: the displacement alone for a share of the steps, then both while the exponent goes from 1 to 3.

    Without the warm-up the density follows a displacement that is none yet, and freezes; see docs/pinn.md.
    """
    first = int(warm_up * steps)
    rest = steps - first
    every = max(1, int(0.6 * rest / 16))
    adam = TorchOptim("Adam", {"lr": rate})
    cooled = TorchOptim("Adam", {"lr": rate}, decay=0.1 ** (1.0 / rest))
    ramp = {"c_weight": c_weight, "penal": Linear(1.0, 3.0, steps=16, every=every)}
    return [Stage({"c_weight": 0.0, "penal": 1.0}, adam, first, 0.0), Stage(ramp, cooled, rest, 0.0)]


def finite_elements(problem: Problem) -> Graph:
    """What a design is worth: `compliance` and `displacement` of a density `rho` by finite elements, p = 3."""
    grid = problem.grid
    rho = tg.source("rho", grid.field(), lower=0.0, upper=1.0)
    K = n.Stiffness(grid, nu=problem.nu, fixed=problem.fixed, plane=problem.plane)(n.Simp(p=3.0)(rho))
    u = n.LinearSolve()(K, tg.constant(problem.load, grid.vector(), name="f"))
    return Graph([rho], {"compliance": n.Compliance()(u, problem.load), "displacement": u}, name=problem.name)
