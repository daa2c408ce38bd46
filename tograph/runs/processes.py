"""Jobs on processes of this machine: one each per core, and a new one where one was lost."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .job import Job

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
"""A process each per core needs no threads of its own; what the environment says already stays."""
LOG = "workers.log"
Ready = tuple[Job, dict[str, Any] | None]
"""A job and its row; None if it lost its workers."""


class LostWorker(Exception):
    """A worker process ended without an answer: killed, out of memory, or crashed."""


class Worker:
    """A process that carries out one job after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tograph.runs.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**ONE_THREAD, **os.environ},
                start_new_session=True,  # an interrupt of the terminal is for the sweep, which ends its workers
            )

    def carry_out(self, job: Job) -> dict[str, Any]:
        """The row of a job.

        Raises:
            LostWorker: the process is gone.
        """
        asked = {"job": job.plain(), "folder": str(self.folder), "key": job.key}
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise LostWorker from error
        line = self.process.stdout.readline()
        if not line.endswith("\n"):
            raise LostWorker
        row: dict[str, Any] = json.loads(line)
        return row

    def close(self) -> None:
        """End the process, wherever it is; the next sweep goes on from the last checkpoint."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()


def rows_of(jobs: Sequence[Job], folder: Path, count: int, retries: int) -> Iterator[Ready]:
    """Every job with its row, as soon as it is ready; None for one that lost more than `retries` workers."""
    todo = deque((job, 0) for job in jobs)
    ready: queue.SimpleQueue[Ready] = queue.SimpleQueue()
    workers: dict[int, Worker] = {}
    over = threading.Event()

    def serve(number: int) -> None:
        while not over.is_set():
            try:
                job, lost = todo.popleft()
            except IndexError:
                return
            if number not in workers:
                workers[number] = Worker(folder)
            try:
                ready.put((job, workers[number].carry_out(job)))
            except LostWorker:
                workers.pop(number).close()
                if lost < retries:
                    todo.append((job, lost + 1))
                else:
                    ready.put((job, None))

    for number in range(min(count, len(jobs))):
        threading.Thread(target=serve, args=(number,), daemon=True).start()
    try:
        for _ in jobs:
            yield ready.get()
    finally:
        over.set()
        for worker in list(workers.values()):
            worker.close()
