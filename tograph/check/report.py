"""What a check found: one row per node, port, test and backend."""

from __future__ import annotations

import math
from typing import Any

import attrs

from .html import to_html

VERDICTS = ("pass", "no path", "not checked", "inexact", "inconclusive", "fail")
"""Only "fail" is a failure.

no path       the output does not depend on this input, or every path is detached: `note` says which
not checked   nothing could be measured: `note` says why
inexact       a rule that is a heuristic by design does what heuristics do: it differs from the derivative
inconclusive  the difference is no larger than the rounding noise measured at this point
"""

SLOPES = ("change", "taylor", "curvature")
"""The tests whose value is a slope, which must not be too small; all other values are errors."""


@attrs.frozen
class Row:
    """One test of one derivative (or value) on one backend.

    Attributes:
        node: the vertex, named as in the diagram, or the output of the whole graph in quotes.
        port: the input through which it was differentiated; "" for a test of the value. `K.E` is the
            input E of a vertex K that hands something other than an array (an operator) to `node`.
        test: "value", "gradient", "linear jvp", "linear vjp", "dot product", "change", "taylor", "difference",
            "curvature", "degenerate", "pure", "float32", "vmap", "jit vmap", or "run" for what raised an exception.
        backend: where it ran; "jax/torch" for a comparison.
        verdict: one of `VERDICTS`.
        value: the measured relative error, or for `SLOPES` the slope (inf where the remainder is
            rounding only).
        limit: the largest error allowed, or the smallest slope.
        note: what to know about it.
    """

    node: str
    port: str
    test: str
    backend: str
    verdict: str
    value: float
    limit: float
    note: str = ""

    @property
    def severity(self) -> float:
        """How many times worse than allowed."""
        if not math.isfinite(self.value):
            return math.inf
        low = self.test in SLOPES
        return self.limit / max(self.value, 1e-3) if low else self.value / max(self.limit, 1e-300)

    def cells(self) -> tuple[str, ...]:
        """The row as shown in the table."""
        sign = ">=" if self.test in SLOPES else "<="
        numbers = (f"{self.value:.2g}", f"{sign} {self.limit:.2g}") if self.limit else ("", "")
        return (self.verdict, self.node, self.port, self.test, self.backend, *numbers, self.note)


@attrs.frozen
class Report:
    """The outcome of `check`. `str(report)` is a table with the failing rows last, the worst at the very end.

    Attributes:
        rows: in the order of the graph.
        runs: how often a program was run.
    """

    rows: tuple[Row, ...]
    runs: int = 0

    @property
    def passed(self) -> bool:
        """Whether no row failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Row, ...]:
        """The failing rows in the order of the graph."""
        return tuple(row for row in self.rows if row.verdict == "fail")

    @property
    def first_wrong(self) -> str | None:
        """The first node, in the order of the graph, with a failing row."""
        return self.failed[0].node if self.failed else None

    def counts(self) -> dict[str, int]:
        """How many rows of each verdict there are."""
        found = {verdict: sum(row.verdict == verdict for row in self.rows) for verdict in VERDICTS}
        return {verdict: count for verdict, count in found.items() if count}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: `passed`, `first_wrong`, `counts`, `runs`, `rows`; what is not finite becomes None."""
        rows = [attrs.asdict(row) for row in self.rows]
        for row in rows:
            row["value"] = row["value"] if math.isfinite(row["value"]) else None
        head = {"passed": self.passed, "first_wrong": self.first_wrong, "counts": self.counts(), "runs": self.runs}
        return {**head, "rows": rows}

    def to_html(self, title: str = "tograph check", picture: str = "") -> str:
        """One page that needs nothing outside of it: outcome, failing rows, the graph (an SVG), all rows."""
        return to_html(self, title, picture)

    def __str__(self) -> str:
        order = sorted(self.rows, key=lambda row: (VERDICTS.index(row.verdict), row.severity * (row.verdict == "fail")))
        head = ("verdict", "node", "port", "test", "backend", "value", "limit", "note")
        table = [head, *(row.cells() for row in order)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(head))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip() for cells in table]
        total = ", ".join(f"{count} {verdict}" for verdict, count in self.counts().items())
        return "\n".join([*lines, f"{'passed' if self.passed else 'FAILED'}: {total or 'nothing to check'}"])
