"""An explanation: data for programs, and one sentence for people."""

from __future__ import annotations

import attrs

SEVERITIES = ("fine", "note", "warning", "error")
"""How much an answer matters, least first."""


@attrs.frozen
class Answer:
    """Something found in a report or a graph.

    Attributes:
        sentence: one sentence, with names of nodes and lines of their declarations.
        severity: one of `SEVERITIES`.
    """

    sentence: str
    severity: str

    @property
    def rank(self) -> int:
        """Position in `SEVERITIES`."""
        return SEVERITIES.index(self.severity)

    def __str__(self) -> str:
        return self.sentence
