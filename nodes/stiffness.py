"""Stiffness of Q4 and H8 elements as an operator edge: element moduli and a static pattern."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

import tograph as tg
from tograph import Axis, Edge, Node, Port, Spec, SpecError

from .filters import require_on_grid
from .grid import Grid
from .pattern import ElementPattern

# Corner signs (xi, eta[, zeta]) in the grid's corner order: counter-clockwise from the lower left.
_PLANE = [(-1, -1), (1, -1), (1, 1), (-1, 1)]


@tg.node
class ElementStiffness(Node):
    """K_e = integral of B^T C(nu) B over one element, for E = 1; (1, d, d) with d = 8 (Q4) or 24 (H8).

    2 x 2 (x 2) Gauss points, which is exact for a rectangle. Poisson's ratio nu in (-1, 0.5),
    dimensionless, constant or wire; plane "stress" or "strain" in 2D. Unit thickness.
    Source: Zienkiewicz & Taylor, The Finite Element Method, vol. 1, ch. 8-9.
    """

    outputs = (Port("K_e", "array"),)
    grid: Grid
    plane: str = "stress"
    nu: Any = tg.parameter(default=0.3, above=-1.0, high=0.5)

    def infer(self, *specs: Spec) -> Spec:
        """One matrix, as a stack of one."""
        d = self.grid.dim * 2**self.grid.dim
        return Spec("array", (Axis("term", 1), Axis("row", d), Axis("column", d)))

    def forward(self, xp: Any, *values: Any) -> Any:
        """sum_k c_k(nu) M_k with the constant matrices M_k of `_modes`."""
        (nu,) = values
        total: Any = 0.0
        for coefficient, mode in zip(self.coefficients(nu), self.modes(), strict=True):
            total = total + coefficient * xp.asarray(mode, dtype=nu.dtype)
        return total[None]

    def coefficients(self, nu: Any) -> tuple[Any, ...]:
        """C = c_0 D_0 + c_1 D_1 + c_2 D_2: the normal, coupling and shear parts of Hooke's law for E = 1."""
        if self.grid.dim == 2 and self.plane == "stress":
            return 1.0 / (1.0 - nu**2), nu / (1.0 - nu**2), 0.5 / (1.0 + nu)
        scale = 1.0 / ((1.0 + nu) * (1.0 - 2.0 * nu))
        return (1.0 - nu) * scale, nu * scale, 0.5 / (1.0 + nu)

    def slopes(self, nu: Any) -> tuple[Any, ...]:
        """d coefficients / d nu."""
        if self.grid.dim == 2 and self.plane == "stress":
            square = (1.0 - nu**2) ** 2
            return 2.0 * nu / square, (1.0 + nu**2) / square, -0.5 / (1.0 + nu) ** 2
        square = ((1.0 + nu) * (1.0 - 2.0 * nu)) ** 2
        return 2.0 * nu * (2.0 - nu) / square, (1.0 + 2.0 * nu**2) / square, -0.5 / (1.0 + nu) ** 2

    def modes(self) -> list[np.ndarray]:
        """M_k = integral of B^T D_k B."""
        dim, shears = self.grid.dim, 1 if self.grid.dim == 2 else 3
        normal = np.diag([1.0] * dim + [0.0] * shears)
        coupling = np.zeros_like(normal)
        coupling[:dim, :dim] = 1.0 - np.eye(dim)
        shear = np.diag([0.0] * dim + [1.0] * shears)
        return [_integrate(self.grid, law) for law in (normal, coupling, shear)]


@tg.vjp(ElementStiffness, "nu")
def _(node: ElementStiffness, xp: Any, ct: Any, nu: Any) -> Any:
    terms = zip(node.slopes(nu), node.modes(), strict=True)
    return sum(slope * xp.sum(ct[0] * xp.asarray(mode, dtype=ct.dtype)) for slope, mode in terms)


@tg.jvp(ElementStiffness, "nu")
def _(node: ElementStiffness, xp: Any, t: Any, nu: Any) -> Any:
    terms = zip(node.slopes(nu), node.modes(), strict=True)
    return sum(t * slope * xp.asarray(mode, dtype=t.dtype) for slope, mode in terms)[None]


def _integrate(grid: Grid, law: np.ndarray) -> np.ndarray:
    """Integral of B^T D B over one element."""
    return integrate(grid, strain_matrix, law)


def integrate(grid: Grid, gradient: Callable[[np.ndarray, np.ndarray], np.ndarray], law: np.ndarray) -> np.ndarray:
    """Integral of G^T D G over one element by 2-point Gauss rules; G = gradient(point, half edges)."""
    half = np.asarray(grid.spacing) / 2.0
    point = 1.0 / np.sqrt(3.0)
    at = (np.asarray(where) for where in product((-point, point), repeat=grid.dim))
    made: np.ndarray = sum(g.T @ law @ g for g in (gradient(x, half) for x in at)) * float(np.prod(half))
    return made


def strain_matrix(at: np.ndarray, half: np.ndarray) -> np.ndarray:
    """B at a point in [-1, 1]^dim: corner displacements -> (normal strains, engineering shears)."""
    dim, slopes = at.size, shape_gradients(at, half)
    b = np.zeros((3 if dim == 2 else 6, slopes.size))
    pairs = [(0, 1)] if dim == 2 else [(0, 1), (1, 2), (0, 2)]
    for k in range(dim):
        b[k, k::dim] = slopes[k]
    for row, (k, m) in enumerate(pairs):
        b[dim + row, k::dim], b[dim + row, m::dim] = slopes[m], slopes[k]
    return b


