"""What a program does and why, in words and numbers, before it is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from .again import ROLE
from .batching import Each
from .declare import Source
from .derivative import Jvp, Vjp
from .edge import Edge, Vertex
from .node import Constant
from .plan import Plan

if TYPE_CHECKING:
    from .compiled import Function

DERIVED = ("reverse", "seed", "accumulate", "tangent")
"""Roles of the vertices that differentiation added."""


@attrs.frozen
class Explanation:
    """The plan of one request in numbers.

    Attributes:
        computes: what is asked for, e.g. `value and gradient of compliance with respect to rho`.
        factorizations: matrix factorisations per evaluation.
        solves: calls of a factor per evaluation.
        right_hand_sides: right-hand sides solved for per evaluation, all calls together.
        naive: the same counts, and the steps, as differentiation left them, before the passes.
        flops: floating-point operations per evaluation, estimated step by step (see `Node.flops`).
        residual_bytes: bytes of computed values that the forward pass keeps for the derivative
            (without inputs, constants, and what a solver keeps inside its factor).
        peak_bytes: predicted bytes of all computed values that are alive at the worst moment of a call
            (without inputs, constants, and what a solver keeps inside its factor).
        peak_at: the step at which that is, and the bytes of what it takes and gives, below which no budget can be met.
        steps: one row per vertex, in the order of execution.
        rules: one row per vertex and input that was differentiated: which rule was taken.
        methods: one row per step whose method was picked by tograph among several: which one, and why.
        hoisted: what is computed on the first call only, since it does not depend on the inputs.
        passes: one row per change made by a pass, with its reason.
        stages: one row per pass that changed something, with what it added (or, below zero, took away).
        savings: a sentence for everything that is not computed, or not so often.
        no_path: derivatives that do not exist, with the reason.
    """

    computes: str
    backend: str
    dtype: str
    graph: str
    factorizations: int
    solves: int
    right_hand_sides: int
    naive: dict[str, int]
    flops: int
    residual_bytes: int
    peak_bytes: int
    peak_at: str
    steps: tuple[dict[str, Any], ...]
    rules: tuple[dict[str, Any], ...]
    methods: tuple[dict[str, Any], ...]
    hoisted: tuple[str, ...]
    passes: tuple[dict[str, Any], ...]
    stages: tuple[dict[str, Any], ...]
    savings: tuple[str, ...]
    no_path: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return attrs.asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{self.computes}   [{self.backend}, {self.dtype}, graph {self.graph[:12]}]",
            f"  factorizations {self.factorizations}, solves {self.solves}, right-hand sides {self.right_hand_sides}, "
            f"residuals {readable_bytes(self.residual_bytes)}, peak {readable_bytes(self.peak_bytes)}",
            f"  without passes: factorizations {self.naive['factorizations']}, solves {self.naive['solves']}, "
            f"right-hand sides {self.naive['right-hand sides']}, steps {self.naive['steps']}",
            f"  about {readable_count(self.flops)} floating-point operations per evaluation",
            "",
            *_table("steps", self.steps, ("segment", "name", "operation", "role", "output")),
            *_table("rules", self.rules, ("node", "port", "operation", "rule", "declared")),
            *_table("methods", self.methods, ("node", "method", "reason")),
            *_table("passes", self.passes, ("by", "reason")),
            *_list("savings", self.savings),
            *_table("no derivative", self.no_path, ("of", "wrt", "word", "reason")),
        ]
        return "\n".join(lines).rstrip()


def explain(function: Function) -> Explanation:
    """Explain one compiled request."""
    plan, schedule = function.plan, function.schedule
    where = {v: f"{'once' if s.once else s.where} {i}" for i, s in enumerate(schedule.segments) for v in s.vertices}
    running = [v for s in schedule.segments if not s.once for v in s.vertices]
    once = [v for s in schedule.segments if s.once for v in s.vertices]
    solves = [v for v in running if v.node.counts == "solve"]
    real, most = function.backend.real, function.peak()
    return Explanation(
        computes=str(plan.request),
        backend=plan.backend,
        dtype=function.backend.dtype,
        graph=plan.graph.hash,
        factorizations=sum(v.node.times for v in running if v.node.counts == "factorization"),
        solves=sum(v.node.times for v in solves),
        right_hand_sides=sum(_cases(v, plan) for v in solves),
        naive=(plan.history[0].before if plan.history else plan).counts,
        flops=sum(_flops(v, plan) for v in running),
        residual_bytes=sum(plan.specs[e.vertex][e.index].nbytes(real) for e in residuals(plan)),
        peak_bytes=most.bytes,
        peak_at=f"{most.at.node.title} of {most.at.origin.name}, {readable_bytes(most.own)}" if most.at else "",
        steps=tuple(_step(v, where[v], plan) for s in schedule.segments for v in s.vertices),
        rules=tuple(_rule(used) for used in plan.used),
        methods=tuple(_methods((*once, *running))),
        hoisted=tuple(_named(v) for v in once),
        passes=tuple({"by": c.by, "reason": c.reason} for c in plan.changes),
        stages=tuple({"name": s.name, "reason": s.reason, **s.counters} for s in plan.history),
        savings=_savings(plan, once),
        no_path=tuple({"of": k[0], "wrt": k[1], "word": v.word, "reason": v.reason} for k, v in plan.no_path.items()),
    )


SAVES = ("sharing", "linearity", "batching")
"""The passes whose every change saves work."""


def _savings(plan: Plan, once: list[Vertex]) -> tuple[str, ...]:
    """What is not computed, or not so often, and why; copies of constants are not worth a sentence."""
    saved = [c for c in plan.changes if c.by in SAVES and not (c.removed and isinstance(c.removed.node, Constant))]
    names = ", ".join(dict.fromkeys(map(_named, once)))
    hoisted = (f"computed on the first call only, since they do not depend on the inputs: {names}",) if once else ()
    return tuple(dict.fromkeys((*(c.reason for c in saved), *hoisted, *_not_kept(plan))))


def _not_kept(plan: Plan) -> Iterator[str]:
    """A sentence per equation that is differentiated: memory does not grow with what it took to solve it."""
    for vertex in (used.vertex for used in plan.used if used.how == "implicit"):
        if vertex.origin.role == "forward":
            steps = getattr(getattr(vertex.node, "solver", None), "steps", 1)
            which = f", {steps} load steps or one" if steps > 1 else ""
            yield f"{vertex.origin.name} is differentiated at its solution: nothing of its iteration is kept{which}"


def _flops(vertex: Vertex, plan: Plan) -> int:
    inputs = tuple(plan.specs[edge.vertex][edge.index] for edge in vertex.edges)
    node = vertex.node.of if isinstance(vertex.node, Vjp | Jvp) else vertex.node
    return node.flops(inputs, plan.specs[vertex])


def residuals(plan: Plan) -> list[Edge]:
    """The computed values that the forward pass keeps for the derivative."""
    kept: dict[Edge, None] = {}
    for vertex in plan.order:
        if vertex.origin.role in (*DERIVED, ROLE):
            for edge in vertex.edges:
                made_by = edge.vertex
                if made_by.origin.role == "forward" and not isinstance(made_by.node, Source | Constant):
                    kept[edge] = None
    return [edge for edge in kept if plan.specs[edge.vertex][edge.index].kind != "factor"]


def _named(vertex: Vertex) -> str:
    return vertex.origin.name + (f".{vertex.origin.part}" if vertex.origin.part else "")


def _cases(vertex: Vertex, plan: Plan) -> int:
    """Right-hand sides of one solve: the columns of its result, for every member of a batch."""
    shape = plan.specs[vertex][0].shape[isinstance(vertex.node, Each) :]
    return vertex.node.times * (shape[1] if len(shape) > 1 else 1)


def _step(vertex: Vertex, segment: str, plan: Plan) -> dict[str, Any]:
    how = vertex.node.how if isinstance(vertex.node, Vjp | Jvp) else ""
    return {
        "segment": segment,
        "name": _named(vertex),
        "operation": vertex.node.title,
        "role": " ".join(part for part in (vertex.origin.role, how) if part),
        "output": ", ".join(spec.label() for spec in plan.specs[vertex]),
        "flops": _flops(vertex, plan),
    }


def _rule(used: Any) -> dict[str, Any]:
    return {
        "node": used.vertex.origin.name,
        "port": used.port,
        "operation": used.vertex.node.title,
        "rule": used.how,
        "exact": used.rule.exact if used.rule else True,
        "rule_at": str(used.rule.where) if used.rule else "",
        "declared": str(used.vertex.origin.where),
    }


def _methods(vertices: Iterable[Vertex]) -> Iterator[dict[str, Any]]:
    for vertex in vertices:
        if (chosen := vertex.node.chosen()) is not None:
            yield {"node": vertex.origin.name, "method": chosen[0], "reason": chosen[1]}


def _list(title: str, lines: tuple[str, ...]) -> list[str]:
    return [title, *(f"  {line}" for line in lines), ""] if lines else []


def _table(title: str, rows: tuple[dict[str, Any], ...], columns: tuple[str, ...]) -> list[str]:
    if not rows:
        return []
    cells = [[str(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in (*cells, list(columns))) for i in range(len(columns))]
    body = ["  " + "  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    head = "  " + "  ".join(name.ljust(w) for name, w in zip(columns, widths, strict=True)).rstrip()
    return [title, head, *body, ""]


def readable_bytes(count: int) -> str:
    """Bytes in a readable unit: `9.6 kB`."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def readable_count(count: int) -> str:
    """A large number with two digits: `1.2 million`."""
    value = float(count)
    for unit in ("", " thousand", " million"):
        if value < 1000:
            return f"{value:.2g}{unit}" if value < 100 else f"{value:.0f}{unit}"
        value /= 1000
    return f"{value:.3g} billion"
