"""Equilibrium wrapped at three depths, which agree in value and gradient.

    (a) matrix -> u             `Stiffness` and `LinearSolve`: the compiler sees matrix, factor and solves
    (b) densities -> u          `SimpDisplacement`: one equation r(u, rho, p, nu, f) = 0 with assembly inside
    (c) densities -> compliance `SimpCompliance`: the whole analysis as a black box, its adjoint by hand

From (a) to (c) less is seen and less can be shared, moved or removed, and more has to be derived by
hand; but any existing code can be wrapped. Source: Sanu, Bessa & Aragon, Leveraging automatic
differentiation in modern machine learning frameworks for (neural) topology optimization, Struct.
Multidisc. Optim. 69:126 (2026).
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import numpy as np

import tograph as tg
from tograph import Node, Port, Spec, SpecError, codec
from tograph.implicit import ImplicitNode
from tograph.port import Wire
from tograph.solvers import RootSolver

from .grid import Grid
from .materials import Simp
from .operators import ApplyOperator
from .pattern import ElementPattern, as_cases, from_cases
from .solve import LinearSolve
from .solvers import DirectSolver
from .stiffness import ElementStiffness, Stiffness


@codec.register
@attrs.frozen
class SparseSolver(RootSolver):
    """For equations that are linear in y, with an operator as matrix: factorises it on the host.

    The node gives the operator by `operator(xp, *inputs)` as (moduli, element matrices), its `pattern()`, and
    in `start` the prescribed values. The same factorisation, made again, solves for tangents and adjoints;
    dr/dy is the operator between free dofs, and the identity at fixed ones. Symmetric operators only.

    Attributes:
        solver: a `tograph.nodes.Solver`.
    """

    solver: Any = attrs.field(factory=DirectSolver)
    host: ClassVar[bool] = True

    def solve(self, backend: Any, node: Any, residual: Any, inputs: list[Any]) -> Any:
        """One Newton step, which is exact for what is linear."""
        y = node.start(backend.xp, *inputs)
        return y - self.solve_linearized(backend, node, residual, y, inputs, residual(y), False)

    def solve_linearized(
        self, backend: Any, node: Any, residual: Any, y: Any, inputs: list[Any], s: Any, transposed: bool
    ) -> Any:
        """K_ff^-1 s_f at free dofs, s at fixed ones."""
        pattern = node.pattern()
        factor = self.solver.factor(pattern, *node.operator(backend.xp, *inputs))
        cases = as_cases(backend.xp, s)
        x = self.solver.solve(factor, cases, transposed=transposed) + pattern.supports * cases
        return from_cases(backend.xp, x, s.ndim)


class _SimpAnalysis:
    """What (b) and (c) have in common: E = E_min + rho^p (E_max - E_min), and the stiffness K(E, nu)."""

    grid: Grid
    fixed: np.ndarray
    plane: str

    def pattern(self) -> ElementPattern:
        """Where element values go."""
        return Stiffness(self.grid, fixed=self.fixed).pattern()

    def operator(self, xp: Any, rho: Any, *others: Any) -> tuple[Any, Any]:
        """K as moduli (1, *grid.shape) and element matrices (1, d, d)."""
        p, low, high, nu = others[-4:]
        moduli = Simp().forward(xp, rho, p, low, high)
        return moduli[None], ElementStiffness(self.grid, self.plane).forward(xp, nu)

    def apply(self, xp: Any, operator: tuple[Any, Any], u: Any) -> Any:
        """K u on all dofs."""
        return ApplyOperator(self.pattern()).forward(xp, operator, u)

    def require_vectors(self, specs: tuple[Spec, ...]) -> None:
        """Raise `SpecError` unless E makes an operator and all vectors fit it."""
        operator = Stiffness(self.grid, fixed=self.fixed, plane=self.plane).infer(specs[0])
        LinearSolve().infer(operator, *specs[1:])


@tg.node
class SimpDisplacement(_SimpAnalysis, ImplicitNode):
    """u with r(u; rho, f, g, p, nu, ...) = 0, the equilibrium of a SIMP material: wrapping (b).

    With 1_f and 1_p the masks of free and prescribed dofs,

        r = 1_f (K(rho) (1_f u + 1_p g) - f) + 1_p (u - g),

    so dr/du = K_ff + 1_p is symmetric. All derivatives, those in p and nu included, are by AD of r and the
    implicit function theorem; nothing is derived by hand.

    rho: field of densities in [0, 1]; f: vector (n_dofs,) or (n_dofs, cases) of forces; g: vector as f, of
    which only the entries at fixed dofs count; u: vector as f.

    Attributes:
        grid, nu, fixed, plane: as for `Stiffness`.
        p, E_min, E_max: as for `Simp`.
        solver: a `RootSolver`: `SparseSolver` on the host, or `Newton()`, dense on the device.
    """

    inputs = (Port("rho", "field"), Port("f", "vector"), Port("g", "vector"))
    outputs = (Port("u", "vector"),)
    symmetric: ClassVar[bool] = True
    grid: Grid
    p: Any = tg.parameter(default=3.0, low=1.0)
    E_min: Any = tg.parameter(default=1e-9, low=0.0)
    E_max: Any = tg.parameter(default=1.0, above=0.0)
    nu: Any = tg.parameter(default=0.3, above=-1.0, high=0.5)
    fixed: np.ndarray = ()  # type: ignore[assignment]
    plane: str = "stress"
    solver: Any = attrs.field(factory=SparseSolver)

    def infer(self, *specs: Spec) -> Spec:
        self.require_vectors(specs[:3])
        return attrs.evolve(specs[1], kind="vector", unit=None)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        f, g = inputs[1:3]
        held = self._supports(xp, y)
        balance = self.apply(xp, self.operator(xp, *inputs), (1.0 - held) * y + held * g) - f
        return (1.0 - held) * balance + held * (y - g)

    def start(self, xp: Any, *inputs: Any) -> Any:
        g = inputs[2]
        return self._supports(xp, g) * g

    def scale(self, xp: Any, *inputs: Any) -> Any:
        f, start = inputs[1], self.start(xp, *inputs)
        return xp.max(xp.abs(f)) + xp.max(xp.abs(self.apply(xp, self.operator(xp, *inputs), start)))

    def _supports(self, xp: Any, like: Any) -> Any:
        mask = xp.asarray(self.pattern().supports, dtype=like.dtype)
        return mask if like.ndim == 1 else mask[:, None]


@tg.node
class SimpCompliance(_SimpAnalysis, Node):
    """c = f . u with K(rho) u = f, supports at zero, SIMP material, all in one host node: wrapping (c).

    The displacements are a second output. They are at hand anyway, and what is an output is kept for the
    rules: without it every gradient would have to factorise K a second time to find them again. So the
    gradient of c costs no solve, and that of anything else made from u one.

    rho: field of densities in [0, 1]; f: vector (n_dofs,) or (n_dofs, cases) of forces; c: scalar; u: vector as f.
    The rules below are for rho and f: a derivative in p or nu would have to be derived by hand as well.

    Attributes:
        grid, nu, fixed, plane: as for `Stiffness`.
        p, E_min, E_max: as for `Simp`.
        solver: a `Solver`.
    """

    inputs = (Port("rho", "field"), Port("f", "vector"))
    outputs = (Port("c", "scalar"), Port("u", "vector"))
    host: ClassVar[bool] = True
    grid: Grid
    p: Any = tg.parameter(default=3.0, low=1.0)
    E_min: Any = tg.parameter(default=1e-9, low=0.0)
    E_max: Any = tg.parameter(default=1.0, above=0.0)
    nu: Any = tg.parameter(default=0.3, above=-1.0, high=0.5)
    fixed: np.ndarray = ()  # type: ignore[assignment]
    plane: str = "stress"
    solver: Any = attrs.field(factory=DirectSolver)

    def infer(self, *specs: Spec) -> tuple[Spec, Spec]:
        if any(isinstance(value, Wire) for value in self.parameters.values()):
            raise SpecError("parameters of this node cannot be wires", fix="Use SimpDisplacement, or Stiffness")
        self.require_vectors(specs[:2])
        return Spec("scalar"), attrs.evolve(specs[1], kind="vector", unit=None)

    def forward(self, xp: Any, *values: Any) -> Any:
        rho, f, *parameters = values
        u = self.solve(rho, f, parameters)
        return np.sum(f * u), u

    def solve(self, rho: Any, s: Any, parameters: Any) -> Any:
        """K(rho)^-1 s, 0 at fixed dofs."""
        factor = self.solver.factor(self.pattern(), *self.operator(np, rho, *parameters))
        return from_cases(np, self.solver.solve(factor, as_cases(np, s), transposed=False), s.ndim)


# c = f . u and K u = f with K = K^T. Hence dc = u . df + f . du, du = K^-1 (df - dK u), and for cotangents
# c_bar, u_bar with lambda = K^-1 (c_bar f + u_bar) = c_bar u + K^-1 u_bar:
#     f_bar = c_bar u + lambda (0 at fixed dofs),   rho_bar_e = -E'(rho_e) (P_e lambda)^T K_e (P_e u)
# Bendsoe & Sigmund, Topology Optimization, 2nd ed. (2004), section 1.2.3.


def _adjoint(node: SimpCompliance, ct: Any, rho: Any, u: Any, parameters: Any) -> Any:
    c_bar, u_bar = ct
    if not np.any(u_bar):
        return c_bar * u
    return c_bar * u + node.solve(rho, u_bar, parameters)


def _slope(node: SimpCompliance, rho: Any, parameters: Any) -> Any:
    """E'(rho)."""
    p, low, high, _ = parameters
    return p * rho ** (p - 1.0) * (high - low)


