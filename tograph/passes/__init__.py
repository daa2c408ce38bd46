"""The passes: small pure functions plan -> plan, each leaving a one-line reason for every change.

They run in the order of `PASSES`. That compliance needs no adjoint solve is not written anywhere: it
follows from `symmetry` (K^T = K), `scalars` (a solve is linear in its right-hand side) and `sharing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..backends.base import Backend
from ..plan import Plan, Stage
from .algebra import simplify
from .batching import batch_columns
from .compare import Comparison
from .cuts import remove_detached
from .linearity import merge_sums
from .rewrite import Pass
from .roots import watch_roots
from .scalars import pull_scalars
from .sharing import share
from .symmetry import use_symmetry
from .verify import PassError, verify

PASSES: tuple[Pass, ...] = (
    remove_detached,
    use_symmetry,
    simplify,
    pull_scalars,
    share,
    merge_sums,
    batch_columns,
    watch_roots,
)
"""In this order; checked objects, not names."""


def run_passes(
    plan: Plan, passes: Sequence[Callable[[Plan], Plan]] = PASSES, watch: Callable[[Stage], None] | None = None
) -> Plan:
    """Run passes one after the other.

    Args:
        plan: what differentiation made.
        passes: which ones.
        watch: is shown every stage as soon as it is there, e.g. `verify`, or a `Comparison` for its numbers.
    """
    for one in passes:
        made = one(plan)
        if watch is not None and made is not plan:
            watch(made.history[-1])
        plan = made
    return plan


def run_compared(plan: Plan, backend: Backend, passes: Sequence[Callable[[Plan], Plan]] = PASSES) -> Plan:
    """Run passes, and evaluate the plan before and after each of them on random numbers.

    Raises:
        PassError: a pass changed a result, or made an invalid plan; names it.
    """
    comparison = Comparison(backend)
    made = run_passes(plan, passes, comparison)
    comparison.require_equal()
    return made


__all__ = [
    "PASSES",
    "Comparison",
    "Pass",
    "PassError",
    "batch_columns",
    "merge_sums",
    "pull_scalars",
    "remove_detached",
    "run_compared",
    "run_passes",
    "share",
    "simplify",
    "use_symmetry",
    "verify",
    "watch_roots",
]
