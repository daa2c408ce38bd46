"""Every vertex at once: all cases side by side in one program, so that a fault is found in a few runs.

The number of runs does not depend on the number of vertices. One run gives J^T w of all cases, one gives J v of
all, and some dozens give all f(h) = <w, y(x + h v)>, because the steps h are the same for every case. The
cases share nothing, so that no fault is hidden by a flat function behind it, nor made good by a second one.

A rule that raises an exception stops the program it is in. Then the cases are halved until it stands alone:
the number of runs grows with the logarithm of the number of cases for every such rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np

from ..compiled import Function
from ..edge import Edge, Vertex
from ..graph import Graph, source_of
from ..node import Node, Port, node
from ..plan import Request
from ..program import Program
from ..rules import graph_jvp, graph_vjp
from ..spec import Spec, scalar
from .cases import WEIGHT, Case, rebuilt
from .judge import DOT, judge
from .measure import rounding_noise
from .report import Row
from .subject import Draw, Runs
from .walk import against_difference

ONCE: dict[str, Any] = {"compiled": False}
"""For programs of many vertices that run some dozens of times, for which compilation does not pay."""


@node
class Total(Node):
    """y = sum of scalars in whatever units: its gradient is that of every one of them."""

    inputs = (Port("terms", "scalar", variadic=True),)

    def infer(self, *specs: Spec) -> Spec:
        """A scalar."""
        return scalar()

    def forward(self, xp: Any, *values: Any) -> Any:
        """Sum."""
        return sum(values[1:], start=values[0])


@graph_jvp(Total, "terms")
def _(node: Total, t: Edge) -> Edge:
    return t


@graph_vjp(Total, "terms")
def _(node: Total, ct: Edge) -> Edge:
    return ct


class Together:
    """Cases side by side on one backend."""

    def __init__(self, cases: Sequence[Case], backend: str, seed: int, runs: Runs) -> None:
        self.cases, self.backend, self.runs = cases, backend, runs
        self.drawn = [Draw(case, seed) for case in cases]
        options = {} if backend == "numpy" else ONCE
        self.program = Program(_merged([case.graph for case in cases], total=True), backend, **options)
        held = all(case.still is case.graph for case in cases)
        self.still = self.program if held else Program(_merged([case.still for case in cases]), backend, **options)
        self.known: dict[float, list[np.ndarray]] = {}

    def ys(self, moves: Sequence[dict[str, np.ndarray]] = ()) -> list[np.ndarray]:
        """y of every case, at its point plus the given moves."""
        given = self._given(moves)
        taken = {x: given[x] for x in self.still.graph.input_names if x in given}
        found = self.runs(self.still.values(*(f"y {i}" for i in range(len(self.cases)))), taken)
        return [np.asarray(found[f"y {i}"], dtype=np.float64) for i in range(len(self.cases))]

    @cached_property
    def gradients(self) -> list[dict[str, np.ndarray]]:
        """J^T w of every case, by port."""
        names = [_name(i, x) for i, case in enumerate(self.cases) for x in case.ports]
        _, found = self.runs(self.program.value_and_grad("total", tuple(names)), self._given())
        factors = [1.0 if case.probe == "probe" else float(d.w) for case, d in zip(self.cases, self.drawn, strict=True)]
        return [
            {x: factor * np.asarray(found[_name(i, x)], dtype=np.float64) for x in case.ports}
            for i, (case, factor) in enumerate(zip(self.cases, factors, strict=True))
        ]

    @cached_property
    def directions(self) -> list[dict[str, np.ndarray]]:
        """v of every case, by port."""
        return [
            {x: d.walk(x, g) for x, g in found.items()} for d, found in zip(self.drawn, self.gradients, strict=True)
        ]

    @cached_property
    def tangents(self) -> list[np.ndarray]:
        """J v of every case."""
        names = tuple(_name(i, x) for i, case in enumerate(self.cases) for x in case.ports)
        of = tuple(f"y {i}" for i in range(len(self.cases)))
        program, request = self.program, Request(of, names, "tangent")
        function = Function(program.graph, program.backend, request, dict, program.settings)
        dots = {f"{_name(i, x)}_dot": v for i, moved in enumerate(self.directions) for x, v in moved.items()}
        found = self.runs(function, self._given() | dots)
        return [np.asarray(found[name, "tangent"], dtype=np.float64) for name in of]

    def f(self, i: int, h: float) -> float:
        """<w, y(x + h v)> of one case; all are evaluated together, once for each h."""
        if h not in self.known:
            self.known[h] = self.ys([{x: h * v for x, v in moved.items()} for moved in self.directions])
        return float(np.sum(self.drawn[i].w * self.known[h][i]))

    def results(self) -> list[tuple[np.ndarray, list[Row]]]:
        """y and the rows of every case."""
        return [(y, self._rows(i, y)) for i, y in enumerate(self.ys())]

    def _rows(self, i: int, y: np.ndarray) -> list[Row]:
        """The tests of one case, with all its inputs moving together."""
        case, w, v, g = self.cases[i], self.drawn[i].w, self.directions[i], self.gradients[i]
        moved = self.tangents[i]
        slope, forward = float(sum(np.sum(g[x] * v[x]) for x in g)), float(np.sum(w * moved))
        scale = max(float(np.linalg.norm(w) * np.linalg.norm(moved)), abs(slope))
        noise = rounding_noise(lambda h: self.f(i, h), float(np.sum(np.abs(w * y))))
        tests = {
            "dot product": judge(abs(forward - slope) / scale if scale else 0.0, DOT, lambda: 0.0),
            "difference": against_difference(lambda h: self.f(i, h), slope, noise),
        }
        ports = ", ".join(case.ports.values())
        return [Row(case.node, ports, test, self.backend, *verdict) for test, verdict in tests.items()]

    def _given(self, moves: Sequence[dict[str, np.ndarray]] = ()) -> dict[str, np.ndarray]:
        given = {}
        for i, (case, drawn) in enumerate(zip(self.cases, self.drawn, strict=True)):
            moved = moves[i] if moves else {}
            for x in case.graph.input_names:
                value = drawn.w if x == WEIGHT else case.values[x]
                given[_name(i, x)] = np.asarray(value + moved[x]) if x in moved else np.array(value)
        return given


def _name(i: int, x: str) -> str:
    return f"{x} of {i}"


def _merged(graphs: Sequence[Graph], *, total: bool = False) -> Graph:
    """The graphs beside each other; with the total of what is differentiated."""
    inputs: list[Edge] = []
    outputs: dict[str, Edge] = {}
    probes = []
    for i, graph in enumerate(graphs):
        new: dict[Vertex, Vertex] = {}
        for edge in graph.inputs:
            named = attrs.evolve(source_of(edge), name=_name(i, source_of(edge).name))
            new[edge.vertex] = Vertex(named, (), attrs.evolve(edge.vertex.origin, name=named.name))
        made = dict(zip(graph.outputs, rebuilt(list(graph.outputs.values()), new), strict=True))
        inputs += [Edge(new[edge.vertex]) for edge in graph.inputs]
        outputs[f"y {i}"] = made["y"]
        probes.append(made.get("probe", made["y"]))
    return Graph(inputs, outputs | ({"total": Total()(*probes)} if total else {}), name="check")
