"""The optimisers of SciPy as methods: L-BFGS-B, SLSQP, trust-constr, Newton-CG, trust-ncg.

SciPy's optimisers call the function; here they are asked for one design at a time (`conversation`). What they remember
cannot be taken out of them. The state is therefore the record of all designs analysed in the stage, with values and
gradients: played to a fresh optimiser it brings that to the very same place, without an analysis. It grows by
(2 + m) n numbers per iteration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
from scipy.optimize import Bounds, NonlinearConstraint, minimize
from scipy.sparse.linalg import LinearOperator

from ..errors import TographError
from .constraint import Constraint
from .conversation import Conversation
from .formulation import Formulation, Point
from .variables import Floats

BOUNDED = ("L-BFGS-B", "SLSQP", "trust-constr")
CONSTRAINED = ("SLSQP", "trust-constr")
SECOND_ORDER = ("trust-constr", "Newton-CG", "trust-ncg")
NAMES = ("L-BFGS-B", "SLSQP", "trust-constr", "Newton-CG", "trust-ncg")
MANY = 10**6
"""SciPy's own limit of iterations, out of the way of `max_iter`."""


@attrs.frozen
class Scipy:
    """One of SciPy's optimisers, with its own line searches, trust regions and end.

    Every design that it asks for counts as an iteration, trial steps too: `Result.best_design` is the one to take.
    The objective is divided by its size at the start of the stage, constraints by theirs.

    Attributes:
        name: "L-BFGS-B" (bounds), "SLSQP" (bounds and constraints; a dense n x n matrix, for up to some thousand
            variables), "trust-constr" (the same in the large, with the graph's Hessian-vector products), "Newton-CG" or
            "trust-ncg" (neither bounds nor constraints, with Hessian-vector products).
        options: of `scipy.optimize.minimize` for that optimiser, e.g. {"gtol": 1e-8}.

    Raises:
        ValueError: another name.
    """

    name: str = attrs.field(default="L-BFGS-B", validator=attrs.validators.in_(NAMES))
    options: Mapping[str, Any] = attrs.field(factory=dict)

    def findings(self, problem: Formulation) -> list[str]:
        """Constraints, bounds or several designs that this optimiser does not know."""
        found = []
        if problem.constraints and self.name not in CONSTRAINED:
            given = ", ".join(map(str, problem.constraints))
            found.append(f"{self.name} knows no constraints, got {given}. Take 'mma', 'slsqp' or 'trust-constr'")
        bounded = bool(np.isfinite(problem.lower).any() or np.isfinite(problem.upper).any())
        if bounded and self.name not in BOUNDED:
            found.append(
                f"{self.name} knows no bounds, and {problem.variables.said} has some. Take 'l-bfgs-b' or "
                "'trust-constr', or set `lower` and `upper` of the input to -inf and inf"
            )
        if len(problem.variables.names) > 1 and self.name in SECOND_ORDER:
            found.append(f"{self.name} takes second derivatives in one input, got {problem.variables.said}")
        return found

    def init(self, problem: Formulation, design: Floats) -> dict[str, Any]:
        """An empty record."""
        return {"record": (), "final": "", "ended": ""}

    def step(self, problem: Formulation, point: Point, state: dict[str, Any]) -> tuple[Floats, dict[str, Any]]:
        """The design that the optimiser asks for next, or the one it ends with."""
        if state["final"]:
            return point.design.copy(), {**state, "ended": state["final"]}
        record = (*state["record"], _entry(problem, point, first=not state["record"]))
        talk = self._talk(problem, record)
        over, question = _next_design(problem, talk)
        if not over:
            return np.clip(question.reshape(point.design.shape), problem.lower, problem.upper), {
                **state,
                "record": record,
            }
        x, message = question
        x = np.clip(x.reshape(point.design.shape), problem.lower, problem.upper)
        same = np.array_equal(x, point.design)
        return x, {"record": record, "final": message, "ended": message if same else ""}

    def ended(self, state: dict[str, Any]) -> str:
        """What the optimiser said at its end."""
        return str(state["ended"])

    def _talk(self, problem: Formulation, record: tuple[dict[str, Any], ...]) -> Conversation:
        """The optimiser, just told the last entry of a record; one that knows another record is begun anew."""
        talk: Conversation | None = problem.workspace.get("scipy")
        if talk is not None and talk.told == len(record) - 1:
            talk.answer(record[-1])
            talk.told = len(record)
            return talk
        if talk is not None:
            talk.close()
        talk = Conversation(lambda ask: _minimize(self, problem, record[0], ask))
        problem.workspace["scipy"] = talk
        spent = problem.extra_evaluations
        for entry in record:
            over, question = _next_design(problem, talk)
            wanted = None if over else np.clip(question.reshape(problem.lower.shape), problem.lower, problem.upper)
            if wanted is None or _digest(wanted) != entry["digest"]:
                raise TographError(f"{self.name} does not repeat its own record. Was SciPy changed since?")
            talk.answer(entry)
        # What is computed again only to come back to the same place has been counted before.
        talk.told, problem.extra_evaluations = len(record), spent
        return talk


