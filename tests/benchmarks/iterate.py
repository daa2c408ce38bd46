"""What might save iterations of multigrid CG, and does it: starts from the last design, one Krylov space for all loads.

    python tests/benchmarks/iterate.py --sizes 300x100 24x12x12

Problem: cantilever as in `solve.py`, optimality criteria from a uniform design. A row of "start" is a design of that
run: the largest change of a density since the one before, and the iterations from zero and from the displacements of
the one before, until the residual is 1e-8 of the load, and until the error in the energy norm is, by the estimate of
tolerance "auto", 2e-8. A row of "block" has loads at as many points of the right side: the products with K per load
case, by independent recurrences side by side, as tograph has them, and by block conjugate gradients (O'Leary, Linear
Algebra Appl. 29:293, 1980), whose directions all cases share; to a residual of 1e-8.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.solving.contestants import E_MIN, NU, RADIUS, P, filter_matrix, problem_of
from tograph import nodes as n
from tograph.backends import load_backend
from tograph.nodes.multigrid.solver import ENERGY, _from_nodes, _levels, _operator, _to_nodes
from tograph.optimizers import optimize
from tograph.problems import Problem
from tograph.problems.workflow import compliance_workflow

SHOWN = (2, 3, 5, 10, 20, 40)
CASES = (2, 3, 5)
BACKEND = load_backend("jax", "float64")


class Matrix:
    """Products with K and with the multigrid cycle of one design, for NumPy arrays (cases, n_dofs)."""

    def __init__(self, problem: Problem) -> None:
        self.weights, self.solver = filter_matrix(problem), n.MultigridCG()
        pattern = n.Stiffness(problem.grid, nu=NU, fixed=problem.fixed).pattern()
        element = n.ElementStiffness(problem.grid).forward(np, np.asarray(NU))
        levels, xp = _levels(pattern, self.solver.direct), BACKEND.xp

        def with_nodes(run: Any) -> Any:
            inner = lambda F, x: _from_nodes(xp, pattern, levels[0], run(F, _to_nodes(xp, pattern, levels[0], x)))  # noqa: E731
            return BACKEND.compile(inner)

        self._factor = BACKEND.compile(lambda E: self.solver.factor(BACKEND, pattern, E, xp.asarray(element)))
        self._product = with_nodes(lambda F, x: _operator(BACKEND, levels[0], F)(x))
        self._cycle = with_nodes(lambda F, x: self.solver._cycle(BACKEND, levels, F)(x))

    def at(self, rho: np.ndarray) -> Matrix:
        """For a design."""
        E = E_MIN + (1.0 - E_MIN) * (self.weights @ rho.ravel()) ** P
        with BACKEND.scope():
            self.factor = self._factor(E.reshape(1, *rho.shape))
        return self

    def product(self, x: np.ndarray) -> np.ndarray:
        """K x."""
        return self._run(self._product, x)

    def cycle(self, x: np.ndarray) -> np.ndarray:
        """M x."""
        return self._run(self._cycle, x)

    def _run(self, run: Any, x: np.ndarray) -> np.ndarray:
        with BACKEND.scope():
            return np.array(run(self.factor, x))


def iterate(K: Matrix, f: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, int, int]:
    """CG for one case (1, n_dofs): solution, iterations to the residual, and to the energy norm."""
    r, allowed, energies = f - K.product(x), 1e-8 * np.linalg.norm(f), 0
    p, rz, count = np.zeros_like(f), 1.0, 0
    while np.linalg.norm(r) > allowed and count < 500:
        z = K.cycle(r)
        new = float(np.sum(r * z))
        if not energies and count and new <= ENERGY**2 * float(np.sum(x * f)):
            energies = count + 1  # the step that follows is the last
        p, rz = z + (new / rz if count else 0.0) * p, new
        q = K.product(p)
        step = new / float(np.sum(p * q))
        x, r, count = x + step * p, r - step * q, count + 1
    return x, count, energies or count


def block(K: Matrix, f: np.ndarray) -> int:
    """Block CG, to a residual of 1e-8 in every case; directions that have become dependent are left out."""
    x, r, count = np.zeros_like(f), f.copy(), 0
    allowed = 1e-8 * np.linalg.norm(f, axis=1)
    z = K.cycle(r)
    p = _basis(z)
    while np.any(np.linalg.norm(r, axis=1) > allowed) and count < 500:
        q = K.product(p)
        gram = p @ q.T
        step = np.linalg.solve(gram, p @ r.T)
        x, r, count = x + step.T @ p, r - step.T @ q, count + 1
        z = K.cycle(r)
        p = _basis(z - np.linalg.solve(gram, q @ z.T).T @ p)
    return count


def _basis(z: np.ndarray) -> np.ndarray:
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    _, sizes, rows = np.linalg.svd(z, full_matrices=False)
    return np.asarray(rows[sizes > 1e-10 * sizes[0]])


def designs(problem: Problem, count: int) -> list[np.ndarray]:
    """Of the first iterations of an optimisation."""
    found: list[np.ndarray] = []
    graph = compliance_workflow(problem, radius=RADIUS, penal=P, E_min=E_MIN, solver="auto")
    start, held = np.full(problem.grid.shape, problem.volume), [f"volume <= {problem.volume}"]
    watch = [lambda iteration: found.append(np.array(iteration.design))]
    optimize(graph.compile(), start, minimize="compliance", subject_to=held, max_iter=count, tol=1e-12, observers=watch)
    return found


def starts(K: Matrix, problem: Problem, run: list[np.ndarray]) -> Iterator[str]:
    """Rows of the table on starts."""
    f = np.asarray(problem.load)[None].copy()
    f[:, problem.fixed] = 0.0
    for number in (k for k in SHOWN if k <= len(run)):
        before, now = run[number - 2], run[number - 1]
        last, *_ = iterate(K.at(before), f, np.zeros_like(f))
        cold, warm = (iterate(K.at(now), f, x)[1:] for x in (np.zeros_like(f), last))
        saved = [f"{1 - w / c:.0%}" for c, w in zip(cold, warm, strict=True)]
        yield (
            f"| {number} | {np.abs(now - before).max():.2f} | {cold[0]} | {warm[0]} | {saved[0]} "
            f"| {cold[1]} | {warm[1]} | {saved[1]} |"
        )


def blocks(K: Matrix, problem: Problem) -> Iterator[str]:
    """Rows of the table on blocks."""
    nodes = problem.grid.nodes("right")
    for cases in CASES:
        f = np.zeros((cases, problem.grid.n_dofs()))
        at = problem.grid.dofs(nodes[np.linspace(0, len(nodes) - 1, cases).astype(int)], "y")
        f[np.arange(cases), at] = -1.0
        single = max(iterate(K, one[None], np.zeros_like(one[None]))[1] for one in f)
        joint = block(K, f)
        yield f"| {cases} | {single} | {joint} | {1 - joint / single:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["60x20"], metavar="SIZE")
    parser.add_argument("--designs", type=int, default=20)
    options = parser.parse_args()
    for size in options.sizes:
        problem = problem_of(size)
        run, K = designs(problem, options.designs), Matrix(problem)
        print(
            f"\n**{size}, start**\n\n| design | change | residual: from 0 | from u | saved | energy: from 0 | from u "
            "| saved |"
        )
        print("|---|---|---|---|---|---|---|---|", *starts(K, problem, run), sep="\n", flush=True)
        print(f"\n**{size}, block**\n\n| load cases | side by side | block | saved |\n|---|---|---|---|")
        print(*blocks(K.at(run[-1]), problem), sep="\n", flush=True)


if __name__ == "__main__":
    main()
