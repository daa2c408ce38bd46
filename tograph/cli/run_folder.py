"""What `tograph run` leaves behind: pictures, histories, the graph, its diagrams, the design, and the numbers."""

from __future__ import annotations

import csv
import platform
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np

import tograph as tg
from tograph.draw import draw
from tograph.plain import to_json
from tograph.program import Program
from tograph.runs.figures import convergence_figure, density_figure, save
from tograph.runs.report import write_report
from tograph.runs.scene import physical_density, scene_of

from .workflow import Workflow

FILES = (
    "density.png",
    "convergence.png",
    "history.csv",
    "history.json",
    "history.jsonl",
    "graph.json",
    "forward.svg",
    "forward.png",
    "reverse.svg",
    "reverse.png",
    "design.npz",
    "result.json",
    "run.json",
    "checkpoint",
    "problem.png",
    "report.html",
)


@attrs.frozen(eq=False)
class Run:
    """A finished optimisation: what was run, how, and its result."""

    target: str
    workflow: Workflow
    program: Program
    result: tg.Result
    options: Mapping[str, Any]

    def summary(self) -> dict[str, Any]:
        """The numbers that `--json` prints. Values are those of the last analysed design."""
        values = dict(self.result.values)
        return {
            "problem": self.workflow.name,
            "backend": self.program.backend.name,
            "dtype": self.program.dtype,
            "iterations": self.result.iterations,
            "converged": self.result.converged,
            "why": self.result.why,
            "method": self.result.method,
            "kkt": self.result.kkt,
            "objective": self.workflow.objective,
            "compliance": values.get("compliance"),
            "volume": values.get("volume"),
            "values": values,
            "seconds": self.result.seconds,
            "graph": self.workflow.graph.hash,
        }


def make_folder(path: Path) -> Path:
    """The folder, made and found writable, before any work is done for it.

    Raises:
        click.BadParameter: it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise click.BadParameter(
            f"cannot write to the folder {path}: {error.strerror}.", param_hint="'--out'"
        ) from None
    return path


def new_folder(name: str, moment: str) -> Path:
    """`runs/<name>-<moment>`, with a number behind it where that is taken."""
    path, i = Path("runs", f"{name}-{moment}"), 1
    while path.exists():
        i += 1
        path = Path("runs", f"{name}-{moment}-{i}")
    return make_folder(path)


def write_run(run: Run, folder: Path) -> None:
    """Write `FILES`; those that are there already are replaced."""
    workflow, history = run.workflow, run.result.history
    design = np.asarray(run.result.design)
    density = physical_density(run.program, workflow.design, design)
    np.savez_compressed(folder / "design.npz", design=design, density=density)
    title = _title(run)
    save(density_figure(density, scene_of(workflow.graph), title), folder / "density.png")
    save(convergence_figure(history, workflow.objective, title, run.options["tol"]), folder / "convergence.png")
    _write_csv(folder / "history.csv", history)
    _write_json(folder / "history.json", history)
    _write_json(folder / "graph.json", workflow.graph.to_dict())
    differentiated = run.program.value_and_grad((workflow.objective, "volume"), workflow.design)
    for name, drawing in (("forward", draw(workflow.graph)), ("reverse", draw(differentiated))):
        for ending in ("svg", "png"):
            drawing.save(folder / f"{name}.{ending}")
    about = {"target": run.target, "options": dict(run.options), "versions": _versions(run.program.backend.name)}
    _write_json(folder / "result.json", run.summary() | about)
    write_report(folder)


def _title(run: Run) -> str:
    result, objective = run.result, run.workflow.objective
    return (
        f"{run.workflow.name}: {objective} {float(result.values[objective]):.6g}, "
        f"volume {float(result.values['volume']):.4g}, {result.iterations} iterations"
    )


def _versions(backend: str) -> dict[str, str]:
    """Of Python, of tograph, and of what computed; the other framework had no part in it."""
    about = {"tograph": tg.__version__, "python": platform.python_version(), "platform": sys.platform}
    return about | {name: version(name) for name in ("numpy", "scipy", backend)}


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    columns: Iterable[str] = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)


def _write_json(path: Path, data: Any) -> None:
    path.write_text(to_json(data) + "\n", encoding="utf-8")
