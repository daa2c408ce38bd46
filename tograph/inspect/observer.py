"""Reports during an optimisation: how the gradient looks every so many iterations."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from ..errors import TographError
from ..optimizers.result import Iteration
from .function import Inspection
from .report import GradientReport


class GradientReports:
    """An observer of `tg.optimize`: inspects the objective at the first design and at every `every`-th.

        watch = GradientReports(every=10, file="gradient.jsonl")
        tg.optimize(program, start, minimize="compliance", observers=[watch], ...)
        print(watch.reports[20].summary())

    Each report is one more value and gradient. Designs that a run refuses because something is not finite never
    reach an observer: call `program.inspect` at that design.

    Args:
        every: in iterations, 1 or more.
        file: JSON lines, one for each report: iteration, severity and sentence of the summary, and the norms of the
            derivatives by name of the declared node; None for what is not finite.

    Attributes:
        reports: iteration -> its report. They hold numbers, not fields.

    Raises:
        TographError: `every` is below 1.
    """

    def __init__(self, every: int = 10, file: str | os.PathLike[str] | None = None) -> None:
        if every < 1:
            raise TographError(f"every is {every}: a report is made every 1 or more iterations")
        self.every, self.file = every, None if file is None else Path(file)
        self.reports: dict[int, GradientReport] = {}
        self._inspection: Inspection | None = None

    def __call__(self, iteration: Iteration) -> None:
        """Inspect, if it is time to."""
        if iteration.number != 1 and iteration.number % self.every:
            return
        problem = iteration.problem
        assert problem is not None
        if self._inspection is None:
            self._inspection = problem.program.inspect(problem.minimize, problem.variables.names)
        given = dict(problem.inputs) | dict(iteration.inputs) | problem.variables.split(iteration.design)
        report = self._inspection(**given)
        first = not self.reports
        self.reports[iteration.number] = report
        if self.file is not None:
            with self.file.open("w" if first else "a", encoding="utf-8") as lines:
                lines.write(json.dumps(_row(iteration.number, report)) + "\n")


def _row(number: int, report: GradientReport) -> dict[str, Any]:
    summary, names = report.summary(), {i: name for name, i in report.heads.items()}
    norms = {names[step]: report.norm(ct) for step, _, ct in report.states() if step in names}
    plain = {name: norm if math.isfinite(norm) else None for name, norm in norms.items()}
    return {"iteration": number, "severity": summary.severity, "sentence": summary.sentence, "derivatives": plain}
