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
from .cg import conjugate_gradients, dot, ratio
from .cycle import cycle
from .levels import Level, make_levels
from .operator import apply_elements, diagonal
from .setup import prepare

GROWTH = 1e13
"""Largest |K| |u| / |f| that is let through: near 1e16 the answer is that of a singular matrix."""

ENERGY = 2e-8
"""Tolerance "auto": the energy norm of the error that is asked for, as a share of that of u; see `MultigridCG`."""

MARGIN = 10.0
"""An answer may be used while its error or residual is at most this many times what the iteration stops at."""

ROUNDING = 100.0
"""No residual is asked for, or checked, below this many rounding units."""


@codec.register
@attrs.frozen
class MultigridCG:
    """Conjugate gradients on the grid, without a matrix, preconditioned by one multigrid cycle; runs on the device.

    Coarse operators are exact Galerkin products of the element stiffnesses, so contrast in E and supports
    anywhere are seen on every level. Smoothing is Chebyshev-Jacobi, the coarsest level is eliminated plane by
    plane. Elements with E = 0 are allowed: dofs without any stiffness keep u = 0, and a load on them has no effect.
    Source: Trottenberg, Oosterlee & Schueller, Multigrid (2001); Amir, Aage & Lazarov, Struct. Multidisc.
    Optim. 49:815 (2014) for topology optimisation.

    Tolerance "auto" bounds the error of a gradient. Let |v|_K^2 = v . K v, and state and adjoint have the relative
    errors eta_u = |du|_K / |u|_K and eta_lam. The derivative by the modulus of element e is g_e = -lam_e . K_e u_e, so
    by Cauchy-Schwarz, element by element and then over all,

        sum_e E_e |dg_e| <= (eta_u + eta_lam + eta_u eta_lam) |lam|_K |u|_K,

    and the error of an objective l . u is at most eta_u |lam|_K |u|_K. Of a compliance, lam = u and |u|_K^2 is the
    compliance itself. The iteration stops where sqrt(r . M r) <= 2e-8 |u|_K, M the cycle; that is eta <= 5e-7, and
    1e-6 for the gradient, if M K has no eigenvalue below 0.0016. Loose islands in the void have smaller ones.
    Unless loads act on them, that does not matter: on 20 designs with islands and a contrast of 1e-9 the gradient
    was within 2e-7 of its largest entry (`tests/nodes/test_multigrid.py`); with random loads on islands and void it
    was off by 6e-6 |lam|_K |u|_K. Set a number then. Energy estimates of CG: Strakos & Tichy, ETNA 13:56 (2002). In
    float32 it is 1.2e-5 instead of 2e-8.

    Attributes:
        tolerance: stop at |f - K u| <= tolerance |f|, for each load case; in float32 at least 1e-5. "auto": where
            gradients are right to 1e-6, see above.
        iterations: at most this many; if they do not suffice, `SolveError` is raised.
        degree: of the smoothing polynomial, before and after each correction.
        direct: the coarsest grid is solved by elimination of its planes; their number times the cube of the dofs in
            one is at most this.
        precision: of the cycle. "float32" halves its memory traffic, and is enough while the parts of a design hang
            together; loose islands at a contrast of 1e-9 need "float64".
    """

    tolerance: float | Literal["auto"] = "auto"
    iterations: int = 1000
    degree: int = 2
    direct: int = 300_000_000
    precision: Literal["float64", "float32"] = "float64"

    host: ClassVar[bool] = False
    iterates: ClassVar[bool] = True

    def factor(self, backend: Backend, pattern: ElementPattern, moduli: Any, elements: Any) -> Any:
        """What all solves with K share: operators and inverse diagonals of all levels."""
        low = self._low(backend.xp, moduli)
        return prepare(backend, _levels(pattern, self.direct), pattern, moduli, elements, low)

    def solve(self, backend: Backend, pattern: ElementPattern, factor: Any, rhs: Any) -> tuple[Any, Any, Any]:
        """u for right-hand sides (cases, n_dofs), 0 at fixed dofs; the number of iterations; what is left of the error
        or the residual that is iterated on, in units of what may be used."""
        xp, levels = backend.xp, _levels(pattern, self.direct)
        u, count, left = conjugate_gradients(
            backend,
            _operator(backend, levels[0], factor),
            self._cycle(backend, levels, factor),
            factor[0][2] * _to_nodes(xp, pattern, levels[0], rhs),
            self._relative(xp, rhs),
            self.iterations,
            energy=self.tolerance == "auto",
        )
        return _from_nodes(xp, pattern, levels[0], u), count, left / MARGIN

    def error(self, backend: Backend, pattern: ElementPattern, factor: Any, rhs: Any, u: Any) -> tuple[Any, Any]:
        """|f - K u| in units of what is let through, and as a share of |f|, each the largest of all cases.

        With tolerance "auto" in the norm |r|^2 = r . D^-1 r, D the diagonal of K, which takes no cycle: to compile that
        a second time takes seconds. It is at most 1.2 times the norm of the iteration on the designs of
        `tests/nodes/test_multigrid.py`.
        """
        xp, level = backend.xp, attrs.evolve(_levels(pattern, self.direct)[0], mirrored=False)
        wide, elements, alive = factor[0]
        f, x = alive * _to_nodes(xp, pattern, level, rhs), _to_nodes(xp, pattern, level, u)
        left, D = f - _operator(backend, level, factor)(x), diagonal(xp, level, wide, elements)
        residual, load, answer = (xp.sqrt(dot(xp, v, v)) for v in (left, f, x))
        stiffest = xp.max(D)
        noise, asked = ROUNDING * rounding(xp, x) * stiffest * answer, MARGIN * self._relative(xp, rhs)
        wrong, allowed = residual, asked * load + noise
        if self.tolerance == "auto":
            wrong = xp.sqrt(dot(xp, left, ratio(xp, left, D)))
            allowed = asked * xp.sqrt(xp.abs(dot(xp, f, x))) + noise / xp.sqrt(stiffest)
        found = xp.where(wrong == 0.0, wrong, wrong / allowed)
        found = xp.maximum(found, xp.where(load == 0.0, load, stiffest * answer / load / GROWTH))
        nothing = 0.0 * xp.sum(wide)  # moduli that are no numbers may have been left out as no stiffness
        return xp.max(found) + nothing, xp.max(ratio(xp, residual, load))

    def _cycle(self, backend: Backend, levels: tuple[Level, ...], factor: Any) -> Any:
        """The preconditioner; a case is scaled to 1, as its residual may be too small for float32."""
        xp = backend.xp

        def precondition(r: Any) -> Any:
            size = xp.max(xp.abs(r), axis=(1, 2), keepdims=True)
            size = xp.where(size > 0.0, size, xp.ones_like(size))
            e = cycle(backend, levels, factor[1:], xp.astype(r / size, self._low(xp, r)), self.degree)
            return size * xp.astype(e, r.dtype)

        return precondition

    def _low(self, xp: Any, like: Any) -> Any:
        """The dtype of the cycle."""
        return xp.float32 if self.precision == "float32" else like.dtype

    def _relative(self, xp: Any, rhs: Any) -> float:
        asked = ENERGY if self.tolerance == "auto" else self.tolerance
        return max(asked, ROUNDING * rounding(xp, rhs))


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
