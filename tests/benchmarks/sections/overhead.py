"""Run-time overhead: value and gradient through tograph, against the same mathematics by hand."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
import torch

from tograph import nodes as n
from tograph.problems import mbb

P, E_MIN, RADIUS, NU = 3.0, 1e-9, 2.4, 0.3


class ByHand:
    """Compliance and its gradient as an engineer writes them down for one framework."""

    def __init__(self, problem: Any) -> None:
        pattern = n.ElementPattern(problem.grid, 2, problem.fixed)
        self.pattern, (self.csc, self.scatter, entry) = pattern, pattern.assembly
        self.K_e = n.ElementStiffness(problem.grid, nu=NU).forward(np, np.float64(NU))[0]
        self.scatter.data = self.K_e.ravel()[entry]
        self.f, self.shape, self.dofs = np.asarray(problem.load), problem.grid.shape, problem.grid.element_dofs(2)
        reach = int(np.ceil(RADIUS)) - 1
        steps = np.arange(-reach, reach + 1)
        self.cone = np.maximum(0.0, RADIUS - np.hypot(steps[:, None], steps[None, :]))
        self.reach = reach
        self.padded = tuple(_fast(length + 2 * reach) for length in self.shape)
        self.sums = self.convolve(np, np.ones(self.shape), np.fft.rfft2(self.cone, s=self.padded))

    def convolve(self, xp: Any, x: Any, spectrum: Any) -> Any:
        full = xp.fft.irfft2(xp.fft.rfft2(x, s=self.padded) * spectrum, s=self.padded)
        return full[self.reach : self.reach + self.shape[0], self.reach : self.reach + self.shape[1]]

    def before(self, xp: Any, x: Any, spectrum: Any, sums: Any) -> tuple[Any, Any]:
        rho = self.convolve(xp, x, spectrum) / sums
        return rho, E_MIN + rho**P * (1.0 - E_MIN)

    def after(self, xp: Any, u: Any, rho: Any, held: tuple[Any, ...]) -> tuple[Any, Any, Any]:
        spectrum, sums, K_e, f, dofs = held
        u_e = u[dofs]
        energy = ((u_e @ K_e) * u_e).sum(-1).reshape(self.shape)
        slope = -P * rho ** (P - 1.0) * (1.0 - E_MIN) * energy / sums
        return u @ f, self.convolve(xp, slope, spectrum), rho.mean()

    def solve(self, E: np.ndarray) -> np.ndarray:
        matrix = sp.csc_matrix((self.scatter @ E.ravel(), self.csc.indices, self.csc.indptr), shape=self.csc.shape)
        options = {"SymmetricMode": True, "DiagPivotThresh": 0.0}
        u = np.zeros(self.pattern.n_dofs)
        u[self.pattern.free] = spla.splu(matrix, permc_spec="MMD_AT_PLUS_A", options=options).solve(
            self.f[self.pattern.free]
        )
        return u

    def jax(self) -> Callable[[np.ndarray], Any]:
        """On JAX: two jitted functions around the solve on the host."""
        with jax.enable_x64(True):
            spectrum = jnp.fft.rfft2(jnp.asarray(self.cone), s=self.padded)
            held = (spectrum, *map(jnp.asarray, (self.sums, self.K_e, self.f, self.dofs)))
            before, after = jax.jit(partial(self.before, jnp)), jax.jit(partial(self.after, jnp))

        def run(x: np.ndarray) -> Any:
            with jax.enable_x64(True):
                rho, E = before(x, *held[:2])
                c, gradient, volume = after(self.solve(np.asarray(E)), rho, held)
                return float(c), np.asarray(gradient), float(volume)

        return run

    def torch(self) -> Callable[[np.ndarray], Any]:
        """On PyTorch, without a tape."""
        spectrum = torch.fft.rfft2(torch.as_tensor(self.cone), s=self.padded)
        held = (spectrum, *(torch.tensor(x) for x in (self.sums, self.K_e, self.f, self.dofs)))

        def run(x: np.ndarray) -> Any:
            with torch.no_grad():
                rho, E = self.before(torch, torch.as_tensor(x), *held[:2])
                c, gradient, volume = self.after(torch, torch.as_tensor(self.solve(E.numpy())), rho, held)
                return float(c), gradient.numpy(), float(volume)

        return run


def _fast(length: int) -> int:
    """The next even length without prime factors above 5."""
    rest = length
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    return length if rest == 1 and length % 2 == 0 else _fast(length + 1)


def overhead(repeats: int) -> Iterator[dict[str, Any]]:
    """One row per size and backend."""
    for nelx, nely, count in ((60, 20, 4 * repeats), (300, 100, repeats)):
        problem = mbb(nelx=nelx, nely=nely)
        hand = ByHand(problem)
        x = np.random.default_rng(0).uniform(0.2, 0.8, problem.grid.shape)
        for backend in ("jax", "torch"):
            graph = problem.workflow(radius=RADIUS, solver=n.SuperLU())  # that of the other side
            function = graph.compile(backend).value_and_grad("compliance", "rho", also=("volume",))
            sides = (function, getattr(hand, backend)())
            (values, gradients), (c, g, _) = sides[0](x), sides[1](x)
            wrong = abs(values["compliance"] / c - 1.0), np.abs(gradients["compliance"] - g).max() / np.abs(g).max()
            ratio, seconds = paired(sides, x, count)
            yield {
                "size": f"{nelx}x{nely}",
                "backend": backend,
                "tograph_ms": 1e3 * seconds[0],
                "by_hand_ms": 1e3 * seconds[1],
                "ratio": ratio,
                "difference": float(max(wrong)),
            }


def paired(sides: Any, x: np.ndarray, count: int) -> tuple[float, list[float]]:
    """The median of the ratios of neighbouring runs, and the median seconds of each side."""
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(count + 2):
        for k in (0, 1) if i % 2 else (1, 0):
            start = time.perf_counter()
            sides[k](x)
            times[k].append(time.perf_counter() - start)
    first, second = (column[2:] for column in times)
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    return statistics.median(ratios), [statistics.median(first), statistics.median(second)]
