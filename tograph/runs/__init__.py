"""Many runs: recipes, sweeps over problems, methods, parameters and seeds; and what finished runs look like.

    from tograph.runs import sweep
    found = sweep(["mbb", "cantilever"], methods=["oc", "mma"], parameters={"radius": [1.5, 2.4]}, folder="runs/study")
    print(found.table())

A further method is a function with the decorator `recipe`.
"""

from __future__ import annotations

from . import standard as standard
from .job import Job
from .recipes import RECIPES, recipe
from .setup import Setup
from .sweep import Sweep, sweep

__all__ = ["RECIPES", "Job", "Setup", "Sweep", "recipe", "sweep"]
