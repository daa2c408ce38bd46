"""The SIMP cantilever that torch-fem times itself with: value and gradient by tograph and by torch-fem.

    python tests/benchmarks/cube.py --sizes 20 60

Problem ("SIMP cantilever benchmark", `benchmarks/topopt.py` of torch-fem): 2 x 1 x 1, 2N x N x N elements, one end
clamped, a traction of 1 across the other; E = 70000 (0.001 + 0.999 rho^3) with rho of every element drawn from a
normal distribution of mean 0.5 and deviation 0.3, cut off at 0.05 and 0.95. No filter. All solve to a residual of
1e-10. N = 60 has 1.35 million dofs.

Everyone runs in a process of its own and may use all cores. A first call compiles and is shown apart; of torch-fem
there is one call, which is what its own benchmark times. Gradients are compared with the first contestant's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import tograph as tg
from benchmarks.solving.process import alone, peak_memory
from tograph import nodes as n

E_MAX, E_MIN, NU, TOLERANCE = 70_000.0, 70.0, 0.3, 1e-10
Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


def grid_of(size: int) -> n.Grid:
    """Of 2 x 1 x 1, with cubes for elements."""
    return n.Grid(2 * size, size, size, spacing=(1.0 / size,) * 3)


def density(grid: n.Grid) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(grid.shape)
    return np.clip(0.5 + 0.3 * noise, 0.05, 0.95)


def traction(grid: n.Grid) -> np.ndarray:
    """(nodes, 3): a force of 1 down z, spread over the end as its surface is over the nodes."""
    nodes = grid.nodes("right")
    places = grid.node_coordinates()
    share = np.ones(len(places))
    for axis in (1, 2):
        at = places[:, axis]
        share[(at == at.min()) | (at == at.max())] /= 2.0
    force = np.zeros((len(places), 3))
    force[nodes, 2] = -share[nodes] / share[nodes].sum()
    return force


def with_tograph(backend: str, precision: Any) -> Callable[[n.Grid], Any]:
    def make(grid: n.Grid) -> Any:
        rho = tg.source("rho", grid.field())
        load = tg.constant(traction(grid).ravel(), grid.vector(), name="f")
        E = n.Simp(E_min=E_MIN, E_max=E_MAX)(rho)
        K = n.Stiffness(grid, nu=NU, fixed=grid.dofs(grid.nodes("left")))(E)
        u = n.LinearSolve(n.MultigridCG(tolerance=TOLERANCE, precision=precision))(K, load)
        graph = tg.Graph([rho], {"compliance": n.Compliance()(u, load)})
        return graph.compile(backend).value_and_grad("compliance", "rho")

    return make


def with_torch_fem(grid: n.Grid) -> Evaluate:
    import torch
    import torchfem

    torch.set_default_dtype(torch.float64)
    nodes, elements = torch.tensor(grid.node_coordinates()), torch.tensor(grid.element_nodes())
    left = np.zeros((len(nodes), 1), dtype=bool)
    left[grid.nodes("left")] = True

    def evaluate(rho: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.tensor(np.ascontiguousarray(rho).ravel(), requires_grad=True)
        law = torchfem.materials.IsotropicElasticity3D(E_MIN + (E_MAX - E_MIN) * x**3, torch.full(x.shape, NU))
        model = torchfem.Solid(nodes, elements, law)
        model.forces = torch.tensor(traction(grid))
        model.constraints = torch.tensor(left).expand(-1, 3).clone()
        u, *_ = model.solve(differentiable_parameters=x)
        c = torch.sum(u * model.forces)
        c.backward()
        assert x.grad is not None
        return float(c.detach()), x.grad.numpy().reshape(rho.shape)

    return evaluate


CONTESTANTS: dict[str, tuple[tuple[str, ...], Callable[[n.Grid], Any], int]] = {
    "tograph": ((), with_tograph("jax", "float64"), 4),
    "tograph, float32 cycle": ((), with_tograph("jax", "float32"), 4),
    "tograph, float32 cycle, PyTorch": (("torch",), with_tograph("torch", "float32"), 3),
    "torch-fem": (("torchfem", "torch"), with_torch_fem, 1),
}
"""Name -> packages it needs, problem -> function, calls."""


def measure(name: str, size: int, into: Path) -> dict[str, Any]:
    """In a process of its own; the gradient goes to a file."""
    grid = grid_of(size)
    rho, (_, make, calls) = density(grid), CONTESTANTS[name]
    evaluate, times = make(grid), []
    for _ in range(calls):
        wall, cpu = time.perf_counter(), time.process_time()
        value, gradient = evaluate(rho)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    np.save(into, np.asarray(gradient))
    best = min(times[1:] or times)
    counts = [state.iterations for state in getattr(evaluate, "solved", ())]
    peak = peak_memory() / 2**20
    found = {"value": float(value), "wall": best[0], "cpu": best[1], "first": times[0][0], "memory_GiB": peak}
    return found | ({"iterations": sum(counts)} if counts else {})


def in_own_process(name: str, size: int, into: Path, limit: float) -> dict[str, Any]:
    """The numbers of one contestant, or why there are none."""
    command = [sys.executable, __file__, "--one", name, str(size), str(into)]
    return alone(command, CONTESTANTS[name][0], limit)


def compare(size: int, names: list[str], limit: float) -> dict[str, dict[str, Any]]:
    """All contestants at one size; the gradients of all against the first's."""
    results, exact = {}, None
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            into = Path(folder, "gradient.npy")
            results[name] = found = in_own_process(name, size, into, limit)
            if "wall" in found:
                gradient = np.load(into)
                exact = gradient if exact is None else exact
                found["gradient_error"] = float(np.abs(gradient - exact).max() / np.abs(exact).max())
    return results


def table(size: int, results: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    least = min((found["wall"] for found in results.values() if "wall" in found), default=0.0)
    rows = [
        f"**N = {size}**, {3 * (2 * size + 1) * (size + 1) ** 2:,} dofs\n",
        "| | wall s | of the least | CPU s | first call s | memory GiB | iterations | compliance | gradient off by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in results.items():
        if "wall" not in found:
            rows.append(f"| {name} | {found.get('absent') or found.get('failed')} |" + " |" * 7)
            continue
        rows.append(
            f"| {name} | {found['wall']:.3g} | {found['wall'] / least:.3g} | {found['cpu']:.3g} | {found['first']:.3g} "
            f"| {found['memory_GiB']:.2f} | {found.get('iterations', '')} | {found['value']:.10g} "
            f"| {found['gradient_error']:.1e} |"
        )
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[20], metavar="N")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, metavar="CONTESTANT", default=list(CONTESTANTS))
    parser.add_argument("--limit", type=float, default=300.0, help="seconds per contestant and size")
    parser.add_argument("--json")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, size, into = options.one
        print(json.dumps(measure(name, int(size), Path(into))))
        return
    results = {}
    for size in options.sizes:
        results[size] = compare(size, options.only, options.limit)
        print(table(size, results[size]), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
