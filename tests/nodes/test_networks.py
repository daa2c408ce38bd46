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
    "cnn": n.CNN(9, 13, filters=(5, 4, 3, 2), latent=6, channels=3, kernel=3),
    "cnn of a fixed vector": n.CNN(8, 16, filters=(3, 3, 2, 2), latent=4, channels=2, kernel=5, fixed=7),
}


def field_of(net: Any) -> Graph:
    theta = net.source(seed=3)
    z = net(theta) if isinstance(net, n.CNN) else net(n.coordinates(GRID), theta)
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


@pytest.mark.parametrize("name", ["normalised mlp", "siren", "cnn"])
def test_in_single_precision(name: str) -> None:
    net = attrs.evolve(NETWORKS[name], dtype="float32")
    (z, dz), (z_torch, dz_torch) = run(net, "jax"), run(net, "torch")
    assert {array.dtype.name for array in (z, dz, z_torch, dz_torch)} == {"float32"}
    assert np.abs(z - z_torch).max() <= 1e-5 * np.abs(z).max()
    assert np.abs(dz - dz_torch).max() <= 1e-5 * np.abs(dz).max()


def by_framework(net: Any, module: Any, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Field and gradient by the framework's own differentiation of its own module."""
    given = () if isinstance(net, n.CNN) else (points,)
    if isinstance(module, equinox.Module):

        def loss(m: Any) -> Any:
            return (m(*given) ** 2).sum()

        called: Any = module
        return np.asarray(called(*given)), net.weights_of(equinox.filter_jit(equinox.filter_grad(loss))(module))
    z = module(*map(torch.as_tensor, given))
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


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_convolution_is_that_of_the_formula(backend: str) -> None:
    """The framework's own against sums of matrix products, which NumPy runs; twice differentiated, too."""
    rng = np.random.default_rng(1)
    x, W = rng.normal(size=(5, 7, 3)), rng.normal(size=(3, 3, 3, 2))
    edges = tg.source("x", _array(x)), tg.source("W", _array(W))
    y = n.Conv2D()(*edges)
    graph = Graph(edges, {"y": y, "loss": n.Dot()(y, y)})
    program = graph.compile(backend)
    assert np.allclose(program(x, W)["y"], graph.compile("numpy")(x, W)["y"], atol=1e-13)
    t = rng.normal(size=W.shape)
    _, _, product = program.hvp("loss", "W")(x, W, W_dot=t)
    step = 1e-5
    gradient = program.value_and_grad("loss", "W")
    difference = (gradient(x, W + step * t)[1] - gradient(x, W - step * t)[1]) / (2.0 * step)
    assert np.allclose(product, difference, rtol=1e-6, atol=1e-6)


def _array(value: np.ndarray) -> tg.Spec:
    return tg.Spec("array", tuple(tg.Axis(f"axis{i}", size) for i, size in enumerate(value.shape)))


def test_resize_keeps_planes_and_means() -> None:
    """Linear functions stay so inside, constants everywhere; the matrices of doubling are 1/4 and 3/4."""
    x = tg.source("x", tg.Spec("array", (tg.Axis("ny", 3), tg.Axis("nx", 4), tg.Axis("channel", 1))))
    program = Graph([x], {"y": n.Resize((6, 9), (3, 4))(x)}).compile("numpy")
    rows, columns = np.indices((3, 4)) + 0.5
    made = program((rows / 3 + 2.0 * columns / 4)[..., None])["y"][..., 0]
    y, z = np.indices((6, 9)) + 0.5
    assert np.allclose((y / 6 + 2.0 * z / 9)[1:-1, 2:-2], made[1:-1, 2:-2])
    assert np.allclose(program(np.ones((3, 4, 1)))["y"], 1.0)
    assert np.allclose(program(np.eye(3, 4)[..., None])["y"][:2, 0, 0], [1.0, 0.75])


def test_decoders_of_any_size() -> None:
    net = n.CNN(10, 21)
    assert net.sizes == [(2, 3), (2, 3), (3, 6), (5, 11), (10, 21), (10, 21)]
    part = net.cut(net.initial(0))
    assert part["W0"].shape == (5, 5, 32, 128) and part["b4"].shape == (10, 21, 1)
    assert np.allclose(part["W"] @ part["W"].T, part["W"].shape[1] / 128 * np.eye(128))
    assert part["W0"].std() == pytest.approx(1 / np.sqrt(25 * 32), rel=1e-2)
    with pytest.raises(tg.GraphError, match="Give an odd kernel"):
        field_of(n.CNN(8, 8, kernel=4)).validate()
