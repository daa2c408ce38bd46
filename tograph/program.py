"""A graph compiled for one backend and precision: call it, ask for gradients, read it, explain it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .backends import load_backend
from .declare import Source
from .edge import Edge
from .errors import TographError, did_you_mean
from .graph import Graph
from .lower import Lowered, lower
from .passes import run_passes
from .plan import Label, Plan, Request, make_plan
from .schedule import Schedule, make_schedule

if TYPE_CHECKING:
    from .explain import Explanation


class Function:
    """One compiled request. Made by `Program`; call it with the program's inputs.

    Arrays come back as the kind you gave: NumPy in, NumPy out; framework arrays in, framework
    arrays out.
    """

    def __init__(self, program: Program, request: Request, pack: Callable[[dict[Label, Any]], Any]) -> None:
        self.program = program
        self.request = request
        self._pack = pack
        self.plan: Plan = run_passes(make_plan(program.graph, request, program.backend.name))
        self._slots: list[Any] | None = None

    @cached_property
    def inputs(self) -> tuple[Edge, ...]:
        """The inputs of the graph, then the tangents in tangent mode."""
        extra = [Edge(v) for v in self.plan.order if isinstance(v.node, Source) and Edge(v) not in self.program.graph.inputs]
        return (*self.program.graph.inputs, *extra)

    @cached_property
    def schedule(self) -> Schedule:
        """The plan in segments."""
        return make_schedule(self.plan, self.inputs)

    @cached_property
    def lowered(self) -> Lowered:
        """The segments as compiled functions."""
        with self.program.backend.scope():
            return lower(self.schedule, self.program.backend)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run. Inputs by position or by name; inputs with a default may be left out.

        Raises:
            TographError: missing, unknown or wrongly shaped input.
            SolveError: a solve that may not be used.
        """
        native = any(self.program.backend.is_native(x) for x in (*args, *kwargs.values()))
        values = self.bind(args, kwargs)
        with self.program.backend.scope():
            results = self.run(values)
        if not native:
            results = {label: self.program.backend.to_numpy(value) for label, value in results.items()}
        return self._pack(results)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """One value per input, checked for presence and shape."""
        sources = [edge.vertex.node for edge in self.inputs]
        names = [source.name for source in sources if isinstance(source, Source)]
        if len(args) > len(names):
            raise TographError(f"the program takes {len(names)} inputs ({', '.join(names)}), got {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names:
                raise TographError(f"the program has no input {name!r}. {did_you_mean(name, names)}")
            if name in given:
                raise TographError(f"input {name!r} is given twice, by position and by name")
            given[name] = value
        return [_checked(source, given) for source in sources if isinstance(source, Source)]

    def run(self, values: list[Any]) -> dict[Label, Any]:
        """Execute all segments on checked inputs (inside the backend's scope)."""
        lowered, backend = self.lowered, self.program.backend
        slots = self._prepared(lowered)
        for edge, value in zip(self.inputs, values, strict=True):
            dtype = backend.dtype_of(edge.vertex.node.infer())  # type: ignore[arg-type]
            slots[lowered.slots[edge]] = backend.array(value, dtype)
        for step in lowered.steps:
            if not step.segment.once:
                self._run_step(step, slots)
        return {label: slots[lowered.slots[edge]] for label, edge in self.schedule.results.items()}

    def _run_step(self, step: Any, slots: list[Any]) -> None:
        backend = self.program.backend
        values = [slots[i] for i in step.inputs]
        if step.segment.where == "host":
            outputs = step.run(*(backend.to_numpy(value) for value in values))
            outputs = tuple(_to_device(value, backend) for value in outputs)
        else:
            outputs = step.run(*values)
        for i, value in zip(step.outputs, outputs, strict=True):
            slots[i] = value
        for i in step.free:
            slots[i] = None

    def _prepared(self, lowered: Lowered) -> list[Any]:
        """The slots with constants, and with everything that does not depend on the inputs."""
        if self._slots is None:
            slots: list[Any] = [None] * len(lowered.slots)
            backend = self.program.backend
            for edge in self.schedule.constants:
                node: Any = edge.vertex.node
                slots[lowered.slots[edge]] = backend.array(node.value, backend.dtype_of(node.spec))
            for step in lowered.steps:
                if step.segment.once:
                    self._run_step(step, slots)
            self._slots = slots
        return list(self._slots)

    def source(self) -> str:
        """The lowered program as Python text: exactly what runs."""
        return self.lowered.source

    def explain(self) -> Explanation:
        """What runs and why: steps, rules, solves, bytes, passes."""
        from .explain import explain

        return explain(self)


def _to_device(value: Any, backend: Any) -> Any:
    if isinstance(value, np.ndarray):
        return backend.array(value, backend.dtype)
    return value


def _checked(source: Source, given: Mapping[str, Any]) -> Any:
    value = given.get(source.name, source.default)
    if value is None:
        raise TographError(f"input {source.name!r} is missing: give it by position or by name")
    shape = tuple(np.shape(value))
    if shape != source.spec.shape:
        wanted = source.spec.label()
        turned = " It looks transposed" if sorted(shape) == sorted(source.spec.shape) else ""
        raise TographError(f"input {source.name!r} must be a {wanted}, got an array of shape {shape}.{turned}")
    return value


class Program:
    """A graph compiled for one backend and one precision.

    Args:
        graph: the workflow.
        backend: "jax", "torch" or "numpy" (values only; the reference).
        dtype: "float64" or "float32": what "real" ports hold. Set per program, never process-wide.
        options: backend options, e.g. `compiled=True` for `torch.compile`.

    Raises:
        GraphError: the graph is not valid.
    """

    def __init__(self, graph: Graph, backend: str = "jax", *, dtype: str = "float64", **options: Any) -> None:
        graph.validate()
        self.graph = graph
        self.dtype = dtype
        self.backend = load_backend(backend, dtype, **options)
        self._functions: dict[tuple[Request, str], Function] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """All outputs by name."""
        result: dict[str, Any] = self.values(*self.graph.outputs)(*args, **kwargs)
        return result

    def values(self, *of: str) -> Function:
        """A function that computes the named outputs, as a dict."""
        return self._function(Request(of), "dict", lambda r: {name: r[name,] for name in of})

    def value_and_grad(self, of: str | Sequence[str], wrt: str | Sequence[str]) -> Function:
        """A function that returns values and gradients of scalar outputs, sharing all work.

        Args:
            of: an output name, or several.
            wrt: an input name, or several.

        Returns:
            A `Function` whose call returns `(value, grad)`. A single name gives the bare value; a
            sequence gives a dict. With several of both, `grad[of][wrt]`.

        Raises:
            GraphError: unknown names, a missing rule, or no differentiable path at all.
        """
        many_of, many_wrt = not isinstance(of, str), not isinstance(wrt, str)
        request = Request((of,) if isinstance(of, str) else tuple(of), (wrt,) if isinstance(wrt, str) else tuple(wrt), "reverse")

        def pack(results: dict[Label, Any]) -> tuple[Any, Any]:
            values = {name: results[name,] for name in request.of}
            grads = {name: {x: self._gradient(results, name, x) for x in request.wrt} for name in request.of}
            by_of = {name: found if many_wrt else found[request.wrt[0]] for name, found in grads.items()}
            return (values, by_of) if many_of else (values[request.of[0]], by_of[request.of[0]])

        return self._function(request, f"{many_of}{many_wrt}", pack)

    def jvp(self, of: str, wrt: str) -> Function:
        """A function of the inputs and of `{wrt}_dot` that returns `(value, tangent)` of an output."""
        request = Request((of,), (wrt,), "tangent")
        return self._function(request, "pair", lambda r: (r[of,], r[of, "tangent"]))

    def _gradient(self, results: dict[Label, Any], of: str, wrt: str) -> Any:
        """The computed gradient, or zeros where the output does not depend on that input."""
        if (of, wrt) in results:
            return results[of, wrt]
        return np.zeros(self.graph.input(wrt).vertex.node.infer().shape)  # type: ignore[union-attr]

    def _function(self, request: Request, form: str, pack: Callable[[dict[Label, Any]], Any]) -> Function:
        key = (request, form)
        if key not in self._functions:
            self._functions[key] = Function(self, request, pack)
        return self._functions[key]

    def default_function(self) -> Function:
        """What `explain` and `source` show unless told otherwise: value and gradient of every scalar output."""
        wrt = self.graph.input_names[:1]
        if not wrt:
            return self.values(*self.graph.outputs)
        return self.value_and_grad(tuple(self.graph.outputs), wrt[0])

    def source(self) -> str:
        """The lowered value-and-gradient program as readable Python."""
        return self.default_function().source()

    def explain(self) -> Explanation:
        """Steps, rules, solves, factorizations and bytes of the value-and-gradient program."""
        return self.default_function().explain()

    def __repr__(self) -> str:
        return f"<Program of {self.graph.name!r} on {self.backend.name} in {self.dtype}>"
