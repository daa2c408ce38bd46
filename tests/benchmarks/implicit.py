"""Memory and time of implicit and unrolled derivatives against the number of iterations.

    python tests/benchmarks/implicit.py --json implicit.json --png implicit.png

The fixed point y_i = q (y_i + y_i+1) / 2 - y_i^3 + x_i contracts about by q, which is set so that a given number of
iterations reaches the tolerance. Both sides are the same graph, on the same inputs, in one process; they
differ in one option, derivative="unrolled". Measured are value and gradient of sum y^2.

Time is the median of several calls after a first one. Memory is the peak of the resident set above what was
there before the call (Linux only; else it is not measured).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import attrs
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import tograph as tg
from tograph import nodes as n
from tograph.implicit import ImplicitNode
from tograph.solvers import FixedPoint

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SIDES = ("implicit", "unrolled")


@tg.node
class Chain(ImplicitNode):
    """The fixed point above, on a ring."""

    inputs = (tg.Port("x"),)
    tolerance: ClassVar[float] = 1e-6
    q: Any = tg.parameter(default=0.5)
    solver: Any = attrs.field(factory=FixedPoint)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        x, q = inputs
        return 0.5 * q * (y + xp.roll(y, -1)) - y**3 + x - y

    def start(self, xp: Any, *inputs: Any) -> Any:
        return xp.zeros_like(inputs[0])


def make(size: int, iterations: int, side: str, backend: str) -> Any:
    """Value and gradient as a function of x."""
    x = tg.source("x", tg.Spec("vector", (tg.Axis("i", size),)))
    q = 10.0 ** (-8.0 / iterations)
    solver = FixedPoint(tolerance=1e-9, iterations=iterations)
    y = Chain(q=q, solver=solver)(x, derivative=None if side == "implicit" else side)
    return tg.Graph([x], {"c": n.Dot()(y, y)}).compile(backend).value_and_grad("c", "x")


def measure(function: Any, x: np.ndarray, repeats: int) -> tuple[np.ndarray, float, float | None]:
    """Gradient, median seconds, peak MB above the level before."""
    function(x)
    before = _settled()
    function(x)
    peak = None if before is None else max(_memory("VmHWM") - before, 0.0)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        _, gradient = function(x)
        times.append(time.perf_counter() - start)
    return np.asarray(gradient), statistics.median(times), peak


def _settled() -> float | None:
    """Resident MB after everything unused is given back, with the peak reset to it; None if that cannot be done."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        RESET.write_text("5")
        return _memory("VmRSS")
    except OSError:
        return None


def _memory(key: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024.0


def run(size: int, counts: list[int], repeats: int) -> list[dict[str, Any]]:
    """One row per backend and iteration count."""
    rows = []
    x = 1e-3 * np.random.default_rng(0).uniform(0.5, 1.0, size)
    print(f"{'backend':8}{'iterations':>11}{'implicit s':>12}{'unrolled s':>12}{'ratio':>7}", end="")
    print(f"{'implicit MB':>13}{'unrolled MB':>13}{'ratio':>7}{'difference':>12}")
    for backend in ("jax", "torch"):
        for count in counts:
            found = {side: measure(make(size, count, side, backend), x, repeats) for side in SIDES}
            row = _row(backend, count, found)
            rows.append(row)
            print(
                f"{backend:8}{count:11d}{row['implicit_s']:12.4f}{row['unrolled_s']:12.4f}{row['time_ratio']:7.2f}",
                end="",
            )
            memory = [row[key] for key in ("implicit_MB", "unrolled_MB", "memory_ratio")]
            shown = ["-" if value is None else f"{value:.1f}" for value in memory]
            print(f"{shown[0]:>13}{shown[1]:>13}{shown[2]:>7}{row['difference']:12.1e}", flush=True)
    return rows


def _row(backend: str, count: int, found: dict[str, Any]) -> dict[str, Any]:
    (g, seconds, peak), (unrolled_g, unrolled_seconds, unrolled_peak) = (found[side] for side in SIDES)
    ratio = None if not peak or unrolled_peak is None else unrolled_peak / max(peak, 0.1)
    return {
        "backend": backend,
        "iterations": count,
        "implicit_s": seconds,
        "unrolled_s": unrolled_seconds,
        "time_ratio": unrolled_seconds / seconds,
        "implicit_MB": peak,
        "unrolled_MB": unrolled_peak,
        "memory_ratio": ratio,
        "difference": float(np.linalg.norm(g - unrolled_g) / np.linalg.norm(g)),
    }


def draw(rows: list[dict[str, Any]], path: Path, size: int) -> None:
    """Time and memory against iterations."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for panel, unit, title in zip(panels, ("s", "MB"), ("time [s]", "peak memory [MB]"), strict=True):
        for backend, colour in (("jax", "tab:blue"), ("torch", "tab:orange")):
            for side, style in zip(SIDES, ("-o", "--s"), strict=True):
                part = [row for row in rows if row["backend"] == backend and row[f"{side}_{unit}"]]
                counts, values = [row["iterations"] for row in part], [row[f"{side}_{unit}"] for row in part]
                panel.plot(counts, values, style, color=colour, label=f"{side}, {backend}", markersize=4)
        panel.set(xscale="log", yscale="log", xlabel="iterations", ylabel=title)
        panel.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    figure.suptitle(f"value and gradient through a fixed point, {size} unknowns")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20_000, help="unknowns")
    parser.add_argument("--iterations", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the rows and the settings here")
    parser.add_argument("--png", type=Path, help="write the figure here")
    given = parser.parse_args()
    rows = run(given.size, given.iterations, given.repeats)
    if given.json:
        settings = {"size": given.size, "repeats": given.repeats, "machine": platform.machine(), "rows": rows}
        given.json.write_text(json.dumps(settings, indent=1) + "\n")
    if given.png:
        draw(rows, given.png, given.size)


if __name__ == "__main__":
    main()
