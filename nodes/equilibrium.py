"""Equilibrium of a nonlinear body: internal forces of any stored energy, and Newton's method with a sparse tangent.

    f_int(u) = sum_e E_e sum_q w_q B_q^T sigma(B_q P_e u; a_e)        sigma = d psi / d strain
    K_t(u)   = sum_e E_e sum_q w_q B_q^T C(B_q P_e u; a_e) B_q        C = d sigma / d strain

A symmetric C has k (k + 1) / 2 entries, so K_t is a sum of as many terms per Gauss point, each a field of moduli times
one element matrix: an operator like every other, which the solver engine assembles and factorises.

Only the last state matters for derivatives: r(u) = f_int - f = 0 there, however many load steps led to it. So nothing
of the iteration is kept, and memory does not grow with the number of steps.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations_with_replacement, product
from typing import Any, ClassVar

import attrs
import numpy as np

import tograph as tg
from tograph import Node, Port, Spec, SpecError
from tograph.backends import load_backend
from tograph.implicit import ImplicitNode

from .constitutive import DIRECTIONS, energy_function, require_constants
from .energy import require_dofs
from .filters import require_on_grid
from .grid import Grid
from .newton import NewtonRow, SparseNewton
from .pattern import ElementPattern
from .stiffness import strain_matrix


class _Body:
    """What internal forces and their equilibrium have in common."""

    energy: Any
    grid: Grid

    @property
    def of_energy(self) -> tuple[Port, ...]:
        """Inputs of the energy besides the strain."""
        return tuple(self.energy.inputs[1:])

    def pattern(self) -> ElementPattern:
        """Where element values go."""
        return self._placed

    @cached_property
    def _placed(self) -> ElementPattern:
        # One object per node: solvers keep their analysis in it.
        fixed = np.unique(np.asarray(getattr(self, "fixed", ()), dtype=np.int64))
        return ElementPattern(self.grid, self.grid.dim, fixed)

    @cached_property
    def points(self) -> list[tuple[np.ndarray, float]]:
        """B and weight of every Gauss point (2 along each axis)."""
        half = np.asarray(self.grid.spacing) / 2.0
        places = product((-(3.0**-0.5), 3.0**-0.5), repeat=self.grid.dim)
        return [(strain_matrix(np.asarray(at), half), float(np.prod(half))) for at in places]

    def strains(self, xp: Any, u: Any) -> Any:
        """(points, *grid.shape, k)."""
        local = self.pattern().gather(xp, u[None])[0]
        return xp.stack([xp.matmul(local, xp.asarray(B.T, dtype=u.dtype)) for B, _ in self.points])

    def force(self, backend: Any, E: Any, u: Any, others: Any) -> Any:
        """f_int on all dofs."""
        xp, psi = backend.xp, energy_function(self.energy, backend)
        sigma = backend.row_gradient(lambda e: psi(e, *others), self.strains(xp, u))
        local = sum(w * xp.matmul(sigma[q], xp.asarray(B, dtype=u.dtype)) for q, (B, w) in enumerate(self.points))
        return self.pattern().scatter(xp, (E[..., None] * local)[None])[0]

    def require_body(self, E: Spec, u: Spec, others: tuple[Spec, ...]) -> None:
        """Raise `SpecError` unless everything is on the grid and the energy takes it."""
        require_on_grid(E, self.grid, "E")
        require_dofs(u, self.grid.n_dofs(), "u")
        if len(u.shape) != 1:
            raise SpecError(f"is {u.label()}: one load case at a time", fix="Use one node per load case")
        require_constants(self.energy)
        k = {dim: k for k, dim in DIRECTIONS.items()}[self.grid.dim]
        strain = Spec("array", (*self.grid.field().axes, tg.Axis("strain", k)))
        for port, spec in zip(self.of_energy, others, strict=True):
            if "params" not in port.kind:
                require_on_grid(spec, self.grid, port.name)
        self.energy.infer(strain, *others)


@tg.node
class InternalForce(_Body, Node):
    """f_int(u) of a body whose material has the stored energy E psi, by 2-point Gauss rules in Q4 or H8 elements.

    E: field, dimensionless factors of the energy, e.g. a penalised density; u: vector (n_dofs,), small displacements,
    in units of length; then what the energy node takes besides the strain: fields, weights. f_int: vector as u, force.

    Attributes:
        energy: an energy node (`StiffeningLaw`, `NeuralEnergy`, your own), with constant parameters.
        grid: the grid.
    """

    outputs = (Port("f_int", "vector"),)
    energy: Any
    grid: Grid

    @property
    def inputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """E, u, and those of the energy."""
        return (Port("E", "field"), Port("u", "vector"), *self.of_energy)

    def infer(self, *specs: Spec) -> Spec:
        self.require_body(specs[0], specs[1], specs[2:])
        return attrs.evolve(specs[1], kind="vector", unit=None)

    def bind(self, backend: Any) -> Any:
        return lambda E, u, *others: self.force(backend, E, u, others)


@tg.node
class NewtonSolve(_Body, ImplicitNode):
    """u with f_int(u; E, ...) = f at free dofs and u = 0 at fixed ones, by Newton's method with load steps.

    With 1_f and 1_p the masks of free and fixed dofs,

        r = 1_f (f_int(1_f u) - f) + 1_p u,

    so dr/du = K_t,ff + 1_p, symmetric. Derivatives are by the implicit function theorem: one more factorisation of the
    tangent at the solution, whatever the load steps. Only r_E, r_f and r_a pass through the energy.

    E: field, f: vector (n_dofs,) of dead loads, then what the energy node takes besides the strain. u: vector.

    Attributes:
        energy, grid: as for `InternalForce`.
        fixed: supported dofs.
        solver: a `SparseNewton`.

    Raises (when run):
        SolveError: no equilibrium found, or a tangent that is not positive definite.
    """

    outputs = (Port("u", "vector"),)
    symmetric: ClassVar[bool] = True
    energy: Any
    grid: Grid
    fixed: np.ndarray = ()  # type: ignore[assignment]
    solver: Any = attrs.field(factory=SparseNewton)

    @property
    def inputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """E, f, and those of the energy."""
        return (Port("E", "field"), Port("f", "vector"), *self.of_energy)

    def infer(self, *specs: Spec) -> Spec:
        self.require_body(specs[0], specs[1], specs[2:])
        return attrs.evolve(specs[1], kind="vector", unit=None)

    def equation(self, backend: Any) -> Any:
        """The residual, whose stress is by the backend's AD."""

        def residual(u: Any, E: Any, f: Any, *others: Any) -> Any:
            held = backend.xp.asarray(self.pattern().supports, dtype=u.dtype)
            return (1.0 - held) * (self.force(backend, E, (1.0 - held) * u, others) - f) + held * u

        return residual

    def tangent_operator(self, backend: Any, u: Any, E: Any, f: Any, *others: Any) -> tuple[Any, Any]:
        """K_t as moduli (terms, *grid.shape) and element matrices (terms, d, d); f has no effect."""
        xp, psi = backend.xp, energy_function(self.energy, backend)
        C = backend.row_hessian(lambda e: psi(e, *others), self.strains(xp, u))
        moduli, elements = [], []
        for q, (B, w) in enumerate(self.points):
            for i, j in combinations_with_replacement(range(B.shape[0]), 2):
                moduli.append(E * C[q, ..., i, j])
                dyad = w * np.outer(B[i], B[j])
                elements.append(dyad if i == j else dyad + dyad.T)
        return xp.stack(moduli), np.stack(elements)

    def history(self, *inputs: Any) -> list[NewtonRow]:
        """The record of every Newton iteration, as data, at these inputs in order: E, f, and what the energy takes."""
        backend = load_backend("numpy", "float64")
        values = [np.asarray(value, dtype=np.float64) for value in inputs]
        return [row for row, _ in self.solver.iterate(backend, self, values)]

    def start(self, xp: Any, *inputs: Any) -> Any:
        return xp.zeros_like(inputs[1])

    def at_step(self, xp: Any, fraction: float, *inputs: Any) -> tuple[Any, ...]:
        return (inputs[0], fraction * inputs[1], *inputs[2:])

    def scale(self, xp: Any, *inputs: Any) -> Any:
        return xp.max(xp.abs(inputs[1]))
