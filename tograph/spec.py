"""What flows along an edge: kind, named axes, dtype, unit. Never a value."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from . import codec
from .errors import SpecError, did_you_mean

KINDS = ("field", "vector", "scalar", "operator", "dyad", "factor", "params", "integer", "array")
DTYPES = ("real", "float32", "float64", "integer")


@codec.register
@attrs.frozen
class Axis:
    """A named axis and its length, e.g. `Axis("ny", 40)`."""

    name: str
    size: int = attrs.field()

    @size.validator
    def _whole(self, _: Any, size: Any) -> None:
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
            raise SpecError(f"axis {self.name!r}: the length must be a whole number, got {size!r}")

    def __str__(self) -> str:
        return f"{self.name}={self.size}"


def _one_of(known: tuple[str, ...]) -> Any:
    def check(_: Any, field: attrs.Attribute, value: Any) -> None:
        if value not in known:
            hint = did_you_mean(value, known, most=len(known))
            raise SpecError(f"there is no {field.name} {value!r}", port=field.name, fix=hint)

    return check


def _as_axes(axes: Any) -> tuple[Axis, ...]:
    if not isinstance(axes, tuple | list) or not all(isinstance(axis, Axis) for axis in axes):
        fix = 'Give a tuple of `Axis`, or use `array("field", ny=2, nx=4)`'
        raise SpecError(f"axes must be a tuple of Axis, got {axes!r}", port="axes", fix=fix)
    return tuple(axes)


@codec.register
@attrs.frozen
class Spec:
    """The type of an edge.

    Attributes:
        kind: one of `KINDS`. A *field* has one value per element (or node) of a grid, a *vector*
            one per degree of freedom, an *operator* is a stiffness-like matrix held as element
            moduli and a static pattern, a *dyad* is its cotangent (the pair lambda, u, never the
            dense outer product), a *factor* is a solver's own factorisation, *params* a pytree of
            network weights, *integer* is never differentiated.
        axes: the named axes, outermost first.
        dtype: "real" is the dtype the program is compiled for; others are as written.
        unit: free text such as "MPa"; None where it has none or nobody said.
        structure: static data of an operator (its pattern); None otherwise.

    Raises:
        SpecError: unknown kind or dtype, axes that are no `Axis`.
    """

    kind: str = attrs.field(validator=_one_of(KINDS))
    axes: tuple[Axis, ...] = attrs.field(default=(), converter=_as_axes)
    dtype: str = attrs.field(default="real", validator=_one_of(DTYPES))
    unit: str | None = None
    structure: Any = attrs.field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Axis lengths. For an operator: the shape of the element moduli of one term."""
        return tuple(axis.size for axis in self.axes)

    @property
    def size(self) -> int:
        """How many numbers one value holds."""
        count = 1
        for axis in self.axes:
            count *= axis.size
        return count

    @property
    def differentiable(self) -> bool:
        """Whether a cotangent may flow into this edge."""
        return self.kind != "integer" and self.dtype != "integer"

    def nbytes(self, real: int = 8) -> int:
        """Bytes of one value, with `real` bytes per number of dtype "real"."""
        return self.size * {"float32": 4, "float64": 8, "integer": 8}.get(self.dtype, real)

    def cotangent(self) -> Spec:
        """The spec of this edge's cotangent: that of an operator or its factor is a dyad, all others' their own."""
        if self.kind not in ("operator", "factor"):
            return self
        return Spec("dyad", (Axis("dof", self.structure.n_dofs),), self.dtype, structure=self.structure)

    def label(self) -> str:
        """Short text for diagrams, e.g. `field 40x120`, `scalar`, `operator 9922x9922`."""
        if self.kind == "operator":
            return f"operator {self.structure.n_dofs}x{self.structure.n_dofs}"
        shape = "x".join(str(size) for size in self.shape)
        cast = "" if self.dtype in ("real", "integer") else f" {self.dtype}"
        return " ".join(part for part in (self.kind, shape, f"[{self.unit}]" if self.unit else "") if part) + cast


def scalar(unit: str | None = None, dtype: str = "real") -> Spec:
    """One number."""
    return Spec("scalar", (), dtype, unit)


def array(kind: str, dtype: str = "real", unit: str | None = None, **axes: int) -> Spec:
    """A spec by keyword, e.g. `array("field", ny=40, nx=120)`."""
    return Spec(kind, tuple(Axis(name, size) for name, size in axes.items()), dtype, unit)


def require_same(a: Spec, b: Spec, ports: tuple[str, str]) -> None:
    """Raise `SpecError` unless two inputs have the same axes, unit and dtype."""
    if a.shape != b.shape:
        turned = sorted(a.shape) == sorted(b.shape)
        fix = "The axes look swapped: transpose one of them" if turned else "Both must live on the same grid"
        raise SpecError(
            f"shapes differ: {ports[0]!r} is {a.label()}, {ports[1]!r} is {b.label()}", port=ports[1], fix=fix
        )
    if a.unit and b.unit and a.unit != b.unit:
        message = f"units differ: {ports[0]!r} is in {a.unit}, {ports[1]!r} in {b.unit}"
        raise SpecError(message, port=ports[1], fix="Scale one of them to the other's unit")
