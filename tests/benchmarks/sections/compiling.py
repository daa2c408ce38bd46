"""Seconds before the first result: of Python, of the frameworks, and in a second process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import tograph as tg
from tograph import nodes as n
from tograph.graph import Graph
from tograph.passes import run_passes
from tograph.plan import Request
from tograph.planning import make_plan
from tograph.problems import mbb
from tograph.schedule import make_schedule

Row = dict[str, Any]

KINDS = (
    lambda x, a: n.Heaviside(beta=0.1 + 0.1 * a)(x),
    lambda x, a: n.Simp(p=1.0 + 0.001 * a)(x),
    lambda x, a: n.Ramp(q=0.001 + 0.001 * a)(x),
    lambda x, a: n.Heaviside(beta=0.2 + 0.1 * a, eta=0.4)(x),
    lambda x, a: n.Ramp(q=0.002 + 0.001 * a)(x),
)
CHAINS: dict[str, Callable[[int, Any], tuple[int, float]]] = {
    "one node repeated": lambda i, rng: (0, 0.5),
    "5 kinds in turn": lambda i, rng: (i % 5, 0.5),
    "other parameters": lambda i, rng: (0, rng.uniform()),
    "5 kinds in random order": lambda i, rng: (int(rng.integers(5)), 0.5),
    "random, other parameters": lambda i, rng: (int(rng.integers(5)), rng.uniform()),
}
"""Name -> which of `KINDS` node i of a chain is, and its parameter."""


def chain(length: int, name: str, *, branching: bool = False) -> Graph:
    """x_(i+1) = node_i(x_i), or node_i(x_i) x_0 if branching, on a field of 8 x 4; the sum of squares of the last."""
    rng = np.random.default_rng(0)
    x = y = tg.source("x", n.Grid(8, 4).field())
    for i in range(length):
        kind, a = CHAINS[name](i, rng)
        y = KINDS[kind](y, a) * x if branching else KINDS[kind](y, a)
    return tg.Graph([x], {"c": n.Dot()(y, y)})


def compile_time(repeats: int) -> Iterator[Row]:
    """One row per graph: processor seconds to the first result, and milliseconds of every further one."""
    x = np.random.default_rng(0).uniform(0.2, 0.8, (4, 8))
    chain(3, "5 kinds in turn").compile("jax").value_and_grad("c", "x")(x)  # what JAX does once in a process
    cases: dict[str, tuple[Graph, str, np.ndarray]] = {name: (chain(1000, name), "c", x) for name in CHAINS}
    beam = mbb(nelx=60, nely=20)
    cases["mbb 60x20"] = (beam.workflow(), "compliance", np.full(beam.grid.shape, 0.5))
    for name, (graph, of, start) in cases.items():
        seconds, function = _seconds(partial(_compiled, graph, of))
        first, _ = _seconds(partial(function, start))
        later = [clock(partial(function, start)) for _ in range(repeats)]
        lines = function.source().count("\n")
        yield {"graph": name, "compile_s": seconds + first, "run_ms": 1e3 * statistics.median(later), "lines": lines}


def _compiled(graph: Graph, of: str) -> Any:
    return graph.compile("jax").value_and_grad(of, graph.input_names[0])


RESTART = """
import sys, time, numpy as np, tograph as tg
from tograph.problems import mbb
tg.compilation_cache(sys.argv[1])
beam = mbb(nelx=60, nely=20)
import jax
jax.numpy.zeros(3).block_until_ready()
start = time.process_time()
beam.workflow().compile("jax").value_and_grad("compliance", "rho")(np.full(beam.grid.shape, 0.5))
print(time.process_time() - start)
"""


def restart(repeats: int) -> Iterator[Row]:
    """The first process with a folder, and the second."""
    with tempfile.TemporaryDirectory() as folder:
        for process in ("first", "second"):
            done = subprocess.run([sys.executable, "-c", RESTART, folder], capture_output=True, text=True, check=True)
            yield {"process": process, "first_result_s": float(done.stdout)}


def python_side(repeats: int) -> Iterator[Row]:
    """One row per graph: what happens before a framework is asked."""
    for length, branching in ((1000, False), (10_000, False), (1000, True), (4000, True)):
        declare, graph = _seconds(partial(chain, length, "other parameters", branching=branching))
        validate, _ = _seconds(graph.validate)
        plan_s, plan = _seconds(partial(make_plan, graph, Request(("c",), ("x",), "reverse"), "jax"))
        passes, plan = _seconds(partial(run_passes, plan))
        schedule, _ = _seconds(partial(make_schedule, plan, graph.inputs))
        yield {
            "graph": f"{length} nodes{', branching' if branching else ''}",
            "declare_s": declare,
            "validate_s": validate,
            "differentiate_s": plan_s,
            "passes_s": passes,
            "schedule_s": schedule,
        }


def _seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    made = run()
    return time.process_time() - start, made


def clock(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
