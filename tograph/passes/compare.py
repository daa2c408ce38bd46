"""The plans before and after each pass, evaluated on the same random numbers: which pass is wrong?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import attrs
import numpy as np

from ..backends.base import Backend, map_arrays
from ..declare import Source
from ..derivative import implementation
from ..edge import Edge, Vertex
from ..hosting import on_host, to_device
from ..node import Constant
from ..plan import Label, Plan, Stage
from .verify import PassError, verify

TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
"""Largest relative deviation that reordered sums and solves are allowed."""


@attrs.frozen
class Deviation:
    """How far a pass moved one result: the largest difference, relative to the largest entry."""

    by: str
    label: Label
    size: float


@attrs.frozen(eq=False, slots=False)
class Comparison:
    """Shown every stage by `run_passes`, it evaluates both plans; `require_equal` then names the guilty pass.

    Every step runs by itself, without compilation, on the backend of the program, so that nothing but the pass
    differs between the two.

    Attributes:
        backend: runs the steps.
        seed: of the random inputs.
        deviations: one per pass and result.
    """

    backend: Backend
    seed: int = 0
    deviations: list[Deviation] = attrs.field(factory=list)

    def __call__(self, stage: Stage) -> None:
        """Verify the plan, evaluate it before and after the pass, and note the deviations."""
        verify(stage)
        values = random_inputs(stage.before, self.seed)
        before, after = (evaluate(plan, values, self.backend) for plan in (stage.before, stage.after))
        for label, value in before.items():
            self.deviations.append(Deviation(stage.name, label, _deviation(value, after[label])))

    def require_equal(self) -> None:
        """Raise `PassError` if a pass changed a result; all that did are listed, the largest deviation first."""
        wrong = sorted((d for d in self.deviations if not d.size <= self.tolerance), key=_largest_first)
        if wrong:
            first, *others = dict.fromkeys(d.by for d in wrong)
            worst = next(d for d in wrong if d.by == first)
            more = f". Further ones: {', '.join(map(repr, others))}" if others else ""
            what = " by ".join(map(repr, worst.label))
            raise PassError(f"the pass {first!r} changed the result {what} by {worst.size:.1e} of its size{more}")

    @cached_property
    def tolerance(self) -> float:
        """What rounding may do."""
        return TOLERANCE[self.backend.dtype]


def _largest_first(deviation: Deviation) -> float:
    return -deviation.size if np.isfinite(deviation.size) else -np.inf


def _deviation(a: Any, b: Any) -> float:
    """Infinite where exactly one of the two is not a number."""
    pairs = zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]
    return max((_distance(np.asarray(x), np.asarray(y)) for x, y in pairs), default=0.0)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    if a.size == 0:
        return 0.0
    size = float(np.nanmax(np.abs(a), initial=0.0))
    return float(np.nanmax(np.abs(a - b), initial=0.0)) / (size or 1.0)


def random_inputs(plan: Plan, seed: int = 0) -> dict[Vertex, np.ndarray]:
    """A value for every input of a plan: densities in (0.3, 0.9) within their bounds, defaults, directions."""
    rng = np.random.default_rng(seed)
    given = {edge.vertex for edge in plan.further}
    made = {}
    for vertex in sorted((v for v in plan.order if isinstance(v.node, Source)), key=lambda v: str(v.origin.name)):
        node: Any = vertex.node
        value = rng.normal(size=node.spec.shape) if vertex in given else rng.uniform(0.3, 0.9, node.spec.shape)
        if node.default is not None:
            value = np.broadcast_to(node.default, node.spec.shape)
        if node.lower is not None or node.upper is not None:
            value = np.clip(value, node.lower, node.upper)
        made[vertex] = np.zeros(node.spec.shape, dtype=int) if node.spec.dtype == "integer" else value
    return made


def evaluate(plan: Plan, inputs: Mapping[Vertex, np.ndarray], backend: Backend) -> dict[Label, Any]:
    """The results of a plan, step by step, without compilation; a factor counts as nothing."""
    known: dict[Edge, Any] = {}
    with backend.scope():
        for vertex in plan.order:
            node: Any = vertex.node
            if isinstance(node, Source | Constant):
                value = inputs[vertex] if isinstance(node, Source) else node.value
                known[Edge(vertex)] = backend.array(value, backend.dtype_of(plan.specs[vertex][0]))
                continue
            made = _step(vertex, plan, backend)(*(known[edge] for edge in vertex.edges))
            several = made if len(node.outputs) > 1 else (made,)
            known |= {Edge(vertex, i): value for i, value in enumerate(several)}
        kept = {
            label: edge for label, edge in plan.results.items() if plan.specs[edge.vertex][edge.index].kind != "factor"
        }
        return {label: backend.to_numpy(known[edge]) for label, edge in kept.items()}


def _step(vertex: Vertex, plan: Plan, backend: Backend) -> Any:
    if not vertex.node.host:
        return implementation(vertex.node, backend)
    run = on_host(vertex, vertex.origin.name, [plan.specs[edge.vertex][edge.index] for edge in vertex.edges])

    def hosted(*values: Any) -> Any:
        made = run(*(map_arrays(backend.to_numpy, value) for value in values))
        several = made if len(vertex.node.outputs) > 1 else (made,)
        on_device = tuple(to_device(x, spec, backend) for x, spec in zip(several, plan.specs[vertex], strict=True))
        return on_device if len(vertex.node.outputs) > 1 else on_device[0]

    return hosted
