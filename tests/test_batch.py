"""A batch gives what a loop gives, in one program; what members share is done once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import tograph as tg
from planted import CALLS, CountingSolver, Root
from tograph import Graph
from tograph import nodes as n
from tograph.draw import draw
from tograph.problems import mbb, two_load_cantilever
from tograph.solvers import Newton
from tograph.spec import array

BACKENDS = ("jax", "torch")
BEAM = mbb(nelx=12, nely=4)
SHAPE = BEAM.grid.shape


@pytest.fixture(autouse=True)
def _from_zero() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


def densities(count: int = 3) -> np.ndarray:
    return np.random.default_rng(5).uniform(0.2, 0.9, (count, *SHAPE))


def workflow() -> Graph:
    """Filter, projection, SIMP, analysis; `beta` and `eta` are wires. Well conditioned: 1e-12 is a fair bound."""
    beta, eta = tg.source("beta", default=4.0), tg.source("eta", default=0.5)
    return BEAM.workflow(radius=1.7, beta=beta, eta=eta, E_min=0.1, solver=CountingSolver())


def loads() -> Graph:
    """A fixed design under a load that is an input; a displacement as a second objective."""
    E, f = tg.source("E", BEAM.grid.field()), tg.source("f", BEAM.grid.vector())
    u = n.LinearSolve(CountingSolver())(n.Stiffness(BEAM.grid, fixed=BEAM.fixed)(E), f)
    tip = tg.constant(np.eye(1, BEAM.grid.n_dofs(), 9)[0], BEAM.grid.vector())
    return Graph([E, f], {"compliance": n.Compliance()(u, f), "tip": n.Dot()(u, tip)})


def close(batch: Any, loop: list[Any]) -> None:
    """Results of any nesting, against those of the members one by one."""
    if isinstance(loop[0], dict):
        assert batch.keys() == loop[0].keys()
        for name in loop[0]:
            close(batch[name], [one[name] for one in loop])
    elif isinstance(loop[0], tuple):
        for i, part in enumerate(batch):
            close(part, [one[i] for one in loop])
    else:
        expected = np.stack([np.asarray(one) for one in loop])
        assert np.shape(batch) == expected.shape
        assert np.abs(np.asarray(batch) - expected).max() <= 5e-12 * np.abs(expected).max()


@pytest.mark.parametrize("backend", (*BACKENDS, "numpy"))
def test_values(backend: str) -> None:
    program, rhos = workflow().compile(backend), densities()
    close(program.batch("rho")(rhos, beta=3.0), [program(rho, beta=3.0) for rho in rhos])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("over", ["rho", "eta", ("rho", "beta", "eta")])
def test_value_and_grad(backend: str, over: Any) -> None:
    program, etas, betas = workflow().compile(backend), np.array([0.3, 0.5, 0.7]), np.array([1.0, 3.0, 6.0])
    own = (over,) if isinstance(over, str) else over
    given = {"rho": densities(), "beta": betas, "eta": etas}
    shared = {name: value if name in own else value[1] for name, value in given.items()}
    ask = (("compliance", "volume"), ("rho", "beta"))
    members = [{name: v[i] if name in own else v for name, v in shared.items()} for i in range(3)]
    close(program.batch(over).value_and_grad(*ask)(**shared), [program.value_and_grad(*ask)(**one) for one in members])


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_mode(backend: str) -> None:
    program, rhos = workflow().compile(backend), densities()
    batch, dots, bars = program.batch("rho"), densities()[::-1], np.array([1.0, -2.0, 0.5])
    ask = ("compliance", "rho")
    for mode in ("jvp", "hvp"):
        one = getattr(program, mode)(*ask)
        close(
            getattr(batch, mode)(*ask)(rhos, rho_dot=dots),
            [one(rho, rho_dot=dot) for rho, dot in zip(rhos, dots, strict=True)],
        )
    pull = program.vjp(*ask)
    close(
        batch.vjp(*ask)(rhos, compliance_bar=bars),
        [pull(rho, compliance_bar=bar) for rho, bar in zip(rhos, bars, strict=True)],
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian(backend: str, mode: str) -> None:
    x = tg.source("x", array("vector", n=3))
    program = Graph([x], {"y": x**3.0}).compile(backend)
    xs = np.arange(1.0, 7.0).reshape(2, 3)
    close(
        program.batch("x").jacobian("y", "x", mode=mode)(xs), [program.jacobian("y", "x", mode=mode)(one) for one in xs]
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_loads_share_one_factorisation(backend: str) -> None:
    program, E = loads().compile(backend), densities(1)[0]
    fs = np.random.default_rng(6).normal(size=(4, BEAM.grid.n_dofs()))
    ask = (("compliance", "tip"), ("E", "f"))
    expected = [program.value_and_grad(*ask)(E, f) for f in fs]
    function: Any = program.batch("f").value_and_grad(*ask)
    CALLS.clear()
    close(function(E, fs), expected)
    # The states of all members, and the adjoint of `tip`, which is the same for all of them: one call.
    assert (CALLS["factor"], CALLS["solve"], CALLS["right-hand sides"]) == (1, 1, 5)
    shown = function.explain(4)
    assert (shown.factorizations, shown.solves, shown.right_hand_sides) == (1, 1, 5)
    assert "one call for all 4 members, as columns" in str(shown)


@pytest.mark.parametrize("backend", BACKENDS)
def test_load_cases_of_every_member(backend: str) -> None:
    """(members, dofs, cases) is (dofs, members * cases) for the solver."""
    E, f = tg.source("E", BEAM.grid.field()), tg.source("f", BEAM.grid.vector(cases=2))
    u = n.LinearSolve(CountingSolver())(n.Stiffness(BEAM.grid, fixed=BEAM.fixed)(E), f)
    program = Graph([E, f], {"c": n.Compliance((0.3, 2.0))(u, f)}).compile(backend)
    at, fs = densities(1)[0], np.random.default_rng(6).normal(size=(3, BEAM.grid.n_dofs(), 2))
    expected = [program.value_and_grad("c", ("E", "f"))(at, one) for one in fs]
    CALLS.clear()
    close(program.batch("f").value_and_grad("c", ("E", "f"))(at, fs), expected)
    assert (CALLS["factor"], CALLS["solve"], CALLS["right-hand sides"]) == (1, 1, 6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_designs_have_a_factorisation_each(backend: str) -> None:
    problem = two_load_cantilever(nelx=6, nely=6)
    program = problem.workflow(radius=1.5, solver=CountingSolver()).compile(backend)
    function = program.batch("rho", size=3).value_and_grad("compliance", "rho")
    function(np.random.default_rng(5).uniform(0.2, 0.9, (3, *problem.grid.shape)))
    assert (CALLS["factor"], CALLS["solve"], CALLS["right-hand sides"]) == (3, 3, 6)
    shown = function.explain()
    assert (shown.factorizations, shown.solves, shown.right_hand_sides) == (3, 3, 6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fixed_stiffness_is_factorised_once_for_all_calls(backend: str) -> None:
    f = tg.source("f", BEAM.grid.vector())
    K = n.Stiffness(BEAM.grid, fixed=BEAM.fixed)(tg.constant(densities(1)[0], BEAM.grid.field()))
    program = Graph([f], {"c": n.Dot()(n.LinearSolve(CountingSolver())(K, f), f)}).compile(backend)
    fs = np.random.default_rng(6).normal(size=(4, BEAM.grid.n_dofs()))
    for _ in range(2):
        program.batch("f")(fs)
    function = program.batch("f").value_and_grad("c", "f")
    CALLS.clear()
    function(fs), function(fs[::-1])
    assert (CALLS["factor"], CALLS["solve"], CALLS["right-hand sides"]) == (1, 2, 8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_of_a_sum_of_members(backend: str) -> None:
    """Of a shared input every member gives its own gradient; their sum is that of the sum."""
    rho, etas = densities(1)[0], (0.3, 0.5, 0.7)
    eta = [tg.source(f"eta{i}") for i in range(3)]
    shared = tg.source("rho", BEAM.grid.field())
    masses = [n.VolumeFraction()(n.Heaviside(beta=4.0, eta=edge)(shared)) for edge in eta]
    whole = Graph([shared, *eta], {"v": n.Add()(*masses)}).compile(backend)
    one = tg.source("eta")
    member = Graph([shared, one], {"v": n.VolumeFraction()(n.Heaviside(beta=4.0, eta=one)(shared))}).compile(backend)
    v, dv = member.batch("eta").value_and_grad("v", "rho")(rho, eta=etas)
    total, slope = whole.value_and_grad("v", "rho")(rho, *etas)
    assert v.shape == (3,) and dv.shape == (3, *SHAPE)
    assert np.allclose(v.sum(), total, rtol=1e-13) and np.allclose(dv.sum(0), slope, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_does_not_depend_on_the_batch_is_repeated(backend: str) -> None:
    x, s = tg.source("x", array("vector", n=3)), tg.source("s")
    program = Graph([x, s], {"a": x**2.0, "b": n.Scale()(s, x), "c": n.Dot()(x, x)}).compile(backend)
    made = program.batch("s")(np.arange(3.0), s=[1.0, 2.0])
    close(made, [program(np.arange(3.0), s=1.0), program(np.arange(3.0), s=2.0)])
    value, grad = program.batch("s").value_and_grad("c", ("x", "s"))(np.arange(3.0), s=[1.0, 2.0])
    assert value.tolist() == [5.0, 5.0]
    assert grad["x"].tolist() == [[0.0, 2.0, 4.0]] * 2 and grad["s"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_equations_of_every_member(backend: str) -> None:
    """Iterations that stop: one by one where vmap cannot follow, and each checked for itself."""
    x = tg.source("x", BEAM.grid.field())
    program = Graph([x], {"v": n.VolumeFraction()(n.VolumeEnforcing(V=0.4)(x) ** 2.0)}).compile(backend)
    xs = np.random.default_rng(8).normal(size=(3, *SHAPE))
    close(program.batch("x").value_and_grad("v", "x")(xs), [program.value_and_grad("v", "x")(one) for one in xs])


def test_the_member_whose_equation_fails_is_named() -> None:
    x = tg.source("x", n.Grid(2, 1).field())
    program = Graph([x], {"y": Root(Newton(iterations=2))(x)}).compile("jax")
    program.batch("x")(np.full((2, 1, 2), 1e-9))
    with pytest.raises(tg.SolveError, match=r"root \(Root\) of member 1 of the batch, declared at .* converge"):
        program.batch("x")(np.stack([np.full((1, 2), 1e-9), np.full((1, 2), 50.0)]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_member_whose_solve_fails_is_named(backend: str) -> None:
    rhos = densities(2)
    E = tg.source("E", BEAM.grid.field())
    u = n.LinearSolve()(n.Stiffness(BEAM.grid, fixed=BEAM.fixed)(E), BEAM.load)
    program = Graph([E], {"u": u}).compile(backend)
    rhos[1] = 0.0
    with pytest.raises(tg.SolveError, match=r"member 1 of the batch: .*singular"):
        program.batch("E")(rhos)


def test_seeds_are_integers() -> None:
    """A function of a seed: many realisations of a random field in one program."""
    grid = BEAM.grid
    waves = np.arange(1, 4)

    def noise(xp: Any, rho: Any, seed: Any) -> Any:
        phase = xp.astype(seed, rho.dtype)
        return rho + 0.01 * sum(xp.sin(k * phase + rho) for k in waves)

    rho, seed = tg.source("rho", grid.field()), tg.source("seed", tg.Spec("integer", (), "integer"))
    rough = tg.function(noise, inputs=("rho", "seed"), name="noise")(rho, seed)
    graph = Graph([rho, seed], {"v": n.VolumeFraction()(rough**2.0)})
    at = densities(1)[0]
    for backend in BACKENDS:
        program = graph.compile(backend)
        seeds = np.arange(5)
        made = program.batch("seed").value_and_grad("v", "rho")(at, seeds)
        close(made, [program.value_and_grad("v", "rho")(at, i) for i in seeds])
        assert len(set(np.asarray(made[0]).round(12).tolist())) == 5


def test_arrays_come_back_as_they_were_given() -> None:
    rhos = densities()
    for backend, make in (("jax", jnp.asarray), ("torch", torch.as_tensor)):
        program = workflow().compile(backend, dtype="float32").batch("rho")
        given = make(rhos.astype(np.float32))
        value, grad = program.value_and_grad("compliance", "rho")(given)
        assert type(value) is type(given) and grad.shape == rhos.shape
        assert isinstance(program.value_and_grad("compliance", "rho")(rhos)[0], np.ndarray)


def test_each_size_is_compiled_once() -> None:
    function: Any = workflow().compile("jax").batch("rho").value_and_grad("compliance", "rho")
    assert function.sized(2) is function.sized(2)
    function(densities(2)), function(densities(1)), function(densities(2))
    assert function.sized(2) is function.sized(2) and function.sized(1) is not function.sized(2)


def test_a_batch_of_one_is_a_batch() -> None:
    program, rhos = workflow().compile("jax"), densities(1)
    close(program.batch("rho")(rhos), [program(rhos[0])])
    function: Any = program.batch("rho").value_and_grad("compliance", "rho")
    assert function.explain(1).right_hand_sides == 1


def test_explain_and_source_and_picture() -> None:
    program = workflow().compile("jax").batch(("rho", "eta"), size=3)
    shown = program.explain()
    assert (shown.factorizations, shown.solves, shown.right_hand_sides) == (3, 3, 3)
    assert {"by", "reason"} == shown.passes[-1].keys() and shown.passes[-1]["by"] == "batch"
    assert shown.passes[-1]["reason"].startswith("3 members, which differ in rho, eta: ")
    assert "for each of 3" in program.source()
    function = program.value_and_grad("compliance", "rho")
    assert shown.residual_bytes > 2 * workflow().compile("jax").explain().residual_bytes
    assert len(draw(function).diagram.boxes) == len(draw(program_of_one()).diagram.boxes)


def program_of_one() -> Any:
    return workflow().compile("jax").value_and_grad("compliance", "rho")


def test_the_program_itself_is_left_alone() -> None:
    program = workflow().compile("jax")
    program.batch("rho")(densities())
    assert program(densities(1)[0])["compliance"].shape == ()


RHOS = densities(3)
WRONG: list[tuple[str, Any]] = [
    ("there is no input 'rh' to batch over. Did you mean 'rho'?", lambda p: p.batch("rh")),
    ("`over` names no input. Name those of which every member has its own", lambda p: p.batch(())),
    ("`size` is 0: a batch has 1 member or more", lambda p: p.batch("rho", size=0)),
    (
        "this program is a batch already. Name all inputs at once: over=('x', 'y')",
        lambda p: p.batch("rho").batch("a"),
    ),
    (
        "the batch has no one size: 'rho' has 3, 'eta' has 2 members. Give as many of each",
        lambda p: p.batch(("rho", "eta"))(RHOS, eta=[0.4, 0.6]),
    ),
    (
        "the batch is empty: input 'rho' has no member. Give at least one",
        lambda p: p.batch("rho")(RHOS[:0]),
    ),
    (
        "input 'rho' must be a field 4x12 for each member of the batch, got shape (4, 12). "
        "Give an array of shape (members, 4, 12)",
        lambda p: p.batch("rho")(RHOS[0]),
    ),
    (
        "input 'eta' is missing: it is a scalar for each member of the batch",
        lambda p: p.batch(("rho", "eta"))(RHOS),
    ),
    ("the batch was declared with 2 members, got 3", lambda p: p.batch("rho", size=2)(RHOS)),
    (
        "how many members? The batch over 'rho' takes any number. Give a size, e.g. size=3",
        lambda p: p.batch("rho").explain(),
    ),
    (
        "a batch has no as_jax(). Use that of the program itself, under jax.vmap",
        lambda p: p.batch("rho").as_jax(),
    ),
    (
        "input 'rho' must be a field 3x4x12, got shape (3, 12, 4). Give values of shape (3, 4, 12)",
        lambda p: p.batch("rho")(RHOS.swapaxes(1, 2)),
    ),
]


@pytest.mark.parametrize(("message", "wrong"), WRONG)
def test_messages(message: str, wrong: Any) -> None:
    with pytest.raises(tg.TographError) as caught:
        wrong(workflow().compile("jax"))
    assert str(caught.value) == message
