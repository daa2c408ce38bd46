"""Where a diagram goes: checked before anything is compiled for it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from tograph.draw import FORMATS, draw_passes
from tograph.graph import Graph


def drawing_path(path: Path) -> Path:
    """A file that a diagram can be written to.

    Raises:
        click.BadParameter: unknown format, or a folder that is not there or not writable.
    """
    if path.suffix.lower().lstrip(".") not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        ending = f"ends in {path.suffix!r}" if path.suffix else "has no ending"
        raise click.BadParameter(f"{path} {ending}; a diagram can be written as {known}.", param_hint="'--out'")
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "Is a directory")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise click.BadParameter(f"cannot write to {path}: {error.strerror}.", param_hint="'--out'") from None
    return path


def passes_drawn(graph: Graph, folder: Path, asked: dict[str, Any]) -> list[str]:
    """The files of `draw_passes`.

    Raises:
        click.BadParameter: the folder cannot be made or written to.
    """
    try:
        return [str(path) for path in draw_passes(graph, folder, **asked)]
    except OSError as error:
        raise click.BadParameter(f"cannot write to {folder}: {error.strerror}.", param_hint="'--out'") from None
