"""Pictures of a graph and of the program made from it.

A declared graph or a plan becomes a `Diagram` (plain data); renderers read the diagram. The reverse
picture is made from the plan that runs.
"""

from __future__ import annotations

from .drawing import Drawing, draw, draw_passes
from .live import LivePage
from .model import Diagram
from .render import FORMATS
from .views import VIEWS

__all__ = ["FORMATS", "VIEWS", "Diagram", "Drawing", "LivePage", "draw", "draw_passes"]
