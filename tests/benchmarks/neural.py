"""Neural topology optimisation beside the same workflow in eager JAX with a solve on the host.

    python tests/benchmarks/neural.py --network siren --nelx 96 --nely 64 --repeat 5

The eager version is written in the style of the public implementation of Sanu, Bessa & Aragon (Struct. Multidisc.
Optim. 69:126, 2026): operation by operation, `jax.grad` over all of it, a bisection in Python for the volume, SciPy's
direct solver in a callback, once forward and once for the adjoint. Both compute the same numbers, which is checked.
Prints processor seconds per value and gradient.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jax.scipy.signal import convolve

from tograph import nodes as n
from tograph.problems import Problem, mbb, network, neural_compliance

RADIUS = 2.0


@jax.custom_vjp
def shifted(z: Any, V: float) -> Any:
    """sigmoid(z + eta) whose mean is V."""
    return jax.nn.sigmoid(z + shift(z, V))


def shift(z: Any, V: float) -> Any:
    low, high = -10.0, 10.0
    for _ in range(100):
        eta = 0.5 * (low + high)
        above = bool(jax.nn.sigmoid(z + eta).mean() > V)
        low, high = (low, eta) if above else (eta, high)
        if high - low < 1e-10:
            break
    return 0.5 * (low + high)


def _forward(z: Any, V: float) -> Any:
    rho = shifted(z, V)
    return rho, rho


def _backward(rho: Any, ct: Any) -> Any:
    slope = rho * (1.0 - rho)
    return slope * (ct - (slope * ct).sum() / slope.sum()), None


shifted.defvjp(_forward, _backward)


def solver(problem: Problem) -> Callable[..., Any]:
    """(values, f) -> u, for values at fixed places of the matrix."""
    dofs = problem.grid.element_dofs()
    rows, columns = np.repeat(dofs, 8, axis=1).ravel(), np.tile(dofs, (1, 8)).ravel()
    free = np.setdiff1d(np.arange(problem.grid.n_dofs()), problem.fixed)

    def on_host(values: Any, f: Any) -> Any:
        K = scipy.sparse.csc_array((np.asarray(values), (rows, columns))).tocsc()[free][:, free]
        u = np.zeros(problem.grid.n_dofs())
        u[free] = scipy.sparse.linalg.spsolve(K, np.asarray(f)[free])
        return u

    def call(values: Any, f: Any) -> Any:
        return jax.pure_callback(on_host, jax.ShapeDtypeStruct(f.shape, f.dtype), values, f)

    @jax.custom_vjp
    def solve(values: Any, f: Any) -> Any:
        return call(values, f)

    def backward(kept: Any, ct: Any) -> Any:
        values, u = kept
        adjoint = call(values, ct)
        return -adjoint[rows] * u[columns], adjoint

    def forward(values: Any, f: Any) -> Any:
        u = call(values, f)
        return u, (values, u)

    solve.defvjp(forward, backward)
    return solve


def eager(problem: Problem, net: Any) -> Callable[[Any], Any]:
    """module -> value and gradient, operation by operation."""
    points = np.asarray(n.coordinates(problem.grid).vertex.node.value)  # type: ignore[attr-defined]
    given = () if isinstance(net, n.CNN) else (points,)
    window = jnp.asarray(np.maximum(RADIUS - np.hypot(*np.indices((3, 3)) - 1.0), 0.0))
    weight = convolve(jnp.ones(problem.grid.shape), window, mode="same")
    element = jnp.asarray(n.ElementStiffness(problem.grid).forward(np, np.float64(problem.nu))[0])
    f, solve = jnp.asarray(problem.load), solver(problem)

    def compliance(module: Any) -> Any:
        rho = shifted(module(*given).astype(jnp.float64), problem.volume)
        rho_f = convolve(rho, window, mode="same") / weight
        E = 1e-9 + rho_f**3 * (1.0 - 1e-9)
        return f @ solve((E.ravel()[:, None, None] * element).ravel(), f)

    return jax.value_and_grad(compliance)


def seconds(function: Callable[[], Any], repeat: int) -> float:
    """Processor seconds per call, without the first one."""
    jax.block_until_ready(function())
    began = time.process_time()
    for _ in range(repeat):
        jax.block_until_ready(function())
    return (time.process_time() - began) / repeat


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="siren", choices=["mlp", "siren", "cnn"])
    parser.add_argument("--nelx", type=int, default=96)
    parser.add_argument("--nely", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    problem = mbb(options.nelx, options.nely, volume=0.4)
    net = network(options.network, problem.grid)
    theta = net.initial(0)
    print(f"{options.network}, {options.nelx} x {options.nely}: processor seconds per value and gradient")
    jax.config.update("jax_enable_x64", True)  # for the threads of callbacks, too
    theirs, module = eager(problem, net), net.module("jax", theta)
    reference, _ = theirs(module)
    slow = seconds(lambda: theirs(module), options.repeat)
    print(f"  eager JAX         {slow:.4f}")
    for backend in ("jax", "torch"):
        graph = neural_compliance(problem, net, hold="raw", radius=RADIUS)
        ours = graph.compile(backend).value_and_grad("compliance", "theta")
        assert abs(ours(theta)[0] / float(reference) - 1.0) < 1e-5, "the two do not compute the same"
        fast = seconds(lambda ours=ours: ours(theta), options.repeat)  # type: ignore[misc]
        print(f"  tograph on {backend:6} {fast:.4f}   {fast / slow:.2f} of it")


if __name__ == "__main__":
    main()
