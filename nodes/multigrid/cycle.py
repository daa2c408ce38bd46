"""One multigrid cycle: smoothing, restriction, correction from the next coarser level, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from tograph.backends.base import Backend

from .levels import Level
from .operator import apply_elements, apply_stencil
from .planes import solve_planes

SMOOTHED = 10.0
"""The smoother is made for eigenvalues from the largest down to this part of it."""


def restrict(xp: Any, level: Level, coarse: Level, r: Any) -> Any:
    """P^T r: (cases, c, nodes) -> (cases, c, coarse nodes)."""
    x = xp.reshape(r, (*r.shape[:2], *level.nodes))
    for k, factor in enumerate(level.factors):
        if factor == 2:
            x = _halved(xp, x, k + 2)
    return xp.reshape(_fitted(xp, x, coarse), (*r.shape[:2], coarse.size))


def prolong(xp: Any, level: Level, coarse: Level, e: Any) -> Any:
    """P e: (cases, c, coarse nodes) -> (cases, c, nodes)."""
    x = xp.reshape(e, (*e.shape[:2], *coarse.nodes))
    kept = tuple(slice(0, n // f + 1) for n, f in zip(level.elements, level.factors, strict=True))
    x = x[(slice(None), slice(None), *kept)]
    for k, factor in reversed(list(enumerate(level.factors))):
        if factor == 2:
            x = _doubled(xp, x, k + 2)
    return xp.reshape(x, (*e.shape[:2], level.size))


def _at(axis: int, where: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, where)


def _halved(xp: Any, x: Any, axis: int) -> Any:
    odd, even = x[_at(axis, slice(1, None, 2))], x[_at(axis, slice(0, None, 2))]
    none = xp.zeros_like(even[_at(axis, slice(0, 1))])
    return even + 0.5 * (xp.concat([odd, none], axis=axis) + xp.concat([none, odd], axis=axis))


def _doubled(xp: Any, x: Any, axis: int) -> Any:
    low, high = x[_at(axis, slice(0, -1))], x[_at(axis, slice(1, None))]
    pairs = xp.stack([low, 0.5 * (low + high)], axis=axis + 1)
    shape = (*x.shape[:axis], 2 * low.shape[axis], *x.shape[axis + 1 :])
    return xp.concat([xp.reshape(pairs, shape), x[_at(axis, slice(-1, None))]], axis=axis)


def _fitted(xp: Any, x: Any, coarse: Level) -> Any:
    """Zeros for the nodes that the coarse level has beyond the end."""
    for k, n in enumerate(coarse.nodes):
        missing = n - x.shape[k + 2]
        if missing:
            shape = (*x.shape[: k + 2], missing, *x.shape[k + 3 :])
            x = xp.concat([x, xp.zeros(shape, dtype=x.dtype)], axis=k + 2)
    return x


def chebyshev(degree: int, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (a_k, b_k) of d_k = a_k d_k-1 + b_k D^-1 r_k, for the largest eigenvalue 1.

    Chebyshev's polynomial for the interval [1 / ratio, 1]. Source: Saad, Iterative Methods for Sparse
    Linear Systems, 2nd ed. (2003), algorithm 12.1.
    """
    centre, half = 0.5 * (1.0 + 1.0 / ratio), 0.5 * (1.0 - 1.0 / ratio)
    sigma = centre / half
    rho, a, b = 1.0 / sigma, [0.0], [1.0 / centre]
    for _ in range(degree - 1):
        new = 1.0 / (2.0 * sigma - rho)
        a, b, rho = [*a, new * rho], [*b, 2.0 * new / half], new
    return np.array(a), np.array(b)


def cycle(backend: Backend, levels: tuple[Level, ...], factor: Any, r: Any, degree: int, at: int = 0) -> Any:
    """About K^-1 r on level `at`: (cases, c, nodes).

    The first coarse level is visited once, every one below it twice as often as the one above (a W-cycle): they are
    small, and where their elements mix solid and void one visit leaves much of the error.
    """
    xp, level, (made, _) = backend.xp, levels[at], factor
    if at == len(levels) - 1:
        return solve_planes(backend, level, made[at], r)
    coarse = levels[at + 1]
    alive = xp.astype(made[at][-1] > 0.0, r.dtype)
    e, left = smooth(backend, levels, factor, r, degree, at)
    below = restrict(xp, level, coarse, alive * left)
    if at == 0 or at == len(levels) - 2:
        d = cycle(backend, levels, factor, below, degree, at + 1)
    else:

        def visit(d: Any) -> Any:
            left = below - level_product(backend, levels, factor, at + 1, d)
            return d + cycle(backend, levels, factor, left, degree, at + 1)

        d = backend.repeat(2, visit, xp.zeros_like(below))
    return smooth(backend, levels, factor, r, degree, at, (e, alive * prolong(xp, level, coarse, d)))[0]


def level_product(backend: Backend, levels: tuple[Level, ...], factor: Any, at: int, e: Any) -> Any:
    """K e on level `at`."""
    operator = factor[0][at]
    if at == 0:
        return apply_elements(backend, levels[0], operator[0], operator[1], e)
    return apply_stencil(backend, levels[at], operator[0], e)


def smooth(
    backend: Backend, levels: tuple[Level, ...], factor: Any, r: Any, degree: int, at: int, start: Any = None
) -> tuple[Any, Any]:
    """Chebyshev-Jacobi steps for K e = r, from 0 or from e + d: (e, what is left of r).

    Steps are d <- a d + b D^-1 (r - K e), e <- e + d, and products the costly part: a start from 0 saves the first,
    and its residual is taken along for the restriction.
    """
    xp, (made, bound) = backend.xp, factor
    inverse = made[at][-1]
    a, b = chebyshev(degree, SMOOTHED)
    b, a = xp.asarray(b, dtype=r.dtype) / bound, xp.asarray(a, dtype=r.dtype)
    none = xp.zeros_like(r)

    def step(state: Any, row: Any) -> Any:
        e, d, _ = state
        e = e + d
        left = r - level_product(backend, levels, factor, at, e)
        return e, row[0] * d + row[1] * (inverse * left), left

    if start is not None:
        e, d, left = backend.fold(step, (*start, none), (a, b))
        return e + d, left
    rows = (xp.concat([a[1:], a[:1]]), xp.concat([b[1:], b[:1]]))  # the last row only asks for the residual
    e, _, left = backend.fold(step, (none, b[0] * (inverse * r), none), rows)
    return e, left
