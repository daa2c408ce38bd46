"""What is optimised: a program with an objective, constraints, bounds and the inputs that stay fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np

from ..compiled import Function
from ..errors import TographError, did_you_mean
from ..graph import Graph
from ..program import Program
from ..validate import all_specs
from .constraint import Constraint
from .variables import Floats, Variables

RESERVED = ("iteration", "stage", "change", "seconds")
"""Columns of the history besides the outputs."""


@attrs.frozen(eq=False)
class Point:
    """A design with what the program says about it.

    Attributes:
        number: the iteration, from 1.
        design: the variables x, in the shape of the design input (joined into one vector if there are several inputs);
            read-only.
        values: every scalar output.
        gradients: of the objective and the constraints, each in the shape of the design; read-only.
    """

    number: int
    design: Floats
    values: dict[str, float]
    gradients: dict[str, Floats]


@attrs.define(eq=False, slots=False)
class Formulation:
    """minimize f(x) subject to constraints and lower <= x <= upper, all of them outputs of one program.

    Attributes:
        program: computes values and gradients, on any backend.
        minimize: the output that is the objective.
        constraints: bounds on outputs.
        variables: the inputs that are designed.
        inputs: values of the other inputs now; between two steps, a schedule may change them.
        lower, upper: bounds, in the shape of the design.
        tol: the largest change of a design variable that counts as none.
        evaluations: how often objective, constraints and their gradients were computed.
        extra_evaluations: how often outputs were computed alone, without gradient, and Hessian-vector products.
        workspace: what a method keeps between steps and could make again from its state; never stored.
    """

    program: Program
    minimize: str
    constraints: tuple[Constraint, ...]
    variables: Variables
    inputs: Mapping[str, Any]
    lower: Floats
    upper: Floats
    tol: float
    evaluations: int = 0
    extra_evaluations: int = 0
    workspace: dict[str, Any] = attrs.field(factory=dict)

    @cached_property
    def differentiated(self) -> tuple[str, ...]:
        """The outputs whose gradients are needed: the objective, then the constraints."""
        return tuple(dict.fromkeys((self.minimize, *(c.name for c in self.constraints))))

    @cached_property
    def function(self) -> Function:
        """Values and gradients of `differentiated`, and the values of `observed`, in one program."""
        return self.program.value_and_grad(self.differentiated, self.variables.names, also=self.observed)

    @cached_property
    def observed(self) -> tuple[str, ...]:
        """The other scalar outputs: their values are recorded."""
        outputs = self.program.graph.outputs
        specs = all_specs(list(outputs.values()))
        scalars = [name for name, edge in outputs.items() if specs[edge.vertex][edge.index].kind == "scalar"]
        return tuple(name for name in scalars if name not in self.differentiated)

    def evaluate(self, number: int, design: Floats) -> Point:
        """Values and gradients at a design.

        Raises:
            TographError: objective, constraint or gradient is not finite; what is only observed may be anything.
        """
        values, gradients = self.function(**self._given(design))
        self.evaluations += 1
        outputs = self.program.graph.outputs
        point = Point(
            number,
            _read_only(design),
            {name: float(values[name]) for name in outputs if name in values},
            {name: _read_only(self.variables.join(gradients[name])) for name in self.differentiated},
        )
        self._require_finite(point)
        return point

    def value(self, number: int, name: str, design: Floats) -> float:
        """One output alone, without its gradient; errors as in `evaluate`."""
        return self.values(number, (name,), design)[name]

    def values(self, number: int, names: Sequence[str], design: Floats) -> dict[str, float]:
        """Some outputs without their gradients; errors as in `evaluate`."""
        found = self.program.values(*names)(**self._given(design))
        self.extra_evaluations += 1
        for name in names:
            if not np.isfinite(found[name]):
                raise TographError(f"iteration {number}: output {name!r} is {found[name]} at the next design. {ADVICE}")
        return {name: float(found[name]) for name in names}

    def hvp(self, name: str, design: Floats, direction: Floats) -> Floats:
        """The second derivative of an output times a direction, both in the shape of the design, which is one input."""
        (wrt,) = self.variables.names
        along = np.asarray(direction, dtype=np.float64).reshape(design.shape)
        _, _, product = self.program.hvp(name, wrt)(**self._given(design), **{f"{wrt}_dot": along})
        self.extra_evaluations += 1
        return np.asarray(product, dtype=np.float64)

    def inequalities(self, values: Mapping[str, float]) -> Floats:
        """The constraints as g <= 0, each relative to its scale, an equality as two of them; shape (m,)."""
        rows = [sign * (values[c.name] - c.bound) / c.scale for c in self.constraints for sign in c.signs]
        return np.array(rows, dtype=np.float64)

    def inequality_gradients(self, point: Point) -> Floats:
        """Gradients of `inequalities`, shape (m, n)."""
        rows = [sign / c.scale * point.gradients[c.name].ravel() for c in self.constraints for sign in c.signs]
        return np.array(rows, dtype=np.float64).reshape(len(rows), point.design.size)

    def _given(self, design: Floats) -> dict[str, Any]:
        return {**self.inputs, **self.variables.split(design)}

    def satisfied(self, values: Mapping[str, float], tolerance: float) -> bool:
        """Whether every constraint holds up to a relative tolerance."""
        return all(c.violation(values[c.name]) <= tolerance for c in self.constraints)

    def _require_finite(self, point: Point) -> None:
        for name in self.differentiated:
            if not np.isfinite(point.values[name]):
                raise TographError(f"iteration {point.number}: output {name!r} is {point.values[name]}. {ADVICE}")
        for name, gradient in point.gradients.items():
            wrong = int(np.size(gradient) - np.isfinite(gradient).sum())
            if wrong:
                where = f"{wrong} of {np.size(gradient)} places"
                what = f"the gradient of {name!r} with respect to {self.variables.said}"
                raise TographError(f"iteration {point.number}: {what} is not finite in {where}. {ADVICE}")


ADVICE = "Look for a division by zero, or a power of zero, on the way from the design to this output"


def _read_only(values: Any) -> Floats:
    """A view that nobody can write through: constant gradients are shared between iterations."""
    array = np.asarray(values, dtype=np.float64).view()
    array.setflags(write=False)
    return array


def formulate(
    program: Program,
    start: Any,
    minimize: str,
    subject_to: Sequence[str | Constraint],
    design: str | Sequence[str] | None,
    tol: float,
    inputs: Mapping[str, Any],
) -> tuple[Formulation, Floats]:
    """The formulation and the start as an array of floats.

    Raises:
        TographError: everything wrong with the names and constraints at once; then with shapes and bounds.
    """
    if isinstance(program, Graph):
        raise TographError("a graph is not a program yet. Compile it first: `graph.compile()`")
    design = design or next(iter(program.graph.input_names), "")
    names = (design,) if isinstance(design, str) else tuple(design)
    constraints, found = _read(subject_to)
    found += _name_findings(program.graph, minimize, constraints, names, inputs)
    raise_all(found)
    variables = Variables.of(program.graph, names)
    native = program.backend

    def own(value: Any) -> Any:
        return native.to_numpy(value) if native.is_native(value) else value

    fixed = {name: own(value) for name, value in inputs.items()}
    given = {name: np.array(own(value), dtype=np.float64) for name, value in variables.given(start).items()}
    lower, upper = (variables.bounds(program.graph, side) for side in ("lower", "upper"))
    problem = Formulation(program, minimize, constraints, variables, fixed, lower, upper, tol)
    problem.function.bind((), {**fixed, **given})
    x = variables.join(given)
    raise_all(_start_findings(variables.said, x, lower, upper))
    return problem, x


def raise_all(found: Sequence[str]) -> None:
    """One sentence as it is, several as a list."""
    if len(found) > 1:
        lines = [f"{i}. {sentence}" for i, sentence in enumerate(found, 1)]
        raise TographError("\n".join([f"The optimisation has {len(found)} problems:", *lines]))
    if found:
        raise TographError(found[0])


def _read(subject_to: Sequence[str | Constraint]) -> tuple[tuple[Constraint, ...], list[str]]:
    given = [subject_to] if isinstance(subject_to, str | Constraint) else list(subject_to)
    constraints, found = [], []
    for item in given:
        try:
            constraints.append(item if isinstance(item, Constraint) else Constraint.parse(item))
        except TographError as error:
            found.append(str(error))
    return tuple(constraints), found


def _name_findings(
    graph: Graph,
    minimize: str,
    constraints: Sequence[Constraint],
    designs: Sequence[str],
    inputs: Mapping[str, Any],
) -> list[str]:
    found = []
    if minimize not in graph.outputs:
        found.append(f"there is no output {minimize!r} to minimize. {did_you_mean(minimize, graph.outputs)}")
    for c in constraints:
        if c.name not in graph.outputs:
            found.append(f"there is no output {c.name!r} to constrain ({c}). {did_you_mean(c.name, graph.outputs)}")
    for design in designs:
        if design not in graph.input_names:
            found.append(f"there is no input {design!r} to design. {did_you_mean(design, graph.input_names)}")
    for name in inputs:
        if name not in graph.input_names:
            found.append(f"there is no input {name!r} to set. {did_you_mean(name, graph.input_names)}")
    for design in sorted(set(designs) & set(inputs)):
        found.append(f"{design!r} is the design: give its first value as `start`, not among the `inputs`")
    for name in sorted(set(RESERVED) & set(graph.outputs)):
        found.append(f"an output cannot be called {name!r}: the history has a column of that name. Rename it")
    return found


def _start_findings(design: str, x: Floats, lower: Floats, upper: Floats) -> list[str]:
    if np.any(lower > upper):
        places = f"{int((lower > upper).sum())} of {x.size} places"
        return [f"the lower bound of {design} is above the upper one in {places}"]
    outside = int(((x < lower) | (x > upper)).sum())
    if outside:
        bounds = f"{lower.min():g} to {upper.max():g}"
        return [f"the start of {design} is outside its bounds ({bounds}) in {outside} of {x.size} places"]
    return []
