"""Factorizations and solves of one evaluation, beside the naive count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tograph as tg
from tograph import nodes as n
from tograph.graph import Graph
from tograph.problems import mbb

from .overhead import E_MIN, NU, RADIUS, P


def savings(repeats: int) -> Iterator[dict[str, Any]]:
    """One row per request: what runs, and what runs where each derivative has a solve of its own."""
    beam, five = mbb(nelx=12, nely=4), mbb(nelx=12, nely=4)
    loads = np.stack([np.roll(np.asarray(five.load), 2 * k) for k in range(5)], axis=1)
    graph, several = _outputs(beam, beam.load), _outputs(five, loads)
    program = graph.compile("jax")
    names = ("compliance", "tip", "side")
    requests = {
        "compliance": (program.value_and_grad("compliance", "rho"), 2),
        "compliance + volume": (program.value_and_grad(("compliance", "volume"), "rho"), 2),
        "5 load cases": (several.compile("jax").value_and_grad("compliance", "rho"), 10),
        "compliance + displacement": (program.value_and_grad(("compliance", "tip"), "rho"), 4),
        "3 outputs": (program.value_and_grad(names, "rho"), 6),
        "Hessian-vector product": (program.hvp("compliance", "rho"), 4),
    }
    for name, (function, naive) in requests.items():
        found = function.explain()
        yield {"request": name, "factorizations": found.factorizations, "solves": found.solves, "naive": naive}


def _outputs(problem: Any, load: Any) -> Graph:
    """Compliance, volume, and two displacements."""
    rho = tg.source("rho", problem.grid.field())
    E = n.Simp(p=P, E_min=E_MIN)(n.DensityFilter(problem.grid, radius=RADIUS)(rho))
    u = n.LinearSolve()(n.Stiffness(problem.grid, nu=NU, fixed=problem.fixed)(E), load)
    outputs = {"compliance": n.Compliance()(u, load), "volume": n.VolumeFraction()(rho)}
    if np.ndim(load) == 1:
        for name, dof in (("tip", -2), ("side", -4)):
            where = np.zeros(np.shape(load)[0])
            where[dof] = 1.0
            outputs[name] = tg.arithmetic.Dot()(u, where)
    return tg.Graph([rho], outputs)
