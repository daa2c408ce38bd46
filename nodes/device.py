"""Linear solvers on the device: what they are asked for, and the check of their answers.

A solver that says `host = False` is traced into the program of the backend. It is a frozen attrs class with

    factor(backend, pattern, moduli, elements)      what all solves with K share: array(s), in tuples
    solve(backend, pattern, factor, rhs)            u for rhs (cases, n_dofs); K is symmetric
    error(backend, pattern, factor, rhs, u)         |f - K u| in units of what may be used: a scalar
"""

from __future__ import annotations

from typing import Any

import tograph as tg
from tograph import Node, Port, Spec
from tograph.spec import scalar

from .pattern import ElementPattern, as_cases


def runs_on_host(solver: Any) -> bool:
    """Solvers do, unless they say `host = False`."""
    return bool(getattr(solver, "host", True))


@tg.node
class SolveResidual(Node):
    """|f - K u| in units of what the solver lets through: at most 1 for an answer that may be used."""

    inputs = (Port("u", "vector"), Port("F", "factor"), Port("f", "vector"))
    pattern: ElementPattern
    solver: Any

    def infer(self, *specs: Spec) -> Spec:
        """A scalar."""
        return scalar()

    def bind(self, backend: Any) -> Any:
        """The largest of all load cases."""

        def run(u: Any, factor: Any, f: Any) -> Any:
            cases = (as_cases(backend.xp, x) for x in (f, u))
            return self.solver.error(backend, self.pattern, factor, *cases)

        return run
