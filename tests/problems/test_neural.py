"""Networks as designs: the volume that is held, the same gradients everywhere, training, ensembles, other people's."""

from __future__ import annotations

from typing import Any

import attrs
import equinox
import jax
import numpy as np
import pytest
import torch
from jax.flatten_util import ravel_pytree

import tograph as tg
from tograph import nodes as n
from tograph.optimizers import Scipy, TorchOptim
from tograph.problems import NETWORKS, Problem, cantilever_with_hole, hoyer, mbb, network, neural_compliance
from tograph.runs import RECIPES

BEAM = mbb(nelx=12, nely=8, volume=0.4)
SMALL = n.Siren(width=8, depth=1, dtype="float32")


@pytest.mark.parametrize("problem", [BEAM, hoyer("l_shape_0.4_64x64_0.4"), cantilever_with_hole(nelx=18, nely=12)])
def test_the_physical_volume_is_exact_whatever_the_network_says(problem: Problem) -> None:
    """With passive regions and empty elements too; before the filter it is only nearly right."""
    net = n.Siren(width=8, depth=1)
    theta = 5.0 * net.initial(1)
    for hold, low, high in (("physical", 0.0, 1e-12), ("raw", 1e-7, 1e-1)):
        graph = neural_compliance(problem, net, hold=hold)
        volume_only = tg.Graph(graph.inputs, {"volume": graph.outputs["volume"]})
        error = abs(volume_only.compile("numpy")(theta)["volume"] / problem.volume - 1.0)
        assert low <= error <= high, hold


def test_share_of_each_density_is_the_gradient_of_the_filtered_volume() -> None:
    problem = hoyer("l_shape_0.4_64x64_0.4")
    assert problem.void is not None
    share = n.filter_share(problem.grid, 2.0, active=~problem.void)
    program = problem.workflow(filter="active density", radius=2.0).compile("torch")
    _, gradient = program.value_and_grad("volume", "rho")(problem.uniform())
    assert np.allclose(share * (~problem.void).sum(), gradient * problem.void.size, atol=1e-12)
    assert share.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("beta", [0.5, 32.0])
def test_projection_that_keeps_the_volume(beta: float) -> None:
    """Behind a filter, the mean stays what it was; no design change moves it."""
    rho, sharp = tg.source("rho", BEAM.grid.field()), tg.source("beta")
    rho_f = n.DensityFilter(BEAM.grid, radius=2.0)(rho)
    rho_p = n.VolumeHeaviside(beta=sharp, V=n.VolumeFraction()(rho_f))(rho_f)
    fixed = n.VolumeHeaviside(beta=sharp, V=0.4)(rho_f)
    outputs = {"kept": n.VolumeFraction()(rho_p), "own": n.VolumeFraction()(rho_f), "held": n.VolumeFraction()(fixed)}
    program = tg.Graph([rho, sharp], outputs).compile("torch")
    x = np.random.default_rng(0).uniform(0.1, 0.7, BEAM.grid.shape)
    values, gradients = program.value_and_grad(("kept", "own", "held"), "rho")(x, beta=beta)
    assert values["kept"] == pytest.approx(values["own"], abs=1e-12) and abs(values["held"] - 0.4) < 1e-12
    assert np.allclose(gradients["kept"], gradients["own"], atol=1e-12)
    assert np.abs(gradients["held"]).max() < 1e-12


@pytest.mark.parametrize(("dtype", "tolerance"), [("real", 1e-10), ("float32", 1e-5)])
def test_both_backends_agree_on_compliance_and_gradient(dtype: str, tolerance: float) -> None:
    net = attrs.evolve(SMALL, dtype=dtype)
    graph = neural_compliance(BEAM, net, radius=1.5)
    (c, dc), (c_torch, dc_torch) = (
        graph.compile(backend).value_and_grad("compliance", "theta")(net.initial(0)) for backend in ("jax", "torch")
    )
    assert abs(c / c_torch - 1.0) < tolerance
    assert np.abs(dc - dc_torch).max() < tolerance * np.abs(dc).max()


@pytest.mark.parametrize("method", [TorchOptim("Adam", {"lr": 0.02}, clip=1.0), Scipy("L-BFGS-B")])
def test_training_stiffens_and_holds_the_volume(method: Any) -> None:
    program = neural_compliance(BEAM, SMALL, radius=1.5).compile("torch")
    result = tg.optimize(program, SMALL.initial(0), minimize="compliance", method=method, max_iter=15, tol=0.0)
    assert result.best_values["compliance"] < 0.9 * result.history[0]["compliance"]
    assert all(abs(row["volume"] / 0.4 - 1.0) < 1e-10 for row in result.history)


def test_ensemble_over_seeds_is_one_batch() -> None:
    program = neural_compliance(BEAM, SMALL, radius=1.5).compile("torch")
    seeds = np.stack([SMALL.initial(seed) for seed in range(3)])
    values, gradients = program.batch("theta").value_and_grad("compliance", "theta")(seeds)
    assert gradients.shape == seeds.shape
    for value, gradient, theta in zip(values, gradients, seeds, strict=True):
        one, its = program.value_and_grad("compliance", "theta")(theta)
        assert value == pytest.approx(one, rel=1e-5)
        assert np.abs(gradient - its).max() < 1e-4 * np.abs(its).max()


