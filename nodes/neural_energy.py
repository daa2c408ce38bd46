"""A network as stored energy: convex in the strain if wanted, without energy and stress at zero strain by construction.

    g = tanh(P a + p),   z_1 = s(W_1 e + V_1 g + b_1),   z_l = s(U_l z_(l-1) + W_l e + V_l g + b_l)
    N(e, a) = c(a) . z_L + 1/2 sum_j q_j(a) (w_j . e)^2,   c(a) = r(V_c g + b_c),  q(a) = r(V_q g + b_q)
    psi = strain_scale^2 [N(e, a) - N(0, a) - N_e(0, a) e],   e = strain / strain_scale
    r(x) = ln(1 + e^x),  s(x) = r(x)^2

With U_l made positive, N is convex in e, for s is convex and grows (Amos, Xu & Kolter, Input convex neural
networks, ICML 2017). The squares are a linear response of their own, for strains so small that nothing else is left.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Port, Spec, SpecError

from .constitutive import EnergyNode
from .weights import Draw, Layout, Network


@tg.node
class NeuralEnergy(EnergyNode, Network):
    """psi(strain; a, theta) of a network, see the module; psi = 0 and d psi / d strain = 0 at zero strain.

    strain: (..., k), dimensionless; one field per name in `micro`: (...), of any range near [0, 1]; theta: the
    weights, `weights_spec`; psi: (...), in the unit of stress that the weights are trained in. The same weights give
    the same values on every backend.

    Attributes:
        components: k, 3 in the plane or 6.
        micro: names of the microstructure parameters.
        width, depth: units per hidden layer, and hidden layers, at least 1.
        convex: whether psi is convex in the strain whatever the weights. In the parameters it is free.
        strain_scale: a typical strain, > 0.
    """

    outputs = (Port("psi", "any"),)
    components: int = 3
    micro: tuple[str, ...] = ("alpha",)
    width: int = attrs.field(default=16, validator=attrs.validators.ge(1))
    depth: int = attrs.field(default=2, validator=attrs.validators.ge(1))
    convex: bool = True
    strain_scale: float = attrs.field(default=1e-2, validator=attrs.validators.gt(0.0))
    dtype: str = attrs.field(default="real", kw_only=True)

    @property
    def inputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """Strain, microstructure parameters, weights."""
        return (Port("strain"), *(Port(name) for name in self.micro), Port("theta", "params|vector|array"))

    def layout(self) -> Layout:
        """P, p, W1, V1, b1, W2, V2, b2, U2, ..., Vc, bc, w, Vq, bq: normal with variance 1 / inputs, biases constant.

        What is made positive starts smaller, so that the sums over units start near those of a free network.
        """
        k, m, h = self.components, len(self.micro), self.width
        shift = -math.log(h) if self.convex else 0.0
        made: dict[str, tuple[tuple[int, ...], Draw]] = {"P": ((m, h), _normal()), "p": ((h,), _normal())}
        for i in range(1, self.depth + 1):
            made |= {f"W{i}": ((k, h), _normal()), f"V{i}": ((h, h), _normal()), f"b{i}": ((h,), _constant(0.0))}
            made |= {f"U{i}": ((h, h), _normal(shift))} if i > 1 else {}
        made |= {"Vc": ((h, h), _normal()), "bc": ((h,), _constant(shift))}
        # As many squares as there are units: each may be that much smaller.
        return made | {"w": ((k, h), _normal(scale=h**-0.5)), "Vq": ((h, h), _normal()), "bq": ((h,), _constant(0.0))}

    def infer(self, *specs: Spec) -> Spec:
        if specs[0].shape and specs[0].shape[-1] != self.components:
            raise SpecError(f"is {specs[0].label()}, not of {self.components} components", port="strain")
        self.require_weights(specs[-1])
        return super().infer(*specs)

    def forward(self, xp: Any, *values: Any) -> Any:
        strain, *micro, theta = values
        e = strain / self.strain_scale
        part = self._cut(xp, theta)
        g = xp.tanh(xp.matmul(xp.stack(micro, axis=-1), part["P"]) + part["p"]) if micro else xp.tanh(part["p"])
        here: Any = None  # z at e
        start: Any = None  # z at 0, and along: its derivative along e
        along: Any = None
        for i in range(1, self.depth + 1):
            t, x0 = xp.matmul(e, part[f"W{i}"]), xp.matmul(g, part[f"V{i}"]) + part[f"b{i}"]
            x = t + x0
            if i > 1:
                U = self._positive(xp, part[f"U{i}"])
                x, x0, t = xp.matmul(here, U) + x, xp.matmul(start, U) + x0, xp.matmul(along, U) + t
            here, start, along = _softplus(xp, x) ** 2, _softplus(xp, x0) ** 2, _slope(xp, x0) * t
        q = self._positive(xp, xp.matmul(g, part["Vq"]) + part["bq"])
        line = xp.matmul(e, part["w"])
        network = self._positive(xp, xp.matmul(g, part["Vc"]) + part["bc"]) * (here - start - along)
        return self.strain_scale**2 * xp.sum(network + 0.5 * q * line * line, axis=-1)

    def _cut(self, xp: Any, theta: Any) -> dict[str, Any]:
        """The arrays of weights by name."""
        found, start = {}, 0
        for name, (shape, _) in self.layout().items():
            found[name] = xp.reshape(theta[start : start + math.prod(shape)], shape)
            start += math.prod(shape)
        return found

    def _positive(self, xp: Any, x: Any) -> Any:
        return _softplus(xp, x) if self.convex else x


def _normal(shift: float = 0.0, scale: float = 1.0) -> Draw:
    return lambda rng, shape: scale * rng.normal(size=shape) / math.sqrt(max(shape[0], 1)) + shift


def _constant(value: float) -> Draw:
    return lambda rng, shape: np.full(shape, value)


def _softplus(xp: Any, x: Any) -> Any:
    return xp.logaddexp(x, xp.zeros_like(x))


def _slope(xp: Any, x: Any) -> Any:
    """s'(x) = 2 r(x) r'(x)."""
    return _softplus(xp, x) * (1.0 + xp.tanh(0.5 * x))
