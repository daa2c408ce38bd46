"""What a user declares besides nodes: the inputs of a graph, and cuts in its derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from .edge import CLUSTER, Edge, Origin, Vertex
from .errors import declared_here
from .node import Node, Port, node
from .spec import Spec


@node
class Source(Node):
    """An input of the graph: design variables, wired parameters, loads.

    `lower` and `upper` bound a design variable (numbers or arrays of its shape); `default` is used
    when a program is called without this input.
    """

    name: str
    spec: Spec = Spec("scalar")
    default: Any = None
    lower: Any = None
    upper: Any = None

    def infer(self, *specs: Spec) -> Spec:
        """The declared spec."""
        return self.spec


@node
class Detach(Node):
    """Identity whose derivative is cut, in every mode and order. `reason` is drawn on the cut edge."""

    inputs = (Port("x"),)
    reason: str = ""

    def forward(self, xp: Any, *values: Any) -> Any:
        """y = x."""
        return values[0]


def source(
    name: str,
    spec: Spec | None = None,
    *,
    default: Any = None,
    lower: Any = None,
    upper: Any = None,
) -> Edge:
    """Declare an input of the graph.

    Args:
        name: the name under which programs take it.
        spec: its type; a scalar if omitted (a wired parameter).
        default: value used when the caller gives none.
        lower: lower bound of a design variable, a number or an array of its shape.
        upper: upper bound.
    """
    where, _ = declared_here()
    bounds = [None if v is None else np.asarray(v, dtype=np.float64) for v in (default, lower, upper)]
    made = Source(name, spec or Spec("scalar"), *bounds)
    return Edge(Vertex(made, (), Origin(name, where, CLUSTER.get(), chosen=True)))


def detach(edge: Edge, reason: str = "", *, name: str | None = None) -> Edge:
    """The same value with its derivative cut, for the stated reason."""
    return Detach(reason)(edge, name=name)
