"""The residual of an implicit node as an ordinary node, for its derivatives and for the check of its solution."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from .errors import SpecError
from .node import Node, Port, node
from .spec import Spec, scalar

if TYPE_CHECKING:
    from .backends.base import Backend
    from .implicit import ImplicitNode


def inputs_of(of: Node) -> tuple[Port, ...]:
    """The inputs of a node, renamed so that they clash with nothing."""
    return tuple(attrs.evolve(port, name=f"of_{port.name}") for port in of.ports())


def require_arrays(of: ImplicitNode, specs: tuple[Spec, ...]) -> None:
    """Raise `SpecError` if an input is not an array: AD has no cotangent of an operator."""
    for port, spec in zip(of.ports(), specs, strict=True):
        if spec.kind in ("operator", "factor", "dyad"):
            fix = "Give it the field that the operator is made from, or use `LinearSolve`"
            raise SpecError(
                f"{of.title} cannot be differentiated: its input is {spec.label()}", port=port.name, fix=fix
            )


@node
class Residual(Node):
    """r = residual(y, *inputs) of an implicit node, as an explicit node of y and the inputs."""

    of: ImplicitNode

    def ports(self) -> tuple[Port, ...]:
        """y, then what the node itself takes."""
        return (Port("y"), *inputs_of(self.of))

    def infer(self, *specs: Spec) -> Spec:
        """As y."""
        require_arrays(self.of, specs[1:])
        return specs[0]

    @property
    def title(self) -> str:
        """E.g. `residual VolumeShift`."""
        return f"residual {self.of.title}"

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """As a function of arrays."""
        return self.of.equation(backend)


@node
class ResidualNorm(Node):
    """The residual of a solution in units of what is let through: at most 1 for one that may be used."""

    of: ImplicitNode

    def ports(self) -> tuple[Port, ...]:
        """y, then what the node itself takes."""
        return (Port("y"), *inputs_of(self.of))

    def infer(self, *specs: Spec) -> Spec:
        """A scalar."""
        return scalar()

    @property
    def title(self) -> str:
        """E.g. `residual norm VolumeShift`."""
        return f"residual norm {self.of.title}"

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """As a function of arrays."""
        return self.of.error(backend)
