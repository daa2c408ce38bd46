"""Networks: the same weights are the same field, on both backends and in the framework's own modules."""

from __future__ import annotations

from typing import Any

import attrs
import equinox
import jax
import numpy as np
import pytest
import torch

import tograph as tg
from tograph import Graph
from tograph import nodes as n

GRID = n.Grid(10, 6)
NETWORKS: dict[str, Any] = {
    "mlp": n.MLP(width=6, depth=2, activation=n.Softplus()),
    "normalised mlp": n.MLP(width=6, depth=2, normalize=True),
    "three results": n.MLP(width=6, depth=1, results=3, activation=n.Tanh()),
    "siren": n.Siren(width=6, depth=2),
    "fourier": n.FourierMLP(width=6, depth=1, m=4),
}


def field_of(net: Any) -> Graph:
    theta = net.source(seed=3)
    z = net(n.coordinates(GRID), theta)
    return Graph([theta], {"z": z, "loss": n.Dot()(z, z)})


def run(net: Any, backend: str) -> tuple[np.ndarray, np.ndarray]:
    """Field and gradient."""
    function = field_of(net).compile(backend).value_and_grad("loss", "theta", also=("z",))
    values, gradient = function(net.initial(3))
    return values["z"], gradient["loss"]


@pytest.mark.parametrize("name", NETWORKS)
def test_both_backends_and_the_modules_of_both_frameworks_agree(name: str) -> None:
    net = NETWORKS[name]
    theta = net.initial(3)
    z, dz = run(net, "torch")
    points = np.array(n.coordinates(GRID).vertex.node.value)  # type: ignore[attr-defined]
    with jax.enable_x64(True):
        modules = {backend: net.module(backend, theta) for backend in ("torch", "jax")}
        found = [run(net, "jax"), *(by_framework(net, module, points) for module in modules.values())]
    assert all(np.array_equal(net.weights_of(net.module(backend, theta)), theta) for backend in modules)
    for others_z, others_dz in found:
        assert others_z.dtype == others_dz.dtype == np.float64
        assert np.abs(others_z - z).max() <= 1e-10 * np.abs(z).max()
        assert np.abs(others_dz - dz).max() <= 1e-10 * np.abs(dz).max()


@pytest.mark.parametrize("name", ["normalised mlp", "siren"])
def test_in_single_precision(name: str) -> None:
    net = attrs.evolve(NETWORKS[name], dtype="float32")
    (z, dz), (z_torch, dz_torch) = run(net, "jax"), run(net, "torch")
    assert {array.dtype.name for array in (z, dz, z_torch, dz_torch)} == {"float32"}
    assert np.abs(z - z_torch).max() <= 1e-5 * np.abs(z).max()
    assert np.abs(dz - dz_torch).max() <= 1e-5 * np.abs(dz).max()


def by_framework(net: Any, module: Any, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Field and gradient by the framework's own differentiation of its own module."""
    if isinstance(module, equinox.Module):

        def loss(m: Any) -> Any:
            return (m(points) ** 2).sum()

        called: Any = module
        return np.asarray(called(points)), net.weights_of(equinox.filter_jit(equinox.filter_grad(loss))(module))
    z = module(torch.as_tensor(points))
    (z**2).sum().backward()
    for part in module.parameters():
        part.data = part.grad
    return z.detach().numpy(), net.weights_of(module)


def test_a_module_trained_elsewhere_comes_back() -> None:
    net = n.MLP(width=4, depth=1, dtype="float32")
    module = net.module("torch", net.initial())
    with torch.no_grad():
        module.linears[0].bias += 1.0
    assert np.array_equal(net.cut(net.weights_of(module))["b0"], np.ones(4))


def test_first_weights() -> None:
    """Drawn alike everywhere; a sine network keeps the distribution of its layers."""
    net = n.Siren(width=256, depth=3)
    theta = net.initial(1)
    assert np.array_equal(theta, n.Siren(width=256, depth=3).initial(1))
    assert not np.array_equal(theta, net.initial(2))
    part = net.cut(theta)
    assert np.abs(part["W0"]).max() <= 0.5 and np.abs(part["W0"]).max() > 0.49
    assert np.abs(part["W1"]).max() == pytest.approx(np.sqrt(6 / 256) / 30, rel=1e-3)
    rng = np.random.default_rng(0)
    h = rng.uniform(-1, 1, (4096, 2))
    for i in range(3):
        h = np.sin(30.0 * (h @ part[f"W{i}"] + part[f"b{i}"]))
        assert 0.6 < h.std() < 0.8  # that of an arcsine distribution is 0.707


def test_coordinates_are_those_of_element_centres() -> None:
    x = n.coordinates(n.Grid(4, 2)).vertex.node.value  # type: ignore[attr-defined]
    assert x.shape == (2, 4, 2)
    assert x[0, 0].tolist() == [-1.0, 1.0] and x[-1, -1].tolist() == [1.0, -1.0]
    assert n.coordinates(n.Grid(1, 3)).vertex.node.value[:, 0, 0].tolist() == [0.0] * 3  # type: ignore[attr-defined]


def test_what_does_not_fit_is_said() -> None:
    net = n.MLP(features=3, width=4, depth=1)
    with pytest.raises(tg.GraphError, match=r"takes 3 numbers per point.*coordinates"):
        field_of(net).validate()
    other = n.MLP(width=5, depth=1).source()
    with pytest.raises(tg.GraphError, match=r"is params 21, must be params 17.*weights_spec"):
        Graph([other], {"z": n.MLP(width=4, depth=1)(n.coordinates(GRID), other)}).validate()
    with pytest.raises(tg.TographError, match="has 17 weights, got an array of shape"):
        n.MLP(width=4, depth=1).module("torch", np.zeros(3))
    with pytest.raises(tg.TographError, match="no modules of 'numpy'"):
        n.MLP(width=4, depth=1).module("numpy", np.zeros(17))


def test_points_far_from_a_grid() -> None:
    """Coordinates are an input like any other, with derivatives: what equations on points need."""
    net = n.Siren(features=2, width=8, depth=2, results=3, omega=3.0)
    spec = tg.Spec("array", (tg.Axis("point", 7), tg.Axis("coordinate", 2)))
    x, theta = tg.source("x", spec), net.source()
    y = net(x, theta)
    points = np.random.default_rng(0).uniform(-1, 1, (7, 2))
    report = tg.check(Graph([x, theta], {"loss": n.Dot()(y, y)}), at={"x": points}, quick=True)
    assert report.passed, str(report)
