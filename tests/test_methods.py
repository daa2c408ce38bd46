"""Methods of the design loop: known optima, constraints on anything, several designs, the choice, the KKT residual."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest

import tograph as tg
from test_optimizers import BEST, A, rods
from tograph import nodes as n
from tograph.optimizers import (
    GCMMA,
    METHODS,
    MMA,
    Checkpoints,
    Geometric,
    Optax,
    Scipy,
    Stage,
    TorchOptim,
    load_checkpoint,
)
from tograph.optimizers.subproblem import Approximation
from tograph.optimizers.subproblem import solve as solve_subproblem
from tograph.problems import Problem, cantilever_with_hole, mbb

BOUNDED = rods(lower=0.01)


def solve(bounds: list[str], **options: Any) -> tg.Result:
    given: dict[str, Any] = {"minimize": "cost", "max_iter": 300} | options
    return tg.optimize(BOUNDED, np.ones(4), subject_to=bounds, **given)


# The subproblem.


@pytest.mark.parametrize("m", [0, 1, 3])
def test_the_subproblem_meets_its_conditions(m: int, rng: np.random.Generator) -> None:
    p, q = rng.uniform(0.1, 1.0, (2, 1 + m, 6))
    low, upp = np.full(6, -0.5), np.full(6, 1.5)
    offset = -0.9 * (p / 1.0 + q / 1.0).sum(axis=1)
    x, lam = solve_subproblem(Approximation(p, q, low, upp, np.zeros(6), np.ones(6), offset), 1000.0)
    weights = np.concatenate([[1.0], lam])
    slope = (weights @ p) / (upp - x) ** 2 - (weights @ q) / (x - low) ** 2
    inside = (x > 1e-6) & (x < 1 - 1e-6)
    assert np.abs(slope[inside]).max(initial=0.0) < 1e-6
    assert np.all(slope[x <= 1e-6] > -1e-6) and np.all(slope[x >= 1 - 1e-6] < 1e-6)


@pytest.mark.parametrize(
    ("n", "m", "kind"), [(1, 5, "kept"), (40, 2, "opposite"), (40, 3, "missed"), (3000, 3, "kept")]
)
def test_the_subproblem_is_solved_where_it_is_hard(n: int, m: int, kind: str, rng: np.random.Generator) -> None:
    """Kinks everywhere, constraints that contradict each other, or that nothing can keep."""
    t = rng.uniform(size=n).round(1)
    low, upp = t - rng.uniform(0.05, 0.5, n), t + rng.uniform(0.05, 0.5, n)
    slopes = np.concatenate([-(rng.normal(size=(1, n)) ** 2), np.abs(rng.normal(size=(m, n)))])
    p = (upp - t) ** 2 * (1.001 * np.maximum(slopes, 0.0) + 1e-3)
    q = (t - low) ** 2 * (1.001 * np.maximum(-slopes, 0.0) + 1e-3)
    if kind == "opposite":
        p[2], q[2] = q[1], p[1]
    value = np.concatenate([[1.0], rng.uniform(-0.02, 0.02, m) * n + (0.6 * n if kind == "missed" else 0.0)])
    offset = value - (p / (upp - t) + q / (t - low)).sum(axis=1)
    alpha, beta = np.maximum(0.0, low + 0.1 * (t - low)), np.minimum(1.0, upp - 0.1 * (upp - t))
    model = Approximation(p, q, low, upp, alpha, beta, offset)
    x, lam = solve_subproblem(model, 1000.0)
    # The Karush-Kuhn-Tucker conditions, with y = max(0, lam - c).
    left = model.values(x)[1:] - np.maximum(0.0, lam - 1000.0)
    assert np.all(lam >= 0.0) and np.all(left <= 1e-8) and np.all(np.abs(left[lam > 0.0]) <= 1e-8)
    weights = np.concatenate([[1.0], lam])
    P, Q = weights @ p, weights @ q
    slope = (P / (upp - x) ** 2 - Q / (x - low) ** 2) / (P / (upp - x) ** 2 + Q / (x - low) ** 2)
    assert np.all(np.abs(slope[(x > alpha) & (x < beta)]) < 1e-9)
    assert np.all(slope[x == alpha] > -1e-9) and np.all(slope[x == beta] < 1e-9)


def test_contradicting_constraints_are_violated_by_a_finite_amount() -> None:
    # x >= 2 cannot be: the elastic variable takes what is missing, and x goes as far as it may.
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    p, q = np.concatenate([one, zero]), np.concatenate([zero, 4.0 * one])
    box = np.array([0.0]), np.array([1.0])
    approximation = Approximation(p, q, np.array([-1.0]), np.array([2.0]), *box, np.array([0.0, -0.5]))
    x, _ = solve_subproblem(approximation, 1000.0)
    np.testing.assert_allclose(x, 1.0, atol=1e-6)


# Known optima.


@pytest.mark.parametrize("method", ["mma", "gcmma"])
def test_one_constraint(method: str) -> None:
    result = solve(["size <= 1"], method=method, kkt=1e-6)
    assert result.converged and result.why == "converged: the KKT residual is below 1e-06"
    np.testing.assert_allclose(result.design, BEST, atol=1e-5)


@pytest.mark.parametrize(("method", "places"), [("slsqp", 1e-2), ("trust-constr", 1e-3)])
def test_scipy_with_a_constraint(method: str, places: float) -> None:
    result = solve(["size <= 1"], method=method)
    assert result.converged and f"{METHODS[method]().name} says: " in result.why  # type: ignore[attr-defined]
    np.testing.assert_allclose(result.best_design, BEST, atol=places)


@pytest.mark.parametrize("method", ["mma", "slsqp"])
def test_every_sense_at_once(method: str) -> None:
    # -a / x^2 + lam / 4 - 2 mu x = 0 with both constraints met exactly.
    result = solve(["size == 1", "peak >= 6"], method=method, kkt=1e-6 if method == "mma" else None)
    assert result.converged
    assert result.best_values["size"] == pytest.approx(1.0, rel=1e-6)
    assert result.best_values["peak"] == pytest.approx(6.0, rel=1e-5)
    x = result.best_design
    slopes = np.stack([np.full(4, 0.25), -2.0 * x])
    lam, *_ = np.linalg.lstsq(slopes.T, A / x**2, rcond=None)
    np.testing.assert_allclose(slopes.T @ lam, A / x**2, rtol=2e-3)
    assert lam[1] > 0.0


def test_gcmma_never_rises_and_mma_may() -> None:
    result = solve(["size <= 1"], method=GCMMA(move=1.0), kkt=1e-6)
    cost = [row["cost"] for row in result.history]
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(cost))
    assert all(row["size"] <= 1 + 1e-6 for row in result.history)
    assert result.extra_evaluations >= result.iterations


def test_move_limits_per_variable() -> None:
    limits = np.array([0.01, 0.02, 0.05, 0.1])
    seen: list[tg.Iteration] = []
    solve(["size <= 9"], method=MMA(move=limits), max_iter=1, observers=[seen.append])
    np.testing.assert_allclose(seen[0].next_design - seen[0].design, limits * 9.99, rtol=1e-6)


@pytest.mark.parametrize("method", ["adam", TorchOptim("SGD", {"lr": 0.1}, clip=1.0, decay=0.99)])
def test_torch_optim(method: Any) -> None:
    result = solve([], minimize="peak", method=method, tol=1e-9)
    np.testing.assert_allclose(result.design, 0.01, atol=1e-6)
    assert result.converged


def test_optax_with_clipping_and_a_schedule() -> None:
    rate = optax.cosine_decay_schedule(0.1, 200)
    chain = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    result = solve([], minimize="peak", method=Optax(chain), tol=1e-9)
    np.testing.assert_allclose(result.design, 0.01, atol=1e-6)


def test_second_order_is_done_in_two_steps_on_a_quadratic() -> None:
    free = rods(lower=-np.inf, upper=np.inf)
    for name in ("Newton-CG", "trust-ncg"):
        result = tg.optimize(free, np.full(4, 0.3), minimize="peak", method=Scipy(name))
        assert result.iterations <= 3 and result.extra_evaluations >= 1
        np.testing.assert_allclose(result.best_design, 0.0, atol=1e-12)


def test_several_designs_are_one_problem() -> None:
    spec = tg.Spec("vector", (tg.Axis("rod", 2),))
    a, b = (tg.source(name, spec, lower=0.01, upper=10.0) for name in "ab")
    halves = [tg.constant(part, spec) for part in (A[:2], A[2:])]
    cost = n.Dot()(n.Reciprocal()(a), halves[0]) + n.Dot()(n.Reciprocal()(b), halves[1])
    graph = tg.Graph([a, b], {"cost": cost, "size": 0.25 * (n.Sum()(a) + n.Sum()(b))})
    start = {"a": np.ones(2), "b": np.ones(2)}
    for method in ("oc", "mma"):
        result = tg.optimize(
            graph.compile("torch"),
            start,
            minimize="cost",
            subject_to=["size <= 1"],
            design=("a", "b"),
            method=method,
            tol=1e-6,
        )
        np.testing.assert_allclose(np.concatenate([result.design["a"], result.design["b"]]), BEST, rtol=1e-4)
    with pytest.raises(tg.TographError) as caught:
        tg.optimize(graph.compile("torch"), {"a": np.ones(2)}, minimize="cost", design=("a", "b"))
    assert str(caught.value) == "the start must be a dict with an array for each of 'a', 'b', got 'a'"


def test_variables_whose_bounds_coincide_stay() -> None:
    program = rods(lower=np.array([0.01, 2.0, 0.01, 0.01]), upper=np.array([10.0, 2.0, 10.0, 10.0]))
    start = np.array([1.0, 2.0, 1.0, 1.0])
    result = tg.optimize(program, start, minimize="cost", subject_to=["size <= 1.25"], method="mma", kkt=1e-6)
    assert result.design[1] == 2.0 and result.converged
    expected = 3.0 * np.sqrt(A[[0, 2, 3]]) / np.sqrt(A[[0, 2, 3]]).sum()
    np.testing.assert_allclose(result.design[[0, 2, 3]], expected, atol=1e-4)


# Structures.


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_mma_reaches_the_published_compliance(backend: str) -> None:
    problem = mbb()
    program = problem.workflow(filter="density", radius=2.4).compile(backend)
    result = tg.optimize(
        program, problem.uniform(), minimize="compliance", subject_to=["volume <= 0.5"], method=MMA(), max_iter=300
    )
    assert result.converged
    assert result.values["compliance"] == pytest.approx(233.71, rel=1e-3)
    assert result.values["volume"] == pytest.approx(0.5, rel=1e-6)


def bent(problem: Problem) -> tg.Graph:
    """Compliance and volume, and `shift`, how far the roller at the right moves."""
    rho = tg.source("rho", problem.grid.field(), lower=0.0, upper=1.0)
    rho_f = n.DensityFilter(problem.grid, radius=1.5)(rho)
    u = n.LinearSolve()(n.Stiffness(problem.grid, nu=0.3, fixed=problem.fixed)(n.Simp()(rho_f)), problem.load)
    points = problem.grid.node_coordinates()
    at = np.zeros(problem.grid.n_dofs())
    at[2 * np.argmax(points[:, 0] - points[:, 1])] = 1.0
    shift = n.Dot()(u, tg.constant(at, problem.grid.vector()))
    outputs = {"compliance": n.Compliance()(u, problem.load), "volume": n.VolumeFraction()(rho_f), "shift": shift}
    return tg.Graph([rho], outputs, name="bent")


@pytest.mark.parametrize("method", ["mma", "gcmma"])
def test_volume_and_displacement_are_both_active(method: str) -> None:
    problem = mbb(nelx=18, nely=6)
    bounds = ["volume <= 0.5", "shift <= 35"]
    result = tg.optimize(
        bent(problem).compile("torch"),
        problem.uniform(),
        minimize="compliance",
        subject_to=bounds,
        method=method,
        kkt=1e-4,
        max_iter=400,
    )
    assert result.converged and result.kkt <= 1e-4
    assert result.values["volume"] == pytest.approx(0.5, rel=1e-6)
    assert result.values["shift"] == pytest.approx(35.0, rel=1e-6)


def test_passive_regions_under_mma() -> None:
    problem = cantilever_with_hole(nelx=18, nely=12)
    program = problem.workflow(radius=1.5).compile("torch")
    result = tg.optimize(
        program, problem.uniform(), minimize="compliance", subject_to=["volume <= 0.5"], method="mma", max_iter=30
    )
    assert result.values["compliance"] < 0.6 * result.history[0]["compliance"]
    assert 0.499 < result.values["volume"] <= 0.5 * (1 + 1e-9)
    assert problem.void is not None


# The choice, and what is said.


def test_the_choice_is_explained() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"minimize": "peak"}, "l-bfgs-b, chosen because there are bounds and no constraints"),
        (
            {"subject_to": ["size <= 1"]},
            "oc, chosen because the objective falls and the one constraint, 'size', grows where the design grows",
        ),
        (
            {"minimize": "size", "subject_to": ["cost <= 40"]},
            "mma, chosen because the objective rises, or 'cost' falls, where some of the design grows",
        ),
        (
            {"subject_to": ["size <= 1", "peak <= 5"]},
            "mma, chosen because it takes any constraints, here size <= 1, peak <= 5",
        ),
    ]
    for options, sentence in cases:
        result = tg.optimize(BOUNDED, np.ones(4), **{"minimize": "cost", "method": "auto", "max_iter": 2, **options})
        assert result.method == sentence
    free = rods(lower=-np.inf, upper=np.inf)
    result = tg.optimize(free, np.ones(4), minimize="peak", method="auto")
    assert result.method == "newton-cg, chosen because there are neither bounds nor constraints"
    assert solve(["size <= 1"], max_iter=1).method == "oc, as asked"
    assert solve(["size <= 1"], max_iter=1, method=MMA()).method == "MMA, as given"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"method": "mmma"}, "there is no method 'mmma'. Did you mean 'mma'?"),
    (
        {"method": "l-bfgs-b", "subject_to": ["size <= 1"]},
        "L-BFGS-B knows no constraints, got size <= 1. Take 'mma', 'slsqp' or 'trust-constr'",
    ),
    (
        {"method": "newton-cg"},
        "Newton-CG knows no bounds, and 'x' has some. Take 'l-bfgs-b' or 'trust-constr', or set `lower` and `upper` of "
        "the input to -inf and inf",
    ),
    (
        {"method": "adam", "subject_to": ["size <= 1"]},
        "torch.optim.Adam knows no constraints, got size <= 1. Weigh them into the objective (`tg.weighted_sum`), or "
        "take 'mma'",
    ),
    ({"method": MMA(move=np.ones(3))}, "the move limits of MMA have shape (3,); the design has shape (4,)"),
    ({"kkt": -1.0}, "kkt must be at least 0, got -1"),
    (
        {"stages": [Stage({"x": Geometric(1.0, 8.0)}, method="l-bfgs-b")]},
        "'x' is the design: give its first value as `start`, not among the `inputs`",
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_messages(options: dict[str, Any], message: str) -> None:
    with pytest.raises(tg.TographError) as caught:
        tg.optimize(BOUNDED, np.ones(4), **{"minimize": "cost", **options})
    assert str(caught.value) == message


def test_mma_needs_finite_bounds() -> None:
    with pytest.raises(tg.TographError) as caught:
        tg.optimize(rods(upper=np.inf), np.ones(4), minimize="cost", method="mma")
    assert str(caught.value) == (
        "MMA needs finite bounds, and 'x' has none in 4 of 4 places. Give the input `lower` and `upper`"
    )


@pytest.mark.parametrize("made", [lambda: MMA(move=0.0), lambda: GCMMA(price=-1.0), lambda: MMA(move=[0.1, np.nan])])
def test_settings_out_of_range(made: Any) -> None:
    with pytest.raises(ValueError, match="must be positive and finite"):
        made()


def test_the_kkt_residual() -> None:
    assert tg.optimize(BOUNDED, BEST, minimize="cost", subject_to=["size <= 1"], max_iter=1).kkt < 1e-12
    far = tg.optimize(BOUNDED, np.ones(4), minimize="cost", subject_to=["size <= 1"], max_iter=1).kkt
    # |a - mean(a)| / |a|: what no multiplier of a constant gradient can cancel.
    assert far == pytest.approx(np.linalg.norm(A - A.mean()) / np.linalg.norm(A), rel=1e-9)


def test_the_best_design_is_kept() -> None:
    result = solve(["size <= 1"], method="slsqp")
    best = min((row for row in result.history if row["size"] <= 1.001), key=lambda row: row["cost"])
    assert result.best_values["cost"] == best["cost"]
    assert result.solves == 0


# Network weights.


def _network() -> tg.Graph:
    """A network of one hidden layer that is fitted to 20 points: four arrays of weights without bounds."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1.0, 1.0, (20, 2))
    arrays = tg.Spec("array", (tg.Axis("sample", 20), tg.Axis("feature", 2)))
    target = tg.constant(x[:, :1] * x[:, 1:], tg.Spec("array", (tg.Axis("sample", 20), tg.Axis("unit", 1))), name="t")
    shapes = {"W1": (2, 6), "b1": (6,), "W2": (6, 1), "b2": (1,)}
    axes = {name: tuple(tg.Axis("unit", size) for size in shape) for name, shape in shapes.items()}
    W1, b1, W2, b2 = inputs = [tg.source(name, tg.Spec("params", of)) for name, of in axes.items()]
    hidden = n.Tanh()(n.Dense()(tg.constant(x, arrays, name="x"), W1, b1))
    error = n.Dense()(hidden, W2, b2) - target
    return tg.Graph(inputs, {"loss": n.Sum()(error * error)}, name="network")


