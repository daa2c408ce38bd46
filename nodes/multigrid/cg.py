"""Conjugate gradients for several right-hand sides at once, with a preconditioner that may vary a little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tograph.backends.base import Backend

Map = Callable[[Any], Any]


def conjugate_gradients(backend: Backend, product: Map, precondition: Map, f: Any, tol: float, limit: int) -> Any:
    """x with |f - K x| <= tol |f| in every case; f, x: (cases, c, nodes).

    With the rounding of a preconditioner in lower precision, beta = z_new . (r_new - r_old) / (z_old . r_old)
    keeps directions conjugate where the usual formula does not; r_new - r_old = -alpha K p.
    Source: Golub & Ye, SIAM J. Sci. Comput. 21:1305 (1999).
    """
    xp = backend.xp

    def dot(x: Any, y: Any) -> Any:
        return xp.sum(x * y, axis=(1, 2))

    def ratio(x: Any, y: Any) -> Any:
        return xp.where(y != 0.0, x / xp.where(y != 0.0, y, xp.ones_like(y)), xp.zeros_like(y))

    def column(x: Any) -> Any:
        return x[:, None, None]

    allowed = tol**2 * dot(f, f)

    def improve(state: Any) -> Any:
        x, r, p, q, alpha, rz, _ = state
        z = precondition(r)
        new = dot(r, z)
        beta = ratio(-alpha * dot(q, z), rz)
        p = z + column(beta) * p
        q = product(p)
        active = xp.astype(dot(r, r) > allowed, f.dtype)
        alpha = active * ratio(new, dot(p, q))
        x, r = x + column(alpha) * p, r - column(alpha) * q
        return x, r, p, q, alpha, new, dot(r, r)

    none, zero = xp.zeros_like(f), xp.zeros_like(allowed)
    start = (none, f, none, none, zero, zero, dot(f, f))
    going = lambda state: xp.any(state[6] > allowed)  # noqa: E731
    return backend.until(going, improve, start, limit)[0]
