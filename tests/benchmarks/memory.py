"""Memory and time of a neural field against depth, width and resolution: predicted, measured, within a quarter of it.

    python tests/benchmarks/memory.py --json memory.json --png memory.png

A network of dense layers and tanh is evaluated on a grid of coordinates; measured are value and gradient of a
scalar with respect to all weights. Predicted is `explain().peak_bytes`. Measured is, for PyTorch, the peak of the
resident set above its level before the call (Linux only), and for JAX what XLA sets aside besides arguments
(`memory_analysis` of the compiled program). With a budget of a quarter of the prediction, values are computed
again; where a quarter cannot be met, the smallest budget that can is taken. The time paid is the median ratio of
pairs of calls.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import re
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import tograph as tg
from tograph import nodes as n
from tograph.spec import array

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MB = 1e6
THRESHOLD = -3  # M_MMAP_THRESHOLD: what is larger goes back to the system when it is freed


def network(depth: int, resolution: int, width: int) -> tg.Graph:
    """The field and a scalar of it; weights are inputs."""
    ticks = np.linspace(-1.0, 1.0, resolution)
    y, x = np.meshgrid(ticks, ticks, indexing="ij")
    h, inputs, weights = tg.constant(np.stack([x, y], axis=-1), name="coordinates"), 2, []
    for i in range(depth + 1):
        outputs = width if i < depth else 1
        W, b = tg.source(f"W{i}", array("params", i=inputs, o=outputs)), tg.source(f"b{i}", array("params", o=outputs))
        h, inputs = n.Dense()(h, W, b, name=f"a{i}"), outputs
        h = n.Tanh()(h, name=f"h{i}") if i < depth else n.Sigmoid()(h, name="rho")
        weights += [W, b]
    return tg.Graph(weights, {"loss": n.Dot()(h, h)})


def make(graph: tg.Graph, backend: str, budget: int | None = None) -> Any:
    """Value and gradient; within the smallest budget that can be met if `budget` cannot."""
    try:
        return graph.compile(backend, dtype="float32", memory_budget=budget).value_and_grad("loss", graph.input_names)
    except tg.TographError as error:
        least = int(re.findall(r"and ([\d,]+) if", str(error))[0].replace(",", ""))
        return make(graph, backend, least)


def given(graph: tg.Graph, backend: str) -> dict[str, Any]:
    """Random weights as arrays of the backend."""
    rng = np.random.default_rng(0)
    shapes = {edge.vertex.node.name: edge.vertex.node.spec.shape for edge in graph.inputs}  # type: ignore[attr-defined]
    drawn = {name: rng.normal(size=shape) / shape[0] ** 0.5 for name, shape in shapes.items()}
    framework = graph.compile(backend, dtype="float32").backend
    with framework.scope():
        return {name: framework.array(value, "float32") for name, value in drawn.items()}


def seconds(function: Any, values: dict[str, Any]) -> float:
    """One call, waited for."""
    start = time.perf_counter()
    value, _ = function(**values)
    float(value)
    return time.perf_counter() - start


def measured(function: Any, values: dict[str, Any], backend: str) -> float | None:
    """Peak bytes of a call; see above."""
    if backend == "jax":
        return _set_aside(function, values)
    seconds(function, values)
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        RESET.write_text("5")
        before = _memory("VmRSS")
        seconds(function, values)
        return _memory("VmHWM") - before
    except OSError:
        return None


def _memory(key: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024.0


def _set_aside(function: Any, values: dict[str, Any]) -> float:
    """Temporaries and results of the compiled segments (they never run at once; here there is one)."""
    edges = {slot: edge for edge, slot in function.lowered.slots.items()}
    most = 0.0
    with function.backend.scope():
        for step in function.lowered.steps:
            if step.segment.where == "device" and not step.segment.once:
                specs = [function.plan.specs[edges[i].vertex][edges[i].index] for i in step.inputs]
                like = [function.backend.xp.zeros(spec.shape, dtype="float32") for spec in specs]
                found = step.run.lower(*like).compile().memory_analysis()
                most = max(most, found.temp_size_in_bytes + found.output_size_in_bytes)
    return most


def compare(depth: int, resolution: int, width: int, backend: str, repeats: int) -> dict[str, Any]:
    """One row: without and with a budget."""
    graph = network(depth, resolution, width)
    values = given(graph, backend)
    free = make(graph, backend)
    whole = free.explain().peak_bytes
    tight = make(graph, backend, whole // 4)
    row: dict[str, Any] = {"backend": backend, "depth": depth, "resolution": resolution, "width": width}
    for name, function in (("free", free), ("tight", tight)):
        row[f"{name} predicted"], row[f"{name} residuals"] = (
            function.explain().peak_bytes,
            function.explain().residual_bytes,
        )
        row[f"{name} measured"] = measured(function, values, backend)
    seconds(free, values), seconds(tight, values)
    times = [(seconds(free, values), seconds(tight, values)) for _ in range(repeats)]
    row["free s"], row["tight s"] = (statistics.median(column) for column in zip(*times, strict=True))
    row["time paid"] = statistics.median(b / a for a, b in times)
    row["again"] = sum(step["role"] == "rematerialised" for step in tight.explain().steps)
    return row


HEAD = (
    "backend",
    "depth",
    "width",
    "grid",
    "residual MB",
    "peak MB",
    "measured",
    "off",
    "tight MB",
    "measured",
    "part",
    "time",
)


def show(row: dict[str, Any]) -> str:
    """A line of the table."""
    cells = [row["backend"], row["depth"], row["width"], f"{row['resolution']}^2", f"{row['free residuals'] / MB:.1f}"]
    for name in ("free", "tight"):
        found, expected = row[f"{name} measured"], row[f"{name} predicted"]
        cells += [f"{expected / MB:.1f}", "-" if found is None else f"{found / MB:.1f}"]
        if name == "free":
            cells.append("-" if found is None else f"{expected / found - 1:+.1%}")
    cells += [f"{row['tight predicted'] / row['free predicted']:.2f}", f"{row['time paid']:.2f}"]
    return "".join(str(cell).rjust(12) for cell in cells)


def draw(rows: list[dict[str, Any]], path: Path, width: int, wide_at: Sequence[int]) -> None:
    """Peak (above) and seconds (below) against depth, a column for each backend, and against width for both."""
    figure = Figure(figsize=(12.5, 6.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 3, sharey="row", sharex="col")
    backends = sorted({row["backend"] for row in rows}, reverse=True)
    deep = [row for row in rows if row["width"] == width]
    for column, backend in zip(panels.T, backends, strict=False):
        column[0].set_title(f"{backend}, {width} units a layer")
        for i, resolution in enumerate(sorted({row["resolution"] for row in deep})):
            mine = [row for row in deep if (row["backend"], row["resolution"]) == (backend, resolution)]
            _lines(column, mine, "depth", f"C{i}", f"{resolution}²")
    depth, resolution = wide_at
    wide = [row for row in rows if (row["depth"], row["resolution"]) == (depth, resolution)]
    panels[0, 2].set_title(f"{depth} layers, {resolution}² points")
    for i, backend in enumerate(backends):
        _lines(panels[:, 2], [row for row in wide if row["backend"] == backend], "width", f"C{i + 5}", backend)
    panels[0, 0].set_ylabel("peak [MB]")
    panels[1, 0].set_ylabel("seconds")
    for panel, label in zip(panels[1], ("layers", "layers", "units a layer"), strict=True):
        panel.set_xlabel(label)
    panels[1, 1].legend(frameon=False, fontsize=8)
    panels[1, 2].legend(frameon=False, fontsize=8)
    figure.suptitle(
        "value and gradient of a neural field; dashed: within a quarter of the memory, or the least; "
        "peak: lines predicted, dots measured"
    )
    figure.savefig(path, dpi=110)


def _lines(column: Any, rows: list[dict[str, Any]], against: str, colour: str, label: str) -> None:
    rows = sorted(rows, key=lambda row: row[against])
    at = [row[against] for row in rows]
    for name, style in (("free", "-"), ("tight", "--")):
        column[0].plot(at, [row[f"{name} predicted"] / MB for row in rows], style, color=colour)
        found = [(row[against], row[f"{name} measured"] / MB) for row in rows if row[f"{name} measured"]]
        column[0].plot(*zip(*found, strict=True), "o", color=colour, markersize=4)
        said = label if name == "free" else None
        column[1].plot(
            at, [row[f"{name} s"] for row in rows], style, color=colour, marker="o", markersize=4, label=said
        )
    for panel in column:
        panel.set(xscale="log", yscale="log")
        panel.set_xticks(at, labels=[str(x) for x in at])
        panel.minorticks_off()
        panel.grid(alpha=0.3)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--width", type=int, default=32, help="units of a layer")
    parser.add_argument("--widths", type=int, nargs="*", default=[8, 16, 64, 128], help="further ones, at --wide-at")
    parser.add_argument("--wide-at", type=int, nargs=2, default=[8, 256], metavar=("DEPTH", "RESOLUTION"))
    parser.add_argument("--backends", nargs="+", default=["torch", "jax"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the rows and the settings here")
    parser.add_argument("--png", type=Path, help="write the figure here")
    asked = parser.parse_args()
    if platform.system() == "Linux":
        ctypes.CDLL("libc.so.6").mallopt(THRESHOLD, 1 << 16)
    print("".join(name.rjust(12) for name in HEAD))
    rows = []
    sizes = [(depth, resolution, asked.width) for resolution in asked.resolutions for depth in asked.depths]
    sizes += [(*asked.wide_at, width) for width in asked.widths]
    for backend in asked.backends:
        for depth, resolution, width in sizes:
            rows.append(compare(depth, resolution, width, backend, asked.repeats))
            print(show(rows[-1]), flush=True)
    if asked.json:
        settings = {"width": asked.width, "repeats": asked.repeats, "machine": platform.machine(), "rows": rows}
        asked.json.write_text(json.dumps(settings, indent=1) + "\n")
    if asked.png:
        draw(rows, asked.png, asked.width, asked.wide_at)


if __name__ == "__main__":
    main()
