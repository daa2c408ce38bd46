"""Detached and surrogate edges: the same in every mode, order and framework; and what they do to a gradient."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import tograph as tg
from tograph import Edge, Graph, GraphError, Node, Port, TographError
from tograph import nodes as n
from tograph.problems import mbb

BACKENDS = ("jax", "torch")
VECTOR = tg.Spec("vector", (tg.Axis("i", 4),))
X = np.array([0.3, -0.8, 1.2, 0.6])
V = np.array([1.0, 0.5, -2.0, 0.7])
W = np.array([0.2, 1.0, -0.5, 2.0])


@tg.node
class Threshold(Node):
    """1 where x > 1/2, else 0; its own derivative is zero."""

    inputs = (Port("x"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        (x,) = values
        return xp.where(x > 0.5, xp.ones_like(x), xp.zeros_like(x))


@tg.node
class Halved(Node):
    """A composite with a cut inside: y = x + detach(x)."""

    inputs = (Port("x"),)

    def expand(self, specs: Any, *edges: Any) -> Edge:
        (x,) = edges
        return x + tg.detach(x, "half of it")


def cubed(x: Edge) -> Edge:
    return n.Power(exponent=3.0)(x)


def detached() -> tuple[Graph, Any, Any]:
    """c = sum detach(x^2) x^3, with its gradient and Hessian-vector product."""
    x = tg.source("x", VECTOR)
    c = n.Dot()(tg.detach(n.Power(exponent=2.0)(x), "held"), cubed(x))
    return Graph([x], {"c": c}), 3.0 * X**4, 6.0 * X**3 * V


def surrogate() -> tuple[Graph, Any, Any]:
    """c = sum w y^2, where y is a threshold with the derivative of x^3."""
    x = tg.source("x", VECTOR)
    y = tg.with_gradient_of(Threshold()(x), cubed(x))
    value, first, second = (X > 0.5).astype(float), 3.0 * X**2, 6.0 * X
    c = n.Dot()(n.Power(exponent=2.0)(y), W)
    return Graph([x], {"c": c}), 2.0 * W * value * first, 2.0 * W * (first**2 + value * second) * V


MADE = [pytest.param(detached, id="detached"), pytest.param(surrogate, id="surrogate")]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", MADE)
def test_every_mode_and_order(make: Any, backend: str) -> None:
    graph, gradient, product = make()
    program = graph.compile(backend)
    c, g = program.value_and_grad("c", "x")(X)
    assert np.allclose(g, gradient, rtol=1e-13)
    assert c == pytest.approx(float(program(X)["c"]))
    assert program.jvp("c", "x")(X, x_dot=V)[1] == pytest.approx(gradient @ V, rel=1e-13)
    assert np.allclose(program.vjp("c", "x")(X, c_bar=3.0)[1], 3.0 * gradient, rtol=1e-13)
    found = program.hvp("c", "x")(X, x_dot=V)
    assert np.allclose(found[1], gradient, rtol=1e-13) and np.allclose(found[2], product, rtol=1e-13)


@pytest.mark.parametrize("make", MADE)
def test_json_round_trip(make: Any) -> None:
    graph, gradient, _ = make()
    again = Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert again == graph
    assert np.allclose(again.compile("jax").value_and_grad("c", "x")(X)[1], gradient)


@pytest.mark.parametrize("backend", BACKENDS)
def test_straight_through(backend: str) -> None:
    """Rounded on the way up; on the way back as if nothing had happened."""
    x = tg.source("x", VECTOR)
    rounded = tg.with_gradient_of(Threshold()(x), x, name="rounded")
    program = Graph([x], {"c": n.Dot()(rounded, W), "rounded": rounded}).compile(backend)
    assert np.array_equal(program(X)["rounded"], X > 0.5)
    assert np.array_equal(program.value_and_grad("c", "x")(X)[1], W)


def test_names_and_listing() -> None:
    x = tg.source("x", VECTOR)
    y = tg.with_gradient_of(Threshold()(x), cubed(x), "the threshold is flat")
    graph = Graph([x], {"c": n.Dot()(y, W)})
    assert {"y", "y_value"} <= set(graph.names.values())
    text = str(graph.compile("jax").value_and_grad("c", "x").explain())
    assert "surrogate" in text and "the threshold is flat" in text and "'y' is differentiated as if it were" in text


def test_only_what_is_needed_is_computed() -> None:
    x = tg.source("x", VECTOR)
    c = n.Dot()(tg.with_gradient_of(Threshold()(x), cubed(x)), W)
    program = Graph([x], {"c": c}).compile("jax")
    titles = [v.node.title for v in program.values("c").plan.order]
    assert "Threshold" in titles and not {"Power", "WithGradientOf", "Detach"} & set(titles)


def test_shapes_must_agree() -> None:
    x, z = tg.source("x", VECTOR), tg.source("z", tg.Spec("vector", (tg.Axis("i", 3),)))
    y = tg.with_gradient_of(x, z)
    with pytest.raises(
        GraphError, match=r"y\.derivative: shapes differ: 'value' is vector 4, 'derivative' is vector 3"
    ):
        Graph([x, z], {"y": y}).validate()
    with pytest.raises(GraphError, match="expects an edge, a number or an array"):
        tg.with_gradient_of("x", z)


def test_no_derivative_is_said_to_be_detached() -> None:
    x = tg.source("x", VECTOR)
    c = n.Dot()(tg.with_gradient_of(x, np.zeros(4), "frozen"), W)
    with pytest.raises(GraphError, match=r"no derivative of 'c' with respect to 'x': detached.*frozen"):
        Graph([x], {"c": c}).compile("jax").value_and_grad("c", "x")


def test_certification_calls_it_inexact() -> None:
    graph, _, _ = surrogate()
    report = tg.check(graph, at={"x": X})
    assert report.passed and "inexact" in report.counts(), f"\n{report}"


# facts of density and displacement from one network, where the displacement is detached from the energy:
# at equilibrium the naive cut turns the sign of the sensitivity; three forms that do not.

PROBLEM = mbb(12, 6)
RHO = np.random.default_rng(3).uniform(0.2, 0.9, PROBLEM.grid.shape)
P, E_MIN = 3.0, 1e-9


def energy(E: Edge, u: Edge) -> Edge:
    """u . K(E) u, the integral of E eps : C_0 : eps."""
    stiffness = n.Stiffness(PROBLEM.grid, fixed=PROBLEM.fixed)
    c: Edge = n.Dot()(n.ApplyOperator(stiffness.pattern())(stiffness(E), u), u)
    return c


def state(E: Edge) -> Edge:
    K = n.Stiffness(PROBLEM.grid, fixed=PROBLEM.fixed)(E)
    u: Edge = n.LinearSolve()(K, PROBLEM.load)
    return u


def cut(form: str, scale: float = 1.0) -> Graph:
    rho = tg.source("rho", PROBLEM.grid.field())
    E = n.Simp(p=P, E_min=E_MIN)(rho)
    u = tg.detach(state(E), "predicted by the same network") * scale
    held = tg.detach(E)
    if form == "naive":
        c = energy(E, u)
    elif form == "modified":  # E_min + sg(rho)^2p / rho^p (E_0 - E_min)
        ratio = n.Power(exponent=2.0 * P)(tg.detach(rho)) / n.Power(exponent=P)(rho)
        c = energy(E_MIN + (1.0 - E_MIN) * ratio, u)
    elif form == "inverse":  # sg(E)^2 / E
        c = energy(n.Power(exponent=2.0)(held) / E, u)
    else:  # 2 sg(c) - c
        naive = energy(E, u)
        c = 2.0 * tg.detach(naive) - naive
    return Graph([rho], {"c": c})


def adjoint(backend: str) -> np.ndarray:
    program = PROBLEM.workflow(filter="none", penal=P).compile(backend)
    found: np.ndarray = program.value_and_grad("compliance", "rho")(RHO)[1]
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_naive_detachment_has_the_wrong_sign(backend: str) -> None:
    report = tg.bias(cut("naive"), "c", "rho", {"rho": RHO}, backend=backend)
    assert report.angle == pytest.approx(180.0, abs=1e-8)
    assert report.ratio == pytest.approx(1.0, abs=1e-10)
    assert "detaching 'u' gives a gradient that points 180 degrees away (wrong sign)" in str(report)
    naive = cut("naive").compile(backend).value_and_grad("c", "rho")(RHO)[1]
    reference = adjoint(backend)
    assert np.max(np.abs(naive + reference)) < 1e-10 * np.max(np.abs(reference))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", ["modified", "inverse", "twice"])
def test_forms_that_match_the_adjoint(form: str, backend: str) -> None:
    c, g = cut(form).compile(backend).value_and_grad("c", "rho")(RHO)
    value = PROBLEM.workflow(filter="none", penal=P).compile(backend)(RHO)["compliance"]
    assert c == pytest.approx(float(value), rel=1e-9)
    reference = adjoint(backend)
    assert np.max(np.abs(g - reference)) < 1e-9 * np.max(np.abs(reference))


@pytest.mark.parametrize(("scale", "off"), [(0.99, 0.0199), (0.95, 0.0975), (0.90, 0.19)])
def test_away_from_equilibrium_they_are_off(scale: float, off: float) -> None:
    g, reference = cut("inverse", scale).compile("jax").value_and_grad("c", "rho")(RHO)[1], adjoint("jax")
    assert np.linalg.norm(g - reference) / np.linalg.norm(reference) == pytest.approx(off, rel=1e-6)


# the report


def test_each_edge_alone() -> None:
    x = tg.source("x", VECTOR)
    c = n.Dot()(tg.detach(x, "held"), n.Dot()(x, W) * x) + n.Dot()(tg.with_gradient_of(cubed(x), x), V)
    graph = Graph([x], {"c": c})
    report = tg.bias(graph, "c", "x", {"x": X})
    # c = s |x|^2 + v . x^3 with s = w . x
    full = W * (X @ X) + 2.0 * (W @ X) * X + 3.0 * V * X**2
    held, straight = full - (W @ X) * X, full - 3.0 * V * X**2 + V
    both = held + straight - full
    assert [(edge.name, edge.word) for edge in report.edges] == [("x", "detached"), ("with_gradient_of", "surrogate")]
    measured: tuple[Any, ...] = (report, *report.edges)
    for made, expected in zip(measured, (both, held, straight), strict=True):
        cosine = expected @ full / np.linalg.norm(expected) / np.linalg.norm(full)
        assert made.angle == pytest.approx(math.degrees(math.acos(cosine)), rel=1e-9)
        assert made.ratio == pytest.approx(np.linalg.norm(expected) / np.linalg.norm(full), rel=1e-12)
    assert str(report).count("\n") == 2 and "test_detached.py" in str(report)
    assert tg.bias(graph, "c", "x", {"x": X}, per_edge=False).edges == ()


def test_plain_data() -> None:
    graph, _, _ = detached()
    data = tg.bias(graph, "c", "x", {"x": X}).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["edges"][0]["reason"] == "held" and data["wrt"] == ["x"]


def test_cuts_inside_composites_are_found() -> None:
    x = tg.source("x", VECTOR)
    report = tg.bias(Graph([x], {"c": n.Sum()(Halved()(x))}), "c", "x", {"x": X})
    assert report.ratio == pytest.approx(0.5) and report.angle == pytest.approx(0.0, abs=1e-6)
    assert [edge.reason for edge in report.edges] == ["half of it"]


def test_everything_detached() -> None:
    x = tg.source("x", VECTOR)
    report = tg.bias(Graph([x], {"c": n.Sum()(tg.detach(x))}), "c", "x", {"x": X})
    assert report.ratio == 0.0 and math.isnan(report.angle) and "is zero" in str(report)
    assert report.to_dict()["angle"] is None


def test_nothing_detached() -> None:
    x = tg.source("x", VECTOR)
    report = tg.bias(Graph([x], {"c": n.Sum()(x)}), "c", "x", {"x": X})
    assert report.angle == 0.0 and report.ratio == 1.0 and "nothing is detached" in str(report)


def test_inputs_that_only_a_surrogate_has() -> None:
    x, z = tg.source("x", VECTOR), tg.source("z", VECTOR)
    y = tg.with_gradient_of(cubed(x), z)
    report = tg.bias(Graph([x, z], {"c": n.Dot()(y, W)}), "c", ("x", "z"), {"x": X, "z": X})
    assert report.angle == pytest.approx(90.0)  # one has only d/dz, the other only d/dx


def test_unknown_names() -> None:
    graph, _, _ = detached()
    for of, wrt, at in (("d", "x", {}), ("c", "y", {}), ("c", "x", {"xx": X})):
        with pytest.raises(TographError, match="the graph has no"):
            tg.bias(graph, of, wrt, at)
