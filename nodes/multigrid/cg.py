"""Conjugate gradients for several right-hand sides at once, with a preconditioner that may vary a little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tograph.backends.base import Backend

Map = Callable[[Any], Any]


def conjugate_gradients(
    backend: Backend, product: Map, precondition: Map, f: Any, tol: float, limit: int, *, energy: bool = False
) -> Any:
    """x with |f - K x| <= tol |f| in every case; f, x: (cases, c, nodes). Then the number of iterations, and what is
    left of the worst case as a share of what was to be left.

    With `energy`, until sqrt(r . M r) <= tol sqrt(x . K x) for r = f - K x one step before, with the preconditioner M:
    an estimate of |x - K^-1 f| / |x| in the norm |x|^2 = x . K x, and free, since the recursion has both: every step
    adds alpha (r . M r) to x . K x (Hestenes & Stiefel, J. Res. Natl. Bur. Stand. 49:409, 1952, theorem 6:1).

    With the rounding of a preconditioner in lower precision, beta = z_new . (r_new - r_old) / (z_old . r_old)
    keeps directions conjugate where the usual formula does not; r_new - r_old = -alpha K p.
    Source: Golub & Ye, SIAM J. Sci. Comput. 21:1305 (1999).
    """
    xp = backend.xp

    def going(left: Any, work: Any) -> Any:
        return left > (tol**2 * work if energy else allowed)

    def improve(state: Any) -> Any:
        x, r, p, q, alpha, rz, left, work, count = state
        z = precondition(r)
        new = dot(xp, r, z)
        beta = ratio(xp, -alpha * dot(xp, q, z), rz)
        p = z + column(beta) * p
        q = product(p)
        active = xp.astype(going(left, work), f.dtype)
        alpha = active * ratio(xp, new, dot(xp, p, q))
        x, r = x + column(alpha) * p, r - column(alpha) * q
        left = new if energy else dot(xp, r, r)
        return x, r, p, q, alpha, new, left, work + alpha * new, count + 1.0

    size = dot(xp, f, f)
    allowed = tol**2 * size
    none, zero = xp.zeros_like(f), xp.zeros_like(size)
    start = (none, f, none, none, zero, zero, size, zero, xp.zeros_like(size[0]))
    found = backend.until(lambda state: xp.any(going(state[6], state[7])), improve, start, limit)
    x, *_, left, work, count = found
    return x, count, xp.max(xp.sqrt(xp.abs(ratio(xp, left, tol**2 * work if energy else allowed))))


def dot(xp: Any, x: Any, y: Any) -> Any:
    """x . y for every case."""
    return xp.sum(x * y, axis=(1, 2))


def column(x: Any) -> Any:
    """A number for every case, to be multiplied by (cases, c, nodes)."""
    return x[:, None, None]


def ratio(xp: Any, x: Any, y: Any) -> Any:
    """x / y, and 0 where y is 0."""
    return xp.where(y != 0.0, x / xp.where(y != 0.0, y, xp.ones_like(y)), xp.zeros_like(y))
