"""`tograph draw`. Where a diagram goes is checked before anything is compiled for it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np

from tograph.draw import FORMATS, draw_passes
from tograph.draw import draw as draw_it
from tograph.graph import Graph, source_of
from tograph.plain import to_json

from .commands import main, only_json
from .options import backend_option, json_option, problem_options, sentences
from .workflow import Workflow, find_workflow


@main.command(short_help="Draw the forward, reverse or tangent pass.")
@problem_options
@click.option(
    "--pass",
    "view",
    type=click.Choice(["forward", "reverse", "tangent", "joint"]),
    help="Which program to draw. [default: forward; reverse with --overlay]",
)
@click.option("--of", help="Output that is differentiated. [default: compliance, or the first]")
@click.option("--wrt", help="Input it is differentiated by. [default: the design]")
@click.option("--detail", is_flag=True, help="Draw every step that runs instead of one box per declared node.")
@click.option("--passes", is_flag=True, help="Draw the program after every pass of the compiler, into a folder.")
@click.option("--overlay", help="Run once at the start design; write these on it, e.g. norms,time,fields.")
@click.option("--text", "as_text", is_flag=True, help="Print the diagram as a tree instead of writing a file.")
@backend_option
@click.option(
    "--out",
    "--html",
    "out",
    type=click.Path(path_type=Path),
    help="File; its ending is the format. [default: NAME_PASS.svg]",
)
@json_option
def draw(target: str, view: str | None, out: Path | None, as_json: bool, as_text: bool, **given: Any) -> None:
    """Draw the forward, reverse or tangent pass of the program that runs; `joint` is forward and reverse in two rows.

    \b
    Examples:
      tograph draw mbb --pass reverse --out reverse.svg
      tograph draw mbb --overlay norms,time --html reverse.html
      tograph draw mbb --pass reverse --text
      tograph draw mbb --pass tangent --detail --out tangent.pdf
      tograph draw mbb --pass reverse --passes --out passes
    """
    asked = {name: given.pop(name) for name in ("of", "wrt", "backend", "detail", "overlay", "passes")}
    view = view or ("reverse" if asked["overlay"] else "forward")
    with sentences(), only_json(as_json):
        workflow = find_workflow(target, given)
        derivative = _derivative(workflow, view, asked)
        what = {"view": view, "backend": asked["backend"], **derivative}
        if as_text:
            click.echo(_drawn(workflow, None, what, asked).text, nl=False)
            return
        where = out or Path(f"{workflow.file_name}_passes" if asked["passes"] else f"{workflow.file_name}_{view}.svg")
        if asked["passes"]:
            files = passes_drawn(workflow.graph, where, what)
        else:
            _drawn(workflow, drawing_path(where), what, asked)
    if as_json:
        made = {"files": files} if asked["passes"] else {"file": str(where)}
        told = {"problem": workflow.name, "pass": view, "backend": asked["backend"], **derivative, **made}
        click.echo(to_json(told))
    else:
        click.echo("\n".join(files) if asked["passes"] else f"{where}: the {view} pass of {workflow.name}")


def _derivative(workflow: Workflow, view: str, asked: dict[str, Any]) -> dict[str, str]:
    """What is differentiated by what; nothing for the forward pass."""
    if view != "forward":
        return {"of": asked["of"] or workflow.objective, "wrt": asked["wrt"] or workflow.design}
    if asked["of"] or asked["wrt"]:
        raise click.UsageError("the forward pass has no --of or --wrt; add --pass reverse or --pass tangent.")
    if asked["overlay"]:
        raise click.UsageError("the declared graph has no --overlay; leave out --pass forward.")
    return {}


def _drawn(workflow: Workflow, path: Path | None, what: dict[str, Any], asked: dict[str, Any]) -> Any:
    """The drawing; with overlays that of a run at the start design."""
    if not asked["overlay"]:
        return workflow.graph.draw(path, detail=asked["detail"], **what)
    names = tuple(asked["overlay"].split(","))
    mode = "tangent" if what["view"] == "tangent" else "reverse"
    program = workflow.graph.compile(what["backend"])
    inspect = program.inspect(what["of"], what["wrt"], mode=mode, keep="fields", times="time" in names)
    start = {workflow.design: _start(workflow)}
    if mode == "tangent":
        start[f"{what['wrt']}_dot"] = np.ones_like(start[workflow.design])
    view = "joint" if what["view"] == "joint" else None
    return draw_it(
        inspect(**start), path, of=what["of"], wrt=what["wrt"], view=view, detail=asked["detail"], overlay=names
    )


def _start(workflow: Workflow) -> Any:
    """The start design: as given, else the default of the input, else as much material as is asked for, or half."""
    source = source_of(workflow.graph.inputs[0])
    if workflow.start is not None:
        return np.asarray(workflow.start, dtype=float)
    if source.default is not None:
        return np.asarray(source.default, dtype=float)
    return np.full(source.spec.shape, 0.5 if workflow.volume is None else workflow.volume)


def drawing_path(path: Path) -> Path:
    """A file that a diagram can be written to.

    Raises:
        click.BadParameter: unknown format, or a folder that is not there or not writable.
    """
    if path.suffix.lower().lstrip(".") not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        ending = f"ends in {path.suffix!r}" if path.suffix else "has no ending"
        raise click.BadParameter(f"{path} {ending}; a diagram can be written as {known}.", param_hint="'--out'")
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "Is a directory")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise click.BadParameter(f"cannot write to {path}: {error.strerror}.", param_hint="'--out'") from None
    return path


def passes_drawn(graph: Graph, folder: Path, asked: dict[str, Any]) -> list[str]:
    """The files of `draw_passes`.

    Raises:
        click.BadParameter: the folder cannot be made or written to.
    """
    try:
        return [str(path) for path in draw_passes(graph, folder, **asked)]
    except OSError as error:
        raise click.BadParameter(f"cannot write to {folder}: {error.strerror}.", param_hint="'--out'") from None
