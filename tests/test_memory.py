"""Memory: what is predicted is what is held, and a budget is kept by computing values again."""

from __future__ import annotations

import weakref
from typing import Any

import jax
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tograph as tg
from planted import CALLS, CountingSolver
from tograph import Graph
from tograph import nodes as n
from tograph.again import ROLE
from tograph.draw import draw
from tograph.lower import Lowered
from tograph.memory import bytes_of
from tograph.passes.remat import MOST, choices, repetitions
from tograph.problems import mbb
from tograph.program import Function
from tograph.spec import array

BACKENDS = ("jax", "torch")
RESOLUTION, WIDTH = 24, 16


def network(depth: int, activation: Any = None, resolution: int = RESOLUTION) -> Graph:
    """A neural field: an MLP evaluated on a grid of coordinates, and a loss; weights are inputs."""
    y, x = np.meshgrid(np.linspace(-1, 1, resolution), np.linspace(-1, 1, resolution), indexing="ij")
    h, width, weights = tg.constant(np.stack([x, y], axis=-1)), 2, []
    for i in range(depth + 1):
        outputs = WIDTH if i < depth else 1
        W, b = tg.source(f"W{i}", array("params", i=width, o=outputs)), tg.source(f"b{i}", array("params", o=outputs))
        weights += [W, b]
        h, width = n.Dense()(h, W, b, name=f"a{i}"), outputs
        h = (activation or n.Tanh())(h, name=f"h{i}") if i < depth else n.Sigmoid()(h, name="rho")
    return Graph(weights, {"loss": n.Dot()(h, h)})


def given(graph: Graph) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    shapes = {name: graph.input(name).vertex.node.spec.shape for name in graph.input_names}  # type: ignore[attr-defined]
    return {name: rng.normal(size=shape) / shape[0] ** 0.5 for name, shape in shapes.items()}


def fit(graph: Graph, backend: str, budget: int | str | None = None) -> Function:
    return graph.compile(backend, memory_budget=budget).value_and_grad("loss", graph.input_names)


