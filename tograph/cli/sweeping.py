"""`tograph sweep`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tograph.plain import to_json
from tograph.problems import SUITE, TASKS

from .commands import main, only_json
from .options import Count, backend_option, json_option, sentences


@main.command(short_help="Run problems x methods x parameters x seeds; resumable.")
@click.argument("problems", metavar="[PROBLEM]...", nargs=-1)
@click.option("--suite", type=click.Choice([SUITE]), help="All tasks of a published suite, besides the problems named.")
@click.option("--methods", default="oc,mma", show_default=True, help="Names of recipes, separated by commas.")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE[,VALUE]...",
    multiple=True,
    help="A parameter of the problems or the methods; several values are a choice. METHOD.NAME is for one method.",
)
@click.option("--seeds", default="0", show_default=True, help="For methods that take a seed, separated by commas.")
@click.option(
    "--load",
    "files",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    help="A Python file that registers methods or problems.",
)
@backend_option
@click.option("--workers", type=Count(min=0), help="Processes; 0 for none besides this one. [default: one per core]")
@click.option("--scheduler", metavar="ADDRESS", help="Compute on the cluster of a Dask scheduler instead.")
@click.option("--retries", type=Count(min=0), default=2, show_default=True, help="For a run that lost its worker.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs", "sweep"), show_default=True
)
@json_option
def sweep(problems: tuple[str, ...], suite: str | None, as_json: bool, out: Path, **given: Any) -> None:
    """Run problems x methods x parameters x seeds; leave a table and pictures in a folder.

    What is finished in the folder is not computed again; what was interrupted goes on.

    \b
    Examples:
      tograph sweep mbb cantilever --methods oc,mma --set radius=1.5,2.4
      tograph sweep --suite hoyer116 --methods pixel-lbfgs,mma,oc --backend torch --out runs/hoyer
    """
    from tograph.runs import sweep as carry_out

    names = [*problems, *(TASKS if suite else ())]
    with sentences(), only_json(as_json), _progress() as report:
        made = carry_out(
            names,
            _listed(given["methods"]),
            folder=out,
            parameters=dict(_setting(text) for text in given["settings"]),
            seeds=[_seed(text) for text in _listed(given["seeds"])],
            backend=given["backend"],
            files=given["files"],
            workers=given["workers"],
            scheduler=given["scheduler"],
            retries=given["retries"],
            report=report,
        )
    if as_json:
        about = {"folder": str(out), "computed": made.computed, "runs": list(made.rows), "summary": made.summary()}
        click.echo(to_json(about))
    else:
        click.echo(made.table())
        click.echo(
            f"\n{out}: table.csv, table.json, table.txt, pictures; {made.computed} of {len(made.rows)} runs computed"
        )
    if any(row["error"] for row in made.rows):
        raise SystemExit(1)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a whole number.", param_hint="'--seeds'") from None


def _setting(text: str) -> tuple[str, list[Any]]:
    """A name and its values: JSON where that can be read, else text."""
    name, sign, values = text.partition("=")
    if not sign or not name or not values:
        raise click.BadParameter(f"{text!r} does not read NAME=VALUE or NAME=VALUE,VALUE.", param_hint="'--set'")
    return name.strip(), [_value(value) for value in _listed(values)]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int, Any], None]]:
    """A bar in a terminal, a line per run anywhere else."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda ready, count, row: click.echo(f"{ready}/{count}  {_shown(row)}", err=True)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[shown]}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("sweep", total=None, shown="")
        yield lambda ready, count, row: bar.update(task, total=count, completed=ready, shown=_shown(row))


def _shown(row: Any) -> str:
    what = f"failed: {row['error']}" if row["error"] else f"{row['objective']:.5g} in {row['seconds']:.1f} s"
    return f"{row['case']}  {row['variant']}  {what}"
