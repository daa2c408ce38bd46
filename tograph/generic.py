"""Vertices up to their numbers: two nodes that differ only in parameters are one operation on different inputs."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import attrs

from .derivative import Jvp, Vjp, base_port
from .edge import Vertex
from .node import Node, Wire
from .rules import find_rule
from .spec import Spec

Operand = int | str
"""An input of the vertex by its position, or the name of a parameter that has become an input."""


def kind_of(vertex: Vertex, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> Hashable:
    """Equal for vertices that are the same operation, but for numeric parameters, on values of the same kind."""
    return _kind(vertex.node), tuple(map(_brief, inputs)), tuple(map(_brief, outputs))


def _kind(node: Node) -> Hashable:
    if isinstance(node, Vjp | Jvp) and adjustable(node.of):
        return type(node), _kind(node.of), node.port, node.how, node.needs, node.method
    if not adjustable(node):
        return node.key
    numbers = tuple(isinstance(value, Wire) for value in node.parameters.values())
    rest = [getattr(node, f.name) for f in attrs.fields(type(node)) if "range" not in f.metadata]
    if not all(isinstance(value, str | bool | int | float | Node) for value in rest):
        return attrs.evolve(node, **dict.fromkeys(node.parameters, Wire())).key
    return type(node), numbers, tuple((type(value), value) for value in rest)


def _brief(spec: Spec) -> Hashable:
    return spec.kind, spec.shape, spec.dtype, id(spec.structure)


def adjustable(node: Node) -> bool:
    """Whether the parameters of a node may become inputs: not where it makes its own function for a backend."""
    return type(node).bind is Node.bind


def numbers_of(node: Node) -> dict[str, float]:
    """The parameters of a vertex that are plain numbers and might be inputs."""
    of = node.of if isinstance(node, Vjp | Jvp) else node
    return of.constants if adjustable(of) else {}


def with_inputs(vertex: Vertex, names: Collection[str]) -> tuple[Node, tuple[Operand, ...]]:
    """The node of a vertex with these parameters as inputs, and what it is given then, in order."""
    node = vertex.node
    if not names:
        return node, tuple(range(len(vertex.inputs)))
    wires = dict.fromkeys(names, Wire())
    if not isinstance(node, Vjp | Jvp):
        made = attrs.evolve(node, **wires)
        data = [name for name, _ in vertex.inputs if name not in node.parameters]
        order = [*data, *(name for name, value in made.parameters.items() if isinstance(value, Wire))]
        at = {name: i for i, (name, _) in enumerate(vertex.inputs)}
        return made, tuple(at.get(name, name) for name in order)
    of = attrs.evolve(node.of, **wires)
    first = len(vertex.inputs) - len(node.needs)
    at = {name: first + i for i, name in enumerate(node.needs)}
    needs = _needs(node, of, names)
    return attrs.evolve(node, of=of, needs=needs), (*range(first), *(at.get(name, name) for name in needs))


def _needs(node: Vjp | Jvp, of: Node, names: Collection[str]) -> tuple[str, ...]:
    """What a derivative must be given when these parameters of its node are inputs; see `derivative.choose`."""
    if node.method is not None:
        data = [name for name in node.needs if name not in of.parameters]
        return (*data, *(name for name, value in of.parameters.items() if isinstance(value, Wire)))
    own, other = ("vjp", "jvp") if isinstance(node, Vjp) else ("jvp", "vjp")
    return tuple(
        name
        for name in _rule_needs(node, other if node.how == "transposed" else own)
        if name in node.needs or name in names
    )


def _rule_needs(node: Vjp | Jvp, kind: str) -> tuple[str, ...]:
    found = [find_rule(type(node.of), kind, base_port(node.of, node.port), backend) for backend in ("jax", None)]
    rule = next(rule for rule in found if rule is not None)
    return rule.needs
