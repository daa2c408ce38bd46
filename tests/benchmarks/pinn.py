"""One network for density and displacement, trained on a 60 x 30 cantilever; judged by finite elements beside SIMP.

tograph bench pinn
tograph bench pinn -- --steps 8000 --backend jax --dtype float32 --json pinn.json --png pinn.png
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import tograph as tg
from tograph.problems import (
    Problem,
    cantilever,
    finite_elements,
    pinn_compliance,
    pinn_network,
    pinn_stages,
    pinn_start,
)


def tip_loaded(nelx: int, nely: int) -> Problem:
    """A cantilever with a unit load in the middle of its free end."""
    beam = cantilever(nelx, nely)
    load = np.zeros(beam.grid.n_dofs())
    load[beam.grid.dofs([beam.grid.nearest_node(nelx, nely / 2)], "y")] = -1.0
    return attrs.evolve(beam, load=load)


def simp(problem: Problem) -> tuple[np.ndarray, float]:
    """Design and iterations of optimality criteria, with a density filter of 1.5."""
    program = problem.workflow(filter="density", radius=1.5).compile("jax")
    bound = [f"volume <= {problem.volume}"]
    found = tg.optimize(program, problem.uniform(), minimize="compliance", subject_to=bound, max_iter=150)
    return np.asarray(found.design), found.values["compliance"]


def train(problem: Problem, steps: int, backend: str, dtype: str, seed: int) -> tuple[np.ndarray, Any, float]:
    """Density, history and CPU seconds, compilation included."""
    began = time.process_time()
    program = pinn_compliance(problem, seed=seed).compile(backend, dtype=dtype)
    start = pinn_start(pinn_network(), seed)

    def tell(now: tg.optimizers.Iteration) -> None:
        if now.number % max(1, steps // 10) == 0:
            words = ", ".join(f"{name} {value:.2f}" for name, value in now.values.items())
            print(f"  step {now.number}: {words}, CPU {time.process_time() - began:.0f} s", flush=True)

    stages = pinn_stages(steps)
    found = tg.optimize(program, start, minimize="loss", design="theta", stages=stages, observers=[tell])
    density = program(found.design)["density"]
    return np.asarray(density, dtype=np.float64), found.history, time.process_time() - began


def thresholded(rho: np.ndarray) -> np.ndarray:
    """Black and white, with the same volume."""
    order = np.argsort(rho.ravel())[::-1]
    made = np.zeros(rho.size)
    made[order[: round(rho.sum())]] = 1.0
    return made.reshape(rho.shape)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--size", type=int, nargs=2, default=(60, 30))
    parser.add_argument("--backend", default="jax")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--png", type=Path, help="write the picture here")
    given = parser.parse_args()
    problem = tip_loaded(*given.size)
    judge = finite_elements(problem).compile("numpy")
    rho, history, seconds = train(problem, given.steps, given.backend, given.dtype, given.seed)
    design, reference = simp(problem)
    filtered = problem.workflow(radius=1.5)
    physical = tg.Graph(filtered.inputs, {"rho_f": _named(filtered, "rho_f")}).compile("numpy")(design)["rho_f"]
    row = {"steps": given.steps, "cpu_s": seconds, "simp": reference}
    for name, field in (("network", rho), ("simp", physical)):
        row[f"{name}_fe"] = float(judge(field)["compliance"])
        row[f"{name}_thresholded"] = float(judge(thresholded(field))["compliance"])
    print(json.dumps(row, indent=1))
    print(f"the network's design is {row['network_fe'] / reference - 1.0:+.1%} off SIMP, by finite elements")
    if given.json:
        given.json.write_text(json.dumps(row, indent=1) + "\n")
    if given.png:
        draw(rho, physical, history, row, given.png)


def _named(graph: tg.Graph, name: str) -> tg.Edge:
    return next(tg.Edge(vertex) for vertex in graph.vertices if vertex.origin.name == name)


def draw(rho: np.ndarray, other: np.ndarray, history: Any, row: dict[str, float], path: Path) -> None:
    """Both designs, and the loss."""
    figure = Figure(figsize=(12.0, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    titles = f"network: {row['network_fe']:.1f} by finite elements", f"SIMP: {row['simp']:.1f}"
    for panel, field, title in zip(panels, (rho, other), titles, strict=False):
        panel.imshow(1.0 - field, cmap="gray", vmin=0.0, vmax=1.0)
        panel.set(title=title, xticks=[], yticks=[])
    steps = np.arange(1, len(history) + 1)
    panels[2].plot(steps, [r["compliance"] for r in history], label="compliance c of the prediction", lw=0.8)
    panels[2].plot(steps, [-2.0 * r["potential"] for r in history], label="-2 (w - W)", lw=0.8)
    panels[2].set(xlabel="step", ylim=(0.0, 250.0), title="equal at equilibrium")
    panels[2].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
