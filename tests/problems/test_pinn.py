"""One network for density and displacement: what each part of the loss trains, and the same on both backends."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tograph as tg
from tograph import Graph, GraphError
from tograph.bias import find_cuts
from tograph.optimizers import TorchOptim
from tograph.problems import (
    cantilever,
    finite_elements,
    mbb,
    pinn_compliance,
    pinn_network,
    pinn_stages,
    pinn_start,
    two_load_cantilever,
)

BEAM = cantilever(8, 4)
NET = pinn_network(width=16, m=8)
GRAPH = pinn_compliance(BEAM, NET, seed=3)
START = pinn_start(NET, seed=3)


def test_both_backends_start_from_the_same_weights_and_take_the_same_steps() -> None:
    losses = {}
    for backend in ("jax", "torch"):
        program = GRAPH.compile(backend)
        stages = pinn_stages(10, warm_up=0.3)
        found = tg.optimize(program, START, minimize="loss", design="theta", stages=stages)
        assert found.iterations == 10
        losses[backend] = [row["loss"] for row in found.history]
    assert np.allclose(losses["jax"], losses["torch"], rtol=1e-8)
    assert losses["jax"][-1] != pytest.approx(losses["jax"][0], rel=1e-3)


def test_every_detachment_is_an_edge_with_its_reason() -> None:
    cuts = {cut.name: cut.reason for cut in find_cuts(GRAPH.vertices)}
    reasons = [vertex.node.reason for vertex in GRAPH.vertices if isinstance(vertex.node, tg.declare.Detach)]
    assert len(reasons) == 4 and all(reasons)
    assert set(cuts) == {"rho", "W", "u"}


def test_the_density_is_trained_by_the_compliance_and_the_displacement_by_the_potential_energy() -> None:
    """The last layer has a column for the density and two for the displacement."""
    program, theta = GRAPH.compile("torch"), START
    for output, columns in (("potential", [0, 1]), ("compliance", [2])):
        by = NET.cut(program.value_and_grad(output, "theta")(theta)[1])[f"W{NET.depth}"]
        moved = [k for k in range(3) if np.max(np.abs(by[:, k])) > 0.0]
        assert moved == columns, output


def test_what_a_detached_edge_cuts_is_named() -> None:
    [held] = [tg.Edge(v) for v in GRAPH.vertices if v.origin.name == "rho_held"]
    cut = Graph([GRAPH.input("theta")], {"held": tg.nodes.Sum()(held)})
    with pytest.raises(GraphError, match="the potential energy trains the displacement only"):
        cut.compile("jax").value_and_grad("held", "theta")
    why = cut.why_zero("held", "theta")
    assert why.word == "detached" and why.node == "rho_held"


def test_warm_up_lowers_the_potential_energy_and_holds_the_volume() -> None:
    program = GRAPH.compile("torch")
    given = {"penal": 1.0, "c_weight": 0.0}
    method = TorchOptim("Adam", {"lr": 5e-3})
    found = tg.optimize(
        program, START, minimize="loss", design="theta", inputs=given, method=method, max_iter=150, tol=0.0
    )
    density = program(found.design, **given)["density"]
    assert np.mean(density) == pytest.approx(BEAM.volume, abs=1e-9)
    exact = float(finite_elements(BEAM).compile("numpy")(np.cbrt(density))["compliance"])  # p = 3 there, 1 here
    assert found.values["potential"] > -0.5 * exact * (1.0 + 1e-6), "the least potential energy is -c / 2"
    assert found.values["potential"] < -0.3 * exact


@pytest.mark.parametrize("problem", [mbb(8, 4, 0.5), two_load_cantilever(8, 8)], ids=["mbb", "two loads"])
def test_what_it_does_not_do(problem: tg.problems.Problem) -> None:
    if problem.cases == 1:
        pinn_compliance(problem, NET).validate()
        return
    with pytest.raises(ValueError, match=re.escape("one load case in the plane")):
        pinn_compliance(problem, NET)
