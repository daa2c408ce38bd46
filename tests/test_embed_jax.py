"""`Program.as_jax`: tograph's own rules under every transform of JAX, with and without a solver on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tograph as tg
from planted import CALLS, DIRECTION, GRID, LOAD, PROBE, X, analysis, expected, loaded, planted, rooted
from tograph import Graph, GraphError, Node, Port, SolveError, TographError
from tograph import nodes as n
from tograph.arithmetic import Dot
from tograph.program import Program

Function = Callable[..., Any]


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    """The user's own setting, here and there only: it must never be changed by a program."""
    CALLS.clear()
    with jax.enable_x64(True):
        yield
        assert jnp.zeros(()).dtype == jnp.float64


@cache
def program(kind: str) -> Program:
    return planted(kind).compile("jax")


@cache
def known(kind: str) -> dict[str, np.ndarray]:
    return expected(kind)


def close(found: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    wanted = np.asarray(wanted)
    assert np.asarray(found).shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())


def jvp(f: Function) -> Function:
    """The derivative along DIRECTION."""
    return lambda x: jax.jvp(f, (x,), (jnp.asarray(DIRECTION),))[1]


def vjp(f: Function) -> Function:
    return lambda x: jax.vjp(f, x)[1](jnp.ones(()))[0]


def linearized(f: Function) -> Function:
    return lambda x: jax.vmap(jax.linearize(f, x)[1])(jnp.eye(x.size).reshape(-1, *x.shape)).reshape(x.shape)


def transposed(f: Function) -> Function:
    return lambda x: jax.linear_transpose(jax.linearize(f, x)[1], x)(jnp.ones(()))[0]


def scanned(f: Function) -> Function:
    """The mean over three steps that each evaluate f."""

    def mean(x: Any) -> Any:
        return jax.lax.scan(lambda total, _: (total + f(x) / 3.0, None), jnp.zeros(()), None, length=3)[0]

    return mean


def conditional(f: Function) -> Function:
    return lambda x: jax.lax.cond(x.sum() > 0.0, f, lambda x: 0.0 * x.sum(), x)


def over_batch(f: Function) -> Function:
    """f on a batch of three, of which the mean is the value at x."""
    return lambda x: jax.vmap(f)(jnp.stack([x, x, x])).mean(axis=0)


FIRST: dict[str, tuple[Function, str]] = {
    "grad": (jax.grad, "r"),
    "jit grad": (lambda f: jax.jit(jax.grad(f)), "r"),
    "grad jit": (lambda f: jax.grad(jax.jit(f)), "r"),
    "vjp": (vjp, "r"),
    "jacrev": (jax.jacrev, "r"),
    "jacfwd": (jax.jacfwd, "f"),
    "jit jacfwd": (lambda f: jax.jit(jax.jacfwd(f)), "f"),
    "linearize": (linearized, "f"),
    "transposed linearize": (transposed, "r"),
    "vmap grad": (lambda f: over_batch(jax.grad(f)), "r"),
    "grad vmap": (lambda f: jax.grad(over_batch(f)), "r"),
    "grad vmap vmap": (lambda f: jax.grad(over_batch(over_batch(f))), "r"),
    "vmap jacfwd": (lambda f: over_batch(jax.jacfwd(f)), "f"),
    "jacfwd vmap": (lambda f: jax.jacfwd(over_batch(f)), "f"),
    "grad checkpoint": (lambda f: jax.grad(jax.checkpoint(f)), "r"),
    "jit grad scan": (lambda f: jax.jit(jax.grad(scanned(f))), "r"),
    "jacfwd scan": (lambda f: jax.jacfwd(scanned(f)), "f"),
    "grad scan checkpoint": (lambda f: jax.grad(scanned(jax.checkpoint(f))), "r"),
    "grad cond": (lambda f: jax.grad(conditional(f)), "r"),
    "vmap grad jit checkpoint": (lambda f: over_batch(jax.grad(jax.jit(jax.checkpoint(f)))), "r"),
}

SECOND: dict[str, tuple[Function, str]] = {
    "hessian": (jax.hessian, "fr"),
    "jit hessian": (lambda f: jax.jit(jax.hessian(f)), "fr"),
    "jacfwd jacfwd": (lambda f: jax.jacfwd(jax.jacfwd(f)), "ff"),
    "jacrev jacfwd": (lambda f: jax.jacrev(jax.jacfwd(f)), "rf"),
    "jacrev jacrev": (lambda f: jax.jacrev(jax.jacrev(f)), "rr"),
    "vmap hessian": (lambda f: over_batch(jax.hessian(f)), "fr"),
    "hessian vmap": (lambda f: jax.hessian(over_batch(f)), "fr"),
    "hessian checkpoint": (lambda f: jax.hessian(jax.checkpoint(f)), "fr"),
    "hessian scan": (lambda f: jax.hessian(scanned(f)), "fr"),
}


