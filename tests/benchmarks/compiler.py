"""What the compiler costs and what it saves: run-time overhead, solves, time to compile.

    python tests/benchmarks/compiler.py --json compiler.json
    tograph bench compiler -- --only overhead --repeats 100

overhead   value and gradient of the compliance of the MBB beam through tograph, against the same mathematics written
           by hand for JAX and for PyTorch: the same filter by FFT, the same assembly map, the same SuperLU options, and
           the derivative by the self-adjoint formula. The two sides take turns in one process, PyTorch on one thread;
           given is the median of the ratios of neighbouring runs. The side by hand does not check its solver's answer.
savings    factorizations and solves of one evaluation, counted in the program, beside the naive count: one
           factorization and one solve for every state, and one of each again for every derivative of it.
compile    seconds from a declared graph to the first result, value and gradient: chains of 1000 nodes, and the MBB
           beam.
restart    processor seconds from the declared MBB beam to the first value and gradient on JAX, in a process that keeps
           what it compiles in an empty folder (`tograph.compilation_cache`), and in a second one with the same folder.
device     milliseconds of a value and gradient where every step is on the device: the multigrid solver, and a chain of
           filter and projection; under JAX's transfer guard. `--device gpu` runs it on a GPU ("cuda" for PyTorch).
python     seconds of what is done before anything is compiled, on chains.

Seconds of `compile` and `python` are of the processor, all threads together: on a busy machine the clock says more.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
import torch

import tograph as tg
from tograph import nodes as n
from tograph.graph import Graph
from tograph.passes import run_passes
from tograph.plan import Request
from tograph.planning import make_plan
from tograph.problems import mbb
from tograph.schedule import make_schedule

P, E_MIN, RADIUS, NU = 3.0, 1e-9, 2.4, 0.3
Row = dict[str, Any]


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


def overhead(repeats: int) -> Iterator[Row]:
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


def savings(repeats: int) -> Iterator[Row]:
    """One row per request: what runs, and what runs where each derivative has a solve of its own."""
    beam, five = mbb(nelx=12, nely=4), mbb(nelx=12, nely=4)
    loads = np.stack([np.roll(np.asarray(five.load), 2 * k) for k in range(5)], axis=1)
    graph, several = _outputs(beam, beam.load), _outputs(five, loads)
    program = graph.compile("jax")
    names = ("compliance", "tip", "side")
    requests = {
        "compliance": (program.value_and_grad("compliance", "rho"), 2),
        "compliance + volume": (program.value_and_grad(("compliance", "volume"), "rho"), 2),
        "5 load cases": (several.compile("jax").value_and_grad("compliance", "rho"), 10),
        "compliance + displacement": (program.value_and_grad(("compliance", "tip"), "rho"), 4),
        "3 outputs": (program.value_and_grad(names, "rho"), 6),
        "Hessian-vector product": (program.hvp("compliance", "rho"), 4),
    }
    for name, (function, naive) in requests.items():
        found = function.explain()
        yield {"request": name, "factorizations": found.factorizations, "solves": found.solves, "naive": naive}


def _outputs(problem: Any, load: Any) -> Graph:
    """Compliance, volume, and two displacements."""
    rho = tg.source("rho", problem.grid.field())
    E = n.Simp(p=P, E_min=E_MIN)(n.DensityFilter(problem.grid, radius=RADIUS)(rho))
    u = n.LinearSolve()(n.Stiffness(problem.grid, nu=NU, fixed=problem.fixed)(E), load)
    outputs = {"compliance": n.Compliance()(u, load), "volume": n.VolumeFraction()(rho)}
    if np.ndim(load) == 1:
        for name, dof in (("tip", -2), ("side", -4)):
            where = np.zeros(np.shape(load)[0])
            where[dof] = 1.0
            outputs[name] = tg.arithmetic.Dot()(u, where)
    return tg.Graph([rho], outputs)


KINDS = (
    lambda x, a: n.Heaviside(beta=0.1 + 0.1 * a)(x),
    lambda x, a: n.Simp(p=1.0 + 0.001 * a)(x),
    lambda x, a: n.Ramp(q=0.001 + 0.001 * a)(x),
    lambda x, a: n.Heaviside(beta=0.2 + 0.1 * a, eta=0.4)(x),
    lambda x, a: n.Ramp(q=0.002 + 0.001 * a)(x),
)
CHAINS: dict[str, Callable[[int, Any], tuple[int, float]]] = {
    "one node repeated": lambda i, rng: (0, 0.5),
    "5 kinds in turn": lambda i, rng: (i % 5, 0.5),
    "other parameters": lambda i, rng: (0, rng.uniform()),
    "5 kinds in random order": lambda i, rng: (int(rng.integers(5)), 0.5),
    "random, other parameters": lambda i, rng: (int(rng.integers(5)), rng.uniform()),
}
"""Name -> which of `KINDS` node i of a chain is, and its parameter."""


def chain(length: int, name: str) -> Graph:
    """x_(i+1) = node_i(x_i) on a field of 8 x 4, and the sum of squares of the last."""
    rng = np.random.default_rng(0)
    x = y = tg.source("x", n.Grid(8, 4).field())
    for i in range(length):
        kind, a = CHAINS[name](i, rng)
        y = KINDS[kind](y, a)
    return tg.Graph([x], {"c": n.Dot()(y, y)})


def compile_time(repeats: int) -> Iterator[Row]:
    """One row per graph: processor seconds to the first result, and milliseconds of every further one."""
    x = np.random.default_rng(0).uniform(0.2, 0.8, (4, 8))
    chain(3, "5 kinds in turn").compile("jax").value_and_grad("c", "x")(x)  # what JAX does once in a process
    cases: dict[str, tuple[Graph, str, np.ndarray]] = {name: (chain(1000, name), "c", x) for name in CHAINS}
    beam = mbb(nelx=60, nely=20)
    cases["mbb 60x20"] = (beam.workflow(), "compliance", np.full(beam.grid.shape, 0.5))
    for name, (graph, of, start) in cases.items():
        seconds, function = _seconds(partial(_compiled, graph, of))
        first, _ = _seconds(partial(function, start))
        later = [_clock(partial(function, start)) for _ in range(repeats)]
        lines = function.source().count("\n")
        yield {"graph": name, "compile_s": seconds + first, "run_ms": 1e3 * statistics.median(later), "lines": lines}


def _compiled(graph: Graph, of: str) -> Any:
    return graph.compile("jax").value_and_grad(of, graph.input_names[0])


RESTART = """
import sys, time, numpy as np, tograph as tg
from tograph.problems import mbb
tg.compilation_cache(sys.argv[1])
beam = mbb(nelx=60, nely=20)
import jax
jax.numpy.zeros(3).block_until_ready()
start = time.process_time()
beam.workflow().compile("jax").value_and_grad("compliance", "rho")(np.full(beam.grid.shape, 0.5))
print(time.process_time() - start)
"""


def restart(repeats: int) -> Iterator[Row]:
    """The first process with a folder, and the second."""
    with tempfile.TemporaryDirectory() as folder:
        for process in ("first", "second"):
            done = subprocess.run([sys.executable, "-c", RESTART, folder], capture_output=True, text=True, check=True)
            yield {"process": process, "first_result_s": float(done.stdout)}


def device(repeats: int, name: str | None) -> Iterator[Row]:
    """One row per graph and backend."""
    problem = mbb(nelx=120, nely=40)
    rho = tg.source("rho", problem.grid.field())
    rho_p = n.Heaviside(beta=2.0)(n.DensityFilter(problem.grid, RADIUS)(rho))
    graphs = {
        "multigrid 120x40": problem.workflow(radius=RADIUS, solver=n.MultigridCG()),
        "filter, projection": tg.Graph([rho], {"compliance": n.Dot()(rho_p, rho_p)}),
    }
    for backend in ("jax", "torch"):
        place = {"gpu": "cuda"}.get(name or "cpu", name) if backend == "torch" else name
        for title, graph in graphs.items():
            function = graph.compile(backend, device=place or "cpu").value_and_grad("compliance", "rho")
            with function.backend.scope():
                x = function.backend.array(np.full(problem.grid.shape, 0.5), "float64")
            float(function(x)[0])
            with jax.transfer_guard_host_to_device("disallow"):
                times = [_clock(lambda: float(function(x)[0])) for _ in range(repeats)]  # noqa: B023
            yield {"graph": title, "backend": backend, "device": place or "cpu", "ms": 1e3 * statistics.median(times)}


def python_side(repeats: int) -> Iterator[Row]:
    """One row per length: what happens before a framework is asked."""
    for length in (1000, 10_000):
        declare, graph = _seconds(partial(chain, length, "other parameters"))
        validate, _ = _seconds(graph.validate)
        plan_s, plan = _seconds(partial(make_plan, graph, Request(("c",), ("x",), "reverse"), "jax"))
        passes, plan = _seconds(partial(run_passes, plan))
        schedule, _ = _seconds(partial(make_schedule, plan, graph.inputs))
        yield {
            "nodes": length,
            "declare_s": declare,
            "validate_s": validate,
            "differentiate_s": plan_s,
            "passes_s": passes,
            "schedule_s": schedule,
        }


def _seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    made = run()
    return time.process_time() - start, made


def _clock(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


SECTIONS: dict[str, Callable[..., Iterator[Row]]] = {
    "overhead": overhead,
    "savings": savings,
    "compile": compile_time,
    "restart": restart,
    "device": device,
    "python": python_side,
}


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS))
    parser.add_argument("--repeats", type=int, default=10, help="runs; four times as many of what is short")
    parser.add_argument("--device", help="where `device` runs, e.g. gpu; the CPU by default")
    parser.add_argument("--json", type=Path, help="write the rows and the settings here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[Row]] = {}
    for name in given.only:
        found[name] = []
        for row in SECTIONS[name](given.repeats, *([given.device] if name == "device" else [])):
            if not found[name]:
                print(f"\n{name}\n" + "".join(f"{key:>27}" if i == 0 else f"{key:>17}" for i, key in enumerate(row)))
            shown = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()]
            print("".join(f"{text:>27}" if i == 0 else f"{text:>17}" for i, text in enumerate(shown)), flush=True)
            found[name].append(row)
    if given.json:
        settings = {"machine": platform.machine(), "repeats": given.repeats}
        given.json.write_text(json.dumps(settings | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
