"""A graph inside the user's own JAX or PyTorch code, where tograph's derivatives run under every transform.

Differentiation is closed: the tangent of a graph is a graph, and so is its pull-back. An `Embedding` is a
graph as a function of a flat list of arrays, together with these two graphs, which are embeddings again and
are made when a framework first asks for them. The framework is told only which is the derivative of
which, at every order; what it would make of the bodies by its own AD plays no part.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from .arguments import Arguments
from .declare import source
from .derivable import program_findings, request_findings
from .differentiate import Rules, active_vertices, pull_back, tangent
from .edge import Edge
from .errors import Finding, GraphError, TographError
from .expand import expand
from .graph import Graph, source_of, topological
from .implicit import ImplicitNode
from .parts import Parts, make_parts
from .passes import run_passes
from .passes.roots import require_converged
from .plan import Label, Plan, Request
from .recall import Memo
from .returned import PAIRS
from .spec import Spec

if TYPE_CHECKING:
    from .backends.base import Backend


@attrs.frozen(eq=False)
class Derived:
    """Where an embedding comes from: it is the "tangent" or the "pull-back" of another one.

    Attributes:
        of: the other one, whose inputs it takes first.
        mode: "tangent" (tangents of inputs -> tangents of outputs) or "pull-back" (cotangents of outputs ->
            cotangents of inputs).
        given: the inputs (outputs) of `of` whose tangents (cotangents) it takes after those.
        made: the outputs (inputs) of `of` whose tangents (cotangents) it returns; those without a path are left out.
    """

    of: Embedding
    mode: str
    given: tuple[int, ...]
    made: tuple[int, ...]

    def transposed(self, given: tuple[int, ...], made: tuple[int, ...]) -> Embedding:
        """The transpose in (some of) what it is linear in: the pull-back of the same graph, or its tangent."""
        return self.of.derivative("pull-back" if self.mode == "tangent" else "tangent", given, made)


class Embedding:
    """A graph as a function of a flat list of arrays, with its derivatives as further embeddings.

    Args:
        graph: the graph declared by the user.
        backend: where it runs.
        inputs: source edges.
        outputs: edges to be computed.
        memo: results of host nodes kept between calls; shared with the embeddings made from this one.
        derived: where it comes from, if it is a derivative.
        refused: why it cannot run or be differentiated; `outputs` then only say of what shape its results would be.
    """

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        inputs: Iterable[Edge],
        outputs: Iterable[Edge],
        memo: Memo | None = None,
        derived: Derived | None = None,
        refused: Sequence[Finding] = (),
    ) -> None:
        self.graph, self.backend, self.derived, self.refused = graph, backend, derived, refused
        self.memo = memo or Memo()
        self.inputs = tuple(inputs)
        expanded = expand({str(i): edge for i, edge in enumerate((*outputs, *self.inputs))})
        edges = tuple(expanded.edges.values())
        self.outputs = edges[: len(edges) - len(self.inputs)]
        self._specs = expanded.specs
        self._kept: dict[Any, Any] = {}

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns, made once for every key: derivatives, compiled functions of a framework."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def spec(self, edge: Edge) -> Spec:
        """The spec of an input or output."""
        return self._specs[edge.vertex][edge.index]

    def like(self, edge: Edge) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of an input or output."""
        spec = self.spec(edge)
        return spec.shape, self.backend.dtype_of(spec)

    def derivative(self, mode: str, given: tuple[int, ...], made: tuple[int, ...]) -> Embedding:
        """The tangent or pull-back through some inputs and outputs; see `Derived`.

        A tangent without rules is made nevertheless, and refuses to run: JAX asks for the tangent of everything,
        but in reverse mode only to transpose it, which is the pull-back.

        Raises:
            GraphError: on the way back, a node has no rule, or integers lie there.
        """
        self.require_possible()
        make = self._tangent if mode == "tangent" else self._pull_back
        made_one: Embedding = self.keep((mode, given, made), lambda: make(given, made))
        return made_one

    def require_possible(self) -> None:
        """Raise `GraphError` for a tangent that rules are missing for."""
        if self.refused:
            raise GraphError(self.refused)

    def _tangent(self, given: tuple[int, ...], made: tuple[int, ...]) -> Embedding:
        ins, ends = [self.inputs[i] for i in given], [self.outputs[j] for j in made]
        moving = self._sources(ins, "dot")
        refused = self._missing(ins, ends, "tangent")
        if refused:
            active = active_vertices(topological(ends), ins)
            found: dict[Edge, Any] = {edge: edge for edge in ends if edge.vertex in active}
        else:
            found = dict(tangent(ends, dict(zip(ins, moving, strict=True)), Rules(self._specs, self.backend.name)))
        kept = {j: found[edge] for j, edge in zip(made, ends, strict=True) if isinstance(found.get(edge), Edge)}
        return self._derived(Derived(self, "tangent", given, tuple(kept)), moving, kept.values(), refused)

    def _pull_back(self, given: tuple[int, ...], made: tuple[int, ...]) -> Embedding:
        ins, ends = [self.inputs[i] for i in made], [self.outputs[j] for j in given]
        if refused := self._missing(ins, ends, "vjp"):
            raise GraphError(refused)
        cts = self._sources(ends, "bar")
        found = pull_back(list(zip(ends, cts, strict=True)), ins, Rules(self._specs, self.backend.name))
        kept = {i: ct for i, edge in zip(made, ins, strict=True) if isinstance(ct := found[edge], Edge)}
        return self._derived(Derived(self, "pull-back", given, tuple(kept)), cts, kept.values())

    def _derived(
        self, derived: Derived, extra: list[Edge], outputs: Iterable[Edge], refused: Sequence[Finding] = ()
    ) -> Embedding:
        return Embedding(self.graph, self.backend, (*self.inputs, *extra), outputs, self.memo, derived, refused)

    def _missing(self, ins: list[Edge], ends: list[Edge], mode: str) -> list[Finding]:
        of: dict[str, Edge] = {}
        for edge in ends:
            name = edge.vertex.origin.name
            while of.get(name, edge).vertex is not edge.vertex:
                name += "'"
            of[name] = edge
        wrt = {str(i): edge for i, edge in enumerate(ins)}
        return program_findings(of, wrt, self._specs, mode, self.backend.name)

    def _sources(self, edges: list[Edge], word: str) -> list[Edge]:
        """An input for the tangent or cotangent of each edge, under a name that no other input has."""
        taken = {source_of(edge).name for edge in self.inputs}
        made = []
        for edge in edges:
            name = f"{edge.vertex.origin.name}_{word}"
            while name in taken:
                name += "_"
            taken.add(name)
            made.append(source(name, self.spec(edge).cotangent()))
        return made

    @cached_property
    def parts(self) -> Parts:
        """Passes, schedule, lowered segments, and everything that can be computed once.

        Raises:
            GraphError: see `require_possible`.
        """
        self.require_possible()
        results = {(str(i),): edge for i, edge in enumerate(self.outputs)}
        request = Request(tuple(name for (name,) in results))
        plan = run_passes(Plan(self.graph, request, self.backend.name, results))  # type: ignore[arg-type]
        return make_parts(plan, self.inputs, self.backend, self.memo)

    @property
    def batchable(self) -> bool:
        """Whether every step is a plain function of arrays, without a loop that looks at values."""
        return not any(v.node.host or isinstance(v.node, ImplicitNode) for v in topological(self.outputs))

    def require_solved(self, statuses: Mapping[Label, Any]) -> None:
        """Raise `SolveError` for the first equation whose residual is not small."""
        require_converged(statuses)

    def bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """One value per input, checked; see `Arguments.bind`."""
        return self._arguments.bind(args, kwargs)

    @cached_property
    def _arguments(self) -> Arguments:
        return Arguments(self.graph, self.inputs)