def cases(table: dict[str, Any], on_device: tuple[str, ...]) -> list[tuple[str, str]]:
    """Everything with a solver on the host; without one, what is batched differently."""
    return [("host", name) for name in table] + [("device", name) for name in on_device]


@pytest.mark.parametrize(
    ("kind", "name"), cases(FIRST, ("jit grad", "jacfwd", "grad vmap vmap", "grad scan checkpoint"))
)
def test_the_planted_rule_shows(kind: str, name: str) -> None:
    transform, modes = FIRST[name]
    close(transform(program(kind).as_jax("c"))(X), known(kind)[modes])


@pytest.mark.parametrize(("kind", "name"), cases(SECOND, ("hessian", "jacfwd jacfwd", "jacrev jacrev", "hessian vmap")))
def test_the_planted_rule_shows_in_second_order(kind: str, name: str) -> None:
    transform, modes = SECOND[name]
    close(transform(program(kind).as_jax("c"))(X).reshape(X.size, X.size), known(kind)[modes])


@pytest.mark.parametrize("kind", ["host", "device"])
def test_products_and_values(kind: str) -> None:
    f, wanted, d = program(kind).as_jax("c"), known(kind), DIRECTION.ravel()
    close(f(X), wanted[""])
    close(jax.jit(f)(X), wanted[""])
    close(jvp(f)(X), wanted["f"].ravel() @ d)
    close(jvp(jax.grad(f))(X).ravel(), wanted["fr"] @ d)
    close(jax.grad(jvp(f))(X).ravel(), wanted["rf"] @ d)
    close(jvp(jvp(f))(X), d @ wanted["ff"] @ d)


@pytest.mark.parametrize("modes", ["rrr", "frr", "ffr", "rfr", "fff", "rff"])
def test_third_order(modes: str) -> None:
    """(x^2)^3 with a rule for the square and none for the cube."""
    x = tg.source("x")
    f = Graph([x], {"c": Cubed()(Squared()(x))}).compile("jax").as_jax("c")
    for mode in reversed(modes):
        f = jax.grad(f) if mode == "r" else jax.jacfwd(f)
    close(f(1.3), 120.0 * 1.3**3)


