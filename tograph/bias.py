"""What detached and surrogate edges do to a gradient: its angle to, and its length relative to, the full one.

The full gradient is that of the same graph with every cut undone: a `Detach` passes derivatives, and a
`WithGradientOf` has the derivative of its value. Where it exists, it is the derivative of the output.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from .declare import Detach, Source, WithGradientOf
from .differentiate import active_vertices
from .edge import Edge, Vertex
from .errors import Location, TographError, did_you_mean
from .expand import expand
from .graph import Graph, source_of, topological

Gradient = np.ndarray
"""All derivatives asked for, flat and one after the other."""


@attrs.frozen(eq=False)
class Cut:
    """One detached or surrogate edge.

    Attributes:
        name: of the detached edge, or of the result that has a surrogate gradient.
        word: "detached" or "surrogate".
        reason: as given by the user.
        where: its line.
        vertices: what must be undone to undo it.
    """

    name: str
    word: str
    reason: str
    where: Location
    vertices: frozenset[Vertex]


@attrs.frozen
class EdgeBias:
    """The bias of one cut alone: with all others undone, its gradient compared with the full one."""

    name: str
    word: str
    reason: str
    where: str
    angle: float
    ratio: float


@attrs.frozen
class Bias:
    """The gradient with its cuts, compared with the full gradient.

    Attributes:
        of: the output.
        wrt: the input(s).
        backend: where it was measured.
        angle: between the two, in degrees, 0 to 180; NaN if one of them is zero.
        ratio: length of the gradient with cuts over that of the full one; NaN if that is zero.
        norm: length of the gradient with cuts.
        full_norm: length of the full gradient.
        edges: one entry per cut.
        gradients: by input, the gradient with cuts and the full one, as arrays of its shape: where the bias is. See
            `tograph.draw.bias.draw_bias`.
    """

    of: str
    wrt: tuple[str, ...]
    backend: str
    angle: float
    ratio: float
    norm: float
    full_norm: float
    edges: tuple[EdgeBias, ...] = ()
    gradients: Mapping[str, tuple[np.ndarray, np.ndarray]] = attrs.field(factory=dict, eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the gradients; None stands for what is not a number."""
        rows = [_plain(attrs.asdict(edge)) for edge in self.edges]
        data = attrs.asdict(self, filter=lambda field, _: field.name != "gradients")
        return _plain(data) | {"edges": rows, "wrt": list(self.wrt)}

    def __str__(self) -> str:
        subject = f"d {self.of} / d {', '.join(self.wrt)} [{self.backend}]"
        if not self.edges:
            return f"{subject}: nothing is detached, so this is the full gradient"
        names = " and ".join(repr(edge.name) for edge in self.edges)
        lines = [f"{subject}: detaching {names} gives a gradient that {_words(self.angle, self.ratio)}"]
        for edge in self.edges if len(self.edges) > 1 else ():
            why = f" ({edge.reason})" if edge.reason else ""
            lines.append(f"  {edge.word} {edge.name!r}{why} alone {_words(edge.angle, edge.ratio)}; {edge.where}")
        return "\n".join(lines)


def bias(
    graph: Graph,
    of: str,
    wrt: str | Sequence[str],
    at: Mapping[str, Any] | None = None,
    *,
    backend: str = "jax",
    per_edge: bool = True,
) -> Bias:
    """Compare the gradient of a graph with what it would be without detached and surrogate edges.

    Args:
        graph: the workflow.
        of: a scalar output.
        wrt: an input, or several.
        at: where, by input name; inputs with a default may be left out.
        backend: "jax" or "torch".
        per_edge: whether to measure each cut alone, too (one more gradient for each).

    Raises:
        GraphError: the graph is not valid, or the full gradient does not exist.
        TographError: unknown names, a missing input.
    """
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    _require_known([of], graph.outputs, "output")
    _require_known([*names, *(at or {})], graph.input_names, "input")
    graph.validate()
    plain = _primitive(graph, of)
    cuts = find_cuts(plain.vertices)

    def measure(undone: Iterable[Cut]) -> Gradient:
        changed = undo(plain, frozenset().union(*(cut.vertices for cut in undone)))
        return _flat(graph, names, _gradient(changed, of, names, at or {}, backend))

    full, biased = measure(cuts), measure(())
    alone = {cut: biased if len(cuts) == 1 else measure([c for c in cuts if c is not cut]) for cut in cuts if per_edge}
    edges = tuple(EdgeBias(c.name, c.word, c.reason, str(c.where), *compare(g, full)) for c, g in alone.items())
    norms = float(np.linalg.norm(biased)), float(np.linalg.norm(full))
    pairs = zip(_split(graph, names, biased), _split(graph, names, full), strict=True)
    return Bias(of, names, backend, *compare(biased, full), *norms, edges, dict(zip(names, pairs, strict=True)))