def shape_gradients(at: np.ndarray, half: np.ndarray) -> np.ndarray:
    """dN_i/dx_k at a point in [-1, 1]^dim of an element with edges 2 half, (dim, corners)."""
    dim = at.size
    signs = np.array(_PLANE if dim == 2 else [(*s, z) for z in (-1, 1) for s in _PLANE], dtype=float)
    factors = 1.0 + signs * at
    others = [np.prod(np.delete(factors, k, axis=1), axis=1) for k in range(dim)]
    return np.stack([signs[:, k] * others[k] / 2**dim / half[k] for k in range(dim)])


@tg.node
class Assemble(Node):
    """K = sum_t sum_e E_te P_e^T K_t P_e as an operator edge. Nothing is assembled until a solver needs it.

    E: field of moduli; K_e: element matrix (1, d, d) for E = 1.
    """

    inputs = (Port("E", "field"), Port("K_e", "array"))
    outputs = (Port("K", "operator"),)
    linear = ("E", "K_e")
    pattern: ElementPattern

    def infer(self, *specs: Spec) -> Spec:
        """An operator with this pattern."""
        require_on_grid(specs[0], self.pattern.grid, "E")
        return Spec("operator", specs[0].axes, specs[0].dtype, structure=self.pattern)

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """None forward; a derivative multiplies the element matrix by a vector per element and case."""
        dyads = [spec.axes[1].size for spec in inputs if spec.kind == "dyad" and len(spec.axes) == 3]
        return self.pattern.element_flops(sum(dyads))

    def forward(self, xp: Any, *values: Any) -> Any:
        """The pair (moduli, element matrices)."""
        E, K_e = values
        return E[None], K_e


@tg.vjp(Assemble, "E")
def _(node: Assemble, xp: Any, ct: Any, K_e: Any) -> Any:
    # K_bar = sum_k a_k b_k^T, so E_bar_e = sum_k (P_e a_k)^T K_e (P_e b_k).
    a, b = ct
    return node.pattern.products(xp, a, b, K_e[0])


@tg.vjp(Assemble, "K_e")
def _(node: Assemble, xp: Any, ct: Any, E: Any) -> Any:
    # K_e_bar = sum_e E_e sum_k (P_e a_k) (P_e b_k)^T.
    a, b = (node.pattern.gather(xp, part) for part in ct)
    d = a.shape[-1]
    weighted = xp.reshape(a * E[None, ..., None], (-1, d))
    return xp.matmul(xp.permute_dims(weighted, (1, 0)), xp.reshape(b, (-1, d)))[None]


def require_dofs(fixed: Any, n_dofs: int, fix: str) -> None:
    """Raise `SpecError` unless the fixed dofs are whole numbers below n_dofs."""
    numbers = np.asarray(fixed)
    if numbers.size and numbers.dtype.kind not in "iu":
        raise SpecError(f"fixed dofs must be whole numbers, got {numbers.dtype}", port="fixed", fix=fix)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= n_dofs):
        raise SpecError(f"fixed dofs must lie in 0..{n_dofs - 1}", port="fixed", fix=fix)


@tg.node
class Stiffness(Node):
    """Elastic stiffness K(E) = sum_e E_e P_e^T K_e(nu) P_e of a structured grid, with supports.

    E: field of Young's moduli, one per element. K: operator on the grid's dofs, symmetric. Bilinear
    quadrilaterals (2D, unit thickness) or trilinear hexahedra (3D).

    Attributes:
        grid: the grid, with its element size.
        nu: Poisson's ratio in (-1, 0.5), dimensionless; constant or wire.
        fixed: dofs with prescribed displacement (zero unless the solve is given others).
        plane: "stress" or "strain"; ignored in 3D.
    """

    inputs = (Port("E", "field"),)
    outputs = (Port("K", "operator"),)
    grid: Grid
    nu: Any = tg.parameter(default=0.3, above=-1.0, high=0.5)
    fixed: np.ndarray = ()  # type: ignore[assignment]
    plane: str = "stress"

    def pattern(self) -> ElementPattern:
        """Where element values go."""
        fixed = np.unique(np.asarray(self.fixed, dtype=np.int64))
        return ElementPattern(self.grid, self.grid.dim, fixed, mirrored=self.grid.dim == 3)

    def infer(self, *specs: Spec) -> Spec:
        """An operator; fixed dofs and plane must make sense."""
        require_on_grid(specs[0], self.grid, "E")
        if self.plane not in ("stress", "strain"):
            raise SpecError(f"plane is {self.plane!r}", port="plane", fix="Use 'stress' or 'strain'")
        require_dofs(self.fixed, self.grid.n_dofs(), "Use `grid.dofs(...)`")
        return Spec("operator", specs[0].axes, specs[0].dtype, structure=self.pattern())

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """The element matrix, which does not depend on the design, and the assembly, which is linear in E."""
        E, nu = edges
        K: Edge = Assemble(self.pattern())(E, ElementStiffness(self.grid, self.plane, nu)())
        return K
