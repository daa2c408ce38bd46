"""Objectives and constraints: scalars of the state and of the design."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Edge, Node, Port, Spec, SpecError
from tograph.arithmetic import Dot


@tg.node
class WeightCases(Node):
    """y_ik = w_k x_ik: weights on load cases. x, y: vector (n_dofs, cases); w dimensionless."""

    inputs = (Port("x", "vector"),)
    linear = ("x",)
    scaling = "x"
    weights: tuple[float, ...]

    def infer(self, *specs: Spec) -> Spec:
        """As x, which must have one column per weight."""
        cases = specs[0].shape[1] if len(specs[0].shape) > 1 else 1
        if cases != len(self.weights):
            raise SpecError(
                f"{len(self.weights)} weights for {cases} load cases", port="weights", fix="Give one weight per case"
            )
        return specs[0]

    def forward(self, xp: Any, *values: Any) -> Any:
        """x w."""
        (x,) = values
        w = xp.asarray(np.asarray(self.weights), dtype=x.dtype)
        return x * (w[0] if x.ndim == 1 else w)


@tg.graph_vjp(WeightCases, "x")
def _(node: WeightCases, ct: Edge) -> Edge:
    weighted: Edge = node(ct)
    return weighted


@tg.node
class Compliance(Node):
    """c = sum_k w_k f_k . u_k: work of the loads, without the factor 1/2. Units: force times length.

    u, f: vectors (n_dofs,) or (n_dofs, cases). `weights`: one per load case, 1 by default.
    """

    inputs = (Port("u", "vector"), Port("f", "vector"))
    outputs = (Port("c", "scalar"),)
    weights: tuple[float, ...] = attrs.field(default=(), converter=lambda w: tuple(float(x) for x in np.atleast_1d(w)))

    def infer(self, *specs: Spec) -> Spec:
        """A scalar."""
        if specs[0].shape != specs[1].shape:
            raise SpecError(
                f"is {specs[1].label()}, but u is {specs[0].label()}", port="f", fix="Use the load that was solved for"
            )
        if self.weights:
            WeightCases(self.weights).infer(specs[0])
        return Dot().infer(*specs)

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """u . (w f)."""
        u, f = edges
        c: Edge = Dot()(u, WeightCases(self.weights)(f) if self.weights else f)
        return c


@tg.node
class VolumeFraction(Node):
    """v = mean of rho over the elements, or over those of `mask`. rho: field in [0, 1]; v in [0, 1]."""

    inputs = (Port("rho", "field"),)
    outputs = (Port("v", "scalar"),)
    mask: Any = None

    def infer(self, *specs: Spec) -> Spec:
        """A scalar."""
        if self.mask is not None and np.shape(self.mask) != specs[0].shape:
            raise SpecError(f"has shape {np.shape(self.mask)}, the field {specs[0].shape}", port="mask")
        if self.mask is not None and not np.any(self.mask):
            raise SpecError("counts no element", port="mask", fix="Mark at least one element True")
        return tg.Spec("scalar")

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """rho . w with w = 1/n on the n elements counted."""
        assert specs[0] is not None
        counted = np.ones(specs[0].shape) if self.mask is None else np.asarray(self.mask, dtype=np.float64)
        v: Edge = Dot()(edges[0], tg.constant(counted / counted.sum(), specs[0]))
        return v
