"""Long chains become loops: the same numbers, a short text, and a compilation that does not grow with the chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import tograph as tg
from tograph import nodes as n
from tograph.arithmetic import Dot, Hadamard
from tograph.node import Node, Port

GRID = n.Grid(4, 3)
X = np.random.default_rng(1).uniform(0.2, 0.8, GRID.shape)
LENGTH = 60

KINDS: tuple[Callable[[Any, float], Any], ...] = (
    lambda x, a: n.Heaviside(beta=0.2 + a)(x),
    lambda x, a: n.Simp(p=1.0 + 0.01 * a)(x),
    lambda x, a: n.Ramp(q=0.01 * a)(x),
)


@tg.node
class Counted(Node):
    """y = sin x, counting how often it is traced."""

    inputs = (Port("x", "any"),)
    traces: ClassVar[list[int]] = []

    def forward(self, xp: Any, *values: Any) -> Any:
        """sin x."""
        self.traces.append(1)
        return xp.sin(values[0])


def field(name: str = "x") -> Any:
    return tg.source(name, GRID.field())


def graph_of(step: Callable[[int, list[Any]], Any], length: int = LENGTH, extra: tuple[Any, ...] = ()) -> tg.Graph:
    """x_(i+1) = step(i, [x_0, ..., x_i]); the output is |x_last|^2 + 0.3 x_3 . x_4."""
    x = field()
    values = [x]
    for i in range(length):
        values.append(step(i, values))
    return tg.Graph([x, *extra], {"c": Dot()(values[-1], values[-1]) + 0.3 * Dot()(values[3], values[4])})


def random_kind(i: int, values: list[Any]) -> Any:
    a = np.random.default_rng(i).uniform()
    return KINDS[int(3 * a)](values[-1], a)


WEIGHTS = np.random.default_rng(2).uniform(0.9, 1.1, (LENGTH, *GRID.shape))
B = tg.source("b", GRID.field())
BETA = tg.source("beta", default=0.4)
CHAINS: dict[str, tg.Graph] = {
    "one kind": graph_of(lambda i, v: KINDS[0](v[-1], 0.5)),
    "three kinds": graph_of(lambda i, v: KINDS[i % 3](v[-1], 0.5)),
    "parameters": graph_of(lambda i, v: KINDS[0](v[-1], 0.01 * i)),
    "random": graph_of(random_kind),
    "two back": graph_of(lambda i, v: 0.5 * (KINDS[0](v[-1], 0.5) + v[max(i - 1, 0)])),
    "far back": graph_of(lambda i, v: 0.5 * (KINDS[0](v[-1], 0.5) + v[max(i - 7, 0)])),
    "an array each": graph_of(lambda i, v: Hadamard()(KINDS[0](v[-1], 0.5), tg.constant(WEIGHTS[i]))),
    "a shared array": graph_of(lambda i, v: 0.5 * (KINDS[0](v[-1], 0.5) + B), extra=(B,)),
    "a wire": graph_of(lambda i, v: n.Heaviside(beta=BETA)(v[-1]), extra=(BETA,)),
    "numbers in wires": graph_of(lambda i, v: (0.9 + 0.001 * i) * KINDS[0](v[-1], 0.5)),
    "without a rule": graph_of(lambda i, v: Counted()(v[-1])),
    "branches": graph_of(lambda i, v: KINDS[0](v[0], 0.01 * i) if i < LENGTH - 1 else sum(v[2:], v[1])),
}


def values(graph: tg.Graph) -> dict[str, Any]:
    given = {"x": X, "b": 0.5 * np.ones(GRID.shape), "beta": 0.4}
    return {name: given[name] for name in graph.input_names}


@pytest.mark.parametrize("name", CHAINS)
def test_loops_change_no_number(name: str) -> None:
    graph = CHAINS[name]
    wrt = graph.input_names
    rolled, plain = (graph.compile(b).value_and_grad("c", wrt)(**values(graph)) for b in ("jax", "torch"))
    assert rolled[0] == pytest.approx(plain[0], rel=1e-12)
    for x in wrt:
        np.testing.assert_allclose(rolled[1][x], plain[1][x], rtol=1e-12, atol=1e-13 * np.abs(plain[1][x]).max())


@pytest.mark.parametrize("name", ["parameters", "three kinds", "two back"])
def test_second_derivatives_are_rolled_too(name: str) -> None:
    t = np.random.default_rng(3).normal(size=GRID.shape)
    rolled, plain = (CHAINS[name].compile(b).hvp("c", "x")(X, x_dot=t) for b in ("jax", "torch"))
    for a, b in zip(rolled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12 * np.abs(b).max())


def test_the_text_of_a_chain_does_not_grow_with_it() -> None:
    texts = [graph_of(lambda i, v: KINDS[i % 3](v[-1], 0.01 * i), k).compile("jax").source() for k in (60, 120)]
    lines = [text.count("\n") for text in texts]
    assert lines[0] == lines[1] < 60
    assert "scan(" in texts[0] and "for i in range(" in texts[0]


def test_what_is_short_is_left_as_it_is() -> None:
    assert "scan(" not in graph_of(lambda i, v: KINDS[0](v[-1], 0.5), 20).compile("jax").source()


def test_each_operation_is_traced_once_however_long_the_chain() -> None:
    counts = []
    for length in (120, 240):
        Counted.traces.clear()
        graph_of(lambda i, v: Counted()(v[-1]), length).compile("jax").values("c")(X)
        counts.append(len(Counted.traces))
    assert counts[0] == counts[1] <= 8


def test_ten_thousand_nodes() -> None:
    graph = graph_of(random_kind, 10_000)
    graph.validate()
    function = graph.compile("jax").value_and_grad("c", "x")
    assert sum(len(segment.vertices) for segment in function.schedule.segments) > 20_000


def test_many_outputs_and_many_turns_to_the_host_are_scheduled_in_linear_time() -> None:
    x = field()
    wide = tg.Graph([x], {f"c{i}": Dot()(x, KINDS[0](x, 0.001 * i)) for i in range(1000)})
    wide.validate()
    double = tg.host(lambda x: 0.5 * x, output=GRID.field())
    y = x
    for _ in range(300):
        y = KINDS[0](double(y), 0.5)
    function = tg.Graph([x], {"c": Dot()(y, y)}).compile("jax").values("c")
    assert len(function.schedule.segments) == 600
