"""Pictures of a graph and of the program made from it.

A declared graph or a plan becomes a `Diagram` (plain data); renderers read the diagram. The reverse
picture is made from the plan that runs.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import attrs

from ..compiled import Function
from ..errors import TographError
from ..graph import Graph
from ..passes import run_passes
from ..plan import Plan, Request
from ..planning import make_plan
from ..program import Program
from .declared import declared
from .dot import to_dot
from .executed import executed
from .model import Diagram
from .render import FORMATS, format_of, render
from .stages import stages

Names = str | tuple[str, ...] | list[str] | None


@attrs.frozen
class Drawing:
    """A diagram that shows itself in a notebook; `str` gives the SVG text."""

    diagram: Diagram

    @cached_property
    def dot(self) -> str:
        """The DOT text."""
        return str(to_dot(self.diagram).source)

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
        target.write_bytes(render(self.diagram, format_of(target, format)))
        return target

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.svg


def draw(
    what: Graph | Program | Function | Plan,
    path: str | Path | None = None,
    *,
    of: Names = None,
    wrt: Names = None,
    view: str | None = None,
    backend: str = "jax",
    format: str | None = None,
    detail: bool = False,
) -> Drawing:
    """Draw a graph as declared, or a pass as it runs.

    Args:
        what: a graph; a program; or a function or plan, whose own pass is drawn.
        path: file to write, .svg, .png, .pdf, .dot or .json; none is written if omitted.
        of: output(s) to differentiate; together with `wrt`.
        wrt: input(s) to differentiate with respect to.
        view: "forward" (as declared; the default), "executed" (the value program after the passes),
            "reverse" (the default with `of` and `wrt`), or "tangent".
        backend: for which backend the pass is planned, where `what` does not say.
        format: instead of the extension of `path`.
        detail: draw every step that runs instead of one box per declared node.

    Raises:
        TographError: unknown format or view; `of` without `wrt` or the reverse of it.
        GraphError: the pass asked for does not exist.
    """
    target = None if path is None else Path(path)
    if target is not None:
        format_of(target, format)  # a wrong name is an error before any work is done
    drawing = Drawing(_diagram(what, _names(of), _names(wrt), view, backend, detail))
    if target is not None:
        drawing.save(target, format)
    return drawing


def draw_passes(
    what: Graph | Program | Function | Plan,
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
    plan, dtype = _plan(what, _names(of), _names(wrt), view, backend)
    target.mkdir(parents=True, exist_ok=True)
    return [
        Drawing(diagram).save(target / f"{i}_{name}.{format}", format)
        for i, (name, diagram) in enumerate(stages(plan, detail=detail, dtype=dtype))
    ]


def _names(given: Names) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _diagram(
    what: Graph | Program | Function | Plan,
    of: tuple[str, ...],
    wrt: tuple[str, ...],
    view: str | None,
    backend: str,
    detail: bool,
) -> Diagram:
    if isinstance(what, Graph | Program) and _view(of, wrt, view) == "forward" and not detail:
        return declared(what) if isinstance(what, Graph) else declared(what.graph, what.backend.name, what.dtype)
    plan, dtype = _plan(what, of, wrt, view, backend)
    return executed(plan, detail=detail, dtype=dtype)


def _plan(
    what: Graph | Program | Function | Plan, of: tuple[str, ...], wrt: tuple[str, ...], view: str | None, backend: str
) -> tuple[Plan, str]:
    """What is to be drawn, after its passes, and its precision if it has one."""
    if isinstance(what, Function):
        return what.plan, what.backend.dtype
    if isinstance(what, Plan):
        return what, ""
    graph, dtype = (what.graph, what.dtype) if isinstance(what, Program) else (what, "")
    chosen, name = _view(of, wrt, view), what.backend.name if isinstance(what, Program) else backend
    mode = "value" if chosen in ("forward", "executed") else chosen
    request = Request(of or tuple(graph.outputs), wrt if mode != "value" else (), mode)
    return run_passes(make_plan(graph, request, name)), dtype


def _view(of: tuple[str, ...], wrt: tuple[str, ...], view: str | None) -> str:
    chosen = view or ("reverse" if of or wrt else "forward")
    if chosen not in VIEWS:
        raise TographError(f"there is no view {chosen!r}. Known: {', '.join(VIEWS)}")
    if chosen in ("reverse", "tangent") and not (of and wrt):
        missing = [name for name, given in (("of", of), ("wrt", wrt)) if not given]
        which = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        raise TographError(f"the {chosen} pass needs both `of` (outputs) and `wrt` (inputs): {which}")
    return chosen


VIEWS = ("forward", "executed", "reverse", "tangent")

__all__ = ["FORMATS", "VIEWS", "Diagram", "Drawing", "draw", "draw_passes"]
