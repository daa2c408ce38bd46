"""Several vectors as the columns of one, and parts of it: how equal work on independent vectors becomes one call."""

from __future__ import annotations

from typing import Any

import attrs

from .errors import SpecError
from .node import Node, Port, node
from .spec import Axis, Spec


@node
class JoinColumns(Node):
    """y = [x_1, x_2, ...]: vectors (n,) or (n, k) of one length side by side, as (n, sum of k)."""

    inputs = (Port("parts", variadic=True),)

    def infer(self, *specs: Spec) -> Spec:
        """A vector with all columns."""
        if any(len(spec.shape) not in (1, 2) or spec.shape[0] != specs[0].shape[0] for spec in specs):
            raise SpecError(f"cannot stand side by side: {', '.join(spec.label() for spec in specs)}", port="parts")
        count = sum(width(spec) for spec in specs)
        return attrs.evolve(specs[0], kind="vector", axes=(specs[0].axes[0], Axis("column", count)), unit=None)

    def forward(self, xp: Any, *values: Any) -> Any:
        """Concatenate along the columns."""
        return xp.concat([x[:, None] if x.ndim == 1 else x for x in values], axis=1)


@node
class TakeColumns(Node):
    """The columns start, ..., start + count - 1 of x, shape (n, columns); with count 0 one column as a vector (n,)."""

    inputs = (Port("x", "vector"),)
    linear = ("x",)
    start: int = 0
    count: int = 0

    def infer(self, *specs: Spec) -> Spec:
        """A vector with fewer columns."""
        rows, columns = specs[0].axes
        if not 0 <= self.start <= self.start + max(self.count, 1) <= columns.size:
            raise SpecError(
                f"there are no {max(self.count, 1)} columns from {self.start} in {specs[0].label()}", port="x"
            )
        return attrs.evolve(specs[0], axes=(rows, Axis(columns.name, self.count)) if self.count else (rows,))

    def forward(self, xp: Any, *values: Any) -> Any:
        """Slice."""
        (x,) = values
        return x[:, self.start : self.start + self.count] if self.count else x[:, self.start]


def width(spec: Spec) -> int:
    """How many columns a vector has."""
    return spec.shape[1] if len(spec.shape) > 1 else 1
