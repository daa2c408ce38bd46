"""Stress at the centres of the elements, from displacements."""

from __future__ import annotations

import numpy as np

from tograph.nodes import Stiffness
from tograph.nodes.grid import Floats
from tograph.nodes.stiffness import ElementStiffness, strain_matrix


def stress_of(stiffness: Stiffness, E: Floats, u: Floats) -> Floats:
    """sigma = E_e C(nu) B(0) u_e at the centre of every element, (n_elements, 6): xx, yy, zz, xy, yz, xz.

    B is that of the stiffness, C Hooke's law for a modulus of 1, E the modulus that the stiffness saw, penalised. In
    plane strain zz = nu (xx + yy); in plane stress it is 0. A unit of stress is that of E.

    Args:
        stiffness: grid, plane and nu, a number.
        E: field of moduli.
        u: displacements, (n_nodes, dim).
    """
    grid = stiffness.grid
    nu = float(stiffness.nu)
    B = strain_matrix(np.zeros(grid.dim), np.asarray(grid.spacing) / 2.0)
    strain = u[grid.element_nodes()].reshape(grid.n_elements, -1) @ B.T
    normal, coupling, shear = ElementStiffness(grid, plane=stiffness.plane).coefficients(nu)
    dim = grid.dim
    stretch = strain[:, :dim]
    full = np.zeros((grid.n_elements, 6))
    full[:, :dim] = (normal - coupling) * stretch + coupling * stretch.sum(axis=1, keepdims=True)
    if dim == 2 and stiffness.plane == "strain":
        full[:, 2] = nu * (full[:, 0] + full[:, 1])
    full[:, 3 : 3 + strain.shape[1] - dim] = shear * strain[:, dim:]
    return E.reshape(-1, 1) * full


def von_mises(stress: Floats) -> Floats:
    """sqrt(((xx - yy)^2 + (yy - zz)^2 + (zz - xx)^2) / 2 + 3 (xy^2 + yz^2 + xz^2)), (n_elements,), of `stress_of`."""
    xx, yy, zz, *shears = stress.T
    squares = ((xx - yy) ** 2 + (yy - zz) ** 2 + (zz - xx) ** 2) / 2.0
    return np.asarray(np.sqrt(squares + 3.0 * sum(shear**2 for shear in shears)))
