"""What a user declares besides nodes: the inputs of a graph, and cuts in its derivative."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from .edge import CLUSTER, MADE_FOR, Edge, Origin, Vertex
from .errors import Finding, GraphError, a, declared_here
from .node import Node, node
from .port import Port, as_array, not_a_value, only
from .spec import Spec, require_same


@node
class Source(Node):
    """An input of the graph: design variables, wired parameters, loads.

    `lower` and `upper` bound a design variable (numbers or arrays of its shape); `default` is used
    when a program is called without this input.
    """

    name: str = attrs.field(validator=only(str))
    spec: Spec = attrs.field(default=Spec("scalar"), validator=only(Spec))
    default: Any = attrs.field(default=None, validator=only(np.ndarray, optional=True))
    lower: Any = attrs.field(default=None, validator=only(np.ndarray, optional=True))
    upper: Any = attrs.field(default=None, validator=only(np.ndarray, optional=True))

    def infer(self, *specs: Spec) -> Spec:
        """The declared spec."""
        return self.spec


@node
class Detach(Node):
    """Identity whose derivative is cut, in every mode and order. `reason` is drawn on the cut edge."""

    inputs = (Port("x", "any|operator|factor|integer"),)
    reason: str = ""

    def forward(self, xp: Any, *values: Any) -> Any:
        """y = x."""
        return values[0]

    def cuts(self, name: str, inputs: tuple[str, ...]) -> str:
        """No derivative passes."""
        return f"no derivative passes {name!r}: {self.reason or 'detached by the user'}"


@node
class WithGradientOf(Node):
    """y has the value of `value` and the derivative of `derivative`, in every mode and order.

    As y = derivative + detach(value - derivative), but exactly, and without computing `derivative` where
    nobody needs it. Two arrays of one shape. `value` comes through a `Detach`: see `with_gradient_of`.
    """

    inputs = (Port("value", "any|operator"), Port("derivative", "any|operator"))
    family = "surrogate"

    def infer(self, *specs: Spec) -> Spec:
        """As `value`."""
        value, derivative = specs
        if value.kind == derivative.kind == "operator":
            return value
        require_same(value, derivative, ("value", "derivative"))
        return value

    def forward(self, xp: Any, *values: Any) -> Any:
        """y = value."""
        return values[0]

    def cuts(self, name: str, inputs: tuple[str, ...]) -> str:
        """The derivative is another one's."""
        return f"{name!r} is differentiated as if it were {inputs[1]!r}"

    def pull_back(self, port: str, ct: Any, values: dict[str, Any]) -> Any:
        """The cotangent goes to `derivative`; on the way to `value` it ends at the `Detach`."""
        return ct

    def push_forward(self, port: str, t: Any, values: dict[str, Any]) -> Any:
        """The tangent is that of `derivative`."""
        return t


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

    Raises:
        GraphError: a name that is no text, a spec that is no `Spec`, bounds that are no numbers.
    """
    where, _ = declared_here()
    if not isinstance(name, str):
        raise GraphError([Finding(f"the name of a source must be a text, got {name!r}", where=where, fix=_NAME_FIRST)])
    if spec is not None and not isinstance(spec, Spec):
        message, fix = f"its spec is {a(type(spec).__name__)}, not a Spec", "Give a spec such as `grid.field()`"
        raise GraphError([Finding(message, name, where=where, fix=fix)])
    bounds = [_numbers(value, name, what) for what, value in (("default", default), ("lower", lower), ("upper", upper))]
    made = Source(name, spec or Spec("scalar"), *bounds)
    return Edge(Vertex(made, (), Origin(name, where, CLUSTER.get(), chosen=True)))


_NAME_FIRST = "Give the name first: tg.source(name, spec)"


def _numbers(value: Any, name: str, what: str) -> np.ndarray | None:
    array = None if value is None else as_array(value)
    if value is not None and array is None:
        raise not_a_value(value, "a number or an array", name, what)
    return None if array is None else array.astype(np.float64)


def detach(edge: Edge, reason: str = "", *, name: str | None = None) -> Edge:
    """The same value with its derivative cut, for the stated reason."""
    return Detach(reason)(edge, name=name)


def with_gradient_of(value_from: Any, derivative_from: Any, reason: str = "", *, name: str | None = None) -> Edge:
    """The value of one edge with the derivative of another: straight-through and surrogate gradients.

        rho_b = tg.with_gradient_of(threshold, rho)     # straight through: the threshold is not seen on the way back

    Acts in every mode and order. Like every cut it biases the gradient: `tg.bias` says by how much.

    Args:
        value_from: what y is; no derivative passes it.
        derivative_from: what y is taken for by differentiation; of the same shape.
        reason: why, for diagrams and listings.
        name: of the result.

    Raises:
        GraphError: something else than an edge, a number or an array. Shapes are compared by `Graph.validate`.
    """
    other = derivative_from.vertex.origin.name if isinstance(derivative_from, Edge) else "a constant"
    cut = Detach(reason or f"the derivative is that of {other!r}")(value_from).vertex
    if MADE_FOR.get() is None:
        label = f"{name or cut.origin.name}_value"
        cut = attrs.evolve(cut, origin=attrs.evolve(cut.origin, name=label))
    made: Edge = WithGradientOf()(Edge(cut), derivative_from, name=name)
    return made
