"""What a target stands for: a problem of the collection, or the graph of a user's own function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import click
import numpy as np

from tograph import Graph
from tograph.errors import did_you_mean
from tograph.graph import source_of
from tograph.problems import PROBLEMS, TASKS, Problem, hoyer

from .options import WORKFLOW_OPTIONS
from .user_file import call_user_function, is_user_file

RETURNS = "a tograph Problem, a Graph, or a pair (Graph, start design)"


@attrs.frozen(eq=False)
class Workflow:
    """A graph to be optimised, drawn, checked or explained.

    Attributes:
        name: of the problem, or of the user's graph.
        graph: its first input is the design.
        start: the first design; None if only `volume` says how much material there is.
        volume: the fraction asked for; None if the start says it.
    """

    name: str
    graph: Graph
    start: Any = None
    volume: float | None = None

    @property
    def design(self) -> str:
        """The name of the design input."""
        return self.graph.input_names[0]

    @property
    def objective(self) -> str:
        """The output to be minimised: `compliance`, or the first that is not the volume."""
        names = sorted(self.graph.outputs, key=lambda name: (name != "compliance", name == "volume"))
        return names[0]

    @property
    def file_name(self) -> str:
        """The name with only what every file system takes."""
        return re.sub(r"[^\w.-]", "_", self.name)

    def with_start(self, backend: str) -> Workflow:
        """The same with both `start` and `volume`: the one that was not given follows from the other.

        Raises:
            click.UsageError: there is no output `volume`, no other output, or nothing says how much material.
        """
        outputs = tuple(self.graph.outputs)
        if "volume" not in outputs or len(outputs) < 2:
            have = f"{self.name} has: {', '.join(outputs)}"
            raise click.UsageError(f"run needs a graph with the output 'volume' and an objective; {have}.")
        source = source_of(self.graph.inputs[0])
        start = source.default if self.start is None else self.start
        if start is None and self.volume is None:
            raise click.UsageError(
                f"nothing says how much material {self.name} may use. Give --volume 0.5, or return (graph, start)."
            )
        if start is None:
            start = np.full(source.spec.shape, self.volume)
        volume = self.volume
        if volume is None:
            volume = float(self.graph.compile(backend).values("volume")(**{self.design: start})["volume"])
        if not volume > 0.0:
            raise click.UsageError(f"the start of {self.name} holds no material (volume {volume:g}).")
        return attrs.evolve(self, start=np.asarray(start, dtype=np.float64), volume=volume)


def find_workflow(target: str, given: Mapping[str, Any]) -> Workflow:
    """The workflow of a target, with the options that were given (None: not given).

    Raises:
        click.UsageError: unknown problem, an option that this target does not take, or values that make no problem.
    """
    options = {name: value for name, value in given.items() if value is not None}
    try:
        return _of_user(target, options) if is_user_file(target) else _of_collection(target, options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _of_collection(name: str, options: dict[str, Any]) -> Workflow:
    if name in TASKS:
        _refuse(name, set(options) - {*WORKFLOW_OPTIONS}, WORKFLOW_OPTIONS)
        return _of_problem(name, hoyer(name), options)
    if name not in PROBLEMS:
        hint = did_you_mean(name, [*PROBLEMS, *TASKS])
        raise click.UsageError(
            f"there is no problem {name!r}. {hint} See `tograph problems`, or give file.py:function."
        )
    taken = tuple(inspect.signature(PROBLEMS[name]).parameters)
    _refuse(name, set(options) - {*taken, *WORKFLOW_OPTIONS}, (*taken, *WORKFLOW_OPTIONS))
    problem = PROBLEMS[name](**{option: options[option] for option in taken if option in options})
    return _of_problem(name, problem, options)


def _of_problem(name: str, problem: Problem, options: Mapping[str, Any]) -> Workflow:
    graph = problem.workflow(**{option: options[option] for option in WORKFLOW_OPTIONS if option in options})
    return Workflow(name, graph, problem.uniform(), float(problem.volume))


def _of_user(target: str, options: dict[str, Any]) -> Workflow:
    made, takes = call_user_function(target, options)
    left = {name: value for name, value in options.items() if name not in takes}
    if isinstance(made, Problem):
        volume = left.pop("volume", made.volume)
        _refuse(target, set(left) - {*WORKFLOW_OPTIONS}, (*takes, "volume", *WORKFLOW_OPTIONS))
        return _of_problem(made.name, attrs.evolve(made, volume=volume), left)
    pair = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(pair[0], Graph):
        raise click.UsageError(f"{target} returned a {type(made).__name__}; it must return {RETURNS}.")
    _refuse(target, set(left) - {"volume"}, (*takes, "volume"))
    graph, start = pair
    graph.validate()
    if not graph.inputs:
        raise click.UsageError(f"{target} returned a graph without inputs; the first one is the design.")
    if start is not None:
        _check_start(target, graph, start)
    return Workflow(graph.name, graph, start, options.get("volume"))


def _check_start(target: str, graph: Graph, start: Any) -> None:
    spec = source_of(graph.inputs[0]).spec
    try:
        array = np.asarray(start, dtype=np.float64)
    except (TypeError, ValueError):
        raise click.UsageError(
            f"{target} returned a start that is a {type(start).__name__}; it must be an array of shape {spec.shape}."
        ) from None
    if array.shape != spec.shape:
        raise click.UsageError(f"{target} returned a start of shape {array.shape}; the design has shape {spec.shape}.")


def _refuse(target: str, unknown: set[str], taken: Iterable[str]) -> None:
    if unknown:
        options = ", ".join(f"--{name}" for name in dict.fromkeys(taken))
        raise click.UsageError(f"{target} does not take --{sorted(unknown)[0]}; it takes: {options}.")
