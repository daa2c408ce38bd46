"""Results as JSON that every reader accepts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Numbers as Python's own; what is not finite becomes None, because JSON has no word for it."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def to_json(data: Any) -> str:
    """Indented text of `plain(data)`."""
    return json.dumps(plain(data), indent=2, allow_nan=False)
