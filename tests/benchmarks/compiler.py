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
python     seconds of what is done before anything is compiled, on chains, and on chains of which every node also needs
           the input, so that its gradient is a sum of as many terms.

Seconds of `compile` and `python` are of the processor, all threads together: on a busy machine the clock says more.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import numpy as np
import torch

import tograph as tg
from benchmarks.sections.compiling import Row, clock, compile_time, python_side, restart
from benchmarks.sections.overhead import RADIUS, overhead
from benchmarks.sections.solves import savings
from tograph import nodes as n
from tograph.problems import mbb


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
                times = [clock(lambda: float(function(x)[0])) for _ in range(repeats)]  # noqa: B023
            yield {"graph": title, "backend": backend, "device": place or "cpu", "ms": 1e3 * statistics.median(times)}


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
