"""500 random graphs: values and gradients before and after all passes are the same to 1e-12, on both backends.

A graph is grown from a seed: chains with sharing, sums, scalings, products, reductions, filters, a linear
solve with a shared operator, cuts. Plans are run step by step and uncompiled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

import tograph as tg
from tograph import Edge, Graph
from tograph import nodes as n
from tograph.arithmetic import Add, Dot
from tograph.backends import load_backend
from tograph.backends.base import Backend
from tograph.elementwise import Power, Shift
from tograph.passes import run_passes, verify
from tograph.passes.compare import evaluate, random_inputs
from tograph.plan import Request
from tograph.planning import make_plan

GRID = n.Grid(3, 2)
FIXED = GRID.dofs(GRID.nodes("left"))
COUNT, PARTS = 500, 10
SEEN: Counter[str] = Counter()


@attrs.frozen(eq=False)
class Growing:
    """A graph that grows from random choices; fields are positive, so that every power and root is smooth."""

    rng: np.random.Generator
    fields: list[Edge]
    scalars: list[Edge]

    @property
    def field(self) -> Edge:
        """One that is there already, with a liking for the latest."""
        return self.fields[int(len(self.fields) * self.rng.beta(2.0, 1.0))]

    @property
    def number(self) -> float:
        return float(self.rng.choice([1.0, -1.0, 0.5, 2.0, 3.0]))

    def positive(self) -> float:
        return abs(self.number)

    def load(self) -> np.ndarray:
        """One of two loads, so that some solves are equal, some parallel and some independent."""
        loads = np.random.default_rng(0).normal(size=(2, GRID.n_dofs()))
        return np.asarray(loads[self.rng.integers(2)])

    def grow(self) -> None:
        """One more step."""
        kinds = list(STEPS)
        kind = kinds[int(self.rng.choice(len(kinds), p=np.array([w for w, _ in STEPS.values()]) / TOTAL))]
        SEEN[kind] += 1
        STEPS[kind][1](self)


def _solve(g: Growing) -> None:
    field = g.field  # of any sign; K is to be positive definite
    K = n.Stiffness(GRID, fixed=FIXED)(Shift(0.5)(field * field))
    f = g.load()
    u = n.LinearSolve()(K, f)
    other = g.load() if g.rng.random() < 0.5 else f
    ends = [Dot()(u, other), Dot()(u, u), Dot()(u, g.number * n.LinearSolve()(K, g.load()))]
    g.scalars.extend([n.Compliance()(u, f), ends[g.rng.integers(3)]])


STEPS: dict[str, tuple[float, Callable[[Growing], None]]] = {
    "scale": (2.0, lambda g: g.fields.append(g.positive() * g.field)),
    "negated twice": (0.5, lambda g: g.fields.append(-(g.number * (-(g.number * g.field))))),
    "add": (2.0, lambda g: g.fields.append(Add()(*(g.field for _ in range(g.rng.integers(1, 4)))))),
    "shift": (1.0, lambda g: g.fields.append(g.field + float(g.rng.choice([0.0, 0.5])))),
    "power": (1.0, lambda g: g.fields.append(Power(float(g.rng.choice([1.0, 2.0, 0.5])))(g.field * g.field))),
    "product": (1.0, lambda g: g.fields.append(g.field * g.field)),
    "filter": (1.0, lambda g: g.fields.append(n.DensityFilter(GRID, float(g.rng.choice([1.2, 1.9])))(g.field))),
    "projection": (1.0, lambda g: g.fields.append(n.Heaviside(beta=2.0)(n.Sigmoid()(g.field)))),
    "simp": (1.0, lambda g: g.fields.append(n.Simp(E_min=0.1)(n.Sigmoid()(g.field)))),
    "detach": (0.5, lambda g: g.fields.append(tg.detach(g.field, "chance"))),
    "surrogate": (0.3, lambda g: g.fields.append(tg.with_gradient_of(g.field, g.field))),
    "scaled by a result": (0.5, lambda g: g.fields.append(g.scalars[-1] * g.field)),
    "dot": (1.0, lambda g: g.scalars.append(Dot()(g.field, g.field))),
    "sum": (1.0, lambda g: g.scalars.append(n.Sum()(g.field))),
    "scalars": (1.0, lambda g: g.scalars.append(g.scalars[0] * g.scalars[-1] + g.number * g.scalars[-1])),
    "solve": (1.0, _solve),
}
TOTAL = sum(weight for weight, _ in STEPS.values())


def grown(seed: int) -> Graph:
    """The graph of a seed: x -> two scalars."""
    x = tg.source("x", GRID.field())
    g = Growing(np.random.default_rng(seed), [x], [n.VolumeFraction()(x)])
    for _ in range(int(g.rng.integers(3, 12))):
        g.grow()
    a, b = g.scalars[-1], g.scalars[int(g.rng.integers(len(g.scalars)))]
    return Graph([x], {"a": n.Sum()(g.fields[-1]) + a + Dot()(x, x), "b": b + n.Sum()(x)})


def expect_same(before: dict[Any, Any], after: dict[Any, Any], what: str) -> None:
    for label, value in before.items():
        size = max(float(np.max(np.abs(value))), 1e-300)
        worst = float(np.max(np.abs(np.asarray(value) - np.asarray(after[label])))) / size
        assert worst <= 1e-12, f"{what}: {label} differs by {worst:.1e}"


def compare(seed: int, backends: list[Backend]) -> None:
    graph = grown(seed)
    for backend in backends:
        before = make_plan(graph, Request(("a", "b"), ("x",), "reverse"), backend.name)
        after = run_passes(before, watch=verify)
        values = random_inputs(before, seed)
        expect_same(
            evaluate(before, values, backend), evaluate(after, values, backend), f"graph {seed}, {backend.name}"
        )
        SEEN.update(stage.name for stage in after.history)


@pytest.mark.parametrize("part", range(PARTS))
def test_passes_keep_values_and_gradients(part: int) -> None:
    torch, jax = load_backend("torch", "float64"), load_backend("jax", "float64")
    for seed in range(part, COUNT, PARTS):
        compare(seed, [torch, jax])


def test_the_graphs_contain_what_the_passes_change() -> None:
    SEEN.clear()
    for seed in range(60):
        compare(seed, [load_backend("torch", "float64")])
    passes = {"detach", "symmetry", "algebra", "scalars", "sharing", "linearity", "batching"}
    assert all(SEEN[name] >= 3 for name in (*STEPS, *passes)), SEEN
