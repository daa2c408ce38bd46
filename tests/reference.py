"""A deliberately plain SciPy oracle: dense filters, loops where they are clear, and nothing taken from tograph.

Its conventions differ from tograph's on purpose, so that a shared mistake cannot hide: element arrays are
`rho[ix, iy(, iz)]`, y up; nodes are numbered in C order of `(nx+1, ny+1(, nz+1))`; the corners of an element
follow `itertools.product((0, 1), repeat=dim)`; dof = node * dim + component. `from_problem`, `from_field`, `to_field`,
`from_dofs` and `to_dofs` translate. Everything is float64 and dimensionless, with compliance c = u . f (no 1/2) and
E(rho) = E_min + rho^p (1 - E_min).

Source of the loop: Andreassen, Clausen, Schevenels, Lazarov, Sigmund (2011), "Efficient topology optimization in MATLAB
using 88 lines of code", Struct. Multidisc. Optim. 43:1-16.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla


@dataclass(frozen=True)
class Case:
    """One elastic problem: `shape` elements, `fixed` dofs, `load` (ndof,) or (ndof, cases)."""

    shape: tuple[int, ...]
    fixed: np.ndarray
    load: np.ndarray
    spacing: tuple[float, ...] = ()
    nu: float = 0.3
    plane: str = "stress"  # "heat": a scalar problem
    p: float = 3.0
    e_min: float = 1e-9
    element: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        spacing = self.spacing or (1.0,) * len(self.shape)
        heat = self.plane == "heat"
        made = element_conductivity(spacing) if heat else element_stiffness(spacing, self.nu, self.plane)
        object.__setattr__(self, "element", made)

    @property
    def dofs(self) -> np.ndarray:
        """Dofs of every element."""
        return element_dofs(self.shape, 1 if self.plane == "heat" else len(self.shape))


@dataclass(frozen=True)
class Run:
    """Result of `optimise`: compliance of the last analysed design, iterations, and the physical design analysed."""

    compliance: float
    iterations: int
    physical: np.ndarray
    history: tuple[float, ...]
    worst_volume_error: float


def elasticity(dim: int, nu: float, plane: str = "stress") -> np.ndarray:
    """Voigt stiffness for E = 1, strains (xx, yy, gxy) or (xx, yy, zz, gyz, gxz, gxy); isotropic."""
    lame, shear = nu / ((1 + nu) * (1 - 2 * nu)), 1 / (2 * (1 + nu))
    if dim == 2 and plane == "stress":
        lame = nu / (1 - nu**2)
    stiffness = np.zeros((dim * (dim + 1) // 2,) * 2)
    stiffness[:dim, :dim] = lame
    stiffness[np.arange(dim), np.arange(dim)] += 2 * shear
    rest = np.arange(dim, len(stiffness))
    stiffness[rest, rest] = shear
    return stiffness


def strain_matrix(point: tuple[float, ...], spacing: tuple[float, ...]) -> np.ndarray:
    """B at `point` in [0, 1]^dim of a box element, shape (strains, corners * dim)."""
    dim = len(spacing)
    columns = []
    for corner in itertools.product((0, 1), repeat=dim):
        values = [x if c else 1 - x for x, c in zip(point, corner, strict=True)]
        slope = np.array([(1 if c else -1) / h for c, h in zip(corner, spacing, strict=True)])
        d = [slope[k] * np.prod([values[m] for m in range(dim) if m != k]) for k in range(dim)]
        if dim == 2:
            columns.append(np.array([[d[0], 0], [0, d[1]], [d[1], d[0]]]))
        else:
            shears = [[0, d[2], d[1]], [d[2], 0, d[0]], [d[1], d[0], 0]]
            columns.append(np.vstack([np.diag(d), shears]))
    return np.hstack(columns)


def element_stiffness(spacing: tuple[float, ...], nu: float = 0.3, plane: str = "stress") -> np.ndarray:
    """k0 = integral of B^T C B over one box element with E = 1, by 2-point Gauss quadrature; unit thickness in 2D."""
    dim = len(spacing)
    tensor = elasticity(dim, nu, plane)
    gauss = (0.5 - 0.5 / np.sqrt(3), 0.5 + 0.5 / np.sqrt(3))
    weight = np.prod(spacing) / 2**dim
    matrices = [strain_matrix(point, spacing) for point in itertools.product(gauss, repeat=dim)]
    return sum((weight * b.T @ tensor @ b for b in matrices), np.zeros((dim * 2**dim,) * 2))


def element_conductivity(spacing: tuple[float, ...]) -> np.ndarray:
    """Integral of grad N_i . grad N_j: per axis the matrices of a line, stiffness along it and mass across."""
    total: Any = 0.0
    for axis in range(len(spacing)):
        product: Any = np.ones((1, 1))
        for k, h in enumerate(spacing):
            line = np.array([[1, -1], [-1, 1]]) / h if k == axis else np.array([[2, 1], [1, 2]]) * h / 6
            product = np.kron(product, line)
        total = total + product
    return np.asarray(total)


def element_dofs(shape: tuple[int, ...], components: int = 0) -> np.ndarray:
    """Dofs of every element, shape (n_elements, dim * 2^dim), elements in C order of `shape`; dim components or 1."""
    dim = len(shape)
    numbers = np.arange(np.prod([n + 1 for n in shape])).reshape([n + 1 for n in shape])
    corners = []
    for corner in itertools.product((0, 1), repeat=dim):
        corners.append(numbers[tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))].ravel())
    count = components or dim
    return (np.stack(corners, 1)[:, :, None] * count + np.arange(count)).reshape(len(corners[0]), -1)


def stiffness(case: Case, moduli: np.ndarray) -> sp.csc_matrix:
    """K = sum of E_e k0, shape (ndof, ndof)."""
    dofs = case.dofs
    rows, columns = np.repeat(dofs, dofs.shape[1], axis=1), np.tile(dofs, (1, dofs.shape[1]))
    values = moduli.ravel()[:, None] * case.element.ravel()[None, :]
    n = len(case.load)
    return sp.csc_matrix(sp.coo_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape=(n, n)))


def displacement(case: Case, moduli: np.ndarray, prescribed: np.ndarray | None = None) -> np.ndarray:
    """u with K u = f on the free dofs and u = `prescribed` (or 0) on the fixed ones; shape of the load."""
    free = np.setdiff1d(np.arange(len(case.load)), case.fixed)
    matrix = stiffness(case, moduli)
    u = np.zeros_like(case.load)
    if prescribed is not None:
        u.T[..., case.fixed] = prescribed[case.fixed]
    right = (case.load - matrix @ u)[free]
    u[free] = spla.spsolve(matrix[free][:, free], right).reshape(right.shape)
    return u


def compliance(case: Case, physical: np.ndarray) -> tuple[float, np.ndarray]:
    """c = u . f summed over cases, and dc/d(physical) = -p rho^(p-1) (1 - E_min) u_e . k0 u_e; zero supports."""
    moduli = case.e_min + physical**case.p * (1 - case.e_min)
    u = displacement(case, moduli)
    local = u.reshape(len(u), -1)[case.dofs]
    energy = np.einsum("eic,ij,ejc->e", local, case.element, local).reshape(case.shape)
    slope = -case.p * physical ** (case.p - 1) * (1 - case.e_min) * energy
    return float(np.sum(u * case.load)), slope


def cone_weights(shape: tuple[int, ...], radius: float, spacing: tuple[float, ...] = ()) -> np.ndarray:
    """H_ij = max(0, radius - distance of centroids i and j), dense, shape (n_elements, n_elements); not normalised."""
    steps = np.array(spacing or (1.0,) * len(shape))
    centroids = (np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * steps).reshape(-1, len(shape))
    distance = np.sqrt(((centroids[:, None] - centroids[None]) ** 2).sum(-1))
    return np.maximum(0.0, radius - distance)


def density_filter(weights: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """rho_f = H rho / sum_j H_ij."""
    return (weights @ rho.ravel() / weights.sum(1)).reshape(rho.shape)


def density_filter_transposed(weights: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """d/d rho from d/d rho_f: H^T (slope / sum_j H_ij)."""
    return (weights.T @ (slope.ravel() / weights.sum(1))).reshape(slope.shape)


def sensitivity_filter(weights: np.ndarray, rho: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """H (rho dc) / (sum_j H_ij max(1e-3, rho)): Sigmund's heuristic, not the gradient of anything."""
    flat = weights @ (rho * slope).ravel() / weights.sum(1)
    return flat.reshape(rho.shape) / np.maximum(1e-3, rho)


