"""Value and gradient of the compliance: tograph's solvers and other programs, on the same half-converged design.

    python tests/benchmarks/solve.py --sizes 60x20 300x100 24x12x12 --json solve.json --png solve.png

Problem: cantilever, density filter of radius 2.4, SIMP with p = 3 and E_min = 1e-9. Design: 20 iterations of
optimality criteria. Everyone runs in a process of its own with one thread, and evaluates designs that differ a
little from call to call, so that nothing can be looked up. Reported are CPU seconds (the least of the calls after the
first; the first apart), wall seconds, peak memory, and how far value and gradient are from those of the solver that
`auto` picks: a direct one on small grids, multigrid on large ones. Contestants that are not installed are listed as
absent (`pip install 'tograph[bench]'` installs them); packages in another folder are found with `--path FOLDER`,
which is put at the end of the import path.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tograph import nodes as n
from tograph.optimizers import optimize
from tograph.problems import Problem, cantilever, cantilever_3d
from tograph.problems.workflow import compliance_workflow

SIZES = ("60x20", "150x50", "300x100", "600x200", "1200x400", "24x12x12", "48x24x24", "64x32x32", "128x64x64")
RADIUS, NU, E_MIN, P = 2.4, 0.3, 1e-9, 3.0
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")
ONE = ("1", "1", "1", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


def problem_of(size: str) -> Problem:
    nelx, nely, *nelz = (int(count) for count in size.split("x"))
    return cantilever_3d(nelx, nely, *nelz) if nelz else cantilever(nelx, nely)


# Contestants: a problem -> value and gradient as a function of the density, a field of ours.


def with_tograph(solver: str, backend: str = "jax", **options: Any) -> Callable[[Problem], Evaluate]:
    def make(problem: Problem) -> Evaluate:
        made = getattr(n, solver)(**options)
        graph = compliance_workflow(problem, radius=RADIUS, penal=P, E_min=E_MIN, solver=made)
        function: Evaluate = graph.compile(backend).value_and_grad("compliance", "rho")
        return function

    return make


def with_pymoto(solver: str) -> Callable[[Problem], Evaluate]:
    def make(problem: Problem) -> Evaluate:
        import pymoto as pym  # type: ignore[import-not-found]

        grid = problem.grid
        domain = pym.VoxelDomain(grid.nelx, grid.nely, grid.nelz)
        x = pym.Signal("x", state=np.full(grid.n_elements, 0.5))
        f, fixed = _in_pymoto(grid, problem.load), np.flatnonzero(_in_pymoto(grid, _mask(problem)))
        with pym.Network() as network:
            filtered = pym.DensityFilter(domain, radius=RADIUS)(x)
            E = pym.MathExpression(f"{E_MIN} + {1 - E_MIN}*inp0^{P:g}")(filtered)
            K = pym.AssembleStiffness(domain, bc=fixed, poisson_ratio=NU, plane=problem.plane)(E)
            u = pym.LinSolve(symmetric=True, positive_definite=True, solver=_pymoto_solver(pym, solver, domain))(K, f)
            c = pym.EinSum("i,i->")(u, f)

        def evaluate(rho: np.ndarray) -> tuple[float, np.ndarray]:
            x.state = _to_pymoto(rho)
            network.response()
            network.reset()
            c.sensitivity = 1.0
            network.sensitivity()
            return float(c.state), _from_pymoto(np.asarray(x.sensitivity), rho.shape)

        return evaluate

    return make


def _pymoto_solver(pym: Any, name: str, domain: Any) -> Any:
    if name != "multigrid":
        known = {"symmetric": True, "positive_definite": True} if name == "SolverSparsePardiso" else {}
        return getattr(pym.solvers, name)(**known)
    levels: list[Any] = []
    size = domain
    while (not levels or size.nel > 2000) and all(count % 2 == 0 for count in (size.nelx, size.nely, size.nelz)):
        levels.append(pym.solvers.GeometricMultigrid(size))
        size = pym.VoxelDomain(size.nelx // 2, size.nely // 2, size.nelz // 2)
    for above, below in itertools.pairwise(levels):
        above.inner_level = below
    return pym.solvers.CG(preconditioner=levels[0], tol=1e-8)


def _mask(problem: Problem) -> np.ndarray:
    mask = np.zeros(problem.grid.n_dofs())
    mask[problem.fixed] = 1.0
    return mask


def _turned(field: np.ndarray) -> np.ndarray:
    """(y down, x[, z]) <-> ([z,] y up, x), which pyMOTO and torch-fem number in C order."""
    up = field[::-1]
    return up if field.ndim == 2 else up.transpose(2, 0, 1)


def _to_pymoto(rho: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(_turned(rho)).ravel()


def _from_pymoto(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) == 2:
        return values.reshape(shape)[::-1]
    return values.reshape(shape[2], shape[0], shape[1]).transpose(1, 2, 0)[::-1]


def _in_pymoto(grid: n.Grid, vector: np.ndarray) -> np.ndarray:
    nodal = np.asarray(vector).reshape(*grid.node_shape, grid.dim)
    parts = [_turned(nodal[..., k]).ravel() for k in range(grid.dim)]
    return np.stack(parts, axis=1).ravel()


def with_torch_fem(problem: Problem) -> Evaluate:
    import torch
    import torchfem  # type: ignore[import-not-found]

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    grid = problem.grid
    nodes, elements = torch.tensor(grid.node_coordinates()), torch.tensor(grid.element_nodes())
    materials, space = torchfem.materials, grid.dim == 3
    law = materials.IsotropicElasticity3D if space else materials.IsotropicElasticityPlaneStress
    body = torchfem.Solid if space else torchfem.Planar
    weights = _filter(problem)
    nu = torch.full((grid.n_elements,), NU)

    def evaluate(rho: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.tensor(np.ascontiguousarray(rho).ravel(), requires_grad=True)
        E = E_MIN + (1.0 - E_MIN) * (weights @ x) ** P
        model = body(nodes, elements, law(E, nu))
        model.forces = torch.tensor(problem.load.reshape(-1, grid.dim))
        model.constraints = torch.tensor(_mask(problem).reshape(-1, grid.dim) > 0.0)
        u, *_ = model.solve(differentiable_parameters=E)
        c = (u * model.forces).sum()
        c.backward()
        assert x.grad is not None
        return float(c), x.grad.numpy().reshape(rho.shape).copy()

    return evaluate


def _filter(problem: Problem) -> Any:
    """The density filter as a sparse matrix of PyTorch."""
    import torch
    from scipy.spatial import KDTree

    points = problem.grid.centroids()
    near = KDTree(points).sparse_distance_matrix(KDTree(points), RADIUS, output_type="coo_matrix")
    near.data = RADIUS - near.data
    rows = np.asarray(near.sum(axis=1)).ravel()
    values = torch.tensor(near.data / rows[near.row])
    return torch.sparse_coo_tensor(torch.tensor(np.stack([near.row, near.col])), values, near.shape).to_sparse_csr()


CONTESTANTS: dict[str, tuple[tuple[str, ...], Callable[[Problem], Evaluate]]] = {
    "tograph, default": ((), with_tograph("DirectSolver")),
    "tograph, default, PyTorch": (("torch",), with_tograph("DirectSolver", "torch")),
    "tograph, multigrid": ((), with_tograph("MultigridCG")),
    "tograph, multigrid float32": ((), with_tograph("MultigridCG", precision="float32")),
    "tograph, multigrid float32, PyTorch": (("torch",), with_tograph("MultigridCG", "torch", precision="float32")),
    "tograph, SuperLU": ((), with_tograph("SuperLU")),
    "tograph, PARDISO": (("pypardiso",), with_tograph("Pardiso")),
    "tograph, CHOLMOD": (("cvxopt",), with_tograph("Cholmod")),
    "tograph, PyAMG": (("pyamg",), with_tograph("AMG")),
    "pyMOTO, SuperLU": (("pymoto",), with_pymoto("SolverSparseLU")),
    "pyMOTO, PARDISO": (("pymoto", "pypardiso"), with_pymoto("SolverSparsePardiso")),
    "pyMOTO, CHOLMOD": (("pymoto", "cvxopt"), with_pymoto("SolverSparseCholeskyCVXOPT")),
    "pyMOTO, multigrid": (("pymoto",), with_pymoto("multigrid")),
    "torch-fem": (("torchfem", "torch"), with_torch_fem),
}


def half_converged(problem: Problem, folder: Path, size: str) -> Path:
    """Design, value and gradient after 20 iterations, made once, with the solver that `auto` picks."""
    path = folder / f"{size}.npz"
    if not path.exists():
        graph = compliance_workflow(problem, radius=RADIUS, penal=P, E_min=E_MIN, solver="auto")
        start = np.full(problem.grid.shape, problem.volume)
        held = [f"volume <= {problem.volume}"]
        found = optimize(graph.compile(), start, minimize="compliance", subject_to=held, max_iter=20, tol=1e-12)
        value, gradient = graph.compile("jax").value_and_grad("compliance", "rho")(found.design)
        np.savez(path, rho=found.design, value=value, gradient=gradient)
    return path


def measure(name: str, size: str, design: Path, repeats: int) -> dict[str, Any]:
    """In a process of its own: first call, then the least of the others."""
    problem, data = problem_of(size), np.load(design)
    rng = np.random.default_rng(0)
    evaluate = CONTESTANTS[name][1](problem)
    designs = [np.clip(data["rho"] + 1e-4 * rng.random(data["rho"].shape), 0.0, 1.0) for _ in range(repeats)]
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
    }


def peak_memory() -> float:
    """KiB. Not `getrusage`, which counts what the parent had when it forked."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def in_own_process(name: str, size: str, design: Path, options: argparse.Namespace) -> dict[str, Any]:
    missing = [module for module in CONTESTANTS[name][0] if importlib.util.find_spec(module) is None]
    if missing:
        return {"absent": f"{', '.join(missing)} not installed"}
    command = [sys.executable, __file__, "--one", name, size, str(design), "--repeats", str(options.repeats)]
    command += [part for path in options.path for part in ("--path", path)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=options.limit,
            env=os.environ | dict(zip(THREADS, ONE, strict=True)),
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {options.limit} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:120]}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def copy_bandwidth() -> float:
    """Bytes per second read and written by a large copy, of one core."""
    source = np.ones(1 << 24)
    target = np.empty_like(source)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - start)
    return 2.0 * source.nbytes / min(times)


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown, per size: ratio to the fastest of tograph first."""
    lines = []
    for size, rows in results.items():
        lines += [f"\n**{size}**\n", "| | ratio | CPU s | first call s | MiB | value error | gradient error |"]
        lines.append("|---|---|---|---|---|---|---|")
        own = [row["cpu"] for name, row in rows.items() if name.startswith("tograph") and "cpu" in row]
        unit = min(own, default=math.nan)
        for name, row in sorted(rows.items(), key=lambda item: item[1].get("cpu", math.inf)):
            if "cpu" not in row:
                lines.append(f"| {name} | - | {row.get('absent') or row.get('failed')} | | | | |")
                continue
            numbers = f"{row['cpu']:.3g} | {row['first']:.2g} | {row['memory_MiB']:.0f}"
            errors = f"{row['value_error']:.0e} | {row['gradient_error']:.0e}"
            lines.append(f"| {name} | {row['cpu'] / unit:.2f} | {numbers} | {errors} |")
    return "\n".join(lines)


def plot(results: dict[str, dict[str, Any]], path: str) -> None:
    """CPU seconds against dofs, log-log, the exponent of a fitted power in the legend; 2D left, 3D right."""
    figure = Figure(figsize=(11.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, dim in zip(figure.subplots(1, 2), (2, 3), strict=True):
        axes.set(title=f"{dim}D", xlabel="dofs", ylabel="CPU seconds, value and gradient", xscale="log", yscale="log")
        for name in CONTESTANTS:
            points = [
                (problem_of(size).grid.n_dofs(), rows[name]["cpu"])
                for size, rows in results.items()
                if problem_of(size).grid.dim == dim and "cpu" in rows.get(name, {})
            ]
            if points:
                dofs, seconds = np.array(sorted(points)).T
                power = f", n^{np.polyfit(np.log(dofs), np.log(seconds), 1)[0]:.2f}" if dofs.size > 1 else ""
                axes.plot(dofs, seconds, "o-", label=name + power)
        axes.legend(fontsize=7)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["60x20", "300x100", "24x12x12"], help=f"of {', '.join(SIZES)}")
    parser.add_argument("--only", nargs="+", default=list(CONTESTANTS), metavar="CONTESTANT")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds per contestant and size")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--path", action="append", default=[], help="a further folder of packages")
    parser.add_argument("--json")
    parser.add_argument("--png")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.extend(options.path)
    if options.one:
        name, size, design = options.one
        print(json.dumps(measure(name, size, Path(design), options.repeats)))
        return
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            design = half_converged(problem_of(size), Path(folder), size)
            results[size] = {name: in_own_process(name, size, design, options) for name in options.only}
            print(table({size: results[size]}), flush=True)
    if options.json:
        about = {"machine": platform.machine(), "cores": os.cpu_count(), "copy_bandwidth": copy_bandwidth()}
        text = json.dumps({"about": about | {"date": time.strftime("%Y-%m-%d")}, "results": results}, indent=2)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    if options.png:
        plot(results, options.png)


if __name__ == "__main__":
    main()
