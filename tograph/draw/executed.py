"""Plan -> diagram: the program that runs, forward lane and derivative lane, and what the passes took away."""

from __future__ import annotations

from collections import defaultdict

from ..explain import readable_bytes, residuals
from ..plan import Plan
from . import marks, words
from .boxes import box
from .definitions import defined
from .flows import arrows as executed_arrows
from .legend import legend
from .model import Cluster, Diagram, Header
from .scene import Scene


def executed(plan: Plan, *, detail: bool = False, dtype: str = "") -> Diagram:
    """The diagram of a plan.

    Args:
        plan: what runs.
        detail: every primitive step in a box of its own, instead of one box per declared node.
        dtype: the precision it is compiled for; bytes are those of float64 if nothing is said.
    """
    scene = Scene(plan, detail, 4 if dtype == "float32" else 8)
    boxes = [box(scene, place) for place in scene.members]
    arrows = executed_arrows(scene)
    besides = [marks.ends, marks.no_paths, marks.cuts]
    if not detail:
        besides.append(marks.removed)
    for find in besides:
        some, others = find(scene)
        boxes += some
        arrows += others
    marks_used, operations = legend(boxes, arrows), defined(plan.graph.vertices)
    return Diagram(_header(scene, dtype), tuple(boxes), tuple(arrows), _clusters(scene), marks_used, operations)


def _header(scene: Scene, dtype: str) -> Header:
    plan = scene.plan
    request = plan.request
    view = {"value": "executed", "tangent": "tangent"}.get(request.mode, "reverse")
    return Header(
        graph=plan.graph.name,
        computes=words.computes(plan.graph, request.of, request.wrt, request.mode),
        view=view,
        hash=plan.graph.hash[:12],
        backend=plan.backend,
        dtype=dtype,
        facts=_facts(scene),
    )


def _facts(scene: Scene) -> tuple[str, ...]:
    """What one evaluation costs: the counts that `explain()` gives."""
    counts = [v.node.counts for v in scene.plan.order if v not in scene.once]
    factors, solves = counts.count("factorization"), counts.count("solve")
    facts = [f"{factors} factorization{'s' * (factors != 1)}, {solves} solve{'s' * (solves != 1)}"]
    if scene.plan.request.mode != "value":
        kept = sum(scene.spec(edge).nbytes(scene.real) for edge in residuals(scene.plan))
        facts.append(f"residuals {readable_bytes(kept)}")
    return tuple(facts)


def _clusters(scene: Scene) -> tuple[Cluster, ...]:
    """The user's clusters, in every lane."""
    paths: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for place in scene.members:
        lane, path = place.lane, place.origin.cluster
        for depth in range(1, len(path)):
            paths[lane, path[:depth]] += []
        if path:
            paths[lane, path].append(scene.id(place))
    return tuple(Cluster(path, tuple(boxes), lane) for (lane, path), boxes in sorted(paths.items()))
