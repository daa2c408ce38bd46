"""The texts in a diagram: names of derivatives, sizes, parameters, kinds."""

from __future__ import annotations

import textwrap

from ..declare import Source
from ..derivative import Jvp, Vjp
from ..edge import Vertex
from ..graph import Graph
from ..node import Constant, Node
from ..spec import Spec
from .style import ARROWS

SUFFIX = {"reverse": "_bar", "tangent": "_dot"}
"""x_bar is the derivative of an output with respect to x, x_dot the change of x."""

WIDTH = 34
"""Letters in a line of running text."""


def wrapped(text: str, width: int = WIDTH) -> tuple[str, ...]:
    """A sentence in short lines."""
    return tuple(textwrap.wrap(text, width, break_long_words=False)) or ("",)


def flow(spec: Spec | None) -> str:
    """The kind of arrow that carries a value."""
    return spec.kind if spec is not None and spec.kind in ARROWS else "other"


def port_label(vertex: Vertex, index: int, spec: Spec | None) -> tuple[str, ...]:
    """What an edge carries; with the name of the output where a node has several."""
    text = spec.label() if spec is not None else "?"
    return (f"{vertex.node.outputs[index].name}: {text}",) if len(vertex.node.outputs) > 1 else (text,)


def box_kind(node: Node, counts: set[str]) -> str:
    """Source, constant, solve or plain node."""
    if isinstance(node, Source):
        return "parameter" if node.spec.kind == "scalar" else "design"
    if isinstance(node, Constant):
        return "constant"
    return (
        "solve" if "solve" in counts or node.family == "implicit" else "factor" if "factorization" in counts else "node"
    )


def parameters(node: Node, title: str) -> tuple[str, ...]:
    """The parameters of a node in lines; of an input its kind, of a constant its value unless that is its name."""
    if isinstance(node, Source):
        return (node.spec.label(),)
    if isinstance(node, Constant):
        shown = node.describe() or node.spec.label()
        return (shown,) if shown != title else ()
    return wrapped(node.describe()) if node.describe() else ()


def operation(node: Node) -> str:
    """The operation beside a name; inputs and constants say it by their looks."""
    return "" if isinstance(node, Source | Constant) else node.title


def is_derivative(node: Node) -> bool:
    """Whether it runs a rule on arrays."""
    return isinstance(node, Vjp | Jvp)


def rule_badge(vertex: Vertex, otherwise: str) -> str:
    """By which rule a derivative step came about; settings of a method, as `(h=1e-6)`, are left out."""
    return vertex.node.how.split(" ")[0] if isinstance(vertex.node, Vjp | Jvp) else otherwise


def step_line(vertex: Vertex, specs: tuple[Spec, ...]) -> str:
    """One executed step, as shown on hovering."""
    made = ", ".join(spec.label() for spec in specs)
    return " ".join(part for part in (vertex.node.title, vertex.node.describe(), "->", made) if part)


def computes(graph: Graph, of: tuple[str, ...], wrt: tuple[str, ...], mode: str) -> str:
    """What a request asks for, as a headline."""
    outputs, inputs = ", ".join(of), ", ".join(wrt)
    if mode == "reverse":
        return f"reverse pass: gradient of {outputs} with respect to {inputs}"
    if mode == "tangent":
        return f"tangent pass: change of {outputs} along {inputs}"
    if mode == "vjp":
        return f"reverse pass: given cotangents of {outputs}, pulled back to {inputs}"
    if mode == "hvp":
        return f"second derivative of {outputs} by {inputs}, times a direction"
    return f"forward pass: {outputs or ', '.join(graph.outputs)}"
