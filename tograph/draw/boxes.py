"""The boxes of a plan: one per place."""

from __future__ import annotations

from typing import Any

import attrs

from ..again import ROLE, Again
from ..columns import TakeColumns
from ..declare import Source
from ..edge import Vertex
from ..elementwise import Cast
from ..node import Constant
from ..writing import variable_name
from . import words
from .model import Box
from .places import Place, base, counted
from .scene import Scene

DERIVED = {
    "reverse": {"solve": "adjoint", "factorization": "factor", "": "pullback"},
    "tangent": {"solve": "tangent solve", "factorization": "factor", "": "pushforward"},
}
"""Lane -> what is counted inside -> kind of box."""


def box(scene: Scene, place: Place) -> Box:
    """The box of one place."""
    members = scene.members[place]
    if scene.detail or place.step.isdigit():
        made = _step(scene, place, members[0])
    elif place.lane == "forward":
        made = _forward(scene, place, members)
    else:
        made = _derived(scene, place, members)
    return attrs.evolve(
        made,
        id=scene.id(place),
        badges=_badges(scene, place, members),
        where=place.origin.where.brief,
        lane=place.lane,
        steps=tuple(scene.position[v] for v in members),
        detail=tuple(words.step_line(v, scene.plan.specs[v]) for v in members),
        rules=() if place.lane == "forward" else _rules(scene, place),
        about=words.operation(user.node) if (user := scene.user(place)) else "",
    )


def _step(scene: Scene, place: Place, vertex: Vertex) -> Box:
    kind = words.box_kind(vertex.node, {vertex.node.counts})
    if place.lane != "forward":
        kind = _derived_kind(place, [vertex], kind)
    return Box("", kind, variable_name(vertex), words.operation(vertex.node), _lines(vertex, kind))


def _lines(vertex: Vertex, kind: str) -> tuple[str, ...]:
    if kind == "accumulate":
        return (f"{len(vertex.inputs)} terms",)
    return () if words.is_derivative(vertex.node) else words.parameters(vertex.node, "")


def _forward(scene: Scene, place: Place, members: list[Vertex]) -> Box:
    user = scene.user(place)
    node: Any = user.node if user and not place.step else members[-1].node
    kind = words.box_kind(node, {v.node.counts for v in members})
    title = f"factor of {scene.name(place)}" if place.step else scene.name(place)
    return Box("", kind, title, words.operation(node), () if place.step else words.parameters(node, title))


def _derived(scene: Scene, place: Place, members: list[Vertex]) -> Box:
    kind = _derived_kind(place, members, "")
    name, user = scene.name(place), scene.user(place)
    title = ", ".join(scene.makes(place)[:3])
    if place.step == ROLE:
        made = next(vertex.node for vertex in reversed(members) if not isinstance(vertex.node, Again))
        return Box("", words.box_kind(made, set()), f"{name} again", words.operation(made), ("not kept until here",))
    if kind == "seed":
        given = members[0].node
        return Box("", kind, "seed", lines=(given.describe() if isinstance(given, Constant) else name,))
    if kind == "accumulate":
        return Box("", kind, title, lines=(f"{len(members[0].inputs)} terms",), mate=scene.mate(place))
    through = f"{'back' if place.lane == 'reverse' else 'forward'} through {name}"
    if kind == "adjoint":
        through = f"adjoint solve of {name}"
    operation = words.operation(user.node) if user else ""
    lines: tuple[str, ...] = (f"{through}: {operation}" if operation and kind != "adjoint" else through,)
    if any(isinstance(v.node, TakeColumns) for v in members):
        lines += ("in one call with other right-hand sides",)
    return Box("", kind, title, lines=lines, mate=scene.mate(place))


def _derived_kind(place: Place, members: list[Vertex], otherwise: str) -> str:
    first = members[0]
    if isinstance(first.node, Source) or first.origin.role == "seed":
        return "seed"
    if first.origin.role in ("accumulate", "status"):
        return first.origin.role
    if otherwise == "constant":
        return otherwise
    counts = {counted(v) for v in members}
    kinds = DERIVED[place.lane]
    return next((kind for counted, kind in kinds.items() if counted and counted in counts), kinds[""])


def _badges(scene: Scene, place: Place, members: list[Vertex]) -> tuple[str, ...]:
    work = [v for v in members if not isinstance(v.node, Source | Constant)]
    found = []
    if place.lane != "forward":
        derived = [v for v in work if v.origin.role not in ("seed", "accumulate", "status", ROLE)]
        found += sorted({words.rule_badge(v, used_here(scene, v)) for v in derived})
    if any(v.node.host for v in work):
        found.append("host")
    if not scene.detail and any(v.origin.role == "status" for v in work):
        found.append("checked")
    if place.step == ROLE:
        found.append("again")
    if any(isinstance(v.node, TakeColumns) for v in members):
        found.append("batched")
    if any(isinstance(v.node, Cast) for v in members):
        found.append("cast")
    once = sum(v in scene.once for v in work)
    if once:
        found.append("once" if once == len(work) else "part once")
    users = {flow.into for flow in scene.leaving.get(place, ()) if flow.into.node.counts == "solve"}
    if len(users) > 1 and any(v.node.counts == "factorization" for v in members):
        found.append("shared")
    return tuple(found)


def _rules(scene: Scene, place: Place) -> tuple[str, ...]:
    """The rule taken for each input, and the line that registered it."""
    lines = [f"{u.port}: {u.how}{f', {u.rule.where.brief}' if u.rule else ''}" for u in scene.used[place.origin]]
    return tuple(dict.fromkeys(lines))


def used_here(scene: Scene, vertex: Vertex) -> str:
    """The method noted for the node that a derivative step without array rule belongs to."""
    here = scene.used[base(vertex)]
    if any(used.how == "implicit" for used in here):
        return "implicit"
    return "linear" if any(u.how == "linear" and u.vertex.node == vertex.node for u in here) else "graph"
