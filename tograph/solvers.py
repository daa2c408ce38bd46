"""Solvers for implicit nodes: bisection, Newton, fixed point. Portable, inside jit, without frameworks.

Tolerances are in units of `node.scale(...)`, and never below what the precision allows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from . import codec
from .errors import RuleError
from .rootsolver import Residual, RootSolver, largest, rounding

if TYPE_CHECKING:
    from .backends.base import Backend
    from .implicit import ImplicitNode


@codec.register
@attrs.frozen
class Bisection(RootSolver):
    """Bisection of independent scalar equations, all at once (y of any shape, r_i a function of y_i alone).

    Starts from `node.bracket(...)` and widens, equation by equation, until the residual changes sign, so no
    fixed bound is ever trusted. Halves until no number lies between the bounds.

    Attributes:
        halvings: at most this many; about 60 exhaust float64 for a root of the size of the bracket.
        widenings: at most this many, each threefold.
    """

    halvings: int = 200
    widenings: int = 60
    not_traceable: ClassVar[str] = "bisection only compares and halves, and AD does not see why the root moves"

    def solve(self, backend: Backend, node: ImplicitNode, residual: Residual, inputs: list[Any]) -> Any:
        """The root of each equation."""
        xp = backend.xp

        def same_sign(state: tuple[Any, Any]) -> Any:
            at_low, at_high = residual(state[0]), residual(state[1])
            return ((at_low > 0.0) & (at_high > 0.0)) | ((at_low < 0.0) & (at_high < 0.0))

        def widen(state: tuple[Any, Any]) -> tuple[Any, Any]:
            a, b = state
            more = xp.where(same_sign(state), b - a, xp.zeros_like(a))
            return a - more, b + more

        def halve(state: tuple[Any, Any]) -> tuple[Any, Any]:
            a, b = state
            middle = 0.5 * (a + b)
            at_middle = residual(middle)
            left = ((at_middle > 0.0) & (at_low > 0.0)) | ((at_middle < 0.0) & (at_low < 0.0))
            return xp.where(left, middle, a), xp.where(left, b, middle)

        def between(state: tuple[Any, Any]) -> Any:
            a, b = state
            middle = 0.5 * (a + b)
            return xp.any((a < middle) & (middle < b))

        first = _ordered(xp, *node.bracket(xp, *inputs))
        _require_independent(node, first[0])
        low, high = backend.until(lambda state: xp.any(same_sign(state)), widen, first, self.widenings)
        at_low = residual(low)
        low, high = backend.until(between, halve, (low, high), self.halvings)
        return 0.5 * (low + high)


def _ordered(xp: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Lower bound first, and never an empty bracket, which could not be widened."""
    low, high = xp.minimum(a, b), xp.maximum(a, b)
    return low, xp.where(high > low, high, low + 1.0 + xp.abs(low))


def _require_independent(node: ImplicitNode, y: Any) -> None:
    if math.prod(y.shape) > 1 and node.jacobian != "diagonal":
        fix = "Declare `jacobian = 'diagonal'` if equation i contains only y_i; else use Newton"
        raise RuleError(
            f"{node.title} has {math.prod(y.shape)} coupled equations, which bisection cannot solve", fix=fix
        )


