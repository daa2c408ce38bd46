"""Gradient reports -> frames of a diagram, and frames -> numbers, marks and images on its boxes and arrows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import attrs

from ..errors import TographError, did_you_mean
from ..plan import Plan
from .frame import Frame, Mark, Overlay, Reading, Sum, Term
from .legend import legend
from .model import Arrow, Box, Diagram
from .thumbnails import images

ALWAYS = ("norms", "values", "cotangents", "sensitivity", "sparsity", "bytes")
SOMETIMES = ("time", "cancellation", "nan")
"""Overlays that a page has where there is something to show."""
SCRIPTS = 3000
"""Entries of the largest value up to which scripts are made: they hold the values as text."""


class Report(Protocol):
    """What is needed of a `GradientReport`."""

    @property
    def plan(self) -> Plan:
        """What ran."""

    @property
    def dtype(self) -> str:
        """Of its real numbers."""

    @property
    def fields(self) -> Mapping[tuple[int, int], Any]:
        """The values, by step and output."""

    def overlay(self, name: str) -> Overlay:
        """Numbers for a diagram of the plan."""


def frame(report: Any, label: str = "", asked: Iterable[str] = ()) -> Frame:
    """All of a report that a diagram can show; what takes more runs, as "digits" does, if it is asked for."""
    further = [name for name in asked if name not in (*ALWAYS, *SOMETIMES, "fields")]
    overlays = [report.overlay(name) for name in (*ALWAYS, *further)]
    overlays += [found for name in SOMETIMES if (found := report.overlay(name)).wires or found.steps]
    sums = [
        Sum(s.step, tuple(Term(t.name, t.norm, t.cosine) for t in s.terms), s.norm, s.ratio)
        for s in report.cancellation().sums
    ]
    return Frame(
        label,
        tuple(overlays),
        (*marks(report), *(mark for overlay in overlays for mark in wrong_rules(overlay))),
        images(report.plan, report.fields),
        tuple(sums),
        tuple(_scripts(report)),
    )


def marks(report: Any) -> Iterable[Mark]:
    """What is wrong, at the step where it begins."""
    for step, reading in report.overlay("nan").steps.items():
        origin = reading.number == 0
        yield Mark(step, "nan origin" if origin else "nan", "" if origin else f"{reading.text}, from above")
    for solve in report.solves().solves:
        if solve.failure:
            short = f"residual {solve.residual:.1e} x tolerance" if math.isfinite(solve.residual) else solve.failure
            yield Mark(solve.step, "not converged", short)
    for step, _, bits in report.precision().steps:
        yield Mark(step, "narrow", f"{bits} bits from here on")
    for wrt in report.plan.request.wrt:
        for of in report.plan.request.of:
            zero = report.why_zero(wrt, of) if (of, wrt) in report.plan.results else None
            if zero is not None and zero.step is not None:
                yield Mark(zero.step, "dead", f"d {of} / d {wrt} is 0 from here on")


def wrong_rules(overlay: Overlay) -> Iterable[Mark]:
    """The rules that `tg.check` refuses, of the overlay "digits"."""
    if overlay.name == "digits":
        for step, reading in overlay.steps.items():
            if reading.text.startswith("WRONG"):
                yield Mark(step, "wrong rule", reading.text)


def _scripts(report: Any) -> Iterable[tuple[str, str]]:
    if max((getattr(value, "size", 0) for value in report.fields.values()), default=0) > SCRIPTS:
        return
    for name in report.plan.graph.names.values():
        try:
            yield name, report.reproducer(name)
        except TographError:
            continue  # an input, an operator, or a class without a file: there is no such script


def checked(frames: Sequence[Frame], names: Iterable[str]) -> tuple[str, ...]:
    """Names of overlays, once it is known that they exist.

    Raises:
        TographError: there is no such overlay, or nothing was measured.
    """
    known = [overlay.name for overlay in frames[-1].overlays] if frames else []
    names = tuple(names)
    for name in names:
        if not known:
            raise TographError(f"overlay {name!r} needs a run. Draw the report of program.inspect(...)(...) instead")
        if name not in (*known, "fields"):
            raise TographError(f"there is no overlay {name!r}. {did_you_mean(name, (*known, 'fields'))}")
    return names


def laid_over(diagram: Diagram, names: Sequence[str]) -> Diagram:
    """The diagram with the numbers of its last frame on boxes and arrows, its marks, and images for "fields"."""
    if not diagram.frames:
        return diagram
    shown = diagram.frames[-1]
    overlays = [overlay for overlay in shown.overlays if overlay.name in names]
    strength = _strengths(overlays[0]) if overlays else {}
    pictures = {image.step: image.png for image in shown.images} if "fields" in names else {}
    noticed: dict[int, list[Mark]] = {}
    for mark in shown.marks:
        noticed.setdefault(mark.step, []).append(mark)
    boxes = tuple(_box(box, overlays, strength, pictures, noticed) for box in diagram.boxes)
    arrows = tuple(_arrow(arrow, overlays, strength) for arrow in diagram.arrows)
    facts = tuple(f"{o.name}: {o.title}{' (width by its logarithm)' if o is overlays[0] else ''}" for o in overlays)
    header = attrs.evolve(diagram.header, facts=(*diagram.header.facts, *facts))
    return attrs.evolve(diagram, header=header, boxes=boxes, arrows=arrows, legend=legend(boxes, arrows))


def _strengths(overlay: Overlay) -> dict[Any, float]:
    """Where each number stands between the least and the largest, 0 to 1; what is not finite is left out."""
    readings: dict[Any, Reading] = {**overlay.wires, **overlay.steps}
    size = {k: abs(r.number) for k, r in readings.items() if math.isfinite(r.number)}
    if overlay.logarithmic:
        size = {k: math.log10(x) for k, x in size.items() if x > 0.0}
    low, high = (min(size.values()), max(size.values())) if size else (0.0, 0.0)
    return {k: (x - low) / (high - low) if high > low else 0.5 for k, x in size.items()}


def _arrow(arrow: Arrow, overlays: list[Overlay], strength: dict[Any, float]) -> Arrow:
    keys = list(dict.fromkeys((wire.tail, wire.output) for wire in arrow.wires))
    numbers = [f"{o.name} {largest.text}" for o in overlays if (largest := _largest(o.wires, keys))]
    width = max((strength[k] for k in keys if k in strength), default=None)
    return attrs.evolve(arrow, numbers=tuple(numbers), strength=width)


def _box(
    box: Box,
    overlays: list[Overlay],
    strength: dict[Any, float],
    pictures: dict[int, str],
    noticed: dict[int, list[Mark]],
) -> Box:
    numbers = [f"{o.name} {largest.text}" for o in overlays if (largest := _largest(o.steps, box.steps))]
    # Of each kind the first: what follows inside the box is carried on.
    found = list({m.kind: m for step in reversed(box.steps) for m in reversed(noticed.get(step, ()))}.values())[::-1]
    return attrs.evolve(
        box,
        numbers=(*numbers, *dict.fromkeys(line for mark in found for line in _sentence(mark))),
        strength=max((strength[step] for step in box.steps if step in strength), default=None),
        badges=tuple(dict.fromkeys((*box.badges, *(mark.kind for mark in found)))),
        image=next((pictures[step] for step in reversed(box.steps) if step in pictures), ""),
    )


def _sentence(mark: Mark) -> list[str]:
    words = mark.text if len(mark.text) <= 80 else f"{mark.text[:77]}..."
    return [words] if words else []


def _largest(readings: Mapping[Any, Reading], keys: Iterable[Any]) -> Reading | None:
    """Of several readings the most telling one: what is not finite, else the largest."""
    found = [readings[key] for key in keys if key in readings]
    return max(found, key=lambda r: abs(r.number) if math.isfinite(r.number) else math.inf, default=None)
