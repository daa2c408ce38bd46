"""How an implicit node is solved: the contract of a solver, and its part that all share.

A solver is a frozen attrs class below `RootSolver`, registered by `codec.register`: your own may call any
library. Ready-made ones: `tograph.solvers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from .errors import RuleError

if TYPE_CHECKING:
    from .backends.base import Backend
    from .implicit import ImplicitNode

Residual = Callable[[Any], Any]
"""y -> r(y), of one shape, with everything else held."""


@attrs.frozen
class RootSolver:
    """How r(y) = 0 is solved, and how A x = s is for A = dr/dy at the solution."""

    host: ClassVar[bool] = False
    """True if `solve` wants NumPy arrays, e.g. for a library; it is then never traced."""
    not_traceable: ClassVar[str] = ""
    """Why AD through the iterations would be wrong; "" if it is right."""

    def solve(self, backend: Backend, node: ImplicitNode, residual: Residual, inputs: list[Any]) -> Any:
        """y with residual(y) = 0. `inputs` are the node's inputs and parameters, for `node.start` and the like."""
        raise RuleError(f"{type(self).__name__} does not define solve(backend, node, residual, inputs)")

    def solve_linearized(
        self,
        backend: Backend,
        node: ImplicitNode,
        residual: Residual,
        y: Any,
        inputs: list[Any],
        s: Any,
        transposed: bool,
    ) -> Any:
        """x with A x = s, or A^T x = s if `transposed`, where A = dr/dy at y.

        By default with A by AD, as a diagonal or a dense matrix as `node.jacobian` says. If A is singular to
        working precision the answer is not a number, which ends in a `SolveError`. A solver that has a
        better way, such as a sparse factorisation, overrides this.
        """
        if node.jacobian == "diagonal":
            return s / backend.jvp(residual, y, backend.xp.ones_like(y))
        return _dense_solve(backend, residual, y, s, transposed)


def rounding(xp: Any, x: Any) -> float:
    """The rounding unit of the precision of x."""
    return float(xp.finfo(x.dtype).eps)


def largest(xp: Any, x: Any) -> Any:
    """The maximum norm; NaN if anything is."""
    return xp.max(xp.abs(x))


def probe(xp: Any, like: Any) -> Any:
    """Numbers in [-1, 1] that are as good as random, and the same every time."""
    numbers = xp.arange(math.prod(like.shape), dtype=like.dtype)
    return xp.reshape(xp.cos(numbers**2 + 0.5), like.shape)


def _dense_solve(backend: Backend, residual: Residual, y: Any, s: Any, transposed: bool) -> Any:
    """By LU. A second right-hand side b measures the condition: |A| |A^-1 b| / |b| is near it, from below."""
    xp, n = backend.xp, math.prod(y.shape)
    matrix = xp.reshape(backend.jacobian(residual, y), (n, n))
    matrix = xp.permute_dims(matrix, (1, 0)) if transposed else matrix
    b = xp.reshape(probe(xp, y), (n,))
    x = backend.solve(matrix, xp.stack([xp.reshape(s, (n,)), b], axis=1))
    condition = xp.max(xp.sum(xp.abs(matrix), axis=1)) * largest(xp, x[:, 1]) / largest(xp, b)
    usable = condition < 0.01 / rounding(xp, y)
    return xp.where(usable, xp.reshape(x[:, 0], y.shape), xp.full_like(y, math.nan))
