"""A learned energy inside Newton's method: training, error in the body, bias of its gradient, and a design of 60 x 20.

tograph bench multiscale
tograph bench multiscale -- --iterations 40 --json multiscale.json --png multiscale.png --bias bias.png --fit fit.png
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import tograph as tg
from tograph import nodes as n
from tograph.draw.bias import draw_bias
from tograph.problems import Fit, Problem, cantilever, fit_energy, multiscale_compliance, sample

LAW, LOAD = n.StiffeningLaw(), 0.005
NETWORK = n.NeuralEnergy(width=12, depth=2, strain_scale=0.03)


def train(samples: int, iterations: int, backend: str) -> tuple[Fit, float]:
    """The network, and CPU seconds."""
    began = time.process_time()
    fit = fit_energy(
        NETWORK,
        sample(LAW, samples),
        sample(LAW, samples // 3, seed=1),
        iterations=iterations,
        backend=backend,
        every=200,
        progress=lambda line: print(" ", line, flush=True),
    )
    return fit, time.process_time() - began


def compare(problem: Problem, fit: Fit, backend: str, picture: Path | None) -> dict[str, float]:
    """Compliance of a random design by both, and the gradient of the network against that of the law."""
    rng = np.random.default_rng(0)
    at = {x: rng.uniform(*bounds, problem.grid.shape) for x, bounds in (("rho", (0.3, 1.0)), ("alpha", (0.0, 1.0)))}
    exact, learned = (
        multiscale_compliance(problem, e, theta=w, load=LOAD) for e, w in ((LAW, None), (NETWORK, fit.theta))
    )
    began = time.process_time()
    step = exact.compile(backend).value_and_grad("compliance", ("rho", "alpha"))
    c, _ = step(**at)
    compiled = time.process_time() - began
    began = time.process_time()
    step(**at)
    seconds = time.process_time() - began
    c_net = float(learned.compile(backend)(**at)["compliance"])
    rho, alpha = (exact.input(x) for x in at)
    [theta] = [tg.constant(fit.theta, NETWORK.weights_spec)]
    swapped = multiscale_graph(problem, rho, alpha, theta)
    report = tg.bias(swapped, "compliance", ("rho", "alpha"), at, backend=backend)
    print(report)
    if picture:
        draw_bias(report, picture)
    by = {x: float(np.linalg.norm(cut - full) / np.linalg.norm(full)) for x, (cut, full) in report.gradients.items()}
    return {
        "compliance_error": c_net / float(c) - 1.0,
        "angle": report.angle,
        "ratio": report.ratio,
        "gradient_error_rho": by["rho"],
        "gradient_error_alpha": by["alpha"],
        "compile_cpu_s": compiled,
        "value_and_gradient_cpu_s": seconds,
    }


def multiscale_graph(problem: Problem, rho: Any, alpha: Any, theta: Any) -> tg.Graph:
    """The compliance of the exact law with the derivative of the network's."""
    density_filter = n.DensityFilter(problem.grid, radius=1.5)
    E, a = n.Simp(p=3.0, E_min=1e-4)(density_filter(rho)), density_filter(alpha)
    f = tg.constant(LOAD * problem.load, problem.grid.vector(), name="f")
    options: dict[str, Any] = {"fixed": problem.fixed, "solver": n.SparseNewton(steps=2)}
    c = n.Compliance()(n.NewtonSolve(LAW, problem.grid, **options)(E, f, a), f)
    c_net = n.Compliance()(n.NewtonSolve(NETWORK, problem.grid, **options)(E, f, a, theta), f)
    both = tg.with_gradient_of(c, c_net, "the derivative of the network", name="both")
    return tg.Graph([rho, alpha], {"compliance": both})


