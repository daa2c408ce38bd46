"""What the loop and its observers cost, beside the evaluations and the method.

    python tests/benchmarks/loop.py --nelx 300 --nely 100 --iterations 20

Prints wall seconds per iteration, without the first one (which compiles): evaluation of values and gradients, the step
of the method, and the rest: loop, history, checkpoints.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import tograph as tg
from tograph.optimizers import METHODS, Checkpoints, Formulation, HistoryLines
from tograph.problems import mbb


class Stopwatch:
    """Adds up the seconds spent in a function, per call."""

    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, list[float]()

    def __call__(self, *args: Any) -> Any:
        began = time.perf_counter()
        made = self.function(*args)
        self.calls.append(time.perf_counter() - began)
        return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nelx", type=int, default=300)
    parser.add_argument("--nely", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--backend", default="jax")
    parser.add_argument("--method", default="mma")
    options = parser.parse_args()
    beam = mbb(options.nelx, options.nely)
    program = beam.workflow(radius=2.4).compile(options.backend)
    kind = type(METHODS[options.method]())
    evaluate, step = Stopwatch(Formulation.evaluate), Stopwatch(kind.step)
    Formulation.evaluate = lambda *args: evaluate(*args)  # type: ignore[method-assign]
    kind.step = lambda *args: step(*args)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        result = tg.optimize(
            program,
            beam.uniform(),
            minimize="compliance",
            subject_to=["volume <= 0.5"],
            method=options.method,
            max_iter=options.iterations,
            tol=0.0,
            observers=[Checkpoints(Path(folder, "c")), HistoryLines(Path(folder, "history.jsonl"))],
        )
    ends = np.diff([row["seconds"] for row in result.history])
    # Between the ends of iterations k and k + 1: observers of k, then evaluation and step of k + 1.
    rest = ends - np.array(evaluate.calls[1:]) - np.array(step.calls[1:])
    of = float(np.sum(evaluate.calls[1:]))
    print(f"{options.nelx} x {options.nely}, {options.backend}, {options.method}, {len(ends)} iterations")
    print(f"evaluation {of / len(ends):.4f} s, method {np.sum(step.calls[1:]) / len(ends):.4f} s")
    print(f"loop and observers {rest.mean():.5f} s: {100 * rest.sum() / of:.2f} % of the evaluation")


if __name__ == "__main__":
    main()
