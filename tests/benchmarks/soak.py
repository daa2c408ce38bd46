"""Many evaluations of a small problem beside other work: no hang, no leak.

    python tests/benchmarks/soak.py --evaluations 10000 --workers 2

Host solves between jitted segments, value and gradient of a cantilever at a new design each time, while
`--workers` processes keep the cores busy. Prints resident memory and the slowest evaluation every tenth of the run;
ends with an error if one evaluation takes longer than `--limit` seconds or memory grows by more than `--growth` MiB
after the first tenth.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tograph import nodes as n
from tograph.problems import cantilever
from tograph.problems.workflow import compliance_workflow


def busy() -> None:
    while True:
        sum(range(100_000))


def resident() -> float:
    """MiB (Linux)."""
    return float(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096.0 / 2**20


def soak(evaluations: int, backend: str, solver: str, limit: float) -> list[tuple[int, float, float]]:
    """(evaluation, resident MiB, slowest seconds) ten times."""
    problem = cantilever(30, 10)
    graph = compliance_workflow(problem, solver=getattr(n, solver)())
    function = graph.compile(backend).value_and_grad("compliance", "rho")
    rng = np.random.default_rng(0)
    found, slowest = [], 0.0
    function(rng.uniform(0.2, 1.0, problem.grid.shape))
    for i in range(1, evaluations + 1):
        faulthandler.dump_traceback_later(limit, exit=True)  # where it hangs, if it does
        start = time.perf_counter()
        value, gradient = function(rng.uniform(0.2, 1.0, problem.grid.shape))
        slowest = max(slowest, time.perf_counter() - start)
        assert np.isfinite(value) and np.all(np.isfinite(gradient))
        if i % max(1, evaluations // 10) == 0:
            found.append((i, resident(), slowest))
            print(f"{i:8d}  {found[-1][1]:8.1f} MiB  slowest {slowest:.3f} s", flush=True)
    faulthandler.cancel_dump_traceback_later()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--backend", default="jax")
    parser.add_argument("--solver", default="DirectSolver")
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--growth", type=float, default=16.0)
    options = parser.parse_args()
    workers = [multiprocessing.Process(target=busy, daemon=True) for _ in range(options.workers)]
    for worker in workers:
        worker.start()
    try:
        found = soak(options.evaluations, options.backend, options.solver, options.limit)
    finally:
        for worker in workers:
            worker.terminate()
    growth = found[-1][1] - found[0][1]
    print(f"memory grew by {growth:.1f} MiB after the first tenth")
    if growth > options.growth:
        sys.exit("that is a leak")


if __name__ == "__main__":
    main()
