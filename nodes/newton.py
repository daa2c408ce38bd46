"""Newton's method on the host for equations whose tangent is an operator on a grid: sparse, factorised step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
import numpy as np

from tograph import codec
from tograph.rootsolver import RootSolver

from .solvers import DirectSolver


@attrs.frozen
class NewtonRow:
    """One line of the record of a Newton iteration.

    Attributes:
        step: load step, from 1.
        iteration: from 0, the state in which the step begins.
        residual: maximum norm, relative to the largest load.
        length: of the step that led here, 1 unless the line search shortened it; 0 at the beginning.
    """

    step: int
    iteration: int
    residual: float
    length: float


@codec.register
@attrs.frozen
class SparseNewton(RootSolver):
    """Newton's method on the host: the tangent factorised by a linear solver, line search, equal load steps.

    A step is halved until the residual is lower than before. Ends where the residual is small or can no longer be
    lowered. For derivatives the tangent at the solution is factorised once more. The node gives the tangent by
    `tangent_operator(backend, u, *inputs)` as (moduli, element matrices), symmetric, and its `pattern()`.

    Attributes:
        steps: load steps; each starts from the last one's solution.
        tolerance: stop at this residual (maximum norm, in units of the largest load).
        iterations: at most this many per load step.
        backtracking: at most this many halvings.
        solver: a `tograph.nodes.Solver`.
    """

    steps: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    tolerance: float = 1e-11
    iterations: int = 40
    backtracking: int = 12
    solver: Any = attrs.field(factory=DirectSolver)
    host: ClassVar[bool] = True
    not_traceable: ClassVar[str] = "the tangent is factorised on the host"

    def solve(self, backend: Any, node: Any, residual: Any, inputs: list[Any]) -> Any:
        """The state after the last load step."""
        u = node.start(backend.xp, *inputs)
        for _, u in self.iterate(backend, node, inputs):  # noqa: B007
            pass
        return u

    def iterate(self, backend: Any, node: Any, inputs: list[Any]) -> Iterator[tuple[NewtonRow, Any]]:
        """Every state on the way, with its record."""
        xp, u = backend.xp, node.start(backend.xp, *inputs)
        scale, equation = float(node.scale(xp, *inputs)) or 1.0, node.equation(backend)
        for step in range(1, self.steps + 1):
            held = list(node.at_step(xp, step / self.steps, *inputs))
            r, length = equation(u, *held), 0.0
            for iteration in range(self.iterations + 1):
                size = float(np.max(np.abs(r))) / scale
                yield NewtonRow(step, iteration, size, length), u
                if not size > self.tolerance or iteration == self.iterations:
                    break
                d = self._direction(backend, node, u, held, -r)
                length = self._length(lambda v, held=held: equation(v, *held), u, d, size * scale)
                if not length:
                    break
                u = u + length * d
                r = equation(u, *held)

    def _length(self, residual: Any, u: Any, d: Any, before: float) -> float:
        """The first of 1, 1/2, 1/4, ... that lowers the residual; 0 if none does."""
        lengths = (0.5**i for i in range(self.backtracking + 1))
        return next((t for t in lengths if float(np.max(np.abs(residual(u + t * d)))) < before), 0.0)

    def _direction(self, backend: Any, node: Any, u: Any, inputs: list[Any], s: Any) -> Any:
        """K_ff^-1 s_f at free dofs, s at fixed ones."""
        pattern = node.pattern()
        factor = self.solver.factor(pattern, *node.tangent_operator(backend, u, *inputs))
        return self.solver.solve(factor, s[None], transposed=False)[0] + pattern.supports * s

    def solve_linearized(
        self, backend: Any, node: Any, residual: Any, y: Any, inputs: list[Any], s: Any, transposed: bool
    ) -> Any:
        """With the tangent at y, which is symmetric."""
        return self._direction(backend, node, y, inputs, s)
