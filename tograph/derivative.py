"""The nodes that differentiation adds, and how any node becomes a function of arrays on a backend.

`Vjp(of, port)` computes the cotangent of one input of a node from the cotangents of its outputs;
`Jvp(of, port)` the tangent of its output(s) from the tangent of one input. `how` says by what:

    registered   the rule in the table                inexact      likewise, a heuristic by design
    transposed   the other rule, transposed           autodiff     the framework's AD of `forward`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from .approximate import derive
from .errors import RuleError
from .method import Derivative
from .node import Node, Port, Wire, node
from .rules import Rule, find_rule
from .spec import Spec

if TYPE_CHECKING:
    from .backends.base import Backend


@attrs.frozen
class Choice:
    """Which rule differentiates a node through a port, and what that rule must be given."""

    how: str
    needs: tuple[str, ...]
    rule: Rule | None = None
    method: Derivative | None = None


def choose(
    of: Node, mode: str, port: str, available: tuple[str, ...], backend: str, wanted: Derivative | None = None
) -> Choice:
    """The rule for `mode` ("jvp" or "vjp"): registered, else the other half transposed, else AD.

    Args:
        of: the node to differentiate.
        mode: "jvp" or "vjp".
        port: the input; of a variadic port, any of its names.
        available: the names of the node's inputs that are edges.
        backend: name of the backend, whose own rules come first.
        wanted: the method chosen in the graph, if any.

    Raises:
        RuleError: a host node without a rule cannot be differentiated by AD.
    """
    if wanted is None and of.host and isinstance(of, Vjp | Jvp) and of.method is not None:
        wanted = Derivative("finite-difference")  # of the quotients that differentiate a host node: second order
    if wanted is not None and wanted.method not in ("registered", "implicit"):
        _require_possible(of, wanted, backend)
        return Choice(str(wanted), available, None, wanted)
    base = base_port(of, port)
    other = "vjp" if mode == "jvp" else "jvp"
    traceable = not of.host and backend != "numpy"
    for kind, how in ((mode, None), (other, "transposed")) if traceable else ((mode, None),):
        rule = find_rule(type(of), kind, base, backend)
        if rule is not None:
            return Choice(how or rule.source, tuple(n for n in rule.needs if n not in of.constants), rule)
    if not traceable:
        where = "a host node" if of.host else "on the NumPy backend, which has no AD,"
        raise RuleError(f"{of.title} is {where} without a {mode} rule for {port!r}", fix=_remedy(of, mode, base))
    return Choice("autodiff", available, None, Derivative("autodiff"))


def _remedy(of: Node, mode: str, port: str) -> str:
    inner = getattr(of, "of", None)
    if isinstance(inner, Node):
        return f"Call {inner.title} with derivative='finite-difference', which can be differentiated twice"
    register = f"Register one with @tg.{mode}({of.title}, {port!r})"
    if of.title != type(of).__name__:
        register = f"Give it one, {mode}=... where it is declared"
    return f"{register}, or call it with derivative='finite-difference'"


def _require_possible(of: Node, wanted: Derivative, backend: str) -> None:
    """Raise `RuleError` where a method cannot work for a node."""
    traced = wanted.method in ("autodiff", "unrolled", "jacobian")
    if of.host and traced:
        raise RuleError(f"{of.title} is a host node: {wanted.method} cannot trace it", fix="Use 'finite-difference'")
    if len(of.outputs) > 1 and wanted.method not in ("autodiff", "unrolled"):
        raise RuleError(f"{of.title} has {len(of.outputs)} outputs: {wanted.method} is for nodes with one")
    if reason := of.refuses(wanted.method):
        fix = "Use 'implicit' or 'finite-difference'"
        raise RuleError(f"{of.title} cannot be differentiated by {wanted.method}: {reason}", fix=fix)
    if backend == "numpy" and traced:
        message = f"the NumPy backend has no AD, which {wanted.method} of {of.title} needs"
        raise RuleError(message, fix="Compile for jax or torch")


def base_port(of: Node, port: str) -> str:
    """`terms2` -> `terms`: the declared name of a variadic port."""
    return next((p.name for p in of.inputs if p.variadic and port.startswith(p.name)), port)


def _unused(name: str, needs: tuple[str, ...]) -> str:
    """A port name that no residual has; the residuals of a derivative of a `Jvp` include a `t` already."""
    while name in needs or any(need.startswith(name) and need[len(name) :].isdigit() for need in needs):
        name += "_"
    return name


@node
class Vjp(Node):
    """ct of outputs -> ct of input `port`: x_bar = (dy/dx)^T y_bar. Inputs: cotangents, then residuals."""

    of: Node
    port: str
    how: str
    needs: tuple[str, ...]
    spec: Spec | None = None
    like: tuple[Spec, ...] = ()
    method: Derivative | None = None

    @property
    def host(self) -> bool:  # type: ignore[override]
        """Whether the node is a host node: then its derivative is one too."""
        return self.of.host

    def ports(self) -> tuple[Port, ...]:
        """ct (one per output of the node), then the residuals by name."""
        count, name = len(self.of.outputs), _unused("ct", self.needs)
        names = [name] if count == 1 else [f"{name}{i}" for i in range(count)]
        return tuple(Port(name) for name in (*names, *self.needs))

    @property
    def linear(self) -> tuple[str, ...]:  # type: ignore[override]
        """The cotangent (several only jointly)."""
        return (self.ports()[0].name,) if len(self.of.outputs) == 1 else ()

    @property
    def title(self) -> str:
        """E.g. `vjp Simp.rho`."""
        return f"vjp {self.of.title}.{self.port}"

    def describe(self) -> str:
        """Which rule runs."""
        return self.how

    def infer(self, *specs: Spec) -> Spec:
        """The cotangent spec of the input; found among the residuals where it was not given."""
        return self.spec or specs[len(self.of.outputs) + self.needs.index(self.port)].cotangent()

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """The rule, or the framework's AD of the node's forward."""
        return _derivative(self, backend)


@node
class Jvp(Node):
    """t of input `port` -> t of the output(s): y_dot = (dy/dx) x_dot. Inputs: tangent, then residuals."""

    of: Node
    port: str
    how: str
    needs: tuple[str, ...]
    spec: tuple[Spec, ...] | None = None
    like: tuple[Spec, ...] = ()
    method: Derivative | None = None

    @property
    def outputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """Those of the node."""
        return self.of.outputs

    @property
    def host(self) -> bool:  # type: ignore[override]
        """Whether the node is a host node: then its derivative is one too."""
        return self.of.host

    def ports(self) -> tuple[Port, ...]:
        """t, then the residuals by name."""
        return tuple(Port(name) for name in (_unused("t", self.needs), *self.needs))

    @property
    def linear(self) -> tuple[str, ...]:  # type: ignore[override]
        """The tangent."""
        return (self.ports()[0].name,)

    @property
    def title(self) -> str:
        """E.g. `jvp Simp.rho`."""
        return f"jvp {self.of.title}.{self.port}"

    def describe(self) -> str:
        """Which rule runs."""
        return self.how

    def infer(self, *specs: Spec) -> tuple[Spec, ...]:
        """The specs of the outputs; inferred from the residuals where they were not given."""
        made = self.spec or self.of.infer(*specs[1:])
        return made if isinstance(made, tuple) else (made,)

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """The rule, or the framework's AD of the node's forward."""
        return _derivative(self, backend)


def implementation(of: Node, backend: Backend, *, unrolled: bool = False) -> Callable[..., Any]:
    """The node as a function of this backend's arrays: its inputs, then its wired parameters.

    With `unrolled`, loops run a fixed number of times, so that the framework's AD can follow them.
    """
    bound = of.bind(backend.unrolling() if unrolled else backend)
    if bound is not None:
        return bound
    rule = find_rule(type(of), "forward", "", backend.name)
    run, fill = rule.fn if rule else type(of).forward, parameter_filler(of, backend)
    return lambda *values: run(of, backend.xp, *fill(values))


def parameter_filler(of: Node, backend: Backend) -> Callable[[tuple[Any, ...]], list[Any]]:
    """Interleave the constant parameters with the wired ones, in declared order."""
    wanted = float if of.plain else backend.scalar
    parameters = [None if isinstance(v, Wire) else wanted(v) for v in of.parameters.values()]
    wires = sum(value is None for value in parameters)
    if not parameters:
        return list

    def fill(values: tuple[Any, ...]) -> list[Any]:
        inputs, wired = values[: len(values) - wires], iter(values[len(values) - wires :])
        return [*inputs, *(next(wired) if p is None else p for p in parameters)]

    return fill


def _derivative(of: Vjp | Jvp, backend: Backend) -> Callable[..., Any]:
    mode = "vjp" if isinstance(of, Vjp) else "jvp"
    run = _by_rule(of, mode, backend) if of.method is None else _by_method(of, mode, of.method, backend)
    if of.spec is None or _pairs(of):
        return run
    shapes = [spec.shape for spec in _specs(of)]

    def checked(*values: Any) -> Any:
        made = run(*values)
        if [getattr(made, "shape", None)] != shapes:  # the usual case: one array
            _require_shapes(of, made if isinstance(made, tuple) else (made,), shapes)
        return made

    return checked


def _pairs(of: Vjp | Jvp) -> bool:
    """Operators and dyads are pairs of arrays: their shapes are not those of their specs."""
    return any(spec.kind in ("operator", "dyad", "factor") for spec in _specs(of))


def _specs(of: Vjp | Jvp) -> tuple[Spec, ...]:
    return of.spec if isinstance(of.spec, tuple) else (of.spec,) if of.spec else ()


def _require_shapes(of: Vjp | Jvp, made: tuple[Any, ...], shapes: list[tuple[int, ...]]) -> None:
    got = [tuple(getattr(value, "shape", ())) for value in made]
    if got != shapes:
        mode = "vjp" if isinstance(of, Vjp) else "jvp"
        wanted = "the input" if mode == "vjp" else "the output"
        message = f"the {mode} rule of {of.of.title}.{of.port} returned shape {got}, but {wanted} has {shapes}"
        raise RuleError(f"{message}. Return an array of exactly that shape")


def _by_rule(of: Vjp | Jvp, mode: str, backend: Backend) -> Callable[..., Any]:
    kind = mode if of.how != "transposed" else ("jvp" if mode == "vjp" else "vjp")
    rule = find_rule(type(of.of), kind, base_port(of.of, of.port), backend.name)
    assert rule is not None, f"{kind} rule of {of.of.title}.{of.port} vanished after it was chosen"
    count = len(of.of.outputs) if mode == "vjp" else 1
    number = float if of.of.plain else backend.scalar
    constants = {name: number(v) for name, v in of.of.constants.items() if name in rule.needs}

    def run(*values: Any) -> Any:
        first = values[0] if count == 1 else values[:count]
        named = dict(zip(of.needs, values[count:], strict=True)) | constants
        if kind == mode:
            return rule.fn(of.of, backend.xp, first, **named)
        return backend.transpose(lambda x: rule.fn(of.of, backend.xp, x, **named), of.like, first)

    return run


def _by_method(of: Vjp | Jvp, mode: str, method: Derivative, backend: Backend) -> Callable[..., Any]:
    forward = implementation(of.of, backend, unrolled=method.method in ("autodiff", "unrolled", "jacobian"))
    position = of.needs.index(of.port)
    count = len(of.of.outputs) if mode == "vjp" else 1
    diagonal = of.of.elementwise and of.port in {port.name for port in of.of.inputs}

    def run(*values: Any) -> Any:
        first = values[0] if count == 1 else values[:count]
        inputs = list(values[count:])

        def through(x: Any) -> Any:
            return forward(*inputs[:position], x, *inputs[position + 1 :])

        return derive(backend, method, mode, through, inputs[position], first, diagonal)

    return run
