"""The one diagram model: plain data that every renderer reads. Nothing here knows of Graphviz or of nodes.

A `Diagram` is made from a declared graph or from a plan. Boxes and arrows name their looks by a key of
the tables in `style`, so what a mark means is said in one place.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import attrs

from ..errors import TographError
from .frame import Frame, Overlay, Reading

__all__ = ["Arrow", "Box", "Cluster", "Definition", "Diagram", "Entry", "Header", "Overlay", "Reading", "Wire"]

FORMAT = "tograph diagram"
VERSION = 2
"""Version of `Diagram.to_dict`."""


@attrs.frozen
class Wire:
    """One executed edge, by positions in the plan's order: output `output` of `tail` ends in `port` of `head`."""

    tail: int
    output: int
    head: int
    port: str


@attrs.frozen
class Box:
    """One thing with a place in the picture.

    Attributes:
        id: unique in the diagram.
        kind: a key of `style.BOXES`.
        title: the name of what it computes, e.g. `rho_f`.
        operation: what does it, e.g. `DensityFilter`.
        lines: further text: parameters, reasons.
        badges: keys of `style.BADGES`.
        where: `file:line` of the declaration.
        lane: "forward", "reverse" or "tangent".
        mate: id of the forward box that this one differentiates.
        steps: what it stands for, as positions in the plan's order (of the graph's vertices in the
            declared view); empty for a mark that is not executed.
        detail: one line per step, shown on hovering.
        rules: how its derivative came about, one line per input: the rule and the line that registered it.
        about: the operation that it does or differentiates, as in `Diagram.definitions`.
        numbers: what was measured, in words.
        strength: the first of it, in [0, 1] from the least to the largest of the diagram.
        image: PNG of the field that it computes, in base64; "" for none.
    """

    id: str
    kind: str
    title: str = ""
    operation: str = ""
    lines: tuple[str, ...] = ()
    badges: tuple[str, ...] = ()
    where: str = ""
    lane: str = "forward"
    mate: str = ""
    steps: tuple[int, ...] = ()
    detail: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    about: str = ""
    numbers: tuple[str, ...] = ()
    strength: float | None = None
    image: str = ""


@attrs.frozen
class Arrow:
    """What flows from one box to another.

    Attributes:
        tail: id of the box it leaves.
        head: id of the box it enters.
        kind: a key of `style.ARROWS`.
        label: lines of text on it.
        bytes: size of what it carries, where known.
        wires: the executed edges it stands for; empty for a mark that is not executed.
        numbers, strength: as of a box.
    """

    tail: str
    head: str
    kind: str
    label: tuple[str, ...] = ()
    bytes: int | None = None
    wires: tuple[Wire, ...] = ()
    numbers: tuple[str, ...] = ()
    strength: float | None = None


@attrs.frozen
class Cluster:
    """A named group of boxes of one lane; `path` lists the names from the outermost cluster to this one."""

    path: tuple[str, ...]
    boxes: tuple[str, ...]
    lane: str = "forward"


@attrs.frozen
class Header:
    """What the picture is of. `facts` are further short texts, e.g. `1 factorization, 1 solve`."""

    graph: str
    computes: str
    view: str
    hash: str
    backend: str = ""
    dtype: str = ""
    facts: tuple[str, ...] = ()


@attrs.frozen
class Entry:
    """One line of the legend: `table` is "box", "arrow" or "badge"."""

    table: str
    kind: str
    text: str


@attrs.frozen
class Definition:
    """What an operation is: its docstring with the formula, where its class is, and its rules, one a line."""

    operation: str
    text: str = ""
    where: str = ""
    rules: tuple[str, ...] = ()


@attrs.frozen
class Diagram:
    """Boxes, arrows and clusters under a header, without layout; `frames` hold what was measured in runs."""

    header: Header
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    clusters: tuple[Cluster, ...] = ()
    legend: tuple[Entry, ...] = ()
    definitions: tuple[Definition, ...] = ()
    frames: tuple[Frame, ...] = ()

    @cached_property
    def by_id(self) -> dict[str, Box]:
        """The boxes by id."""
        return {box.id: box for box in self.boxes}

    def find(self, **wanted: Any) -> list[Box]:
        """The boxes with these attributes, e.g. `find(kind="solve")`."""
        return [box for box in self.boxes if all(getattr(box, name) == value for name, value in wanted.items())]

    def joining(self, test: Callable[[Arrow], bool]) -> list[Arrow]:
        """The arrows for which `test` holds."""
        return [arrow for arrow in self.arrows if test(arrow)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = attrs.asdict(attrs.evolve(self, frames=()))
        return {"format": FORMAT, "version": VERSION, **plain, "frames": [frame.to_dict() for frame in self.frames]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Diagram:
        """Read back what `to_dict` gave, also after a way through JSON.

        Raises:
            TographError: it is something else, or of another version.
        """
        found = data.get("format"), data.get("version")
        if found != (FORMAT, VERSION):
            raise TographError(f"this is no diagram of version {VERSION}: format {found[0]!r}, version {found[1]!r}")
        made: Diagram = _read(cls, data)
        return made


def _read(wanted: Any, data: Any) -> Any:
    """Plain data as the type that a field of the model declares."""
    if wanted is Frame:
        return Frame.from_dict(data)
    if attrs.has(wanted):
        types = typing.get_type_hints(wanted)
        return wanted(**{f.name: _read(types[f.name], data[f.name]) for f in attrs.fields(wanted)})
    if typing.get_origin(wanted) is tuple:
        return tuple(_read(typing.get_args(wanted)[0], item) for item in data)
    return data
