"""Methods by name, and the choice of one for a problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import TographError, did_you_mean
from .criteria import OptimalityCriteria
from .first_order import TorchOptim
from .formulation import Formulation
from .method import Method
from .mma import GCMMA, MMA
from .scipy_methods import Scipy

METHODS: dict[str, Callable[[], Method]] = {
    "oc": OptimalityCriteria,
    "mma": MMA,
    "gcmma": GCMMA,
    "l-bfgs-b": lambda: Scipy("L-BFGS-B"),
    "slsqp": lambda: Scipy("SLSQP"),
    "trust-constr": lambda: Scipy("trust-constr"),
    "newton-cg": lambda: Scipy("Newton-CG"),
    "trust-ncg": lambda: Scipy("trust-ncg"),
    "adam": TorchOptim,
}
"""Name -> the method with its usual settings."""


def chosen_method(problem: Formulation, method: Any, start: Any) -> tuple[Any, str]:
    """The method that is meant, and a sentence on it.

    Raises:
        TographError: an unknown name.
    """
    if not isinstance(method, str):
        return method, f"{_name(method)}, as given"
    if method == "auto":
        name, why = _choose(problem, start)
        return METHODS[name](), f"{name}, chosen because {why}"
    if method not in METHODS:
        raise TographError(f"there is no method {method!r}. {did_you_mean(method, [*METHODS, 'auto'])}")
    return METHODS[method](), f"{method}, as asked"


def _choose(problem: Formulation, start: Any) -> tuple[str, str]:
    if not problem.constraints:
        if np.isfinite(problem.lower).any() or np.isfinite(problem.upper).any():
            return "l-bfgs-b", "there are bounds and no constraints"
        return "newton-cg", "there are neither bounds nor constraints"
    single = len(problem.constraints) == 1 and problem.constraints[0].sense == "<="
    if not single or np.any(problem.lower < 0.0):
        given = ", ".join(map(str, problem.constraints))
        return "mma", f"it takes any constraints, here {given}"
    point = problem.evaluate(1, start)
    name = problem.constraints[0].name
    df, dg = point.gradients[problem.minimize], point.gradients[name]
    noise = 100.0 * float(np.finfo(problem.program.dtype).eps)
    if np.any(dg < -noise * np.abs(dg).max()) or np.any(df > noise * np.abs(df).max()):
        return "mma", f"the objective rises, or {name!r} falls, where some of the design grows"
    return "oc", f"the objective falls and the one constraint, {name!r}, grows where the design grows"


def _name(method: Any) -> str:
    return str(getattr(method, "name", type(method).__name__))
