"""Many runs: recipes, sweeps over problems, methods, parameters and seeds; and what finished runs look like.

    from tograph.runs import sweep
    found = sweep(["mbb", "cantilever"], methods=["oc", "mma"], parameters={"radius": [1.5, 2.4]}, folder="runs/study")
    print(found.table())

A further method is a function with the decorator `recipe`.
"""

from __future__ import annotations

from . import standard as standard
from .evolution import LivePicture, Movie
from .health import Health, health_of
from .job import Job
from .recipes import RECIPES, recipe
from .report import write_report
from .setup import Setup
from .sweep import Sweep, sweep

__all__ = [
    "RECIPES",
    "Health",
    "Job",
    "LivePicture",
    "Movie",
    "Setup",
    "Sweep",
    "health_of",
    "recipe",
    "sweep",
    "write_report",
]
