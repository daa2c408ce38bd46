"""Projections: from grey to black and white, and regions that are not designed."""

from __future__ import annotations

from typing import Any

import numpy as np

import tograph as tg
from tograph import Edge, Node, Port, Spec
from tograph.arithmetic import Add, Hadamard

from .filters import require_on_grid
from .grid import Grid


@tg.node
class Heaviside(Node):
    """Smoothed Heaviside projection.

    rho_p = [tanh(beta eta) + tanh(beta (rho - eta))] / [tanh(beta eta) + tanh(beta (1 - eta))]

    rho, rho_p: field of densities in [0, 1]; beta > 0 sharpness; eta in [0, 1] threshold; all
    dimensionless. Source: Wang, Lazarov & Sigmund, Struct. Multidisc. Optim. 43:767 (2011), eq. 9.
    """

    inputs = (Port("rho", "field"),)
    outputs = (Port("rho_p", "field"),)
    elementwise = True
    beta: Any = tg.parameter(above=0.0)
    eta: Any = tg.parameter(default=0.5, low=0.0, high=1.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        """The formula above."""
        rho, beta, eta = _arrays(xp, *values)
        low, high = xp.tanh(beta * eta), xp.tanh(beta * (1.0 - eta))
        return (low + xp.tanh(beta * (rho - eta))) / (low + high)


def _arrays(xp: Any, rho: Any, beta: Any, eta: Any) -> tuple[Any, Any, Any]:
    return rho, xp.asarray(beta, dtype=rho.dtype), xp.asarray(eta, dtype=rho.dtype)


def _sech2(xp: Any, x: Any) -> Any:
    return 1.0 - xp.tanh(x) ** 2


@tg.pointwise(Heaviside, "rho")
def _(node: Heaviside, xp: Any, rho: Any, beta: Any, eta: Any) -> Any:
    rho, beta, eta = _arrays(xp, rho, beta, eta)
    return beta * _sech2(xp, beta * (rho - eta)) / (xp.tanh(beta * eta) + xp.tanh(beta * (1.0 - eta)))


# Sums of tanh are quotients, tanh a + tanh b = sinh(a + b) / (cosh a cosh b), so that
#     rho_p = sinh(beta rho) cosh(beta (1 - eta)) / [sinh(beta) cosh(beta (rho - eta))],
# and the slope of its logarithm needs no quotient rule, whose terms cancel for small and for large beta:
#     d ln rho_p / d eta  = beta [tanh(beta (rho - eta)) - tanh(beta (1 - eta))]
#     d ln rho_p / d beta = rho coth(beta rho) - coth(beta) + (1 - eta) tanh(beta (1 - eta))
#                           - (rho - eta) tanh(beta (rho - eta)).


@tg.pointwise(Heaviside, "beta")
def _(node: Heaviside, xp: Any, rho: Any, beta: Any, eta: Any, rho_p: Any) -> Any:
    rho, beta, eta = _arrays(xp, rho, beta, eta)
    return rho_p * xp.where(beta < _SMALL, _gently(xp, rho, beta, eta), _steeply(xp, rho, beta, eta))


_SMALL = 0.125
"""Below it, the series has more correct digits than the exponentials."""


def _gently(xp: Any, rho: Any, beta: Any, eta: Any) -> Any:
    """d ln rho_p / d beta for a small beta, in which 1 / beta has cancelled: x coth x = 1 + x^2/3 - x^4/45 + ..."""

    beta = xp.where(beta < _SMALL, beta, _SMALL * xp.ones_like(beta))

    def rest(x: Any) -> Any:  # (x coth x - 1) / x^2
        y = x * x
        return 1 / 3 - y * (1 / 45 - y * (2 / 945 - y * (1 / 4725 - y * 2 / 93555)))

    below, above = rho - eta, 1.0 - eta
    both = beta * (rho**2 * rest(beta * rho) - rest(beta))
    return both + above * xp.tanh(beta * above) - below * xp.tanh(beta * below)


def _steeply(xp: Any, rho: Any, beta: Any, eta: Any) -> Any:
    """d ln rho_p / d beta for a large beta, in which the ones have cancelled.

    coth x = 1 + k and tanh x = 1 - m, with k = 2 / (e^2x - 1) and m = 2 / (e^2x + 1) for x > 0; rho k has the
    limit 1 / beta at rho = 0.
    """
    beta = xp.where(beta < _SMALL, _SMALL * xp.ones_like(beta), beta)

    def k(x: Any) -> Any:  # times x
        safe = xp.where(x > 0.0, x, xp.ones_like(x))
        return xp.where(x > 0.0, -2.0 * safe * xp.exp(-2.0 * safe) / xp.expm1(-2.0 * safe), xp.ones_like(x))

    def m(x: Any) -> Any:
        return 2.0 * xp.exp(-2.0 * x) / (1.0 + xp.exp(-2.0 * x))

    below, above = xp.abs(rho - eta), 1.0 - eta
    ones = (rho - eta) - below
    return (k(beta * rho) - k(beta)) / beta - above * m(beta * above) + below * m(beta * below) + ones


@tg.pointwise(Heaviside, "eta")
def _(node: Heaviside, xp: Any, rho: Any, beta: Any, eta: Any, rho_p: Any) -> Any:
    rho, beta, eta = _arrays(xp, rho, beta, eta)
    return rho_p * beta * (xp.tanh(beta * (rho - eta)) - xp.tanh(beta * (1.0 - eta)))


@tg.node
class Passive(Node):
    """Fix regions that are not designed: y = 1 where `solid`, 0 where `void`, rho elsewhere.

    Put it after the filter, so that the regions stay exact. rho, y: field of densities in [0, 1].
    No sensitivity reaches rho from the fixed elements.

    Attributes:
        grid: the grid of the field.
        solid: boolean mask of the field's shape.
        void: boolean mask of the field's shape.
    """

    inputs = (Port("rho", "field"),)
    outputs = (Port("out", "field"),)
    grid: Grid
    solid: np.ndarray
    void: np.ndarray

    def infer(self, *specs: Spec) -> Spec:
        """As rho; the masks must fit the grid and not overlap."""
        require_on_grid(specs[0], self.grid)
        for name, mask in (("solid", self.solid), ("void", self.void)):
            if np.shape(mask) != self.grid.shape:
                message = f"the mask {name!r} has shape {np.shape(mask)}, fields are {self.grid.shape}"
                raise tg.SpecError(message, port=name, fix="Give one boolean per element")
        if np.any(np.logical_and(self.solid, self.void)):
            raise tg.SpecError("some elements are both solid and void", fix="Make the masks disjoint")
        return specs[0]

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """rho (1 - solid - void) + solid."""
        solid = np.asarray(self.solid, dtype=np.float64)
        designed = 1.0 - solid - np.asarray(self.void, dtype=np.float64)
        field = self.grid.field()
        fixed: Edge = Add()(Hadamard()(edges[0], tg.constant(designed, field)), tg.constant(solid, field))
        return fixed
