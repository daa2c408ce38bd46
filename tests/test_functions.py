"""Functions, foreign solvers and modules as nodes: tg.host, tg.function, one's own solvers."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import numpy as np
import pyamg
import pytest
import scipy.optimize
import scipy.sparse as sp

import tograph as tg
from tograph import Edge, Graph, SolveError, Spec, codec
from tograph import nodes as n
from tograph.function_nodes import FunctionRule
from tograph.implicit import AdjointSolve, ImplicitNode
from tograph.problems import mbb
from tograph.residual import ResidualNorm
from tograph.solvers import Newton, RootSolver
from tograph.spec import array

BACKENDS = ("jax", "torch")
FIELD = array("field", ny=4, nx=3)
RNG = np.random.default_rng(3)
A, B, W = RNG.uniform(0.3, 0.9, (3, 4, 3))


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y = a^3 b: all its derivatives are known."""
    return a**3 * b


def product_vjp(ct: Any, a: Any, b: Any) -> Any:
    return 3 * a**2 * b * ct, a**3 * ct


def product_vjp_from_result(ct: Any, a: Any, b: Any, out: Any) -> Any:
    return 3 * out / a * ct, out / b * ct


PARTIAL: dict[str, Callable[..., Any]] = {"a": lambda ct, a, b: 3 * a**2 * b * ct, "b": lambda ct, a: a**3 * ct}
PARTIAL_JVP: dict[str, Callable[..., Any]] = {"a": lambda t, a, b: 3 * a**2 * b * t, "b": lambda t, a: a**3 * t}


def weighted(node: Any, derivative: Any = None) -> Graph:
    """o = W . node(a, b)"""
    a, b = tg.source("a", FIELD), tg.source("b", FIELD)
    y = node(a, b, derivative=derivative, name="y")
    return Graph([a, b], {"o": n.Dot()(y, W), "y": y})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "options",
    [
        {"vjp": product_vjp},
        {"vjp": product_vjp_from_result},
        {"vjp": PARTIAL},
        {"derivative": "finite-difference"},
        {"derivative": "complex-step"},
    ],
)
def test_gradients_of_a_host_function(options: dict[str, Any], backend: str, dtype: str) -> None:
    function = weighted(tg.host(product, **options)).compile(backend, dtype=dtype).value_and_grad("o", ("a", "b"))
    value, gradient = function(A, B)
    allowed = 1e-9 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(value, np.sum(W * A**3 * B), rtol=allowed)
    np.testing.assert_allclose(gradient["a"], 3 * A**2 * B * W, rtol=allowed)
    np.testing.assert_allclose(gradient["b"], A**3 * W, rtol=allowed)
    assert gradient["a"].dtype == dtype
    used = {u.how for u in function.plan.used if u.vertex.origin.name == "y"}
    wanted = "registered" if "vjp" in options else options["derivative"]
    assert len(used) == 1 and used.pop().startswith(wanted)


