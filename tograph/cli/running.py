"""What `run` was asked to do, kept in the run folder, so that `resume` does the same."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click

import tograph as tg
from tograph.draw import LivePage
from tograph.optimizers import Checkpoint, Checkpoints, HistoryLines, load_checkpoint
from tograph.plain import to_json
from tograph.program import Program
from tograph.runs import LivePicture, Movie

from .progress import progress
from .run_folder import Run, write_run
from .user_file import is_user_file
from .workflow import Workflow, find_workflow

ORDER, CHECKPOINT, LINES, TABLE = "run.json", "checkpoint", "history.jsonl", "history.csv"
LIVE, PAGE, MOVIE = "live.png", "live.html", "evolution"


@attrs.frozen
class Order:
    """A run as it was asked for.

    Attributes:
        target: as given on the command line.
        where: the working folder then; a user's own file is looked for from there.
        given: options of the problem and the workflow that were given.
        backend, method, max_iter, tol, bisection, live, page, movie: as on the command line.
    """

    target: str
    where: str
    given: dict[str, Any]
    backend: str
    method: str
    max_iter: int
    tol: float
    bisection: float | None
    live: int | None = None
    page: int | None = None
    movie: str | None = None

    def save(self, folder: Path) -> None:
        """Write it into a run folder."""
        (folder / ORDER).write_text(to_json(attrs.asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Order:
        """Read it back.

        Raises:
            click.UsageError: the folder holds none.
        """
        try:
            return cls(**json.loads((folder / ORDER).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            advice = f"it has no readable {ORDER}. Give a folder that `tograph run` made"
            raise click.UsageError(f"{folder} is not a run folder: {advice}.") from None

    def workflow(self) -> Workflow:
        """The workflow that is asked for, with its start."""
        target = str(Path(self.where) / self.target) if is_user_file(self.target) else self.target
        return find_workflow(target if Path.cwd() != Path(self.where) else self.target, self.given).with_start(
            self.backend
        )

    def pictures(self, folder: Path, workflow: Workflow, program: Program) -> Iterator[Any]:
        """Observers that draw while it runs."""
        if self.live is not None:
            yield LivePicture(folder / LIVE, self.live)
        if self.page is not None:
            yield LivePage(program, folder / PAGE, workflow.objective, workflow.design, every=self.page)
        if self.movie is not None:
            yield Movie(folder / f"{MOVIE}.{self.movie}")

    def chosen(self) -> Any:
        """The method, or its name."""
        if self.bisection is not None and self.method != "oc":
            raise click.UsageError("--bisection belongs to the method oc; leave it out, or take --method oc.")
        return tg.OptimalityCriteria(bracket=self.bisection) if self.method == "oc" else self.method


def carry_out(order: Order, workflow: Workflow, folder: Path, resume: Checkpoint | None = None) -> Run:
    """Optimise, from the start or from a checkpoint, and leave everything in the folder."""
    program = workflow.graph.compile(order.backend)
    result = _optimise(order, workflow, program, folder, resume)
    settings = {"method": order.method, "max_iter": order.max_iter, "tol": order.tol, "bisection": order.bisection}
    finished = Run(order.target, workflow, program, result, order.given | settings | {"volume": workflow.volume})
    click.echo("writing pictures and diagrams", err=True)
    write_run(finished, folder)
    # A run that is over needs one checkpoint only.
    (folder / f"{CHECKPOINT}.previous").unlink(missing_ok=True)
    return finished


def last_checkpoint(folder: Path, previous: bool) -> Checkpoint | None:
    """Where to go on; None if the run was interrupted before its first checkpoint.

    Raises:
        CheckpointError: it is damaged.
    """
    path = folder / (f"{CHECKPOINT}.previous" if previous else CHECKPOINT)
    if not previous and not path.exists() and not (folder / f"{CHECKPOINT}.previous").exists():
        return None
    return load_checkpoint(path)


def _optimise(order: Order, workflow: Workflow, program: Program, folder: Path, resume: Checkpoint | None) -> tg.Result:
    """Run the design loop. What goes wrong after the first iteration is not the fault of the arguments."""
    done: list[int] = []
    with progress(workflow.name, workflow.objective, order.max_iter) as shown, _later_errors(done):
        return tg.optimize(
            program,
            workflow.start,
            minimize=workflow.objective,
            subject_to=[tg.Constraint("volume", "<=", workflow.volume or 0.0)],
            design=workflow.design,
            method=order.chosen(),
            max_iter=order.max_iter,
            tol=order.tol,
            observers=[
                Checkpoints(folder / CHECKPOINT),
                HistoryLines(folder / LINES),
                HistoryLines(folder / TABLE),
                *order.pictures(folder, workflow, program),
                shown,
                lambda iteration: done.append(iteration.number),
            ],
            resume=resume,
        )


@contextlib.contextmanager
def _later_errors(done: list[int]) -> Iterator[None]:
    try:
        yield
    except tg.TographError as error:
        if done and not isinstance(error, tg.SolveError):
            raise click.ClickException(str(error)) from error
        raise
