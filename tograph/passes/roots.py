"""Have every solution of an equation checked: its residual becomes one more result of the program."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ..edge import Edge, made_for
from ..errors import SolveError
from ..plan import Label, Plan
from .rewrite import Made, named


@named("status", "an equation that was not solved must not go unseen: its residual becomes a result")
def watch_roots(plan: Plan) -> Made:
    """Add the scaled residual of each solution, forward and adjoint, under ("status", name, role, where)."""
    results: dict[Label, Edge] = dict(plan.results)
    for vertex in plan.order:
        check = vertex.node.check()
        if check is not None:
            origin = vertex.origin
            with made_for(attrs.evolve(origin, role="status")):
                norm = check(Edge(vertex), *vertex.edges)
            name = f"{origin.name} ({vertex.node.title})"
            results[_unused(results, name, origin.role, str(origin.where))] = norm
    return results, []


def _unused(results: dict[Label, Edge], name: str, role: str, where: str) -> Label:
    """One node may need several adjoint solves, e.g. one for every output: each has a status of its own."""
    label: Label = ("status", name, role, where)
    i = 1
    while label in results:
        i += 1
        label = ("status", f"{name} no. {i}", role, where)
    return label


def unconverged(results: Mapping[Label, Any]) -> Iterator[SolveError]:
    """An error for every equation whose residual is not small (or not a number)."""
    for label, value in results.items():
        if len(label) == 4 and not float(value) <= 1.0:
            _, name, role, where = label
            which = {"forward": "", "tangent": "tangent "}.get(role, "adjoint ")
            status = "iteration limit" if math.isfinite(float(value)) else "breakdown"
            yield SolveError(f"{which}solve of {name}, declared at {where}, {_why(float(value))}", status)


def require_converged(results: Mapping[Label, Any]) -> None:
    """Raise the first of these errors."""
    for error in unconverged(results):
        raise error


def _why(residual: float) -> str:
    if math.isfinite(residual):
        advice = "Look at its inputs, its bracket or start, or allow more iterations"
        return f"did not converge: its residual is {residual:.1e} times the tolerance. {advice}"
    advice = "The equation may be singular or undefined there: look at its inputs, its bracket or start"
    return f"gave no finite answer. {advice}"
