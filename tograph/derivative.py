"""The nodes that differentiation adds, and how any node becomes a function of arrays on a backend.

`Vjp(of, port)` computes the cotangent of one input of a node from the cotangents of its outputs;
`Jvp(of, port)` the tangent of its output(s) from the tangent of one input. `how` says by what:

    registered   the rule in the table                inexact      likewise, a heuristic by design
    transposed   the other rule, transposed           autodiff     the framework's AD of `forward`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from .errors import RuleError
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


def choose(of: Node, mode: str, port: str, available: tuple[str, ...], backend: str) -> Choice:
    """The rule for `mode` ("jvp" or "vjp"): registered, else the other half transposed, else AD.

    Args:
        of: the node to differentiate.
        mode: "jvp" or "vjp".
        port: the input; of a variadic port, any of its names.
        available: the names of the node's inputs that are edges.
        backend: name of the backend, whose own rules come first.

    Raises:
        RuleError: a host node without a rule cannot be differentiated by AD.
    """
    base = base_port(of, port)
    other = "vjp" if mode == "jvp" else "jvp"
    for kind, how in ((mode, None), (other, "transposed")):
        rule = find_rule(type(of), kind, base, backend)
        if rule is not None:
            return Choice(how or rule.source, tuple(n for n in rule.needs if n not in of.constants), rule)
    if of.host or backend == "numpy":
        where = "a host node" if of.host else "on the NumPy backend, which has no AD,"
        raise RuleError(
            f"{of.title} is {where} without a {mode} rule for {port!r}: register one with @tg.{mode}({of.title}, {base!r})"
        )
    return Choice("autodiff", available)


def base_port(of: Node, port: str) -> str:
    """`terms2` -> `terms`: the declared name of a variadic port."""
    return next((p.name for p in of.inputs if p.variadic and port.startswith(p.name)), port)


@node
class Vjp(Node):
    """ct of outputs -> ct of input `port`: x_bar = (dy/dx)^T y_bar. Inputs: cotangents, then residuals."""

    of: Node
    port: str
    how: str
    needs: tuple[str, ...]
    spec: Spec
    like: tuple[Spec, ...]
    linear: ClassVar[tuple[str, ...]] = ("ct",)

    def ports(self) -> tuple[Port, ...]:
        """ct (one per output of the node), then the residuals by name."""
        count = len(self.of.outputs)
        names = ["ct"] if count == 1 else [f"ct{i}" for i in range(count)]
        return tuple(Port(name) for name in (*names, *self.needs))

    @property
    def title(self) -> str:
        """E.g. `vjp Simp.rho`."""
        return f"vjp {self.of.title}.{self.port}"

    def describe(self) -> str:
        """Which rule runs."""
        return self.how

    def infer(self, *specs: Spec) -> Spec:
        """The cotangent spec of the input."""
        return self.spec


@node
class Jvp(Node):
    """t of input `port` -> t of the output(s): y_dot = (dy/dx) x_dot. Inputs: tangent, then residuals."""

    of: Node
    port: str
    how: str
    needs: tuple[str, ...]
    spec: tuple[Spec, ...]
    like: tuple[Spec, ...]
    linear: ClassVar[tuple[str, ...]] = ("t",)

    @property
    def outputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """Those of the node."""
        return self.of.outputs

    def ports(self) -> tuple[Port, ...]:
        """t, then the residuals by name."""
        return tuple(Port(name) for name in ("t", *self.needs))

    @property
    def title(self) -> str:
        """E.g. `jvp Simp.rho`."""
        return f"jvp {self.of.title}.{self.port}"

    def describe(self) -> str:
        """Which rule runs."""
        return self.how

    def infer(self, *specs: Spec) -> tuple[Spec, ...]:
        """The specs of the outputs."""
        return self.spec


def implementation(of: Node, backend: Backend) -> Callable[..., Any]:
    """The node as a function of this backend's arrays: its inputs, then its wired parameters."""
    if isinstance(of, Vjp | Jvp):
        return _derivative(of, backend)
    rule = find_rule(type(of), "forward", "", backend.name)
    run = rule.fn if rule else type(of).forward
    fill = _parameter_filler(of, backend)
    return lambda *values: run(of, backend.xp, *fill(values))


def _parameter_filler(of: Node, backend: Backend) -> Callable[[tuple[Any, ...]], list[Any]]:
    """Interleave the constant parameters with the wired ones, in declared order."""
    parameters = [None if isinstance(v, Wire) else backend.scalar(v) for v in of.parameters.values()]
    wires = sum(value is None for value in parameters)
    if not parameters:
        return list

    def fill(values: tuple[Any, ...]) -> list[Any]:
        split = len(values) - wires
        wired = iter(values[split:])
        return [*values[:split], *(next(wired) if p is None else p for p in parameters)]

    return fill


def _derivative(of: Vjp | Jvp, backend: Backend) -> Callable[..., Any]:
    mode = "vjp" if isinstance(of, Vjp) else "jvp"
    if of.how == "autodiff":
        return _by_autodiff(of, mode, backend)
    kind = mode if of.how != "transposed" else ("jvp" if mode == "vjp" else "vjp")
    rule = find_rule(type(of.of), kind, base_port(of.of, of.port), backend.name)
    assert rule is not None, f"{kind} rule of {of.of.title}.{of.port} vanished after it was chosen"
    count = len(of.of.outputs) if mode == "vjp" else 1
    constants = {name: backend.scalar(v) for name, v in of.of.constants.items() if name in rule.needs}

    def run(*values: Any) -> Any:
        first = values[0] if count == 1 else values[:count]
        named = dict(zip(of.needs, values[count:], strict=True)) | constants
        if kind == mode:
            return rule.fn(of.of, backend.xp, first, **named)
        return backend.transpose(lambda x: rule.fn(of.of, backend.xp, x, **named), of.like, first)

    return run


def _by_autodiff(of: Vjp | Jvp, mode: str, backend: Backend) -> Callable[..., Any]:
    forward = implementation(of.of, backend)
    position = of.needs.index(of.port)
    count = len(of.of.outputs) if mode == "vjp" else 1

    def run(*values: Any) -> Any:
        first = values[0] if count == 1 else values[:count]
        inputs = list(values[count:])

        def through(x: Any) -> Any:
            return forward(*inputs[:position], x, *inputs[position + 1 :])

        return getattr(backend, mode)(through, inputs[position], first)

    return run
