"""Observers of a run that write no pictures: its history, line by line. See also `checkpoint`."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

from .result import Iteration


class HistoryLines:
    """An observer that writes the history as it grows: JSON lines, or CSV if the name ends in `.csv`.

    A run that goes on from a checkpoint begins the file anew with the rows of the checkpoint, so that no row is there
    twice. What is not finite is null in JSON.

    Args:
        path: the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._columns: list[str] = []

    def __call__(self, iteration: Iteration) -> None:
        """Append the row of an iteration."""
        first = not self._columns
        rows = [iteration.row()]
        if first:
            rows = list(iteration.position.history) if iteration.position is not None else rows
            self._columns = list(dict.fromkeys(name for row in rows for name in row))
        with self.path.open("w" if first else "a", newline="", encoding="utf-8") as file:
            if self.path.suffix == ".csv":
                writer = csv.DictWriter(file, self._columns, extrasaction="ignore")
                if first:
                    writer.writeheader()
                writer.writerows(rows)
            else:
                file.writelines(json.dumps({name: _plain(row[name]) for name in row}) + "\n" for row in rows)


def grey_level(values: Any) -> float:
    """M_nd = 4 mean(rho (1 - rho)): 0 for black and white, 1 for all grey; dimensionless.

    `values` are densities in [0, 1], of any shape. O. Sigmund, Struct. Multidisc. Optim. 33 (2007) 401-424, eq. 42.
    """
    return float((4.0 * values * (1.0 - values)).mean())


def _plain(value: Any) -> Any:
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number
