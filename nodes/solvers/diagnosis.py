"""When there is no answer: which status it is, where, and the likely cause."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.linalg.blas import dnrm2

from tograph import SolveError

from ..grid import DIRECTIONS
from ..pattern import ElementPattern
from .protocol import System, kept

BACKWARD_ERROR = 1e-10
"""Largest backward error of a direct solve that is let through; a stable one has about 1e-15."""

GROWTH = 1e13
"""Largest |K| |u| / |f| that is let through."""

VOID = 1e-6
"""A dof whose stiffness is below this share of the largest is void in messages."""


def require_sound(system: System) -> None:
    """Raise `SolveError` for input that is not finite, and for a body whose supports leave it free to move.

    The latter is certain where the element matrices resist no rigid motion; whether a factorisation notices depends
    on rounding, and a load in balance has an answer, though not only one.
    """
    if not math.isfinite(dnrm2(system.moduli.ravel())):
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(system.moduli))[0][1:])
        raise SolveError(f"the modulus of element {bad} is not finite. Look at what computes E", "non-finite input")
    if not math.isfinite(dnrm2(system.elements.ravel())):
        raise SolveError("the element matrix is not finite. Look at what computes nu", "non-finite input")
    motions = kept(system.pattern, "free motions", lambda: free_motions(system.pattern))
    if motions and _yields_to_rigid_motions(system):
        raise SolveError(f"the stiffness matrix is singular. {why_singular(system)}", "singular")


def _yields_to_rigid_motions(system: System) -> bool:
    pattern = system.pattern
    points = pattern.grid.node_coordinates()[pattern.grid.element_nodes()[0]]
    forces = system.elements @ rigid_motions(points, pattern.components)
    return bool(np.abs(forces).max() <= 1e-9 * np.abs(system.elements).max())


def finite_load(pattern: ElementPattern, rhs: np.ndarray) -> np.ndarray:
    """A right-hand side (cases, n_dofs) at the free dofs; `SolveError` where it is infinite or not a number."""
    forces: np.ndarray = rhs.take(pattern.free, axis=1)
    if not all(map(math.isfinite, _lengths(forces))):
        dof = int(pattern.free[np.argwhere(~np.isfinite(forces))[0][1]])
        where = pattern.grid.describe_dof(dof, pattern.components)
        raise SolveError(
            f"the right-hand side is not finite at {where}. Look at what computes the load", "non-finite input"
        )
    return forces


def no_factor(system: System) -> SolveError:
    """The error for a matrix that a Cholesky or LU factorisation has refused."""
    negative = np.argwhere(system.moduli < 0.0)
    if negative.size and system.moduli.shape[0] == 1:
        element = tuple(int(i) for i in negative[0][1:])
        value = system.moduli[tuple(negative[0])]
        return SolveError(
            f"the stiffness matrix is not positive definite: the modulus of element {element} is {value:.2g}. "
            "Look at what computes E",
            "not positive definite",
        )
    return SolveError(f"the stiffness matrix is singular. {why_singular(system)}", "singular")


def require_accurate(system: System, u: np.ndarray, forces: np.ndarray, transposed: bool = False) -> None:
    """Raise `SolveError` unless every load case has a small backward error and no runaway solution.

    u: (cases, n_dofs); forces: (cases, free), as from `finite_load`. The backward error
    |K u - f| / (|K| |u| + |f|) is what a stable solver can promise; |K| |u| / |f| bounds the condition number from
    below, and near 1e16 the answer is that of a singular matrix. (A design of contrast 1e-9 with a nearly loose part
    has 1e9 to 1e11 and is legitimate.)
    """
    free = system.pattern.free
    if not free.size:
        return
    with np.errstate(over="ignore", invalid="ignore"):
        residuals = system.on_free(u, transposed) - forces
    lengths = map(_lengths, (residuals, u, forces))  # u is 0 at fixed dofs
    for case, (error, length, load) in enumerate(zip(*lengths, strict=True)):
        internal = system.largest * length
        accurate = error <= BACKWARD_ERROR * (internal + load) and internal <= GROWTH * load
        if load > 0.0 and not accurate:
            raise _inaccurate(system, u[case], forces[case], internal / load)


def _lengths(cases: np.ndarray) -> list[float]:
    """The 2-norm of each row; finite if the row is, and only then."""
    return [dnrm2(case) if case.size else 0.0 for case in cases]


def _inaccurate(system: System, u: np.ndarray, forces: np.ndarray, growth: float) -> SolveError:
    cause = _void_load(system, forces) or why_singular(system)
    return SolveError(
        f"the answer cannot be used: displacements {growth:.0e} times load over stiffness, largest at "
        f"{worst_dof(system.pattern, u)}. {cause}",
        "singular" if not growth <= GROWTH else "inaccurate",
    )


def worst_dof(pattern: ElementPattern, u: np.ndarray) -> str:
    """The free dof with the largest displacement, in words."""
    sizes = np.nan_to_num(np.abs(u[pattern.free]), nan=np.inf)
    return pattern.grid.describe_dof(int(pattern.free[int(np.argmax(sizes))]), pattern.components)


def why_singular(system: System) -> str:
    """The likely cause, and what to do."""
    pattern = system.pattern
    diagonal = system.diagonal[pattern.free]
    empty = np.flatnonzero(diagonal <= 0.0)
    if empty.size:
        dof = pattern.grid.describe_dof(int(pattern.free[empty[0]]), pattern.components)
        count = f"{empty.size} dof{'s have' if empty.size != 1 else ' has'}"
        return f"{count} no stiffness, the first is {dof}. Raise E_min, or fix them"
    motions = free_motions(pattern)
    if motions:
        return f"The supports leave the body free to move: {', '.join(motions)}. Add supports"
    return "E_min may be too small, or a part be held by a hinge only. Raise E_min, or add supports"


def _void_load(system: System, forces: np.ndarray) -> str:
    """Said where all of the load acts on dofs with next to no stiffness."""
    pattern, diagonal = system.pattern, system.diagonal
    loaded = pattern.free[forces != 0.0]
    largest = diagonal[pattern.free].max()
    if not loaded.size or np.any(diagonal[loaded] > VOID * largest) or free_motions(pattern):
        return ""
    dof = pattern.grid.describe_dof(int(loaded[0]), pattern.components)
    share = diagonal[loaded].max() / largest
    return (
        f"The load acts on void: {dof} has {share:.0e} of the largest stiffness. "
        "Keep material under the load (Passive), or raise E_min"
    )


def free_motions(pattern: ElementPattern) -> list[str]:
    """The rigid-body motions that the supports do not prevent, by name.

    Rigid motions a + w x (x - x_0) restricted to the fixed dofs, R c; the null space of R is what is left.
    """
    points = pattern.grid.node_coordinates()
    rigid = rigid_motions(points, pattern.components)
    held = rigid[pattern.fixed]
    _, sizes, vectors = np.linalg.svd(np.linalg.qr(held, mode="r"), full_matrices=True)
    rank = int(np.sum(sizes > 1e-9 * max(1.0, float(sizes.max(initial=0.0)))))
    left = vectors[rank:]
    if not left.shape[0]:
        return []
    if pattern.components == 1:
        return ["a constant may be added"]
    dim = pattern.grid.dim
    turning = left[:, dim:]
    _, sizes, mix = np.linalg.svd(turning @ turning.T)
    turns = int(np.sum(sizes > 1e-12))
    translations = mix[turns:] @ left[:, :dim]
    rotations = mix[:turns] @ turning
    names = [f"translation along {_axis(v)}" for v in _aligned(translations)]
    names += ["rotation" if dim == 2 else f"rotation about {_axis(w)}" for w in _aligned(rotations)]
    return names


def rigid_motions(points: np.ndarray, components: int) -> np.ndarray:
    """Translations, then rotations of unit size about the middle; (n_nodes * components, 3 or 6), 1 if scalar."""
    n, dim = points.shape
    if components == 1:
        return np.ones((n, 1))
    x = points - points.mean(axis=0)
    x = x / max(float(np.abs(x).max()), 1e-300)
    planes = [(0, 1)] if dim == 2 else [(1, 2), (2, 0), (0, 1)]
    motions = np.zeros((n, dim, dim + len(planes)))
    for k in range(dim):
        motions[:, k, k] = 1.0
    for i, (a, b) in enumerate(planes):
        motions[:, a, dim + i], motions[:, b, dim + i] = -x[:, b], x[:, a]
    return motions.reshape(n * dim, -1)


def _aligned(directions: np.ndarray) -> list[np.ndarray]:
    """A basis of the same space, with coordinate axes where they lie in it."""
    if not directions.shape[0]:
        return []
    _, _, basis = np.linalg.svd(directions, full_matrices=False)
    inside = [e for e in np.eye(basis.shape[1]) if np.linalg.norm(basis @ e) > 1.0 - 1e-9]
    rest = basis - (basis @ np.array(inside).T @ np.array(inside) if inside else 0.0)
    _, sizes, others = np.linalg.svd(rest, full_matrices=False)
    return [*inside, *others[: max(0, int(np.sum(sizes > 1e-6)))]]


def _axis(v: Any) -> str:
    """x, y, z, or the direction in numbers."""
    v = v * np.sign(v[np.argmax(np.abs(v))])
    if np.max(np.abs(v)) > 1.0 - 1e-9:
        return DIRECTIONS[int(np.argmax(np.abs(v)))]
    return f"({', '.join(f'{round(x, 2) + 0.0:g}' for x in v)})"