def optimise(problem: Problem, fit: Fit, iterations: int, backend: str) -> tuple[dict[str, Any], Any, float]:
    """Density and microstructure together, with the network: the design, its history, CPU seconds."""
    began = time.process_time()
    program = multiscale_compliance(problem, NETWORK, theta=fit.theta, load=LOAD).compile(backend)
    start = {"rho": problem.uniform(), "alpha": np.full(problem.grid.shape, 0.5)}
    bound = [f"volume <= {problem.volume}"]

    def tell(now: tg.optimizers.Iteration) -> None:
        if now.number % 5 == 1:
            print(f"  iteration {now.number}: compliance {now.values['compliance']:.5f}", flush=True)

    found = tg.optimize(
        program,
        start,
        minimize="compliance",
        subject_to=bound,
        design=("rho", "alpha"),
        method="mma",
        max_iter=iterations,
        observers=[tell],
    )
    return found.best_design, found.history, time.process_time() - began


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--training", type=int, default=1500, help="iterations of the training")
    parser.add_argument("--iterations", type=int, default=40, help="iterations of the design")
    parser.add_argument("--size", type=int, nargs=2, default=(60, 20))
    parser.add_argument("--backend", default="jax")
    for name, what in (("json", "numbers"), ("png", "design"), ("bias", "map of the bias"), ("fit", "training")):
        parser.add_argument(f"--{name}", type=Path, help=f"write the {what} here")
    given = parser.parse_args()
    problem = cantilever(*given.size)
    fit, trained = train(given.samples, given.training, given.backend)
    row = {"training_cpu_s": trained, "stress_error": fit.stress_error, "energy_error": fit.energy_error}
    row |= compare(problem, fit, given.backend, given.bias)
    design, history, seconds = optimise(problem, fit, given.iterations, given.backend)
    values = {x: float(judge(problem, design, x)) for x in ("exact", "uniform")}
    row |= {"design_cpu_s": seconds, "iterations": len(history), "compliance_network": history[-1]["compliance"]}
    row |= {"compliance_exact": values["exact"], "compliance_uniform": values["uniform"]}
    print(json.dumps(row, indent=1))
    if given.json:
        given.json.write_text(json.dumps(row, indent=1) + "\n")
    if given.png:
        draw_design(design, history, row, given.png)
    if given.fit:
        draw_fit(fit, given.fit)


def judge(problem: Problem, design: dict[str, Any], which: str) -> Any:
    """Compliance by the exact law: of the design, or of the same density with alpha = 1/2 everywhere."""
    alpha = design["alpha"] if which == "exact" else np.full(problem.grid.shape, 0.5)
    return multiscale_compliance(problem, LAW, load=LOAD).compile("torch")(design["rho"], alpha)["compliance"]


def draw_design(design: dict[str, Any], history: Any, row: dict[str, float], path: Path) -> None:
    """Density, microstructure where there is material, and the compliance."""
    figure = Figure(figsize=(12.0, 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    panels[0].imshow(1.0 - design["rho"], cmap="gray", vmin=0.0, vmax=1.0)
    panels[0].set(title="density", xticks=[], yticks=[])
    shown = np.ma.masked_where(design["rho"] < 0.3, design["alpha"])
    image = panels[1].imshow(shown, cmap="coolwarm", vmin=0.0, vmax=1.0)
    panels[1].set(title="alpha: 1 along x, 0 along y", xticks=[], yticks=[])
    figure.colorbar(image, ax=panels[1], shrink=0.8)
    panels[2].semilogy([r["compliance"] for r in history])
    panels[2].set(xlabel="iteration", title=f"compliance; exact at the end: {row['compliance_exact']:.4f}")
    figure.savefig(path, dpi=110)


def draw_fit(fit: Fit, path: Path) -> None:
    """Training loss and validation errors."""
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    steps = [r["iteration"] for r in fit.history]
    for name, label in (("loss", "training loss"), ("stress", "stress error"), ("energy", "energy error")):
        panel.semilogy(steps, [r[name] for r in fit.history], label=label)
    panel.set(xlabel="iteration", title="relative, over the validation samples")
    panel.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