class Own(torch.nn.Module):
    """A user's network, of a form that is not in the library."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = torch.nn.Linear(2, 8), torch.nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Points to a field."""
        made: torch.Tensor = self.b(torch.selu(self.a(x)))[..., 0]
        return made


def test_network_of_ones_own_drops_in() -> None:
    net = tg.function(Own(), output=BEAM.grid.field())
    program = neural_compliance(BEAM, net, radius=1.5).compile("torch")
    method = TorchOptim("Adam", {"lr": 0.02})
    result = tg.optimize(program, net.weights, minimize="compliance", method=method, max_iter=10, tol=0.0)
    assert result.best_values["compliance"] < 0.95 * result.history[0]["compliance"]
    assert result.values["volume"] == pytest.approx(0.4, rel=1e-10)


class OwnEquinox(equinox.Module):
    """A user's network on JAX."""

    a: equinox.nn.Linear
    b: equinox.nn.Linear

    def __init__(self) -> None:
        one, other = jax.random.split(jax.random.key(0))
        self.a, self.b = equinox.nn.Linear(2, 8, key=one), equinox.nn.Linear(8, "scalar", key=other)

    def __call__(self, x: Any) -> Any:
        """Points to a field."""
        at_one = lambda point: self.b(jax.nn.silu(self.a(point)))  # noqa: E731
        return jax.vmap(jax.vmap(at_one))(x)


def test_equinox_modules_and_functions_of_jax_drop_in() -> None:
    """Both forms of the same network have the same design, compliance and gradient."""
    module, field = OwnEquinox(), BEAM.grid.field()
    flat, form = ravel_pytree(module)
    net = tg.function(module, inputs=("x",), output=field)
    function = tg.function(lambda x, theta: form(theta.astype(flat.dtype))(x), backend="jax", output=field)
    graphs = neural_compliance(BEAM, net), neural_compliance(BEAM, function, weights=np.asarray(flat))
    (c, dc), (c_function, dc_function) = (
        graph.compile("jax").value_and_grad("compliance", "theta")(np.asarray(net.weights)) for graph in graphs
    )
    assert np.array_equal(net.weights, np.asarray(flat, np.float64))
    assert c == pytest.approx(c_function, rel=1e-5) and np.abs(dc).max() > 0.0
    assert np.abs(dc - dc_function).max() < 1e-4 * np.abs(dc).max()
    with pytest.raises(ValueError, match="names no weights"):
        neural_compliance(BEAM, function)


def test_networks_of_the_table_fit_their_grid() -> None:
    grid = n.Grid(16, 8)
    for name in NETWORKS:
        graph = neural_compliance(attrs.evolve(BEAM), network(name, BEAM.grid))
        graph.validate()
    assert network("cnn", grid).initial(0).dtype == np.float64
    with pytest.raises(ValueError, match="there is no network 'cn'"):
        network("cn", grid)
    with pytest.raises(ValueError, match="takes a grid of two dimensions"):
        network("cnn", n.Grid(4, 4, 4))
    with pytest.raises(ValueError, match="there is no hold 'physica'"):
        neural_compliance(BEAM, SMALL, hold="physica")
    with pytest.raises(ValueError, match="no fixed weighted mean"):
        neural_compliance(BEAM, SMALL, beta=4.0)


@pytest.mark.parametrize("name", ["cnn-lbfgs", "pixel-lbfgs"])
def test_published_recipes_hold_the_physical_volume(name: str) -> None:
    setup = RECIPES[name](BEAM, max_iter=6)
    result = setup.optimize(setup.compile("torch"))
    assert abs(result.best_values["volume"] / BEAM.volume - 1.0) < 1e-10
    assert result.best_values["compliance"] < result.history[0]["compliance"]


def test_from_coarse_to_fine() -> None:
    """The last stages are the problem itself, whatever the radius before."""
    problem = hoyer("hoop_32x64_0.25")
    setup = RECIPES["coarse-to-fine"](problem, max_iter=145, each=16)
    result = setup.optimize(setup.compile("torch"))
    assert -1e-3 < result.best_values["volume"] / problem.volume - 1.0 < 1e-9
    reached = problem.reference["published"]["typical"]["oc"]
    assert result.history[-1]["stage"] == 7 and result.best_values["compliance"] < 1.05 * reached
    plain = problem.workflow().compile("torch")(result.best_design)
    assert plain["compliance"] == pytest.approx(result.best_values["compliance"], rel=1e-12)
    assert not np.array_equal(RECIPES["coarse-to-fine"](problem, seed=4).start, setup.start)
    with pytest.raises(ValueError, match="the stages on the way to the problem take"):
        RECIPES["coarse-to-fine"](problem, max_iter=50)
