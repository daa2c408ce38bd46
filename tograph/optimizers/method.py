"""What a method is: how the next design is found."""

from __future__ import annotations

from typing import Any, Protocol

from .formulation import Formulation, Point
from .variables import Floats


class Method(Protocol):
    """How the next design is found. A method is a frozen value; what it remembers between steps is its state.

    The state is plain data: None, numbers, texts, arrays, and lists, tuples and dicts of them. It is never changed in
    place, and is stored with every checkpoint: with the design it is all that a run needs to go on.

    A method that knows by itself when it has finished has one more function, `ended(state) -> str`: a sentence, empty
    while it goes on. It is then asked instead of looking at the change of the design.
    """

    def findings(self, problem: Formulation) -> list[str]:
        """Why this method cannot treat the problem, one sentence each; empty if it can."""
        ...

    def init(self, problem: Formulation, design: Floats) -> Any:
        """The state before the first step."""
        ...

    def step(self, problem: Formulation, point: Point, state: Any) -> tuple[Floats, Any]:
        """The next design and the next state; may ask `problem` for further values."""
        ...
