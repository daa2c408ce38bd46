"""What can be said about a derivative before it is made: unknown names, missing rules, integers on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from . import rules as table
from .declare import Source
from .differentiate import Rules, cut
from .edge import Edge, Origin, Vertex, made_for
from .errors import Finding, RuleError, a, did_you_mean
from .expand import Block
from .graph import Graph, topological
from .node import Constant, Node
from .spec import Spec
from .validate import all_specs

Specs = Mapping[Vertex, tuple[Spec, ...]]

HIDDEN = 8
"""A path with more names than this is shown by its beginning and its end."""


def request_findings(graph: Graph, of: Iterable[str], wrt: Iterable[str], mode: str) -> Iterator[Finding]:
    """What is wrong with the names and kinds of what is asked for. `graph` must be valid."""
    specs = all_specs(list(graph.outputs.values()))
    for name in of:
        if name not in graph.outputs:
            yield Finding(f"there is no output {name!r}", fix=did_you_mean(name, graph.outputs))
            continue
        edge = graph.outputs[name]
        spec = specs[edge.vertex][edge.index]
        if mode in ("reverse", "hvp") and spec.kind != "scalar":
            fix = "Reduce it to a scalar, e.g. with `Sum` or `Dot`"
            message = f"output {name!r} is {a(spec.label())}: only a scalar has a gradient"
            yield Finding(message, graph.names[edge.vertex], where=edge.vertex.origin.where, fix=fix)
    for name in wrt:
        if name not in graph.input_names:
            inner = name in graph.names.values()
            fix = "It is a node, and derivatives are with respect to inputs. " if inner else ""
            yield Finding(f"there is no input {name!r}", fix=fix + did_you_mean(name, graph.input_names))
            continue
        vertex = graph.input(name).vertex
        if isinstance(vertex.node, Source) and not vertex.node.spec.differentiable:
            message = "integers are not differentiated, but a derivative with respect to this input was asked for"
            yield Finding(message, name, where=vertex.origin.where, fix="Declare it as real numbers, or leave it out")


RULES = {
    "reverse": ("vjp",),
    "vjp": ("vjp",),
    "tangent": ("jvp",),
    "hvp": ("vjp", "jvp"),
    "jacobian reverse": ("vjp",),
    "jacobian forward": ("jvp",),
}
"""The rules that a mode of `plan.Request` needs."""


def program_findings(
    of: Mapping[str, Edge], wrt: Mapping[str, Edge], specs: Specs, mode: str, backend: str
) -> list[Finding]:
    """What keeps the primitive nodes behind `of` from being computed and differentiated on this backend."""
    found = [*missing_implementations(specs, backend), *nothing_to_solve(specs)]
    if mode == "value":
        return found
    paths = find_paths(of, wrt.values(), specs)
    found += integers_on(paths)
    for rule in RULES[mode]:
        found += missing_rules(paths, rule, backend)
    return found


@attrs.frozen(eq=False)
class Paths:
    """The vertices on differentiable paths from inputs to outputs, over primitive nodes.

    Attributes:
        specs: the specs of everything.
        before: vertex -> the next vertex on the way back to an input asked for.
        after: vertex -> the next vertex on the way to an output asked for.
        ends: the vertex of an output -> the name of that output.
    """

    specs: Specs
    before: Mapping[Vertex, Vertex | None]
    after: Mapping[Vertex, Vertex | None]
    ends: Mapping[Vertex, str]

    def links(self) -> Iterator[tuple[Vertex, str, Edge]]:
        """Every input that lies on a path: the vertex, its port, and the edge that ends there."""
        for vertex in self.before:
            if vertex in self.after:
                felt = [(port, edge) for port, edge in vertex.inputs if cut(vertex, port) is None]
                yield from ((vertex, port, edge) for port, edge in felt if edge.vertex in self.before)

    def through(self, vertex: Vertex, edge: Edge) -> str:
        """The path through one input, in the user's names: `rho -> rho_f -> E -> compliance`."""
        back = list(_follow(edge.vertex, self.before))[::-1]
        ahead = list(_follow(vertex, self.after))
        names = [v.origin.name for v in (*back, *ahead)]
        if self.ends[ahead[-1]] != names[-1]:
            names.append(self.ends[ahead[-1]])
        names = [name for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
        if len(names) > HIDDEN:
            names = [*names[: HIDDEN // 2], "...", *names[-HIDDEN // 2 :]]
        return " -> ".join(names)


def find_paths(of: Mapping[str, Edge], wrt: Iterable[Edge], specs: Specs) -> Paths:
    """The paths from `wrt` to `of` that no detached edge cuts."""
    order = topological(of.values())
    before: dict[Vertex, Vertex | None] = {edge.vertex: None for edge in wrt}
    for vertex in order:
        felt = (edge.vertex for port, edge in vertex.inputs if cut(vertex, port) is None)
        source = next((made_by for made_by in felt if made_by in before), None)
        if source is not None and vertex not in before:
            before[vertex] = source
    ends: dict[Vertex, str] = {}
    for name, edge in of.items():
        ends.setdefault(edge.vertex, name)
    after: dict[Vertex, Vertex | None] = dict.fromkeys(ends)
    for vertex in reversed(order):
        if vertex in after:
            for port, edge in vertex.inputs:
                if cut(vertex, port) is None:
                    after.setdefault(edge.vertex, vertex)
    return Paths(specs, before, after, ends)


def _follow(vertex: Vertex | None, following: Mapping[Vertex, Vertex | None]) -> Iterator[Vertex]:
    while vertex is not None:
        yield vertex
        vertex = following[vertex]


def integers_on(paths: Paths) -> Iterator[Finding]:
    """A derivative would vanish silently in an integer; it must be detached instead, so that it is seen."""
    for vertex, port, edge in paths.links():
        if not paths.specs[edge.vertex][edge.index].differentiable:
            message = f"integers on the differentiated path {paths.through(vertex, edge)}"
            fix = "No derivative passes integers: keep real numbers here, or cut the path on purpose with `tg.detach`"
            yield Finding(message, vertex.origin.name, port, vertex.origin.where, fix)


def missing_rules(paths: Paths, mode: str, backend: str) -> Iterator[Finding]:
    """Nodes on a path that have no rule for `mode` ("vjp" or "jvp") and that the backend's AD cannot enter."""
    rules = Rules(paths.specs, backend)
    for vertex, port, edge in paths.links():
        if not paths.specs[edge.vertex][edge.index].differentiable:
            continue
        # Made once for show: any edge will do in place of a cotangent or tangent.
        moving = [Edge(vertex, i) for i in range(len(vertex.node.outputs))]
        try:
            with made_for(vertex.origin):
                rules.jvp(vertex, port, edge) if mode == "jvp" else rules.vjp(vertex, port, moving)
        except RuleError as error:
            message = f"{error.message}, on the path {paths.through(vertex, edge)}"
            yield Finding(message, vertex.origin.name, port, vertex.origin.where, error.fix)


def nothing_to_solve(vertices: Iterable[Vertex]) -> Iterator[Finding]:
    """Uses of a node that are to be differentiated as an equation, but are none; a composite needs one inside."""
    solved: dict[Origin, bool] = {}
    for vertex in vertices:
        wanted = vertex.origin.derivative
        if wanted is not None and wanted.method in ("implicit", "unrolled"):
            use = attrs.evolve(vertex.origin, part="")
            solved[use] = solved.get(use, False) or _solves(vertex.node)
    for use in (use for use, found in solved.items() if not found):
        message = f"derivative='{use.derivative}' is for a node that solves an equation, and nothing is solved here"
        fix = "Leave it out, or use 'autodiff' or 'finite-difference'"
        yield Finding(message, use.name, "", use.where, fix)


def _solves(node: Node) -> bool:
    inner = [vertex.node for vertex in node.inner[1]] if isinstance(node, Block) else [node]
    return any(one.counts == "solve" or one.family == "implicit" for one in inner)


def missing_implementations(vertices: Iterable[Vertex], backend: str) -> Iterator[Finding]:
    """Nodes that cannot be computed on this backend."""
    for vertex in vertices:
        node, cls = vertex.node, type(vertex.node)
        if node.backends and backend not in node.backends:
            runs = " and ".join(node.backends)
            fix = f"Compile for {runs}, or declare it with `tg.host`, which runs on NumPy arrays under every backend"
            message = f"{node.title} runs on {runs} only, not on {backend}"
            yield Finding(message, vertex.origin.name, "", vertex.origin.where, fix)
            continue
        where = "numpy" if node.host else backend
        written = cls.forward is not Node.forward or cls.bind is not Node.bind
        if written or table.find_rule(cls, "forward", "", where) or isinstance(node, Constant | Source):
            continue
        others = sorted(rule.backend for rule in table.rules(cls) if rule.kind == "forward" and rule.backend)
        fix = f"Register one with @tg.implements({cls.__name__}, {where!r})"
        if others:
            fix += f", or compile for {' or '.join(map(repr, others))}"
        message = f"{node.title} has no implementation for the {where} backend"
        yield Finding(message, vertex.origin.name, "", vertex.origin.where, fix)
