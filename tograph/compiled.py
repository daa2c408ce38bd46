"""One compiled request: what runs when a program is called."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .arguments import Arguments
from .backends.base import Backend, map_arrays
from .edge import Edge
from .errors import SolveError, SolveWarning
from .graph import Graph, source_of
from .hosting import to_device
from .lower import Lowered, Step, lower, run
from .memory import Peak, peak
from .passes import PASSES, run_compared, run_passes
from .passes.remat import rematerialise
from .passes.roots import Solved, solved
from .plan import Label, Plan, Request
from .planning import make_plan
from .schedule import Schedule, make_schedule
from .settings import Settings
from .spec import Spec
from .validate import all_specs

if TYPE_CHECKING:
    from .explain import Explanation


class Function:
    """One compiled request. Made by `Program`; call it with the program's inputs.

    Arrays come back as the kind you gave: NumPy in, NumPy out; framework arrays in, framework
    arrays out.

    Attributes:
        settings: those of the program; see `Program`.
        failures: the solves that failed in the last call, forward and adjoint; empty when all is well.
        solved: how the solves of the last call ended that iterate, or whose residual is checked, forward and adjoint.
    """

    passes: Sequence[Callable[[Plan], Plan]] = PASSES
    """What runs over the plan before it is scheduled."""

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        request: Request,
        pack: Callable[[dict[Label, Any]], Any],
        settings: Settings,
        plan: Plan | None = None,
    ) -> None:
        self.graph = graph
        self.backend = backend
        self.request = request
        self.settings = settings
        self.failures: tuple[SolveError, ...] = ()
        self.solved: tuple[Solved, ...] = ()
        self._pack = pack
        self.plan: Plan = plan or self._planned()
        if settings.memory_budget is not None:
            self.plan = rematerialise(self.plan, settings.memory_budget, self._peak)
        self._slots: list[Any] | None = None

    def _planned(self) -> Plan:
        made = make_plan(self.graph, self.request, self.backend.name)
        return run_compared(made, self.backend, self.passes) if self.settings.debug else run_passes(made, self.passes)

    @cached_property
    def inputs(self) -> tuple[Edge, ...]:
        """The inputs of the graph, then the tangents or cotangents that the request takes."""
        return (*self.graph.inputs, *self.plan.further)

    @cached_property
    def schedule(self) -> Schedule:
        """The plan in segments."""
        return make_schedule(self.plan, self.inputs)

    @cached_property
    def lowered(self) -> Lowered:
        """The segments as compiled functions."""
        with self.backend.scope():
            return lower(self.schedule, self.backend)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run. Inputs by position or by name; inputs with a default may be left out.

        Raises:
            TographError: missing, unknown or wrongly shaped input; a number outside the range of its parameter.
            SolveError: a solve that may not be used.
        """
        return self._evaluate(self.bind(args, kwargs), args, kwargs)

    def anywhere(self, *args: Any, **kwargs: Any) -> Any:
        """As a call, but parameters may leave their ranges, as in difference quotients at the end of one."""
        return self._evaluate(self.arguments.bind(args, kwargs, anywhere=True), args, kwargs)

    def _evaluate(self, values: list[Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        native = any(self.backend.is_native(x) for x in (*args, *kwargs.values()))
        self.failures = ()
        with self.backend.scope():
            results = self.run(values)
        self._look_at(results)
        as_given = self.backend.to_native if native else self.backend.to_numpy
        return self._pack({label: as_given(value) for label, value in results.items()})

    def _look_at(self, results: Mapping[Label, Any]) -> None:
        """Note how the solves went; what is no number because a step on the host failed is not a second failure."""
        found = {label: self.backend.to_numpy(value) for label, value in results.items() if label[0] == "status"}
        self.solved, failed = solved(found, self.plan, self.backend.dtype), bool(self.failures)
        for one in self.solved:
            if one.failure is not None and not (failed and math.isnan(one.error)):
                self._fail(one.failure)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """One value per input, checked; see `Arguments.bind`."""
        return self.arguments.bind(args, kwargs)

    @cached_property
    def arguments(self) -> Arguments:
        """What a call is given, held against what is declared."""
        return Arguments(self.graph, self.inputs)

    def run(self, values: list[Any]) -> dict[Label, Any]:
        """Execute all segments on checked inputs (inside the backend's scope)."""
        lowered, backend = self.lowered, self.backend
        slots = self._prepared(lowered)
        for (slot, dtype), value in zip(self._taken, values, strict=True):
            slots[slot] = backend.argument(value, dtype)
        run(lowered.repeated, slots, self._execute)
        found = {label: slots[lowered.slots[edge]] for label, edge in self.schedule.results.items()}
        return found | {label: self._no_path(label) for label in self.plan.no_path}

    @cached_property
    def _taken(self) -> list[tuple[int, str]]:
        """The slot and the dtype of every input."""
        nodes = [source_of(edge) for edge in self.inputs]
        slots = [self.lowered.slots[edge] for edge in self.inputs]
        return [(slot, self.backend.dtype_of(node.spec)) for slot, node in zip(slots, nodes, strict=True)]

    def _no_path(self, label: Label) -> Any:
        """Zeros in the shape of a derivative that does not exist."""
        forward = self.request.mode == "jacobian forward"
        edge = self.graph.outputs[label[0]] if forward else self.graph.input(label[1])
        return self.backend.zeros((all_specs([edge])[edge.vertex][edge.index],))

    def _execute(self, step: Step, values: list[Any]) -> Sequence[Any]:
        return self._on_host(step, values) if step.segment.where == "host" else step.run(*values)

    def _on_host(self, step: Step, values: list[Any]) -> Sequence[Any]:
        """Run a host segment. What a failed solve would have given is not a number, a failed factor is None."""
        edges, backend = step.segment.outputs, self.backend
        if all(value is not None for value in values):
            try:
                outputs = step.run(*(backend.to_numpy(value) for value in values))
                return tuple(map(self._handed_over, edges, step.specs, outputs))
            except SolveError as error:
                self._fail(error)
        return tuple(None if spec.kind == "factor" else self._nothing(spec) for spec in step.specs)

    def _handed_over(self, edge: Edge, spec: Spec, value: Any) -> Any:
        vertex = edge.vertex
        try:
            return to_device(value, spec, self.backend)
        except SolveError as error:
            where = f"{vertex.origin.name} ({vertex.node.title}, declared at {vertex.origin.where})"
            raise SolveError(f"{where}: {error}", error.status) from error

    def _nothing(self, spec: Spec) -> Any:
        return map_arrays(lambda zero: zero + math.nan, self.backend.zeros((spec,)))

    def _fail(self, error: SolveError) -> None:
        if self.settings.on_failure == "raise":
            raise error
        self.failures += (error,)
        if self.settings.on_failure == "warn":
            warnings.warn(str(error), SolveWarning, stacklevel=3)

    def _prepared(self, lowered: Lowered) -> list[Any]:
        if self._slots is not None:
            return list(self._slots)
        slots = lowered.prepared(self.backend, self._execute)
        if self.failures:  # not kept: the next call is to say so again
            return slots
        self._slots = slots
        return list(slots)

    def peak(self) -> Peak:
        """The predicted peak of memory; see `tograph.memory`."""
        return self._peak(self.plan)

    def _peak(self, plan: Plan) -> Peak:
        return peak(make_schedule(plan, self.inputs), self.backend.real, eager=self.backend.eager)

    def source(self) -> str:
        """The lowered program as Python text: exactly what runs."""
        return self.lowered.source

    def explain_cache_miss(self) -> str:
        """For every device segment whether it was compiled for this function, and if so, why: one line each.

        That is decided once, before the first call: no call compiles again, as shapes and dtypes are those of the
        graph's inputs.
        """
        names = [(("once" if s.segment.once else "device") + f"_{i}", s) for i, s in enumerate(self.lowered.steps)]
        return "\n".join(f"{name}: {s.why}" for name, s in names if s.segment.where == "device")

    def explain(self) -> Explanation:
        """What runs and why: steps, rules, solves, bytes, passes."""
        from .explain import explain

        return explain(self)
