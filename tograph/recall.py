"""Host nodes on NumPy arrays, for code that a framework calls back: for the same input, the same result without work.

Inside a user's own transforms, value and derivative are separate calls. They meet here: what a host node
made last is kept, found again by the content of its inputs. A factorisation is no array and cannot travel
through a framework; whoever needs it asks for it again, and finds it kept or makes it anew.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import attrs
import numpy as np

from .backends.base import map_arrays
from .edge import Edge, Vertex
from .hosting import on_host
from .returned import checked
from .spec import Spec
from .writing import variable_name

_NUMBERS = np.ndarray | np.generic | float | int

Specs = Mapping[Vertex, tuple[Spec, ...]]


class Memo:
    """The last results of host nodes: for every node as many as it has uses in one program."""

    def __init__(self) -> None:
        self._kept: dict[str, OrderedDict[str, Any]] = {}
        self._room: Counter[str] = Counter()
        self._lock = threading.Lock()

    def make_room(self, vertices: Iterable[Vertex]) -> None:
        """Keep one result for each of these vertices."""
        for key, count in Counter(vertex.node.key for vertex in vertices).items():
            self._room[key] = max(self._room[key], count)

    def get(self, key: str, content: str, make: Callable[[], Any]) -> Any:
        """The result of node `key` for inputs of this content, made if it is not kept."""
        with self._lock:
            kept = self._kept.setdefault(key, OrderedDict())
            if content in kept:
                kept.move_to_end(content)
                return kept[content]
        made = make()
        with self._lock:
            kept[content] = made
            while len(kept) > self._room[key]:
                kept.popitem(last=False)
        return made


@attrs.frozen(eq=False)
class HostPart:
    """Host vertices that run together.

    Attributes:
        vertices: in order; among them those that make what is no array and is needed here.
        inputs: the arrays that it takes.
        outputs: the arrays that it returns.
        dtypes: their dtypes.
        specs: the specs of all vertices.
        fixed: values that do not depend on any input, already known.
        memo: what is kept between calls.
    """

    vertices: tuple[Vertex, ...]
    inputs: tuple[Edge, ...]
    outputs: tuple[Edge, ...]
    dtypes: tuple[str, ...]
    specs: Specs
    fixed: Mapping[Edge, Any]
    memo: Memo
    _operations: dict[Vertex, Callable[..., Any]] = attrs.field(factory=dict, init=False)
    _contents: dict[Edge, str] = attrs.field(factory=dict, init=False)

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        """NumPy arrays (or pairs of them) in and out."""
        values = dict(self.fixed) | dict(zip(self.inputs, arrays, strict=True))
        contents = dict(self._fixed_contents()) | {edge: content_of(values[edge]) for edge in self.inputs}
        for vertex in self.vertices:
            content = content_of("".join(contents[edge] for edge in vertex.edges))
            made = self.memo.get(vertex.node.key, content, partial(self._run, vertex, values))
            for i, value in enumerate(made):
                values[Edge(vertex, i)] = value
                contents[Edge(vertex, i)] = f"{vertex.node.key} {content} {i}"
        return tuple(_as(values[edge], dtype) for edge, dtype in zip(self.outputs, self.dtypes, strict=True))

    def _fixed_contents(self) -> dict[Edge, str]:
        if not self._contents:
            needed = {edge for vertex in self.vertices for edge in vertex.edges}
            self._contents.update((edge, content_of(self.fixed[edge])) for edge in needed if edge in self.fixed)
        return self._contents

    def _run(self, vertex: Vertex, values: Mapping[Edge, Any]) -> tuple[Any, ...]:
        if vertex not in self._operations:
            given = [self.specs[edge.vertex][edge.index] for edge in vertex.edges]
            run = on_host(vertex, variable_name(vertex), given)
            self._operations[vertex] = checked(run, vertex, self.specs[vertex])
        made = self._operations[vertex](*(values[edge] for edge in vertex.edges))
        return tuple(map_arrays(_copy, value) for value in (made if len(vertex.node.outputs) > 1 else (made,)))


def _copy(value: Any) -> Any:
    """What is kept must not change when its maker uses the memory again, or a caller writes to it."""
    if not isinstance(value, np.ndarray):
        return value
    kept = value.copy()
    kept.setflags(write=False)
    return kept


def content_of(value: Any) -> str:
    """A digest of an array or a text, or of a pair of arrays; of anything else its identity."""
    if isinstance(value, tuple):
        return "".join(content_of(part) for part in value)
    if isinstance(value, str):
        return hashlib.blake2b(value.encode(), digest_size=16).hexdigest()
    if not isinstance(value, _NUMBERS):
        return f"object {id(value)}"  # made once and held by the program, so its identity is its own
    array = np.ascontiguousarray(value)
    head = f"{array.dtype} {array.shape} "
    return hashlib.blake2b(head.encode() + array.tobytes(), digest_size=16).hexdigest()


def _as(value: Any, dtype: str) -> Any:
    return map_arrays(lambda x: np.asarray(x, dtype=dtype) if isinstance(x, _NUMBERS) else x, value)
