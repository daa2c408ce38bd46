"""Contestants in processes of their own, so that nobody's memory, threads or caches count for another."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def alone(
    command: Sequence[str], needed: Sequence[str], limit: float, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON that a command prints as its last line, or why there is none: "absent" packages, or "failed"."""
    missing = [module for module in needed if importlib.util.find_spec(module) is None]
    if missing:
        return {"absent": f"{', '.join(missing)} not installed"}
    every = os.environ | dict(environment or {})
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=every, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {limit} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:160]}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def peak_memory() -> float:
    """KiB. Not `getrusage`, which counts what the parent had when it forked."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
