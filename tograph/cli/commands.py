"""The commands on workflows and problems. Each finds the workflow, asks the core one thing, and prints the answer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

import tograph as tg
from tograph.plain import to_json
from tograph.problems import PROBLEMS, SUITE, TASKS, Problem, hoyer

from .options import (
    BACKENDS,
    SETTINGS,
    Commands,
    Count,
    Number,
    backend_option,
    cache_option,
    installed,
    is_there,
    json_option,
    problem_options,
    sentences,
)
from .workflow import find_workflow


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(tg.__version__, prog_name="tograph", message="%(prog)s %(version)s")
@cache_option
def main() -> None:
    """Topology optimisation as a graph: declare it, look at its reverse pass, run it on JAX or PyTorch.

    TARGET is the name of a problem (see `tograph problems`) or path/to/file.py:function, where the function returns a
    Problem, a Graph, or (Graph, start design).

    \b
    Example:
      tograph run mbb
    """


@main.command(short_help="Optimise, and leave the results in a run folder.")
@problem_options
@click.option(
    "--method",
    type=click.Choice(["oc", "mma", "gcmma", "slsqp", "trust-constr", "auto"]),
    default="oc",
    show_default=True,
    help="How designs are found.",
)
@click.option("--max-iter", type=Count(min=1), default=200, show_default=True, help="Stop after so many designs.")
@click.option(
    "--tol",
    type=Number(0.0, 0.2, max_open=True),
    default=0.01,
    show_default=True,
    help="Stop when no density changes by more than this.",
)
@click.option(
    "--bisection",
    type=Number(0.0, 1.0, min_open=True, max_open=True),
    help="For oc: bisect the volume multiplier to this relative bracket, e.g. 1e-3. [default: hold the volume]",
)
@click.option("--live", type=Count(min=1), help="Keep live.png: the density, drawn every so many iterations.")
@click.option("--page", type=Count(min=1), help="Keep live.html: the program, measured every so many iterations.")
@click.option("--movie", type=click.Choice(["gif", "mp4"]), help="Leave evolution.gif or .mp4: how the design became.")
@backend_option
@click.option("--out", type=click.Path(path_type=Path), help="Run folder. [default: runs/NAME-DATE-TIME]")
@json_option
def run(target: str, backend: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Optimise, and leave pictures, histories, graph and diagrams in a run folder.

    \b
    Examples:
      tograph run mbb
      tograph run mbb --nelx 120 --nely 40 --radius 4.8 --backend torch --out runs/fine
      tograph run path/to/file.py:build --volume 0.4 --json
    """
    from .run_folder import make_folder, new_folder
    from .running import Order, carry_out

    settings = {name: options.pop(name) for name in SETTINGS}
    given = {name: value for name, value in options.items() if value is not None}
    order = Order(target, str(Path.cwd()), given, backend, **settings)
    with sentences(), only_json(as_json):
        order.chosen()
        workflow = order.workflow()
        folder = make_folder(out) if out else new_folder(workflow.file_name, f"{datetime.now():%Y%m%d-%H%M%S}")
        order.save(folder)
        summary = carry_out(order, workflow, folder).summary()
    _report_run(summary, folder, as_json)


@main.command(short_help="Go on with a run that was interrupted.")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--previous", is_flag=True, help="Go on from the checkpoint before the last one.")
@json_option
def resume(folder: Path, previous: bool, as_json: bool) -> None:
    """Go on with a run that was interrupted, from its last checkpoint. The result is that of `run`, to the last bit.

    \b
    Example:
      tograph resume runs/fine
    """
    from .running import Order, carry_out, last_checkpoint

    with sentences(), only_json(as_json):
        order = Order.load(folder)
        checkpoint = last_checkpoint(folder, previous)
        if checkpoint is not None:
            click.echo(f"going on after iteration {checkpoint.position.number}", err=True)
        summary = carry_out(order, order.workflow(), folder, checkpoint).summary()
    _report_run(summary, folder, as_json)


