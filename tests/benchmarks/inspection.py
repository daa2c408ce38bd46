"""What measuring every edge costs: CPU time of the instrumented variant over that of the normal program.

    python tests/benchmarks/inspection.py --nelx 300 --nely 100 --json inspect.json

Value and gradient of the compliance of the half MBB beam, direct solver, one thread. Both variants are compiled and
called once before; then they are called in turns, and the median of the ratios is given. `device` is the part
without the factorisation and the solves on the host, timed on a program of filter, projection and interpolation.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import tograph as tg
from tograph import nodes as n
from tograph.problems import mbb


def design_only(nelx: int, nely: int) -> tg.Graph:
    """Filter, projection, interpolation and a sum: a gradient without a solve."""
    grid = mbb(nelx=nelx, nely=nely).grid
    rho = tg.source("rho", grid.field())
    rho_f = n.DensityFilter(grid, radius=2.4)(rho)
    rho_p = n.Heaviside(beta=4.0)(rho_f)
    E = n.Simp(p=3.0)(rho_p)
    return tg.Graph([rho], {"energy": n.Dot()(E, E)})


def ratio(normal: Callable[[Any], Any], measured: Callable[[Any], Any], x: Any, pairs: int) -> dict[str, float]:
    """Medians over pairs of calls, in CPU seconds."""
    normal(x), measured(x)
    rows = [(_cpu(normal, x), _cpu(measured, x)) for _ in range(pairs)]
    return {
        "normal_s": statistics.median(a for a, _ in rows),
        "measured_s": statistics.median(b for _, b in rows),
        "ratio": statistics.median(b / a for a, b in rows),
    }


def _cpu(function: Callable[[Any], Any], x: Any) -> float:
    began = time.process_time()
    function(x)
    return time.process_time() - began


def main() -> None:
    """Print one row for each backend and program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nelx", type=int, default=300)
    parser.add_argument("--nely", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    problem = mbb(nelx=given.nelx, nely=given.nely)
    whole, device = problem.workflow(), design_only(given.nelx, given.nely)
    x = 0.2 + 0.6 * np.random.default_rng(0).random(problem.grid.shape)
    rows = []
    for backend in ("jax", "torch"):
        for name, graph, of in (("whole", whole, "compliance"), ("device", device, "energy")):
            program = graph.compile(backend)
            found = ratio(program.value_and_grad(of, "rho"), program.inspect(of, "rho"), x, given.pairs)
            rows.append({"backend": backend, "program": name, **found})
            print(
                f"{backend:6}{name:8}normal {found['normal_s']:.4f} s   measured {found['measured_s']:.4f} s   "
                f"ratio {found['ratio']:.2f}"
            )
    if given.json:
        given.json.write_text(json.dumps({"grid": [given.nelx, given.nely], "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
