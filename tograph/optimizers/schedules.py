"""Parameters that change while a run goes on: continuation without compiling again.

A schedule is a frozen value. Its state is a tuple of numbers, the first of which is the value now.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, runtime_checkable

import attrs

from ..errors import TographError

State = tuple[float, ...]


@runtime_checkable
class Schedule(Protocol):
    """How a parameter goes on from iteration to iteration."""

    def start(self) -> State:
        """The state in the first iteration of a stage."""
        ...

    def after(self, state: State, objective: float) -> State:
        """The state in the next iteration, given the objective of this one."""
        ...

    def settled(self, state: State) -> bool:
        """Whether the value stays as it is from here on; a stage converges only then."""
        ...


def _at_least_one(instance: Any, attribute: Any, value: int) -> None:
    if value < 1:
        raise TographError(f"{type(instance).__name__}: {attribute.name} must be at least 1, got {value}")


@attrs.frozen
class Linear:
    """From `first` to `last` in `steps` equal steps, one every `every` iterations, then constant.

    Raises:
        TographError: steps or every below 1.
    """

    first: float
    last: float
    steps: int = attrs.field(validator=_at_least_one)
    every: int = attrs.field(default=1, validator=_at_least_one)

    def start(self) -> State:
        """(first, 0)."""
        return self.first, 0

    def after(self, state: State, objective: float) -> State:
        """One iteration on."""
        done = state[1] + 1
        part = min(int(done) // self.every, self.steps) / self.steps
        return (self.last if part == 1.0 else self.first + part * (self.last - self.first)), done

    def settled(self, state: State) -> bool:
        """Whether `last` is reached."""
        return state[0] == self.last


@attrs.frozen
class Geometric:
    """`first`, times `factor` every `every` iterations, up (or down) to `last`; with factor 2: doubling.

    Raises:
        TographError: every below 1, a factor that is not positive or is 1, or one that leads away from `last`.
    """

    first: float
    last: float
    factor: float = 2.0
    every: int = attrs.field(default=1, validator=_at_least_one)

    def __attrs_post_init__(self) -> None:
        leads = self.factor > 0.0 and self.factor != 1.0 and self.first * self.last > 0.0
        if not leads or (self.last / self.first - 1.0) * (self.factor - 1.0) < 0.0:
            raise TographError(f"Geometric: factor {self.factor:g} does not lead from {self.first:g} to {self.last:g}")

    def start(self) -> State:
        """(first, 0)."""
        return self.first, 0

    def after(self, state: State, objective: float) -> State:
        """One iteration on."""
        done = state[1] + 1
        return _grown(self.first, self.factor, int(done) // self.every, self.last), done

    def settled(self, state: State) -> bool:
        """Whether `last` is reached."""
        return state[0] == self.last


@attrs.frozen
class OnPlateau:
    """`first`, times `factor` whenever the objective has stopped falling, up (or down) to `last`.

    Stopped: for `patience` iterations, none was below (1 - rel) times the best one since the last change.

    Raises:
        TographError: patience below 1, or as for `Geometric`.
    """

    first: float
    last: float
    factor: float = 2.0
    patience: int = attrs.field(default=5, validator=_at_least_one)
    rel: float = 1e-3

    def __attrs_post_init__(self) -> None:
        Geometric(self.first, self.last, self.factor)

    def start(self) -> State:
        """(first, changes, best objective, iterations without progress)."""
        return self.first, 0, math.inf, 0

    def after(self, state: State, objective: float) -> State:
        """One iteration on."""
        value, changes, best, waited = state
        if not math.isfinite(best) or objective < best - self.rel * abs(best):
            return value, changes, objective, 0
        if waited + 1 < self.patience or self.settled(state):
            return value, changes, best, waited + 1
        return _grown(self.first, self.factor, int(changes) + 1, self.last), changes + 1, math.inf, 0

    def settled(self, state: State) -> bool:
        """Whether `last` is reached."""
        return state[0] == self.last


def _grown(first: float, factor: float, times: int, last: float) -> float:
    """first factor^times, but not beyond `last`."""
    left = math.log(last / first) / math.log(factor)
    return last if times >= left - 1e-9 else first * factor**times
