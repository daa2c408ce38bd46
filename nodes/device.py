"""What is asked of linear solvers beyond host and matrix: to run on the device, and to say how well they have done.

A solver that says `host = False` is traced into the program of the backend. It is a frozen attrs class with

    factor(backend, pattern, moduli, elements)      what all solves with K share: array(s), in tuples
    solve(backend, pattern, factor, rhs)            u for rhs (cases, n_dofs); K is symmetric
    error(backend, pattern, factor, rhs, u)         |f - K u| in units of what may be used: a scalar

A solver, on the device or the host, that says `iterates = True` gives more: `solve` gives u, the number of iterations,
and what is left of the error by its own account, in units of what may be used; `error` gives that scalar for u as it
is, and |f - K u| / |f|. On the host, `error` is `error(factor, rhs, u)`. All of it comes out of a program with the
check of the solution, which fails by the larger of the two: see `Function.solved`.
"""

from __future__ import annotations

from typing import Any

import tograph as tg
from tograph import Node, Port, Spec
from tograph.spec import array, scalar

from .pattern import ElementPattern, as_cases
from .solvers.diagnosis import free_motions


def runs_on_host(solver: Any) -> bool:
    """Solvers do, unless they say `host = False`."""
    return bool(getattr(solver, "host", True))


def iterates(solver: Any) -> bool:
    """Whether a solver counts iterations."""
    return bool(getattr(solver, "iterates", False))


@tg.node
class SolveResidual(Node):
    """|f - K u| in units of what the solver lets through: at most 1 for an answer that may be used.

    Where the solver iterates, three numbers: that one, or what is `left` by the solver's own account if that is more;
    |f - K u| / |f|; and the `iterations` that it took.
    """

    inputs = (
        Port("u", "vector"),
        Port("F", "factor"),
        Port("f", "vector"),
        Port("iterations", optional=True),
        Port("left", optional=True),
    )
    pattern: ElementPattern
    solver: Any

    @property
    def host(self) -> bool:  # type: ignore[override]
        """Where the solver is."""
        return runs_on_host(self.solver)

    def infer(self, *specs: Spec) -> Spec:
        """A scalar, or three numbers."""
        return array("array", number=3) if iterates(self.solver) else scalar()

    def advice(self, dtype: str) -> str:
        """Missing supports, which the pattern shows; else what limits an iteration."""
        motions = free_motions(self.pattern)
        if motions:
            return f"The supports leave the body free to move: {', '.join(motions)}. Add supports"
        if dtype == "float32":
            return "E_min may be too small for float32: raise it, or compile with dtype='float64'"
        return "Raise E_min, look for a load on void or a modulus that is no number, or allow more iterations"

    def forward(self, xp: Any, *values: Any) -> Any:
        """The largest of all load cases, of a solver on the host."""
        u, factor, f, count, left = values
        error, share = self.solver.error(factor, as_cases(xp, f), as_cases(xp, u))
        return _numbers(xp, error, share, count, left)

    def bind(self, backend: Any) -> Any:
        """The same of a solver on the device."""
        if self.host:
            return None

        def run(u: Any, factor: Any, f: Any, *said: Any) -> Any:
            cases = (as_cases(backend.xp, x) for x in (f, u))
            found = self.solver.error(backend, self.pattern, factor, *cases)
            return _numbers(backend.xp, *found, *said) if said else found

        return run


def _numbers(xp: Any, error: Any, share: Any, count: Any, left: Any) -> Any:
    """(worst of both errors, |f - K u| / |f|, iterations); what is not a number stays none."""
    worst = xp.maximum(xp.asarray(error), xp.asarray(left))
    return xp.stack([worst, xp.asarray(share), xp.asarray(count)])
