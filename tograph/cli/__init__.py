"""The command line: `tograph run | draw | check | explain | problems`."""

from __future__ import annotations

from .commands import main as main
