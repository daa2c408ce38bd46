"""Minimum compliance with a network: its weights are the design, and the volume is right by construction.

net = network("siren", problem.grid)
program = neural_compliance(problem, net).compile("jax")
result = tg.optimize(program, net.initial(0), minimize="compliance", method="adam", max_iter=120)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

import tograph as tg
from tograph import Edge, Graph
from tograph import nodes as n
from tograph.errors import did_you_mean

if TYPE_CHECKING:
    from .problem import Problem

NETWORKS: dict[str, Callable[[n.Grid], Any]] = {
    "mlp": lambda grid: n.MLP(grid.dim, 20, 5, activation=n.LeakyRelu(), normalize=True, dtype="float32"),
    "siren": lambda grid: n.Siren(grid.dim, 256, 3, omega=30.0, dtype="float32"),
    "fourier": lambda grid: n.FourierMLP(grid.dim, 128, 2, m=128, scale=1.0, dtype="float32"),
    "cnn": lambda grid: n.CNN(grid.shape[0], grid.shape[1], dtype="float32"),
}
"""Networks of the literature at their usual sizes, in float32, by name: functions of a grid."""

HOLD = ("physical", "raw", "none")


def network(name: str, grid: n.Grid) -> Any:
    """A network of `NETWORKS` for a grid.

    Raises:
        ValueError: there is none of that name, or it is not for 3D.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r}. {did_you_mean(name, NETWORKS)}")
    if name == "cnn" and grid.dim != 2:
        raise ValueError("the network 'cnn' draws images: it takes a grid of two dimensions. Take 'siren' or 'mlp'")
    return NETWORKS[name](grid)


def neural_compliance(
    problem: Problem, network: Any, *, hold: str = "physical", weights: np.ndarray | None = None, **workflow: Any
) -> Graph:
    """The standard workflow of a problem whose density is sigmoid(z + eta), with z drawn by a network.

    Args:
        problem: what to optimise.
        network: a node of (x, theta), or of theta alone, whose result is a field: one of `nodes`, or
            `tg.function(own, output=problem.grid.field())` of a module or a function. In float32, its result is cast
            to float64 by a node of its own.
        hold: which volume the shift eta holds exactly: "physical", that of the filtered field with its regions, which
            is the output `volume`; "raw", the mean of the unfiltered field over the elements that are designed, as
            published, which the filter then changes a little; "none": no shift.
        weights: first weights, a vector, for a network that does not know how many it has: a function of (x, theta).
        workflow: as for `compliance_workflow`; what is not given is taken from the problem.

    Returns:
        A graph with the input `theta` and the outputs `compliance` and `volume`.

    Raises:
        ValueError: an unknown `hold`, or "physical" with a projection, a wired radius, or a network without weights.
    """
    spec = network.weights_spec if weights is None else tg.Spec("params", (tg.Axis("weight", np.size(weights)),))
    if spec.size == 0:
        raise ValueError("the network names no weights, and they are the design. Give first ones as `weights`")
    theta = tg.source("theta", spec, default=weights, lower=-np.inf, upper=np.inf)
    with tg.cluster("network"):
        takes = [port for port in network.inputs if not port.optional]
        points = n.coordinates(problem.grid, _dtype(network))
        # A module's weights are an optional input behind its coordinates.
        z = network(theta) if [port.name for port in takes] == ["theta"] else network(points, theta)
        if _dtype(network) != "real":
            z = n.Cast("float64")(z)
        rho = held_density(problem, z, hold, **workflow)
    return problem.workflow(rho=rho, **workflow)


def _dtype(network: Any) -> str:
    return str(getattr(network, "dtype", "real"))


def held_density(problem: Problem, z: Edge, hold: str = "physical", **workflow: Any) -> Edge:
    """rho = sigmoid(z + eta) of a field of logits z, for `Problem.workflow(rho=...)`; see `neural_compliance`."""
    if hold not in HOLD:
        raise ValueError(f"there is no hold {hold!r}. {did_you_mean(hold, HOLD)}")
    if hold == "none":
        free: Edge = n.Sigmoid()(z, name="rho")
        return free
    designed, V = designed_part(problem)
    weights = designed if hold == "raw" else physical_share(problem, designed, **{**problem.settings, **workflow})
    rho: Edge = n.VolumeEnforcing(V=V, mask=weights)(z, name="rho")
    return rho


def designed_part(problem: Problem) -> tuple[np.ndarray, float]:
    """The mask of the elements that are designed, and the volume fraction that is left for them."""
    designed, filled = np.ones(problem.grid.shape, dtype=np.bool_), 0
    if problem.void is not None:
        designed &= ~problem.void
    if problem.solid is not None:
        designed &= ~problem.solid
        filled = int(problem.solid.sum())
    return designed, (problem.volume * designed.size - filled) / float(designed.sum())


def physical_share(
    problem: Problem, designed: np.ndarray, *, filter: str = "density", radius: Any = 2.4, beta: Any = None, **_: Any
) -> np.ndarray:
    """The share of every density in the physical volume of the part that is designed; shape of a field."""
    if beta is not None or not isinstance(radius, int | float):
        raise ValueError(
            "behind a projection, or with a wired radius, the volume is no fixed weighted mean of the densities, so"
            " hold='physical' cannot hold it. Use hold='raw' or 'none', and a constraint on the output `volume`"
        )
    if filter in ("none", "sensitivity"):
        return designed
    active = None if problem.void is None or filter == "density" else ~problem.void
    return n.filter_share(problem.grid, radius, counted=designed, active=active)