def find_cuts(vertices: Iterable[Vertex]) -> list[Cut]:
    """The surrogate edges, each with the `Detach` on its value, and the other detached edges; in graph order."""
    order = list(vertices)
    inside: set[Vertex] = set()
    found: dict[Vertex, Cut] = {}
    for vertex in order:
        if isinstance(vertex.node, WithGradientOf):
            value = vertex.edges[0].vertex
            both = {vertex, value} if isinstance(value.node, Detach) else {vertex}
            inside |= both
            reason = value.node.reason if isinstance(value.node, Detach) else ""
            found[vertex] = Cut(vertex.origin.name, "surrogate", reason, vertex.origin.where, frozenset(both))
    for vertex in order:
        if isinstance(vertex.node, Detach) and vertex not in inside:
            name = vertex.edges[0].vertex.origin.name
            found[vertex] = Cut(name, "detached", vertex.node.reason, vertex.origin.where, frozenset({vertex}))
    return [found[vertex] for vertex in order if vertex in found]


def undo(graph: Graph, cuts: frozenset[Vertex]) -> Graph:
    """The graph with some cuts undone: each gives way to the edge that it takes its value from."""
    new: dict[Edge, Edge] = {}
    for vertex in graph.vertices:
        inputs = tuple((port, new[edge]) for port, edge in vertex.inputs)
        if vertex in cuts:
            new[Edge(vertex)] = inputs[0][1]
            continue
        changed = any(now != before for (_, now), (_, before) in zip(inputs, vertex.inputs, strict=True))
        kept = Vertex(vertex.node, inputs, vertex.origin) if changed else vertex
        new.update({Edge(vertex, i): Edge(kept, i) for i in range(len(vertex.node.outputs))})
    outputs = {name: new[edge] for name, edge in graph.outputs.items()}
    return Graph(_reached(graph.inputs, outputs.values()), outputs, name=graph.name)


def _reached(inputs: Iterable[Edge], outputs: Iterable[Edge]) -> list[Edge]:
    vertices = set(topological(outputs))
    return [edge for edge in inputs if edge.vertex in vertices]


def compare(biased: Gradient, full: Gradient) -> tuple[float, float]:
    """(angle in degrees, ratio of lengths)."""
    a, b = float(np.linalg.norm(biased)), float(np.linalg.norm(full))
    if not (a > 0.0 and b > 0.0):
        return math.nan, a / b if b > 0.0 else math.nan
    u, v = biased / a, full / b
    # Accurate for nearly parallel vectors, where arccos(u . v) is not (Kahan, How futile are mindless
    # assessments of roundoff, 2006, section 12).
    angle = 2.0 * math.atan2(float(np.linalg.norm(u - v)), float(np.linalg.norm(u + v)))
    return math.degrees(angle), a / b


def _primitive(graph: Graph, of: str) -> Graph:
    """The output over primitive nodes, so that cuts inside composite nodes are seen; names are given up."""
    (edge,) = expand({of: graph.outputs[of]}).edges.values()
    new: dict[Edge, Edge] = {}
    for vertex in topological([edge]):
        inputs = tuple((port, new[e]) for port, e in vertex.inputs)
        unnamed = Vertex(vertex.node, inputs, attrs.evolve(vertex.origin, chosen=False))
        kept = vertex if isinstance(vertex.node, Source) else unnamed
        new.update({Edge(vertex, i): Edge(kept, i) for i in range(len(vertex.node.outputs))})
    return Graph(_reached(graph.inputs, [edge]), {of: new[edge]}, name=graph.name)


def _gradient(
    graph: Graph, of: str, wrt: Sequence[str], at: Mapping[str, Any], backend: str
) -> Mapping[str, np.ndarray]:
    """By input; what no derivative reaches is left out."""
    order = topological([graph.outputs[of]])
    known = graph.input_names
    open_ = [x for x in wrt if x in known and graph.outputs[of].vertex in active_vertices(order, [graph.input(x)])]
    if not open_:
        return {}
    given = {name: value for name, value in at.items() if name in known}
    _, found = graph.compile(backend).value_and_grad(of, open_)(**given)
    return {name: np.asarray(value) for name, value in found.items()}


def _flat(graph: Graph, wrt: Sequence[str], found: Mapping[str, np.ndarray]) -> Gradient:
    """All of `wrt`, one after the other; zeros for an input that left the graph with the surrogate it belongs to."""
    shapes = {x: source_of(graph.input(x)).spec.shape for x in wrt}
    return np.concatenate([np.ravel(found.get(x, np.zeros(shape))) for x, shape in shapes.items()])


def _split(graph: Graph, wrt: Sequence[str], flat: Gradient) -> list[np.ndarray]:
    """The inverse of `_flat`."""
    shapes = [source_of(graph.input(x)).spec.shape for x in wrt]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


def _require_known(names: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise TographError(f"the graph has no {what} {name!r}. {did_you_mean(name, known)}")


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in data.items()}


def _words(angle: float, ratio: float) -> str:
    if math.isnan(angle):
        return "is zero" if ratio == 0.0 else "cannot be compared: the full gradient is zero"
    if angle > 179.99:
        direction = "points 180 degrees away (wrong sign)"
    elif angle < 0.01:
        direction = "points the same way"
    else:
        direction = f"points {angle:.3g} degrees away" + (" (uphill where it should go down)" if angle > 90.0 else "")
    return f"{direction} and is {ratio:.3g} times as long"
