"""A network as stored energy: convex in the strain if wanted, without energy and stress at zero strain by construction.

    z_1 = s(W_1 e + V_1 a + b_1),   z_l = s(U_l z_(l-1) + W_l e + V_l a + b_l)
    N(e, a) = c . z_L + 1/2 sum_j q_j(a) (w_j . e)^2,   q(a) = s(V_q a + b_q)
    psi = strain_scale^2 [N(e, a) - N(0, a) - N_e(0, a) e],   e = strain / strain_scale,  s(x) = ln(1 + e^x)

With U_l and c made positive, N is convex in e, for s is convex and grows (Amos, Xu & Kolter, Input convex neural
networks, ICML 2017). The squares are a linear response of their own, for strains so small that nothing else is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Axis, Port, Spec, SpecError

from .constitutive import EnergyNode


@tg.node
class NeuralEnergy(EnergyNode):
    """psi(strain; a, weights) of a network, see the module; psi = 0 and d psi / d strain = 0 at zero strain.

    strain: (..., k), dimensionless; one field per name in `micro`: (...), of any range near [0, 1]; weights: params,
    one vector, `weights_spec`; psi: (...), in the unit of stress that the weights are trained in. The same weights give
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

    @property
    def inputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """Strain, microstructure parameters, weights."""
        return (Port("strain"), *(Port(name) for name in self.micro), Port("weights", "params|vector|array"))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the parts of the vector of weights: per layer W, V, b and (from the second on) U; c; w, V_q, b_q."""
        k, m, h = self.components, len(self.micro), self.width
        layers = [(k, h), (m, h), (h,)] + [(k, h), (m, h), (h,), (h, h)] * (self.depth - 1)
        return [*layers, (h,), (k, h), (m, h), (h,)]

    @property
    def weights_spec(self) -> Spec:
        """The spec for a source of weights."""
        return Spec("params", (Axis("weight", sum(map(math.prod, self.shapes))),))

    def initial(self, seed: int = 0) -> np.ndarray:
        """Random weights: normal with variance 1 / inputs, biases 0; what is made positive starts small."""
        rng = np.random.default_rng(seed)
        parts = []
        for i, shape in enumerate(self.shapes):
            part = rng.normal(size=shape) / math.sqrt(max(shape[0], 1)) if len(shape) > 1 else np.zeros(shape)
            parts.append(part - math.log(self.width) if self.convex and i in self._grown() else part)
        return np.concatenate([part.ravel() for part in parts])

    def _grown(self) -> list[int]:
        """Which parts are made positive: every U_l, and c."""
        return [*range(6, len(self.shapes) - 4, 4), len(self.shapes) - 4]

    def infer(self, *specs: Spec) -> Spec:
        if specs[0].shape and specs[0].shape[-1] != self.components:
            raise SpecError(f"is {specs[0].label()}, not of {self.components} components", port="strain")
        if specs[-1].shape != self.weights_spec.shape:
            fix = "Use `node.weights_spec` for the source and `node.initial(seed)` for its default"
            raise SpecError(
                f"is {specs[-1].label()}, but {self.weights_spec.label()} is needed", port="weights", fix=fix
            )
        return super().infer(*specs)

    def forward(self, xp: Any, *values: Any) -> Any:
        strain, *micro, weights = values
        e = strain / self.strain_scale
        a = xp.stack(micro, axis=-1) if micro else None
        parts = iter(self._parts(xp, weights))
        here: Any = None  # z at e
        start: Any = None  # z at 0, and along: its derivative along e
        along: Any = None
        for layer in range(self.depth):
            W, V, b = next(parts), next(parts), next(parts)
            moved, still = xp.matmul(e, W), b if a is None else xp.matmul(a, V) + b
            x, x0, t = moved + still, still, moved
            if layer:
                U = self._positive(xp, next(parts))
                x, x0, t = xp.matmul(here, U) + x, xp.matmul(start, U) + x0, xp.matmul(along, U) + t
            here, start, along = _softplus(xp, x), _softplus(xp, x0), _sigmoid(xp, x0) * t
        c, w, V, b = self._positive(xp, next(parts)), next(parts), next(parts), next(parts)
        q = b if a is None else xp.matmul(a, V) + b
        line = xp.matmul(e, w)
        squares = 0.5 * (_softplus(xp, q) if self.convex else q) * line * line
        psi = xp.sum(c * (here - start - along) + squares, axis=-1)
        return self.strain_scale**2 * psi

    def _parts(self, xp: Any, weights: Any) -> Iterator[Any]:
        start = 0
        for shape in self.shapes:
            size = math.prod(shape)
            yield xp.reshape(weights[start : start + size], shape)
            start += size

    def _positive(self, xp: Any, x: Any) -> Any:
        return _softplus(xp, x) if self.convex else x


def _softplus(xp: Any, x: Any) -> Any:
    return xp.logaddexp(x, xp.zeros_like(x))


def _sigmoid(xp: Any, x: Any) -> Any:
    return 0.5 * (1.0 + xp.tanh(0.5 * x))
