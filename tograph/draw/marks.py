"""What is drawn besides the executed steps: results, cuts, missing paths, and work that was removed."""

from __future__ import annotations

from ..edge import Vertex
from ..graph import topological
from . import words
from .declared import cut_label, surrogate_label
from .model import Arrow, Box
from .places import Place, base, derivative_lane
from .scene import Scene
from .traces import cut_at

Marks = tuple[list[Box], list[Arrow]]


def ends(scene: Scene) -> Marks:
    """The results: outputs, gradients, tangents."""
    boxes, arrows = [], []
    for label, edge in scene.plan.results.items():
        place = scene.where[edge.vertex]
        if edge.vertex.origin.role == "status":
            continue
        if len(label) == 1:
            made, kind = Box(f"output {label[0]}", "output", label[0]), words.flow(scene.spec(edge))
        elif label[1] == "tangent":
            made, kind = _tangent(label[0]), "tangent"
        elif label[-1] == "hvp":
            made, kind = _product(scene, *label[:2]), "cotangent"
        else:
            made, kind = _gradient(scene, *label), "cotangent"
        if len(label) > 1 and place.lane == "forward":
            kind = "result"
        text = words.port_label(edge.vertex, edge.index, scene.spec(edge))
        if len(label) == 1 and (cut := cut_at(scene.traces.raw.results[label].vertex)):
            kind, text = "detached", (*text, *cut_label(*cut))
        if label in scene.traces.surrogates:
            kind, text = "surrogate", (*text, *surrogate_label(*scene.traces.surrogates[label]))
        boxes.append(made)
        arrows.append(Arrow(scene.id(place), made.id, kind, text))
    return boxes, arrows


def _tangent(of: str) -> Box:
    return Box(f"tangent of {of}", "tangent", f"{of}_dot", lane="tangent", mate=f"output {of}")


def _gradient(scene: Scene, of: str, wrt: str) -> Box:
    return Box(f"gradient of {of} by {wrt}", "gradient", f"d {of} / d {wrt}", lane="reverse", mate=_input(scene, wrt))


def _product(scene: Scene, of: str, wrt: str) -> Box:
    title = f"d² {of} / d {wrt}² · {wrt}_dot"
    return Box(f"product of {of} by {wrt}", "gradient", title, lane="reverse", mate=_input(scene, wrt))


def _input(scene: Scene, name: str) -> str:
    """The id of the box of an input; "" if the plan does not need that input."""
    vertex = scene.plan.graph.input(name).vertex
    return scene.id(scene.where[vertex]) if vertex in scene.where else ""


def no_paths(scene: Scene) -> Marks:
    """Derivatives that do not exist: they are zero, and here is why."""
    boxes, arrows = [], []
    for (of, wrt), why in scene.plan.no_path.items():
        tangent = wrt == "tangent"
        mate = f"output {of}" if tangent else _input(scene, wrt)
        lines = words.wrapped(f"{why.word}: {why.reason}")
        title = f"{of}_dot = 0" if tangent else f"d {of} / d {wrt} = 0"
        made = Box(f"no path {of} {wrt}", "no path", title, lines=lines, lane=derivative_lane(scene.plan), mate=mate)
        boxes.append(made)
        if mate:
            arrows.append(Arrow(mate, made.id, "no path", (why.word,)))
    return boxes, arrows


def cuts(scene: Scene) -> Marks:
    """The mates of detached edges: a cotangent that is not computed, ending in a bar."""
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    if derivative_lane(scene.plan) != "reverse":
        return [], []
    for (vertex, port), (name, reason) in scene.traces.detached.items():
        edge = dict(vertex.inputs)[port]
        for tail in _would_send(scene, vertex):
            made = Box(f"cut {len(boxes) + 1}", "cut", lane="reverse", mate=scene.id(scene.where[edge.vertex]))
            boxes.append(made)
            arrows.append(Arrow(tail, made.id, "cut", cut_label(name, reason)))
    return boxes, arrows


def _would_send(scene: Scene, vertex: Vertex) -> list[str]:
    """The boxes from which a detached cotangent would come: the pull-backs of the node that takes the value.

    A sum has none, for it hands on what it gets; then it would come from the seed.
    """
    steps = {place: members[0] for place, members in scene.members.items() if place.lane == "reverse"}
    mine = [p for p, v in steps.items() if p.origin == base(vertex) and v.origin.role == "reverse"]
    pulling = [scene.id(p) for p in mine if p.step != "solve"]
    if pulling:
        return pulling[-1:] if scene.detail else pulling
    seeds = [p for p, v in steps.items() if v.origin.role == "seed"]
    if not scene.detail:
        seeds += [p for p in scene.gone.reasons if p.step == "seed"]
    return [scene.id(p) for p in seeds if any(vertex in topological([scene.plan.results[name,]]) for name in p.of)]


def removed(scene: Scene) -> Marks:
    """The derivative work that the passes took away, between what is left of it."""
    gone = scene.gone
    executed = {(flow.tail, flow.head) for flow in scene.flows}
    boxes = [_removed_box(scene, place) for place in gone.reasons]
    arrows = [
        Arrow(scene.id(tail), scene.id(head), "removed")
        for tail, head in gone.joined
        if (tail, head) not in executed and (tail in gone.reasons or head in gone.reasons)
    ]
    for place, labels in gone.results.items():
        arrows += [Arrow(scene.id(place), f"gradient of {of} by {wrt}", "removed") for of, wrt, *_ in labels]
    return boxes, arrows


def _removed_box(scene: Scene, place: Place) -> Box:
    mate = scene.mate(place)
    if place.step == "seed":
        return Box(scene.id(place), "seed removed", "seed", lines=("1",), lane=place.lane, mate=mate)
    fed = [scene.name(head) for tail, head in scene.gone.joined if tail == place]
    fed += [wrt for _, wrt, *_ in scene.gone.results[place]]
    title = ", ".join(dict.fromkeys(name + words.SUFFIX[place.lane] for name in fed)) or scene.name(place)
    lines = tuple(line for reason in scene.gone.reasons[place][:2] for line in words.wrapped(reason, 28))
    return Box(scene.id(place), "removed", title, lines=lines, lane=place.lane, mate=mate)
