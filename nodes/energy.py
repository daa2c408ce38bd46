"""Energies of a displacement that is given, not solved for: the terms of losses with one network for rho and u.

At the solution of K(E) u = f the strain energy is least, u . K(E) u = f . u, and for the sensitivity of the compliance
c = f . u with respect to the density only E'(rho) u . K_0 u counts, *with the opposite sign*. The forms below have the
right one with u held: see docs/pinn.md. Source: Sanu, Bessa & Aragon, Leveraging automatic differentiation in modern
machine learning frameworks for (neural) topology optimization, Struct. Multidisc. Optim. 69:126 (2026), appendix A.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import tograph as tg
from tograph import Edge, Node, Port, Spec, SpecError
from tograph.arithmetic import Dot, Scale
from tograph.spec import require_same

from .filters import require_on_grid
from .grid import Grid
from .operators import ApplyOperator
from .pattern import ElementPattern, as_cases
from .stiffness import Assemble, ElementStiffness


@tg.node
class ElementForm(Node):
    """s_e = (P_e u)^T K_e (P_e u) for every element, added up over load cases.

    u: vector (n_dofs,) or (n_dofs, cases), in units of length; K_e: symmetric element matrix (1, d, d); s: field. For
    the stiffness of modulus 1 it is twice the strain energy of the element.
    """

    inputs = (Port("u", "vector"), Port("K_e", "array"))
    outputs = (Port("s", "field"),)
    linear = ("K_e",)
    pattern: ElementPattern

    def infer(self, *specs: Spec) -> Spec:
        require_dofs(specs[0], self.pattern.n_dofs, "u")
        return self.pattern.grid.field()

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """A matrix-vector product per element and case."""
        return self.pattern.element_flops(1)

    def forward(self, xp: Any, *values: Any) -> Any:
        u, K_e = values
        return _form(self, xp, u, u, K_e)


def _form(node: ElementForm, xp: Any, a: Any, b: Any, K_e: Any) -> Any:
    """(P_e a)^T K_e (P_e b), added up over cases."""
    left = as_cases(xp, a)
    return node.pattern.products(xp, left, left if b is a else as_cases(xp, b), K_e[0])


# s_e is quadratic in u and K_e symmetric: u_bar = 2 sum_e s_bar_e P_e^T K_e P_e u = 2 K(s_bar) u.


@tg.graph_vjp(ElementForm, "u")
def _(node: ElementForm, ct: Edge, u: Edge, K_e: Edge) -> Edge:
    doubled: Edge = Scale()(2.0, ApplyOperator(node.pattern)(Assemble(node.pattern)(ct, K_e), u))
    return doubled


@tg.jvp(ElementForm, "u")
def _(node: ElementForm, xp: Any, t: Any, u: Any, K_e: Any) -> Any:
    return 2.0 * _form(node, xp, t, u, K_e)


@tg.vjp(ElementForm, "K_e")
def _(node: ElementForm, xp: Any, ct: Any, u: Any) -> Any:
    local = node.pattern.gather(xp, as_cases(xp, u))
    rows = xp.reshape(local, (-1, local.shape[-1]))
    weighted = xp.reshape(local * ct[None, ..., None], rows.shape)
    return xp.matmul(xp.permute_dims(weighted, (1, 0)), rows)[None]


@tg.node
class StrainEnergy(Node):
    """w = 1/2 sum_e E_e (P_e u)^T K_e(nu) (P_e u) = 1/2 u . K(E) u of Q4 or H8 elements, for any u.

    E: field of Young's moduli; u: vector (n_dofs,) or (n_dofs, cases), in units of length; w: scalar, force times
    length. Nothing is solved: with u from a network, w - f . u is the potential energy that it is trained to lower.

    Attributes:
        grid, nu, plane: as for `Stiffness`.
    """

    inputs = (Port("E", "field"), Port("u", "vector"))
    outputs = (Port("w", "scalar"),)
    grid: Grid
    nu: Any = tg.parameter(default=0.3, above=-1.0, high=0.5)
    plane: str = "stress"

    def infer(self, *specs: Spec) -> Spec:
        require_on_grid(specs[0], self.grid, "E")
        require_dofs(specs[1], self.grid.n_dofs(), "u")
        return Spec("scalar")

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """Half the moduli times the element energies of modulus 1."""
        E, u, nu = edges
        s = ElementForm(_pattern(self.grid))(u, ElementStiffness(self.grid, self.plane, nu)())
        w: Edge = Scale()(0.5, Dot()(E, s))
        return w


def _pattern(grid: Grid) -> ElementPattern:
    return ElementPattern(grid, grid.dim, np.zeros(0, dtype=np.int64))


@tg.node
class ExternalWork(Node):
    """W = f . u of loads f at displacements u: vectors of one shape; scalar, force times length."""

    inputs = (Port("u", "vector"), Port("f", "vector"))
    outputs = (Port("W", "scalar"),)

    def infer(self, *specs: Spec) -> Spec:
        require_same(specs[0], specs[1], ("u", "f"))
        return Spec("scalar")

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """The dot product."""
        W: Edge = Dot()(*edges)
        return W


@tg.node
class InverseSimp(Node):
    """E_hat = E_min + held^(2p) / rho^p (E_max - E_min): SIMP in value, and with minus its slope, where held = rho.

    With held = `tg.detach(rho, ...)`, d E_hat / d rho = -p rho^(p-1) (E_max - E_min) = -E'(rho). So the strain energy
    of E_hat with u held has the value of the compliance and, at equilibrium, the sensitivity of the compliance.

    rho, held: fields of densities in [0, 1], dimensionless, equal in value; E_hat: field of moduli in the unit of
    E_max; 0 where rho = 0 but for E_min. p >= 1; 0 <= E_min << E_max; constants or wires.
    Source: Sanu, Bessa & Aragon, Struct. Multidisc. Optim. 69:126 (2026), appendix A ("modified SIMP").
    """

    inputs = (Port("rho", "field"), Port("held", "field"))
    outputs = (Port("E_hat", "field"),)
    elementwise = True
    p: Any = tg.parameter(default=3.0, low=1.0)
    E_min: Any = tg.parameter(default=1e-9, low=0.0)
    E_max: Any = tg.parameter(default=1.0, above=0.0)

    def infer(self, *specs: Spec) -> Spec:
        require_same(specs[0], specs[1], ("rho", "held"))
        return specs[0]

    def forward(self, xp: Any, *values: Any) -> Any:
        rho, held, p, low, high = values
        return low + _quotient(xp, rho, held, p) * (high - low)


def _quotient(xp: Any, rho: Any, held: Any, p: Any) -> Any:
    """held^(2p) / rho^p as (held^2 / rho)^p, which is 0 where rho is."""
    positive = rho > 0.0
    return xp.where(positive, held**2 / xp.where(positive, rho, xp.ones_like(rho)), xp.zeros_like(rho)) ** p


@tg.pointwise(InverseSimp, "rho")
def _(node: InverseSimp, xp: Any, rho: Any, held: Any, p: Any, E_min: Any, E_max: Any) -> Any:
    # -p q / rho with the quotient q; for held = rho it is -p rho^(p-1), which tends to 0 with rho for p > 1.
    positive = rho > 0.0
    inverse = xp.where(positive, 1.0 / xp.where(positive, rho, xp.ones_like(rho)), xp.zeros_like(rho))
    return -p * _quotient(xp, rho, held, p) * inverse * (E_max - E_min)


@tg.pointwise(InverseSimp, "held")
def _(node: InverseSimp, xp: Any, rho: Any, held: Any, p: Any, E_min: Any, E_max: Any) -> Any:
    positive = rho > 0.0
    ratio = xp.where(positive, held / xp.where(positive, rho, xp.ones_like(rho)), xp.zeros_like(rho))
    return 2.0 * p * ratio**p * held ** (p - 1.0) * (E_max - E_min)


@tg.pointwise(InverseSimp, "p")
def _(node: InverseSimp, xp: Any, rho: Any, held: Any, p: Any, E_min: Any, E_max: Any) -> Any:
    # d/dp (held^2 / rho)^p = (held^2 / rho)^p ln(held^2 / rho), which tends to 0 with rho.
    base = _quotient(xp, rho, held, 1.0)
    return base**p * xp.log(xp.where(base > 0.0, base, xp.ones_like(base))) * (E_max - E_min)


@tg.pointwise(InverseSimp, "E_min")
def _(node: InverseSimp, xp: Any, rho: Any, held: Any, p: Any) -> Any:
    return 1.0 - _quotient(xp, rho, held, p)


@tg.pointwise(InverseSimp, "E_max")
def _(node: InverseSimp, xp: Any, rho: Any, held: Any, p: Any) -> Any:
    return _quotient(xp, rho, held, p)


def require_dofs(spec: Spec, n_dofs: int, port: str) -> None:
    """Raise `SpecError` unless there is one value (or row) per dof."""
    if not spec.shape or spec.shape[0] != n_dofs:
        fix = f"Give one value per dof: ({n_dofs},) or ({n_dofs}, cases)"
        raise SpecError(f"is {spec.label()}, but the grid has {n_dofs} dofs", port=port, fix=fix)
