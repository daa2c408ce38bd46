"""The structures in the suite of Hoyer et al. at any size: who is held, what pulls, what is empty.

Source: Hoyer, Sohl-Dickstein and Greydanus (2019), arXiv:1909.04240, and the definitions published with it. What the
published code does by accident is kept, because the published numbers belong to it: the crane's load hangs two rows
below half height, and the two-level bridge is pulled sideways as hard as in y.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from .sketch import EVERYWHERE, Sketch, circle, line


def mbb_beam(s: Sketch) -> None:
    """Half of a simply supported beam under a point load."""
    s.mirror(0)
    s.hold("y", -1, -1)
    s.pull("y", 0, 0, -1.0)


def cantilever_beam_full(s: Sketch) -> None:
    """Clamped along the left edge, point load at the bottom right."""
    s.hold("xy", EVERYWHERE, 0)
    s.pull("y", -1, -1, -1.0)


def cantilever_beam_two_point(s: Sketch) -> None:
    """Held at two points of the left edge, point load at the middle of the right one."""
    s.hold("xy", [s.height // 4, 3 * s.height // 4], 0)
    s.pull("y", s.height // 2, -1, -1.0)


def pure_bending_moment(s: Sketch) -> None:
    """A couple of forces at the left edge, symmetric about the right one."""
    arm = round(0.05 * s.height)
    above, below = s.height // 2 - arm, s.height // 2 + arm
    s.mirror(-1)
    s.hold("y", [above, below], 0)
    s.pull("x", [above, below], 0, [-1.0, 1.0])


def ground_structure(s: Sketch) -> None:
    """Load at the lower edge half way between a pinned corner and the symmetry line."""
    s.mirror(-1)
    s.hold("xy", -1, 0)
    s.pull("y", -1, s.width // 2, -1.0)


def michell_centered_both(s: Sketch) -> None:
    """Michell structure: support near the left edge and load on the symmetry line, both at half height."""
    s.mirror(-1)
    s.hold("y", s.height // 2, round(0.05 * s.width))
    s.pull("y", s.height // 2, -1, -1.0)


def michell_centered_below(s: Sketch) -> None:
    """Michell structure hanging below a support and a load on the top edge."""
    s.mirror(-1)
    s.hold("y", 0, s.width // 4)
    s.pull("y", 0, -1, -1.0)


def l_shape(s: Sketch, aspect: float) -> None:
    """An L with limbs of width `aspect`, hung from its top, loaded at the middle of its right end."""
    limb = round(aspect * s.width)
    s.empty(slice(0, s.height - limb), slice(limb, None))
    s.hold("xy", 0, slice(0, limb))
    s.pull("y", round((1.0 - aspect / 2.0) * s.height), -1, -1.0)


def crane(s: Sketch) -> None:
    """A load below the arm of a crane; the ground is the bottom edge, the quarter under the arm is empty."""
    row = s.height // 2 + 2
    s.empty(slice(row, None), slice(s.width // 2, None))
    s.hold("xy", -1, EVERYWHERE)
    s.pull("y", row, round(0.9 * s.width), -1.0)


def center_support(s: Sketch) -> None:
    """A deck on top of one pillar, which stands on the symmetry line."""
    s.mirror(-1)
    s.hold("y", -1, -1)
    s.deck(0)


def column(s: Sketch) -> None:
    """Half of a column under a spread load."""
    s.mirror(-1)
    s.hold("y", -1, EVERYWHERE)
    s.deck(0)


def roof(s: Sketch) -> None:
    """A repeated roof under a spread load, standing anywhere on the ground."""
    s.mirror(0)
    s.mirror(-1)
    s.hold("y", -1, EVERYWHERE)
    s.deck(0)


def causeway_bridge(s: Sketch, level: float) -> None:
    """A repeated bridge with its deck at a height of `level`, on one pillar a bay."""
    s.mirror(0)
    s.mirror(-1)
    s.hold("y", -1, -1)
    s.deck(round((1.0 - level) * s.height))


def two_level_bridge(s: Sketch) -> None:
    """A repeated bridge with two decks, pulled sideways as well.

    The published element is written for y down while its forces are stored as if y were up. That
    matters only where forces have both components, so here the decks are pulled up.
    """
    s.mirror(0)
    s.mirror(-1)
    s.hold("y", -1, 0)
    rows = [round(0.4 * s.height), round(0.6 * s.height)]
    s.pull("x", rows, EVERYWHERE, -0.5 / s.width)
    s.pull("y", rows, EVERYWHERE, 0.5 / s.width)


def free_suspended_bridge(s: Sketch) -> None:
    """Half of a bridge with its deck along the bottom, resting on a fifth of it."""
    s.mirror(-1)
    s.hold("y", -1, slice(0, round(0.2 * s.width)))
    s.deck(-1)


def anchored_suspended_bridge(s: Sketch) -> None:
    """As the free one, but anchored in both directions on a tenth of the bottom."""
    s.mirror(-1)
    s.hold("xy", -1, slice(0, round(0.1 * s.width)))
    s.deck(-1)


def canyon_bridge(s: Sketch) -> None:
    """A deck on top, held by the wall of a canyon on the right."""
    s.mirror(0)
    s.hold("xy", EVERYWHERE, -1)
    s.deck(0)


def thin_support_bridge(s: Sketch) -> None:
    """A deck on a pillar a quarter as wide as the bay; below the deck the rest is empty."""
    s.mirror(0)
    s.mirror(-1)
    s.hold("y", -1, EVERYWHERE)
    s.empty(slice(s.height // 4, None), slice(0, 3 * s.width // 4))
    s.deck(0)


def drawbridge(s: Sketch) -> None:
    """A deck along the bottom, held by the left edge alone."""
    s.hold("xy", EVERYWHERE, 0)
    s.deck(-1)


def hoop(s: Sketch) -> None:
    """Half of a circle that carries its own weight, on the ground."""
    s.mirror(-1)
    s.hold("y", -1, EVERYWHERE)
    radius = s.height / 2
    s.pull("y", EVERYWHERE, EVERYWHERE, -circle(s, radius) / (2.0 * math.pi * radius))


def dam(s: Sketch) -> None:
    """Water pressure on the left edge, growing with depth, on a held bottom."""
    s.hold("xy", -1, EVERYWHERE)
    s.pull("x", EVERYWHERE, 0, 2.0 * np.arange(1, s.height + 2) / s.height**2)


def ramp(s: Sketch) -> None:
    """A loaded line from the top left to the bottom right."""
    s.hold("xy", -1, EVERYWHERE)
    s.pull("y", EVERYWHERE, EVERYWHERE, -line(s, (0, 0), (s.width, s.height)) / s.width)


def staircase(s: Sketch, flights: int) -> None:
    """Loaded lines to and fro between the edges."""
    s.hold("xy", -1, EVERYWHERE)
    turns = [(s.width * (k % 2), k * s.height // flights) for k in range(flights + 1)]
    stairs = [line(s, a, b) for a, b in pairwise(turns)]
    s.pull("y", EVERYWHERE, EVERYWHERE, -np.max(stairs, axis=0) / (s.width * flights))


def staggered_points(s: Sketch, interval: int) -> None:
    """Point loads in a staggered pattern, carried to the ground; repeated to both sides."""
    s.mirror(0)
    s.mirror(-1)
    s.hold("y", -1, EVERYWHERE)
    load = -(interval**2) / (s.width * s.height)
    half = interval // 2
    s.pull("y", slice(half, None, interval), slice(0, None, interval), load)
    s.pull("y", slice(0, None, interval), slice(half, None, interval), load)


def multistory_building(s: Sketch, storey: int) -> None:
    """Loaded floors every `storey` elements, the roof and the ground floor among them."""
    s.mirror(-1)
    s.hold("y", -1, EVERYWHERE)
    s.pull("y", slice(0, None, storey), EVERYWHERE, -1.0 / s.width)
