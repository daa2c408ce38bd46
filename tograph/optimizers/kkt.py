"""How far a design is from a stationary point, the same measure for every method."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from .formulation import Formulation, Point

ACTIVE = 1e-4
"""A constraint this near to its bound, relative to its scale, counts as active."""
AT_BOUND = 1e-6
"""A variable this near to a bound, relative to its range, counts as being there."""


def kkt_residual(problem: Formulation, point: Point) -> float:
    """|P(f' + sum lam_i g_i')| / |f'|, dimensionless, at least 0: the first of the Karush-Kuhn-Tucker conditions.

    The derivatives are taken in t = (x - lower) / (upper - lower) where that is finite; P leaves out what points out of
    the bounds; lam >= 0, of the active constraints only, are those that make the residual least in the variables
    between their bounds. Nocedal & Wright, Numerical Optimization (2006), section 12.3.
    """
    span = problem.upper - problem.lower
    free = span > 0.0
    span = np.where(np.isfinite(span), span, 1.0)[free]
    at_lower = (point.design - problem.lower)[free] <= AT_BOUND * span
    at_upper = (problem.upper - point.design)[free] <= AT_BOUND * span
    df = point.gradients[problem.minimize][free] * span
    active = problem.inequalities(point.values) >= -ACTIVE
    dg = problem.inequality_gradients(point)[active][:, free.ravel()] * span
    between = ~(at_lower | at_upper)
    residual = df
    if len(dg) and between.any():
        sizes = np.abs(dg[:, between]).max(axis=1)
        sizes[sizes == 0.0] = 1.0
        # Normal equations would square the condition; for few constraints the QR of G^T does not.
        basis, triangle = np.linalg.qr((dg[:, between] / sizes[:, None]).T)
        lam, _ = nnls(triangle, -basis.T @ df[between])
        residual = df + (lam / sizes) @ dg
    outward = (at_lower & (residual > 0.0)) | (at_upper & (residual < 0.0))
    size = float(np.linalg.norm(df))
    return float(np.linalg.norm(np.where(outward, 0.0, residual))) / size if size else 0.0