@tg.vjp(SimpCompliance, "rho")
def _(node: SimpCompliance, xp: Any, ct: Any, rho: Any, u: Any, p: Any, E_min: Any, E_max: Any, nu: Any) -> Any:
    parameters = (p, E_min, E_max, nu)
    lam = _adjoint(node, ct, rho, u, parameters)
    _, (K_e,) = node.operator(xp, rho, *parameters)
    a, b = (node.pattern().gather(xp, as_cases(xp, v)) for v in (lam, u))
    return -_slope(node, rho, parameters) * np.sum((a @ K_e) * b, axis=(0, -1))


@tg.vjp(SimpCompliance, "f")
def _(node: SimpCompliance, xp: Any, ct: Any, rho: Any, u: Any, p: Any, E_min: Any, E_max: Any, nu: Any) -> Any:
    return ct[0] * u + _adjoint(node, ct, rho, u, (p, E_min, E_max, nu))


@tg.jvp(SimpCompliance, "rho")
def _(node: SimpCompliance, xp: Any, t: Any, rho: Any, f: Any, u: Any, p: Any, E_min: Any, E_max: Any, nu: Any) -> Any:
    parameters = (p, E_min, E_max, nu)
    moduli = (_slope(node, rho, parameters) * t)[None]
    _, K_e = node.operator(xp, rho, *parameters)
    moved = node.solve(rho, -node.apply(xp, (moduli, K_e), u), parameters)
    return np.sum(f * moved), moved


@tg.jvp(SimpCompliance, "f")
def _(node: SimpCompliance, xp: Any, t: Any, rho: Any, f: Any, u: Any, p: Any, E_min: Any, E_max: Any, nu: Any) -> Any:
    moved = node.solve(rho, t, (p, E_min, E_max, nu))
    return np.sum(t * u) + np.sum(f * moved), moved
