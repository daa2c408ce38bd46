"""The node types of plain functions; `tg.host` and `tg.function` make them."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import numpy as np

from .edge import Edge
from .errors import RuleError, declared_here
from .method import Derivative
from .node import Node, Port, node
from .spec import Axis, Spec

if TYPE_CHECKING:
    from .backends.base import Backend

Rules = tuple[tuple[tuple[str, ...], Callable[..., Any]], ...]
"""(the inputs it is for, the function), one or more times."""


@attrs.frozen(eq=False, slots=False)
class _Function(Node):
    """What functions of both kinds have in common.

    Attributes:
        function: the function.
        takes: names of its arguments.
        gives: names of its results.
        output: spec(s) of the results, or a function from the specs of the inputs to them; None for that
            of the first input.
        name: how the node is called in listings and diagrams.
        derivative: how it is differentiated, unless chosen in the call.
    """

    function: Callable[..., Any]
    takes: tuple[str, ...]
    gives: tuple[str, ...] = ("out",)
    output: Any = None
    name: str = ""
    derivative: Derivative | None = None

    @property
    def inputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """One port per argument."""
        return tuple(Port(name, "any|integer") for name in self.takes)

    @property
    def outputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """One port per result."""
        return tuple(Port(name) for name in self.gives)

    @property
    def title(self) -> str:
        """The name of the function."""
        return self.name

    def describe(self) -> str:
        """What it runs on."""
        return " ".join(self.backends)

    def infer(self, *specs: Spec) -> Spec | tuple[Spec, ...]:
        """As declared."""
        if self.output is None:
            return specs[0] if len(self.gives) == 1 else (specs[0],) * len(self.gives)
        made: Spec | tuple[Spec, ...] = self.output
        if callable(self.output):
            made = self.output(*specs[: len(self.takes)])
        return made

    def __call__(self, *inputs: Any, name: str | None = None, derivative: Any = None) -> Any:
        """Declare one use of the function; see `Node.__call__`."""
        return super().__call__(*inputs, name=name, derivative=self.derivative if derivative is None else derivative)


@node
class HostFunction(_Function):
    """A function of NumPy arrays; made by `tg.host`.

    Attributes:
        vjp: cotangent rules.
        jvp: tangent rules.
    """

    vjp: Rules = ()
    jvp: Rules = ()
    host: ClassVar[bool] = True
    family: ClassVar[str] = "registered"

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """The function; its results are copied, for it may give out its own memory again in the next call."""
        return lambda *values: _copied(self.function(*values), len(self.gives))

    def pull_back(self, port: str, ct: Any, values: dict[str, Any]) -> Edge | None:
        """By the rule that was given; one for all inputs is called once, by the sharing of equal nodes."""
        for through, _ in self.vjp:
            if port in through:
                cts = ct if isinstance(ct, list) else [ct]
                made = FunctionRule(self, "vjp", through)(*cts, *_kept(self, "vjp", through, values))
                edge: Edge = made if len(through) == 1 else made[through.index(port)]
                return edge
        return None

    def push_forward(self, port: str, t: Any, values: dict[str, Any]) -> Any:
        """By the rule that was given."""
        for through, _ in self.jvp:
            if port in through:
                return FunctionRule(self, "jvp", through)(t, *_kept(self, "jvp", through, values))
        return None


def _copied(made: Any, count: int) -> Any:
    if isinstance(made, tuple | list) and not (count == 1 and isinstance(made, list)):
        return tuple(_copied(item, 1) for item in made) if count > 1 or len(made) != 1 else _copied(made[0], 1)
    array = np.array(made)
    return array if array.dtype.kind in "biufc" else made


@node
class FunctionRule(Node):
    """A derivative rule of a host function: cotangents of the inputs `through`, or tangents of the results."""

    of: HostFunction
    mode: str
    through: tuple[str, ...]
    host: ClassVar[bool] = True

    @property
    def inputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """What is moved, then the arguments, then the results that the rule asks for."""
        return tuple(Port(name, "any|integer") for name in (*self._moving, *_names_kept(self.of, self._rule)))

    @property
    def outputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """Cotangents by the name of their input, or what the function gives."""
        return tuple(Port(name) for name in self.through) if self.mode == "vjp" else self.of.outputs

    @property
    def title(self) -> str:
        """E.g. `vjp solve`."""
        return f"{self.mode} {self.of.title}"

    def infer(self, *specs: Spec) -> Spec | tuple[Spec, ...]:
        """Cotangents of the inputs, or tangents of the results."""
        given = dict(zip(self.of.takes, specs[len(self._moving) :], strict=False))
        if self.mode == "jvp":
            return self.of.infer(*given.values())
        return tuple(given[name].cotangent() for name in self.through)

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """Call the rule with the values that it names."""
        count, rule, kept = len(self._moving), self._rule, _names_kept(self.of, self._rule)
        wanted = arguments(rule)[1:]

        def run(*values: Any) -> Any:
            moving = values[0] if count == 1 else values[:count]
            named = dict(zip(kept, values[count:], strict=True))
            return _copied(rule(moving, *(named[name] for name in wanted)), len(self.outputs))

        return run

    @property
    def linear(self) -> tuple[str, ...]:  # type: ignore[override]
        """The tangent, or the cotangent if there is one only."""
        return self._moving if len(self._moving) == 1 else ()

    @property
    def _moving(self) -> tuple[str, ...]:
        taken, count = {*self.of.takes, *self.of.gives}, len(self.of.gives)
        word = "t" if self.mode == "jvp" else "ct"
        names = [word] if self.mode == "jvp" or count == 1 else [f"{word}{i}" for i in range(count)]
        while taken.intersection(names):
            names = [f"{name}_" for name in names]
        return tuple(names)

    @property
    def _rule(self) -> Callable[..., Any]:
        return _rule(self.of, self.mode, self.through)


def _rule(of: HostFunction, mode: str, through: tuple[str, ...]) -> Callable[..., Any]:
    return dict(of.vjp if mode == "vjp" else of.jvp)[through]


def _names_kept(of: HostFunction, rule: Callable[..., Any]) -> tuple[str, ...]:
    wanted = arguments(rule)[1:]
    return (*of.takes, *(name for name in of.gives if name in wanted and name not in of.takes))


def _kept(of: HostFunction, mode: str, through: tuple[str, ...], values: dict[str, Any]) -> list[Edge]:
    return [values[name] for name in _names_kept(of, _rule(of, mode, through))]


@node
class ArrayFunction(_Function):
    """A function of the arrays of one framework, or with `backend` "" of (xp, *arrays); made by `tg.function`.

    Attributes:
        backend: the only backend that it runs on.
        weights: all weights of a module as one vector; they are used where no edge `weights` is given.
    """

    backend: str = ""
    weights: np.ndarray | None = None

    @property
    def inputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """One port per argument, then the weights."""
        held = () if self.weights is None else (Port("weights", "params|vector", optional=True),)
        return (*super().inputs, *held)

    @property
    def backends(self) -> tuple[str, ...]:  # type: ignore[override]
        """The one it is for."""
        return (self.backend,) if self.backend else ()

    @property
    def weights_spec(self) -> Spec:
        """The spec for a source of weights."""
        count = 0 if self.weights is None else self.weights.size
        return Spec("params", (Axis("weight", count),))

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """The function, with its weights where it has some."""
        if not self.backend:
            return lambda *values: self.function(backend.xp, *values)
        if self.weights is None:
            return self.function
        own, count = backend.array(self.weights, backend.dtype), len(self.takes)

        def run(*values: Any) -> Any:
            weights = values[count] if len(values) > count else own
            return backend.with_weights(self.function, weights)(*values[:count])

        return run


def name_of(function: Callable[..., Any]) -> str:
    """How a function is called where no name was given."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__)).replace("<lambda>", "function")


def arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters that must be given."""
    parameters: Collection[inspect.Parameter] = ()
    with contextlib.suppress(TypeError, ValueError):  # of a function written in C
        parameters = inspect.signature(function).parameters.values()
    if not parameters or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        message = f"the inputs of {name_of(function)} cannot be read from its signature"
        raise RuleError(f"{message} (declared at {declared_here()[0]})", fix='Name them: inputs=("x",)')
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD)
