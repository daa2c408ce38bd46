"""First-order methods of machine learning: optax and torch.optim, projected onto the bounds.

    x_new = clip(x + update(f'(x)), lower, upper)

They know no constraints: weigh those into the objective (`tg.weighted_sum`), or build them into the graph, as
`tograph.nodes.VolumeEnforcing` does for a volume. Both serve programs of either backend.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from ..errors import TographError
from .formulation import Formulation, Point
from .variables import Floats


def _load(module: str, package: str, extra: str) -> Any:
    try:
        return importlib.import_module(module, __package__)
    except ImportError as error:
        raise TographError(f"this method needs {package}. Install it: pip install 'tograph[{extra}]'") from error


def _constraint_findings(name: str, problem: Formulation) -> list[str]:
    if not problem.constraints:
        return []
    given = ", ".join(map(str, problem.constraints))
    instead = "Weigh them into the objective (`tg.weighted_sum`), or take 'mma'"
    return [f"{name} knows no constraints, got {given}. {instead}"]


@attrs.frozen(eq=False)
class Optax:
    """A gradient transformation of optax, with whatever clipping and schedules it is chained with.

    E.g. Optax(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(0.1, 200)))).

    Attributes:
        transform: an `optax.GradientTransformation`; its state becomes a list of arrays.
    """

    transform: Any

    def findings(self, problem: Formulation) -> list[str]:
        """Constraints."""
        return _constraint_findings("Optax", problem)

    def init(self, problem: Formulation, design: Floats) -> list[Floats]:
        """The leaves of the transformation's state."""
        found: list[Floats] = _load("._jax", "optax and JAX", "optax").init(self.transform, design)
        return found

    def step(self, problem: Formulation, point: Point, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        """One update, then onto the bounds."""
        optax = _load("._jax", "optax and JAX", "optax")
        x, after = optax.step(self.transform, point.design, point.gradients[problem.minimize], state)
        return np.clip(x, problem.lower, problem.upper), after


@attrs.frozen(eq=False)
class TorchOptim:
    """An optimiser of torch.optim.

    Attributes:
        name: of a class in `torch.optim`, e.g. "Adam" or "SGD"; not "LBFGS", which calls the function itself.
        options: of that class, e.g. {"lr": 0.1}.
        clip: the largest norm of the gradient; None for no limit.
        decay: the rate is multiplied by this after every step, in (0, 1].

    Raises:
        ValueError: a setting out of range.
    """

    name: str = attrs.field(default="Adam", validator=attrs.validators.not_(attrs.validators.in_(["LBFGS"])))
    options: Mapping[str, Any] = attrs.field(factory=lambda: {"lr": 0.05})
    clip: float | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.gt(0.0)))
    decay: float = attrs.field(
        default=1.0, validator=attrs.validators.and_(attrs.validators.gt(0.0), attrs.validators.le(1.0))
    )

    def findings(self, problem: Formulation) -> list[str]:
        """Constraints."""
        return _constraint_findings(f"torch.optim.{self.name}", problem)

    def init(self, problem: Formulation, design: Floats) -> dict[str, Any]:
        """No moments yet."""
        return {"rate": 1.0, "moments": {}}

    def step(self, problem: Formulation, point: Point, state: dict[str, Any]) -> tuple[Floats, dict[str, Any]]:
        """One update, then onto the bounds."""
        torch = _load("._torch", "PyTorch", "torch")
        gradient = np.array(point.gradients[problem.minimize])
        size = float(np.linalg.norm(gradient))
        if self.clip is not None and size > self.clip:
            gradient *= self.clip / size
        x, moments = torch.step(self.name, {**self.options}, state["rate"], point.design, gradient, state["moments"])
        after = {"rate": state["rate"] * self.decay, "moments": moments}
        return np.clip(x, problem.lower, problem.upper), after
