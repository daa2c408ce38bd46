"""Draw the pictures of this folder: `python docs/make_pictures.py` from the root of the checkout."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the pictures are those of this checkout, installed or not

import tograph as tg  # noqa: E402
from tograph import nodes as n  # noqa: E402
from tograph.draw import draw  # noqa: E402
from tograph.optimizers import TorchOptim  # noqa: E402
from tograph.problems import (  # noqa: E402
    PROBLEMS,
    SUITE,
    TASKS,
    cantilever,
    hoyer,
    mbb,
    multiscale_compliance,
    network,
    neural_compliance,
    pinn_compliance,
    two_load_cantilever,
)
from tograph.runs import Movie, sweep  # noqa: E402
from tograph.runs.figures import density_figure, save  # noqa: E402
from tograph.runs.gallery import save_gallery  # noqa: E402
from tograph.runs.scene import physical_density, scene_of  # noqa: E402
from tograph.runs.sweep_figures import designs_figure  # noqa: E402

DOCS = ROOT / "docs"
PICTURES = DOCS / "pictures"

DESIGNS: dict[str, dict[str, Any]] = {
    "mbb": {"nelx": 120, "nely": 40},
    "cantilever": {"nelx": 90, "nely": 30},
    "cantilever_with_hole": {"nelx": 90, "nely": 60},
    "two_load_cantilever": {"nelx": 60, "nely": 60},
    "michell": {"nelx": 96, "nely": 48},
    "tensile": {"nelx": 96, "nely": 48},
    "bridge": {"nelx": 60, "nely": 60},
    "cantilever_3d": {"nelx": 24, "nely": 8, "nelz": 8},
    "heat_conduction": {"nelx": 80, "nely": 80},
}
"""The sizes at which the problems are shown."""


def beam() -> tg.Graph:
    """The half MBB beam of the README."""
    problem = mbb(nelx=60, nely=20)
    rho = tg.source("rho", problem.grid.field())
    rho_f = n.DensityFilter(problem.grid, radius=2.4)(rho)
    E = n.Simp(p=3.0, E_min=1e-9)(rho_f)
    K = n.Stiffness(problem.grid, nu=0.3, fixed=problem.fixed)(E)
    f = tg.constant(problem.load, problem.grid.vector(), name="f")
    u = n.LinearSolve()(K, f)
    c = n.Compliance()(u, f)
    v = n.VolumeFraction()(rho_f)
    return tg.Graph([rho], {"compliance": c, "volume": v}, name="mbb")


def mechanism() -> tg.Graph:
    """A displacement as objective, which does need an adjoint solve, and a mask that is not differentiated."""
    problem = mbb(nelx=60, nely=20)
    rho = tg.source("rho", problem.grid.field())
    weight = tg.source("weight")
    rho_f = n.DensityFilter(problem.grid, radius=2.4)(rho)
    mask = tg.detach(rho_f, reason="frozen within an iteration")
    rho_m = rho_f * mask
    E = n.Simp()(rho_m)
    K = n.Stiffness(problem.grid, nu=0.3, fixed=problem.fixed)(E)
    f = tg.constant(problem.load, problem.grid.vector(), name="f")
    u = n.LinearSolve()(K, f)
    corner = tg.constant(np.eye(1, problem.grid.n_dofs(), 9)[0], problem.grid.vector(), name="corner")
    tip = n.Dot()(u, corner)
    v = n.VolumeFraction()(rho_m)
    weighted = v * weight
    return tg.Graph([rho, weight], {"tip": tip, "weighted": weighted}, name="mechanism")


def from_page(name: str, wanted: str) -> Any:
    """What a page of the documentation calls by that name, once the page has got there."""
    module = types.ModuleType(f"page_{name.replace('-', '_')}")
    sys.modules[module.__name__] = module
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            lines = text.count("\n", 0, block.start(1))
            exec(compile("\n" * lines + block[1], f"{name}.md", "exec"), module.__dict__)
            if hasattr(module, wanted):
                break
    return getattr(module, wanted)


def draw_graphs(folder: Path) -> None:
    """The diagrams."""
    graph, other = beam(), mechanism()
    graph.draw(folder / "mbb_forward.svg")
    graph.draw(folder / "mbb_reverse.svg", of="compliance", wrt="rho")
    graph.draw(folder / "mbb_joint.svg", of="compliance", wrt="rho", view="joint")
    graph.draw(folder / "mbb_reverse_two.svg", of=("compliance", "volume"), wrt="rho")
    graph.draw(folder / "mbb_reverse_detail.svg", of="compliance", wrt="rho", detail=True)
    graph.draw(folder / "mbb_tangent.svg", of="compliance", wrt="rho", view="tangent")
    other.draw(folder / "detached_forward.svg")
    other.draw(folder / "detached_reverse.svg", of="tip", wrt=("rho", "weight"))
    loads = two_load_cantilever().workflow(weights=(1.0, 0.3), beta=4.0)
    loads.draw(folder / "two_loads_reverse.svg", of="compliance", wrt="rho")
    heuristic = mbb(nelx=60, nely=20).workflow(filter="sensitivity")
    heuristic.draw(folder / "sensitivity_reverse.svg", of="compliance", wrt="rho")
    own = from_page("write-a-node", "graph")
    own.draw(folder / "own_nodes_reverse.svg", of=("energy", "peak"), wrt="rho")
    methods = from_page("which-derivative", "study")
    methods.draw(folder / "methods_reverse.svg", of="compliance", wrt="rho")
    passes = from_page("compiler", "step").plan
    stages = {stage.name: stage for stage in passes.history}
    draw(stages["sharing"].before, folder / "pass_before_sharing.svg")
    draw(stages["batching"].after, folder / "pass_after_batching.svg")
    pinn = pinn_compliance(cantilever(60, 30))
    pinn.draw(folder / "pinn_forward.svg")
    pinn.draw(folder / "pinn_reverse.svg", of="loss", wrt="theta")
    body = multiscale_compliance(cantilever(60, 20), n.NeuralEnergy(), theta=n.NeuralEnergy().initial())
    body.draw(folder / "multiscale_forward.svg")
    body.draw(folder / "multiscale_reverse.svg", of="compliance", wrt=("rho", "alpha"))
    small = n.Siren(width=64, depth=2, dtype="float32")
    drawn = neural_compliance(mbb(nelx=96, nely=64, volume=0.4), small, radius=2.0)
    drawn.draw(folder / "neural_forward.svg")
    drawn.draw(folder / "neural_reverse.svg", of="compliance", wrt="theta")
    surrogate = from_page("detached-edges", "smooth")
    surrogate.draw(folder / "surrogate_forward.svg")
    surrogate.draw(folder / "surrogate_reverse.svg", of="c", wrt="rho")
    host = from_page("wrap-your-own-solver", "graph")
    host.draw(folder / "host_reverse.svg", of="power", wrt="k")


RATES = {"mlp": 1e-2, "siren": 1e-3, "cnn": 1e-3, "fourier": 1e-3}
"""Of Adam, for the networks of the page on neural fields."""


def draw_neural(path: Path, max_iter: int, coarse: int) -> None:
    """The designs of the page on neural fields, with their compliances."""
    problem = mbb(nelx=96 // coarse, nely=64 // coarse, volume=0.4)
    figure = Figure(figsize=(9.0, 6.6), layout="constrained")
    for axes, (name, rate) in zip(figure.subplots(2, 2).flat, RATES.items(), strict=True):
        net = network(name, problem.grid)
        program = neural_compliance(problem, net, radius=2.0).compile("torch")
        adam = TorchOptim("Adam", {"lr": rate}, clip=1.0)
        result = tg.optimize(
            program, net.initial(0), minimize="compliance", method=adam, max_iter=min(max_iter, 120), tol=0.0
        )
        density = physical_density(program, "theta", result.best_design)
        axes.imshow(density, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")
        axes.set_axis_off()
        said = f"compliance {result.best_values['compliance']:.2f}, volume {result.best_values['volume']:.3f}"
        axes.set_title(f"{type(net).__name__}, {net.weights_spec.size} weights: {said}", fontsize=9)
    save(figure, path)


def draw_measured(folder: Path) -> None:
    """Runs: a design under way, a NaN, and two backends side by side."""
    report = under_way("jax")
    draw(report, folder / "mbb_measured.svg", overlay=("norms", "time", "fields"))
    other = under_way("torch")
    draw({"jax": report, "torch": other}, folder / "side_by_side.svg", overlay="deviation")
    x = tg.source("x", n.Grid(60, 20).field())
    root = (x - 0.3) ** 0.5
    smooth = n.DensityFilter(n.Grid(60, 20), radius=2.4)(root)
    wrong = tg.Graph([x], {"volume": n.VolumeFraction()(smooth)}, name="wrong").compile("jax")
    draw(wrong.inspect("volume", "x")(np.linspace(0.25, 1.0, 1200).reshape(20, 60)), folder / "nan_reverse.svg")


def draw_faults(folder: Path) -> None:
    """The fault gallery: what is marked, and where it helps, the norms."""
    from_page("fault-gallery", "adjoint_report")
    page = vars(sys.modules["page_fault_gallery"])
    page["detached"].draw(folder / "fault_detached.svg", of="c", wrt=("rho", "weight"))
    page["integers"].draw(folder / "fault_integers.svg")
    page["missing"].draw(folder / "fault_missing.svg", of="c", wrt=("rho", "theta"))
    overlays = {"infinite": "", "overflow": "", "saturated": "norms", "exploding": "norms", "single": "", "adjoint": ""}
    for name, overlay in (overlays | {"cancelling": "cancellation", "wrong": "digits"}).items():
        draw(page[f"{name}_report"], folder / f"fault_{name}.svg", overlay=overlay or None)


def under_way(backend: str) -> Any:
    """The report of the MBB beam after some iterations."""
    problem = mbb(nelx=60, nely=20)
    program = beam().compile(backend)
    goal = {"minimize": "compliance", "subject_to": ["volume <= 0.5"], "max_iter": 12}
    design = tg.optimize(beam().compile("jax"), problem.uniform(), **goal).design
    return program.inspect("compliance", "rho", keep="fields", times=True)(design)


def draw_design(name: str, path: Path, size: dict[str, int], max_iter: int) -> None:
    """The optimised physical density of a problem with its supports and loads."""
    problem = PROBLEMS[name](**size)
    program = problem.workflow(radius=2.4 if problem.grid.dim == 2 else 1.5).compile("jax")
    bound = [f"volume <= {problem.volume}"]
    result = tg.optimize(program, problem.uniform(), minimize="compliance", subject_to=bound, max_iter=max_iter)
    values = result.values
    title = f"{name}: compliance {values['compliance']:.4g}, volume {values['volume']:.2f}"
    density = physical_density(program, "rho", result.design)
    save(density_figure(density, scene_of(program.graph), title), path)


def draw_suite(path: Path) -> None:
    """The smallest task of each category."""
    firsts = {task.category: name for name, task in reversed(TASKS.items())}
    save_gallery([hoyer(name) for name in reversed(firsts.values())], SUITE, path)


def draw_realisations(path: Path) -> None:
    """The three realisations of the page on batches, one below the other."""
    fields = from_page("batch", "realisations")
    gap = np.zeros((2, fields.shape[2]))
    save(density_figure(np.concatenate([fields[0], gap, fields[1], gap, fields[2]]), None, BATCH), path)


def draw_sweep(path: Path, coarse: int) -> None:
    """The designs of the page on many runs."""
    size = {"nelx": 36 // coarse, "nely": 12 // coarse, "max_iter": 20 // coarse, "radius": [1.5, 2.4]}
    with tempfile.TemporaryDirectory() as folder:
        found = sweep(["mbb", "cantilever"], ["oc", "mma"], folder=folder, parameters=size, workers=0)
        save(designs_figure(found.rows, found.folder), path)


def draw_evolution(path: Path, coarse: int) -> None:
    """The movie of the page on the design loop."""
    problem = mbb(nelx=48 // coarse, nely=16 // coarse)
    program = problem.workflow(radius=1.5).compile("jax")
    call: dict[str, Any] = {"minimize": "compliance", "subject_to": ["volume <= 0.5"], "method": "mma"}
    tg.optimize(program, problem.uniform(), **call, max_iter=30 // coarse, observers=[Movie(path, every=2, fps=4)])


BATCH = "one design: eroded (eta 0.7), intended (0.5), dilated (0.3)"


def main(folder: Path = PICTURES, *, max_iter: int = 150, coarse: int = 1) -> None:
    """Write all pictures; with `coarse` > 1 those of the designs on a grid that many times coarser."""
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(ROOT):  # so that the boxes say where they were declared relative to the checkout
        draw_graphs(folder.resolve())
        draw_measured(folder.resolve())
        draw_faults(folder.resolve())
    draw_suite(folder / "suite.png")
    draw_realisations(folder / "batch_realisations.png")
    draw_evolution(folder / "evolution.gif", coarse)
    draw_sweep(folder / "sweep_designs.png", coarse)
    draw_neural(folder / "neural_designs.png", max_iter, coarse)
    for name, size in DESIGNS.items():
        draw_design(name, folder / f"design_{name}.png", {k: max(2, v // coarse) for k, v in size.items()}, max_iter)


if __name__ == "__main__":
    main()
