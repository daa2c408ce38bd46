"""Have every solution of an equation checked: its residual becomes one more result of the program."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np

from ..edge import Edge, Vertex, made_for
from ..errors import SolveError
from ..plan import Label, Plan
from .rewrite import Inputs, Made, named, rewrite


@named("status", "an equation that was not solved must not go unseen: its residual becomes a result")
def watch_roots(plan: Plan) -> Made:
    """Add the check of each solution, forward and adjoint, under ("status", name, role, where); see `solved`."""
    checks: dict[Label, Edge] = {}

    def visit(vertex: Vertex, inputs: Inputs) -> Vertex | None:
        check = vertex.node.check()
        if check is None:
            return None
        origin, node = vertex.origin, vertex.node.counted() or vertex.node
        watched = vertex if node is vertex.node and inputs == vertex.inputs else Vertex(node, inputs, origin)
        outputs = [Edge(watched, i) for i in range(len(node.outputs))]
        with made_for(attrs.evolve(origin, role="status")):
            measured = check(outputs[0], *watched.edges, *outputs[1:])
        name = f"{' and '.join(origin.joined) or origin.name} ({node.title})"
        checks[_unused(checks, name, origin.role, str(origin.where))] = measured
        return watched

    return rewrite(plan, visit) | checks, []


def _unused(results: Mapping[Label, Edge], name: str, role: str, where: str) -> Label:
    """One node may need several adjoint solves, e.g. one for every output: each has a status of its own."""
    label: Label = ("status", name, role, where)
    i = 1
    while label in results:
        i += 1
        label = ("status", f"{name} no. {i}", role, where)
    return label


@attrs.frozen
class Solved:
    """How one equation was solved, by the check of its solution.

    Attributes:
        name: the declared node and its operation.
        role: "forward", "adjoint" or "tangent".
        where: the line of the declaration.
        error: the residual in units of what may be used: at most 1 for a good solution.
        residual: |f - K u| / |f| of the worst load case; None for an equation that is no linear system.
        iterations: how many the solver took for all load cases together; None if it does not say.
        advice: what may be wrong and what to do, of a poor solution; "" if nothing particular is known.
    """

    name: str
    role: str
    where: str
    error: float
    residual: float | None = None
    iterations: int | None = None
    advice: str = ""

    @property
    def failure(self) -> SolveError | None:
        """What is wrong with it."""
        if self.error <= 1.0:
            return None
        which = "" if self.role == "forward" else f"{self.role} "
        status = "iteration limit" if math.isfinite(self.error) else "breakdown"
        return SolveError(f"{which}solve of {self.name}, declared at {self.where}, {self._why()}", status)

    def _why(self) -> str:
        if not math.isfinite(self.error):
            advice = "The equation may be singular or undefined there: look at its inputs, its bracket or start"
            return f"gave no finite answer. {self.advice or advice}"
        spent = "" if self.iterations is None else f" after {self.iterations} iterations"
        advice = "Look at its inputs, its bracket or start, or allow more iterations"
        return f"did not converge: its residual is {self.error:.1e} times the tolerance{spent}. {self.advice or advice}"


def solved(results: Mapping[Label, Any], plan: Plan | None = None, dtype: str = "") -> tuple[Solved, ...]:
    """The checked solutions among the results of a program, which are on the host: each a number, its error, or
    three: error, residual, iterations. Those that failed get the advice of the check in the plan, if it is given."""
    found = []
    for label, value in results.items():
        if label[0] == "status":
            one = _solved(label, np.ravel(value))
            if plan is not None and label in plan.results and not one.error <= 1.0:
                one = attrs.evolve(one, advice=plan.results[label].vertex.node.advice(dtype))
            found.append(one)
    return tuple(found)


def _solved(label: Label, numbers: np.ndarray) -> Solved:
    _, name, role, where = label
    role = role if role in ("forward", "tangent") else "adjoint"
    error, *more = (float(x) for x in numbers)
    if not more:
        return Solved(name, role, where, error)
    residual, iterations = more
    return Solved(name, role, where, error, residual, None if math.isnan(iterations) else int(iterations))


def unconverged(results: Mapping[Label, Any]) -> Iterator[SolveError]:
    """An error for every equation whose residual is not small (or not a number)."""
    return (one.failure for one in solved(results) if one.failure is not None)


def require_converged(results: Mapping[Label, Any]) -> None:
    """Raise the first of these errors."""
    for error in unconverged(results):
        raise error
