"""A graph compiled for one backend and precision: call it, ask for gradients, read it, explain it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .backends import load_backend
from .batch import BatchFunction, Members, jacobian_of_each, members
from .compiled import Function
from .edge import Edge
from .embed import embedded
from .errors import TographError, a
from .graph import Graph
from .memory import bytes_of
from .plan import Label, Request
from .settings import Settings
from .validate import all_specs

if TYPE_CHECKING:
    from .explain import Explanation
    from .inspect import Inspection


def _require_names(given: Any, what: str) -> str | tuple[str, ...]:
    """A name, or several as a tuple."""
    if isinstance(given, str):
        return given
    several = tuple(given) if isinstance(given, list | tuple) else ()
    if several and all(isinstance(name, str) for name in several):
        return several
    got = repr(given) if isinstance(given, Edge | list | tuple) else a(type(given).__name__)
    example = "c" if what == "of" else "x"
    raise TographError(f"`{what}` is {got}, not a name. Name it as in the graph, e.g. {what}={example!r}")


class Program:
    """A graph compiled for one backend and one precision.

    Args:
        graph: the workflow.
        backend: "jax", "torch" or "numpy" (values only; the reference).
        dtype: "float64" or "float32": what "real" ports hold. Set per program, never process-wide.
        debug: evaluate every plan on random numbers before and after every pass of the compiler.
        on_failure: what happens when a solve fails, forward or adjoint. "raise": a `SolveError`. "warn" and
            "record": the results that need it are not a number, and `failures` of the function that was called
            lists the errors; "warn" also issues a `SolveWarning`.
        memory_budget: bytes, or a text such as "256 MiB", that the predicted peak of a call must not exceed;
            values that the derivative needs are then computed again instead of kept, as far as necessary.
        options: backend options, e.g. `compiled=True` for `torch.compile`.

    Raises:
        GraphError: the graph is not valid.
        PassError: with `debug`, when a function is asked for: a pass changed a result; says which and by how much.
        TographError: an unknown `on_failure`; no such budget; and where a function is made, one that cannot be met.
    """

    def __init__(
        self,
        graph: Graph,
        backend: str = "jax",
        *,
        dtype: str = "float64",
        debug: bool = False,
        on_failure: str = "raise",
        memory_budget: int | str | None = None,
        **options: Any,
    ) -> None:
        graph.validate()
        self.graph = graph
        self.dtype = dtype
        budget = None if memory_budget is None else bytes_of(memory_budget)
        self.settings = Settings(debug, on_failure, budget)
        self.backend = load_backend(backend, dtype, **options)
        self._functions: dict[tuple[Request, str], Function] = {}
        self._embeddings: dict[str | tuple[str, ...] | None, Any] = {}
        self._members: Members | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """All outputs by name."""
        result: dict[str, Any] = self.values(*self.graph.outputs)(*args, **kwargs)
        return result

    def values(self, *of: str) -> Function:
        """A function that computes the named outputs, as a dict."""
        return self._function(Request(of), "dict", lambda r: {name: r[name,] for name in of})

    def value_and_grad(
        self, of: str | Sequence[str], wrt: str | Sequence[str], *, also: Sequence[str] = ()
    ) -> Function:
        """A function that returns values and gradients of scalar outputs, sharing all work.

        Args:
            of: an output name, or several.
            wrt: an input name, or several.
            also: further outputs of which only the value is wanted; it joins the values, as a dict.

        Returns:
            A `Function` whose call returns `(value, grad)`. A single name gives the bare value; a
            sequence gives a dict. With several of both, `grad[of][wrt]`.

        Raises:
            GraphError: unknown names, a missing rule, or no differentiable path at all.
        """
        of, wrt = _require_names(of, "of"), _require_names(wrt, "wrt")
        many_of, many_wrt = not isinstance(of, str) or bool(also), not isinstance(wrt, str)
        ofs, wrts = (of,) if isinstance(of, str) else of, (wrt,) if isinstance(wrt, str) else wrt
        request = Request(ofs, wrts, "reverse", tuple(also))

        def pack(results: dict[Label, Any]) -> tuple[Any, Any]:
            values = {name: results[name,] for name in (*request.of, *request.also)}
            grads = {name: {x: results[name, x] for x in request.wrt} for name in request.of}
            by_of = {name: found if many_wrt else found[request.wrt[0]] for name, found in grads.items()}
            return (values, by_of) if many_of else (values[request.of[0]], by_of[request.of[0]])

        return self._function(request, f"{many_of}{many_wrt}", pack)

    def jvp(self, of: str, wrt: str) -> Function:
        """A function of the inputs and of `{wrt}_dot` that returns `(value, tangent)` of an output."""
        request = Request((of,), (wrt,), "tangent")
        return self._function(request, "pair", lambda r: (r[of,], r[of, "tangent"]))

    def vjp(self, of: str, wrt: str) -> Function:
        """A function of the inputs and of `{of}_bar` that returns `(value, cotangent of wrt)`."""
        request = Request((of,), (wrt,), "vjp")
        return self._function(request, "pair", lambda r: (r[of,], r[of, wrt]))

    def hvp(self, of: str, wrt: str) -> Function:
        """A function of the inputs and of `{wrt}_dot` that returns `(value, gradient, Hessian-vector product)`.

        Forward over reverse on the program itself: state, adjoint and both their tangents share one
        factorisation.
        """
        request = Request((of,), (wrt,), "hvp")
        return self._function(request, "triple", lambda r: (r[of,], r[of, wrt], r[of, wrt, "hvp"]))

    def jacobian(self, of: str, wrt: str, *, mode: str = "auto") -> Function:
        """A function that returns the full Jacobian d of / d wrt, of shape (*of, *wrt).

        Args:
            of: an output, scalar or array.
            wrt: an input.
            mode: "reverse" (one cotangent per entry of `of`), "forward" (one tangent per entry of
                `wrt`), or "auto": the one that takes fewer. All of them run in one program that shares the
                forward work and every factorisation; meant for up to some hundred entries.
        """
        specs = all_specs([self.graph.outputs[of], self.graph.input(wrt)])
        rows, columns = (specs[e.vertex][e.index].shape for e in (self.graph.outputs[of], self.graph.input(wrt)))
        forward = math.prod(columns) < math.prod(rows) if mode == "auto" else mode == "forward"
        request = Request((of,), (wrt,), f"jacobian {'forward' if forward else 'reverse'}")

        def pack(results: dict[Label, Any]) -> Any:
            count = math.prod(columns if forward else rows)
            made = self.backend.stack([results[of, wrt, str(i)] for i in range(count)])
            return made.reshape(count, -1).T.reshape(*rows, *columns) if forward else made.reshape(*rows, *columns)

        return self._function(request, "jacobian", pack)

    def inspect(
        self,
        of: str | Sequence[str],
        wrt: str | Sequence[str] = (),
        *,
        mode: str = "reverse",
        keep: str = "statistics",
        times: bool = False,
    ) -> Inspection:
        """The instrumented variant of a function of this program: called like it, it returns a `GradientReport`.

        The plan is that of the normal function; what is measured is computed inside the compiled segments. A solve
        that fails does not raise here: it is reported.

        Args:
            of, wrt: as for `value_and_grad`, `jvp`, `vjp`, `hvp`.
            mode: "reverse", "tangent", "vjp", "hvp", or "value", which has no `wrt`.
            keep: "fields" to get the values on all edges with the statistics, in one run.
            times: measure the time of every step too, by further runs step by step.

        Raises:
            TographError: an unknown mode; a batch, of which one member can be inspected; else as for those functions.
        """
        from .inspect import inspection

        return inspection(self, of, wrt, mode, keep, times)

    def _function(self, request: Request, form: str, pack: Callable[[dict[Label, Any]], Any]) -> Function:
        key = (request, form)
        if key not in self._functions:
            self._functions[key] = self._made(request, pack)
        return self._functions[key]

    def _made(self, request: Request, pack: Callable[[dict[Label, Any]], Any]) -> Function:
        if self._members is None:
            return Function(self.graph, self.backend, request, pack, self.settings)
        packed = jacobian_of_each(self.backend, pack) if request.mode.startswith("jacobian") else pack
        return BatchFunction(self.graph, self.backend, request, packed, self._members, self.settings)

    def draw(self, path: str | Path | None = None, **options: Any) -> Any:
        """Draw the graph with the backend and precision of this program, or a pass of it; see `tograph.draw.draw`."""
        from .draw import draw

        return draw(self, path, **options)

    def _repr_svg_(self) -> str:
        return str(self.draw())

    def _repr_html_(self) -> str:
        return str(self.draw()._repr_html_())

    def batch(self, over: str | Sequence[str], *, size: int | None = None) -> Program:
        """This program for many members at once: designs, loads, parameters, seeds.

        Args:
            over: the input(s) of which every member has its own. They carry a leading axis, all of one length; the
                other inputs are shared.
            size: how many members there are; by default as many as each call gives. `explain` and
                `source` need it, here or as their argument.

        Returns:
            A program of the same functions. Every result carries the leading axis: values, and
            derivatives with respect to inputs of a member's own *and* to shared ones (those of a sum
            over members are their sum over axis 0). Tangents `x_dot` and cotangents `c_bar` are given one
            per member. Work that no member has to itself is done once; a solve whose matrix is shared is
            one call with many right-hand sides.

        Raises:
            TographError: an unknown input or none; a batch of a batch.
        """
        if self._members is not None:
            raise TographError("this program is a batch already. Name all inputs at once: over=('x', 'y')")
        made = copy.copy(self)
        made._functions, made._embeddings, made._members = {}, {}, members(self.graph, over, size)
        return made

    def as_jax(self, of: str | Sequence[str] | None = None) -> Callable[..., Any]:
        """The program as a function for your own JAX code, under any transform, with this graph's derivatives.

        Args:
            of: an output (the function returns the bare array) or several (it returns a dict); all by default.

        Returns:
            A pure function of the inputs, by position or by name; the same one at every call. Float64
            programs need `jax_enable_x64`.

        Raises:
            TographError: the program is for another framework; when called, as for `Function`.
            GraphError: an unknown output, or one that is not an array; when differentiated, a missing rule.
        """
        return self._embedded("jax", of)

    def as_torch(self, of: str | Sequence[str] | None = None) -> Any:
        """The program as a `torch.nn.Module` without parameters, with this graph's derivatives; see `as_jax`.

        Raises:
            TographError: also for combinations of transforms in which PyTorch is known to be wrong.
        """
        return self._embedded("torch", of)

    def _embedded(self, framework: str, of: Any) -> Any:
        if self._members is not None:
            fix = f"Use that of the program itself, under {'jax' if framework == 'jax' else 'torch.func'}.vmap"
            raise TographError(f"a batch has no as_{framework}(). {fix}")
        key = of if of is None else _require_names(of, "of")
        if key not in self._embeddings:
            self._embeddings[key] = embedded(self.graph, self.backend, framework, key)
        return self._embeddings[key]

    def default_function(self) -> Function:
        """What `explain` and `source` show unless told otherwise: value and gradient of every scalar output."""
        wrt = self.graph.input_names[:1]
        specs = all_specs(list(self.graph.outputs.values()))
        scalars = [name for name, e in self.graph.outputs.items() if specs[e.vertex][e.index].kind == "scalar"]
        if not wrt or not scalars:
            return self.values(*self.graph.outputs)
        return self.value_and_grad(tuple(scalars), wrt[0])

    def source(self) -> str:
        """The lowered value-and-gradient program as readable Python."""
        return self.default_function().source()

    def explain(self) -> Explanation:
        """Steps, rules, solves, factorizations and bytes of the value-and-gradient program."""
        return self.default_function().explain()

    def explain_cache_miss(self) -> str:
        """For every function asked for so far what was compiled for it, and why; see `Function.explain_cache_miss`."""
        found = [f"{function.request}\n{function.explain_cache_miss()}" for function in self._functions.values()]
        return "\n\n".join(found) or "no function has been asked for yet"

    def __repr__(self) -> str:
        return f"<Program of {self.graph.name!r} on {self.backend.name} in {self.dtype}>"
