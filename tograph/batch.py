"""Requests for many members at once: designs, loads, parameters or seeds. Made by `Program.batch`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from .backends.base import Backend
from .batching import Each, batched
from .compiled import Function
from .edge import Edge
from .errors import TographError, a, did_you_mean
from .graph import Graph, source_of
from .passes import PASSES
from .passes.batching import batch_columns
from .plan import Label, Request
from .settings import Settings
from .spec import Spec

if TYPE_CHECKING:
    from .explain import Explanation

Pack = Callable[[dict[Label, Any]], Any]


@attrs.frozen
class Members:
    """Which inputs every member has its own of, and how many members there are (None: as many as are given)."""

    over: tuple[str, ...]
    size: int | None = None


def members(graph: Graph, over: str | Sequence[str], size: int | None) -> Members:
    """The members asked for, checked.

    Raises:
        TographError: an unknown input, none at all, or a size below 1.
    """
    names = (over,) if isinstance(over, str) else tuple(over)
    if not names:
        raise TographError("`over` names no input. Name those of which every member has its own")
    for name in names:
        if name not in graph.input_names:
            raise TographError(f"there is no input {name!r} to batch over. {did_you_mean(name, graph.input_names)}")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise TographError(f"`size` is {size!r}: a batch has 1 member or more")
    return Members(tuple(dict.fromkeys(names)), size)


class BatchFunction(Function):
    """One request for every member of a batch; each size of batch is compiled once, when it is first met.

    `plan` and what is drawn are those of one member.
    """

    passes = tuple(one for one in PASSES if one is not batch_columns)
    """All but the one on columns: which right-hand sides differ between members comes first."""

    def __init__(
        self, graph: Graph, backend: Backend, request: Request, pack: Pack, of: Members, settings: Settings
    ) -> None:
        super().__init__(graph, backend, request, pack, attrs.evolve(settings, memory_budget=None))
        self.members, self.of_each_size = of, settings
        self._sized: dict[int, Function] = {}

    @cached_property
    def own(self) -> dict[str, Spec]:
        """What every member has its own of: the inputs named, and all tangents and cotangents."""
        further = tuple(source_of(edge).name for edge in self.plan.further)
        specs = {source_of(edge).name: source_of(edge).spec for edge in self.inputs}
        return {name: specs[name] for name in (*self.members.over, *further)}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run for as many members as the arrays have along their first axis.

        Raises:
            TographError: as for one member; also members that do not agree in number, or none at all.
            SolveError: a solve that may not be used, with the member.
        """
        function = self.sized(self._count(args, kwargs))
        try:
            return function(*args, **kwargs)
        finally:
            self.failures, self.solved = function.failures, function.solved

    def sized(self, size: int | None = None) -> Function:
        """The function for one size of batch; that of `program.batch(..., size=...)` if none is given."""
        size = size or self.members.size
        if size is None:
            over = ", ".join(map(repr, self.members.over))
            raise TographError(f"how many members? The batch over {over} takes any number. Give a size, e.g. size=3")
        if size not in self._sized:
            self._sized[size] = _Sized(self, size, self._pack)
        return self._sized[size]

    def source(self, size: int | None = None) -> str:
        """The lowered program for a size of batch."""
        return self.sized(size).source()

    def explain(self, size: int | None = None) -> Explanation:
        """What runs and why, for a size of batch."""
        return self.sized(size).explain()

    def explain_cache_miss(self) -> str:
        """As for one member, for every size of batch met so far."""
        found = [f"{size} members\n{function.explain_cache_miss()}" for size, function in self._sized.items()]
        return "\n".join(found) or "no size of batch has been met yet"

    def _count(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        given = dict(zip((source_of(edge).name for edge in self.inputs), args, strict=False)) | dict(kwargs)
        counts = {name: _count_of(name, given[name], spec) for name, spec in self.own.items() if name in given}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
            raise TographError(f"the batch has no one size: {listed} members. Give as many of each")
        missing = next((name for name in self.own if name not in given), None)
        if missing is not None:
            one = a(self.own[missing].label())
            raise TographError(f"input {missing!r} is missing: it is {one} for each member of the batch")
        found = next(iter(counts.values()))
        if self.members.size not in (None, found):
            raise TographError(f"the batch was declared with {self.members.size} members, got {found}")
        return found


def _count_of(name: str, value: Any, spec: Spec) -> int:
    shape = tuple(value.shape) if hasattr(value, "shape") else np.shape(value)
    if len(shape) != len(spec.shape) + 1:
        wanted = f"{a(spec.label())} for each member of the batch"
        fix = f"Give an array of shape ({', '.join(('members', *map(str, spec.shape)))})"
        raise TographError(f"input {name!r} must be {wanted}, got shape {shape}. {fix}")
    if shape[0] == 0:
        raise TographError(f"the batch is empty: input {name!r} has no member. Give at least one")
    return int(shape[0])


class _Sized(Function):
    """A request for a fixed number of members."""

    def __init__(self, whole: BatchFunction, size: int, pack: Pack) -> None:
        plan, self._own = batched(whole.plan, tuple(whole.own), size)
        plan = batch_columns(plan)
        super().__init__(whole.graph, whole.backend, whole.request, pack, whole.of_each_size, plan)
        self.size = size

    @cached_property
    def inputs(self) -> tuple[Edge, ...]:
        """Those of one member, with the leading axis where every member has its own."""
        return tuple(self._own.values())

    def run(self, values: list[Any]) -> dict[Label, Any]:
        """As for one member; the equations of every member are checked by themselves."""
        found = super().run(values)
        each = {label for label, edge in self.plan.results.items() if isinstance(edge.vertex.node, Each)}
        return {k: v for label, value in found.items() for k, v in _checks(label, value, label in each).items()}

    def _no_path(self, label: Label) -> Any:
        one = super()._no_path(label)
        return self.backend.xp.stack([one] * self.size)


def _checks(label: Label, value: Any, each: bool) -> dict[Label, Any]:
    if label[0] != "status" or not each:
        return {label: value}
    _, name, *rest = label
    return {("status", f"{name} of member {i} of the batch", *rest): value[i] for i in range(value.shape[0])}


def jacobian_of_each(backend: Backend, pack: Pack) -> Pack:
    """The rows of a Jacobian are put together for each member by itself."""

    def packed(results: dict[Label, Any]) -> Any:
        count = next(iter(results.values())).shape[0]
        return backend.stack([pack({label: value[i] for label, value in results.items()}) for i in range(count)])

    return packed


__all__ = ["BatchFunction", "Members", "jacobian_of_each", "members"]
