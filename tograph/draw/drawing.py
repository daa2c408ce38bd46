"""The verb: `draw`, and what it gives."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import attrs

from .model import Diagram
from .page import View, to_html
from .render import dot_of, format_of, render
from .stages import stages
from .text import to_text
from .views import Asked, What

Names = str | tuple[str, ...] | list[str] | None


@attrs.frozen
class Drawing:
    """A diagram that shows itself in a notebook; `str` gives the SVG text.

    `asked` is what it was made from; its HTML page has the other views too.
    """

    diagram: Diagram
    asked: Asked | None = None

    @cached_property
    def dot(self) -> str:
        """The DOT text."""
        return dot_of(self.diagram)

    @cached_property
    def svg(self) -> str:
        """The SVG text."""
        return render(self.diagram, "svg").decode()

    def save(self, path: str | Path, format: str | None = None) -> Path:
        """Write a file, in the format of its extension unless `format` is given.

        Raises:
            TographError: unknown format.
        """
        target = Path(path)
        wanted = format_of(target, format)
        target.write_bytes(self.html if wanted == "html" else render(self.diagram, wanted))
        return target

    @cached_property
    def html(self) -> bytes:
        """The page: one file with script and data inside, to be opened in a browser."""
        first = self.diagram.header.view
        return to_html(list(self.asked.views()) if self.asked else [View(first, self.diagram)], first)

    @cached_property
    def text(self) -> str:
        """As a tree for a terminal."""
        return to_text(self.diagram)

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return f'<div style="overflow:auto">{self.svg[self.svg.find("<svg") :]}</div>'

    def __str__(self) -> str:
        return self.svg


def draw(
    what: What,
    path: str | Path | None = None,
    *,
    of: Names = None,
    wrt: Names = None,
    view: str | None = None,
    backend: str = "jax",
    format: str | None = None,
    detail: bool = False,
    overlay: Names = None,
    labels: tuple[str, ...] = (),
) -> Drawing:
    """Draw a graph as declared, or a pass as it runs; with a gradient report, what was measured in it.

    Args:
        what: a graph; a program; a function or plan, whose own pass is drawn; a report of `program.inspect(...)(...)`;
            a list of them for a slider; a dict of two, drawn side by side with the deviation on every edge.
        path: file to write, .svg, .png, .pdf, .html, .txt, .dot or .json; none is written if omitted.
        of: output(s) to differentiate; together with `wrt`.
        wrt: input(s) to differentiate with respect to.
        view: "forward" (as declared; the default), "executed" (the value program after the passes),
            "reverse" (the default with `of` and `wrt`), "tangent", or "joint" (values and derivatives as two rows).
        backend: for which backend the pass is planned, where `what` does not say.
        format: instead of the extension of `path`.
        detail: draw every step that runs instead of one box per declared node.
        overlay: overlays of the report, the first as widths and shades too; "fields" for small pictures of all fields.
        labels: of several reports, e.g. the numbers of their iterations; by default 0, 1, ...

    Raises:
        TographError: unknown format, view or overlay; `of` without `wrt` or the reverse of it.
        GraphError: the pass asked for does not exist.
    """
    if path is not None:
        format_of(Path(path), format)  # a wrong name is an error before any work is done
    asked = Asked(what, _names(of), _names(wrt), view, backend, detail, _names(overlay), labels)
    drawing = Drawing(asked.shown(), asked)
    if path is not None:
        drawing.save(path, format)
    return drawing


def draw_passes(
    what: What,
    folder: str | Path,
    *,
    of: Names = None,
    wrt: Names = None,
    view: str | None = None,
    backend: str = "jax",
    format: str = "svg",
    detail: bool = True,
) -> list[Path]:
    """Draw what every pass of the compiler changed: one picture before the passes, one after each that did something.

    Args:
        what, of, wrt, view, backend, detail: as for `draw`.
        folder: is made; its files are `0_differentiated.svg`, then `1_` and so on with the names of the passes.
        format: of all files.

    Returns:
        The files in order.

    Raises:
        TographError, GraphError: as for `draw`.
    """
    target = Path(folder)
    plan, dtype = Asked(what, _names(of), _names(wrt), view, backend).plan()
    target.mkdir(parents=True, exist_ok=True)
    return [
        Drawing(diagram).save(target / f"{i}_{name}.{format}", format)
        for i, (name, diagram) in enumerate(stages(plan, detail=detail, dtype=dtype))
    ]


def _names(given: Names) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)
