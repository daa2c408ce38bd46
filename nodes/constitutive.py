"""Stored energies of a material point, exact or learned: interchangeable, and all that a nonlinear analysis asks for.

An *energy node* has a first input `strain` (..., k) and further ones, fields of microstructure parameters or weights;
its output is psi (...), the energy per volume. It is written once, with operators and `xp`, and point by point. Stress
and tangent are its derivatives, by AD:  sigma = d psi / d strain,  C = d^2 psi / d strain^2.

Strains are small, as (e_x, e_y, g_xy) in the plane, k = 3, or (e_x, e_y, e_z, g_xy, g_yz, g_xz), k = 6, with
engineering shears g.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

import tograph as tg
from tograph import Node, Port, Spec, SpecError
from tograph.derivative import parameter_filler

DIRECTIONS = {3: 2, 6: 3}
"""Components of strain -> dimension."""


class EnergyNode(Node):
    """Base of energy nodes: checks the strain; psi has one value per point."""

    def infer(self, *specs: Spec) -> Spec:
        strain = specs[0]
        if not strain.shape or strain.shape[-1] not in DIRECTIONS:
            fix = "Give (e_x, e_y, g_xy) or the six components in 3D as the last axis"
            raise SpecError(f"is {strain.label()}", port="strain", fix=fix)
        axes = strain.axes[:-1]
        return Spec("array" if axes else "scalar", axes, strain.dtype)


@tg.node
class StiffeningLaw(EnergyNode):
    """psi = 1/2 eps . C(E_m, nu) eps + 1/2 E_f sum_i s_i (e_i^2 + k/2 e_i^4): a matrix with fibres that stiffen.

    The fibres along x have the share s_x = alpha (2 - alpha), those along the other axes s = 1 - alpha^2: more of the
    one costs the other, with diminishing returns. Convex in the strain; psi and its stress are zero at zero strain.

    strain: (..., 3) in plane stress or (..., 6), dimensionless; alpha: (...) or a field that strains of several points
    per element share, in [0, 1], dimensionless; psi: (...), in the unit of E_m > 0 and E_f >= 0; nu in (-1, 0.5);
    k >= 0, dimensionless: at a strain of k^(-1/2) a fibre is four times as stiff as at none. A synthetic law.
    """

    inputs = (Port("strain", "any"), Port("alpha", "any"))
    outputs = (Port("psi", "any"),)
    E_m: Any = tg.parameter(default=0.3, above=0.0)
    E_f: Any = tg.parameter(default=0.7, low=0.0)
    nu: Any = tg.parameter(default=0.3, above=-1.0, high=0.5)
    k: Any = tg.parameter(default=500.0, low=0.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        strain, alpha, E_m, E_f, nu, k = values
        dim = DIRECTIONS[strain.shape[-1]]
        e = [strain[..., i] for i in range(strain.shape[-1])]
        squares = [x * x for x in e]
        shares = [alpha * (2.0 - alpha)] + [1.0 - alpha * alpha] * (dim - 1)
        fibres = sum(s * (q + 0.5 * k * q * q) for s, q in zip(shares, squares[:dim], strict=True))
        trace = sum(e[:dim])
        shear = sum(squares[:dim]) + 0.5 * sum(squares[dim:])  # eps : eps
        # Plane stress in the form lambda/2 tr^2 + mu eps:eps has lambda = E nu / (1 - nu^2).
        coupling = nu / (1.0 - nu**2) if dim == 2 else nu / ((1.0 + nu) * (1.0 - 2.0 * nu))
        return 0.5 * E_m * (coupling * trace * trace + shear / (1.0 + nu)) + 0.5 * E_f * fibres


@tg.node
class Stress(Node):
    """sigma = d psi / d strain of an energy node, by AD.

    Inputs as of the energy node; sigma: (..., k) as strain, in the unit of psi. Parameters of the energy node must be
    constants.
    """

    outputs = (Port("sigma", "any"),)
    energy: Any

    @property
    def inputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """Those of the energy node."""
        found: tuple[Port, ...] = self.energy.inputs
        return found

    @property
    def title(self) -> str:
        """E.g. `stress StiffeningLaw`."""
        return f"stress {self.energy.title}"

    def infer(self, *specs: Spec) -> Spec:
        require_constants(self.energy)
        self.energy.infer(*specs)
        return attrs.evolve(specs[0], kind="array", unit=None)

    def bind(self, backend: Any) -> Callable[..., Any]:
        psi = energy_function(self.energy, backend)
        return lambda strain, *others: backend.row_gradient(lambda e: psi(e, *others), strain)


def energy_function(energy: Node, backend: Any) -> Callable[..., Any]:
    """psi(strain, *others) on arrays of a backend."""
    fill = parameter_filler(energy, backend)
    return lambda *values: energy.forward(backend.xp, *fill(values))


def require_constants(energy: Node) -> None:
    """Raise `SpecError` where a parameter of an energy inside another node is a wire."""
    wired = [name for name, value in energy.parameters.items() if not isinstance(value, float)]
    if wired:
        message = f"{', '.join(wired)} of {energy.title} cannot be wired inside another node"
        raise SpecError(message, port="energy", fix="Give a number, or make it an input of an energy node of your own")
