"""A case compiled for one backend, and the random numbers it is tried with."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cached_property

import attrs
import numpy as np

from ..program import Program
from .cases import WEIGHT, Case
from .measure import direction, sizes


class Subject:
    """A case compiled for one backend: values, gradients and tangents of y at its point."""

    def __init__(self, case: Case, backend: str) -> None:
        self.case, self.backend = case, backend
        self.program = Program(case.graph, backend)
        self.still = self.program if case.still is case.graph else Program(case.still, backend)
        self.point = {x: np.asarray(value) for x, value in case.values.items() if x in case.graph.input_names}

    def y(self, changed: Mapping[str, np.ndarray]) -> np.ndarray:
        """y with some inputs changed and detached edges held."""
        given = self._given(changed)
        found = self.still.values("y").anywhere(**{x: given[x] for x in self.case.still.input_names if x in given})
        return np.asarray(found["y"], dtype=np.float64)

    def gradient(self, w: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """J^T w for every input; for a scalar y, w is a factor."""
        given = self._given(changed or {})
        factor = 1.0
        if self.case.probe == "probe":
            given[WEIGHT] = w
        else:
            factor = float(w)
        _, found = self.program.value_and_grad(self.case.probe, tuple(self.case.ports)).anywhere(**given)
        return {x: factor * np.asarray(g, dtype=np.float64) for x, g in found.items()}

    def tangent(self, x: str, v: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """J v for one input."""
        _, found = self.program.jvp("y", x).anywhere(**self._given(changed or {}), **{f"{x}_dot": v})
        return np.asarray(found, dtype=np.float64)

    @cached_property
    def methods(self) -> set[str]:
        """How the vertices are differentiated: "registered", "autodiff", "inexact", "finite-difference", ..."""
        function = self.program.value_and_grad(self.case.probe, tuple(self.case.ports))
        return {used.how.split()[0] for used in function.plan.used}

    def _given(self, changed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {**self.point, **changed}
        if self.case.probe == "probe":
            given.setdefault(WEIGHT, np.zeros(self.case.weight_shape))
        return given


@attrs.frozen(eq=False)
class Draw:
    """The random numbers of one case, the same on every backend.

    They depend on the seed and on what is checked, not on the order of checks.
    """

    case: Case
    seed: int

    def generator(self, *what: str) -> np.random.Generator:
        """Random numbers for one purpose."""
        return np.random.default_rng([self.seed, zlib.crc32("/".join((self.case.node, *what)).encode())])

    @cached_property
    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Two weights of y; for a scalar y the first is 1, so that its own gradient is measured."""
        rng, shape = self.generator("weights"), self.case.weight_shape
        first = rng.standard_normal(shape) if self.case.probe == "probe" else np.ones(())
        return np.asarray(first), np.asarray(rng.standard_normal(shape))

    @property
    def w(self) -> np.ndarray:
        """The first weight."""
        return self.weights[0]

    def tangents(self, x: str) -> tuple[np.ndarray, np.ndarray]:
        """Two tangents of an input, of the size of its values."""
        rng, value = self.generator("tangents", x), np.asarray(self.case.values[x], dtype=np.float64)
        size = float(np.sqrt(np.mean(value**2))) or 1.0
        a, b = (size * rng.standard_normal(value.shape) for _ in range(2))
        return np.asarray(a), np.asarray(b)

    def walk(self, x: str, gradient: np.ndarray) -> np.ndarray:
        """A direction to move an input along."""
        size = sizes(np.asarray(self.case.values[x], dtype=np.float64), self.case.kinds[x])
        return direction(self.generator("walk", x), size, gradient)
