"""A user's own workflow: `path/to/file.py:function`. The file is imported, as `python file.py` would read it."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from tograph.errors import GraphError, Location, did_you_mean
from tograph.loading import load_file

from .options import PROBLEM_OPTIONS, WORKFLOW_OPTIONS


def is_user_file(target: str) -> bool:
    """Whether a target names a file rather than a problem."""
    return ":" in target or target.endswith(".py") or "/" in target or "\\" in target


def call_user_function(target: str, options: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """What the function returns, and which options it takes: those that are parameters of it.

    Raises:
        click.UsageError: no such file or function, or the user's code raised; names the line of it.
    """
    path, function = _find(target)
    known = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in known.values())
    takes = [name for name in (*PROBLEM_OPTIONS, *WORKFLOW_OPTIONS) if name in known or takes_all]
    given = {name: options[name] for name in takes if name in options}
    needed = [
        name
        for name, p in known.items()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and name not in given
    ]
    if needed:
        raise click.UsageError(
            f"{target} needs a value for {', '.join(map(repr, needed))}. Give every parameter a default; "
            "those named like an option (nelx, volume, ...) take its value."
        )
    return _guarded(path, target, lambda: function(**given)), takes


def _find(target: str) -> tuple[Path, Callable[..., Any]]:
    file, colon, name = target.rpartition(":")
    if not colon or not name:
        file = target.rstrip(":")
        raise click.UsageError(f"{target!r} names a file but no function. Write {file}:build for its function `build`.")
    path = Path(file)
    if not path.is_file():
        raise click.UsageError(f"there is no file {file!r}.")
    if path.suffix != ".py":
        raise click.UsageError(f"{file!r} is not a Python file: its name must end in .py.")
    module = _guarded(path, file, lambda: _import(path))
    functions = {k for k, v in vars(module).items() if inspect.isfunction(v) and v.__module__ == module.__name__}
    function = getattr(module, name, None)
    if function is None:
        raise click.UsageError(f"{file} has no function {name!r}. {did_you_mean(name, functions)}".rstrip())
    if not callable(function):
        raise click.UsageError(
            f"{target} is not a function (its type is {type(function).__name__}). {did_you_mean('', functions)}"
        )
    return path, function


def _import(path: Path) -> ModuleType:
    """Under its own name where that is free, so that node classes of the user are found again by `import file`."""
    path = path.resolve()
    present = sys.modules.get(path.stem)
    name = path.stem if present is None or getattr(present, "__file__", None) == str(path) else f"user_{path.stem}"
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    return load_file(path, name)


def _guarded(path: Path, what: str, work: Callable[[], Any]) -> Any:
    """Run code of the user; what it raises becomes one sentence with the line of the file."""
    try:
        return work()
    except GraphError as error:
        raise click.UsageError(f"{what}: {error}") from error
    except SyntaxError as error:
        raise click.UsageError(
            f"{what} cannot be read: {error.msg} at {_said(error.filename, error.lineno)}."
        ) from error
    except (Exception, SystemExit) as error:
        where = _line_of(error, path)
        words = str(error).strip().rstrip(".")
        raise click.UsageError(
            f"{what} raised {type(error).__name__}{where}{': ' + words if words else ''}."
        ) from error


def _line_of(error: BaseException, path: Path) -> str:
    """The innermost line of the user's file that was running."""
    file = str(path.resolve())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" at {_said(file, lines[-1])}" if lines else ""


def _said(file: str | None, line: int | None) -> str:
    return str(Location(file or "<unknown>", line or 0))
