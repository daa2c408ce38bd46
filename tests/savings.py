"""What the passes save: requests, the fewest solves that can be, and what differentiation alone would do.

Counted per evaluation: factorizations, calls of a factor ("solves"), right-hand sides. The state and every
adjoint or tangent state asked for are K^-1 b for some right-hand side b, so the number of right-hand sides
is at least the dimension of the space that the b span for general data; and a factor is called at least as
often as there are solves of which each needs the one before.

    compliance                  c = f . K^-1 f: the adjoint state is the state, up to a factor        1 call,  1 side
    compliance, volume          the volume needs no state                                              1 call,  1 side
    five load cases             five independent loads; adjoint states are multiples of the states     1 call,  5 sides
    the same, declared apart    likewise                                                               1 call,  5 sides
    thermal compliance          as compliance, for one unknown per node                                1 call,  1 side
    mean compliance             of three loads, declared apart: adjoint states are multiples of states  1 call,  3 sides
    mechanism                   the adjoint load is the output dof, which is not the load: no saving   1 call,  2 sides
    prescribed displacements    f . u with u given on a side: its adjoint is zero there, so not u      1 call,  2 sides
    compliance, displacement    f and the probe are independent, and neither needs the other            1 call,  2 sides
    Jacobian of three           three probes and the load                                              1 call,  4 sides
    size of the state           the adjoint load is the state: two in a row                            2 calls, 2 sides
    compliance, HVP             u, and u_dot = -K^-1 (K_dot u), which needs u; lambda is u             2 calls, 2 sides
    size, HVP                   u, lambda and u_dot need u, lambda_dot needs lambda                    3 calls, 4 sides
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Edge, Graph
from tograph import nodes as n
from tograph.arithmetic import Dot
from tograph.problems import Problem, mbb
from tograph.program import Program


@attrs.frozen
class Saving:
    """A row: a workflow, a request, and (factorizations, calls, right-hand sides) at best and without passes."""

    name: str
    graph: Callable[[Problem, Any], Graph]
    request: Callable[[Program], Any]
    least: tuple[int, int, int]
    naive: tuple[int, int, int]


def beam(nelx: int = 6, nely: int = 3) -> Problem:
    """The default problem of the table."""
    return mbb(nelx=nelx, nely=nely)


def probe(problem: Problem, node: int, axis: str = "x") -> np.ndarray:
    """A unit vector: the displacement of one node on the bottom."""
    unit = np.zeros(problem.grid.n_dofs())
    unit[problem.grid.dofs(problem.grid.nodes("bottom"), axis)[node]] = 1.0
    return unit


def stiffness(problem: Problem) -> tuple[Edge, Edge, Edge]:
    """rho, the filtered rho, and K."""
    rho = tg.source("rho", problem.grid.field())
    rho_f = n.DensityFilter(problem.grid, 1.5)(rho)
    return rho, rho_f, n.Stiffness(problem.grid, fixed=problem.fixed)(n.Simp()(rho_f))


def standard(problem: Problem, solver: Any) -> Graph:
    """Compliance, volume, and things that are not self-adjoint."""
    rho, rho_f, K = stiffness(problem)
    u = n.LinearSolve(solver)(K, problem.load)
    sides = {f"u{i}": Dot()(u, probe(problem, i + 1)) for i in range(3)}
    ends = {"compliance": n.Compliance()(u, problem.load), "volume": n.VolumeFraction()(rho_f), "size": Dot()(u, u)}
    return Graph([rho], ends | sides)


def cases(problem: Problem) -> np.ndarray:
    """Five loads on the bottom, as columns."""
    return np.stack([probe(problem, i, "y") for i in range(1, 6)], axis=1)


def five_cases(problem: Problem, solver: Any) -> Graph:
    """Five load cases in one solve, weighted."""
    rho, _, K = stiffness(problem)
    f = cases(problem)
    return Graph([rho], {"c": n.Compliance((1.0, 0.5, 2.0, 0.1, 3.0))(n.LinearSolve(solver)(K, f), f)})


def five_solves(problem: Problem, solver: Any) -> Graph:
    """The same with a solve for each case, as a user may well write it."""
    rho, _, K = stiffness(problem)
    solve = n.LinearSolve(solver)
    found = [n.Compliance()(solve(K, f), f) for f in cases(problem).T]
    weights = (1.0, 0.5, 2.0, 0.1, 3.0)
    return Graph(
        [rho], {"c": tg.weighted_sum(dict(zip("abcde", found, strict=True)), dict(zip("abcde", weights, strict=True)))}
    )


def thermal(problem: Problem, solver: Any) -> Graph:
    """A scalar diffusion operator: heat everywhere, the left side held."""
    grid = problem.grid
    rho = tg.source("rho", grid.field())
    element = np.array([[4, -1, -2, -1], [-1, 4, -1, -2], [-2, -1, 4, -1], [-1, -2, -1, 4]]) / 6.0
    K = n.Assemble(n.ElementPattern(grid, 1, grid.nodes("left")))(n.Simp()(rho), element[None])
    q = np.ones(grid.n_dofs(1))
    return Graph([rho], {"c": n.Compliance()(n.LinearSolve(solver)(K, q), q)})


def mean_of_three(problem: Problem, solver: Any) -> Graph:
    """The mean over three load cases, with a solve for each."""
    rho, _, K = stiffness(problem)
    found = [n.Compliance()(n.LinearSolve(solver)(K, f), f) for f in cases(problem).T[:3]]
    return Graph([rho], {"c": (found[0] + found[1] + found[2]) / 3.0})


def mechanism(problem: Problem, solver: Any) -> Graph:
    """A compliant mechanism: the displacement of an output dof under a load at the input."""
    rho, _, K = stiffness(problem)
    u = n.LinearSolve(solver)(K, probe(problem, 1, "y"))
    return Graph([rho], {"c": -1.0 * Dot()(u, probe(problem, 4))})


def pulled(problem: Problem, solver: Any) -> Graph:
    """The compliance of a load where supports are moved as well."""
    rho, _, K = stiffness(problem)
    moved = np.zeros(problem.grid.n_dofs())
    moved[problem.fixed] = 0.1
    return Graph([rho], {"c": Dot()(n.LinearSolve(solver)(K, problem.load, moved), problem.load)})


def gradient(*of: str) -> Callable[[Program], Any]:
    """Value and gradient of outputs."""
    return lambda program: program.value_and_grad(of, "rho")


SAVINGS: tuple[Saving, ...] = (
    Saving("compliance", standard, gradient("compliance"), (1, 1, 1), (1, 2, 2)),
    Saving("compliance, volume", standard, gradient("compliance", "volume"), (1, 1, 1), (1, 2, 2)),
    Saving("five load cases", five_cases, gradient("c"), (1, 1, 5), (1, 2, 10)),
    Saving("five load cases, declared apart", five_solves, gradient("c"), (1, 1, 5), (5, 10, 10)),
    Saving("thermal compliance", thermal, gradient("c"), (1, 1, 1), (1, 2, 2)),
    Saving("mean compliance of three", mean_of_three, gradient("c"), (1, 1, 3), (3, 6, 6)),
    Saving("mechanism", mechanism, gradient("c"), (1, 1, 2), (1, 2, 2)),
    Saving("prescribed displacements", pulled, gradient("c"), (1, 1, 2), (1, 3, 3)),
    Saving("compliance, displacement", standard, gradient("compliance", "u0"), (1, 1, 2), (1, 3, 3)),
    Saving("Jacobian of three", standard, gradient("u0", "u1", "u2"), (1, 1, 4), (1, 4, 4)),
    Saving("size of the state", standard, gradient("size"), (1, 2, 2), (1, 2, 2)),
    Saving("compliance, HVP", standard, lambda program: program.hvp("compliance", "rho"), (1, 2, 2), (1, 4, 4)),
    Saving("size, HVP", standard, lambda program: program.hvp("size", "rho"), (1, 3, 4), (1, 5, 5)),
)
