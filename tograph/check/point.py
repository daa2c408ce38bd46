"""Where a graph is checked: at values that its inputs may have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..declare import Source
from ..edge import Edge, Vertex
from ..errors import TographError
from ..graph import Graph, source_of
from ..port import Range


def sample(graph: Graph, at: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A point: the values given, else the defaults, else random ones well inside the range of the input.

    Raises:
        TographError: `at` names an input that does not exist.
    """
    unknown = sorted(set(at) - set(graph.input_names))
    if unknown:
        raise TographError(f"the graph has no input {unknown[0]!r}: its inputs are {', '.join(graph.input_names)}")
    point = {}
    for edge in graph.inputs:
        declared = source_of(edge)
        given = at.get(declared.name, declared.default)
        point[declared.name] = np.array(_random(graph, edge, rng) if given is None else given)
    return point


def _random(graph: Graph, edge: Edge, rng: np.random.Generator) -> np.ndarray:
    """Uniform in the middle of [lower, upper]; in [0.2, 0.9] or above its lower bound where that is open."""
    declared = source_of(edge)
    shape = declared.spec.shape
    if not declared.spec.differentiable:
        return rng.integers(0, 2, shape)
    limits = allowed(edge, graph.vertices)
    low = limits.low if declared.lower is None else declared.lower
    high = limits.high if declared.upper is None else declared.upper
    u = rng.uniform(0.2, 0.9, shape)
    if np.all(np.isfinite(low)) and np.all(np.isfinite(high)):
        return np.asarray(low + u * (np.asarray(high) - low))
    return np.asarray(u + (low if np.all(np.isfinite(low)) else 0.0))


def allowed(edge: Edge, vertices: Iterable[Vertex]) -> Range:
    """What an edge may hold: between the bounds of the input, and in the ranges of the parameters it is wired to."""
    ranges = [v.node.ranges[port] for v in vertices for port, e in v.inputs if e == edge and port in v.node.ranges]
    if isinstance(edge.vertex.node, Source):
        lower, upper = edge.vertex.node.lower, edge.vertex.node.upper
        ranges.append(Range(-np.inf if lower is None else np.max(lower), np.inf if upper is None else np.min(upper)))
    low = max([r.low for r in ranges], default=-np.inf)
    high = min([r.high for r in ranges], default=np.inf)
    return Range(low, high, any(r.open_below and r.low == low for r in ranges))
