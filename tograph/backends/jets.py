"""Forward AD on NumPy arrays: values that carry their first and second derivatives in a few variables.

    f = a + sum_i b_i dx_i + 1/2 sum_ij c_ij dx_i dx_j + ...

Functions of host nodes run on NumPy, which has no AD. What is smooth and works point by point, such as a constitutive
law, is called with a `Jet` in place of an array, by NumPy's own protocols for functions of foreign arrays. Source:
Griewank & Walther, Evaluating Derivatives, 2nd ed. (2008), chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..errors import RuleError

Slopes = Callable[[Any, Any], tuple[Any, Any]]
"""(x, f(x)) -> f'(x), f''(x)."""

FUNCTIONS: dict[Any, Slopes] = {
    np.exp: lambda x, f: (f, f),
    np.expm1: lambda x, f: (f + 1.0, f + 1.0),
    np.log: lambda x, f: (1.0 / x, -1.0 / x**2),
    np.log1p: lambda x, f: (1.0 / (1.0 + x), -1.0 / (1.0 + x) ** 2),
    np.sqrt: lambda x, f: (0.5 / f, -0.25 / (x * f)),
    np.square: lambda x, f: (2.0 * x, 2.0),
    np.reciprocal: lambda x, f: (-f * f, 2.0 * f**3),
    np.sin: lambda x, f: (np.cos(x), -f),
    np.cos: lambda x, f: (-np.sin(x), -f),
    np.tanh: lambda x, f: (1.0 - f * f, -2.0 * f * (1.0 - f * f)),
}
BILINEAR = (np.multiply, np.matmul)
COMPARISONS = (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.isfinite)
LINEAR: dict[Any, tuple[int, ...]] = {
    np.sum: (0,),
    np.mean: (0,),
    np.reshape: (0,),
    np.transpose: (0,),
    np.broadcast_to: (0,),
    np.expand_dims: (0,),
    np.squeeze: (0,),
    np.stack: (0,),
    np.concatenate: (0,),
    np.where: (1, 2),
    np.positive: (0,),
    np.negative: (0,),
    np.add: (0, 1),
    np.subtract: (0, 1),
}
"""Functions that are linear in the arguments at these places."""


