"""A node whose registered rules are wrong on purpose, and graphs around it: where a rule runs, its factor shows.

With y = x^2 and J = dy/dx, the registered cotangent rule gives VJP J^T ct and the registered tangent rule JVP J t.
For a scalar c(y) behind it, every derivative of c(x) is then known, whatever the order in which modes are nested.
With C = J^T c'' J (the curvature of c) and D = diag(2 c') (that of the node, which comes from AD of the body of a
rule and so carries the factor of that rule once):

    reverse           VJP J^T c'                 forward           JVP J^T c'
    rev over rev      VJP D + VJP^2 C            fwd over rev      VJP D + VJP JVP C
    rev over fwd      JVP D + VJP JVP C          fwd over fwd      JVP D + JVP^2 C
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Edge, Graph, Node, Port, codec
from tograph import nodes as n
from tograph.arithmetic import Dot
from tograph.implicit import ImplicitNode
from tograph.solvers import Newton

VJP, JVP = 7.0, 5.0
CALLS: Counter[str] = Counter()


@tg.node
class Planted(Node):
    """y = x^2, with wrong rules."""

    inputs = (Port("x", "field"),)
    elementwise = True

    def forward(self, xp: Any, *values: Any) -> Any:
        CALLS["forward"] += 1
        return values[0] * values[0]


@tg.vjp(Planted, "x")
def _(node: Planted, xp: Any, ct: Any, x: Any) -> Any:
    CALLS["vjp"] += 1
    return VJP * 2.0 * x * ct


@tg.jvp(Planted, "x")
def _(node: Planted, xp: Any, t: Any, x: Any) -> Any:
    CALLS["jvp"] += 1
    return JVP * 2.0 * x * t


@codec.register
@attrs.frozen
class CountingSolver:
    """SciPy's direct solver, and how often it was asked."""

    def factor(self, pattern: n.ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> Any:
        CALLS["factor"] += 1
        return n.DirectSolver().factor(pattern, moduli, elements)

    def solve(self, factor: Any, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        CALLS["solve"] += 1
        CALLS["right-hand sides"] += rhs.shape[0]
        return n.DirectSolver().solve(factor, rhs, transposed=transposed)


GRID = n.Grid(2, 1)
CLAMPED = GRID.dofs(GRID.nodes("left"))
RNG = np.random.default_rng(3)
LOAD, PROBE = RNG.normal(size=GRID.n_dofs()), RNG.normal(size=GRID.n_dofs())
X = RNG.uniform(0.6, 0.9, GRID.shape)
DIRECTION = RNG.normal(size=GRID.shape)


def analysis(y: Edge) -> Edge:
    """A displacement in a direction that is not that of the load: state and adjoint are two solves with one factor."""
    K = n.Stiffness(GRID, fixed=CLAMPED)(y)
    probed: Edge = Dot()(n.LinearSolve(CountingSolver())(K, LOAD), PROBE)
    return probed


def smooth(y: Edge) -> Edge:
    """A scalar without a host part."""
    found: Edge = Dot()(y * y * y, WEIGHTS) + Dot()(y, y) * Dot()(y, WEIGHTS)
    return found


WEIGHTS = RNG.normal(size=GRID.shape)
KINDS = {"host": analysis, "device": smooth}


def planted(kind: str) -> Graph:
    """x -> y = Planted(x) -> c."""
    x = tg.source("x", GRID.field())
    return Graph([x], {"c": KINDS[kind](Planted()(x))})


@tg.node
class Root(ImplicitNode):
    """y with y^3 + y = x, so dy/dx = 1 / (3 y^2 + 1)."""

    inputs = (Port("x"),)
    jacobian = "diagonal"
    solver: Any = attrs.field(factory=Newton)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        return y**3 + y - inputs[0]

    def start(self, xp: Any, *inputs: Any) -> Any:
        return inputs[0]


def rooted(**options: Any) -> Graph:
    """x -> sum of y^2 with y^3 + y = x."""
    x = tg.source("x", GRID.field())
    y = Root(Newton(**options))(x)
    return Graph([x], {"c": Dot()(y, y)})


def loaded() -> Graph:
    """f -> compliance under a load that is an input; the stiffness is fixed, and so is its factor."""
    f = tg.source("f", GRID.vector())
    K = n.Stiffness(GRID, fixed=CLAMPED)(tg.constant(X, GRID.field()))
    return Graph([f], {"c": Dot()(n.LinearSolve(CountingSolver())(K, f), f)})


def truth(kind: str) -> tuple[float, np.ndarray, np.ndarray]:
    """c, its gradient and its Hessian with respect to y at y = X^2, without the node."""
    y = tg.source("y", GRID.field())
    program = Graph([y], {"c": KINDS[kind](y)}).compile("jax")
    at = X * X
    value, slope = program.value_and_grad("c", "y")(at)
    hvp = program.hvp("c", "y")
    columns = [hvp(at, e.reshape(GRID.shape))[2].ravel() for e in np.eye(X.size)]
    return value, slope, np.stack(columns, axis=1)


def expected(kind: str) -> dict[str, np.ndarray]:
    """Every derivative by the modes that were nested, innermost last: "fr" is forward over reverse."""
    value, slope, curvature = truth(kind)
    jacobian = np.diag(2.0 * X.ravel())
    first, bent, node = (2.0 * X * slope), jacobian @ curvature @ jacobian, np.diag(2.0 * slope.ravel())
    return {
        "": np.asarray(value),
        "r": VJP * first,
        "f": JVP * first,
        "rr": VJP * node + VJP * VJP * bent,
        "fr": VJP * node + VJP * JVP * bent,
        "rf": JVP * node + VJP * JVP * bent,
        "ff": JVP * node + JVP * JVP * bent,
    }
