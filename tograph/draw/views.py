"""The views of a graph, a program or a plan: which diagrams there are, and which plan each is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs

from ..compiled import Function
from ..errors import GraphError, TographError
from ..graph import Graph
from ..passes import run_passes
from ..plan import Plan, Request
from ..planning import make_plan
from ..program import Program
from ..validate import findings
from .beside import beside
from .declared import declared
from .executed import executed
from .frame import Frame
from .joint import joint
from .measured import Report, checked, frame, laid_over
from .model import Diagram
from .page import View
from .stages import stages

VIEWS = ("forward", "executed", "reverse", "tangent", "joint")
What = Graph | Program | Function | Plan | Report | Sequence[Report] | Mapping[str, Report]
STEPS = 400
"""Steps up to which the page of a plan also has the other mode and the passes."""


def is_report(what: Any) -> bool:
    """Whether it is a `GradientReport`: a plan with what was measured in it."""
    return hasattr(what, "overlay") and hasattr(what, "plan")


@attrs.frozen(slots=False)
class Asked:
    """What is to be drawn: see `draw` for the fields."""

    what: What
    of: tuple[str, ...] = ()
    wrt: tuple[str, ...] = ()
    view: str | None = None
    backend: str = "jax"
    detail: bool = False
    overlay: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @cached_property
    def runs(self) -> dict[str, Report]:
        """The reports to be drawn, by label; several of them must be of one program."""
        what = self.what
        if isinstance(what, Mapping):
            return dict(what)
        reports = what if isinstance(what, list | tuple) else (what,) if is_report(what) else ()
        if any(len(report.plan.order) != len(reports[0].plan.order) for report in reports):
            raise TographError("these reports are of different programs. Give a dict of them to see two side by side")
        labels = self.labels or [str(i) if len(reports) > 1 else "" for i in range(len(reports))]
        return dict(zip(labels, reports, strict=True))

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """What was measured in those runs."""
        return tuple(frame(report, label, self.overlay) for label, report in self.runs.items())

    @property
    def chosen(self) -> str:
        """The view.

        Raises:
            TographError: there is no such view, or it needs names that are missing.
        """
        chosen = self.view or ("reverse" if self.of or self.wrt else "forward")
        if chosen not in VIEWS:
            raise TographError(f"there is no view {chosen!r}. Known: {', '.join(VIEWS)}")
        if chosen in ("reverse", "tangent", "joint") and not (self.of and self.wrt):
            missing = [name for name, given in (("of", self.of), ("wrt", self.wrt)) if not given]
            which = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            raise TographError(f"the {chosen} pass needs both `of` (outputs) and `wrt` (inputs): {which}")
        return chosen

    def plan(self) -> tuple[Plan, str]:
        """What is to be drawn, after its passes, and its precision if it has one."""
        if self.runs:
            first = next(iter(self.runs.values()))
            return first.plan, first.dtype
        if isinstance(self.what, Function):
            return self.what.plan, self.what.backend.dtype
        if isinstance(self.what, Plan):
            return self.what, ""
        program = self.what if isinstance(self.what, Program) else None
        graph = program.graph if program else self.what
        assert isinstance(graph, Graph)
        mode = {"forward": "value", "executed": "value", "joint": "reverse"}.get(self.chosen, self.chosen)
        request = Request(self.of or tuple(graph.outputs), self.wrt if mode != "value" else (), mode)
        made = run_passes(make_plan(graph, request, program.backend.name if program else self.backend))
        return made, program.dtype if program else ""

    def diagram(self) -> Diagram:
        """The diagram of the view."""
        what = self.what
        if isinstance(what, Graph | Program) and self.chosen == "forward" and not self.detail:
            return declared(what) if isinstance(what, Graph) else declared(what.graph, what.backend.name, what.dtype)
        if isinstance(what, Mapping):
            return beside(self.runs, detail=self.detail)
        plan, dtype = self.plan()
        made = attrs.evolve(executed(plan, detail=self.detail, dtype=dtype), frames=self.frames)
        return joint(made) if self.view == "joint" else made

    def shown(self) -> Diagram:
        """The diagram with what was measured on it."""
        made = self.diagram()
        return laid_over(made, checked(made.frames, self.overlay))

    def views(self) -> Iterator[View]:
        """All views of a page: as declared, as it runs, and, unless it is long, the other mode and the passes.

        A graph with errors has one view, which says so.
        """
        if isinstance(self.what, Graph) and findings(self.what):
            yield View("forward", declared(self.what))
            return
        if isinstance(self.what, Mapping):
            yield View("side by side", self.diagram())
            for name, report in self.runs.items():
                made = executed(report.plan, detail=self.detail, dtype=report.dtype)
                yield View(name, attrs.evolve(made, frames=(frame(report),)))
            return
        plan, dtype = self.plan()
        backend = plan.backend if dtype else ""
        yield View("forward", declared(plan.graph, backend, dtype))
        made = attrs.evolve(executed(plan, detail=self.detail, dtype=dtype), frames=self.frames)
        yield View(made.header.view, made)
        if made.header.view == "reverse":
            yield View("joint", joint(made))
        if len(plan.order) > STEPS:
            return
        if plan.request.mode == "reverse":
            tangent = self._tangent(plan)
            yield from [View("tangent", executed(tangent, detail=self.detail, dtype=dtype))] if tangent else []
        for name, diagram in stages(plan, detail=self.detail, dtype=dtype):
            yield View("passes", diagram, name)

    def _tangent(self, plan: Plan) -> Plan | None:
        """The same derivative in the other mode; None where a node has no rule for it."""
        request = attrs.evolve(plan.request, mode="tangent", wrt=plan.request.wrt[:1], also=())
        try:
            return run_passes(make_plan(plan.graph, request, plan.backend))
        except GraphError:
            return None