NETWORK = _network()
WEIGHTS = {
    "W1": np.full((2, 6), 0.1) * np.arange(6),
    "b1": np.linspace(-1, 1, 6),
    "W2": np.ones((6, 1)),
    "b2": np.zeros(1),
}


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_a_network_are_designed(backend: str, dtype: str) -> None:
    program = NETWORK.compile(backend, dtype=dtype)
    own = {name: np.asarray(w, dtype=dtype) for name, w in WEIGHTS.items()}
    losses = {}
    for method in (Scipy("L-BFGS-B"), TorchOptim("Adam", {"lr": 0.05}), Optax(optax.adam(0.05))):
        found = tg.optimize(program, own, minimize="loss", design=tuple(WEIGHTS), method=method, max_iter=60, tol=0.0)
        assert {name: w.shape for name, w in found.best_design.items()} == {k: np.shape(w) for k, w in WEIGHTS.items()}
        again = program(**{name: np.asarray(w, dtype=dtype) for name, w in found.best_design.items()})
        assert float(again["loss"]) == pytest.approx(found.best_values["loss"], rel=1e-5)
        losses[type(method).__name__] = found.best_values["loss"]
    first = float(program(**own)["loss"])
    assert losses["Scipy"] < 0.05 * first and losses["TorchOptim"] < 0.2 * first
    assert losses["Optax"] == pytest.approx(losses["TorchOptim"], rel=1e-3)


def test_the_record_of_a_run_in_single_precision_is_in_single_precision(tmp_path: Path) -> None:
    """It holds one gradient per evaluation, and no designs; a run that goes on from it is the same to the last bit."""
    program = NETWORK.compile("torch", dtype="float32")
    call: Any = {"minimize": "loss", "design": tuple(WEIGHTS), "method": "l-bfgs-b", "tol": 0.0, "max_iter": 12}
    whole = tg.optimize(program, WEIGHTS, **call)
    kept = tmp_path / "checkpoint"

    def stop(now: tg.Iteration) -> bool:
        return now.number == 7

    tg.optimize(program, WEIGHTS, **call, observers=[Checkpoints(kept, share=1.0), stop])
    checkpoint = load_checkpoint(kept)
    record = checkpoint.position.state["record"]
    assert [sorted(entry) for entry in record[1:]] == [["digest", "gradients", "values"]] * 6
    assert record[3]["gradients"]["loss"].dtype == np.float32
    rest = tg.optimize(program, WEIGHTS, **call, resume=checkpoint)
    assert rest.iterations == 12 and all(np.array_equal(rest.design[k], w) for k, w in whole.design.items())