class Jet(NDArrayOperatorsMixin):
    """An array with its derivatives.

    Attributes:
        value: the array.
        first: k arrays of its shape, the derivatives in each variable.
        second: k (k + 1) / 2 arrays, those in each pair i <= j, row by row.
    """

    def __init__(self, value: np.ndarray, first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> None:
        self.value, self.first, self.second = value, tuple(first), tuple(second)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """Of the value."""
        return self.value.ndim

    @property
    def dtype(self) -> Any:
        """Of the value."""
        return self.value.dtype

    def __getitem__(self, at: Any) -> Jet:
        return self.each(lambda x: x[at])

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise RuleError("a value with derivatives was turned into a plain array", fix=_FIX)

    def each(self, linear: Callable[[Any], Any]) -> Jet:
        """A linear function of it."""
        return Jet(linear(self.value), [linear(b) for b in self.first], [linear(c) for c in self.second])

    def through(self, f: np.ndarray, d: Any, dd: Any) -> Jet:
        """f(x) by the chain rule: f_i = f' x_i, f_ij = f' x_ij + f'' x_i x_j."""
        pairs = combinations_with_replacement(self.first, 2)
        second = [d * c + dd * a * b for c, (a, b) in zip(self.second, pairs, strict=True)]
        return Jet(f, [d * b for b in self.first], second)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "__call__" and not options:
            if ufunc in COMPARISONS:
                return ufunc(*(x.value if isinstance(x, Jet) else x for x in inputs))
            if ufunc in LINEAR:
                return _linear(ufunc, inputs, {})
            if ufunc in BILINEAR:
                return _bilinear(ufunc, *inputs)
            made = _pointwise(ufunc, inputs)
            if made is not None:
                return made
        raise RuleError(f"{ufunc.__name__} is not differentiated on the host", fix=_FIX)

    def __array_function__(self, function: Any, _: Any, arguments: Any, options: Any) -> Any:
        if function in (np.zeros_like, np.ones_like):
            return function(arguments[0].value)
        if function in LINEAR:
            return _linear(function, arguments, options)
        raise RuleError(f"{function.__name__} is not differentiated on the host", fix=_FIX)


_FIX = "Use what jets know, see tograph/backends/jets.py: arithmetic, exp, log, sqrt, tanh, matmul, sum, where, ..."


def _pointwise(ufunc: Any, inputs: tuple[Any, ...]) -> Any:
    """A function of one jet, by its slopes; None for one that is not known."""
    x = inputs[0]
    if ufunc is np.true_divide and isinstance(inputs[1], Jet):
        return np.multiply(x, np.reciprocal(inputs[1]))
    if not isinstance(x, Jet):
        return None
    if len(inputs) == 1:
        if ufunc is np.absolute:
            return x.each(lambda part: np.sign(x.value) * part)
        f = ufunc(x.value)
        return x.through(f, *FUNCTIONS[ufunc](x.value, f)) if ufunc in FUNCTIONS else None
    y = inputs[1]
    if ufunc is np.true_divide:
        return x.each(lambda part: part / y)
    if ufunc is np.power and np.ndim(y) == 0 and not isinstance(y, Jet):
        return x.through(x.value**y, _monomial(y, x.value, y - 1.0), _monomial(y * (y - 1.0), x.value, y - 2.0))
    if ufunc is np.logaddexp and not isinstance(y, Jet):
        share = 0.5 * (1.0 + np.tanh(0.5 * (x.value - y)))
        return x.through(np.logaddexp(x.value, y), share, share * (1.0 - share))
    return None


def _monomial(factor: Any, x: np.ndarray, n: Any) -> Any:
    """factor x^n, and 0 for a factor of 0 even where x^n is infinite."""
    return factor * x**n if factor != 0.0 else 0.0


def _bilinear(product: Any, a: Any, b: Any) -> Jet:
    """(ab)_i = a_i b + a b_i,  (ab)_ij = a_ij b + a_i b_j + a_j b_i + a b_ij."""
    if not isinstance(b, Jet):
        return a.each(lambda part: product(part, b))
    if not isinstance(a, Jet):
        return b.each(lambda part: product(a, part))
    first = [product(p, b.value) + product(a.value, q) for p, q in zip(a.first, b.first, strict=True)]
    pairs = zip(combinations_with_replacement(a.first, 2), combinations_with_replacement(b.first, 2), strict=True)
    mixed = [product(p, s) + product(r, q) for (p, r), (q, s) in pairs]
    outer = [product(p, b.value) + product(a.value, q) for p, q in zip(a.second, b.second, strict=True)]
    second = [c + d for c, d in zip(outer, mixed, strict=True)]
    return Jet(product(a.value, b.value), first, second)


def _linear(function: Any, arguments: Any, options: Any) -> Jet:
    """A function that is linear in some arguments, each a jet, a constant, or a list of these."""
    places = LINEAR[function]
    jet = next(x for i in places if i < len(arguments) for x in _listed(arguments[i]) if isinstance(x, Jet))

    def run(part: Callable[[Jet], Any], constants: bool) -> Any:
        def pick(x: Any) -> Any:
            if isinstance(x, list | tuple):
                return [pick(item) for item in x]
            return part(x) if isinstance(x, Jet) else x if constants else np.zeros_like(x)

        given = [pick(x) if i in places else x for i, x in enumerate(arguments)]
        return function(*given, **options)

    value = run(lambda x: x.value, True)
    first = [_grown(run(lambda x: x.first[i], False), value) for i in range(len(jet.first))]  # noqa: B023
    second = [_grown(run(lambda x: x.second[i], False), value) for i in range(len(jet.second))]  # noqa: B023
    return Jet(value, first, second)


def _grown(part: Any, like: Any) -> Any:
    """A derivative that is constant along an axis, in the shape of the value."""
    return part if np.shape(part) == np.shape(like) else np.broadcast_to(part, np.shape(like))


def _listed(x: Any) -> Sequence[Any]:
    return x if isinstance(x, list | tuple) else (x,)


def jet_of(x: np.ndarray) -> Jet:
    """The rows of x (..., k) as k independent variables."""
    k = x.shape[-1]
    zero = np.zeros_like(x)
    first = [zero + (np.arange(k) == i) for i in range(k)]
    return Jet(x, first, [zero] * (k * (k + 1) // 2))


def rowwise(function: Callable[[Any], Any], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (..., k) and Hessian (..., k, k) of y (...) = function(x (..., k)), row by row."""
    made, k = function(jet_of(x)), x.shape[-1]
    if not isinstance(made, Jet):  # it does not depend on x
        return np.zeros_like(x), np.zeros((*x.shape, k))
    shape = x.shape[:-1]
    hessian = np.empty((*shape, k, k))
    for (i, j), c in zip(combinations_with_replacement(range(k), 2), made.second, strict=True):
        hessian[..., i, j] = hessian[..., j, i] = c
    return np.stack([np.broadcast_to(b, shape) for b in made.first], axis=-1), hessian