@main.command(short_help="Certify the derivatives on every backend.")
@problem_options
@click.option("--backend", "backends", type=click.Choice(BACKENDS), multiple=True, help="Repeat it. [default: all]")
@click.option("--quick", is_flag=True, help="All vertices at once, and only the first wrong one in full.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as one HTML page, with the diagram.")
@json_option
def check(target: str, backends: tuple[str, ...], quick: bool, html: Path | None, as_json: bool, **given: Any) -> None:
    """Certify the derivatives of a workflow on its backends. Exit code 1 if a check fails.

    \b
    Examples:
      tograph check mbb --nelx 12 --nely 4 --backend jax --backend torch
      tograph check path/to/file.py:build --quick --html check.html
    """
    with sentences(), only_json(as_json):
        workflow = find_workflow(target, given)
        asked = tuple(installed(name) for name in backends) or tuple(name for name in BACKENDS if is_there(name))
        report = tg.check(workflow.graph, backends=asked, quick=quick)
        if html:
            html.write_text(report.to_html(workflow.name, str(workflow.graph.draw())), encoding="utf-8")
        numbers = {"problem": workflow.name, "backends": asked, **report.to_dict()}
    if as_json:
        click.echo(to_json(numbers))
    else:
        click.echo(str(report))
    if not report.passed:
        sys.exit(1)


@main.command(short_help="List the problems.")
@click.option("--suite", type=click.Choice([SUITE]), help="A published suite of tasks instead of the collection.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw supports and loads: a PNG; of a suite, one task of each kind.",
)
@json_option
def problems(suite: str | None, picture: Path | None, as_json: bool) -> None:
    """List the problems of the collection, or those of a suite.

    \b
    Examples:
      tograph problems --json
      tograph problems --suite hoyer116 --picture suite.png
    """
    made = {name: hoyer(name) for name in TASKS} if suite else {name: make() for name, make in PROBLEMS.items()}
    if picture is not None:
        from tograph.runs.gallery import save_gallery

        firsts = {task.category: name for name, task in reversed(TASKS.items())} if suite else dict.fromkeys(made)
        shown = [problem for name, problem in made.items() if name in {*firsts, *firsts.values()}]
        save_gallery([problem for problem in shown if problem.components == 2], suite or "problems", picture)
    if as_json:
        click.echo(to_json([_row(name, problem) for name, problem in made.items()]))
        return
    names, suites = max(map(len, made)), max(len(problem.suite) for problem in made.values())
    for name, problem in made.items():
        size = "x".join(str(n) for n in _size(problem))
        about = f"{problem.suite:{suites}}  {size:9}  V {problem.volume:<8.4g}  {problem.description}"
        click.echo(f"{name:{names}}  {about}")


@contextlib.contextmanager
def only_json(as_json: bool) -> Iterator[None]:
    """With `--json`, what a user's own file prints goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def _report_run(summary: dict[str, Any], folder: Path, as_json: bool) -> None:
    from .run_folder import FILES

    if as_json:
        click.echo(to_json(summary | {"folder": str(folder), "files": FILES}))
    else:
        click.echo(_sentence(summary))
        click.echo(f"{folder}: {', '.join(FILES)}")


def _sentence(summary: dict[str, Any]) -> str:
    value, count = summary["values"][summary["objective"]], summary["iterations"]
    return (
        f"{summary['problem']} on {summary['backend']}: {summary['objective']} {value:.6g} at volume "
        f"{summary['volume']:.6g} after {count} iteration{'s' if count > 1 else ''} and {summary['seconds']:.1f} s "
        f"({summary['why']})"
    )


def _row(name: str, problem: Problem) -> dict[str, Any]:
    return {
        "name": name,
        "suite": problem.suite,
        "size": _size(problem),
        "volume": problem.volume,
        "cases": problem.cases,
        "description": problem.description,
        "reference": dict(problem.reference),
    }


def _size(problem: Problem) -> list[int]:
    grid = problem.grid
    return [n for n in (grid.nelx, grid.nely, grid.nelz) if n]
