"""The recipes that are there from the beginning."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

import tograph as tg
from tograph.optimizers import GCMMA, MMA, Constraint, OptimalityCriteria, Scipy, Stage
from tograph.problems import Problem, held_density, network, neural_compliance

from .recipes import recipe
from .setup import Setup


@recipe("oc")
def oc(problem: Problem, *, move: float = 0.2, max_iter: int = 200, tol: float = 0.01, **workflow: Any) -> Setup:
    """Densities, by optimality criteria."""
    return _densities(problem, OptimalityCriteria(move=move), max_iter, tol, workflow)


@recipe("mma")
def mma(problem: Problem, *, move: float = 0.2, max_iter: int = 200, tol: float = 0.01, **workflow: Any) -> Setup:
    """Densities, by the method of moving asymptotes."""
    return _densities(problem, MMA(move=move), max_iter, tol, workflow)


@recipe("gcmma")
def gcmma(problem: Problem, *, move: float = 0.2, max_iter: int = 200, tol: float = 0.01, **workflow: Any) -> Setup:
    """Densities, by the globally convergent method of moving asymptotes."""
    return _densities(problem, GCMMA(move=move), max_iter, tol, workflow)


@recipe("pixel-lbfgs")
def pixel_lbfgs(problem: Problem, *, max_iter: int = 200, hold: str = "physical", **workflow: Any) -> Setup:
    """One logit per element, shifted to the volume inside a sigmoid, by L-BFGS without constraint.

    The baseline of Hoyer, Sohl-Dickstein and Greydanus, Neural reparameterization improves structural optimization
    (2019). They hold the volume before the filter, which may change it a little: hold="raw".
    """
    z = tg.source("z", problem.grid.field(), lower=-np.inf, upper=np.inf)
    rho = held_density(problem, z, hold, **workflow)
    return Setup(
        graph=problem.workflow(rho=rho, **workflow),
        start=np.zeros(problem.grid.shape),
        method=Scipy("L-BFGS-B"),
        max_iter=max_iter,
    )


@recipe("cnn-lbfgs")
def cnn_lbfgs(
    problem: Problem, *, seed: int = 0, max_iter: int = 200, hold: str = "physical", **workflow: Any
) -> Setup:
    """The weights of an up-sampling decoder, by L-BFGS; the volume as for `pixel-lbfgs`.

    The method of Hoyer, Sohl-Dickstein and Greydanus (2019); one run for each seed.
    """
    net = network("cnn", problem.grid)
    return Setup(
        graph=neural_compliance(problem, net, hold=hold, **workflow),
        start=net.initial(seed),
        method=Scipy("L-BFGS-B"),
        max_iter=max_iter,
    )


@recipe("coarse-to-fine")
def coarse_to_fine(
    problem: Problem, *, seed: int = 0, wide: float = 3.0, max_iter: int = 400, tol: float = 1e-3, **workflow: Any
) -> Setup:
    """Densities behind a filter that begins `wide` times as wide: large members first, details later.

    By optimality criteria, 40 iterations for each radius, a factor of 1.5 apart, 60 for that of the problem; then by
    moving asymptotes, which end closer to a minimum; `max_iter` iterations in all. Seed 0 begins with the uniform
    design; others with one that varies smoothly and at random.
    """
    options = {**problem.settings, **workflow}
    radius = float(options.get("radius", 2.4))
    factors = [wide / 1.5**k for k in range(20) if wide / 1.5**k > 1.15]
    last = max_iter - 40 * len(factors) - 60
    if last < 1:
        raise ValueError(f"max_iter is {max_iter}: the stages for the wide filters take {max_iter - last}")
    stages = [Stage({"radius": radius * factor}, max_iter=40, tol=5.0 * tol) for factor in factors]
    return Setup(
        graph=problem.workflow(**{**options, "radius": tg.source("radius"), "max_radius": radius * max(1.0, wide)}),
        start=_varied(problem, seed, radius),
        subject_to=[Constraint("volume", "<=", problem.volume)],
        method=OptimalityCriteria(),
        inputs={"radius": radius},
        stages=[*stages, Stage(max_iter=60, tol=tol), Stage(method=MMA(), max_iter=last, tol=tol)],
    )


def _varied(problem: Problem, seed: int, radius: float) -> np.ndarray:
    """The uniform design times 1 + 0.3 x, with a normal x that is smooth over twice the filter radius."""
    design = problem.uniform()
    if seed == 0:
        return design
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=design.shape), 2.0 * radius)
    passive = problem.uniform(0.5) != 0.5
    return np.where(passive, design, np.clip(design * (1.0 + 0.3 * noise / noise.std()), 0.0, 1.0))


def _densities(problem: Problem, method: Any, max_iter: int, tol: float, workflow: dict[str, Any]) -> Setup:
    return Setup(
        graph=problem.workflow(**workflow),
        start=problem.uniform(),
        subject_to=[Constraint("volume", "<=", problem.volume)],
        method=method,
        max_iter=max_iter,
        tol=tol,
    )
