"""The coarsest grid, solved exactly: planes of nodes across its longest axis, eliminated one after the other.

A node has no neighbours beyond the next plane, so K is block tridiagonal, with the couplings D_k within plane k and U_k
from plane k to the next. Inverse pivots and products with them are kept:

    P_k = (D_k - U_k-1^T G_k-1)^-1,    G_k = P_k U_k,

and K x = r is two sweeps, y_k = r_k - G_k-1^T y_k-1 and x_k = P_k y_k - G_k x_k+1. Source: Golub & Van Loan, Matrix
Computations, 4th ed. (2013), section 4.5.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tograph.backends.base import Backend
from tograph.rootsolver import rounding

from .levels import Level
from .operator import later, shifted


def factor_planes(backend: Backend, level: Level, blocks: Any) -> tuple[Any, Any, Any]:
    """(scale (planes, m), P (planes, m, m), G (planes, m, m)) from the stencil, m dofs a plane.

    K is scaled to a unit diagonal first, dofs without stiffness get an equation of their own and scale 0, and what
    rounding leaves of a motion without stiffness is kept solvable.
    """
    xp = backend.xp
    inner, outer = _couplings(xp, level, blocks)
    eye = xp.eye(inner.shape[-1], dtype=inner.dtype)
    diagonal = xp.sum(inner * eye, axis=-1)
    live = diagonal > 0.0
    scale = xp.where(live, 1.0 / xp.sqrt(xp.where(live, diagonal, xp.ones_like(diagonal))), xp.zeros_like(diagonal))
    after = xp.concat([scale[1:], xp.zeros_like(scale[:1])])
    tiny = 10.0 * rounding(xp, blocks)
    inner = inner * scale[:, :, None] * scale[:, None, :] * (1.0 - eye) + (1.0 + tiny) * eye
    outer = outer * scale[:, :, None] * after[:, None, :]

    def eliminate(k: Any, fill: Any, inner: Any, outer: Any) -> tuple[Any, tuple[Any, Any]]:
        P = backend.solve(inner[k] - fill, eye)
        G = xp.matmul(P, outer[k])
        return xp.matmul(xp.permute_dims(outer[k], (1, 0)), G), (P, G)

    _, (P, G) = backend.scan(inner.shape[0], eliminate, xp.zeros_like(eye), (inner, outer))
    return scale, P, G


def solve_planes(backend: Backend, level: Level, factor: Any, r: Any) -> Any:
    """K^-1 r: (cases, c, nodes), 0 at dofs without stiffness."""
    xp, (scale, P, G) = backend.xp, factor
    planes = scale.shape[0]
    rows = scale[..., None] * _to_planes(xp, level, r)

    def down(k: Any, y: Any, rows: Any, G: Any) -> tuple[Any, tuple[Any]]:
        return rows[k] - xp.matmul(xp.permute_dims(G[k], (1, 0)), y), (y,)

    def up(k: Any, x: Any, y: Any, P: Any, G: Any) -> tuple[Any, tuple[Any]]:
        at = planes - 1 - k
        x = xp.matmul(P[at], y[at]) - xp.matmul(G[at], x)
        return x, (x,)

    last, (y,) = backend.scan(planes, down, rows[0], (xp.concat([rows[1:], rows[:1]]), G))
    _, (x,) = backend.scan(planes, up, xp.zeros_like(last), (y, P, G))
    return _from_planes(xp, level, scale[..., None] * xp.flip(x, axis=0), r.shape)


def _axis(level: Level) -> int:
    return int(np.argmax(level.nodes))


def _couplings(xp: Any, level: Level, blocks: Any) -> tuple[Any, Any]:
    """D and U, (planes, m, m) each, dofs in the order (c, nodes of the plane); the last of U is zero."""
    c, axis = blocks.shape[1], _axis(level)
    planes, size = level.nodes[axis], level.size // level.nodes[axis]
    own = xp.reshape(shifted(blocks, level, 0), (-1, c, c, *level.nodes))
    others = [k + 3 for k in range(level.dim) if k != axis]
    own = xp.reshape(xp.permute_dims(own, (axis + 3, 1, 2, 0, *others)), (planes, c, c, -1))
    turned = xp.permute_dims(own, (0, 2, 1, 3))
    none = xp.zeros_like(own[..., :1])
    known = xp.concat([own, turned, xp.concat([turned[1:], xp.zeros_like(own[:1])]), none], axis=-1)
    made = []
    for step in (0, 1):
        dense = xp.take(known, xp.asarray(_places(level, step).reshape(-1)), axis=-1)
        dense = xp.permute_dims(xp.reshape(dense, (planes, c, c, size, size)), (0, 1, 3, 2, 4))
        made.append(xp.reshape(dense, (planes, c * size, c * size)))
    return made[0], made[1]


def _places(level: Level, step: int) -> np.ndarray:
    """For nodes n of a plane and m of the one `step` further on, where `known` has their block.

    That is with n if m comes later, and otherwise with m, turned; past the end where they are no neighbours.
    """
    axis, half = _axis(level), later(level.dim)
    rest = [n for k, n in enumerate(level.nodes) if k != axis]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in rest), indexing="ij"), axis=-1).reshape(-1, len(rest))
    apart = np.insert(index[None] - index[:, None], axis, step, axis=-1)
    size, part = len(index), len(half) * len(index)
    place = np.full((size, size), 3 * part)
    for o, offset in enumerate(half):
        n, m = np.nonzero((apart == np.array(offset)).all(axis=-1))
        place[n, m] = o * size + n
        if o:
            n, m = np.nonzero((apart == -np.array(offset)).all(axis=-1))
            place[n, m] = (1 + step) * part + o * size + m
    return place


def _to_planes(xp: Any, level: Level, x: Any) -> Any:
    """(cases, c, nodes) -> (planes, m, cases)."""
    axis = _axis(level)
    x = xp.reshape(x, (*x.shape[:2], *level.nodes))
    rest = [k + 2 for k in range(level.dim) if k != axis]
    return xp.reshape(xp.permute_dims(x, (axis + 2, 1, *rest, 0)), (level.nodes[axis], -1, x.shape[0]))


def _from_planes(xp: Any, level: Level, x: Any, shape: tuple[int, ...]) -> Any:
    """The inverse of `_to_planes`."""
    axis = _axis(level)
    rest = [n for k, n in enumerate(level.nodes) if k != axis]
    x = xp.reshape(x, (level.nodes[axis], shape[1], *rest, shape[0]))
    places = list(range(2, level.dim + 1))
    places.insert(axis, 0)
    return xp.reshape(xp.permute_dims(x, (level.dim + 1, 1, *places)), shape)
