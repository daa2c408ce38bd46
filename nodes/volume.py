"""Volume enforced exactly: the densities are shifted, inside the sigmoid, until their mean is V."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np

import tograph as tg
from tograph import Edge, Node, Port, Spec, SpecError
from tograph.implicit import ImplicitNode
from tograph.solvers import Bisection

from .projections import Heaviside


@tg.node
class Sigmoid(Node):
    """rho = 1 / (1 + exp(-(x + shift))), element by element.

    x: field of logits, any real number; `shift`: one number for all elements, constant or wire; rho: field
    in [0, 1]; all dimensionless.
    """

    inputs = (Port("x", "field"),)
    outputs = (Port("rho", "field"),)
    elementwise = True
    shift: Any = tg.parameter(default=0.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        """The formula above."""
        x, shift = values
        return _sigmoid(xp, x + shift)


def _sigmoid(xp: Any, x: Any) -> Any:
    # Equal to 1 / (1 + e^-x), without an exponential that overflows (and whose derivative would be inf / inf).
    return 0.5 * (1.0 + xp.tanh(0.5 * x))


@tg.pointwise(Sigmoid, "x")
def _(node: Sigmoid, xp: Any, rho: Any) -> Any:
    return rho * (1.0 - rho)


@tg.pointwise(Sigmoid, "shift")
def _(node: Sigmoid, xp: Any, rho: Any) -> Any:
    return rho * (1.0 - rho)


@tg.node
class VolumeShift(ImplicitNode):
    """eta such that the mean of sigmoid(x + eta) over the elements, or over those of `mask`, is V.

    Weights instead of a mask make it a weighted mean: those of `filter_share` hold the volume of the filtered field.

    x: field of logits; eta: scalar. The mean grows strictly with eta, from 0 to 1, so there is one root.
    At the largest counted logit sigmoid(x + eta) >= V and at the smallest <= V, which brackets it:
    logit(V) - max x <= eta <= logit(V) - min x.

    Attributes:
        V: volume fraction in (0, 1), dimensionless; constant or wire.
        mask: array of the field's shape: booleans, or weights >= 0, whose sum does not matter; None for all alike.
        solver: a `RootSolver`; bisection by default, which cannot miss.

    Raises (when run):
        SolveError: V is not between 0 and 1.

    Source: the exact volume constraint by a shift of the logits, Hoyer, Sohl-Dickstein & Greydanus, Neural
    reparameterization improves structural optimization (2019), section 3, whose fixed bounds are not kept.
    """

    inputs = (Port("x", "field"),)
    outputs = (Port("eta", "scalar"),)
    jacobian: ClassVar[str] = "diagonal"
    tolerance: ClassVar[float] = 1e-10
    V: Any = tg.parameter(above=0.0, high=1.0)
    mask: Any = None
    solver: Any = attrs.field(factory=Bisection)

    def infer(self, *specs: Spec) -> Spec:
        """A scalar; the mask must fit the field and count something."""
        if self.mask is not None and np.shape(self.mask) != specs[0].shape:
            raise SpecError(f"has shape {np.shape(self.mask)}, the field {specs[0].shape}", port="mask")
        if self.mask is not None and not (np.any(self.mask) and np.min(self.mask) >= 0):
            fix = "Leave it out to count all; weights must not be negative"
            raise SpecError("counts no element, or some less than nothing", port="mask", fix=fix)
        return Spec("scalar")

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        """mean of sigmoid(x + eta), minus V."""
        x, V = inputs
        return _mean(xp, _sigmoid(xp, x + y), self.mask) - V

    def bracket(self, xp: Any, *inputs: Any) -> tuple[Any, Any]:
        """See above."""
        x, V = inputs
        middle = xp.log(V / (1.0 - V))
        low, high = x, x
        if self.mask is not None:
            counted = xp.asarray(np.array(self.mask, dtype=np.bool_))
            low, high = xp.where(counted, x, np.inf), xp.where(counted, x, -np.inf)
        return middle - xp.max(high), middle - xp.min(low)

    def start(self, xp: Any, *inputs: Any) -> Any:
        """The middle of the bracket."""
        low, high = self.bracket(xp, *inputs)
        return 0.5 * (low + high)


def _mean(xp: Any, rho: Any, mask: Any) -> Any:
    """Over all elements, or weighted."""
    if mask is None:
        return xp.mean(rho)
    counted = np.asarray(mask, dtype=np.float64)
    return xp.sum(rho * xp.asarray(counted / counted.sum(), dtype=rho.dtype))


@tg.node
class VolumeEnforcing(Node):
    """rho = sigmoid(x + eta(x)) with the shift eta for which the mean of rho is exactly V.

    x: field of logits; rho: field in (0, 1) with mean V over the elements, or over those of `mask`. The
    derivative includes that of eta, so it has no component that would change the volume.

    Attributes:
        V, mask, solver: as for `VolumeShift`.
    """

    inputs = (Port("x", "field"),)
    outputs = (Port("rho", "field"),)
    V: Any = tg.parameter(above=0.0, high=1.0)
    mask: Any = None
    solver: Any = attrs.field(factory=Bisection)

    def infer(self, *specs: Spec) -> Spec:
        """As x."""
        VolumeShift(V=0.5, mask=self.mask).infer(*specs)
        return specs[0]

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """The shift, then the sigmoid."""
        x, V = edges
        eta = VolumeShift(V=V, mask=self.mask, solver=self.solver)(x)
        rho: Edge = Sigmoid(shift=eta)(x)
        return rho


@tg.node
class VolumeThreshold(ImplicitNode):
    """eta such that the mean of the projected field, `Heaviside(beta, eta)` of rho, is V.

    rho: field of densities in [0, 1], some of them neither 0 nor 1; eta: scalar. The mean falls with eta.

    Attributes:
        V: volume fraction in (0, 1), dimensionless; constant or wire. `VolumeFraction()(rho)` keeps that of rho.
        beta: sharpness > 0; constant or wire.
        mask: as for `VolumeShift`.
        solver: a `RootSolver`.

    Source: the volume-preserving projection of Xu, Cai & Cheng, Struct. Multidisc. Optim. 41:495 (2010).
    """

    inputs = (Port("rho", "field"),)
    outputs = (Port("eta", "scalar"),)
    jacobian: ClassVar[str] = "diagonal"
    tolerance: ClassVar[float] = 1e-10
    V: Any = tg.parameter(above=0.0, high=1.0)
    beta: Any = tg.parameter(above=0.0)
    mask: Any = None
    solver: Any = attrs.field(factory=Bisection)

    def infer(self, *specs: Spec) -> Spec:
        """A scalar."""
        return VolumeShift(V=0.5, mask=self.mask).infer(*specs)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        """mean of the projection, minus V."""
        rho, V, beta = inputs
        low, high = xp.tanh(beta * y), xp.tanh(beta * (1.0 - y))
        return _mean(xp, (low + xp.tanh(beta * (rho - y))) / (low + high), self.mask) - V

    def bracket(self, xp: Any, *inputs: Any) -> tuple[Any, Any]:
        """0 and 1, between which the root of V = mean rho lies; widened for others."""
        zero = xp.sum(inputs[0]) * 0.0
        return zero, zero + 1.0


@tg.node
class VolumeHeaviside(Node):
    """`Heaviside` with the threshold for which the mean of rho_p is exactly V, whatever beta.

    rho: field of densities in [0, 1], e.g. filtered; rho_p: field in [0, 1] with mean V. The derivative includes that
    of the threshold.

    Attributes:
        beta, V, mask, solver: as for `VolumeThreshold`.
    """

    inputs = (Port("rho", "field"),)
    outputs = (Port("rho_p", "field"),)
    beta: Any = tg.parameter(above=0.0)
    V: Any = tg.parameter(above=0.0, high=1.0)
    mask: Any = None
    solver: Any = attrs.field(factory=Bisection)

    def infer(self, *specs: Spec) -> Spec:
        """As rho."""
        VolumeShift(V=0.5, mask=self.mask).infer(*specs)
        return specs[0]

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """The threshold, then the projection."""
        rho, beta, V = edges
        eta = VolumeThreshold(V=V, beta=beta, mask=self.mask, solver=self.solver)(rho)
        rho_p: Edge = Heaviside(beta=beta, eta=eta)(rho)
        return rho_p