@tg.node
class Squared(Node):
    """y = x^2."""

    inputs = (Port("x"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0] * values[0]


@tg.pointwise(Squared, "x")
def _(node: Squared, xp: Any, x: Any) -> Any:
    return 2.0 * x


@tg.node
class Cubed(Node):
    """y = t^3, without rules; the name of its input is also that of a tangent."""

    inputs = (Port("t"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        return values[0] * values[0] * values[0]


def test_agrees_with_the_program_inside_other_code() -> None:
    from_program = program("host")
    f = from_program.as_jax("c")

    def loss(theta: Any, scale: Any) -> Any:
        return scale * f(jax.nn.sigmoid(theta)) ** 2

    theta = np.log(X / (1.0 - X))
    value, slope = from_program.value_and_grad("c", "x")(X)
    by_theta, by_scale = jax.jit(jax.grad(loss, argnums=(0, 1)))(theta, 3.0)
    close(by_theta, 6.0 * value * slope * X * (1.0 - X))
    close(by_scale, value * value)


def test_one_function_and_no_second_trace() -> None:
    compiled = planted("device").compile("jax")
    f = compiled.as_jax("c")
    assert compiled.as_jax("c") is f and compiled.as_jax() is compiled.as_jax()
    transformed: list[Function] = [f, jax.jit(f), jax.grad(f), jax.jit(jax.hessian(f)), jax.vmap(jax.grad(f))]
    for g in transformed:
        g(jnp.stack([X, X]) if g is transformed[-1] else X)
    CALLS.clear()
    for g in transformed:
        g(jnp.stack([X, X]) + 0.01 if g is transformed[-1] else X + 0.01)
    assert not CALLS
    jax.jit(lambda x: jax.grad(f)(x) + jax.grad(f)(2.0 * x))(X)
    assert not CALLS


def test_one_factorization_for_value_and_gradient() -> None:
    f = planted("host").compile("jax").as_jax("c")
    step = jax.jit(jax.value_and_grad(f))
    step(X)
    CALLS.clear()
    step(0.9 * X)
    assert CALLS["factor"] == 1 and CALLS["solve"] == 2, "the state, and the adjoint with the same factor"
    CALLS.clear()
    jax.jit(jax.hessian(f))(0.8 * X)
    assert CALLS["factor"] == 1, "all directions share one factorisation"
    CALLS.clear()
    jax.vmap(jax.grad(f))(jnp.stack([X, 0.7 * X]))
    assert 2 <= CALLS["factor"] <= 4, "one per design, made again at most once on the way back"


def test_a_factor_that_was_forgotten_is_made_again() -> None:
    f = planted("host").compile("jax").as_jax("c")
    _, pull = jax.vjp(f, X)
    for scale in (0.5, 0.6, 0.7):
        f(scale * X)
    close(pull(jnp.ones(()))[0], known("host")["r"])


def several() -> Graph:
    """Two outputs; one input that is not differentiable, one that reaches only one output, one with a default."""
    x, s = tg.source("x", GRID.field()), tg.source("s", default=2.0)
    where = tg.source("where", tg.Spec("integer", (tg.Axis("taken", 2),), "integer"))
    return Graph([x, where, s], {"c": analysis(x), "taken": s * Dot()(Take()(x, where), np.ones(2)), "where": where})


@tg.node
class Take(Node):
    """y = the entries of x at the places `where`."""

    inputs = (Port("x", "field"), Port("where", "integer"))

    def infer(self, *specs: tg.Spec) -> tg.Spec:
        return tg.Spec("array", specs[1].axes)

    def forward(self, xp: Any, *values: Any) -> Any:
        x, where = values
        return xp.take(xp.reshape(x, (-1,)), where)


def test_several_inputs_and_outputs() -> None:
    f = several().compile("jax").as_jax()
    where = np.array([1, 0])
    values = f(X, where)
    assert list(values) == ["c", "taken", "where"]
    close(values["taken"], 2.0 * (X.ravel()[1] + X.ravel()[0]))
    assert values["where"].dtype == jnp.int32 and list(values["where"]) == [1, 0]
    by_x, by_s = jax.grad(lambda x, s: f(x, s=s, where=where)["taken"], argnums=(0, 1))(X, 3.0)
    close(by_x, np.full(X.shape, 3.0))
    close(by_s, X.sum())
    assert not jax.jacfwd(lambda s: f(X, where, s)["c"])(1.0).any(), "no path: zeros"
    assert jax.jit(jax.vmap(f, in_axes=(None, 0)))(X, np.array([[0, 1], [1, 1], [0, 0]]))["taken"].shape == (3,)
    assert jax.grad(f, argnums=1, allow_int=True) is not None
    both = several().compile("jax").as_jax(("taken", "c"))(X, where)
    assert list(both) == ["taken", "c"]


def test_gradient_of_one_output_does_no_work_for_the_others() -> None:
    f = several().compile("jax").as_jax()
    jax.grad(lambda x: f(x, np.array([0, 1]))["taken"])(X)
    assert CALLS["solve"] == 1, "the state: no adjoint of an output that was not asked for"


def test_batches_with_unbatched_inputs() -> None:
    f = several().compile("jax").as_jax("taken")
    where, weights = np.array([0, 1]), np.array([1.0, 2.0, 4.0])
    g = jax.grad(lambda x: jax.vmap(lambda s: f(x, where, s))(weights).sum())
    close(g(X), np.full(X.shape, 7.0))
    h = jax.jacfwd(
        jax.grad(lambda s: jax.vmap(lambda x: f(x, where, s), in_axes=2)(jnp.stack([X, 2 * X], axis=2)).sum())
    )
    close(h(1.0), 0.0)


def test_float32() -> None:
    single = planted("host").compile("jax", dtype="float32")
    with jax.enable_x64(False):
        slope = jax.jit(jax.grad(single.as_jax("c")))(X)
        assert slope.dtype == jnp.float32
        close(slope, known("host")["r"], 1e-4)
    slope = jax.jit(jax.grad(single.as_jax("c")))(X)  # of float64 inputs: cast on the way in and back
    assert slope.dtype == jnp.float64
    close(slope, known("host")["r"], 1e-4)


def test_float64_needs_the_users_setting() -> None:
    f = program("device").as_jax("c")
    with jax.enable_x64(False), pytest.raises(TographError, match="jax_enable_x64"):
        f(X)


def test_errors_when_made() -> None:
    with pytest.raises(TographError, match=r"graph.compile\('jax'\).as_jax\(\)"):
        planted("device").compile("torch").as_jax()
    with pytest.raises(GraphError, match="there is no output 'd'"):
        program("device").as_jax("d")
    with pytest.raises(TographError, match="not a name"):
        program("device").as_jax(of=3)  # type: ignore[arg-type]
    E = tg.source("E", GRID.field())
    with pytest.raises(GraphError, match="'K' is operator 12x12, not an array"):
        Graph([E], {"K": n.Stiffness(GRID)(E)}).compile("jax").as_jax()


def test_errors_when_called() -> None:
    f = program("device").as_jax("c")
    with pytest.raises(TographError, match="got shape"):
        f(X.T)
    with pytest.raises(TographError, match="got shape"):
        jax.jit(jax.grad(f))(X.T)
    with pytest.raises(TographError, match="no input 'y'"):
        f(y=X)


@tg.node
class Outside(Node):
    """y = 2 x on the host, without rules."""

    inputs = (Port("x"),)
    host = True

    def forward(self, xp: Any, *values: Any) -> Any:
        return 2.0 * values[0]


def test_a_missing_rule_is_named() -> None:
    x = tg.source("x", GRID.field())
    f = Graph([x], {"c": Dot()(Outside()(x), np.ones(GRID.shape))}).compile("jax").as_jax("c")
    close(jax.jit(jax.vmap(f))(jnp.stack([X, 2 * X])), [2 * X.sum(), 4 * X.sum()])
    with pytest.raises(GraphError, match="Outside is a host node without a vjp rule"):
        jax.grad(f)(X)
    with pytest.raises(GraphError, match="Outside is a host node without a jvp rule"):
        jax.jvp(f, (X,), (X,))


def test_scalars_of_a_host_function_keep_their_shape_and_digits() -> None:
    """A float64 crosses to the host and back as two words of 32 bits; a scalar is to come out with shape ()."""
    x, s = tg.source("x", GRID.field()), tg.source("s", tg.Spec("scalar"))
    total = tg.host(
        lambda x, s: s * np.sum(x),
        output=tg.Spec("scalar"),
        vjp=lambda ct, x, s: (ct * s * np.ones_like(x), ct * np.sum(x)),
    )
    f = Graph([x, s], {"c": total(x, s)}).compile("jax").as_jax("c")
    one = jax.value_and_grad(f, argnums=(0, 1))
    many, scales = np.stack([X, 2.0 * X]), np.array([1.0, 2.0]) / 3.0
    known = scales * many.sum((1, 2)), (scales[:, None, None] * np.ones_like(many), many.sum((1, 2)))
    for found in (jax.vmap(one)(many, scales), jax.jit(jax.vmap(one))(many, scales)):
        jax.tree.map(lambda a, b: close(a, b, 1e-15), found, known)
    first = jax.tree.map(lambda value: value[0], known)
    for found in (one(X, scales[0]), jax.jit(one)(X, scales[0])):
        jax.tree.map(lambda a, b: close(a, b, 1e-15), found, first)


def _waves(x: Any) -> Any:
    return np.sin(x) * np.sum(x)


def _waves_vjp(ct: Any, x: Any) -> Any:
    return np.cos(x) * np.sum(x) * ct + np.sum(np.sin(x) * ct)


def test_reverse_mode_asks_for_no_tangent_rule() -> None:
    """JAX makes a gradient by transposing a tangent, which is never run."""
    x = tg.source("x", GRID.field())
    y = tg.host(_waves, vjp=_waves_vjp)(2.0 * x)
    program = Graph([x], {"y": y, "c": Dot()(y, y), "d": Dot()(x, x)}).compile("jax")
    f, g, both = program.as_jax("c"), program.as_jax("y"), program.as_jax(("c", "d"))

    def plain_y(x: Any) -> Any:
        return jnp.sin(2.0 * x) * jnp.sum(2.0 * x)

    def plain(x: Any) -> Any:
        return jnp.sum(plain_y(x) ** 2)

    known, jacobian = jax.grad(plain)(X), jax.jacrev(plain_y)(X)
    for made in (jax.grad(f), jax.jit(jax.grad(f)), jax.grad(jax.jit(f)), jax.grad(jax.checkpoint(f))):
        close(made(X), known)
    close(jax.vmap(jax.grad(f))(jnp.stack([X, X])), np.stack([known, known]))
    close(jax.jacrev(g)(X), jacobian)
    close(jax.vjp(both, X)[1]({"c": jnp.ones(()), "d": jnp.ones(())})[0], known + 2.0 * X)
    close(jax.jit(jax.grad(lambda x: jax.lax.scan(lambda s, _: (s + f(s * x), None), 1.0, length=2)[0]))(X),
          jax.grad(lambda x: 1.0 + plain(x) + plain((1.0 + plain(x)) * x))(X))  # fmt: skip
    forward: dict[str, Callable[[], Any]] = {
        "jvp": lambda: jax.jvp(f, (X,), (X,)),
        "jit": lambda: jax.jit(jax.jacfwd(f))(X),
        "linearize": lambda: jax.linearize(f, X)[1](X),
        "hessian": lambda: jax.hessian(f)(X),
    }
    for run in forward.values():
        with pytest.raises(GraphError, match=r"^The graph has 1 problem:\n1. y.x: _waves is a host node without a jvp "
                                             r"rule for 'x', on the path x -> multiply -> y -> dot"):  # fmt: skip
            run()


def test_every_missing_rule_is_named_though_outputs_share_a_name() -> None:
    x = tg.source("x", GRID.field())
    a, b = Outside()(x), Outside()(x * x)
    f = Graph([x], {"a": Dot()(a, a), "b": Dot()(b, b)}).compile("jax").as_jax()
    with pytest.raises(GraphError, match="2 problems"):
        jax.jvp(f, (X,), (X,))


def test_a_detached_edge_is_cut_in_every_mode() -> None:
    x = tg.source("x", GRID.field())
    f = Graph([x], {"c": Dot()(x, tg.detach(x * x))}).compile("jax").as_jax("c")
    close(jax.grad(f)(X), X * X)
    close(jax.jacfwd(f)(X), X * X)
    close(jax.hessian(f)(X), np.zeros((*X.shape, *X.shape)))


def loose() -> Function:
    """A body without supports."""
    E = tg.source("E", GRID.field())
    u = n.LinearSolve()(n.Stiffness(GRID)(E), LOAD)
    return Graph([E], {"c": Dot()(u, PROBE)}).compile("jax").as_jax("c")


def test_a_solve_that_fails_raises_everywhere() -> None:
    f = loose()
    for g in (f, jax.grad(f), jax.jacfwd(f)):
        with pytest.raises(SolveError, match="Add supports"):
            g(X)
    for g in (jax.jit(f), jax.jit(jax.grad(f)), jax.jit(over_batch(f))):
        with pytest.raises((RuntimeError, ValueError), match="SolveError"):  # JAX's report of it
            jax.block_until_ready(g(X))


def test_an_equation_inside() -> None:
    f, y = rooted().compile("jax").as_jax("c"), X
    x = y**3 + y
    slope = 1.0 / (3.0 * y**2 + 1.0)
    close(jax.grad(f)(x), 2.0 * y * slope)
    bent = 2.0 * slope**2 - 12.0 * y**2 * slope**3
    for transform in (jax.hessian, lambda f: jax.jacrev(jax.jacrev(f))):
        close(transform(f)(x).reshape(X.size, X.size), np.diag(bent.reshape(-1)))
    close(jax.vmap(jax.grad(f))(jnp.stack([x, x]))[1], 2.0 * y * slope)


def test_an_equation_that_is_not_solved_raises() -> None:
    f = rooted(iterations=1).compile("jax").as_jax("c")
    for g in (f, jax.grad(f), over_batch(f)):
        with pytest.raises(SolveError, match="did not converge"):
            g(X)
    with pytest.raises((RuntimeError, ValueError), match="did not converge"):
        jax.block_until_ready(jax.jit(jax.value_and_grad(f))(X))


def test_a_factor_that_depends_on_no_input_is_made_once() -> None:
    f, a, b = loaded().compile("jax").as_jax("c"), np.asarray(LOAD), np.asarray(PROBE)
    bilinear = jax.jit(jax.jvp, static_argnums=0)(jax.grad(f), (a,), (b,))[1]
    close(jax.grad(f)(b), bilinear)  # the compliance is a quadratic form of the load
    assert CALLS["factor"] <= 3, "once for value, gradient and its tangent each, when they are made"
    CALLS.clear()
    jax.jit(jax.grad(f))(a + b)
    assert CALLS["factor"] == 0


def test_the_primitive_is_named_in_a_jaxpr() -> None:
    assert "tograph" in str(jax.make_jaxpr(jax.grad(program("device").as_jax("c")))(X))
