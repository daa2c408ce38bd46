"""What a program is asked for besides backend and precision."""

from __future__ import annotations

import attrs

from .errors import TographError, did_you_mean

ON_FAILURE = ("raise", "warn", "record")


@attrs.frozen
class Settings:
    """Settings of a program, checked.

    Attributes:
        debug: evaluate every plan on random numbers before and after every pass.
        on_failure: what happens when a solve fails, one of `ON_FAILURE`.
        memory_budget: bytes that the predicted peak of a call must not exceed; None for no limit.

    Raises:
        TographError: an unknown `on_failure`.
    """

    debug: bool = False
    on_failure: str = "raise"
    memory_budget: int | None = None

    def __attrs_post_init__(self) -> None:
        if self.on_failure not in ON_FAILURE:
            raise TographError(f"on_failure is {self.on_failure!r}. {did_you_mean(self.on_failure, ON_FAILURE)}")
