"""Progress of an optimisation on standard error: a bar in a terminal, a few plain lines anywhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tograph.optimizers import Iteration, grey_level

Observer = Callable[[Iteration], None]


@contextlib.contextmanager
def progress(name: str, objective: str, max_iter: int) -> Iterator[Observer]:
    """An observer of iterations that shows objective, volume, change, and how grey the design is."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(objective, max_iter)
        return
    columns = (
        TextColumn(f"[bold]{name}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TextColumn("{task.fields[shown]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=max_iter, shown="compiling")
        yield lambda iteration: bar.update(task, completed=iteration.number, shown=_short(iteration, objective))


def _lines(objective: str, max_iter: int) -> Observer:
    every = max(1, max_iter // 10)

    def observer(iteration: Iteration) -> None:
        if iteration.number == 1 or iteration.number % every == 0:
            click.echo(f"iteration {iteration.number:4d}  {_shown(iteration, objective)}", err=True)

    return observer


def _short(iteration: Iteration, objective: str) -> str:
    """What fits beside a bar in 80 columns."""
    value, volume, grey = iteration.values[objective], iteration.values["volume"], grey_level(iteration.design)
    return f"{objective} {value:.6g} v {volume:.3f} Δ {iteration.change:.3f} grey {grey:.2f}"


def _shown(iteration: Iteration, objective: str) -> str:
    value, volume = float(iteration.values[objective]), float(iteration.values["volume"])
    change, grey = float(iteration.change), grey_level(iteration.design)
    return f"{objective} {value:.6g}  volume {volume:.4f}  change {change:.4f}  grey {grey:.2f}"
