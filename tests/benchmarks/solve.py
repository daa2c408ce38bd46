"""Value and gradient of the compliance: tograph's solvers and other programs, on the same half-converged design.

    python tests/benchmarks/solve.py --sizes 60x20 300x100 24x12x12 --json solve.json --png solve.png
    python tests/benchmarks/solve.py --sizes 600x200 64x32x32 --device gpu

Problem: cantilever, density filter of radius 2.4, SIMP with p = 3 and E_min = 1e-9. Design: 20 iterations of
optimality criteria. Everyone runs in a process of its own with one thread, and evaluates designs that differ a
little from call to call, so that nothing can be looked up. Reported are CPU seconds (the least of the calls after the
first; the first apart), wall seconds, peak memory, and how far value and gradient are from those of a direct solver
on small grids, and of multigrid with a residual of 1e-11 on large ones; of multigrid, also the iterations, and the
share of the time that its bytes would take at the speed of a copy ("roofline"). "bare" is a script of SciPy or CVXOPT
and NumPy that assembles, factorises and solves, and checks nothing: the floor for direct solvers.

Contestants that are not installed are listed as absent (`pip install 'tograph[bench]'` installs them); packages in
another folder are found with `--path FOLDER`, which is put at the end of the import path. With `--device`, JAX and
PyTorch run on that device as a whole, and wall seconds count.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.solving.contestants import CONTESTANTS, E_MIN, ON_DEVICE, RADIUS, P, problem_of
from benchmarks.solving.process import alone, peak_memory
from benchmarks.solving.report import device_table, plot, table
from benchmarks.solving.roofline import bytes_moved, copy_bandwidth, device_bandwidth
from tograph import nodes as n
from tograph.optimizers import optimize
from tograph.problems import Problem
from tograph.problems.workflow import compliance_workflow

SIZES = ("60x20", "150x50", "300x100", "600x200", "1200x400", "24x12x12", "48x24x24", "64x32x32", "128x64x64")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")
ONE = ("1", "1", "1", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")


def half_converged(problem: Problem, folder: Path, size: str) -> Path:
    """Design, value and gradient after 20 iterations, made once, with the solver that `auto` picks."""
    path = folder / f"{size}.npz"
    if not path.exists():
        options: Any = {"radius": RADIUS, "penal": P, "E_min": E_MIN}
        graph = compliance_workflow(problem, solver="auto", **options)
        start = np.full(problem.grid.shape, problem.volume)
        held = [f"volume <= {problem.volume}"]
        found = optimize(graph.compile(), start, minimize="compliance", subject_to=held, max_iter=20, tol=1e-12)
        large = graph.compile().explain().methods[0]["method"] == "MultigridCG"
        exact = n.MultigridCG(tolerance=1e-11) if large else n.DirectSolver()
        graph = compliance_workflow(problem, solver=exact, **options)
        value, gradient = graph.compile("jax").value_and_grad("compliance", "rho")(found.design)
        np.savez(path, rho=found.design, value=value, gradient=gradient)
    return path


def measure(name: str, size: str, design: Path, options: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own: first call, then the least of the others."""
    problem, data = problem_of(size), np.load(design)
    rng = np.random.default_rng(0)
    make = ON_DEVICE[name][1](_device(name, options.device)) if options.device else CONTESTANTS[name][1]
    evaluate: Any = make(problem)
    shape = data["rho"].shape
    designs = [np.clip(data["rho"] + 1e-4 * rng.random(shape), 0.0, 1.0) for _ in range(options.repeats)]
    times = []
    for rho in [*designs, data["rho"]]:
        wall, cpu = time.perf_counter(), time.process_time()
        value, gradient = evaluate(rho)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    error = np.abs(np.asarray(gradient) - data["gradient"]).max() / np.abs(data["gradient"]).max()
    return {
        "cpu": min(t[0] for t in times[1:]),
        "wall": min(t[1] for t in times[1:]),
        "first": times[0][1],
        "memory_MiB": peak_memory() / 1024,
        "value_error": abs(float(value) / float(data["value"]) - 1.0),
        "gradient_error": float(error),
        **_iterated(name, problem, evaluate, options.device),
    }


def _iterated(name: str, problem: Problem, evaluate: Any, device: str | None) -> dict[str, Any]:
    """Iterations of the last call; of multigrid also the seconds that its bytes take at the speed of a copy."""
    counts = [one.iterations for one in getattr(evaluate, "solved", ()) if one.iterations is not None]
    if not counts:
        return {}
    found: dict[str, Any] = {"iterations": sum(counts)}
    if device or "multigrid" in name:
        moved = bytes_moved(problem, sum(counts), 4 if "float32" in name else 8)
        framework = "torch" if "PyTorch" in name else "jax"
        speed = device_bandwidth(framework, _device(name, device)) if device else copy_bandwidth()
        found["floor"] = moved / speed
    return found


def _device(name: str, device: str) -> str:
    """JAX calls it "gpu", PyTorch "cuda"."""
    return "cuda" if "PyTorch" in name and device == "gpu" else device


def in_own_process(name: str, size: str, design: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The numbers of one contestant, or why there are none."""
    needed = (ON_DEVICE if options.device else CONTESTANTS)[name][0]
    command = [sys.executable, __file__, "--one", name, size, str(design), "--repeats", str(options.repeats)]
    command += [part for path in options.path for part in ("--path", path)]
    command += ["--device", options.device] if options.device else []
    threads = {} if options.device else dict(zip(THREADS, ONE, strict=True))
    return alone(command, needed, options.limit, threads)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["60x20", "300x100", "24x12x12"], help=f"of {', '.join(SIZES)}")
    parser.add_argument("--only", nargs="+", metavar="CONTESTANT")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds per contestant and size")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--path", action="append", default=[], help="a further folder of packages")
    parser.add_argument("--designs", help="a folder where designs are kept from run to run")
    parser.add_argument("--device", help="e.g. gpu: tograph alone, on that device")
    parser.add_argument("--json", help="a file; results that it has are kept, and those of this run added")
    parser.add_argument("--png")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    sys.path.extend(options.path)
    if options.one:
        name, size, design = options.one
        print(json.dumps(measure(name, size, Path(design), options)))
        return
    tell = device_table if options.device else table
    results: dict[str, dict[str, Any]] = {}
    if options.json and Path(options.json).exists():
        results = json.loads(Path(options.json).read_text(encoding="utf-8"))["results"]
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            design = half_converged(problem_of(size), Path(options.designs or folder), size)
            names = options.only or (ON_DEVICE if options.device else CONTESTANTS)
            found = {name: in_own_process(name, size, design, options) for name in names}
            results[size] = results.get(size, {}) | found
            print(tell({size: found}), flush=True)
    if options.json:
        about = {"machine": platform.machine(), "cores": os.cpu_count(), "copy_bandwidth": copy_bandwidth()}
        text = json.dumps({"about": about | {"date": time.strftime("%Y-%m-%d")}, "results": results}, indent=2)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    if options.png and not options.device:
        plot(results, options.png)


if __name__ == "__main__":
    main()
