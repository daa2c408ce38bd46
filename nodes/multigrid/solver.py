"""Conjugate gradients preconditioned by geometric multigrid, as a solver for `LinearSolve`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Literal

import array_api_extra as xpx
import attrs

from tograph import codec
from tograph.backends.base import Backend
from tograph.rootsolver import rounding

from ..pattern import ElementPattern
from .cg import conjugate_gradients
from .cycle import cycle
from .levels import Level, make_levels
from .operator import apply_elements, diagonal
from .setup import prepare

GROWTH = 1e13
"""Largest |K| |u| / |f| that is let through: near 1e16 the answer is that of a singular matrix."""

ROUNDING = 100.0
"""No residual is asked for, or checked, below this many rounding units."""


@codec.register
@attrs.frozen
class MultigridCG:
    """Conjugate gradients on the grid, without a matrix, preconditioned by one multigrid cycle; runs on the device.

    Coarse operators are exact Galerkin products of the element stiffnesses, so contrast in E and supports
    anywhere are seen on every level. Smoothing is Chebyshev-Jacobi, the coarsest level is
    eliminated plane by plane. Elements
    with E = 0 are allowed: dofs without any stiffness keep u = 0, and a load on them has no effect.
    Source: Trottenberg, Oosterlee & Schueller, Multigrid (2001); Amir, Aage & Lazarov, Struct. Multidisc.
    Optim. 49:815 (2014) for topology optimisation.

    Attributes:
        tolerance: stop at |f - K u| <= tolerance |f|, for each load case; in float32 at least 1e-5.
        iterations: at most this many; if they do not suffice, `SolveError` is raised.
        degree: of the smoothing polynomial, before and after each correction.
        direct: the coarsest grid is solved by elimination of its planes; their number times the cube of the dofs in
            one is at most this.
        precision: of the cycle. "float32" halves its memory traffic, and is enough while the parts of a design hang
            together; loose islands at a contrast of 1e-9 need "float64".
    """

    tolerance: float = 1e-8
    iterations: int = 1000
    degree: int = 2
    direct: int = 300_000_000
    precision: Literal["float64", "float32"] = "float64"

    host: ClassVar[bool] = False

    def factor(self, backend: Backend, pattern: ElementPattern, moduli: Any, elements: Any) -> Any:
        """What all solves with K share: operators and inverse diagonals of all levels."""
        low = self._low(backend.xp, moduli)
        return prepare(backend, _levels(pattern, self.direct), pattern, moduli, elements, low)

    def solve(self, backend: Backend, pattern: ElementPattern, factor: Any, rhs: Any) -> Any:
        """u for right-hand sides (cases, n_dofs); 0 at fixed dofs."""
        xp, levels = backend.xp, _levels(pattern, self.direct)
        (_, _, alive), *low = factor

        def precondition(r: Any) -> Any:
            size = xp.max(xp.abs(r), axis=(1, 2), keepdims=True)
            size = xp.where(size > 0.0, size, xp.ones_like(size))
            e = cycle(backend, levels, low, xp.astype(r / size, self._low(xp, r)), self.degree)
            return size * xp.astype(e, r.dtype)

        u = conjugate_gradients(
            backend,
            _operator(backend, levels[0], factor),
            precondition,
            alive * _to_nodes(xp, pattern, levels[0], rhs),
            self._relative(xp, rhs),
            self.iterations,
        )
        return _from_nodes(xp, pattern, levels[0], u)

    def error(self, backend: Backend, pattern: ElementPattern, factor: Any, rhs: Any, u: Any) -> Any:
        """|f - K u| in units of what is let through, the largest of all cases."""
        xp, level = backend.xp, _levels(pattern, self.direct)[0]
        wide, elements, alive = factor[0]
        f, x = alive * _to_nodes(xp, pattern, level, rhs), _to_nodes(xp, pattern, level, u)
        left, stiffest = f - _operator(backend, level, factor)(x), xp.max(diagonal(xp, level, wide, elements))
        residual, load, answer = (xp.sqrt(xp.sum(v * v, axis=(1, 2))) for v in (left, f, x))
        allowed = 10.0 * self._relative(xp, rhs) * load + ROUNDING * rounding(xp, x) * stiffest * answer
        found = xp.where(residual == 0.0, residual, residual / allowed)
        found = xp.maximum(found, xp.where(load == 0.0, load, stiffest * answer / load / GROWTH))
        return xp.max(found) + 0.0 * xp.sum(wide)  # moduli that are no numbers may have been left out as no stiffness

    def _low(self, xp: Any, like: Any) -> Any:
        """The dtype of the cycle."""
        return xp.float32 if self.precision == "float32" else like.dtype

    def _relative(self, xp: Any, rhs: Any) -> float:
        return max(self.tolerance, ROUNDING * rounding(xp, rhs))


@lru_cache(maxsize=16)
def _levels(pattern: ElementPattern, direct: int) -> tuple[Level, ...]:
    return make_levels(pattern, direct)


def _operator(backend: Backend, level: Level, factor: Any) -> Any:
    """K on the dofs that are free and have stiffness."""
    wide, elements, alive = factor[0]
    return lambda u: alive * apply_elements(backend, level, wide, elements, u)


def _to_nodes(xp: Any, pattern: ElementPattern, level: Level, x: Any) -> Any:
    """(cases, n_dofs) -> (cases, c, nodes of the level)."""
    x = xp.reshape(x, (x.shape[0], *pattern.grid.node_shape, pattern.components))
    x = xp.permute_dims(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))
    widths = [(0, 0), (0, 0), *((0, n - m) for n, m in zip(level.nodes, pattern.grid.node_shape, strict=True))]
    return xp.reshape(xpx.pad(x, widths, xp=xp), (x.shape[0], pattern.components, level.size))


def _from_nodes(xp: Any, pattern: ElementPattern, level: Level, x: Any) -> Any:
    """The inverse of `_to_nodes`."""
    x = xp.reshape(x, (*x.shape[:2], *level.nodes))
    x = x[(slice(None), slice(None), *(slice(0, n) for n in pattern.grid.node_shape))]
    return xp.reshape(xp.permute_dims(x, (0, *range(2, x.ndim), 1)), (x.shape[0], -1))
