"""How a node is differentiated, chosen per use of a node in the graph."""

from __future__ import annotations

from typing import Any

import attrs

from . import codec
from .errors import RuleError, did_you_mean

METHODS = {
    "registered": "the registered rule, else what can be derived from it, else the framework's AD",
    "autodiff": "the framework's AD of the forward operation, whatever rules are registered",
    "implicit": "the implicit function theorem (nodes that solve an equation; their default)",
    "unrolled": "AD through every iteration of the node's solver",
    "jacobian": "the full Jacobian from tangents, then its product",
    "finite-difference": "difference quotients of the forward operation",
    "complex-step": "the imaginary part of the forward operation at a complex point",
}
"""Method -> what it means."""

STEPS = {"forward": 1e-8, "central": 6e-6, "complex-step": 1e-30}
"""Default steps: about the square and the cube root of the rounding unit; free of cancellation."""


@codec.register
@attrs.frozen
class Derivative:
    """A differentiation method with its settings.

    Attributes:
        method: one of `METHODS`.
        step: step of "finite-difference" and "complex-step", in units of the input; None for the default.
        scheme: "central" (error of order step^2) or "forward" (order step), for "finite-difference".

    Raises:
        RuleError: unknown method or scheme, a step that is not positive, or one for a method without steps.
    """

    method: str
    step: float | None = None
    scheme: str = "central"

    def __attrs_post_init__(self) -> None:
        if self.method not in METHODS:
            raise RuleError(f"there is no derivative method {self.method!r}. {did_you_mean(self.method, METHODS)}")
        if self.scheme not in ("central", "forward"):
            raise RuleError(f"there is no difference scheme {self.scheme!r}. Use 'central' or 'forward'")
        if self.step is not None and not self.step > 0.0:
            raise RuleError(f"the step of {self.method} must be positive, got {self.step}")
        if self.step is not None and self.method not in ("finite-difference", "complex-step"):
            raise RuleError(f"{self.method} has no step. Leave it out")

    @property
    def h(self) -> float:
        """The step in force."""
        return self.step or STEPS["complex-step" if self.method == "complex-step" else self.scheme]

    def __str__(self) -> str:
        if self.method == "finite-difference":
            return f"finite-difference ({self.scheme}, h={self.h:g})"
        return f"complex-step (h={self.h:g})" if self.method == "complex-step" else self.method


def as_derivative(value: Any) -> Derivative | None:
    """A method by name or as a `Derivative`; None stays None."""
    if value is None or isinstance(value, Derivative):
        return value
    return Derivative(str(value))
