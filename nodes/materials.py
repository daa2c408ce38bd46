"""Material interpolation: from density to modulus."""

from __future__ import annotations

from typing import Any

import tograph as tg
from tograph import Node, Port


@tg.node
class Simp(Node):
    """Modified SIMP: E = E_min + rho^p (E_max - E_min).

    rho: field of densities in [0, 1], dimensionless. E: field of moduli in the unit of E_max.
    p >= 1 penalisation; 0 <= E_min << E_max. All three are constants or wires.
    Source: Sigmund, Struct. Multidisc. Optim. 33:401 (2007), eq. 2.
    """

    inputs = (Port("rho", "field"),)
    outputs = (Port("E", "field"),)
    elementwise = True
    plain = True
    p: Any = tg.parameter(default=3.0, low=1.0)
    E_min: Any = tg.parameter(default=1e-9, low=0.0)
    E_max: Any = tg.parameter(default=1.0, above=0.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        """E_min + rho^p (E_max - E_min)."""
        rho, p, low, high = values
        return low + _power(xp, rho, p) * (high - low)


def _power(xp: Any, rho: Any, p: Any) -> Any:
    # A filter by FFT may leave -1e-17 where the density is 0; its non-integer power would be NaN.
    return xp.clip(rho, 0.0, None) ** p


@tg.pointwise(Simp, "rho")
def _(node: Simp, xp: Any, rho: Any, p: Any, E_min: Any, E_max: Any) -> Any:
    return p * (E_max - E_min) * _power(xp, rho, p - 1.0)


@tg.pointwise(Simp, "p")
def _(node: Simp, xp: Any, rho: Any, p: Any, E_min: Any, E_max: Any) -> Any:
    # d/dp rho^p = rho^p ln rho, which tends to 0 with rho.
    positive = rho > 0.0
    logarithm = xp.log(xp.where(positive, rho, xp.ones_like(rho)))
    return _power(xp, rho, p) * logarithm * (E_max - E_min)


@tg.pointwise(Simp, "E_min")
def _(node: Simp, xp: Any, rho: Any, p: Any) -> Any:
    return 1.0 - _power(xp, rho, p)


@tg.pointwise(Simp, "E_max")
def _(node: Simp, xp: Any, rho: Any, p: Any) -> Any:
    return _power(xp, rho, p)


@tg.node
class Ramp(Node):
    """RAMP: E = E_min + rho / (1 + q (1 - rho)) (E_max - E_min).

    rho: field of densities in [0, 1], dimensionless. E: field of moduli in the unit of E_max.
    q >= 0 penalisation; 0 <= E_min << E_max. All three are constants or wires.
    Source: Stolpe & Svanberg, Struct. Multidisc. Optim. 22:116 (2001), eq. 6.
    """

    inputs = (Port("rho", "field"),)
    outputs = (Port("E", "field"),)
    elementwise = True
    plain = True
    q: Any = tg.parameter(default=8.0, low=0.0)
    E_min: Any = tg.parameter(default=1e-9, low=0.0)
    E_max: Any = tg.parameter(default=1.0, above=0.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        """E_min + rho / (1 + q (1 - rho)) (E_max - E_min)."""
        rho, q, low, high = values
        return low + rho / (1.0 + q * (1.0 - rho)) * (high - low)


@tg.pointwise(Ramp, "rho")
def _(node: Ramp, xp: Any, rho: Any, q: Any, E_min: Any, E_max: Any) -> Any:
    return (1.0 + q) / (1.0 + q * (1.0 - rho)) ** 2 * (E_max - E_min)


@tg.pointwise(Ramp, "q")
def _(node: Ramp, xp: Any, rho: Any, q: Any, E_min: Any, E_max: Any) -> Any:
    return -rho * (1.0 - rho) / (1.0 + q * (1.0 - rho)) ** 2 * (E_max - E_min)


@tg.pointwise(Ramp, "E_min")
def _(node: Ramp, xp: Any, rho: Any, q: Any) -> Any:
    return 1.0 - rho / (1.0 + q * (1.0 - rho))


@tg.pointwise(Ramp, "E_max")
def _(node: Ramp, xp: Any, rho: Any, q: Any) -> Any:
    return rho / (1.0 + q * (1.0 - rho))
