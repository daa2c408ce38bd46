"""What is compiled once stays compiled: equal graphs share their device segments, and only those."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import jax
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


def test_a_program_says_for_all_its_functions_why_they_were_compiled() -> None:
    program = declared().compile("jax")
    assert program.explain_cache_miss() == "no function has been asked for yet"
    program.value_and_grad("c", "x")
    program.values("c")
    assert program.explain_cache_miss() == (
        "value and gradient of c with respect to x\ndevice_0: new: no such text is among the last 128\n\n"
        "value of c\ndevice_0: new: no such text is among the last 128"
    )
    members = program.batch("x")
    function = members.value_and_grad("c", "x")
    assert function.explain_cache_miss() == "no size of batch has been met yet"
    function(np.stack([X, X]))
    assert function.explain_cache_miss().startswith("2 members\ndevice_0: new")


def test_what_is_compiled_can_be_kept_for_other_processes(tmp_path: Path) -> None:
    """A new process has compiled nothing; here the store of this one is emptied."""
    hits: list[str] = []
    jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
    tg.compilation_cache(tmp_path / "kept")
    try:
        first, _ = value_and_grad(declared(2.5))(X)
        kept = {path.name for path in (tmp_path / "kept").iterdir()}
        reuse._kept.clear()
        hits.clear()
        again, _ = value_and_grad(declared(2.5))(X)
    finally:
        tg.compilation_cache(None)
    assert kept and again == first
    assert hits.count("/jax/compilation_cache/cache_hits") > 0
    assert "/jax/compilation_cache/cache_misses" not in hits


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(tg.TographError, match=r"compiled programs cannot be kept in .*file/kept': Not a directory"):
        tg.compilation_cache(tmp_path / "file" / "kept")
