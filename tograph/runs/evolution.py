"""Observers that draw: the design as it is now, and how it became. No display, no global state."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tograph.errors import TographError
from tograph.nodes.grid import Floats
from tograph.optimizers import Formulation, Iteration

from .scene import field_function

LONGEST, MARGIN = 600, 22
"""Pixels of the longer side of a frame, and of the line of text below it."""
LEVELS = 31
"""Greys besides white: what the eye tells apart; more would make the file longer."""
ENDINGS = (".gif", ".mp4")


class LivePicture:
    """An observer that keeps a picture of the physical density, e.g. for a viewer that reloads it.

    It is replaced in one step, so that no reader ever sees half of one.

    Args:
        path: a file that ends in .png.
        every: draw in the first, in every so many-th and in the last iteration.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 5) -> None:
        self.path, self.every = Path(path), every
        self._frame = Frames()

    def __call__(self, iteration: Iteration) -> None:
        """Draw, if it is time."""
        if not is_due(iteration, self.every):
            return
        new = self.path.with_name(f"{self.path.name}.new")
        self._frame(iteration).save(new, format="png")
        new.replace(self.path)


class Movie:
    """An observer that shows how the design became what it is, as GIF or MP4; written when the run is over.

    A run that goes on from a checkpoint begins its movie there.

    Args:
        path: a file that ends in .gif, or in .mp4 (which needs the extra `video`).
        every: a frame for the first, every so many-th and the last iteration.
        fps: frames per second.

    Raises:
        TographError: another ending, or a package that is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1, fps: int = 12) -> None:
        self.path, self.every, self.fps = Path(path), every, fps
        if self.path.suffix not in ENDINGS:
            raise TographError(f"a movie ends in .gif or .mp4, got {self.path.name!r}")
        self._video = _video() if self.path.suffix == ".mp4" else None
        self._frame = Frames()
        self._frames: list[Image.Image] = []

    def __call__(self, iteration: Iteration) -> None:
        """Keep a frame, and write the movie at the end."""
        if is_due(iteration, self.every):
            self._frames.append(self._frame(iteration))
        if iteration.position is not None and iteration.position.ended:
            self.write()

    def write(self) -> None:
        """Write the frames so far; for a run that was interrupted."""
        if self._video is not None:
            frames = [np.asarray(frame.convert("RGB")) for frame in self._frames]
            self._video.mimwrite(self.path, frames, fps=self.fps, macro_block_size=2)
            return
        first, *others = self._frames
        first.save(self.path, save_all=True, append_images=others, duration=1000 // self.fps, loop=0)


class Frames:
    """Frames of one run; the function from the design to the physical density is compiled once."""

    def __init__(self) -> None:
        self._density: Callable[[Mapping[str, Any]], Floats] | None = None
        self._begun = False

    def __call__(self, iteration: Iteration) -> Image.Image:
        """Black material on white, with iteration and objective below; of a 3D density, its mean along z."""
        problem = iteration.problem
        assert problem is not None
        field = self._field(problem, iteration)
        flat = field.mean(axis=2) if field.ndim == 3 else field.reshape(-1, field.shape[-1])
        times = max(1, LONGEST // max(flat.shape))
        grey = np.uint8(np.round(LEVELS * (1.0 - np.clip(flat, 0.0, 1.0))) * (255 / LEVELS))
        body = np.kron(grey, np.ones((times, times), np.uint8))
        height, width = (size + size % 2 for size in body.shape)  # video wants even sizes
        frame = Image.new("L", (width, height + MARGIN), 255)
        frame.paste(Image.fromarray(body), (0, 0))
        text = f"{iteration.number}  {problem.minimize} {iteration.values[problem.minimize]:.5g}"
        ImageDraw.Draw(frame).text((4, height + 4), text, fill=0)
        return frame

    def _field(self, problem: Formulation, iteration: Iteration) -> Floats:
        """With the scheduled parameters as they are in this iteration; the design itself if there is no density."""
        given = {**problem.inputs, **iteration.inputs, **problem.variables.split(iteration.design)}
        if not self._begun:
            self._density, self._begun = field_function(problem.program, given), True
        return np.asarray(iteration.design) if self._density is None else self._density(given)


def is_due(iteration: Iteration, every: int) -> bool:
    """Whether an iteration is the first, an every-th, or the last."""
    ended = iteration.position is not None and bool(iteration.position.ended)
    return iteration.number == 1 or iteration.number % every == 0 or ended


def _video() -> Any:
    try:
        importlib.import_module("imageio_ffmpeg")
        return importlib.import_module("imageio.v2")
    except ImportError:
        raise TographError("MP4 needs imageio with ffmpeg. Install it: pip install 'tograph[video]'") from None
