"""A program runs on the device it is compiled for, or says that there is none. CPU only: no GPU is needed."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch

import tograph as tg
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
