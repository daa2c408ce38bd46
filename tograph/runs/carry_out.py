"""One run of a sweep, from its job to the files in its folder; goes on where an interrupted one stopped."""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from tograph import TographError
from tograph.optimizers import (
    Checkpoint,
    CheckpointError,
    Checkpoints,
    HistoryLines,
    Result,
    grey_level,
    load_checkpoint,
)
from tograph.plain import to_json
from tograph.program import Program

from .job import Job
from .scene import physical_field

DONE, CHECKPOINT, HISTORY, DESIGN, GRAPH = "result.json", "checkpoint", "history.csv", "design.npz", "graph.json"


def carry_out(job: Job, folder: Path, key: str) -> dict[str, Any]:
    """The row of a run in the table of the sweep; computed only if its folder has no finished run.

    What goes wrong while it runs becomes the entry `error` of the row, and is tried again by the next sweep.

    Args:
        job: what to compute.
        folder: of the sweep.
        key: the key that the job had where the sweep was planned.
    """
    try:
        if job.key != key:
            why = "its random numbers may come from elsewhere than a generator of its seed"
            raise TographError(f"the recipe {job.method!r} makes another setup each time: {why}")
        place = folder / job.folder
        return finished(place) or _computed(job, place)
    except TographError as error:
        return about(job) | {"error": str(error)}
    except Exception as error:
        traceback.print_exc()
        return about(job) | {"error": f"{type(error).__name__}: {error}"}


def finished(place: Path) -> dict[str, Any] | None:
    """The row of a finished run; None if there is none in the folder."""
    try:
        row: dict[str, Any] = json.loads((place / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row


def _computed(job: Job, place: Path) -> dict[str, Any]:
    place.mkdir(parents=True, exist_ok=True)
    (place / "job.json").write_text(to_json(job.plain()) + "\n", encoding="utf-8")
    began, work = time.perf_counter(), time.process_time()
    program = job.setup.compile(job.backend)
    observers = [Checkpoints(place / CHECKPOINT), HistoryLines(place / HISTORY)]
    result = _resumed(job, program, place, observers)
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - work}
    (place / GRAPH).write_text(to_json(job.setup.graph.to_dict()) + "\n", encoding="utf-8")
    row = _row(job, result) | spent | _saved_design(job, program, result, place)
    # The result comes last and in one step: a run with one is complete.
    new = place / f"{DONE}.new"
    new.write_text(to_json(row) + "\n", encoding="utf-8")
    os.replace(new, place / DONE)
    (place / f"{CHECKPOINT}.previous").unlink(missing_ok=True)
    return row


def _resumed(job: Job, program: Program, place: Path, observers: list[Any]) -> Result:
    """From the last good checkpoint that is there, else from the start."""
    for name in (CHECKPOINT, f"{CHECKPOINT}.previous"):
        checkpoint = _read(place / name)
        if checkpoint is None:
            continue
        try:
            return job.setup.optimize(program, observers, checkpoint)
        except CheckpointError as error:
            if (place / CHECKPOINT).exists() and "belongs to another run" not in str(error):
                raise
    return job.setup.optimize(program, observers)


def _read(path: Path) -> Checkpoint | None:
    try:
        return load_checkpoint(path)
    except CheckpointError:
        return None


def about(job: Job) -> dict[str, Any]:
    """What a row says about what was run."""
    return {
        "problem": job.problem,
        "method": job.method,
        "parameters": dict(job.parameters),
        "seed": job.seed if job.takes_seed else None,
        "backend": job.backend,
        "folder": job.folder,
    }


def _row(job: Job, result: Result) -> dict[str, Any]:
    """The best design's numbers: what the methods of SciPy end with may be a trial step."""
    return about(job) | {
        "objective": result.best_values[job.setup.minimize],
        "volume": result.best_values.get("volume"),
        "values": dict(result.best_values),
        "iterations": result.iterations,
        "evaluations": result.evaluations,
        "extra_evaluations": result.extra_evaluations,
        "solves": result.solves,
        "converged": result.converged,
        "why": result.why,
        "kkt": result.kkt,
        "error": None,
    }


def _saved_design(job: Job, program: Program, result: Result, place: Path) -> dict[str, Any]:
    """Writes the best design and its physical density; how grey that is."""
    names, best = job.setup.names, result.best_design
    designs = best if len(names) > 1 else {names[0]: best}
    row = result.history[-1]
    inputs = {name: row.get(name, value) for name, value in job.setup.inputs.items()}
    density = physical_field(program, {**inputs, **designs})
    arrays: dict[str, Any] = dict(designs) if len(names) > 1 else {"design": best}
    if density is not None:
        arrays["density"] = density
    with (place / DESIGN).open("wb") as file:
        np.savez_compressed(file, **arrays)
    return {"grey": None if density is None else grey_level(np.clip(density, 0.0, 1.0))}
