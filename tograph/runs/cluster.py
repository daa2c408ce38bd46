"""Jobs on a Dask cluster: its workers see the folder of the sweep under the same path, and have tograph installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tograph.errors import TographError

from . import standard as standard
from .carry_out import carry_out
from .job import Job
from .processes import Ready


def rows_on_cluster(jobs: Sequence[Job], folder: Path, address: str, retries: int) -> Iterator[Ready]:
    """Every job with its row, as `processes.rows_of`, computed on the cluster of a scheduler.

    Dask itself gives the jobs of a lost worker to another one. A job that keeps losing its workers ends as None.

    Raises:
        TographError: `distributed` is not installed, or no scheduler answers at the address.
    """
    dask = _distributed()
    try:
        client = dask.Client(address, timeout="20s")
    except (OSError, ValueError, TimeoutError) as error:
        raise TographError(f"no Dask scheduler answers at {address!r}: {error}") from error
    with client:
        asked = {}
        for job in jobs:
            name = f"tograph-{job.key}"
            future = client.submit(_served, job.plain(), str(folder), job.key, key=name, retries=retries, pure=False)
            asked[future] = job
        for future in dask.as_completed(list(asked)):
            yield asked[future], _row(dask, future)


def _served(job: dict[str, Any], folder: str, key: str) -> dict[str, Any]:
    return carry_out(Job(**job), Path(folder), key)


def _row(dask: Any, future: Any) -> dict[str, Any] | None:
    error = future.exception()
    if error is None:
        row: dict[str, Any] = future.result()
        return row
    if isinstance(error, dask.KilledWorker):
        return None
    raise error


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise TographError(
            "a sweep on a cluster needs Dask, which is not installed. Install it: pip install 'tograph[cluster]'"
        ) from None
