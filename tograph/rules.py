"""The table of rules: (node type, kind, port, backend) -> function.

A rule names in its signature the values it needs. The names are those of the node's inputs,
parameters and outputs; what is named is kept from the forward pass (a *residual*), nothing else is:

    @vjp(Simp, "rho")
    def _(node, xp, ct, rho, p): ...          # keeps rho; p is a parameter

Kinds:
    forward     an implementation for one backend         fn(node, xp, *values)
    jvp         tangent through one input                 fn(node, xp, t,  **needs) -> output tangent
    vjp         cotangent of one input                    fn(node, xp, ct, **needs) -> input cotangent
    graph_jvp   the same two, written with nodes on       fn(node, t,  **edges) -> edge
    graph_vjp   edges instead of arrays                   fn(node, ct, **edges) -> edge

    zero        (no function)                             the output does not change with this input

Graph rules are what the compiler can see through: it shares, moves and removes their nodes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from .backends import BACKENDS
from .errors import Location, RuleError, declared_here, did_you_mean
from .node import Node

F = TypeVar("F", bound=Callable[..., Any])

_LEADING = {"forward": ("node", "xp"), "jvp": ("node", "xp", "t"), "vjp": ("node", "xp", "ct"),
            "graph_jvp": ("node", "t"), "graph_vjp": ("node", "ct"), "pointwise": ("node", "xp")}  # fmt: skip


@attrs.frozen
class Rule:
    """One entry of the table.

    `exact` is False for rules that are heuristic by design (the sensitivity filter); they are
    drawn and reported as such. `reason` says why a derivative is structurally zero.
    """

    node_type: type[Node]
    kind: str
    port: str
    backend: str | None
    fn: Callable[..., Any]
    needs: tuple[str, ...]
    exact: bool
    where: Location
    reason: str = ""

    def __str__(self) -> str:
        name = self.node_type.__name__ + (f".{self.port}" if self.port else "")
        notes = (f"[{self.backend}]" if self.backend else "", "" if self.exact else "inexact", self.reason)
        return " ".join(
            part for part in (self.kind, name, *notes, f"({', '.join(self.needs)})", str(self.where)) if part
        )

    @property
    def source(self) -> str:
        """The word shown in diagrams and listings."""
        return "registered" if self.exact else "inexact"


_TABLE: dict[tuple[type[Node], str, str, str | None], Rule] = {}


def jvp(node_type: type[Node], *ports: str, backend: str | None = None, exact: bool = True) -> Callable[[F], F]:
    """Register the tangent rule of a node type through the given input(s)."""
    return _register(node_type, "jvp", ports, backend, exact)


def vjp(node_type: type[Node], *ports: str, backend: str | None = None, exact: bool = True) -> Callable[[F], F]:
    """Register the cotangent rule of a node type for the given input(s)."""
    return _register(node_type, "vjp", ports, backend, exact)


def graph_jvp(node_type: type[Node], *ports: str) -> Callable[[F], F]:
    """Register a tangent rule written with nodes on edges."""
    return _register(node_type, "graph_jvp", ports, None, True)


def graph_vjp(node_type: type[Node], *ports: str) -> Callable[[F], F]:
    """Register a cotangent rule written with nodes on edges."""
    return _register(node_type, "graph_vjp", ports, None, True)


def implements(node_type: type[Node], backend: str) -> Callable[[F], F]:
    """Register an implementation of `forward` for one backend, where the portable one will not do."""
    return _register(node_type, "forward", ("",), backend, True)


def pointwise(node_type: type[Node], port: str) -> Callable[[F], F]:
    """Register the partial derivative of an elementwise node: it is its own transpose.

    With d = fn(node, xp, **needs) = dy/dx element by element, the tangent is d*t and the cotangent
    d*ct; the cotangent of a parameter (one number for all elements) is the sum of d*ct.
    """

    _require_node_type("pointwise", node_type)

    def register(partial: F) -> F:
        names = _needs(node_type, "pointwise", partial)
        is_parameter = port not in {p.name for p in node_type.inputs}

        def tangent(node: Node, xp: Any, t: Any, **values: Any) -> Any:
            return partial(node, xp, **values) * t

        def cotangent(node: Node, xp: Any, ct: Any, **values: Any) -> Any:
            product = partial(node, xp, **values) * ct
            return xp.sum(product) if is_parameter else product

        for kind, fn in (("jvp", tangent), ("vjp", cotangent)):
            _add(Rule(node_type, kind, port, None, fn, names, True, _where(partial)))
        return partial

    return register


def zero(node_type: type[Node], *ports: str, reason: str) -> None:
    """State that an output does not change with the given input(s): structurally zero, for the stated reason.

    This is not a zero to be computed: nothing flows there, and diagrams and messages give the reason.
    """
    _require_node_type("zero", node_type)
    for port in ports:
        _add(Rule(node_type, "zero", port, None, _nothing, (), True, declared_here()[0], reason))


def _nothing(node: Node) -> None:
    """The function of a zero rule, which is never called."""


def find_rule(node_type: type[Node], kind: str, port: str = "", backend: str | None = None) -> Rule | None:
    """The rule for this backend, else the portable one, else None. Inheritance plays no part."""
    return _TABLE.get((node_type, kind, port, backend)) or _TABLE.get((node_type, kind, port, None))


def rules(node_type: type[Node]) -> tuple[Rule, ...]:
    """All registered rules of a node type."""
    return tuple(rule for key, rule in _TABLE.items() if key[0] is node_type)


def _register(
    node_type: type[Node], kind: str, ports: tuple[str, ...], backend: str | None, exact: bool
) -> Callable[[F], F]:
    _require_node_type(kind, node_type)
    if not ports:
        title = node_type.__name__
        raise _refused(f"{kind} rule of {title} is for no input", f"Name the input, e.g. @tg.{kind}({title}, 'x')")
    if backend is not None and backend not in BACKENDS:
        message = f"{kind} rule of {node_type.__name__} is for an unknown backend {backend!r}"
        raise _refused(message, did_you_mean(backend, BACKENDS))

    def register(fn: F) -> F:
        names = _needs(node_type, kind, fn)
        needs = () if kind == "forward" else names
        for port in ports:
            _add(Rule(node_type, kind, port, backend, fn, needs, exact, _where(fn)))
        return fn

    return register


def _needs(node_type: type[Node], kind: str, fn: Callable[..., Any]) -> tuple[str, ...]:
    leading, names = _LEADING[kind], tuple(inspect.signature(fn).parameters)
    if names[: len(leading)] != leading:
        what = "rule" if kind != "forward" else "implementation"
        message = f"{kind} {what} of {node_type.__name__} begins with ({', '.join(names[: len(leading)])})"
        raise _refused(message, f"Begin with ({', '.join(leading)}), then name what it needs", _where(fn))
    return names[len(leading) :]


def _require_node_type(kind: str, node_type: Any) -> None:
    if isinstance(node_type, type) and issubclass(node_type, Node):
        return
    got = f"a {type(node_type).__name__} node" if isinstance(node_type, Node) else repr(node_type)
    title = type(node_type).__name__ if isinstance(node_type, Node) else "X"
    raise _refused(f"{kind} rule is for {got}, not for a node type", f"Give the class: @tg.{kind}({title}, ...)")


def _refused(message: str, fix: str, where: Location | None = None) -> RuleError:
    return RuleError(f"{message} (declared at {where or declared_here()[0]})", fix=fix)


def _add(rule: Rule) -> None:
    _check_names(rule)
    key = (rule.node_type, rule.kind, rule.port, rule.backend)
    if key in _TABLE:
        what = f"{rule.kind} rule of {rule.node_type.__name__}{'.' + rule.port if rule.port else ''}"
        raise _refused(f"{what} is already registered at {_TABLE[key].where}", "Remove one of the two", rule.where)
    _TABLE[key] = rule


def _check_names(rule: Rule) -> None:
    fields = {f.name for f in attrs.fields(rule.node_type) if "range" in f.metadata}
    inputs = {port.name for port in rule.node_type.inputs} | fields
    outputs = {port.name for port in rule.node_type.outputs}
    unknown = [name for name in rule.needs if name not in inputs | outputs]
    if rule.port and rule.port not in inputs:
        unknown.append(rule.port)
    if unknown:
        title, known = rule.node_type.__name__, inputs | (set() if unknown[0] == rule.port else outputs)
        message = f"{rule.kind} rule of {title} names {unknown[0]!r}, which {title} does not have"
        raise _refused(message, did_you_mean(unknown[0], known), rule.where)


def _where(fn: Callable[..., Any]) -> Location:
    code = getattr(fn, "__code__", None)
    return Location(code.co_filename, code.co_firstlineno) if code else declared_here()[0]
