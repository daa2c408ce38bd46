"""What was measured in one run, ready to be laid over the diagram of its plan: plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class Reading:
    """One number of an overlay and the short text that shows it, e.g. 1.2e-9 and `1.2e-09`."""

    number: float
    text: str


@attrs.frozen
class Overlay:
    """Numbers of one run laid over the diagram of its plan.

    Attributes:
        name: e.g. "norms".
        title: for the legend, e.g. `2-norm of what flows`.
        unit: of the numbers, e.g. "s"; "" where they are dimensionless or of many units.
        wires: readings of executed edges, by `(Wire.tail, Wire.output)`.
        steps: readings of steps, by position in the plan's order.
        logarithmic: whether the numbers are best told apart by their logarithm.
    """

    name: str
    title: str
    unit: str = ""
    wires: Mapping[tuple[int, int], Reading] = attrs.field(factory=dict)
    steps: Mapping[int, Reading] = attrs.field(factory=dict)
    logarithmic: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: rows `[tail, output, number, text]` and `[step, number, text]`; not finite is None."""
        wires = [[tail, output, _number(r.number), r.text] for (tail, output), r in self.wires.items()]
        steps = [[step, _number(r.number), r.text] for step, r in self.steps.items()]
        head = {"name": self.name, "title": self.title, "unit": self.unit, "logarithmic": self.logarithmic}
        return {**head, "wires": wires, "steps": steps}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Overlay:
        """Read back what `to_dict` gave; what was not finite is NaN."""
        wires = {(tail, output): Reading(_real(x), text) for tail, output, x, text in data["wires"]}
        steps = {step: Reading(_real(x), text) for step, x, text in data["steps"]}
        return cls(data["name"], data["title"], data["unit"], wires, steps, data["logarithmic"])


@attrs.frozen
class Mark:
    """Something noticed at a step: a key of `style.BADGES`, and a line that says more."""

    step: int
    kind: str
    text: str = ""


@attrs.frozen
class Image:
    """The field that a step computes, as a small PNG in base64; `text` says what its colours mean."""

    step: int
    text: str
    png: str


@attrs.frozen
class Term:
    """One contribution to a sum of cotangents: where it is from, its norm, and its cosine with the sum."""

    name: str
    norm: float
    cosine: float


@attrs.frozen
class Sum:
    """A sum of cotangents at a step: its norm, and |sum| / sum |terms| in [0, 1]."""

    step: int
    terms: tuple[Term, ...]
    norm: float
    ratio: float


@attrs.frozen
class Frame:
    """One run.

    Attributes:
        label: which run, e.g. an iteration.
        overlays, marks, images, sums: what was measured and noticed, by position in the plan's order.
        scripts: pairs of a declared node's name and a script that runs it alone.
    """

    label: str = ""
    overlays: tuple[Overlay, ...] = ()
    marks: tuple[Mark, ...] = ()
    images: tuple[Image, ...] = ()
    sums: tuple[Sum, ...] = ()
    scripts: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "label": self.label,
            "overlays": [overlay.to_dict() for overlay in self.overlays],
            "marks": [attrs.asdict(mark) for mark in self.marks],
            "images": [attrs.asdict(image) for image in self.images],
            "sums": [_sum(one) for one in self.sums],
            "scripts": [list(pair) for pair in self.scripts],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Frame:
        """Read back what `to_dict` gave."""
        return cls(
            data["label"],
            tuple(map(Overlay.from_dict, data["overlays"])),
            tuple(Mark(**mark) for mark in data["marks"]),
            tuple(Image(**image) for image in data["images"]),
            tuple(_read_sum(one) for one in data["sums"]),
            tuple((name, script) for name, script in data["scripts"]),
        )


def _sum(one: Sum) -> dict[str, Any]:
    terms = [[term.name, _number(term.norm), _number(term.cosine)] for term in one.terms]
    return {"step": one.step, "terms": terms, "norm": _number(one.norm), "ratio": _number(one.ratio)}


def _read_sum(data: Mapping[str, Any]) -> Sum:
    terms = tuple(Term(name, _real(norm), _real(cosine)) for name, norm, cosine in data["terms"])
    return Sum(data["step"], terms, _real(data["norm"]), _real(data["ratio"]))


def _number(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def _real(number: float | None) -> float:
    return math.nan if number is None else number
