"""The arrows of a plan: every executed edge between two boxes is on exactly one of them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ..declare import Source
from ..explain import readable_bytes
from ..node import Constant
from . import words
from .declared import cut_label, surrogate_label
from .model import Arrow
from .scene import Flow, Scene


def arrows(scene: Scene) -> list[Arrow]:
    """The arrows, in the order in which their first edge is executed."""
    bundles: dict[Any, list[Flow]] = defaultdict(list)
    for i, flow in enumerate(scene.flows):
        if flow.tail != flow.head:
            kind = _kind(scene, flow)
            # What is kept for one box goes on one arrow; all else is drawn value by value.
            value = None if kind == "residual" else flow.edge
            bundles[i if scene.detail else (flow.tail, flow.head, kind, value)].append(flow)
    return [_arrow(scene, bundle) for bundle in bundles.values()]


def _kind(scene: Scene, flow: Flow) -> str:
    end = (flow.into, flow.port)
    spec = scene.spec(flow.edge)
    if end in scene.traces.detached or end in scene.traces.replaced:
        return "detached"
    if end in scene.traces.surrogates:
        return "surrogate"
    if end in scene.traces.saved:
        return "saved"
    if spec.kind == "factor" or (flow.head.lane == flow.tail.lane == "forward"):
        return words.flow(spec)
    if flow.tail.lane == "forward":
        return "residual"
    return "cotangent" if flow.tail.lane == "reverse" else "tangent"


def _arrow(scene: Scene, bundle: list[Flow]) -> Arrow:
    first = bundle[0]
    kind = _kind(scene, first)
    edges = list(dict.fromkeys(flow.edge for flow in bundle))
    wires = tuple(scene.wire(flow) for flow in bundle)
    known = [scene.spec(edge).nbytes(scene.real) for edge in edges if scene.spec(edge).kind != "factor"]
    return Arrow(
        scene.id(first.tail),
        scene.id(first.head),
        kind,
        _label(scene, first, kind, edges, sum(known)),
        sum(known) if known else None,
        wires,
    )


def _label(scene: Scene, flow: Flow, kind: str, edges: list[Any], count: int) -> tuple[str, ...]:
    spec = words.port_label(flow.edge.vertex, flow.edge.index, scene.spec(flow.edge))
    if kind == "residual":
        return (f"{_kept(scene, flow, edges)} {readable_bytes(count)}".strip(),)
    if kind == "saved":
        equal = scene.traces.saved[flow.into, flow.port][1]
        return (f"lambda {'=' if equal else '∝'} {scene.name(flow.tail)}", "self-adjoint:", "solve saved")
    if kind == "detached":
        cuts = scene.traces.detached | scene.traces.replaced
        return (*spec, *cut_label(*cuts[flow.into, flow.port]))
    if kind == "surrogate":
        return (*spec, *surrogate_label(*scene.traces.surrogates[flow.into, flow.port]))
    return () if kind == "factor" else spec


def _kept(scene: Scene, flow: Flow, edges: list[Any]) -> str:
    """What is kept: the value's own name, or that it is something inside the box."""
    inner = [edge for edge in edges if edge.vertex.origin.part]
    if not inner:
        return scene.name(flow.tail)
    if all(isinstance(edge.vertex.node, Constant | Source) for edge in edges):
        return "constant"
    return f"{len(edges)} values" if len(edges) > 1 else edges[0].vertex.origin.part
