"""What memory allows: bytes that an evaluation has to move, over the bandwidth of a copy."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from tograph import nodes as n
from tograph.nodes.multigrid.levels import make_levels
from tograph.problems import Problem

VECTORS = 10
"""Vectors that conjugate gradients read or write in one iteration, besides product and cycle."""
PRODUCTS = 5
"""Products with K in one visit of a grid, with two smoothing steps before and after the correction."""


def bytes_moved(problem: Problem, iterations: int, low: int) -> float:
    """Of `iterations` of conjugate gradients with one cycle each, in numbers of `low` bytes; a lower bound.

    Every product reads and writes each vector once, and reads the moduli of the finest grid, or the stencils of a
    coarse one (9 or 27 blocks per node), once. The first coarse grid is visited once, those below twice as often each.
    """
    pattern = n.Stiffness(problem.grid, fixed=problem.fixed).pattern()
    finest, *coarse = make_levels(pattern, n.MultigridCG().direct)
    count, stencil = pattern.components, 3**problem.grid.dim * pattern.components**2
    moduli, vector = math.prod(finest.elements), count * finest.size
    moved = 8.0 * (VECTORS * vector + 2 * vector + moduli) + low * PRODUCTS * (2 * vector + moduli)
    for depth, level in enumerate(coarse):
        moved += low * 2**depth * PRODUCTS * level.size * (stencil + 2 * count)
    return iterations * moved


def copy_bandwidth(size: int = 1 << 24) -> float:
    """Bytes per second read and written by a large copy, of one core."""
    source = np.ones(size)
    target = np.empty_like(source)
    return 2.0 * source.nbytes / min(_seconds(lambda: np.copyto(target, source)) for _ in range(5))


def device_bandwidth(framework: str, device: str, size: int = 1 << 27) -> float:
    """Bytes per second read and written by y = x + 1 in float32 on a device."""
    if framework == "torch":
        import torch

        x: Any = torch.ones(size, device=device)
        one = lambda: (x + 1.0).sum().item()  # noqa: E731  reads once more, which is counted
        one()
        return 3.0 * 4 * size / min(_seconds(one) for _ in range(5))
    import jax

    x = jax.device_put(np.ones(size, np.float32), jax.devices(device)[0])
    plus = jax.jit(lambda v: v + 1.0)
    plus(x).block_until_ready()
    return 2.0 * 4 * size / min(_seconds(lambda: plus(x).block_until_ready()) for _ in range(5))


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