class Held(TorchDispatchMode):
    """Bytes of all tensors made inside, as they come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            storage = tensor.untyped_storage()
            if storage._cdata not in self.alive:
                self.alive[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self.alive.pop, storage._cdata)
        self.peak = max(self.peak, sum(self.alive.values()))
        return made


def xla_temporaries(function: Function) -> int:
    """Bytes that XLA sets aside besides arguments and results, over all compiled segments."""
    lowered: Lowered = function.lowered
    edges = {slot: edge for edge, slot in lowered.slots.items()}
    total = 0
    with function.backend.scope():
        for step in lowered.steps:
            if step.segment.where == "device" and not step.segment.once:
                specs = [function.plan.specs[edges[i].vertex][edges[i].index] for i in step.inputs]
                like = [jax.ShapeDtypeStruct(spec.shape, function.backend.dtype_of(spec)) for spec in specs]
                found = step.run.lower(*like).compile().memory_analysis()  # type: ignore[attr-defined]
                total += found.temp_size_in_bytes
    return total


def close(got: Any, expected: Any) -> None:
    (value, grads), (wanted, slopes) = got, expected
    assert abs(value - wanted) <= 1e-12 * abs(wanted)
    for name, slope in slopes.items():
        assert np.abs(grads[name] - slope).max() <= 1e-12 * np.abs(slope).max()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", [n.Tanh(), n.Sin(omega=2.0)], ids=["tanh", "sin"])
def test_a_budget_changes_no_result(backend: str, activation: Any) -> None:
    graph = network(9, activation)
    values = given(graph)
    free = fit(graph, backend)
    expected, peak = free(**values), free.explain().peak_bytes
    for part in (0.9, 0.7, 0.5):
        function = fit(graph, backend, int(part * peak))
        close(function(**values), expected)
        shown = function.explain()
        assert shown.peak_bytes <= part * peak
        assert shown.residual_bytes < free.explain().residual_bytes
        again = [step for step in shown.steps if step["role"] == ROLE]
        assert again and any(change["by"] == "rematerialise" for change in shown.passes)


def test_a_large_budget_changes_nothing() -> None:
    graph = network(4)
    free = fit(graph, "torch")
    assert fit(graph, "torch", "1 GB").source() == free.source()


@pytest.mark.parametrize("depth", [2, 6, 12])
@pytest.mark.parametrize("part", [1.0, 0.6, 0.35])
def test_predicted_peak_is_what_torch_holds(depth: int, part: float) -> None:
    graph = network(depth, resolution=64)
    values = {name: torch.as_tensor(x) for name, x in given(graph).items()}
    whole = fit(graph, "torch").explain().peak_bytes
    try:
        function = fit(graph, "torch", int(part * whole))
    except tg.TographError:
        assert depth == 2 or part < 0.4
        return
    function(**values)
    with Held() as held:
        function(**values)
    assert abs(function.explain().peak_bytes - held.peak) <= 0.1 * held.peak


@pytest.mark.parametrize("activation", [n.Tanh(), n.Sin(omega=2.0)], ids=["tanh", "sin"])
def test_xla_needs_less_within_a_budget(activation: Any) -> None:
    """The copies are not merged with the originals: what XLA sets aside really falls."""
    graph = network(12, activation, resolution=64)
    free = fit(graph, "jax")
    whole, predicted = xla_temporaries(free), free.explain().peak_bytes
    assert abs(predicted - whole) <= 0.1 * whole
    half = fit(graph, "jax", predicted // 2)
    assert xla_temporaries(half) <= 0.6 * whole
    assert xla_temporaries(half) <= 1.25 * half.explain().peak_bytes


@pytest.mark.parametrize("backend", BACKENDS)
def test_solves_are_never_repeated(backend: str) -> None:
    """Every choice for a workflow with a solve, whether it lowers the peak or not."""
    beam = mbb(nelx=12, nely=4)
    graph = beam.workflow(radius=1.7, beta=4.0, E_min=0.1, solver=CountingSolver())
    rho = np.random.default_rng(3).uniform(0.2, 0.9, beam.grid.shape)
    free = graph.compile(backend).value_and_grad(("compliance", "volume"), "rho")
    expected = free(rho)
    made = list(choices(free.plan))
    assert made[0] is free.plan and len(made) == 3
    for plan in made[1:]:
        function = Function(graph, free.backend, free.request, free._pack, free.settings, plan)
        CALLS.clear()
        values, grads = function(rho)
        assert (CALLS["factor"], CALLS["solve"]) == (1, 1)
        again = [vertex.node.title for vertex in plan.order if vertex.origin.role == ROLE]
        assert "Hadamard" in again and not {"Factor", "ApplyFactor"} & set(again)
        assert function.explain().residual_bytes < free.explain().residual_bytes
        for name, slope in expected[1].items():
            assert abs(values[name] - expected[0][name]) <= 1e-12 * abs(values[name])
            assert np.abs(grads[name] - slope).max() <= 1e-12 * np.abs(slope).max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_within_a_budget(backend: str) -> None:
    graph = network(5)
    values = {name: np.stack([x, 2.0 * x]) for name, x in given(graph).items()}
    free: Any = graph.compile(backend).batch(graph.input_names).value_and_grad("loss", graph.input_names)
    expected, peak = free(**values), free.explain(2).peak_bytes
    program = graph.compile(backend, memory_budget=int(0.7 * peak)).batch(graph.input_names, size=2)
    tight = program.value_and_grad("loss", graph.input_names)
    value, grads = tight(**values)
    assert tight.explain().peak_bytes <= 0.7 * peak
    assert np.allclose(value, expected[0], rtol=1e-12)
    assert all(np.allclose(grads[name], slope, rtol=1e-12, atol=1e-14) for name, slope in expected[1].items())


def test_values_are_let_go_early() -> None:
    """A chain of many steps holds few values at a time, whatever its length."""
    h = x = tg.source("x", array("vector", n=1000))
    for _ in range(50):
        h = n.Tanh()(h)
    function = Graph([x], {"y": h}).compile("torch").values("y")
    function(np.ones(1000))
    with Held() as held:
        function(torch.ones(1000, dtype=torch.float64))
    assert held.peak <= 3 * 8000
    assert function.explain().peak_bytes <= 3 * 8000
    assert function.source().count("    del ") == 50


def test_repetitions_are_those_of_the_binomial_schedule() -> None:
    """None with a slot for every step; all earlier ones for each step without; few slots, few repetitions."""
    assert [repetitions(steps, steps - 1) for steps in (1, 2, 10)] == [0, 0, 0]
    assert repetitions(10, 0) == sum(range(10))
    assert repetitions(40, 8) < repetitions(40, 4) < repetitions(40, 3) <= MOST * 40
    assert repetitions(35, 3) <= 4 * 35  # C(3 + 4, 3) = 35: no step more than four times


def test_a_budget_that_cannot_be_met() -> None:
    graph = network(4)
    shown = fit(graph, "torch").explain()
    with pytest.raises(tg.TographError) as caught:
        fit(graph, "torch", "10 kB")
    message = str(caught.value)
    assert message.startswith(
        f"the memory budget of 10,000 bytes cannot be met: the peak is {shown.peak_bytes:,} bytes, and "
    )
    assert message.endswith("bytes at once. Give a larger budget, dtype='float32', or a smaller problem")
    assert "if all that can be is computed again, reached in " in message and ", which takes and gives " in message
    least = int(message.partition("bytes, and ")[2].partition(" ")[0].replace(",", ""))
    told = fit(graph, "torch", least).explain()
    assert (told.peak_bytes, told.peak_at) == (least, "vjp Dense.x of a1, 147 kB")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (1000, 1000),
        ("1 kB", 1000),
        ("1 KiB", 1024),
        ("256 MiB", 256 * 1024**2),
        ("1.5GB", 1_500_000_000),
        ("2g", 2 * 10**9),
    ],
)
def test_units(text: Any, count: int) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize("wrong", [0, -1, "much", "1 XB", "", True, 0.0])
def test_no_budget(wrong: Any) -> None:
    with pytest.raises(tg.TographError) as caught:
        network(1).compile("torch", memory_budget=wrong)
    assert str(caught.value) == f"memory_budget is {wrong!r}. Give bytes, or a text such as '256 MiB'"


def test_the_picture_shows_what_is_computed_again() -> None:
    graph = network(4)
    function = fit(graph, "torch", int(0.8 * fit(graph, "torch").explain().peak_bytes))
    again = [box for box in draw(function).diagram.boxes if box.title.endswith(" again")]
    assert again and all(box.lane == "reverse" and box.badges == ("again",) for box in again)
    assert {box.title.removesuffix(" again") for box in again} <= {f"{letter}{i}" for letter in "ah" for i in range(5)}
