"""Diagram -> the DOT language of Graphviz.

Two columns share their ranks: forward boxes run down, derivative boxes stand beside their mates. Reverse
arrows are given to the layout upside down. What a derivative keeps of the values is listed in a small box
before it, because Graphviz leaves no room for labels on arrows along a rank.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from functools import cached_property

import attrs
import graphviz

from .labels import arrow_label, box_label, header_label, legend_label
from .model import Arrow, Box, Cluster, Diagram
from .style import ALARMS, ARROWS, BADGES, BOXES, FAINT, FONT, GREY, WHITE

GRAPH = {
    "rankdir": "TB",
    "newrank": "true",
    "nodesep": "0.3",
    "ranksep": "0.3",
    "labelloc": "t",
    "labeljust": "l",
    "fontname": FONT,
    "pad": "0.1",
}
ACROSS = {"rankdir": "LR", "nodesep": "0.25", "ranksep": "0.5"}
"""Of the joint view."""
NODE = {"fontname": FONT, "fontsize": "11", "margin": "0.08,0.04", "height": "0.3", "width": "0.3"}
EDGE = {"fontname": FONT, "fontsize": "9.5", "arrowsize": "0.8"}
LANES = {
    "forward": "values",
    "reverse": "derivatives, flowing back",
    "tangent": "derivatives, flowing forward",
}


@attrs.frozen(eq=False)
class Layout:
    """A diagram with small boxes for what is kept: their ids -> the arrows that run through them."""

    diagram: Diagram
    tags: dict[str, list[Arrow]]

    @cached_property
    def tag_of(self) -> dict[Arrow, str]:
        """The small box that an arrow runs through."""
        return {arrow: id for id, arrows in self.tags.items() for arrow in arrows}

    @cached_property
    def number(self) -> dict[Arrow, int]:
        """The positions of the arrows in the diagram."""
        return {arrow: i for i, arrow in enumerate(self.diagram.arrows)}

    def marked(self, *arrows: Arrow) -> dict[str, str]:
        """The class of what belongs to these arrows."""
        return {"class": " ".join(f"arrow-{self.number[arrow]}" for arrow in arrows)}

    @cached_property
    def lanes(self) -> dict[str, str]:
        """The column of every box."""
        lanes = {box.id: box.lane for box in self.diagram.boxes}
        return lanes | {id: lanes[arrows[0].head] for id, arrows in self.tags.items()}

    @cached_property
    def rows(self) -> list[list[str]]:
        """Boxes side by side, from left to right: a forward box and its mates, each after what it keeps."""
        before: dict[str, list[str]] = defaultdict(list)
        rows: dict[str, list[str]] = {}
        for id, (arrow, *_) in self.tags.items():
            if arrow.kind == "saved":
                # It stands where the solve would be: beside the one that it is read off.
                rows.setdefault(arrow.tail, [arrow.tail]).append(id)
            else:
                before[arrow.head].append(id)
        for box in self.diagram.boxes:
            first = box.mate if box.mate in self.diagram.by_id else ""
            if first or before[box.id]:
                row = rows.setdefault(first or box.id, [first] if first else [])
                row += [*before[box.id], box.id]
        return list(rows.values())


def _layout(diagram: Diagram) -> Layout:
    lanes = {box.id: box.lane for box in diagram.boxes}
    tags: dict[str, list[Arrow]] = defaultdict(list)
    for arrow in diagram.arrows if diagram.header.view != "joint" else ():
        if (arrow.label or arrow.numbers) and lanes[arrow.tail] != lanes[arrow.head] and arrow.kind != "no path":
            tags[f"{arrow.kind} {arrow.head}"].append(arrow)
    return Layout(diagram, dict(tags))


def to_dot(diagram: Diagram, *, framed: bool = True) -> graphviz.Digraph:
    """The diagram as a Graphviz graph, with header and legend if `framed`.

    Its `source` is text, the same for the same diagram. In SVG a box has its id, and whatever belongs to arrow number
    i has the class `arrow-i`.
    """
    layout = _layout(diagram)
    made = graphviz.Digraph("tograph")
    across = diagram.header.view == "joint"
    heading = header_label(diagram.header) if framed else ""
    made.attr("graph", label=heading, tooltip=diagram.header.computes, **GRAPH | (ACROSS if across else {}))
    made.attr("node", **NODE)
    made.attr("edge", **EDGE)
    with made.subgraph(name="cluster_all") as page:
        page.attr(label=legend_label(diagram.legend) if framed else "", labelloc="b", labeljust="l", pencolor="none")
        lanes = [lane for lane in LANES if lane in layout.lanes.values()]
        for lane in reversed(lanes) if across else lanes:  # Graphviz fills a rank from below if it runs to the right
            _lane(page, layout, lane)
    for row in layout.rows:
        _same_rank(made, layout, row)
    for arrow in diagram.arrows:
        if arrow not in layout.tag_of:
            label = arrow_label(arrow, across=across, numbers_only=not _says_more(diagram, arrow))
            _arrow(made, layout, arrow, label, **layout.marked(arrow))
    for id, arrows in layout.tags.items():
        for arrow in arrows:
            _arrow(made, layout, attrs.evolve(arrow, head=id), "", head="none", **layout.marked(arrow))
        _arrow(made, layout, attrs.evolve(arrows[0], tail=id), "", **layout.marked(*arrows))
    return made


def _lane(page: graphviz.Digraph, layout: Layout, lane: str) -> None:
    title = LANES[lane] if len(set(layout.lanes.values())) > 1 else ""
    framed = lane == "forward" or layout.diagram.header.view == "side by side"
    inside = {id for cluster in layout.diagram.clusters if framed for id in cluster.boxes}
    just = "l" if layout.diagram.header.view == "joint" else "c"
    with page.subgraph(name=f"cluster_lane_{lane}") as column:
        column.attr(
            label=title, labelloc="t", labeljust=just, pencolor="none", fontsize="10", fontcolor=GREY, margin="4"
        )
        for box in layout.diagram.find(lane=lane):
            if box.id not in inside:
                _box(column, layout.diagram, box)
        for id, arrows in layout.tags.items():
            if layout.lanes[id] == lane and arrows[0].head not in inside:
                _tag(column, id, arrows, **layout.marked(*arrows))
        if framed:
            for cluster in (c for c in layout.diagram.clusters if len(c.path) == 1 and c.lane == lane):
                _cluster(column, layout, cluster)


def _cluster(parent: graphviz.Digraph, layout: Layout, cluster: Cluster) -> None:
    diagram = layout.diagram
    lane = "" if cluster.lane == "forward" else f" {cluster.lane}"
    with parent.subgraph(name="cluster_of_" + "/".join(cluster.path) + lane) as group:
        group.attr(
            label=cluster.path[-1], pencolor=FAINT, style="rounded", labeljust="l", fontsize="10", fontcolor=GREY
        )
        group.attr(margin="8")
        for id in cluster.boxes:
            _box(group, diagram, diagram.by_id[id])
        for id, arrows in layout.tags.items():
            if arrows[0].head in cluster.boxes:
                _tag(group, id, arrows, **layout.marked(*arrows))
        for inner in diagram.clusters:
            if inner.path[:-1] == cluster.path and inner.lane == cluster.lane:
                _cluster(group, layout, inner)


def _box(where: graphviz.Digraph, diagram: Diagram, box: Box) -> None:
    style = BOXES[box.kind]
    faded = diagram.header.view in ("reverse", "tangent") and box.kind == "node"
    shape = {
        "shape": style.shape,
        "style": style.style,
        "fillcolor": style.fill,
        "color": "#9A9A9A" if faded else style.line,
        "fontcolor": style.ink,
        "penwidth": str(style.width),
        "peripheries": str(style.outlines),
        **_measured(box),
        "tooltip": "\n".join((box.title, box.where, *box.detail)).strip(),
    }
    if style.shape in ("hexagon", "triangle"):
        shape["margin"] = "0"
    elif style.shape == "circle" and box.numbers:  # a circle around a line of text would be the largest box of all
        shape |= {"shape": "ellipse", "margin": "0"}
    if box.kind == "cut":
        shape |= {"label": "", "width": "0.5", "height": "0.06", "margin": "0"}
    else:
        shape["label"] = box_label(box, faded)
    where.node(quoted(box.id), id=box.id, **shape)


def _measured(box: Box) -> dict[str, str]:
    """A frame where something is wrong; else a darker fill the larger the number."""
    alarm = next((badge for badge in ALARMS if badge in box.badges), None)
    if alarm:
        return {"color": BADGES[alarm].fill, "penwidth": "4"}
    return {} if box.strength is None else {"fillcolor": heat(box.strength)}


def heat(strength: float) -> str:
    """White to orange; grey print shows it too."""
    ends = ((255, 255, 255), (230, 159, 0))
    return "#" + "".join(f"{round(a + strength * (b - a)):02X}" for a, b in zip(*ends, strict=True))


def _tag(where: graphviz.Digraph, id: str, arrows: list[Arrow], **more: str) -> None:
    style = ARROWS[arrows[0].kind]
    looks = {"color": style.color, "fontcolor": style.ink, "fontsize": "9.5", "fillcolor": WHITE, "margin": "0.08,0.03"}
    more |= {"shape": "box", "style": "rounded,filled", "height": "0.2"}
    where.node(quoted(id), label=arrow_label(*arrows), **looks, **more)


def quoted(id: str) -> str:
    """An id that the DOT writer takes literally: a colon would name a port."""
    return id.replace(":", "·")


def _same_rank(made: graphviz.Digraph, layout: Layout, row: list[str]) -> None:
    """Fix the order in a row, where no arrow does it."""
    drawn = {(arrow.tail, layout.tag_of.get(arrow, arrow.head)) for arrow in layout.diagram.arrows}
    drawn |= {(id, arrows[0].head) for id, arrows in layout.tags.items()}
    with made.subgraph() as rank:
        rank.attr(rank="same")
        for id in row:
            rank.node(quoted(id))
        for left, right in itertools.pairwise(row):
            if (left, right) not in drawn:
                rank.edge(quoted(left), quoted(right), style="invis")


def _says_more(diagram: Diagram, arrow: Arrow) -> bool:
    """Whether the label is not on the box already, as it is on inputs and constants."""
    return diagram.by_id[arrow.tail].kind not in ("design", "parameter", "constant") or arrow.kind == "detached"


def _arrow(made: graphviz.Digraph, layout: Layout, arrow: Arrow, label: str, head: str = "", **more: str) -> None:
    style = ARROWS[arrow.kind]
    looks = {
        "color": style.color,
        "style": style.style,
        "penwidth": str(style.width if arrow.strength is None else round(0.8 + 4.5 * arrow.strength, 2)),
        "fontcolor": style.ink,
        "label": label,
        "tooltip": " ".join(arrow.label) or style.text,
        **more,
    }
    lanes = layout.lanes[arrow.tail], layout.lanes[arrow.head]
    if lanes[0] != lanes[1] or arrow.kind == "saved":
        looks["constraint"] = "false"
    elif arrow.wires:
        looks["weight"] = "4"
    if lanes == ("reverse", "reverse") and not {arrow.tail, arrow.head} & layout.tags.keys():
        made.edge(quoted(arrow.head), quoted(arrow.tail), dir="back", arrowtail=style.head, **looks)
    else:
        made.edge(quoted(arrow.tail), quoted(arrow.head), arrowhead=head or style.head, **looks)
