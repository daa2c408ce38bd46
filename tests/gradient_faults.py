"""The gallery of faults: eleven small graphs whose gradient is wrong, zero or not a number, each for one reason.

Each function returns the graph; `POINTS` has the inputs at which the fault shows, `OF` and `WRT` are those of `FAULTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import attrs
import numpy as np

import tograph as tg
from tograph import nodes as n
from tograph.elementwise import Cast
from tograph.implicit import ImplicitNode
from tograph.solvers import FixedPoint

GRID = n.Grid(6, 4)


class Fault(NamedTuple):
    """A graph with one fault, the node that is to blame, and the inputs at which it shows."""

    graph: tg.Graph
    node: str
    inputs: dict[str, np.ndarray]
    wrt: str = "rho"


def ramp(low: float, high: float) -> np.ndarray:
    """A design between two densities."""
    return np.linspace(low, high, 24).reshape(4, 6)


def root() -> Fault:
    """d sqrt(rho) / d rho is infinite at 0; the filter behind it spreads that."""
    rho = tg.source("rho", GRID.field())
    root = rho**0.5
    rho_f = n.DensityFilter(GRID, radius=1.5)(root)
    return Fault(tg.Graph([rho], {"c": n.Dot()(rho_f, rho_f)}), "root", {"rho": ramp(0.0, 1.0)})


@tg.node
class Sigmoid(tg.Node):
    """e^(beta x) / (e^(beta x) + e^(beta/2)), which overflows where beta x > 709."""

    inputs = (tg.Port("x"),)
    beta: Any = tg.parameter(default=1.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        x, beta = values
        return xp.exp(beta * x) / (xp.exp(beta * x) + xp.exp(beta * 0.5))


def overflow() -> Fault:
    """inf / inf in a projection with huge beta."""
    rho = tg.source("rho", GRID.field())
    rho_f = n.DensityFilter(GRID, radius=1.5)(rho)
    rho_p = Sigmoid(beta=2000.0)(rho_f)
    return Fault(tg.Graph([rho], {"c": n.Dot()(rho_p, rho_p)}), "rho_p", {"rho": ramp(0.1, 0.9)})


def detached() -> Fault:
    """The only path is cut, on purpose or not."""
    rho, weight = tg.source("rho", GRID.field()), tg.source("weight")
    held = tg.detach(rho, reason="frozen within an iteration")
    c = weight * n.Dot()(held, held)
    return Fault(tg.Graph([rho, weight], {"c": c}), "held", {"rho": ramp(0.1, 0.9), "weight": np.array(2.0)})


def saturated() -> Fault:
    """A steep projection is flat, to the last bit, away from its threshold."""
    rho = tg.source("rho", GRID.field())
    rho_p = n.Heaviside(beta=200.0)(rho)
    E = n.Simp()(rho_p)
    return Fault(tg.Graph([rho], {"c": n.Dot()(E, E)}), "rho_p", {"rho": ramp(0.8, 0.9)})


@tg.node
class Rounded(tg.Node):
    """The nearest whole number."""

    inputs = (tg.Port("x"),)

    def infer(self, *specs: tg.Spec) -> tg.Spec:
        return attrs.evolve(specs[0], kind="integer", dtype="integer")

    def forward(self, xp: Any, *values: Any) -> Any:
        return xp.astype(xp.round(values[0]), xp.int32)


@tg.node
class Counted(tg.Node):
    """Integers as real numbers."""

    inputs = (tg.Port("i", "integer"),)

    def infer(self, *specs: tg.Spec) -> tg.Spec:
        return attrs.evolve(specs[0], kind="field", dtype="real")

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0] * 1.0


def integers() -> Fault:
    """A field is rounded to integers on the way."""
    rho = tg.source("rho", GRID.field())
    solid = Rounded()(rho)
    mass = Counted()(solid)
    return Fault(tg.Graph([rho], {"c": n.Dot()(mass, mass)}), "solid", {"rho": ramp(0.1, 0.9)})


def missing() -> Fault:
    """An input that the objective does not hang on."""
    rho, theta = tg.source("rho", GRID.field()), tg.source("theta")
    c = n.Dot()(rho, rho)
    other = theta * n.VolumeFraction()(rho)
    graph = tg.Graph([rho, theta], {"c": c, "other": other})
    return Fault(graph, "theta", {"rho": ramp(0.1, 0.9), "theta": np.array(2.0)}, "theta")


def exploding() -> Fault:
    """1 / rho of a density that is almost 0."""
    rho = tg.source("rho", GRID.field())
    rho_f = n.DensityFilter(GRID, radius=1.5)(rho)
    compliance = 1.0 / rho_f
    total = n.Dot()(compliance, np.ones((4, 6)))
    return Fault(tg.Graph([rho], {"c": total**0.5}), "compliance", {"rho": np.full((4, 6), 1e-9)})


def cancelling() -> Fault:
    """Two contributions of nearly the same size and opposite sign."""
    rho = tg.source("rho", GRID.field())
    rho_f = n.DensityFilter(GRID, radius=1.5)(rho)
    more = rho_f**2.0
    less = rho_f ** (2.0 + 1e-9)
    c = n.Dot()(more, np.ones((4, 6))) - n.Dot()(less, np.ones((4, 6)))
    return Fault(tg.Graph([rho], {"c": c}), "rho_f", {"rho": ramp(0.1, 0.9)})


@tg.node
class Stiffening(tg.Node):
    """y = x^3, with a rule that forgets a factor."""

    inputs = (tg.Port("x"),)
    elementwise = True

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0] ** 3.0


@tg.vjp(Stiffening, "x")
def _(node: Stiffening, xp: Any, ct: Any, x: Any) -> Any:
    return ct * x**2.0


def wrong_rule() -> Fault:
    """A user's own rule is wrong."""
    rho = tg.source("rho", GRID.field())
    rho_f = n.DensityFilter(GRID, radius=1.5)(rho)
    E = Stiffening()(rho_f)
    return Fault(tg.Graph([rho], {"c": n.Dot()(E, E)}), "E", {"rho": ramp(0.1, 0.9)})


@tg.node
class Relaxed(ImplicitNode):
    """y = x + 0.9 sin(y) / 2, started at its solution for x = 0."""

    inputs = (tg.Port("x"),)
    solver: Any = attrs.field(factory=lambda: FixedPoint(iterations=12))

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        return 0.95 * xp.sin(y) + inputs[0] - y

    def start(self, xp: Any, *inputs: Any) -> Any:
        return xp.zeros_like(inputs[0])


def adjoint() -> Fault:
    """The forward iteration starts at its solution; the adjoint iteration gives up before it has converged."""
    rho = tg.source("rho", GRID.field())
    y = Relaxed()(rho)
    return Fault(tg.Graph([rho], {"c": n.Dot()(y, y + 1.0)}), "y", {"rho": np.zeros((4, 6))})


def single() -> Fault:
    """One branch is computed in float32."""
    rho = tg.source("rho", GRID.field())
    rho_f = n.DensityFilter(GRID, radius=1.5)(rho)
    cheap = Cast("float32")(rho_f)
    c = n.Dot()(cheap * rho_f, rho_f)
    return Fault(tg.Graph([rho], {"c": c}), "cheap", {"rho": ramp(0.1, 0.9)})


FAULTS: dict[str, Callable[[], Fault]] = {
    f.__name__: f
    for f in (
        root,
        overflow,
        detached,
        saturated,
        integers,
        missing,
        exploding,
        cancelling,
        wrong_rule,
        adjoint,
        single,
    )
}
