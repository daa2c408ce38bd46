"""A case compiled for one backend, and the random numbers it is tried with."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import attrs
import numpy as np

from ..compiled import Function
from ..plan import Label, Request
from ..program import Program
from .cases import WEIGHT, Case
from .measure import direction, sizes


class Runs:
    """Runs compiled functions, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, function: Function, given: Mapping[str, np.ndarray]) -> Any:
        """One run."""
        self.count += 1
        return function.anywhere(**given)


class Subject:
    """A case compiled for one backend: values, gradients and tangents of y at its point.

    Attributes:
        changed: the inputs whose array was found changed after a run.
    """

    def __init__(self, case: Case, backend: str, runs: Runs, dtype: str = "float64", **options: Any) -> None:
        self.case, self.backend, self.runs = case, backend, runs
        self.program = Program(case.graph, backend, dtype=dtype, **options)
        self.still = self.program if case.still is case.graph else Program(case.still, backend, dtype=dtype, **options)
        self.point = {x: np.asarray(value) for x, value in case.values.items() if x in case.graph.input_names}
        self.changed: set[str] = set()
        self._made: dict[tuple[str, tuple[str, ...]], Function] = {}

    def y(self, changed: Mapping[str, np.ndarray]) -> np.ndarray:
        """y with some inputs changed and detached edges held."""
        given = self._given(changed)
        found = self._run(self.still.values("y"), {x: given[x] for x in self.case.still.input_names if x in given})
        return np.asarray(found["y"], dtype=np.float64)

    def gradient(self, w: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """J^T w for every input; for a scalar y, w is a factor."""
        given, factor = self._weighted(w, changed or {})
        _, found = self._run(self.program.value_and_grad(self.case.probe, tuple(self.case.ports)), given)
        return {x: factor * np.asarray(g, dtype=np.float64) for x, g in found.items()}

    def results(self, w: np.ndarray) -> dict[str, np.ndarray]:
        """<w, y> (y itself if that is a scalar) under "value", and its gradients, in the precision of the program."""
        value, found = self._run(
            self.program.value_and_grad(self.case.probe, tuple(self.case.ports)), self._weighted(w, {})[0]
        )
        return {"value": value, **found}

    def tangent(self, x: str, v: np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """J v for one input."""
        found = self._along(x, v, "y", "tangent", self._given(changed or {}))
        return np.asarray(found["y", "tangent"], dtype=np.float64)

    def curved(self, x: str, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        """H v, with H the Hessian of <w, y> in one input."""
        given, factor = self._weighted(w, {})
        found = self._along(x, v, self.case.probe, "hvp", given)
        return factor * np.asarray(found[self.case.probe, x, "hvp"], dtype=np.float64)

    def _along(self, x: str, v: np.ndarray, of: str, mode: str, given: Mapping[str, np.ndarray]) -> dict[Label, Any]:
        """The derivative along one input by the program that serves all inputs, compiled once, the others resting.

        Where another input spoils it (a rule raises, or 0 times what is not finite), by a program of this input alone.
        """
        resting = {f"{other}_dot": np.zeros_like(self.point[other]) for other in self.case.ports}
        with contextlib.suppress(Exception):
            found = self._run(self._directional(of, mode, tuple(self.case.ports)), {**given, **resting, f"{x}_dot": v})
            if all(np.all(np.isfinite(value)) for value in found.values()):
                return dict(found)
        return dict(self._run(self._directional(of, mode, (x,)), {**given, f"{x}_dot": v}))

    def _directional(self, of: str, mode: str, ports: tuple[str, ...]) -> Function:
        if (mode, ports) not in self._made:
            program, request = self.program, Request((of,), ports, mode)
            self._made[mode, ports] = Function(program.graph, program.backend, request, dict, program.settings)
        return self._made[mode, ports]

    def scaled(self, s: float) -> dict[str, np.ndarray]:
        """The point with the inputs that it is differentiated by times s."""
        return {x: np.asarray(s * self.point[x]) for x in self.case.ports}

    def parts(self, w: np.ndarray, changed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """y and J^T w of every input; what is behind a detached edge moves too."""
        found = self._run(self.program.values("y"), self._given(changed))["y"]
        return [np.asarray(found, dtype=np.float64), *self.gradient(w, changed).values()]

    def split(self, flat: np.ndarray) -> list[np.ndarray]:
        """The same from what `embedded` gives."""
        shapes = [self.case.spec.shape, *(self.point[x].shape for x in self.case.ports)]
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]

    def embedded(self, w: np.ndarray) -> Callable[[Any], Any]:
        """y and J^T w, flat, as a function of s in arrays of the framework, differentiated by its own verbs."""
        program, backend = self.program, self.program.backend
        function = (program.as_jax if self.backend == "jax" else program.as_torch)("y")
        given = {x: backend.array(v, backend.dtype) if v.dtype.kind == "f" else v for x, v in self._given({}).items()}
        ports, ct = list(self.case.ports), backend.array(w, backend.dtype)

        def flat(s: Any) -> Any:
            def y(moved: Any) -> Any:
                return function(**{**given, **dict(zip(ports, moved, strict=True))})

            moved = tuple(s * given[x] for x in ports)
            parts = (y(moved), *backend.vjp(y, moved, ct))
            return backend.xp.concat([backend.xp.reshape(part, (-1,)) for part in parts])

        return flat

    @cached_property
    def methods(self) -> set[str]:
        """How the vertices are differentiated: "registered", "autodiff", "inexact", "finite-difference", ..."""
        function = self.program.value_and_grad(self.case.probe, tuple(self.case.ports))
        return {used.how.split()[0] for used in function.plan.used}

    def _run(self, function: Function, given: Mapping[str, np.ndarray]) -> Any:
        """On copies, which PyTorch and host nodes see as they are: a node that writes into one is found out."""
        copies = {x: np.array(value) for x, value in given.items()}
        found = self.runs(function, copies)
        self.changed |= {x for x, value in copies.items() if not np.array_equal(value, given[x])}
        return found

    def _weighted(self, w: np.ndarray, changed: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
        given = self._given(changed)
        return (given | {WEIGHT: w}, 1.0) if self.case.probe == "probe" else (given, float(w))

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
