"""What can go wrong, and how it is said: what, where it was declared, what to do."""

from __future__ import annotations

import dis
import difflib
import os
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from types import CodeType, FrameType

import attrs


class TographError(Exception):
    """Base of every error that tograph raises on purpose."""


class RuleError(TographError):
    """A derivative or implementation rule is missing, registered twice, or malformed."""


class SolveError(TographError):
    """A linear solve did not give an answer that may be used."""


class SpecError(TographError):
    """Raised by `Node.infer`: these inputs do not fit together. `Graph.validate` collects it."""

    def __init__(self, message: str, *, port: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message, self.port, self.fix = message, port, fix


@attrs.frozen
class Location:
    """The line of the user's program that declared something."""

    file: str = "<unknown>"
    line: int = 0

    def __str__(self) -> str:
        relative = os.path.relpath(self.file) if os.path.isabs(self.file) else self.file
        return f"{self.file if relative.startswith('..') else relative}:{self.line}"


@attrs.frozen
class Finding:
    """One thing wrong with a graph, in the words shown to the user."""

    message: str
    node: str = ""
    port: str = ""
    where: Location | None = None
    fix: str = ""

    def __str__(self) -> str:
        subject = ".".join(part for part in (self.node, self.port) if part)
        at = f" (declared at {self.where})" if self.where else ""
        return f"{subject + ': ' if subject else ''}{self.message}{at}{'. ' + self.fix if self.fix else ''}"


class GraphError(TographError):
    """A graph that cannot be built or compiled. All findings are listed, not only the first."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        lines = [f"{i}. {finding}" for i, finding in enumerate(self.findings, 1)]
        count = f"{len(lines)} problem{'s' if len(lines) != 1 else ''}"
        super().__init__("\n".join([f"The graph has {count}:", *lines]))


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A closing sentence that suggests the nearest known names."""
    known = sorted(options)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(known)}" if known else ""


def declared_here() -> tuple[Location, str]:
    """Where the user's program is now, and the variable it is about to assign ("" if none)."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    if frame is None:
        return Location(), ""
    name = _assigned_names(frame.f_code).get(frame.f_lasti, "")
    return Location(frame.f_code.co_filename, frame.f_lineno), name


def _is_ours(module: str) -> bool:
    """The language and the vocabulary are ours; problems and user files declare with them."""
    inside = module == "tograph" or module.startswith("tograph.")
    return inside and not module.startswith("tograph.problems")


@lru_cache(maxsize=512)
def _assigned_names(code: CodeType) -> dict[int, str]:
    """{offset of a call: name it is stored in}, so that `rho_f = Filter()(rho)` is drawn as rho_f."""
    names: dict[int, str] = {}
    call = -1
    for op in dis.get_instructions(code):
        if call >= 0 and op.opname.startswith("STORE_") and op.opname != "STORE_SUBSCR":
            names[call] = str(op.argval)
        if op.opname not in ("CACHE", "EXTENDED_ARG"):
            call = op.offset if op.opname.startswith(("CALL", "BINARY_OP", "UNARY")) else -1
    return names
