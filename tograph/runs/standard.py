"""The recipes that are there from the beginning."""

from __future__ import annotations

from typing import Any

import numpy as np

import tograph as tg
from tograph import nodes as n
from tograph.optimizers import GCMMA, MMA, Constraint, OptimalityCriteria, Scipy
from tograph.problems import Problem

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
def pixel_lbfgs(problem: Problem, *, max_iter: int = 200, **workflow: Any) -> Setup:
    """One logit per element, shifted to the volume inside a sigmoid, by L-BFGS without constraint.

    The baseline of Hoyer, Sohl-Dickstein and Greydanus, Neural reparameterization improves structural optimization
    (2019). The volume is held before the filter, which may change it a little.
    """
    free = problem.uniform(0.5) == 0.5
    z = tg.source("z", problem.grid.field(), lower=-np.inf, upper=np.inf)
    rho = n.VolumeEnforcing(V=float(problem.uniform()[free][0]), mask=free)(z, name="rho")
    return Setup(
        graph=problem.workflow(rho=rho, **workflow),
        start=np.zeros(problem.grid.shape),
        method=Scipy("L-BFGS-B"),
        max_iter=max_iter,
    )


def _densities(problem: Problem, method: Any, max_iter: int, tol: float, workflow: dict[str, Any]) -> Setup:
    return Setup(
        graph=problem.workflow(**workflow),
        start=problem.uniform(),
        subject_to=[Constraint("volume", "<=", problem.volume)],
        method=method,
        max_iter=max_iter,
        tol=tol,
    )
