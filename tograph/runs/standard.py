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

LBFGS = Scipy("L-BFGS-B", {"ftol": 2.2e-16, "gtol": 1e-14})
"""To the limit of evaluations, as published: SciPy's own tolerances end a design of thousands of logits far too early,
since each of them has a small part in the gradient."""


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
        method=LBFGS,
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
        method=LBFGS,
        max_iter=max_iter,
    )


PATHS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((3.0, 1.0), (3.0, 1.5), (2.5, 2.0), (2.0, 2.5), (1.5, 3.0)),
    ((3.0, 3.0), (2.0, 3.0), (1.5, 3.0)),
    ((1.0, 1.0), (1.0, 1.5), (1.0, 2.0), (1.0, 2.5)),
    ((2.0, 1.0), (2.0, 2.0), (2.0, 3.0), (1.5, 3.0)),
)
"""Ways to the problem: factor of the filter radius, and SIMP exponent, of every stage before it."""


@recipe("coarse-to-fine")
def coarse_to_fine(
    problem: Problem, *, seed: int = 0, each: int = 35, max_iter: int = 450, tol: float = 1e-3, **workflow: Any
) -> Setup:
    """Densities behind a filter that begins wide, a material that begins linear, or both; several ways by seed.

    `each` iterations of optimality criteria for every stage of the way `PATHS[seed]`, 60 for the problem itself, then
    moving asymptotes, which end closer to a minimum; `max_iter` iterations in all. No way is the best for all problems:
    run several seeds. Those beyond the last way take the ways again, from a design that varies at random.
    """
    options = {**problem.settings, **workflow}
    radius, penal = float(options.get("radius", 2.4)), float(options.get("penal", 3.0))
    path = [(radius * factor, min(p, penal)) for factor, p in PATHS[seed % len(PATHS)]]
    last = max_iter - each * len(path) - 60
    if last < 1:
        raise ValueError(f"max_iter is {max_iter}: the stages on the way to the problem take {max_iter - last}")
    wires = {
        "radius": tg.source("radius"),
        "penal": tg.source("penal"),
        "max_radius": max(radius, *(r for r, _ in path)),
    }
    stages = [Stage({"radius": r, "penal": p}, max_iter=each, tol=5.0 * tol) for r, p in path]
    return Setup(
        graph=problem.workflow(**{**options, **wires, "max_radius": max(radius, *(r for r, _ in path))}),
        start=_varied(problem, seed // len(PATHS), radius),
        subject_to=[Constraint("volume", "<=", problem.volume)],
        method=OptimalityCriteria(),
        inputs={"radius": radius, "penal": penal},
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
