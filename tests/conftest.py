"""Every test runs on the CPU, without a display, and gives the same numbers twice."""

import os

# Read by the frameworks when they are first imported, so they stand before every other import.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the order of a parallel sum changes its last digits

import functools
import gc
import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from tograph.passes import run_passes, verify

hypothesis.settings.register_profile("tograph", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("tograph")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="module")
def _kept() -> Iterator[None]:
    """What a file of tests leaves behind (frameworks, compiled programs) is not searched for garbage ever after."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(2026)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Seed the global generators too, torch's only where a test has loaded it."""
    random.seed(2026)
    np.random.seed(2026)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(2026)


@pytest.fixture(autouse=True)
def _verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plan that any test compiles is verified after every pass."""
    for module in ("compiled", "embed", "draw.views"):
        home = importlib.import_module(f"tograph.{module}")
        monkeypatch.setattr(home, "run_passes", functools.partial(run_passes, watch=verify))
