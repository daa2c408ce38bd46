"""The instrumented variant of a request: same plan, same numbers, and what was measured on the way.

It never raises for a number: a solve that fails, or a host node that does, leaves NaN and is reported.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np

from ..backends.base import map_arrays
from ..compiled import Function
from ..edge import Edge, Vertex
from ..errors import HostError, SolveError
from ..graph import source_of
from ..hosting import on_host
from ..lower import Step
from ..node import Constant
from ..plan import Label
from ..returned import checked
from ..schedule import Schedule, make_schedule
from ..writing import is_literal, variable_name
from .instrument import Instrumented, instrument, measurable
from .measure import Statistics
from .report import GradientReport, Key


class Inspection(Function):
    """A request that is measured while it runs; made by `Program.inspect`. Called as the function it stands for.

    Args:
        of: the function of the normal program.
        keep: "statistics", or "fields" for the values on all edges too.
        times: run once more, step by step, and report how long each takes.
    """

    def __init__(self, of: Function, keep: str = "statistics", *, times: bool = False) -> None:
        self.of, self.keep = of, keep
        self.instrumented: Instrumented = instrument(of.plan, of.inputs, fields=keep == "fields")
        settings = attrs.evolve(of.settings, debug=False, on_failure="record", memory_budget=None)
        super().__init__(of.graph, of.backend, of.request, of._pack, settings, self.instrumented.plan)
        self._host = _HostRecord()
        self._timed = Timed(of) if times else None

    def _evaluate(self, values: list[Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> GradientReport:
        native = any(self.backend.is_native(x) for x in (*args, *kwargs.values()))
        self.failures = ()
        self._host.begin()
        with self.backend.scope():
            results = self.run(values)
            self._look_at(results)
            as_given = self.backend.to_native if native else self.backend.to_numpy
            made = self._pack({label: as_given(value) for label, value in results.items()})
            arrays = {label: self.backend.to_numpy(value) for label, value in results.items()}
        seconds = self._timed.seconds(values) if self._timed and not self._host.errors else self._host.seconds
        return self._report(made, arrays, values, seconds)

    def _report(
        self, made: Any, arrays: Mapping[Label, Any], values: list[Any], seconds: Mapping[Vertex, float]
    ) -> GradientReport:
        at = {vertex: i for i, vertex in enumerate(self.of.plan.order)}

        def key(edge: Edge) -> Key:
            return at[edge.vertex], edge.index

        named = self.instrumented
        rows = [pair for label, edges in named.rows.items() for pair in zip(edges, arrays[label], strict=True)]
        found = {edge: Statistics.of_row(row) for edge, row in rows} | self._constants | self._host.statistics
        cosines = {
            (at[vertex], k): float(x)
            for label, terms in named.cosines.items()
            for (vertex, k), x in zip(terms, arrays[label], strict=True)
        }
        fields = {edge: arrays[label] for label, edge in named.fields.items()}
        order = {key(edge): statistics for edge, statistics in found.items() if edge.vertex in at}
        return GradientReport(
            plan=self.of.plan,
            dtype=self.backend.dtype,
            result=made,
            results={label: arrays[label] for label in arrays if label[0] not in MEASURED},
            statistics=dict(sorted(order.items())),
            cosines=cosines,
            seconds={at[vertex]: t for vertex, t in seconds.items()},
            inputs=self._given(values),
            failures={at[v]: error for v, error in self._host.errors.items()},
            fields={key(edge): value for edge, value in fields.items()} if self.keep == "fields" else None,
            again=lambda: self._values(values),
        )

    def _given(self, values: list[Any]) -> dict[str, Any]:
        names = [source_of(edge).name for edge in self.inputs]
        return {name: self.backend.to_numpy(x) for name, x in zip(names, values, strict=True)}

    def _values(self, values: list[Any]) -> Mapping[Key, Any]:
        """The values on all edges, by one run more."""
        fields = Inspection(self.of, "fields")._evaluate(values, (), {}).fields
        assert fields is not None
        return fields

    @cached_property
    def _constants(self) -> dict[Edge, Statistics]:
        nodes = [(vertex, vertex.node) for vertex in self.of.plan.order]
        return {Edge(v): Statistics.of_value(node.value) for v, node in nodes if isinstance(node, Constant)}

    def _on_host(self, step: Step, values: list[Any]) -> tuple[Any, ...]:
        """Vertex by vertex, so that what fails is known, and what does not fail is measured."""
        given = [edge for edge in step.segment.inputs if not is_literal(edge)]
        known = dict(zip(given, map(self.backend.to_numpy, values), strict=True))
        for vertex in step.segment.vertices:
            made = self._run_on_host(vertex, known)
            known |= {Edge(vertex, i): value for i, value in enumerate(made)}
        return tuple(
            self._handed(edge, spec, known[edge]) for edge, spec in zip(step.segment.outputs, step.specs, strict=True)
        )

    def _run_on_host(self, vertex: Vertex, known: Mapping[Edge, Any]) -> tuple[Any, ...]:
        given = [_literal(edge) if is_literal(edge) else known[edge] for edge in vertex.edges]
        began = time.perf_counter()
        made: Any = None
        if all(value is not None for value in given):
            try:
                made = self._operation(vertex)(*given)
            except (SolveError, HostError) as error:
                self._note(vertex, error)
        self._host.seconds[vertex] = time.perf_counter() - began
        several = made if len(vertex.node.outputs) > 1 else (made,)
        if made is None:
            several = tuple(None if s.kind == "factor" else _nan(s.shape) for s in self.of.plan.specs[vertex])
        self._host.statistics |= {
            edge: Statistics.of_value(several[edge.index]) for edge in measurable(vertex, self.of.plan)
        }
        return tuple(several)

    def _operation(self, vertex: Vertex) -> Callable[..., Any]:
        if vertex not in self._host.operations:
            specs = self.of.plan.specs
            given = [specs[edge.vertex][edge.index] for edge in vertex.edges]
            run = checked(on_host(vertex, variable_name(vertex), given), vertex, specs[vertex])
            self._host.operations[vertex] = run
        return self._host.operations[vertex]

    def _handed(self, edge: Edge, spec: Any, value: Any) -> Any:
        try:
            return None if value is None else self._handed_over(edge, spec, value)
        except SolveError as error:  # too large for float32
            self._note(edge.vertex, error)
            return self._nothing(spec)

    def _note(self, vertex: Vertex, error: SolveError | HostError) -> None:
        self._host.errors[vertex] = error
        self._fail(error if isinstance(error, SolveError) else SolveError(str(error)))


def _nan(shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, math.nan)


def _literal(edge: Edge) -> np.ndarray:
    node = edge.vertex.node
    assert isinstance(node, Constant)
    return np.asarray(float(node.value))


class _HostRecord:
    """What is measured on the host. What runs once is measured once, and stays."""

    def __init__(self) -> None:
        self.statistics: dict[Edge, Statistics] = {}
        self.seconds: dict[Vertex, float] = {}
        self.errors: dict[Vertex, Exception] = {}
        self.operations: dict[Vertex, Callable[..., Any]] = {}

    def begin(self) -> None:
        """Forget the failures of the last call; numbers are written over."""
        self.errors.clear()


class Timed(Function):
    """A request step by step: every vertex is compiled for itself, and waited for."""

    def __init__(self, of: Function) -> None:
        settings = attrs.evolve(of.settings, debug=False, on_failure="record", memory_budget=None)
        super().__init__(of.graph, of.backend, of.request, of._pack, settings, of.plan)
        self._taken_by: dict[Vertex, float] = {}

    @cached_property
    def schedule(self) -> Schedule:
        """One segment for each vertex."""
        return make_schedule(self.plan, self.inputs, singly=True)

    def seconds(self, values: list[Any]) -> dict[Vertex, float]:
        """How long each step takes, the second time."""
        with self.backend.scope():
            self.run(values)
            self.run(values)
        return dict(self._taken_by)

    def _execute(self, step: Step, values: list[Any]) -> Sequence[Any]:
        began = time.perf_counter()
        outputs = super()._execute(step, values)
        for value in outputs:  # an array is handed over when it is there
            map_arrays(lambda x: self.backend.to_numpy(x), value)
        self._taken_by[step.segment.vertices[0]] = time.perf_counter() - began
        return outputs


MEASURED = ("measured rows", "measured cosines", "measured field")
