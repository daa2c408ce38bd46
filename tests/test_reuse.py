"""What is compiled once stays compiled: equal graphs share their device segments, and only those."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

import tograph as tg
from tograph import nodes as n
from tograph import reuse
from tograph.arithmetic import Dot
from tograph.node import Node, Port

X = np.full((2, 4), 0.5)


@tg.node
class Traced(Node):
    """y = s x, counting how often it is traced."""

    inputs = (Port("x", "any"),)
    traces: ClassVar[list[int]] = []
    s: Any = tg.parameter(default=2.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        """s x."""
        self.traces.append(1)
        return values[1] * values[0]


def declared(s: Any = 2.0, grid: Any = None, name: str = "x") -> tg.Graph:
    x = tg.source(name, (grid or n.Grid(4, 2)).field())
    y = Traced(s=s)(x)
    return tg.Graph([x, s] if isinstance(s, tg.Edge) else [x], {"c": Dot()(y, y)})


def traced(run: Any) -> int:
    before = len(Traced.traces)
    run()
    return len(Traced.traces) - before


def value_and_grad(graph: tg.Graph, backend: str = "jax", **options: Any) -> Any:
    return graph.compile(backend, **options).value_and_grad("c", graph.input_names[0])


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "_kept", type(reuse._kept)())


def test_an_equal_graph_is_not_traced_again() -> None:
    assert traced(lambda: value_and_grad(declared())(X)) > 0
    assert traced(lambda: value_and_grad(declared())(X)) == 0
    assert traced(lambda: value_and_grad(declared())(0.3 * X)) == 0


def test_neither_a_wired_parameter_nor_a_restart_traces_again() -> None:
    function = value_and_grad(declared(tg.source("s", default=2.0)))
    first, _ = function(X)
    assert traced(lambda: function(X, s=3.0)) == 0
    again = value_and_grad(declared(tg.source("s", default=2.0)))
    assert traced(lambda: again(X, s=4.0)) == 0
    assert again(X)[0] == first and again(X, s=4.0)[0] == pytest.approx(4.0 * first)


@pytest.mark.parametrize(
    ("other", "options", "factor"),
    [
        (declared(3.0), {}, 9.0 / 4.0),
        (declared(), {"dtype": "float32"}, 1.0),
        (declared(grid=n.Grid(4, 3)), {}, 1.5),
    ],
    ids=["another parameter", "another precision", "another size"],
)
def test_what_differs_is_compiled_by_itself(other: tg.Graph, options: dict[str, Any], factor: float) -> None:
    first, _ = value_and_grad(declared())(X)
    function = value_and_grad(other, **options)
    x = np.full(other.vertices[0].node.infer().shape, 0.5)  # type: ignore[union-attr]
    assert traced(lambda: function(x)) > 0
    assert function(x)[0] == pytest.approx(factor * first)


def test_why_something_is_compiled() -> None:
    first = value_and_grad(declared())
    assert first.explain_cache_miss() == "device_0: new: no such text is among the last 128"
    reasons = {
        "compiled before": declared(),
        "new: like one compiled before, but for do_traced, do_vjp_traced_x": declared(3.0),
        "new: like one compiled before, but for shapes of inputs, do_traced, do_add, do_vjp_traced_x": declared(
            grid=n.Grid(4, 3)
        ),
    }
    for reason, graph in reasons.items():
        assert value_and_grad(graph).explain_cache_miss() == f"device_0: {reason}"
    found = value_and_grad(declared(grid=n.Grid(4, 3)), dtype="float32").explain_cache_miss()
    assert found == "device_0: new: like one compiled before, but for backend, precision or device"


def test_another_class_of_the_same_name_is_another_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = value_and_grad(declared())(X)
    monkeypatch.setattr(Traced, "forward", lambda self, xp, x, s: 5.0 * s * x)
    assert value_and_grad(declared())(X)[0] == pytest.approx(25.0 * first)


def test_the_text_shown_is_the_one_that_runs() -> None:
    for name in ("x", "rho"):
        function = value_and_grad(declared(name=name))
        function(X)
        step = function.lowered.steps[0]
        shown = function.source().split("(")[1].split(")")[0]
        assert step.run.__wrapped__.__code__.co_varnames[: step.run.__wrapped__.__code__.co_argcount] == (shown,)


def test_only_the_last_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "KEPT", 3)
    for s in range(1, 9):
        value_and_grad(declared(float(s)))(X)
    assert len(reuse._kept) == 3
    assert traced(lambda: value_and_grad(declared(8.0))(X)) == 0
    assert traced(lambda: value_and_grad(declared(1.0))(X)) > 0
