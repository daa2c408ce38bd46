"""Where a diagram goes: checked before anything is compiled for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from tograph.draw import FORMATS


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
