"""A page that follows an optimisation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..program import Program
from .drawing import draw


class LivePage:
    """An observer that measures the program at the design of every k-th iteration and writes all of it to one page.

    The page is replaced in one piece: reload it in the browser whenever you like. Its slider has the iterations.

    Args:
        program: what is optimised.
        path: the HTML file.
        of: the output whose gradient is looked at.
        wrt: the design.
        every: iterations from one measurement to the next.
        keep: so many are kept at most; then every other one is dropped, and half as many are made from there on.
    """

    def __init__(
        self, program: Program, path: str | Path, of: str, wrt: str, *, every: int = 10, keep: int = 16
    ) -> None:
        self.path, self.wrt, self.every, self.keep = Path(path), wrt, every, keep
        self.inspect = program.inspect(of, wrt, keep="fields")
        self.reports: dict[str, Any] = {}

    def __call__(self, iteration: Any) -> None:
        """Measure and write, if it is the turn of this iteration."""
        if (iteration.number - 1) % self.every:
            return
        self.reports[str(iteration.number)] = self.inspect(**{**iteration.inputs, self.wrt: iteration.design})
        if len(self.reports) > self.keep:
            self.reports = dict(list(self.reports.items())[::2])
            self.every *= 2
        beside = self.path.with_suffix(".part")
        draw(list(self.reports.values()), beside, labels=tuple(self.reports), format="html")
        os.replace(beside, self.path)
