"""A learned energy in place of an exact one: the fit, the body, and the bias of a surrogate derivative."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest

import tograph as tg
from tograph import Graph
from tograph import nodes as n
from tograph.draw.bias import draw_bias
from tograph.problems import Fit, cantilever, fit_energy, multiscale_compliance, sample

LAW = n.StiffeningLaw()
NETWORK = n.NeuralEnergy(width=8, depth=1, strain_scale=0.02)
BEAM, LOAD = cantilever(8, 4), 0.002
RNG = np.random.default_rng(4)
AT = {"rho": RNG.uniform(0.4, 1.0, BEAM.grid.shape), "alpha": RNG.uniform(0.2, 0.8, BEAM.grid.shape)}


@pytest.fixture(scope="module")
def fit() -> Fit:
    said: list[str] = []
    found = fit_energy(
        NETWORK, sample(LAW, 400, high=0.05), sample(LAW, 200, high=0.05, seed=1), iterations=200, progress=said.append
    )
    assert len(said) == 4 and said[0].startswith("iteration 1: loss ") and "validation: stress" in said[0]
    return found


def test_samples_are_log_uniform_and_exact() -> None:
    made = sample(LAW, 2000, low=1e-4, high=1e-2)
    size = np.log10(np.linalg.norm(made.strain, axis=1))
    assert np.allclose(np.histogram(size, bins=4, range=(-4.0, -2.0))[0] / 2000.0, 0.25, atol=0.04)
    # psi grows between those of its linear part and of its quartic part: 2 psi <= sigma . eps <= 4 psi.
    work = np.sum(made.sigma * made.strain, axis=1)
    assert np.all(work >= 2.0 * made.psi * (1.0 - 1e-9)) and np.all(work <= 4.0 * made.psi)


def test_the_fit_learns_stress_and_energy(fit: Fit) -> None:
    first, last = fit.history[0], fit.history[-1]
    assert last["loss"] < 1e-2 * first["loss"]
    assert fit.stress_error < 0.08 and fit.energy_error < 0.05


def test_exact_law_and_network_differ_by_one_node(fit: Fit) -> None:
    exact, learned = (
        multiscale_compliance(BEAM, energy, theta=theta, load=LOAD)
        for energy, theta in ((LAW, None), (NETWORK, fit.theta))
    )
    assert exact.input_names == ("rho", "alpha") and learned.input_names == ("rho", "alpha", "theta")
    titles = [[v.node.title for v in g.vertices if not isinstance(v.node, tg.declare.Source)] for g in (exact, learned)]
    assert titles[0] == titles[1]
    values = [float(g.compile("torch")(**AT)["compliance"]) for g in (exact, learned)]
    assert values[1] == pytest.approx(values[0], rel=0.05)


def test_value_from_the_law_and_derivative_from_the_network(fit: Fit, tmp_path: Path) -> None:
    rho, alpha = (tg.source(x, BEAM.grid.field()) for x in AT)
    E, load = n.Simp(E_min=1e-3)(rho), LOAD * BEAM.load
    u = n.NewtonSolve(LAW, BEAM.grid, fixed=BEAM.fixed)(E, load, alpha)
    u_net = n.NewtonSolve(NETWORK, BEAM.grid, fixed=BEAM.fixed)(E, load, alpha, fit.theta)
    c, c_net = (n.Compliance()(x, load) for x in (u, u_net))
    both = tg.with_gradient_of(c, c_net, "the law has no derivative at hand")
    graph = Graph([rho, alpha], {"c": both, "exact": c, "net": c_net})
    values, by = graph.compile("torch").value_and_grad(("c", "net"), "rho")(**AT)
    assert values["c"] != values["net"]
    assert np.allclose(by["c"], by["net"], rtol=1e-9)
    report = tg.bias(Graph([rho, alpha], {"c": both}), "c", ("rho", "alpha"), AT, backend="torch")
    assert 0.0 < report.angle < 20.0 and report.ratio == pytest.approx(1.0, abs=0.2)
    cut, full = report.gradients["rho"]
    assert np.allclose(cut, by["c"], rtol=1e-9) and cut.shape == full.shape == BEAM.grid.shape
    assert "gradients" not in report.to_dict()
    draw_bias(report, tmp_path / "bias.png")
    assert (tmp_path / "bias.png").stat().st_size > 10_000
    with pytest.raises(tg.TographError, match="no input of 'c' in this report is a field"):
        draw_bias(attrs.evolve(report, gradients={}), tmp_path / "none.png")
