"""Methods of a sweep by name. A recipe is a workflow, a start, and how designs are found, made for a problem.

    @recipe("oc-sharp")
    def oc_sharp(problem, *, radius=2.4, beta=4.0):
        "Optimality criteria behind a sharp projection."
        graph = problem.workflow(radius=radius, beta=beta)
        return Setup(graph=graph, start=problem.uniform(), subject_to=[f"volume <= {problem.volume!r}"], method="oc")

Its keyword parameters are what a sweep can set; one called `seed` makes its runs differ by seed.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tograph.errors import TographError
from tograph.loading import load_file
from tograph.problems.workflow import compliance_workflow

from .setup import Setup

Recipe = Callable[..., Setup]

RECIPES: dict[str, Recipe] = {}
"""Name -> function of a problem and keyword parameters."""

NOT_SET = ("problem", "rho", "solver")
"""Parameters of the workflow that are no plain values."""


def recipe(name: str) -> Callable[[Recipe], Recipe]:
    """Register a function `(problem, *, parameters...) -> Setup` under a name.

    It must make the same setup from the same arguments: take random numbers from a generator of its `seed`.

    Raises:
        TographError: another function has the name.
    """

    def register(function: Recipe) -> Recipe:
        known = RECIPES.get(name)
        if known is not None and _place(known) != _place(function):
            raise TographError(f"there is a recipe {name!r} already, {_place(known)}. Take another name")
        RECIPES[name] = function
        return function

    return register


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters that can be set; behind `**workflow` are those of `Problem.workflow`."""
    found: list[str] = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.VAR_KEYWORD:
            found += [name for name in inspect.signature(compliance_workflow).parameters if name not in NOT_SET]
        elif p.name != "problem":
            found.append(p.name)
    return tuple(dict.fromkeys(found))


def about(function: Recipe) -> str:
    """The first line of its docstring."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


def load_recipes(path: str | os.PathLike[str]) -> None:
    """Run a Python file that registers recipes, or puts problems into `tograph.problems.PROBLEMS`; only once.

    Raises:
        TographError: there is no such file.
    """
    path = Path(path).resolve()
    name = f"recipes_of_{path.stem}"
    if getattr(sys.modules.get(name), "__file__", None) == str(path):
        return
    if not path.is_file():
        raise TographError(f"there is no file {path} to load recipes from")
    load_file(path, name)


def _place(function: Recipe) -> str:
    return f"{function.__module__}.{function.__qualname__}"
