"""The mark between a kept value and what is computed from it for the second time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .node import Node, Port, node

if TYPE_CHECKING:
    from .backends.base import Backend

ROLE = "rematerialised"
"""The role (`Origin.role`) of a step that is computed again."""


@node
class Again(Node):
    """y = x: a kept value from which steps are computed again, not before `after`.

    An optimising compiler would find that these steps were computed before, and keep their values after all;
    the backend keeps the two apart.
    """

    inputs = (Port("x"), Port("after", optional=True))

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """See `Backend.apart`."""
        return backend.apart
