"""Certification: are the derivatives of this graph, or of this node, what they should be?

    report = tg.check(graph)                 # every vertex on the way from the inputs, and every output
    report = tg.check_node(Mine(p=3.0), x)   # one node, with example inputs; for the tests of your own nodes
    assert report.passed, report

For each vertex and each output, on each backend:

    value         JAX, PyTorch and NumPy agree                                       1e-10 relative
    gradient      the backends agree                                                 1e-10
    linear jvp    J (2 a - 3 b) = 2 J a - 3 J b, and likewise "linear vjp"           1e-10
    dot product   <w, J v> = <J^T w, v> for random v and w: forward and reverse fit  1e-10
    change        |f(x + h v) - f(x)| falls like h: f has a derivative here          slope 0.9 or more
    taylor        |f(x + h v) - f(x) - h J v| falls like h^2                         slope 1.9 or more
    difference    J v equals an extrapolated central difference                      1e-7
    curvature     |f(x + h v) - f(x) - h g.v - h^2/2 v.Hv| falls like h^3            slope 2.9 or more
    degenerate    the gradient where an input is 0, 1, or the same everywhere        1e-5
    pure          the same answer the next time, and no input is written into        1e-13
    float32       a float32 program: float32 all through, values and gradients       1e-2
    vmap          value and pull-back of `as_jax` (in `jit`), `as_torch` under vmap  1e-10

With `quick=True` all vertices stand side by side in one program: value, dot product and difference of all of them take
some dozens of runs however large the graph, and only the first that is wrong is examined in full.

What is tested is what runs: the vertex is put into a program of its own, which is differentiated and
compiled as always. Errors are judged against the rounding noise measured at that very point: what the
noise hides is called "inconclusive" and is no failure. Nothing is changed: no global random numbers,
no precision setting, no node, no graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from ..declare import Source, source
from ..edge import Edge
from ..errors import TographError, did_you_mean
from ..graph import Graph, source_of, topological
from ..node import Node, Port, snake
from ..spec import KINDS, Axis, Spec
from .cases import cells, whole
from .examine import examine
from .point import sample
from .report import Report, Row
from .search import search
from .subject import Runs

BACKENDS = ("jax", "torch")
NOT_AN_ARRAY = "it is not an array: it is checked through the vertices that use it"


def check(
    graph: Graph,
    *,
    backends: Sequence[str] = BACKENDS,
    wrt: Sequence[str] | None = None,
    of: Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    seed: int = 0,
    quick: bool = False,
    vertices: bool = True,
) -> Report:
    """Check every vertex between inputs and outputs, and every output as a whole.

    Args:
        graph: what to check.
        backends: where; two or more are also compared with each other.
        wrt: the inputs to differentiate by; by default all that can be.
        of: the outputs; by default all.
        at: the point, by input name; else the default of the input; else random between its bounds, or
            above the lower bound of the parameter it is wired to, or in [0.2, 0.9].
        seed: of the random numbers used here.
        quick: find the first wrong vertex instead: all at once, and only that one in full.
        vertices: False: only the outputs as a whole.

    Returns:
        A `Report`, whose rows follow the order of computation, whole outputs last.

    Raises:
        TographError: an unknown name; `GraphError` if the graph is not valid.
    """
    graph.validate()
    wrt, of = _wrt(graph, wrt), _known(of, list(graph.outputs), "output")
    point = sample(graph, at or {}, np.random.default_rng(seed))
    parts, runs = cells(graph, of, wrt, point, backends) if vertices else [], Runs()
    ends = {name: whole(graph, name, wrt, point) for name in of}
    cases = [*parts, *(end for end in ends.values() if end and not any(map(end.repeats, parts)))]
    every = (row for case in cases for row in examine(case, backends, seed, runs))
    rows = search(cases, backends, seed, runs) if quick else list(every)
    rows += [_idle(name) for name, end in ends.items() if end is None]
    return Report(tuple(rows), runs.count)


def check_node(
    node: Node,
    *inputs: Any,
    through: Callable[[Edge], Edge] | None = None,
    backends: Sequence[str] = BACKENDS,
    seed: int = 0,
) -> Report:
    """Check one node, at example inputs.

        tg.check_node(Heaviside(beta=tg.source("beta", default=4.0)), np.linspace(0, 1, 12).reshape(3, 4))

    Args:
        node: the node; its parameters may be sources with defaults, which are then differentiated too.
        inputs: one per port: an array or number; a `Spec`, for random numbers; or an edge, e.g. of an
            operator made from sources with defaults.
        through: for a node that gives something other than an array: what makes an array of it.
        backends: where.
        seed: of the random numbers.

    Raises:
        GraphError: the inputs do not fit the node.
    """
    return check(node_graph(node, *inputs, through=through), backends=backends, seed=seed)


def node_graph(node: Node, *inputs: Any, through: Callable[[Edge], Edge] | None = None) -> Graph:
    """The graph that `check_node` checks: the node, its inputs as sources that hold the examples as defaults."""
    edges = [_as_input(value, port) for value, port in zip(inputs, _ports(node, len(inputs)), strict=True)]
    made = node(*edges, name=snake(node.title))
    ends = made if isinstance(made, tuple) else (made,)
    names = [port.name for port in node.outputs]
    outputs = {name: through(end) if through else end for name, end in zip(names, ends, strict=True)}
    sources = [Edge(v) for v in topological(outputs.values()) if isinstance(v.node, Source)]
    return Graph(sources, outputs, name=node.title)


def _wrt(graph: Graph, wrt: Sequence[str] | None) -> Sequence[str]:
    return _known(wrt, [x for x in graph.input_names if source_of(graph.input(x)).spec.differentiable], "input")


def _idle(name: str) -> Row:
    return Row(repr(name), "", "value", "", "not checked", 0.0, 0.0, NOT_AN_ARRAY)


def _ports(node: Node, count: int) -> list[Port]:
    ports = [port for port in node.inputs if not port.variadic]
    extra = next((port for port in node.inputs if port.variadic), Port("surplus"))
    return [*ports[:count], *(attrs.evolve(extra, name=f"{extra.name}{i}") for i in range(count - len(ports)))]


def _as_input(value: Any, port: Port) -> Edge:
    if isinstance(value, Edge):
        return value
    if isinstance(value, Spec):
        return source(port.name, value)
    array = np.asarray(value)
    if array.dtype.kind != "f" and array.ndim:
        return source(port.name, Spec("integer", _axes(array), "integer"), default=array)
    kind = next((kind for kind in port.kind.split("|") if kind in KINDS), "array" if array.ndim else "scalar")
    return source(port.name, Spec(kind, _axes(array)), default=array)


def _axes(array: np.ndarray) -> tuple[Axis, ...]:
    return tuple(Axis(f"axis{i}", size) for i, size in enumerate(array.shape))


def _known(names: Sequence[str] | None, options: list[str], what: str) -> tuple[str, ...]:
    if names is None:
        return tuple(options)
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in options:
            raise TographError(f"there is no {what} {name!r} to check. {did_you_mean(name, options)}")
    return names


__all__ = ["Report", "Row", "check", "check_node", "node_graph"]
