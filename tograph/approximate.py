"""Derivatives of a function of arrays without a rule: AD, full Jacobian, differences, complex step.

Every method but AD builds on products with directions, J d. The transposed product with a cotangent
takes one direction per entry of x, unless the function is elementwise: then J is diagonal and one
direction of ones gives it all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import RuleError
from .method import Derivative

if TYPE_CHECKING:
    from .backends.base import Backend

Function = Callable[[Any], Any]


def derive(backend: Backend, method: Derivative, mode: str, f: Function, x: Any, first: Any, diagonal: bool) -> Any:
    """J t (mode "jvp", first = t) or J^T ct (mode "vjp", first = ct) of f at x.

    Args:
        backend: whose arrays these are.
        method: a `Derivative` with method autodiff, unrolled, jacobian, finite-difference or complex-step.
        mode: "jvp" or "vjp".
        f: function of one array.
        x: where.
        first: tangent or cotangent.
        diagonal: whether output i depends on x_i alone.
    """
    if method.method in ("autodiff", "unrolled"):
        return getattr(backend, mode)(f, x, first)
    along = {"jacobian": _exact, "finite-difference": _difference, "complex-step": _complex}[method.method]

    def product(d: Any) -> Any:
        return along(backend, method, f, x, d)

    if mode == "jvp":
        return product(first)
    if diagonal:
        return product(backend.xp.ones_like(x)) * first
    return _transposed(backend, product, x, first)


def _exact(backend: Backend, method: Derivative, f: Function, x: Any, d: Any) -> Any:
    return backend.jvp(f, x, d)


def _difference(backend: Backend, method: Derivative, f: Function, x: Any, d: Any) -> Any:
    h = method.h
    if method.scheme == "forward":
        return (f(x + h * d) - f(x)) / h
    return (f(x + h * d) - f(x - h * d)) / (2.0 * h)


def _complex(backend: Backend, method: Derivative, f: Function, x: Any, d: Any) -> Any:
    # f(x + i h d) = f(x) + i h J d + O(h^2) for analytic f: no difference, no cancellation.
    # Squire & Trapp, SIAM Review 40:110 (1998).
    value = f(x + 1j * method.h * d)
    if not backend.is_complex(value):
        raise RuleError("complex-step: the forward operation drops the imaginary part, so it is not analytic")
    return backend.xp.imag(value) / method.h


def _transposed(backend: Backend, product: Function, x: Any, ct: Any) -> Any:
    """J^T ct, one column of J per entry of x."""
    xp, shape = backend.xp, tuple(x.shape)
    n = math.prod(shape)
    basis = backend.array(np.eye(n).reshape(n, *shape), backend.dtype)
    columns = backend.batch(product, basis)
    axes = tuple(range(1, columns.ndim))
    return xp.reshape(xp.sum(columns * ct[None], axis=axes) if axes else columns * ct, shape)
