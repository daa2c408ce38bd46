"""What one instrumented run found: statistics of every executed edge, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import attrs

from ..check import Report
from ..draw.model import Overlay
from ..draw.places import base
from ..edge import Edge, Vertex
from ..errors import TographError, did_you_mean
from ..plan import Label, Plan
from ..spec import Spec
from ..validate import all_specs
from . import overlays
from .health import Gains, Precision, Solves, gains, precision, solves
from .measure import Statistics
from .nonfinite import WhyNan, why_nan
from .path import Path, path
from .reading import Reader
from .reproducer import reproducer
from .rules import WorstRules, worst_rules
from .summary import Summary, summary
from .sums import Cancellation, cancellation
from .zero import WhyZero, why_zero

Key = tuple[int, int]
"""An executed edge: position of its vertex in `plan.order`, and output; as `Wire.tail, Wire.output` in a diagram."""

VERSION = 1
"""Version of `GradientReport.to_dict`."""


@attrs.frozen(eq=False, slots=False, repr=False)
class GradientReport:
    """One run of a program, measured.

    Attributes:
        plan: what ran, after its passes; the plan of the normal program.
        dtype: of real numbers, "float64" or "float32".
        result: what the normal program returns.
        results: the same by label: `results["compliance",]`, `results["compliance", "rho"]`.
        statistics: of every executed edge whose value is an array (or a pair of them).
        cosines: (position of a sum of cotangents, number of the term) -> cosine of the angle between term and sum.
        seconds: position of a vertex -> wall time; of host nodes, and of all steps with `times=True`.
        inputs: what the program was called with, by name, as NumPy arrays.
        failures: position of a host vertex -> what it raised.
    """

    plan: Plan
    dtype: str
    result: Any
    results: Mapping[Label, Any]
    statistics: Mapping[Key, Statistics]
    cosines: Mapping[Key, float]
    seconds: Mapping[int, float]
    failures: Mapping[int, Exception]
    inputs: Mapping[str, Any]
    _fields: Mapping[Key, Any] | None = attrs.field(alias="fields")
    _again: Callable[[], Mapping[Key, Any]] = attrs.field(alias="again")

    @property
    def value(self) -> Any:
        """The value(s), as `value_and_grad` returns them; that of the output for a tangent or product."""
        return self.result[0] if self.plan.request.mode != "value" else self.result

    @property
    def grad(self) -> Any:
        """The derivative(s), as the normal program returns them second; None for a program of values."""
        return self.result[1] if self.plan.request.mode != "value" else None

    @cached_property
    def fields(self) -> Mapping[Key, Any]:
        """The values on all executed edges as NumPy arrays; unless they were kept, the program is run once more."""
        return self._fields if self._fields is not None else self._again()

    @cached_property
    def position(self) -> Mapping[Vertex, int]:
        """The positions of the vertices in `plan.order`."""
        return {vertex: i for i, vertex in enumerate(self.plan.order)}

    @cached_property
    def reader(self) -> Reader:
        """Names and neighbours of the steps."""
        return Reader(self.plan)

    def of(self, edge: Edge) -> Statistics | None:
        """The statistics of an edge; None for a factor."""
        return self.statistics.get((self.position[edge.vertex], edge.index))

    @cached_property
    def heads(self) -> Mapping[str, int]:
        """Declared name -> position of the executed step that gives its value."""
        forward = [v for v in self.plan.order if not self.reader.derived(v) and not v.origin.part]
        return {self.reader.name(v): self.position[v] for v in forward if v.origin.role == "forward"}

    @cached_property
    def declared_specs(self) -> Mapping[Vertex, tuple[Spec, ...]]:
        """The specs of the declared vertices."""
        return all_specs([*self.plan.graph.outputs.values(), *self.plan.graph.inputs])

    def range(self, edge: Edge) -> str:
        """Minimum and maximum of what an edge carries, in words."""
        found = self.of(edge)
        return overlays.range_of(found) if found else "a factor"

    def norm(self, edge: Edge) -> float:
        """The 2-norm of what an edge carries; 0 for a factor."""
        found = self.of(edge)
        return found.norm if found else 0.0

    def states(self) -> list[tuple[int, tuple[str, ...], Edge]]:
        """The declared values whose cotangent is known: position, outputs that it is of, edge that carries it."""
        heads = {base(v): i for i, v in enumerate(self.plan.order) if not self.reader.derived(v) and not v.origin.part}
        found = [(heads[at], of, ct) for (at, of), ct in self.reader.cotangents.items() if at in heads]
        for label, edge in self.plan.results.items():
            if len(label) == 2 and label[1] in self.plan.graph.input_names:
                source = self.plan.graph.input(label[1]).vertex
                found += [(self.position[source], (label[0],), edge)] if source in self.position else []
        return found

    @property
    def finite(self) -> bool:
        """Whether everything that was computed is finite."""
        return all(statistics.finite for statistics in self.statistics.values())

    def overlay(self, name: str) -> Overlay:
        """Numbers to be laid over the diagram of `plan`.

        Args:
            name: one of `OVERLAYS`.

        Raises:
            TographError: there is no such overlay, or it needs what was not measured.
        """
        if name not in overlays.OVERLAYS:
            raise TographError(f"there is no overlay {name!r}. {did_you_mean(name, overlays.OVERLAYS)}")
        return overlays.OVERLAYS[name](self)

    # The answers. Each is worked out in a module of its own.

    def why_nan(self) -> WhyNan:
        """Where NaN and infinity begin: all origins, forward ones first."""
        return why_nan(self)

    def why_zero(self, wrt: str, of: str | None = None) -> WhyZero:
        """Why the derivative of `of` (the first output by default) with respect to an input is zero, if it is.

        Raises:
            TographError: unknown names.
        """
        return why_zero(self, wrt, of)

    def path(self, start: str, end: str) -> Path:
        """The shortest path between two nodes, with the norms of values and derivatives on it.

        Raises:
            TographError: there is no such node.
        """
        return path(self, start, end)

    def worst_rules(self, checked: Report | None = None) -> WorstRules:
        """The derivative rules that are wrong or least exact, by `tg.check` at the point of this run.

        Args:
            checked: a check that was made before, of the same graph; by default a quick one is made now.
        """
        if checked is None:
            return self._worst_rules
        return worst_rules(self, checked)

    @property
    def certified(self) -> bool:
        """Whether the rules have been checked for this report, so that the overlay "digits" costs nothing more."""
        return "_worst_rules" in vars(self)

    @cached_property
    def _worst_rules(self) -> WorstRules:
        return worst_rules(self)

    def gains(self) -> Gains:
        """How much each derivative step stretches what arrives: exploding and vanishing derivatives."""
        return gains(self)

    def solves(self) -> Solves:
        """How factorisations and solves ended, forward and adjoint."""
        return solves(self)

    def precision(self) -> Precision:
        """Where numbers have fewer bits than the program."""
        return precision(self)

    def summary(self) -> Summary:
        """All of these but the rules, the most severe first."""
        return summary(self)

    def reproducer(self, node: str) -> str:
        """A Python script that rebuilds one node with the values it was given here, runs it, and checks its rules.

        Raises:
            TographError: no such node; an input; a node that gives no array; a class that cannot be imported.
        """
        return reproducer(self, node)

    def cancellation(self) -> Cancellation:
        """Every sum of derivatives with its contributions: norms, cosines, and |sum| / sum |terms|."""
        return cancellation(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; numbers that are not finite stay what they are, for the writer to decide."""
        rows = [[*key, *attrs.astuple(statistics)] for key, statistics in self.statistics.items()]
        columns = [field.name for field in attrs.fields(Statistics)]
        return {
            "format": "tograph gradient report",
            "version": VERSION,
            "graph": self.plan.graph.hash,
            "computes": self.computes,
            "backend": self.plan.backend,
            "dtype": self.dtype,
            "steps": [self.reader.step(vertex) for vertex in self.plan.order],
            "columns": ["step", "output", *columns],
            "edges": rows,
            "cosines": [[*key, cosine] for key, cosine in self.cosines.items()],
            "seconds": [list(pair) for pair in self.seconds.items()],
            "failures": [[step, str(error)] for step, error in self.failures.items()],
        }

    @property
    def computes(self) -> str:
        """What was asked for, in words."""
        return str(self.plan.request)

    def __repr__(self) -> str:
        health = "all finite" if self.finite else "NOT FINITE"
        return f"<GradientReport: {self.computes}; {len(self.statistics)} edges, {health}>"
