"""The first wrong vertex, in a number of runs that grows with the logarithm of the number of vertices at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import attrs
import numpy as np

from .cases import Case
from .examine import examine, portable
from .judge import PARITY, sentence
from .measure import deviation
from .report import Row
from .subject import Runs
from .together import Together

T = TypeVar("T")


def search(cases: Sequence[Case], backends: Sequence[str], seed: int, runs: Runs) -> list[Row]:
    """All cases side by side; then each that does not pass there in full, up to the first that is wrong."""
    known = [case for case in cases if portable(case)]
    values = _by_halves(known, lambda some: Together(some, "numpy", seed, runs).ys())
    reference = dict(zip(known, values, strict=True))
    found = {b: _by_halves(cases, partial(_results, b, seed, runs)) for b in backends}
    rows: list[Row] = []
    wrong = ""
    for i, case in enumerate(cases):
        seen = [row for b in backends for row in _rows(case, b, found[b][i], reference.get(case))]
        if any(row.verdict != "pass" for row in seen) and not wrong:
            seen = list(examine(case, backends, seed, runs))
            wrong = case.node if any(row.verdict == "fail" for row in seen) else ""
        elif wrong:
            seen = [_after(row, wrong) for row in seen]
        rows += seen
    return rows


def _results(backend: str, seed: int, runs: Runs, cases: Sequence[Case]) -> list[tuple[np.ndarray, list[Row]]]:
    return Together(cases, backend, seed, runs).results()


def _by_halves(cases: Sequence[Case], work: Callable[[Sequence[Case]], list[T]]) -> list[T | Exception]:
    """The results of all cases; where one raises an exception, halves of them are tried until it stands alone."""
    if not cases:
        return []
    try:
        return [*work(cases)]
    except Exception as error:  # whatever a user's rule raises is a finding, not the end of the search
        if len(cases) == 1:
            return [error]
    half = len(cases) // 2
    return _by_halves(cases[:half], work) + _by_halves(cases[half:], work)


def _rows(case: Case, backend: str, found: Any, reference: Any) -> list[Row]:
    for error in (found, reference):
        if isinstance(error, Exception):
            return [Row(case.node, "", "run", backend, "fail", np.inf, 0.0, sentence(error))]
    y, rows = found
    if reference is None:
        return rows
    error = deviation(y, reference)
    return [
        Row(case.node, "", "value", f"{backend}/numpy", "pass" if error <= PARITY else "fail", error, PARITY),
        *rows,
    ]


def _after(row: Row, wrong: str) -> Row:
    """What looks wrong behind the first wrong vertex was not examined, and need not be wrong."""
    if row.verdict == "pass":
        return row
    return attrs.evolve(row, verdict="not checked", note=f"not as expected; check again when {wrong} is right")
