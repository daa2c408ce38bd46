"""What makes a run this run: two with the same identity take the same steps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from .formulation import Formulation
from .stage import Stage
from .variables import Floats


def identity_of(problem: Formulation, stages: Sequence[Stage], start: Floats) -> dict[str, str]:
    """By name, in words or as hashes."""
    program = problem.program
    return {
        "graph": program.graph.hash,
        "backend": program.backend.name,
        "precision": program.dtype,
        "objective": problem.minimize,
        "constraints": ", ".join(f"{c.name} {c.sense} {c.bound!r}" for c in problem.constraints) or "none",
        "design": ", ".join(problem.variables.names),
        "start": said(start),
        "stages": "; ".join(said(stage) for stage in stages),
    }


def said(value: Any) -> str:
    """Numbers in full, arrays as a hash, values by their fields; of anything else only the type."""
    if isinstance(value, np.ndarray):
        return f"{value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:12]}"
    if attrs.has(type(value)):
        fields = ", ".join(f"{f.name}={said(getattr(value, f.name))}" for f in attrs.fields(type(value)))
        return f"{type(value).__name__}({fields})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {said(item)}' for name, item in value.items())}}}"
    return repr(value) if value is None or isinstance(value, bool | int | float | str) else type(value).__name__
