"""One run of a sweep: a problem, a recipe, parameters, a seed and a backend."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cached_property
from typing import Any

import attrs

from tograph.errors import TographError, did_you_mean
from tograph.problems import PROBLEMS, TASKS, Problem, hoyer

from .recipes import RECIPES, Recipe, load_recipes, parameters_of
from .setup import Setup


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(eq=False, slots=False)
class Job:
    """What one run computes; plain data, so that it can go to another process.

    Attributes:
        problem: a name of `tograph.problems.PROBLEMS` or of the suite.
        method: a name of `RECIPES`.
        parameters: of the problem and the recipe, by name: numbers, texts, or lists of them.
        seed: for recipes that take one.
        backend: "jax" or "torch".
        files: Python files to load first: they register the recipe, or the problem.
    """

    problem: str
    method: str
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    seed: int = 0
    backend: str = "jax"
    files: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    def labels(self, shown: Container[str]) -> dict[str, str]:
        """The `case`, a problem with its own parameters, and the `variant`, a method with the others; those shown."""
        of_problem, of_recipe = self._split()
        return {"case": _with(self.problem, of_problem, shown), "variant": _with(self.method, of_recipe, shown)}

    @property
    def takes_seed(self) -> bool:
        """Whether another seed makes another run."""
        return "seed" in parameters_of(self._recipe)

    @cached_property
    def setup(self) -> Setup:
        """What the recipe makes of the problem.

        Raises:
            TographError: an unknown name, a parameter that neither takes, or whatever either finds wrong.
        """
        maker, recipe = problem_maker(self.problem), self._recipe
        known = [name for name in (*parameters_of(maker), *parameters_of(recipe)) if name != "seed"]
        for name in self.parameters:
            if name not in known:
                hint = did_you_mean(name, known)
                raise TographError(f"neither {self.problem!r} nor {self.method!r} takes a parameter {name!r}. {hint}")
        of_problem, of_recipe = self._split()
        seed = {"seed": self.seed} if self.takes_seed else {}
        try:
            return recipe(maker(**of_problem), **of_recipe, **seed)
        except (ValueError, TypeError) as error:
            case, variant = self.labels(self.parameters).values()
            raise TographError(f"{case}, {variant}: {error}") from error

    @cached_property
    def key(self) -> str:
        """Hash of the configuration and of what the recipe makes of it; equal for runs with the same result."""
        plain = {name: value for name, value in self.plain().items() if name != "files"}
        text = f"{json.dumps(plain, sort_keys=True)} {self.setup.hash}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        """The name of the run's folder."""
        return re.sub(r"[^\w.-]", "_", f"{self.problem}-{self.method}-{self.key}")

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it; `Job(**plain)` is the same job."""
        return {**attrs.asdict(self), "files": list(self.files)}

    def _split(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters of the problem, and those of the recipe."""
        own = parameters_of(problem_maker(self.problem))
        of_problem = {name: value for name, value in self.parameters.items() if name in own}
        return of_problem, {name: value for name, value in self.parameters.items() if name not in own}

    @property
    def _recipe(self) -> Recipe:
        for file in self.files:
            load_recipes(file)
        if self.method not in RECIPES:
            raise TographError(f"there is no method {self.method!r}. {did_you_mean(self.method, RECIPES)}")
        return RECIPES[self.method]


def _with(name: str, settings: Mapping[str, Any], shown: Container[str]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in settings.items() if key in shown)])


def problem_maker(name: str) -> Callable[..., Problem]:
    """The function that makes a problem.

    Raises:
        TographError: an unknown name.
    """
    if name in TASKS:
        return lambda: hoyer(name)
    if name not in PROBLEMS:
        raise TographError(f"there is no problem {name!r}. {did_you_mean(name, [*PROBLEMS, *TASKS])}")
    return PROBLEMS[name]


def grid_of(parameters: Mapping[str, Any], method: str) -> list[dict[str, Any]]:
    """Every combination of the values; a list is a choice, and `method.name` is for that method alone."""
    combinations: list[dict[str, Any]] = [{}]
    for name, values in parameters.items():
        owner, dot, short = name.rpartition(".")
        if dot and owner != method:
            continue
        choices = values if isinstance(values, list | tuple) else [values]
        combinations = [{**known, short: value} for known in combinations for value in choices]
    return combinations
