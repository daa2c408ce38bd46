"""Problems x methods x parameters x seeds: every run once, its results in a folder, a table and pictures at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import attrs

from tograph.errors import TographError
from tograph.plain import to_json

from .carry_out import about, carry_out, finished
from .cluster import rows_on_cluster
from .job import Job, grid_of
from .processes import LOG, Ready, rows_of
from .sweep_figures import save_sweep_figures
from .table import csv_of, summary_of, text_of

Report = Callable[[int, int, Mapping[str, Any]], None]
LOST = (
    f"its workers were lost (killed, or out of memory); see {LOG} in the folder of the sweep, or the log of the cluster"
)


@attrs.frozen(eq=False)
class Sweep:
    """What a sweep gives.

    Attributes:
        folder: of the sweep; every run has a folder in it.
        rows: one per run, in the order in which they were asked for.
        computed: how many of them were computed now; the others were there.
    """

    folder: Path
    rows: tuple[dict[str, Any], ...]
    computed: int

    def table(self) -> str:
        """One line per run, and a summary by method."""
        return text_of(self.rows)

    def summary(self) -> list[dict[str, Any]]:
        """How the methods compare over the problems; see `tograph.runs.table.summary_of`."""
        return summary_of(self.rows)

    def save(self) -> None:
        """Write `table.csv`, `table.json`, `table.txt` and the pictures into the folder."""
        (self.folder / "table.csv").write_text(csv_of(self.rows), encoding="utf-8")
        data = {"rows": list(self.rows), "summary": self.summary()}
        (self.folder / "table.json").write_text(to_json(data) + "\n", encoding="utf-8")
        (self.folder / "table.txt").write_text(self.table() + "\n", encoding="utf-8")
        save_sweep_figures(self.rows, self.folder)


def sweep(
    problems: Sequence[str],
    methods: Sequence[str],
    *,
    folder: str | os.PathLike[str],
    parameters: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0,),
    backend: str = "jax",
    files: Sequence[str | os.PathLike[str]] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    retries: int = 2,
    report: Report | None = None,
) -> Sweep:
    """Run every combination, and leave the table and the pictures in the folder.

    A run that is finished in the folder is read, not computed; one that was interrupted goes on from its checkpoint.

    Args:
        problems, methods: names of `tograph.problems.PROBLEMS` or the suite of 116 tasks; of `tograph.runs.RECIPES`.
        folder: where the results go; made if need be.
        parameters: of problems and recipes by name; a list of values is a choice. "mma.move" is for "mma" alone.
        seeds: for the recipes that take a seed; the others run once.
        backend: "jax" or "torch".
        files: Python files that register recipes or problems; loaded here and in every worker.
        workers: how many processes; by default one per core. 0: all in this process, one after the other.
        scheduler: address of a Dask scheduler, whose workers compute instead.
        retries: how often a run that lost its worker is given to another one.
        report: called with (how many are ready, how many there are, the row) for every run, finished ones included.

    Raises:
        TographError: whatever is wrong with the combinations, all of it, before anything runs.
    """
    paths = tuple(str(Path(file).resolve()) for file in files)
    jobs = planned(problems, methods, parameters or {}, seeds, backend, paths)
    place = Path(folder).resolve()
    place.mkdir(parents=True, exist_ok=True)
    rows, computed = _all_rows(jobs, place, lambda left: _computed(left, place, workers, scheduler, retries), report)
    (made := Sweep(Path(folder), rows, computed)).save()
    return made


def _all_rows(
    jobs: Sequence[Job], place: Path, compute: Callable[[Sequence[Job]], Iterator[Ready]], report: Report | None
) -> tuple[tuple[dict[str, Any], ...], int]:
    """The rows in the order of the jobs, and how many of them were computed."""
    labels = _labels(jobs)
    rows = {job.key: row for job in jobs if (row := finished(place / job.folder)) is not None}
    left = [job for job in jobs if job.key not in rows]
    there = [(job, rows[job.key]) for job in jobs if job.key in rows]
    for ready, (job, row) in enumerate(chain(there, compute(left)), 1):
        rows[job.key] = labels[job.key] | (row or about(job) | {"error": LOST})
        if report is not None:
            report(ready, len(jobs), rows[job.key])
    return tuple(rows[job.key] for job in jobs), len(left)


def _labels(jobs: Sequence[Job]) -> dict[str, dict[str, str]]:
    """The labels of every job, with the parameters that are not the same in all of them."""
    values: dict[str, set[str]] = {}
    for job in jobs:
        for name, value in job.parameters.items():
            values.setdefault(name, set()).add(repr(value))
    vary = {name for name, several in values.items() if len(several) > 1}
    return {job.key: job.labels(vary) for job in jobs}


def planned(
    problems: Sequence[str],
    methods: Sequence[str],
    parameters: Mapping[str, Any],
    seeds: Sequence[int],
    backend: str,
    files: Sequence[str] = (),
) -> list[Job]:
    """Every combination, each once.

    Raises:
        TographError: whatever is wrong with them, all at once.
    """
    found: dict[str, Job] = {}
    wrong: dict[str, None] = {}
    for name in parameters:
        owner, dot, _ = name.rpartition(".")
        if dot and owner not in methods:
            wrong[f"the parameter {name!r} is for {owner!r}, which is not among the methods"] = None
    for problem in problems:
        for method in methods:
            for chosen in grid_of(parameters, method):
                for seed in seeds:
                    try:
                        job = Job(problem, method, chosen, seed, backend, tuple(files))
                        job = job if job.takes_seed else attrs.evolve(job, seed=0)
                        found[job.key] = job
                    except TographError as error:
                        wrong[str(error)] = None
    if wrong:
        raise TographError("\n".join(["this sweep cannot be run:", *(f"- {sentence}" for sentence in wrong)]))
    if not found:
        raise TographError("there is nothing to run: give at least one problem, one method and one seed")
    return list(found.values())


def _computed(
    jobs: Sequence[Job], place: Path, workers: int | None, scheduler: str | None, retries: int
) -> Iterator[Ready]:
    if not jobs:
        return iter(())
    if scheduler is not None:
        return rows_on_cluster(jobs, place, scheduler, retries)
    if workers == 0:
        return ((job, carry_out(job, place, job.key)) for job in jobs)
    return rows_of(jobs, place, workers or cores(), retries)


def cores() -> int:
    """How many cores this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable is not None else os.cpu_count() or 1
