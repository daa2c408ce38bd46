"""Kill a run with SIGKILL at random moments, resume it, and compare the final design bit by bit.

    python tests/benchmarks/kill.py --kills 50

Every run is a child process that is forked from this one, so that nothing is compiled again; checkpoints are written in
every iteration, which makes it likely that a kill falls into the middle of writing one.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads of a pool do not survive a fork

import numpy as np

import tograph as tg
from tograph.optimizers import Checkpoints, Geometric, Stage, load_checkpoint
from tograph.problems import mbb


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    beam = mbb(nelx=18, nely=6)
    program = beam.workflow(radius=1.5, beta=tg.source("beta", default=1.0)).compile("torch")
    stages = [Stage(max_iter=25, method="mma"), Stage({"beta": Geometric(1.0, 8.0, every=8)}, max_iter=40)]

    def run(**more: Any) -> tg.Result:
        bound = ["volume <= 0.5"]
        return tg.optimize(program, beam.uniform(), minimize="compliance", subject_to=bound, stages=stages, **more)

    run()
    began = time.perf_counter()
    whole = run()
    seconds = time.perf_counter() - began
    chance = random.Random(options.seed)
    found = [one_kill(run, whole, chance.uniform(0.0, 1.1 * seconds)) for _ in range(options.kills)]
    good = sum(same for same, _ in found)
    where = ", ".join(str(number) for _, number in found)
    print(f"killed after iteration: {where} (of {whole.iterations})")
    print(f"{good} of {options.kills} resumed runs end with the identical design")
    return 0 if good == options.kills else 1


def one_kill(run: Any, whole: tg.Result, after: float) -> tuple[bool, int]:
    """Whether the design is the same to the last bit, and the iteration of the checkpoint that was found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint")
        child = os.fork()
        if child == 0:
            run(observers=[Checkpoints(path, share=1.0)])
            os._exit(0)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if not path.exists():
            return np.array_equal(run().design, whole.design), 0
        checkpoint = load_checkpoint(path)
        rest = run(resume=checkpoint)
    same = np.array_equal(rest.design, whole.design) and rest.iterations == whole.iterations
    return same and rest.values == whole.values, checkpoint.position.number


if __name__ == "__main__":
    sys.exit(main())