@codec.register
@attrs.frozen
class Newton(RootSolver):
    """Newton's method with a dense Jacobian by AD, backtracking line search and load stepping.

    Starts from `node.start(...)`. With `steps` > 1 the node's `at_step(xp, fraction, *inputs)` gives the
    inputs at each load fraction, and every step starts from the last one's solution. Ends where the
    residual is small or can no longer be lowered.

    Attributes:
        tolerance: stop at this residual (maximum norm, in units of `node.scale`).
        iterations: at most this many per load step.
        backtracking: at most this many halvings of a step that does not lower the residual.
        steps: load steps.
    """

    tolerance: float = 1e-12
    iterations: int = 50
    backtracking: int = 10
    steps: int = 1

    def solve(self, backend: Backend, node: ImplicitNode, residual: Residual, inputs: list[Any]) -> Any:
        """The solution of the last load step."""
        y = node.start(backend.xp, *inputs)
        for step in range(1, self.steps):
            held = list(node.at_step(backend.xp, step / self.steps, *inputs))
            y = self._iterate(backend, node, _holding(backend, node, held), held, y)
        return self._iterate(backend, node, residual, inputs, y)

    def _iterate(self, backend: Backend, node: ImplicitNode, residual: Residual, inputs: list[Any], y: Any) -> Any:
        xp = backend.xp
        limit = _limit(xp, self.tolerance, node, inputs, y)

        def improve(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
            z, r, _ = state
            new = self._search(backend, residual, z, r, _newton_step(backend, residual, z, r), limit)
            left = residual(new)
            return new, left, largest(xp, left) < largest(xp, r)

        r = residual(y)
        state = (y, r, largest(xp, r) >= 0.0)  # false if it is not a number
        going = lambda state: state[2] & (largest(xp, state[1]) > limit)  # noqa: E731
        return _loop(backend, going, improve, state, self.iterations)[0]

    def _search(self, backend: Backend, residual: Residual, y: Any, r: Any, d: Any, limit: Any) -> Any:
        """Halve the step until the residual is lower than before, or so low that it does not matter."""
        xp = backend.xp
        before = xp.maximum(largest(xp, r), limit * xp.ones_like(largest(xp, r)))

        def worse(t: Any) -> Any:
            return ~(largest(xp, residual(y + t * d)) < before)

        return y + backend.until(worse, lambda t: 0.5 * t, xp.ones_like(before), self.backtracking) * d


def _limit(xp: Any, tolerance: float, node: ImplicitNode, inputs: list[Any], y: Any) -> Any:
    return max(tolerance, 8.0 * rounding(xp, y)) * node.scale(xp, *inputs)


def _loop(backend: Backend, going: Residual, body: Residual, state: Any, limit: int) -> Any:
    """Until done; unrolled, all the way: derivatives lag behind values, and would freeze with them.

    With y' = y - r_y^-1 r the derivatives of y' are exact one step after y is (Gilbert, Optim. Methods
    Softw. 1:13, 1992), so an iteration that stops with the residual stops too early for them.
    """
    return backend.repeat(limit, body, state) if backend.unrolled else backend.until(going, body, state, limit)


def _holding(backend: Backend, node: ImplicitNode, inputs: list[Any]) -> Residual:
    return lambda y: node.residual(backend.xp, y, *inputs)


def _newton_step(backend: Backend, residual: Residual, y: Any, r: Any) -> Any:
    xp, n = backend.xp, math.prod(y.shape)
    matrix = xp.reshape(backend.jacobian(residual, y), (n, n))
    return xp.reshape(backend.solve(matrix, -xp.reshape(r, (n, 1))), y.shape)


@codec.register
@attrs.frozen
class FixedPoint(RootSolver):
    """y <- y + residual(y), with Anderson acceleration over the last `memory` iterates (0 for none).

    The residual of a fixed point y = g(y) is g(y) - y. Starts from `node.start(...)`. Where y converges, so
    does the same iteration for tangents and adjoints: x <- x + (A x - s) with A = g_y - 1, whose
    contraction is that of g. So no Jacobian is ever made, and memory is a few vectors.
    Source: Walker & Ni, SIAM J. Numer. Anal. 49:1715 (2011), algorithm AA; Christianson, Optim. Methods
    Softw. 3:311 (1994) for the adjoint.

    Attributes:
        tolerance: stop at this residual (maximum norm, in units of `node.scale`).
        iterations: at most this many.
        memory: differences of iterates combined.
    """

    tolerance: float = 1e-12
    iterations: int = 500
    memory: int = 0

    def solve(self, backend: Backend, node: ImplicitNode, residual: Residual, inputs: list[Any]) -> Any:
        """The fixed point."""
        y = node.start(backend.xp, *inputs)
        return self._iterate(backend, residual, y, _limit(backend.xp, self.tolerance, node, inputs, y))

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
        """By the same iteration."""
        if node.jacobian == "diagonal":
            return super().solve_linearized(backend, node, residual, y, inputs, s, transposed)
        xp = backend.xp
        product = backend.pullback(residual, y) if transposed else lambda x: backend.jvp(residual, y, x)
        limit = max(self.tolerance, 8.0 * rounding(xp, y)) * largest(xp, s)
        return self._iterate(backend, lambda x: product(x) - s, -s, limit)

    def _iterate(self, backend: Backend, residual: Residual, y: Any, limit: Any) -> Any:
        xp = backend.xp
        if self.memory:
            return self._anderson(backend, residual, y, limit)

        def improve(state: tuple[Any, Any]) -> tuple[Any, Any]:
            new = state[0] + state[1]
            return new, residual(new)

        return _loop(backend, lambda s: largest(xp, s[1]) > limit, improve, (y, residual(y)), self.iterations)[0]

    def _anderson(self, backend: Backend, residual: Residual, y: Any, limit: Any) -> Any:
        xp, n = backend.xp, math.prod(y.shape)

        def r(z: Any) -> Any:
            return xp.reshape(residual(xp.reshape(z, y.shape)), (n,))

        def improve(state: tuple[Any, ...]) -> tuple[Any, ...]:
            z, f, dz, df = state
            new = z + f - xp.matmul(_weights(backend, df, f), dz + df)
            g = r(new)
            return new, g, xp.concat([dz[1:], (new - z)[None]]), xp.concat([df[1:], (g - f)[None]])

        start, empty = xp.reshape(y, (n,)), xp.zeros((self.memory, n), dtype=y.dtype)
        state = (start, r(start), empty, empty)
        done = backend.until(lambda s: largest(xp, s[1]) > limit, improve, state, self.iterations)
        return xp.reshape(done[0], y.shape)


def _weights(backend: Backend, df: Any, f: Any) -> Any:
    """min_w |f - df^T w| by normal equations of rows scaled to length 1; rows still empty get weight 0."""
    xp, m = backend.xp, df.shape[0]
    square = xp.sum(df * df, axis=1)
    length = xp.sqrt(xp.where(square > 0.0, square, xp.ones_like(square)))
    unit = df / length[:, None]
    damping = (xp.where(square > 0.0, xp.zeros_like(square), xp.ones_like(square)) + 100.0 * rounding(xp, f))[:, None]
    gram = xp.matmul(unit, xp.permute_dims(unit, (1, 0))) + damping * xp.eye(m, dtype=f.dtype)
    return backend.solve(gram, xp.matmul(unit, f)[:, None])[:, 0] / length


__all__ = ["Bisection", "FixedPoint", "Newton", "RootSolver"]
