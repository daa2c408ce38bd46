"""Learning a stored energy: samples of an exact law, and a network fitted to its stress and energy.

Strains in a body range over decades, and most of it is strained little. So magnitudes are drawn log-uniformly, and
errors are relative, point by point:

    loss = mean_i |sigma_i - sigma*_i|^2 / |sigma*_i|^2 + mean_i (psi_i - psi*_i)^2 / psi*_i^2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Axis, Edge, Graph, Spec
from tograph import nodes as n
from tograph.optimizers import Iteration, Scipy

METHOD = Scipy("L-BFGS-B", {"ftol": 1e-13, "gtol": 1e-12, "maxcor": 50})
LINE = "iteration {iteration:.0f}: loss {loss:.2e}, validation: stress {stress:.2%}, energy {energy:.2%}"
"""What the progress of a fit says."""


@attrs.frozen(eq=False)
class Samples:
    """Points of a law with m parameters: strain (N, k), micro (m, N), psi (N,), sigma (N, k)."""

    strain: np.ndarray
    micro: np.ndarray
    psi: np.ndarray
    sigma: np.ndarray


@attrs.frozen(eq=False)
class Fit:
    """A fitted network.

    Attributes:
        theta: its weights.
        history: one row per report: iteration, loss, and the relative errors of stress and energy (root mean squares)
            over the validation samples.
        stress_error, energy_error: the last of these.
    """

    theta: np.ndarray
    history: tuple[dict[str, float], ...]

    @property
    def stress_error(self) -> float:
        """Relative, over the validation samples."""
        return self.history[-1]["stress"]

    @property
    def energy_error(self) -> float:
        """Relative, over the validation samples."""
        return self.history[-1]["energy"]


def sample(law: Any, count: int, *, low: float = 1e-4, high: float = 1e-1, seed: int = 0) -> Samples:
    """Points of an energy node without weights: directions uniform, magnitudes log-uniform, parameters in [0, 1].

    Args:
        law: the exact energy node, in the plane.
        count: points.
        low, high: smallest and largest Euclidean norm of the strain.
        seed: of NumPy's generator.
    """
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(count, 3))
    size = np.exp(rng.uniform(np.log(low), np.log(high), (count, 1)))
    strain = size * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    micro = rng.uniform(size=(len(law.inputs) - 1, count))
    e = tg.source("strain", _points(count, 3))
    values = Graph([e], {"psi": law(e, *micro), "sigma": n.Stress(law)(e, *micro)}).compile("numpy")(strain)
    return Samples(strain, micro, np.asarray(values["psi"]), np.asarray(values["sigma"]))


def fit_energy(
    network: n.NeuralEnergy,
    samples: Samples,
    validation: Samples,
    *,
    iterations: int = 600,
    backend: str = "jax",
    seed: int = 0,
    every: int = 50,
    progress: Callable[[str], object] | None = None,
) -> Fit:
    """Fit the weights by L-BFGS-B on all samples at once, in float64.

    Args:
        network: what is fitted.
        samples, validation: from `sample`, with different seeds.
        iterations: at most this many gradients.
        backend: "jax" or "torch".
        seed: of the first weights.
        every: iterations between two reports.
        progress: called with a line per report, e.g. `print`.
    """
    program = loss_graph(network, samples).compile(backend)
    judge = loss_graph(network, validation).compile(backend)
    history: list[dict[str, float]] = []

    def report(now: Iteration) -> None:
        if now.number % every == 1 or every == 1:
            history.append(_row(now.number, float(now.values["loss"]), judge, now.design))
            if progress is not None:
                progress(LINE.format(**history[-1]))

    options: dict[str, Any] = {"minimize": "loss", "method": METHOD, "tol": 0.0}
    result = tg.optimize(program, network.initial(seed), max_iter=iterations, observers=[report], **options)
    best = np.asarray(result.best_design)
    history.append(_row(result.iterations, float(result.best_values["loss"]), judge, best))
    return Fit(best, tuple(history))


def loss_graph(network: n.NeuralEnergy, samples: Samples) -> Graph:
    """Input `theta`; outputs `loss`, and `stress` and `energy`, the mean squares of which it is the sum."""
    theta, count = network.source("theta"), len(samples.psi)
    strain = tg.constant(samples.strain, _points(count, samples.strain.shape[1]), name="strain")
    micro = [tg.constant(values, Spec("array", (Axis("point", count),))) for values in samples.micro]
    size = np.linalg.norm(samples.sigma, axis=1, keepdims=True) * np.ones_like(samples.sigma)
    stress = _mean_square(n.Stress(network)(strain, *micro, theta, name="sigma"), samples.sigma, size, count)
    energy = _mean_square(network(strain, *micro, theta, name="psi"), samples.psi, samples.psi, count)
    return Graph([theta], {"loss": stress + energy, "stress": stress, "energy": energy}, name="fit")


def _mean_square(y: Edge, wanted: np.ndarray, size: np.ndarray, count: int) -> Edge:
    off = n.Add()(n.Hadamard()(y, 1.0 / size), -wanted / size)
    squares: Edge = n.Dot()(off, off) / float(count)
    return squares


def _points(count: int, k: int) -> Spec:
    return Spec("array", (Axis("point", count), Axis("strain", k)))


def _row(iteration: int, loss: float, judge: Any, theta: Any) -> dict[str, float]:
    found = judge(theta)
    errors = {name: float(found[name]) ** 0.5 for name in ("stress", "energy")}
    return {"iteration": float(iteration), "loss": loss, **errors}
