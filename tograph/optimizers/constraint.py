"""A bound on a named output of the graph."""

from __future__ import annotations

import math
import re

import attrs

from ..errors import TographError

SENSES = ("<=", ">=", "==")
FORM = "Write it as 'name <= number', e.g. 'volume <= 0.5'"
TEXT = re.compile(r"\s*(?P<name>[^<>=]*?)\s*(?P<sense>[<>=]+)\s*(?P<bound>[^<>=]*?)\s*")


@attrs.frozen
class Constraint:
    """`name sense bound`, e.g. volume <= 0.5.

    Attributes:
        name: an output of the graph, a scalar.
        sense: "<=", ">=" or "==".
        bound: a finite number in the unit of the output.

    Raises:
        TographError: a sense that is none of the three, or a bound that is not finite.
    """

    name: str
    sense: str
    bound: float = attrs.field(converter=float)

    def __attrs_post_init__(self) -> None:
        if self.sense not in SENSES:
            raise TographError(f"a constraint cannot read {self.name} {self.sense} {self.bound:g}. {FORM}")
        if not math.isfinite(self.bound):
            raise TographError(f"the bound of {self.name!r} must be a finite number, got {self.bound}")

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read "name <= number"; blanks do not matter.

        Raises:
            TographError: the text is anything else.
        """
        found = TEXT.fullmatch(text)
        if found is None or not found["name"] or found["sense"] not in SENSES:
            raise TographError(f"cannot read the constraint {text!r}. {FORM}")
        try:
            bound = float(found["bound"])
        except ValueError:
            raise TographError(
                f"cannot read the constraint {text!r}: {found['bound']!r} is not a number. {FORM}"
            ) from None
        return cls(found["name"], found["sense"], bound)

    @property
    def scale(self) -> float:
        """What violations are measured by: |bound|, or 1 where that is 0."""
        return abs(self.bound) or 1.0

    @property
    def signs(self) -> tuple[float, ...]:
        """The inequalities sign (value - bound) / scale <= 0 that say the same: one, and two for an equality."""
        return {"<=": (1.0,), ">=": (-1.0,), "==": (1.0, -1.0)}[self.sense]

    def violation(self, value: float) -> float:
        """How far `value` is on the wrong side, relative to `scale`; 0 if it is on the right one."""
        return max(0.0, *(sign * (value - self.bound) / self.scale for sign in self.signs))

    def __str__(self) -> str:
        return f"{self.name} {self.sense} {self.bound:g}"