@dataclass(frozen=True)
class OC:
    """Settings of the optimality-criteria loop; `interval`: relative bracket of the multiplier that ends bisection."""

    volume: float
    radius: float
    kind: str = "sensitivity"
    move: float = 0.2
    tolerance: float = 0.01
    interval: float = 1e-3
    max_iterations: int = 2000


def gradient(
    case: Case, oc: OC, weights: np.ndarray, rho: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """c, the physical design, and the (filtered) slopes of c and of the volume sum, as the 88-line code uses them."""
    ones = np.ones_like(rho)
    if oc.kind == "sensitivity":
        c, dc = compliance(case, rho)
        return c, rho, sensitivity_filter(weights, rho, dc), ones
    physical = density_filter(weights, rho)
    c, dc = compliance(case, physical)
    return c, physical, density_filter_transposed(weights, dc), density_filter_transposed(weights, ones)


def oc_step(oc: OC, weights: np.ndarray, rho: np.ndarray, dc: np.ndarray, dv: np.ndarray) -> tuple[np.ndarray, float]:
    """The next design and its relative error of the *physical* volume."""
    low, high = 0.0, 1e9
    while high - low > oc.interval * (high + low):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        new = np.clip(rho * np.sqrt(-dc / dv / middle), rho - oc.move, rho + oc.move).clip(0.0, 1.0)
        physical = new if oc.kind == "sensitivity" else density_filter(weights, new)
        low, high = (middle, high) if physical.mean() > oc.volume else (low, middle)
    return new, abs(float(physical.mean()) / oc.volume - 1.0)


def optimise(case: Case, oc: OC) -> Run:
    """OC until the largest change of a design variable is at most `oc.tolerance`."""
    weights = cone_weights(case.shape, oc.radius, case.spacing)
    rho = np.full(case.shape, oc.volume)
    history: list[float] = []
    errors: list[float] = []
    physical = rho
    for _ in range(oc.max_iterations):
        c, physical, dc, dv = gradient(case, oc, weights, rho)
        new, error = oc_step(oc, weights, rho, dc, dv)
        history.append(c)
        errors.append(error)
        change, rho = float(np.abs(new - rho).max()), new
        if change <= oc.tolerance:
            break
    return Run(history[-1], len(history), physical, tuple(history), max(errors))


def dof(shape: tuple[int, ...], node: tuple[int, ...], component: int) -> int:
    """Dof number of a node given by its lattice position (ix, iy(, iz)), y and z up; negative counts from the end."""
    position = [i % (n + 1) for i, n in zip(node, shape, strict=True)]
    return int(np.ravel_multi_index(position, [n + 1 for n in shape])) * len(shape) + component


def _translation(grid: Any, components: int) -> tuple[tuple[int, ...], np.ndarray]:
    """Our element shape, and our number of each tograph dof: node (row, column(, k)) is our (column, ny-row(, k))."""
    rows, columns, *depth = np.unravel_index(np.arange(np.prod(grid.node_shape)), grid.node_shape)
    shape = (grid.shape[1], grid.shape[0], *grid.shape[2:])
    nodes = np.ravel_multi_index((columns, grid.shape[0] - rows, *depth), [n + 1 for n in shape])
    return shape, (nodes[:, None] * components + np.arange(components)).ravel()


def from_problem(problem: Any, **settings: Any) -> Case:
    """A tograph `Problem` in these conventions; `settings` are further fields of `Case`, e.g. `p=1.0`."""
    shape, ours = _translation(problem.grid, problem.components)
    fixed, load = np.sort(ours[problem.fixed]), from_dofs(problem, problem.load)
    material = {
        "spacing": problem.grid.spacing,
        "nu": problem.nu,
        "plane": problem.plane if problem.components > 1 else "heat",
    }
    return Case(shape, fixed, load, **(material | settings))


def from_dofs(problem: Any, values: np.ndarray) -> np.ndarray:
    """tograph's (ndof,) or (ndof, cases) in our order."""
    result = np.empty_like(values)
    result[_translation(problem.grid, problem.components)[1]] = values
    return result


def to_dofs(problem: Any, values: np.ndarray) -> np.ndarray:
    """Our (ndof,) or (ndof, cases) in tograph's order."""
    return values[_translation(problem.grid, problem.components)[1]]


def from_field(values: np.ndarray) -> np.ndarray:
    """tograph's (ny, nx(, nz)), row 0 on top, to our [ix, iy(, iz)]."""
    return np.swapaxes(np.asarray(values)[::-1], 0, 1).copy()


def to_field(values: np.ndarray) -> np.ndarray:
    """Our [ix, iy(, iz)] to tograph's (ny, nx(, nz)), row 0 on top."""
    return np.swapaxes(np.asarray(values), 0, 1)[::-1].copy()