def embedded(graph: Graph, backend: Backend, framework: str, of: str | Sequence[str] | None) -> Any:
    """The graph as a function for that framework; see `Program.as_jax` and `Program.as_torch`.

    Raises:
        TographError: the program is compiled for another framework, or an output is not an array.
    """
    if backend.name != framework:
        call = f"graph.compile({framework!r}).as_{framework}()"
        raise TographError(f"this program is compiled for {backend.name}. For {framework}, use {call}")
    names = tuple(graph.outputs) if of is None else (of,) if isinstance(of, str) else tuple(of)
    if found := list(request_findings(graph, names, (), "value")):
        raise GraphError(found)
    embedding = Embedding(graph, backend, graph.inputs, [graph.outputs[name] for name in names])
    _require_arrays(embedding, names)
    pack = (lambda values: values[0]) if isinstance(of, str) else lambda values: dict(zip(names, values, strict=True))
    module = importlib.import_module(f".backends.embed_{framework}", __package__)
    return module.embed(embedding, pack)


def _require_arrays(embedding: Embedding, names: tuple[str, ...]) -> None:
    found = []
    for name, edge in zip(names, embedding.outputs, strict=True):
        spec = embedding.spec(edge)
        if spec.kind in PAIRS:
            fix = "Leave it out: name the outputs you want, e.g. of='compliance'"
            found.append(
                Finding(f"output {name!r} is {spec.label()}, not an array", where=edge.vertex.origin.where, fix=fix)
            )
    if found:
        raise GraphError(found)