@pytest.mark.parametrize("backend", BACKENDS)
def test_tangents(backend: str) -> None:
    for options in ({"jvp": PARTIAL_JVP}, {"derivative": "complex-step"}):
        program = weighted(tg.host(product, **options)).compile(backend)
        _, tangent = program.jvp("y", "a")(A, B, a_dot=W)
        np.testing.assert_allclose(tangent, 3 * A**2 * B * W, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_derivatives(backend: str) -> None:
    exact = 6 * A * B * W * W
    for method, allowed in (("finite-difference", 1e-5), ("complex-step", 1e-9)):
        program = weighted(tg.host(product), method).compile(backend)
        *_, product_with_hessian = program.hvp("o", "a")(A, B, W)
        np.testing.assert_allclose(product_with_hessian, exact, rtol=allowed)
    with pytest.raises(
        tg.GraphError, match=r"y\.a: vjp product is a host node without a jvp rule.*declared at"
    ) as info:
        weighted(tg.host(product, vjp=PARTIAL, jvp=PARTIAL_JVP)).compile(backend).hvp("o", "a")
    assert "Call product with derivative='finite-difference'" in str(info.value)


def test_a_rule_for_all_inputs_runs_once() -> None:
    calls = []

    def counted(ct: Any, a: Any, b: Any) -> Any:
        calls.append(1)
        return product_vjp(ct, a, b)

    function = weighted(tg.host(product, vjp=counted)).compile("jax").value_and_grad("o", ("a", "b"))
    function(A, B)
    assert len(calls) == 1
    assert sum(isinstance(v.node, FunctionRule) for v in function.plan.order) == 1


def test_everything_of_a_host_function_runs_on_the_host() -> None:
    for options in ({"vjp": product_vjp}, {"derivative": "finite-difference"}):
        function = weighted(tg.host(product, **options)).compile("jax").value_and_grad("o", ("a", "b"))
        for segment in function.schedule.segments:
            for vertex in segment.vertices:
                assert (segment.where == "host") == (vertex.origin.name == "y"), vertex


class Seen:
    """Remembers what it was called with."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []

    def __call__(self, a: np.ndarray) -> np.ndarray:
        self.arrays.append(a)
        return 2.0 * a


def one_input(node: Any, **options: Any) -> Graph:
    a = tg.source("a", FIELD)
    y = node(a, name="y", **options)
    return Graph([a], {"y": y})


def test_jax_arrays_are_not_copied() -> None:
    import jax

    seen = Seen()
    program = one_input(tg.host(seen)).compile("jax")
    with jax.enable_x64(True):
        given = jax.numpy.asarray(A)
        result = program(given)["y"]
        assert np.shares_memory(seen.arrays[0], np.asarray(given))
        assert seen.arrays[0].__array_interface__["data"][0] == given.unsafe_buffer_pointer()
    assert not seen.arrays[0].flags.writeable
    np.testing.assert_array_equal(np.asarray(result), 2 * A)


def test_torch_arrays_are_not_copied() -> None:
    import torch

    seen = Seen()
    given = torch.tensor(A)
    result = one_input(tg.host(seen)).compile("torch")(given)["y"]
    assert np.shares_memory(seen.arrays[0], given.numpy())
    assert seen.arrays[0].__array_interface__["data"][0] == given.data_ptr()
    assert not seen.arrays[0].flags.writeable
    np.testing.assert_array_equal(result.numpy(), 2 * A)


@pytest.mark.parametrize("backend", BACKENDS)
def test_real_numbers_are_float64_on_the_host(backend: str) -> None:
    seen = Seen()
    result = one_input(tg.host(seen)).compile(backend, dtype="float32")(A)["y"]
    assert seen.arrays[0].dtype == "float64"
    assert result.dtype == "float32"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reused_buffer_does_not_change_earlier_results(backend: str) -> None:
    buffer = np.zeros_like(A)

    def fill(a: np.ndarray) -> np.ndarray:
        buffer[...] = a
        return buffer

    program = one_input(tg.host(fill)).compile(backend)
    first = program(A)["y"]
    program(B)
    np.testing.assert_array_equal(first, A)


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_outputs_and_integers(backend: str) -> None:
    def split(a: np.ndarray, rank: np.ndarray) -> tuple[Any, Any, Any]:
        return np.sum(a), a[rank], np.argsort(a[:, 0])

    specs = (Spec("scalar"), FIELD, array("integer", "integer", ny=4))
    node = tg.host(split, output=specs, outputs=("total", "sorted", "order"))
    a = tg.source("a", FIELD)
    order = np.argsort(A[:, 0])
    total, ordered, rank = node(a, order)
    program = Graph([a], {"total": total, "sorted": ordered, "rank": rank}).compile(backend)
    found = program(A)
    np.testing.assert_allclose(found["total"], A.sum(), rtol=1e-14)
    np.testing.assert_array_equal(found["sorted"], A[order])
    np.testing.assert_array_equal(found["rank"], order)
    assert found["rank"].dtype.kind == "i"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rule_with_several_outputs(backend: str) -> None:
    def both(a: np.ndarray) -> Any:
        return np.sum(a**2), a**3

    def both_vjp(cts: Any, a: Any) -> Any:
        return 2 * a * cts[0] + 3 * a**2 * cts[1]

    a = tg.source("a", FIELD)
    square, cube = tg.host(both, output=(Spec("scalar"), FIELD), outputs=("square", "cube"), vjp=both_vjp)(a)
    program = Graph([a], {"o": square + n.Dot()(cube, W), "square": square}).compile(backend)
    np.testing.assert_allclose(program.value_and_grad("o", "a")(A)[1], 2 * A + 3 * A**2 * W, rtol=1e-13)
    np.testing.assert_allclose(program.value_and_grad("square", "a")(A)[1], 2 * A, rtol=1e-13)


def test_output_may_depend_on_the_inputs() -> None:
    node = tg.host(lambda a: a.sum(axis=1), output=lambda a: Spec(a.kind, a.axes[:1]))
    np.testing.assert_allclose(one_input(node).compile("jax")(A)["y"], A.sum(axis=1))


def test_inputs_called_t_and_ct_do_not_clash_with_what_moves() -> None:
    def heated(t: np.ndarray, ct: np.ndarray) -> np.ndarray:
        return t * t * ct

    node = tg.host(heated, vjp={"t": lambda s, t, ct: 2 * t * ct * s}, jvp={"t": lambda s, t, ct: 2 * t * ct * s})
    program = weighted(node).compile("jax")
    np.testing.assert_allclose(program.value_and_grad("o", "a")(A, B)[1], 2 * A * B * W, rtol=1e-14)
    np.testing.assert_allclose(program.jvp("y", "a")(A, B, a_dot=W)[1], 2 * A * B * W, rtol=1e-14)


def test_inside_the_transforms_of_jax() -> None:
    import jax

    batch = np.stack([A, 2 * A])
    for options in ({"vjp": PARTIAL, "jvp": PARTIAL_JVP}, {"derivative": "complex-step"}):
        function = weighted(tg.host(product, **options)).compile("jax").as_jax("o")
        with jax.enable_x64(True):
            gradients = jax.jit(jax.vmap(jax.grad(function), in_axes=(0, None)))(batch, B)
        np.testing.assert_allclose(gradients, 3 * batch**2 * B * W, rtol=1e-12)
    only = weighted(tg.host(product, vjp=PARTIAL)).compile("jax").as_jax("o")
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.grad(only)(A, B), 3 * A**2 * B * W, rtol=1e-12)
        with pytest.raises(tg.GraphError, match="product is a host node without a jvp rule for 'a'"):
            jax.jvp(lambda a: only(a, B), (A,), (W,))


def test_inside_torch() -> None:
    import torch

    a = torch.tensor(A, requires_grad=True)
    weighted(tg.host(product, vjp=PARTIAL)).compile("torch").as_torch("o")(a, torch.tensor(B)).backward()
    assert a.grad is not None
    np.testing.assert_allclose(a.grad.numpy(), 3 * A**2 * B * W, rtol=1e-12)


# Errors.


def bad(a: np.ndarray) -> np.ndarray:
    raise ZeroDivisionError("the mesh is empty")


@pytest.mark.parametrize("backend", BACKENDS)
def test_exceptions_name_the_node_and_its_line(backend: str) -> None:
    with pytest.raises(tg.HostError, match=r"^y \(bad, declared at .*test_functions.py:\d+\) raised Zero") as info:
        one_input(tg.host(bad)).compile(backend)(A)
    assert isinstance(info.value.__cause__, ZeroDivisionError)
    assert isinstance(info.value, tg.TographError)


def test_exceptions_name_the_right_one_of_equal_nodes() -> None:
    def grow(a: np.ndarray) -> np.ndarray:
        if np.any(a > 0.5):
            raise ValueError("too large")
        return 2.0 * a

    a, node = tg.source("a", FIELD), tg.host(grow)
    function = Graph([a], {"o": node(node(a, name="inner"), name="outer")}).compile("jax").values("o")
    assert len(function.schedule.segments) == 1
    for value, name in ((0.4, "outer"), (0.6, "inner")):
        with pytest.raises(tg.HostError, match=rf"^{name} "):
            function(np.full((4, 3), value))


@pytest.mark.parametrize("backend", BACKENDS)
def test_exceptions_in_rules(backend: str) -> None:
    def broken(ct: Any, a: Any, b: Any) -> Any:
        raise RuntimeError("adjoint file not found")

    function = weighted(tg.host(product, vjp=broken)).compile(backend).value_and_grad("o", "a")
    with pytest.raises(tg.HostError, match=r"y_bar.*vjp product, declared at .*adjoint file not found"):
        function(A, B)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda a: a[0], r"an array of shape \(3,\).*declared as \(out: field 4x3\)"),
        (lambda a: None, "None"),
        (lambda a: (a, a), r"an array of shape .*, an array of shape"),
        (lambda a: a.astype(int), "values of dtype int64 for a field 4x3"),
        (lambda a: a + 0j, "values of dtype complex128"),
        (lambda a: np.full(a.shape, "x"), "values of dtype <U1"),
    ],
)
def test_wrong_results(function: Callable[..., Any], message: str, backend: str) -> None:
    with pytest.raises(tg.HostError, match=rf"^y: wrong returned .*{message}.*declared at .*test_functions.py:\d+"):
        one_input(tg.host(function, name="wrong")).compile(backend)(A)


@pytest.mark.parametrize(
    ("rule", "message"),
    [(lambda ct, a: ct[0], r"an array of shape \(3,\)"), (lambda ct, a: ct > 0, "values of dtype bool")],
)
def test_wrong_cotangents(rule: Callable[..., Any], message: str) -> None:
    a = tg.source("a", FIELD)
    o = n.Sum()(tg.host(np.exp, inputs=("a",), vjp=rule)(a, name="y"))
    with pytest.raises(tg.HostError, match=rf"y: vjp exp returned .*{message}.*declared at"):
        Graph([a], {"o": o}).compile("jax").value_and_grad("o", "a")(A)


def test_changing_an_input_is_an_error_not_a_wrong_answer() -> None:
    def careless(a: np.ndarray) -> np.ndarray:
        a *= 2.0
        return a

    for backend in BACKENDS:
        with pytest.raises(tg.HostError, match="read-only"):
            one_input(tg.host(careless)).compile(backend)(A)


def test_what_is_said_of_a_missing_rule() -> None:
    program = weighted(tg.host(product)).compile("jax")
    with pytest.raises(tg.GraphError, match=r"y\.a: product is a host node without a vjp rule.*Give it one, vjp="):
        program.value_and_grad("o", "a")
    with pytest.raises(tg.GraphError, match="autodiff cannot trace it"):
        weighted(tg.host(product), "autodiff").compile("jax").value_and_grad("o", "a")


def test_what_is_said_of_wrong_rules() -> None:
    with pytest.raises(tg.RuleError, match=r"names 'c', which it does not have.*test_functions"):
        tg.host(product, vjp=lambda ct, c: ct)
    with pytest.raises(tg.RuleError, match="names 'x'"):
        tg.host(product, vjp={"x": lambda ct: ct})
    with pytest.raises(tg.RuleError, match="one rule for 2 inputs"):
        tg.host(product, jvp=lambda t: t)
    with pytest.raises(tg.RuleError, match=r"Name them: inputs="):
        tg.host(lambda *arrays: arrays[0])
    with pytest.raises(tg.RuleError, match="Give a tuple of names"):
        tg.host(product, inputs="a")


# Class nodes on the host.


@tg.node
class Cubed(tg.Node):
    """y = x^3 by NumPy alone."""

    inputs = (tg.Port("x"),)
    host: ClassVar[bool] = True

    def forward(self, xp: Any, *values: Any) -> Any:
        assert isinstance(values[0], np.ndarray)
        return np.power(values[0], 3)


@tg.vjp(Cubed, "x")
def _(node: Cubed, xp: Any, ct: Any, x: Any) -> Any:
    assert isinstance(x, np.ndarray) and isinstance(ct, np.ndarray)
    return 3 * x**2 * ct


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_rules_of_host_classes_run_on_the_host(backend: str, dtype: str) -> None:
    a = tg.source("a", FIELD)
    for method in (None, "finite-difference"):
        program = Graph([a], {"o": n.Dot()(Cubed()(a, derivative=method), W)}).compile(backend, dtype=dtype)
        _, gradient = program.value_and_grad("o", "a")(A)
        np.testing.assert_allclose(gradient, 3 * A**2 * W, rtol=1e-9 if dtype == "float64" else 1e-5)


@tg.node
class Ninth(tg.Node):
    """y = (x^3)^3, of which each part says how it is differentiated."""

    inputs = (tg.Port("x"),)

    def expand(self, specs: Any, *edges: Any) -> Any:
        return Cubed()(Cubed()(edges[0], derivative="finite-difference"), derivative="complex-step")


def test_the_parts_of_a_composite_choose_how_they_are_differentiated() -> None:
    a = tg.source("a", FIELD)
    function = Graph([a], {"o": n.Dot()(Ninth()(a, name="y"), W)}).compile("torch").value_and_grad("o", "a")
    used = [u.how.split()[0] for u in function.plan.used if u.vertex.origin.name == "y"]
    assert sorted(used) == ["complex-step", "finite-difference"]
    np.testing.assert_allclose(function(A)[1], 9 * A**8 * W, rtol=1e-6)


# Storing.


def doubled(a: np.ndarray, factor: float = 2.0) -> np.ndarray:
    return factor * a


def doubled_vjp(ct: np.ndarray) -> np.ndarray:
    return 2.0 * ct


@tg.host(vjp=doubled_vjp)
def decorated(a: np.ndarray) -> np.ndarray:
    return 2.0 * a


@pytest.mark.parametrize(
    "node",
    [tg.host(doubled, vjp=doubled_vjp), tg.host(functools.partial(doubled, factor=2.0)), decorated],
    ids=["plain", "partial", "decorated"],
)
def test_graphs_with_importable_functions_are_stored(node: Any) -> None:
    graph = one_input(node)
    again = Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert again == graph
    np.testing.assert_array_equal(again.compile("torch")(A)["y"], 2 * A)


def test_files_hold_paths_not_code() -> None:
    text = json.dumps(one_input(tg.host(doubled)).to_dict())
    assert f"{doubled.__module__}:doubled" in text
    assert "factor * a" not in text


@pytest.mark.parametrize("path", ["pickle:loads", "os:system", "builtins:eval"])
def test_files_cannot_call_what_was_not_registered(path: str) -> None:
    data = json.loads(json.dumps(one_input(tg.host(doubled)).to_dict()).replace(f"{doubled.__module__}:doubled", path))
    with pytest.raises(tg.GraphError, match=f"unknown function '{path}'"):
        Graph.from_dict(data)


def test_what_cannot_be_stored_says_so() -> None:
    graph = one_input(tg.host(lambda a: a))
    with pytest.raises(tg.TographError, match="<lambda> cannot be stored in a graph: it has no import path"):
        graph.to_dict()
    with pytest.raises(tg.TographError, match="a Seen cannot be stored"):
        one_input(tg.host(Seen())).to_dict()


def test_functions_are_told_apart() -> None:
    powers = [
        tg.host(functools.partial(np.power, 2.0), inputs=("a",)),
        tg.host(functools.partial(np.power, 3.0), inputs=("a",)),
    ]
    lambdas = [tg.host(lambda a: a + 1), tg.host(lambda a: a + 2)]
    closures = [tg.host(_adding(shift)) for shift in (1.0, 2.0)]
    held = [tg.host(_adding(np.full(3, shift))) for shift in (1.0, 2.0)]
    objects = [tg.host(Seen()), tg.host(Seen())]
    for one, other in (powers, lambdas, closures, held, objects):
        assert one.key != other.key
    assert tg.host(_adding(1.0)).key == closures[0].key
    a = tg.source("a", FIELD)
    program = Graph([a], {"o": closures[0](a) - closures[1](a)}).compile("jax")
    np.testing.assert_allclose(program(A)["o"], -1.0)


def _adding(shift: Any) -> Callable[[Any], Any]:
    return lambda a: a + shift


def test_a_name_borrowed_by_a_wrapper_does_not_confuse() -> None:
    import jax

    def summed(a: Any) -> Any:
        return a.sum()

    plain = tg.function(doubled, backend="jax", inputs=("a",))
    mapped = tg.function(jax.vmap(doubled), backend="jax", inputs=("a",))
    assert plain.key != mapped.key
    assert codec.decode(codec.encode(doubled)) is doubled


# Functions and modules of a framework.


def jax_law(a: Any) -> Any:
    import jax.numpy as jnp

    return jnp.sin(a) * jnp.cumsum(a, axis=0)


def torch_law(a: Any) -> Any:
    import torch

    return torch.sin(a) * torch.cumsum(a, dim=0)


def portable_law(xp: Any, a: Any) -> Any:
    return xp.sin(a) * a


def check_gradient(program: tg.program.Program, wrt: str, **values: Any) -> Any:
    """Against central differences along a direction."""
    function = program.value_and_grad("o", wrt)
    direction = np.random.default_rng(1).normal(size=np.shape(values[wrt]))
    _, gradient = function(**values)
    ahead, behind = (function(**values | {wrt: values[wrt] + h * direction})[0] for h in (1e-5, -1e-5))
    assert np.sum(gradient * direction) == pytest.approx((ahead - behind) / 2e-5, rel=1e-7)
    assert {u.how for u in function.plan.used if u.vertex.origin.name == "y"} == {"autodiff"}
    return gradient


@pytest.mark.parametrize(
    ("law", "backend", "runs_on"),
    [(jax_law, "jax", ("jax",)), (torch_law, "torch", ("torch",)), (portable_law, None, BACKENDS)],
)
def test_functions_of_a_framework(law: Any, backend: str | None, runs_on: tuple[str, ...]) -> None:
    node = tg.function(law, backend=backend)
    a = tg.source("a", FIELD)
    graph = Graph([a], {"o": n.Dot()(node(a, name="y"), W)})
    for name in runs_on:
        check_gradient(graph.compile(name), "a", a=A)
    assert Graph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph


def test_the_wrong_framework_is_a_finding() -> None:
    graph = one_input(tg.function(jax_law, backend="jax"))
    with pytest.raises(
        tg.GraphError, match=r"y: jax_law runs on jax only, not on torch \(declared at .*\)\. Compile for"
    ):
        graph.compile("torch").values("y")
    with pytest.raises(tg.TographError, match="there is no backend 'tensorflow'"):
        tg.function(jax_law, backend="tensorflow")


VECTOR, OUT = array("vector", i=5), array("vector", o=3)
V = RNG.normal(size=5)


def network(module: Any, *, trained: bool) -> tuple[Any, Graph]:
    net = tg.function(module, inputs=("x",), output=OUT)
    x = tg.source("x", VECTOR)
    theta = tg.source("theta", net.weights_spec, default=net.weights)
    y = net(x, theta, name="y") if trained else net(x, name="y")
    return net, Graph([x, theta] if trained else [x], {"o": n.Dot()(y, W[0]), "y": y})


def equinox_module() -> Any:
    import jax

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import equinox
    return equinox.nn.MLP(5, 3, 8, 2, activation=jax.numpy.tanh, key=jax.random.key(0))


def torch_module() -> Any:
    import torch

    torch.manual_seed(0)
    layers = [torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)]
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize(("make", "backend"), [(equinox_module, "jax"), (torch_module, "torch")])
def test_modules(make: Callable[[], Any], backend: str) -> None:
    net, frozen = network(make(), trained=False)
    check_gradient(frozen.compile(backend), "x", x=V)
    _, trained = network(make(), trained=True)
    program = trained.compile(backend)
    check_gradient(program, "theta", x=V, theta=net.weights)
    np.testing.assert_allclose(program(x=V)["y"], frozen.compile(backend)(V)["y"], rtol=1e-14)
    single = trained.compile(backend, dtype="float32")(x=V)["y"]
    np.testing.assert_allclose(single, program(x=V)["y"], rtol=1e-5)
    assert single.dtype == "float32"
    with pytest.raises(tg.TographError, match="cannot be stored"):
        frozen.to_dict()


def test_a_torch_module_is_copied_and_evaluated() -> None:
    import torch

    module = torch_module()
    _, graph = network(module, trained=False)
    program = graph.compile("torch")
    before = program(V)["y"]
    np.testing.assert_array_equal(program(V)["y"], before)  # no dropout
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(graph.compile("torch")(V)["y"], before)
    assert module.training


def test_weights_stand_in_the_order_of_the_framework() -> None:
    import torch

    module = torch_module()
    net, _ = network(module, trained=False)
    parameters = torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    np.testing.assert_array_equal(net.weights, parameters.astype(float))


# A real external library: PyAMG.

SIDE = 7
ALONG = sp.diags_array(np.outer([1.0, -1.0], np.ones(SIDE - 1)), offsets=[1, 0], shape=(SIDE - 1, SIDE))
SLOPES = sp.vstack([sp.kron(sp.eye_array(SIDE), ALONG), sp.kron(ALONG, sp.eye_array(SIDE))]).tocsr()[:, 1:]
FLOW = np.linspace(1.0, 2.0, SLOPES.shape[1])
PIPES, HEADS = array("vector", pipe=SLOPES.shape[0]), array("vector", node=SLOPES.shape[1])


def amg(k: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    levels = pyamg.smoothed_aggregation_solver((SLOPES.T @ sp.diags_array(k) @ SLOPES).tocsr())
    x, failed = levels.solve(rhs, tol=1e-13, accel="cg", return_info=True)
    if failed:
        raise SolveError("multigrid did not converge")
    return np.asarray(x)


def heads(k: np.ndarray) -> np.ndarray:
    return amg(k, FLOW)


def heads_vjp(ct: np.ndarray, k: np.ndarray, h: np.ndarray) -> np.ndarray:
    return -(SLOPES @ amg(k, ct)) * (SLOPES @ h)


def dense_heads(xp: Any, k: Any) -> Any:
    slopes = xp.asarray(SLOPES.toarray(), dtype=k.dtype)
    matrix = slopes.T @ (k[:, None] * slopes)
    return xp.linalg.solve(matrix, xp.asarray(FLOW, dtype=k.dtype)[:, None])[:, 0]


def test_pyamg_as_a_host_function() -> None:
    k = tg.source("k", PIPES)
    at, weights = RNG.uniform(0.5, 1.0, SLOPES.shape[0]), RNG.normal(size=SLOPES.shape[1])
    foreign = tg.host(heads, output=HEADS, outputs=("h",), vjp=heads_vjp)
    traced = tg.function(dense_heads, output=HEADS)
    for backend in BACKENDS:
        (value, gradient), (exact, reference) = (
            Graph([k], {"o": n.Dot()(node(k * k), weights)}).compile(backend).value_and_grad("o", "k")(at)
            for node in (foreign, traced)
        )
        assert value == pytest.approx(exact, rel=1e-9)
        np.testing.assert_allclose(gradient, reference, atol=1e-8 * np.abs(reference).max())


@codec.register
@attrs.frozen
class PyAMG:
    """Smoothed aggregation with the rigid-body motions, as preconditioner of CG."""

    tolerance: float = 1e-12
    limit: int = 100

    def factor(self, pattern: n.ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> Any:
        x, y = pattern.grid.node_coordinates().T
        zero, one = np.zeros_like(x), np.ones_like(x)
        rigid = np.stack([np.stack(motion, axis=1).ravel() for motion in ((one, zero), (zero, one), (-y, x))], axis=1)
        matrix = pattern.matrix(moduli, elements).tocsr()
        return pattern.free, pyamg.smoothed_aggregation_solver(matrix, B=rigid[pattern.free])

    def solve(self, factor: Any, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        free, levels = factor
        u = np.zeros_like(rhs)
        options = {"tol": self.tolerance, "accel": "cg", "maxiter": self.limit, "return_info": True}
        for load, displacement in zip(rhs, u, strict=True):
            displacement[free], failed = levels.solve(load[free], **options)
            if failed:
                raise SolveError("multigrid did not converge")
        return u


BEAM = mbb(nelx=24, nely=8)


def beam(solver: Any) -> Graph:
    rho = tg.source("rho", BEAM.grid.field())
    E = n.Simp()(n.DensityFilter(BEAM.grid, radius=2.4)(rho))
    u = n.LinearSolve(solver=solver)(n.Stiffness(BEAM.grid, fixed=BEAM.fixed)(E), BEAM.load)
    tip = n.Dot()(u, np.eye(1, BEAM.grid.n_dofs(), 1)[0])
    return Graph([rho], {"compliance": n.Compliance()(u, BEAM.load), "tip": tip})


@pytest.mark.parametrize("output", ["compliance", "tip"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_pyamg_as_linear_solver(backend: str, output: str) -> None:
    rho = np.random.default_rng(0).uniform(0.3, 0.9, BEAM.grid.shape)
    (value, gradient), (exact, reference) = (
        beam(solver).compile(backend).value_and_grad(output, "rho")(rho) for solver in (PyAMG(), n.DirectSolver())
    )
    assert value == pytest.approx(exact, rel=1e-8)
    np.testing.assert_allclose(gradient, reference, atol=1e-8 * np.abs(reference).max())


def test_a_foreign_solver_that_fails_names_the_node() -> None:
    with pytest.raises(SolveError, match=r"u \(ApplyFactor, declared at .*test_functions.py:\d+\): multigrid did not"):
        beam(PyAMG(limit=1)).compile("jax")(BEAM.uniform(0.5))


def test_graphs_with_a_foreign_solver_are_stored() -> None:
    graph = beam(PyAMG(tolerance=1e-9))
    assert Graph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph


# A host library inside an implicit node.


@codec.register
@attrs.frozen
class SciPyRoot(RootSolver):
    """MINPACK's hybrid method."""

    host: ClassVar[bool] = True
    tolerance: float = 1e-13

    def solve(self, backend: Any, node: ImplicitNode, residual: Callable[[Any], Any], inputs: list[Any]) -> Any:
        start = node.start(np, *inputs)
        assert isinstance(start, np.ndarray)
        return scipy.optimize.root(residual, start, tol=self.tolerance).x


@tg.node
class Springs(ImplicitNode):
    """2 y_i - y_{i+1} + k y_i^3 = f_i in a ring: not symmetric, not diagonal."""

    inputs = (tg.Port("f"),)
    k: Any = tg.parameter(default=0.7)
    solver: Any = attrs.field(factory=SciPyRoot)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        f, k = inputs
        return 2.0 * y - xp.concat([y[1:], y[:1]]) + k * y**3 - f

    def start(self, xp: Any, *inputs: Any) -> Any:
        return 0.5 * inputs[0]


def springs(solver: RootSolver) -> Graph:
    f, k = tg.source("f", VECTOR), tg.source("k", default=0.7)
    y: Edge = Springs(k=k, solver=solver)(f)
    return Graph([f, k], {"o": n.Dot()(y, np.arange(1.0, 6.0))})


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_host_library_solves_an_implicit_node(backend: str) -> None:
    found = []
    for solver in (SciPyRoot(), Newton()):
        program = springs(solver).compile(backend)
        value, gradient = program.value_and_grad("o", ("f", "k"))(V, 0.7)
        *_, second = program.hvp("o", "f")(V, 0.7, f_dot=np.ones(5))
        found.append((value, gradient["f"], gradient["k"], second))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_only_the_solver_runs_on_the_host() -> None:
    function = springs(SciPyRoot()).compile("jax").value_and_grad("o", ("f", "k"))
    places = {type(v.node): s.where for s in function.schedule.segments for v in s.vertices}
    assert places[Springs] == "host"
    assert places[AdjointSolve] == places[ResidualNorm] == "device"


def test_a_poor_root_is_refused() -> None:
    with pytest.raises(SolveError, match="Springs"):
        springs(SciPyRoot(tolerance=0.5)).compile("torch")(20.0 * V, 0.7)


def test_a_host_solver_in_float32() -> None:
    value, gradient = springs(SciPyRoot()).compile("jax", dtype="float32").value_and_grad("o", "f")(V, 0.7)
    exact, reference = springs(SciPyRoot()).compile("jax").value_and_grad("o", "f")(V, 0.7)
    assert value == pytest.approx(exact, rel=1e-5)
    np.testing.assert_allclose(gradient, reference, rtol=1e-4)
