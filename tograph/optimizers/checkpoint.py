"""Checkpoints: a position of a run as a file, from which the run goes on to the last bit.

A file is a line with a mark, a line with the SHA-256 of the rest, and the rest: an `.npz` of all arrays and of a JSON
text for everything else. It is written beside its place, flushed to the disk, and moved there in one step; the one that
was there before stays as `NAME.previous`. Whenever the process dies, at least one of both is complete.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ..errors import TographError
from .result import Iteration
from .stage import Analysed, Position

MARK = b"tograph checkpoint 1\n"


class CheckpointError(TographError):
    """A checkpoint that cannot be written, read, or used for this run."""


@attrs.frozen(eq=False)
class Checkpoint:
    """A position, and what run it belongs to.

    Attributes:
        identity: hashes and settings by name; equal for the same run.
        position: where it was.
    """

    identity: dict[str, str]
    position: Position

    def require(self, identity: dict[str, str]) -> Position:
        """The position, for a run of that identity.

        Raises:
            CheckpointError: it is of another run; says in what they differ.
        """
        for name, here in identity.items():
            there = self.identity.get(name)
            if there != here:
                what = f"its {name} is {there}, here it is {here}"
                raise CheckpointError(f"the checkpoint belongs to another run: {what}. Resume with what began it")
        return self.position


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the one that is there stays as `NAME.previous`.

    Raises:
        CheckpointError: it cannot be written; whatever was there before still is.
    """
    path = Path(path)
    new, link = _beside(path, "new"), _beside(path, "link")
    try:
        payload = _packed(attrs.asdict(checkpoint))
        with new.open("wb") as file:
            file.write(MARK + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            link.unlink(missing_ok=True)
            try:
                os.link(path, link)
            except OSError:  # a file system without hard links
                shutil.copyfile(path, link)
            link.replace(_beside(path, "previous"))
        new.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        for left in (new, link):
            _remove(left)
        number = checkpoint.position.number
        kept = "The one before it is kept" if path.exists() else "There is none before it"
        raise CheckpointError(
            f"cannot write the checkpoint of iteration {number} to {path}: {error.strerror or error}. {kept}"
        ) from error


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: there is none, it is none, or it is damaged; offers the previous one if that is good.
    """
    path = Path(path)
    try:
        return _read(path)
    except CheckpointError as error:
        previous = _beside(path, "previous")
        try:
            number = _read(previous).position.number
        except CheckpointError:
            raise error from None
        raise CheckpointError(f"{error}. The one before it, of iteration {number}, is good: {previous}") from None


class Checkpoints:
    """An observer that keeps the checkpoint of a run.

    Writes the first and the last position, and between them so seldom that writing takes no more than a share of the
    time.

    Args:
        path: the file.
        share: the largest share of the time of the run, in (0, 1]; 1 writes in every iteration.
    """

    def __init__(self, path: str | os.PathLike[str], share: float = 0.01) -> None:
        self.path, self.share = Path(path), share
        self._next = -1.0

    def __call__(self, iteration: Iteration) -> None:
        """Write, if it is time."""
        assert iteration.position is not None
        began = time.perf_counter()
        if began < self._next and not iteration.position.ended:
            return
        save_checkpoint(self.path, Checkpoint(iteration.identity, iteration.position))
        spent = time.perf_counter() - began
        self._next = began + spent / self.share if self.share < 1.0 else -1.0


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.name}.{word}")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # A read-only folder; there is nothing of ours in it then.
        return


def _flush_folder(folder: Path) -> None:
    """Make the new names last through a power cut, where folders can be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> Checkpoint:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    if not data.startswith(MARK):
        raise CheckpointError(f"{path} is no checkpoint of this version of tograph")
    digest, _, payload = data[len(MARK) :].partition(b"\n")
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise CheckpointError(f"the checkpoint {path} is damaged: its contents are not those that were written")
    read = _unpacked(payload)
    position = read["position"]
    for name in ("last", "best"):
        position[name] = position[name] and Analysed(**position[name])
    return Checkpoint(read["identity"], Position(**position))


def _packed(data: Any) -> bytes:
    """Arrays as an .npz, each once, and the structure around them as JSON."""
    arrays: dict[int, tuple[str, Any]] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            name, _ = arrays.setdefault(id(value), (f"a{len(arrays)}", value))
            return {"array": name}
        if isinstance(value, dict):
            return {"dict": {name: plain(item) for name, item in value.items()}}
        if isinstance(value, list | tuple):
            return {type(value).__name__: [plain(item) for item in value]}
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise CheckpointError(
            f"the state of a method must be plain data, and holds a {type(value).__name__}. Keep numbers, texts, "
            "arrays, and lists, tuples and dicts of them"
        )

    text = np.frombuffer(json.dumps(plain(data)).encode(), dtype=np.uint8)
    file = io.BytesIO()
    np.savez(file, text=text, **{name: value for name, value in arrays.values()})
    return file.getvalue()


def _unpacked(payload: bytes) -> Any:
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:

        def restored(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            ((kind, content),) = value.items()
            if kind == "array":
                return arrays[content]
            if kind == "dict":
                return {name: restored(item) for name, item in content.items()}
            items = [restored(item) for item in content]
            return tuple(items) if kind == "tuple" else items

        return restored(json.loads(arrays["text"].tobytes()))