def _entry(problem: Formulation, point: Point, first: bool) -> dict[str, Any]:
    """What the record keeps of an answer: the optimiser asks for the same designs again, so a hash of them will do.

    Gradients are kept in the precision in which they were computed.
    """
    gradients = {name: np.asarray(g, dtype=problem.program.dtype) for name, g in point.gradients.items()}
    start = {"design": point.design} if first else {}
    return {"digest": _digest(point.design), "values": point.values, "gradients": gradients, **start}


def _digest(design: Floats) -> str:
    return hashlib.sha256(np.ascontiguousarray(design).tobytes()).hexdigest()


@attrs.frozen(eq=False)
class _Product:
    """A question for the second derivative of an output along a direction."""

    name: str
    x: Floats
    direction: Floats


def _next_design(problem: Formulation, talk: Conversation) -> tuple[bool, Any]:
    """What the optimiser says when it wants no Hessian-vector product: those are computed on the way."""
    over, question = talk.listen()
    while isinstance(question, _Product):
        x = question.x.reshape(problem.lower.shape)
        talk.answer(problem.hvp(question.name, x, question.direction).ravel())
        over, question = talk.listen()
    return over, question


def _minimize(
    method: Scipy, problem: Formulation, first: Mapping[str, Any], ask: Callable[[Any], Any]
) -> tuple[Floats, str]:
    """Run SciPy; every design it wants to know about goes through `ask`."""
    known: dict[bytes, Any] = {}
    scale = abs(first["values"][problem.minimize]) or 1.0

    def at(x: Floats) -> Any:
        key = x.tobytes()
        if key not in known:
            for old in list(known)[:-2]:
                del known[old]
            known[key] = ask(x.copy())
        return known[key]

    def gradient(name: str, x: Floats) -> Floats:
        return np.array(at(x)["gradients"][name], dtype=np.float64).ravel()

    def product(name: str, x: Floats, v: Floats) -> Floats:
        return np.asarray(ask(_Product(name, x.copy(), np.array(v, dtype=np.float64).ravel())))

    known_to: dict[str, Any] = {
        "fun": lambda x: at(x)["values"][problem.minimize] / scale,
        "jac": lambda x: gradient(problem.minimize, x) / scale,
    }
    if method.name in SECOND_ORDER:
        known_to["hessp"] = lambda x, v: product(problem.minimize, x, v) / scale
    if method.name in BOUNDED:
        known_to["bounds"] = Bounds(problem.lower.ravel(), problem.upper.ravel())
    if method.name in CONSTRAINED:
        make = _for_slsqp if method.name == "SLSQP" else _for_trust_region
        known_to["constraints"] = [make(c, at, gradient, product) for c in problem.constraints]
    run: Any = minimize
    found = run(
        x0=np.array(first["design"], dtype=np.float64).ravel(),
        method=method.name,
        options={"maxiter": MANY, **method.options},
        **known_to,
    )
    return np.asarray(found.x), f"{method.name} says: {str(found.message).rstrip('.')}"


def _for_slsqp(c: Constraint, at: Any, gradient: Any, product: Any) -> dict[str, Any]:
    """SLSQP wants g >= 0 or g = 0."""
    sign = -1.0 if c.sense == "<=" else 1.0
    return {
        "type": "eq" if c.sense == "==" else "ineq",
        "fun": lambda x: sign * (at(x)["values"][c.name] - c.bound) / c.scale,
        "jac": lambda x: sign / c.scale * gradient(c.name, x),
    }


def _for_trust_region(c: Constraint, at: Any, gradient: Any, product: Any) -> Any:
    def hess(x: Floats, v: Floats) -> Any:
        weight = float(v[0]) / c.scale
        return LinearOperator((x.size, x.size), matvec=lambda d: weight * product(c.name, x, d), dtype=np.float64)

    make: Any = NonlinearConstraint
    return make(
        lambda x: np.array([(at(x)["values"][c.name] - c.bound) / c.scale]),
        -np.inf if c.sense == "<=" else 0.0,
        np.inf if c.sense == ">=" else 0.0,
        jac=lambda x: gradient(c.name, x)[None] / c.scale,
        hess=hess,
    )
