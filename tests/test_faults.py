"""Planted faults: each is found, by the full check and by the quick one, and the right node is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

import tograph as tg
from tograph import Graph, Node, Port, codec
from tograph import nodes as n
from tograph.implicit import ImplicitNode
from tograph.rootsolver import RootSolver

RNG = np.random.default_rng(5)
GRID = n.Grid(3, 2)
X = RNG.uniform(0.5, 0.9, (2, 3))
A = RNG.normal(size=(6, 6))


def node_type(forward: Callable[..., Any], *ports: str, scalars: tuple[str, ...] = (), **members: Any) -> Any:
    """A new node type: no two faults share an entry in the table of rules."""
    inputs = tuple(Port(name, "scalar" if name in scalars else "any") for name in ports)
    body = {"inputs": inputs, "forward": lambda self, xp, *v: forward(xp, *v), "__module__": __name__, **members}
    return tg.node(type("Planted", (Node,), body))


@attrs.frozen
class Fault:
    """What is planted, in words; the type of the faulty node; what its inputs are; where the fault exists."""

    name: str
    make: Callable[[], Any]
    inputs: tuple[Any, ...] = (X,)
    backends: tuple[str, ...] = ("jax", "torch")
    quick: bool = True


def square(rule: Callable[..., Any] | None = None, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        made = node_type(lambda xp, x: x * x, "x")
        if rule is not None:
            tg.vjp(made, "x", **options)(rule)
        return made()

    return make


def linear(rule: Callable[..., Any]) -> Callable[[], Any]:
    """y = A x."""

    def make() -> Any:
        made = node_type(lambda xp, x: xp.reshape(_as(xp, A, x) @ xp.reshape(x, (-1,)), x.shape), "x")
        tg.vjp(made, "x")(rule)
        return made()

    return make


def _as(xp: Any, array: np.ndarray, like: Any) -> Any:
    return xp.asarray(array, dtype=like.dtype)


def two(rule_a: Callable[..., Any], rule_b: Callable[..., Any], scalars: tuple[str, ...] = ()) -> Callable[[], Any]:
    """y = a^2 b."""

    def make() -> Any:
        made = node_type(lambda xp, a, b: a * a * b, "a", "b", scalars=scalars)
        tg.vjp(made, "a")(rule_a)
        tg.vjp(made, "b")(rule_b)
        return made()

    return make


def pair(swapped: bool) -> Callable[[], Any]:
    """u = x^2, v = 3 x."""

    def make() -> Any:
        made = node_type(
            lambda xp, x: (x * x, 3.0 * x), "x", outputs=(Port("u"), Port("v")), infer=lambda self, s: (s, s)
        )

        def rule(node: Node, xp: Any, ct: Any, x: Any) -> Any:
            first, second = ct[::-1] if swapped else ct
            return 2.0 * x * first + 3.0 * second

        tg.vjp(made, "x")(rule)
        return made()

    return make


def both_modes(tangent: Callable[..., Any], cotangent: Callable[..., Any]) -> Callable[[], Any]:
    def make() -> Any:
        made = node_type(lambda xp, x: x * x, "x")
        tg.jvp(made, "x")(tangent)
        tg.vjp(made, "x")(cotangent)
        return made()

    return make


def writes_into_input() -> Any:
    def forward(xp: Any, x: Any) -> Any:
        x *= 2.0
        return x

    return node_type(forward, "x")()


def leaks() -> Any:
    return node_type(lambda xp, x: x * xp.asarray(np.ones(3), dtype=xp.float64), "x")()


def only_in_torch() -> Any:
    made = node_type(lambda xp, x: x * x, "x")
    tg.implements(made, "torch")(lambda node, xp, x: x * x + 1e-8 * x)
    return made()


def remembers() -> Any:
    """A host function that gives something else at every call."""
    calls: list[int] = []

    def forward(xp: Any, x: Any) -> Any:
        calls.append(1)
        return x * x + 1e-3 * len(calls)

    return node_type(forward, "x", host=True)()


def stale() -> Any:
    """The rule uses what `forward` left behind at its last call."""
    left: dict[str, Any] = {}

    def forward(xp: Any, x: Any) -> Any:
        left["x"] = x
        return x * x

    made = node_type(forward, "x")
    tg.vjp(made, "x")(lambda node, xp, ct, x: 2.0 * ct * left["x"])
    return made()


def at_zero(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return ct * xp.where(x == 0.0, 1.0 + x, 2.0 * x)


def in_single(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return ct * (2.0 if x.dtype == xp.float64 else 2.1) * x


def single_inside(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    return xp.astype(xp.astype(2.0 * x * ct, xp.float32), x.dtype)


def second_use(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    """y = x x, of which only the first factor is seen."""
    return x * ct


def raising(node: Node, xp: Any, ct: Any, x: Any) -> Any:
    raise KeyError("pattern")


def frozen_slope() -> Any:
    """The gradient is right, and its own derivative is not: the rule detaches x."""
    made = node_type(lambda xp, x: x * x, "x")
    tg.vjp(made, "x")(lambda node, xp, ct, x: ct * Frozen.twice(xp, x))
    return made()


class Frozen:
    """2 x without a derivative in x, in either framework."""

    @staticmethod
    def twice(xp: Any, x: Any) -> Any:
        return xp.round(x * 2.0**40) / 2.0**39  # rounding has no slope


def detached() -> Any:
    made = node_type(lambda xp, x: x * x, "x")
    tg.vjp(made, "x")(lambda node, xp, ct, x: 0.0 * x * ct)
    return made()


@codec.register
@attrs.frozen
class Known(RootSolver):
    """Knows y = x^2 without looking at the residual."""

    def solve(self, backend: Any, node: ImplicitNode, residual: Any, inputs: list[Any]) -> Any:
        return inputs[0] ** 2


@tg.node
class OffByOne(ImplicitNode):
    """y = x^2 by a solver, and a residual that looks at the neighbour of y."""

    inputs = (Port("x"),)
    solver: Any = attrs.field(factory=Known)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        return xp.roll(y, 1) - inputs[0] ** 2

    def start(self, xp: Any, *inputs: Any) -> Any:
        return inputs[0]


SCALAR = ("b",)
FAULTS = [
    Fault("wrong sign", square(lambda node, xp, ct, x: -2.0 * x * ct)),
    Fault("wrong scale", square(lambda node, xp, ct, x: 2.00001 * x * ct)),
    Fault("missing factor 2", square(lambda node, xp, ct, x: x * ct)),
    Fault("second use forgotten", square(second_use)),
    Fault("one entry wrong", square(lambda node, xp, ct, x: 2.0 * ct * xp.where(x == xp.max(x), 1.001 * x, x))),
    Fault("not linear in the cotangent", square(lambda node, xp, ct, x: 2.0 * x * ct * xp.abs(ct))),
    Fault("detached by mistake", detached),
    Fault("raises an exception", square(raising)),
    Fault("a shape lost", square(lambda node, xp, ct, x: xp.sum(2.0 * x * ct))),
    Fault("not finite", square(lambda node, xp, ct, x: ct * x / (x - x))),
    Fault(
        "missing transpose",
        linear(lambda node, xp, ct, x: xp.reshape(_as(xp, A, x) @ xp.reshape(ct, (-1,)), x.shape)),
    ),
    Fault(
        "declared symmetric",
        linear(lambda node, xp, ct, x: xp.reshape(_as(xp, (A + A.T) / 2, x) @ xp.reshape(ct, (-1,)), x.shape)),
    ),
    Fault(
        "wrong port",
        two(lambda node, xp, ct, a, b: a * a * ct, lambda node, xp, ct, a, b: 2.0 * a * b * ct),
        (X, X + 0.3),
    ),
    Fault(
        "wrong chain through a parameter",
        two(lambda node, xp, ct, a, b: 2.0 * a * b * ct, lambda node, xp, ct, a: xp.sum(a * ct), SCALAR),
        (X, 1.3),
    ),
    Fault(
        "sum of a broadcast forgotten",
        two(lambda node, xp, ct, a, b: 2.0 * a * b * ct, lambda node, xp, ct, a: (a * a * ct)[0, 0], SCALAR),
        (X, 1.3),
    ),
    Fault("outputs swapped", pair(True)),
    Fault("jvp right, vjp wrong", both_modes(lambda node, xp, t, x: 2.0 * x * t, lambda node, xp, ct, x: 3.0 * x * ct)),
    Fault("vjp right, jvp wrong", both_modes(lambda node, xp, t, x: 3.0 * x * t, lambda node, xp, ct, x: 2.0 * x * ct)),
    Fault(
        "jvp not linear",
        both_modes(lambda node, xp, t, x: 2.0 * x * t * (1.0 + t), lambda node, xp, ct, x: 2.0 * x * ct),
    ),
    Fault("float32 inside", square(single_inside)),
    Fault("value of one backend", only_in_torch, backends=("torch",)),
    Fault("rule of one backend", square(lambda node, xp, ct, x: 3.0 * x * ct, backend="torch"), backends=("torch",)),
    Fault("writes into its input", writes_into_input, backends=("torch",), quick=False),
    Fault("float32 leak", leaks, backends=("torch",), quick=False),
    Fault("remembers its calls", remembers),
    Fault("stale state", stale, quick=False),
    Fault("wrong at 0 only", square(at_zero), quick=False),
    Fault("wrong in float32 only", square(in_single), quick=False),
    Fault("second derivative", frozen_slope, quick=False),
]

RIGHT = [
    Fault("square", square(lambda node, xp, ct, x: 2.0 * x * ct)),
    Fault("linear", linear(lambda node, xp, ct, x: xp.reshape(_as(xp, A.T, x) @ xp.reshape(ct, (-1,)), x.shape))),
    Fault(
        "two",
        two(lambda node, xp, ct, a, b: 2.0 * a * b * ct, lambda node, xp, ct, a: a * a * ct),
        (X, X + 0.3),
    ),
    Fault(
        "parameter",
        two(lambda node, xp, ct, a, b: 2.0 * a * b * ct, lambda node, xp, ct, a: xp.sum(a * a * ct), SCALAR),
        (X, 1.3),
    ),
    Fault("pair", pair(False)),
    Fault("both modes", both_modes(lambda node, xp, t, x: 2.0 * x * t, lambda node, xp, ct, x: 2.0 * x * ct)),
]


def graph(fault: Fault) -> Graph:
    """x -> scaled -> planted -> squared sums: the faulty node stands between right ones."""
    sources = [tg.source(f"x{i}", _spec(value), default=value) for i, value in enumerate(fault.inputs)]
    before = [edge * 1.1 for edge in sources]
    made = fault.make()(*before, name="planted")
    ends = made if isinstance(made, tuple) else (made,)
    return Graph(sources, {f"c{i}": n.Dot()(end, end) for i, end in enumerate(ends)})


def _spec(value: Any) -> tg.Spec:
    return GRID.field() if np.ndim(value) else tg.Spec("scalar")


CASES = [(fault, backend) for fault in FAULTS for backend in fault.backends]


def of_all(cases: list[tuple[Fault, str]]) -> pytest.MarkDecorator:
    names = [f"{fault.name}-{backend}".replace(" ", "_") for fault, backend in cases]
    return pytest.mark.parametrize(("fault", "backend"), cases, ids=names)


@of_all(CASES)
def test_the_full_check_names_the_faulty_node(fault: Fault, backend: str) -> None:
    report = tg.check(graph(fault), backends=(backend,))
    assert report.first_wrong is not None and report.first_wrong.split(".")[0] == "planted", f"\n{report}"


@of_all([case for case in CASES if case[0].quick])
def test_the_quick_check_names_the_faulty_node(fault: Fault, backend: str) -> None:
    report = tg.check(graph(fault), backends=(backend,), quick=True)
    assert report.first_wrong is not None and report.first_wrong.split(".")[0] == "planted", f"\n{report}"


@pytest.mark.parametrize("right", RIGHT, ids=lambda right: right.name)
def test_the_same_without_a_fault_passes(right: Fault) -> None:
    assert (report := tg.check(graph(right))).passed, f"\n{report}"
    assert (report := tg.check(graph(right), quick=True)).passed, f"\n{report}"


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("quick", [False, True])
def test_a_residual_that_is_off_by_one(backend: str, quick: bool) -> None:
    """There is no value to start from, and the message names the node."""
    with pytest.raises(tg.SolveError, match=r"^solve of planted \(OffByOne\), declared at "):
        tg.check(graph(Fault("residual off by one", OffByOne)), backends=(backend,), quick=quick)


def test_there_are_enough_of_them() -> None:
    assert len({fault.name for fault in FAULTS}) >= 20
