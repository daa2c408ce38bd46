"""The passes: small pure functions plan -> plan, each leaving a one-line reason for every change.

They run in the order of `PASSES`. That compliance needs no adjoint solve is not written anywhere: it
follows from `symmetry` (K^T = K), `scalars` (a solve is linear in its right-hand side) and `sharing`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..plan import Plan
from .cuts import remove_detached
from .roots import watch_roots
from .scalars import pull_scalars
from .sharing import share
from .symmetry import use_symmetry

PASSES: tuple[Callable[[Plan], Plan], ...] = (remove_detached, use_symmetry, pull_scalars, share, watch_roots)
"""In this order; checked objects, not names."""


def run_passes(plan: Plan, passes: tuple[Callable[[Plan], Plan], ...] = PASSES) -> Plan:
    """Run all passes."""
    for one in passes:
        plan = one(plan)
    return plan


__all__ = ["PASSES", "pull_scalars", "remove_detached", "run_passes", "share", "use_symmetry", "watch_roots"]
