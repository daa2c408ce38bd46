"""Pictures of the passes: the plan as differentiation left it, then after every pass that changed something."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from ..plan import Plan, Stage
from .executed import executed
from .model import Diagram


def stages(plan: Plan, *, detail: bool = True, dtype: str = "") -> Iterator[tuple[str, Diagram]]:
    """Names and diagrams, each picture the one before with the changes of one pass.

    Args:
        plan: after its passes.
        detail: every step in a box of its own; else one box per declared node.
        dtype: the precision it is compiled for.
    """
    first = plan.history[0].before if plan.history else plan
    made = executed(first, detail=detail, dtype=dtype)
    yield "differentiated", _titled(made, "before the passes", f"{first.counts['steps']} steps")
    for stage in plan.history:
        made = executed(stage.after, detail=detail, dtype=dtype)
        yield stage.name, _titled(made, f"after {stage.name}: {stage.reason}", *_counted(stage))


def _titled(diagram: Diagram, computes: str, *facts: str) -> Diagram:
    return attrs.evolve(diagram, header=attrs.evolve(diagram.header, computes=computes, facts=facts))


def _counted(stage: Stage) -> tuple[str, ...]:
    """What there is now, and how much more or less that is."""
    after = stage.after.counts
    named = {what: what[:-1] if after[what] == 1 else what for what in after}
    return tuple(f"{after[what]} {named[what]}" + (f" ({by:+d})" if by else "") for what, by in stage.counters.items())
