"""What can go wrong, and how it is said: what, where it was declared, what to do."""

from __future__ import annotations

import difflib
import dis
import os
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import PurePath
from types import CodeType, FrameType

import attrs


class TographError(Exception):
    """Base of every error that tograph raises on purpose."""


class RuleError(TographError):
    """A derivative or implementation rule is missing, registered twice, or malformed."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(f"{message}. {fix}" if fix else message)
        self.message, self.fix = message, fix
        self.node, self.port = "", ""
        self.where: Location | None = None


class SolveError(TographError):
    """A solve did not give an answer that may be used.

    Attributes:
        status: "singular", "not positive definite", "non-finite input", "iteration limit", "breakdown",
            "inaccurate", "overflow", or "failed" where the solver did not say which.
    """

    def __init__(self, message: str, status: str = "failed") -> None:
        super().__init__(message)
        self.status = status


class SolveWarning(RuntimeWarning):
    """The same, in a program that is compiled to go on (`on_failure="warn"`)."""


class HostError(TographError):
    """A function that runs on the host raised an exception (chained) or returned something that cannot be used."""


class SpecError(TographError):
    """Raised by `Node.infer`: these inputs do not fit together. `Graph.validate` collects it."""

    def __init__(self, message: str, *, port: str = "", fix: str = "") -> None:
        super().__init__(f"{message}. {fix}" if fix else message)
        self.message, self.port, self.fix = message, port, fix


@attrs.frozen
class Location:
    """The line of the user's program that declared something."""

    file: str = "<unknown>"
    line: int = 0

    def __str__(self) -> str:
        relative = os.path.relpath(self.file) if os.path.isabs(self.file) else self.file
        return f"{self.file if relative.startswith('..') else relative}:{self.line}"

    @property
    def brief(self) -> str:
        """Folder, file and line, e.g. `problems/workflow.py:64`: for diagrams, where space is short."""
        return f"{'/'.join(PurePath(self.file).parts[-2:])}:{self.line}"


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


def did_you_mean(word: object, options: Iterable[str], most: int = 12) -> str:
    """A closing sentence that suggests the nearest known name, or lists up to `most` of them."""
    known = sorted(options)
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return f"Known: {', '.join(known[:most])}{more}" if known else ""


def a(word: str) -> str:
    """The word with its indefinite article."""
    return f"{'an' if word[:1].lower() in 'aeio' else 'a'} {word}"


def declared_here() -> tuple[Location, str]:
    """Where the user's program is now, and the variable it is about to assign ("" if none)."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    if frame is None:
        return Location(), ""
    name = _assigned_names(frame.f_code).get(frame.f_lasti, "")
    return Location(frame.f_code.co_filename, frame.f_lineno), name


def _is_ours(frame: FrameType) -> bool:
    """The language, the vocabulary and what attrs wrote for them; problems and user files declare with them."""
    module = str(frame.f_globals.get("__name__", ""))
    inside = module == "tograph" or module.startswith(("tograph.", "attr."))
    generated = frame.f_code.co_filename.startswith("<attrs generated")
    return generated or (inside and not module.startswith("tograph.problems"))


@lru_cache(maxsize=512)
def _assigned_names(code: CodeType) -> dict[int, str]:
    """{offset of a call: name it is stored in}, so that `rho_f = Filter()(rho)` is drawn as rho_f."""
    names: dict[int, str] = {}
    call, loaded = -1, False
    for op in dis.get_instructions(code):
        if call >= 0 and op.opname.startswith("LOAD_"):
            loaded = True  # `self.rho_f = Filter()(rho)` loads self between the call and the store
            continue
        stores = op.opname == "STORE_ATTR" if loaded else op.opname.startswith("STORE_")
        if call >= 0 and stores and op.opname != "STORE_SUBSCR":
            # Since Python 3.13 one instruction may store one variable and load or store another: the first is ours.
            name = str(op.argval[0] if isinstance(op.argval, tuple) else op.argval)
            # A frame that called a Python function stands on the call's cache, not on the call.
            names.update(dict.fromkeys(range(call, op.offset, 2), name))
        if op.opname not in ("CACHE", "EXTENDED_ARG"):
            call = op.offset if op.opname.startswith(("CALL", "BINARY_OP", "UNARY")) else -1
            loaded = False
    return names
