"""A program runs on the device it is compiled for, or says that there is none. CPU only: no GPU is needed."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

import tograph as tg
from tograph import nodes as n
from tograph.backends import load_backend
from tograph.problems import mbb

BEAM = mbb(nelx=6, nely=2)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_cpu_by_name_is_the_default(backend: str) -> None:
    rho = np.full(BEAM.grid.shape, 0.5)
    graph = BEAM.workflow()
    programs = [graph.compile(backend, **options) for options in ({}, {"device": "cpu"})]
    found = [program.value_and_grad("compliance", "rho")(rho) for program in programs]
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", ["tpu9", "cpu:77"])
def test_jax_without_the_device(name: str) -> None:
    with pytest.raises(tg.TographError, match=rf"^JAX has no device '{name}' here\. It has cpu:0"):
        BEAM.workflow().compile("jax", device=name)


@pytest.mark.parametrize("name", ["gadget", "cuda:77"])
def test_torch_without_the_device(name: str) -> None:
    with pytest.raises(tg.TographError, match=rf"^PyTorch has no device '{name}' here \("):
        BEAM.workflow().compile("torch", device=name)


def test_torch_makes_arrays_on_its_device_and_moves_none_silently() -> None:
    backend: Any = load_backend("torch", "float64", device="meta")
    assert backend.array(np.ones(3), "float64").device.type == "meta"
    with backend.scope():
        assert torch.zeros(3).device.type == "meta"
    with pytest.raises(tg.TographError) as caught:
        backend.array(torch.ones(3), "float64")
    assert str(caught.value) == (
        "a tensor is on cpu, but this program runs on meta. Move it there, or compile with device='cpu'"
    )


def test_jax_makes_arrays_on_its_device() -> None:
    backend: Any = load_backend("jax", "float64", device="cpu:0")
    with backend.scope():
        assert backend.array(np.ones(3), "float64").devices() == {jax.devices("cpu")[0]}


def on_device() -> tg.Graph:
    """A workflow without a step on the host: filter, projection, a network's layer, a number with a wire."""
    grid = BEAM.grid
    rho, beta = tg.source("rho", grid.field()), tg.source("beta", default=2.0)
    rho_p = n.Heaviside(beta=beta)(n.DensityFilter(grid, 1.5)(rho))
    return tg.Graph([rho, beta], {"c": n.Dot()(rho_p, n.Simp()(rho_p)) + n.VolumeFraction()(rho_p)})


def test_nothing_goes_between_host_and_device_on_jax() -> None:
    function = on_device().compile("jax").value_and_grad("c", "rho")
    with function.backend.scope():
        rho, beta = jax.device_put(np.full(BEAM.grid.shape, 0.5)), jax.device_put(np.float64(3.0))
    value, gradient = function(rho, beta)
    with jax.transfer_guard("disallow"):
        again, _ = function(rho, beta)
        with pytest.raises(Exception, match=r"[Tt]ransfer"):  # the guard sees what it is there for
            function(np.full(BEAM.grid.shape, 0.5), beta)
    assert isinstance(gradient, jax.Array) and float(again) == float(value)


def test_nothing_goes_between_host_and_device_on_torch() -> None:
    """A tensor on "meta" has no numbers: whatever would fetch them fails."""
    function = on_device().compile("torch", device="meta").value_and_grad("c", "rho")
    rho = torch.empty(BEAM.grid.shape, dtype=torch.float64, device="meta")
    value, gradient = function(rho, torch.empty((), dtype=torch.float64, device="meta"))
    assert value.device.type == gradient.device.type == "meta" and gradient.shape == rho.shape
    with pytest.raises(NotImplementedError):
        BEAM.workflow().compile("torch", device="meta").value_and_grad("compliance", "rho")(rho)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torch_compile_takes_every_segment_in_one_piece() -> None:
    rho, graph = np.full(BEAM.grid.shape, 0.5), BEAM.workflow()
    plain, compiled = (graph.compile("torch", compiled=how) for how in (False, "aot_eager"))
    counters.clear()
    value, gradient = compiled.value_and_grad("compliance", "rho")(rho)
    expected, slope = plain.value_and_grad("compliance", "rho")(rho)
    assert counters["stats"]["unique_graphs"] == 2 and not counters["graph_break"]
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-11)
