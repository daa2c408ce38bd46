"""The design variables: one input of the graph as it is, or several joined into one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from ..errors import TographError
from ..graph import Graph, source_of

Floats = npt.NDArray[np.float64]


@attrs.frozen
class Variables:
    """Which inputs are designed, and how their arrays become the one array x that methods see.

    One input is x itself, in its own shape; of several, x holds the entries one after the other, shape (n,).

    Attributes:
        names: inputs of the graph.
        shapes: of each.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, graph: Graph, names: Sequence[str]) -> Variables:
        """The variables with the shapes declared in the graph."""
        return cls(tuple(names), tuple(tuple(source_of(graph.input(name)).spec.shape) for name in names))

    @property
    def said(self) -> str:
        """The names for messages."""
        return ", ".join(map(repr, self.names))

    def join(self, arrays: Mapping[str, Any]) -> Floats:
        """x from an array per name."""
        parts = [np.asarray(arrays[name], dtype=np.float64) for name in self.names]
        return parts[0] if len(parts) == 1 else np.concatenate([part.ravel() for part in parts])

    def split(self, x: Floats) -> dict[str, Floats]:
        """An array per name from x."""
        if len(self.names) == 1:
            return {self.names[0]: x}
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        parts = np.split(x, ends[:-1])
        return {name: part.reshape(shape) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)}

    def given(self, start: Any) -> dict[str, Any]:
        """What the caller gave as a start, by name.

        Raises:
            TographError: several inputs are designed, and the start is not one array for each of them by name.
        """
        if len(self.names) == 1 and not isinstance(start, Mapping):
            return {self.names[0]: start}
        if not isinstance(start, Mapping) or set(start) != set(self.names):
            got = ", ".join(map(repr, start)) if isinstance(start, Mapping) else type(start).__name__
            raise TographError(f"the start must be a dict with an array for each of {self.said}, got {got}")
        return dict(start)

    def bounds(self, graph: Graph, side: str) -> Floats:
        """The declared bounds in the shape of x; else 0 and 1, for network weights none."""
        return self.join({name: _bound(graph, name, side) for name in self.names})


def _bound(graph: Graph, name: str, side: str) -> Floats:
    source = source_of(graph.input(name))
    default = {"lower": 0.0, "upper": 1.0}[side]
    if source.spec.kind == "params":
        default = {"lower": -np.inf, "upper": np.inf}[side]
    declared = getattr(source, side)
    return np.array(np.broadcast_to(default if declared is None else declared, source.spec.shape), dtype=np.float64)
