"""How every mark looks and what it means: data, not code.

Colours are those of Okabe & Ito (Color Universal Design, 2008), which colour-blind people can tell
apart. In grey print each mark is still told by its shape, line or glyph.
"""

from __future__ import annotations

import attrs

BLACK, GREY, FAINT, WHITE = "#1A1A1A", "#767676", "#B5B5B5", "#FFFFFF"
ORANGE, SKY, GREEN, GOLD = "#E69F00", "#56B4E9", "#009E73", "#DDA900"
BLUE, VERMILLION, PURPLE, VIOLET = "#0072B2", "#C04A00", "#B0568A", "#6A3D9A"
PALE_GREEN, PALE_PURPLE, PALE_GREY, PALE_SKY = "#E6F4EF", "#F7E9F1", "#EFEFEF", "#E8F3FB"

MAGENTA = "#B5179E"
ALARMS = ("nan origin", "dead", "not converged", "wrong rule")
"""Badges that frame their box."""

FONT = "Helvetica,Arial,sans-serif"


@attrs.frozen
class BoxStyle:
    """Shape and colours of a box, its glyph in the legend, and what it means."""

    shape: str
    text: str
    glyph: str
    fill: str = WHITE
    line: str = BLACK
    ink: str = BLACK
    style: str = "filled"
    width: float = 1.2
    outlines: int = 1


@attrs.frozen
class ArrowStyle:
    """Line of an arrow, its glyph in the legend, and what it means."""

    color: str
    text: str
    glyph: str = "──▶"
    style: str = "solid"
    width: float = 1.3
    head: str = "normal"
    ink: str = BLACK


@attrs.frozen
class BadgeStyle:
    """A short tag inside a box, and what it means."""

    label: str
    text: str
    fill: str = PALE_GREY
    ink: str = BLACK


BOXES: dict[str, BoxStyle] = {
    "design": BoxStyle("box", "design input", "●", BLUE, BLUE, WHITE, "rounded,filled"),
    "parameter": BoxStyle("box", "parameter input (a wire)", "◎", WHITE, BLUE, style="rounded,filled", outlines=2),
    "constant": BoxStyle("box", "constant", "●", "#D9D9D9", GREY, style="rounded,filled"),
    "node": BoxStyle("box", "node: name : operation", "▢", WHITE, BLACK, style="rounded,filled"),
    "solve": BoxStyle("hexagon", "implicit solve", "⬡", PALE_PURPLE, PURPLE, width=1.8),
    "factor": BoxStyle(
        "cylinder", "factorisation, kept for every solve with this matrix", "⛁", PALE_PURPLE, VIOLET, width=1.8
    ),
    "output": BoxStyle("cds", "output", "⌂", WHITE, BLACK, width=1.8),
    "seed": BoxStyle("triangle", "seed: where the derivative starts", "▲", GREEN, GREEN, WHITE),
    "seed removed": BoxStyle("triangle", "seed, folded away by the compiler", "△", WHITE, GREEN, style="filled,dotted"),
    "pullback": BoxStyle("box", "pull-back: x_bar = d output / d x", "▢", PALE_GREEN, GREEN, style="rounded,filled"),
    "pushforward": BoxStyle("box", "push-forward: x_dot = change of x", "▢", PALE_SKY, BLUE, style="rounded,filled"),
    "adjoint": BoxStyle("hexagon", "adjoint solve (an extra one)", "⬣", "#E3B8D0", PURPLE, width=1.8, outlines=2),
    "tangent solve": BoxStyle("hexagon", "tangent solve (an extra one)", "⬣", "#E3B8D0", PURPLE, width=1.8, outlines=2),
    "accumulate": BoxStyle("circle", "sum of contributions, with their number", "⊕", WHITE, GREEN, width=1.8),
    "status": BoxStyle("box", "check that a solve has converged", "?", PALE_GREY, GREY, style="rounded,filled,dashed"),
    "removed": BoxStyle(
        "box", "not executed: removed by the compiler", "⬚", WHITE, GREY, GREY, "rounded,filled,dotted"
    ),
    "gradient": BoxStyle("box", "gradient", "▰", GREEN, GREEN, WHITE, "rounded,filled"),
    "tangent": BoxStyle("box", "tangent", "▰", BLUE, BLUE, WHITE, "rounded,filled"),
    "cut": BoxStyle("box", "detached: the derivative ends here", "┃", VERMILLION, VERMILLION, VERMILLION),
    "no path": BoxStyle("box", "no derivative, with the reason", "∅", WHITE, GREY, GREY, "filled,dotted"),
}
"""Kind of box -> its looks. `text` is its line in the legend."""

ARROWS: dict[str, ArrowStyle] = {
    "field": ArrowStyle(BLACK, "field, one value per element"),
    "vector": ArrowStyle(BLACK, "vector, one value per dof", "━━▷", width=2.4, head="empty"),
    "operator": ArrowStyle("#1A1A1A:invis:#1A1A1A", "operator, such as a stiffness", "══▶", width=1.3),
    "scalar": ArrowStyle(GREY, "scalar", "──›", width=0.9, head="vee"),
    "factor": ArrowStyle(VIOLET, "factor in use", "━━●", width=2.4, head="dot", ink=VIOLET),
    "other": ArrowStyle(GREY, "other array", "──▶"),
    "detached": ArrowStyle(VERMILLION, "detached: the value passes, no derivative", "─✂▶", width=1.8, ink=VERMILLION),
    "surrogate": ArrowStyle(ORANGE, "surrogate: only the derivative goes here", "╌╌▶", "dashed", 1.8, ink="#8A5A00"),
    "residual": ArrowStyle(FAINT, "residual: kept for the derivative", "──▶", width=1.5, ink="#6B6B6B"),
    "cotangent": ArrowStyle(GREEN, "cotangent (derivative flowing back)", "╌╌▶", "dashed", 1.8, ink="#00664B"),
    "tangent": ArrowStyle(BLUE, "tangent (derivative flowing forward)", "╌╌▶", "dashed", 1.8, ink=BLUE),
    "saved": ArrowStyle(GOLD, "solve saved: lambda is read off u", "━⚡▶", width=4.0, ink="#7A5C00"),
    "removed": ArrowStyle(GREY, "not executed: removed by the compiler", "┈┈▷", "dotted", 1.2, "empty", GREY),
    "cut": ArrowStyle(VERMILLION, "detached: nothing flows", "╌╌┃", "dashed", 1.8, "tee", VERMILLION),
    "no path": ArrowStyle(GREY, "no derivative", "┈┈┤", "dotted", 1.2, "tee", GREY),
    "mate": ArrowStyle(GREY, "joins a value with its derivative", "┈┈┈", "dotted", 0.9, "none"),
    "result": ArrowStyle(GREY, "result", "──▶", width=0.9),
}
"""Kind of arrow -> its looks. `text` is its line in the legend."""

BADGES: dict[str, BadgeStyle] = {
    "registered": BadgeStyle("✓ rule", "derivative by a registered rule", "#CDE9DF"),
    "graph": BadgeStyle("✓ graph rule", "derivative made of nodes, which the compiler can simplify", "#CDE9DF"),
    "transposed": BadgeStyle("T transposed", "derivative by transposing the other mode's rule", "#CFE6F5"),
    "linear": BadgeStyle("= linear", "linear: the node is its own derivative", "#CDE9DF"),
    "autodiff": BadgeStyle("AD", "derivative by the framework's AD", "#F8E3B5"),
    "implicit": BadgeStyle("∂ implicit", "derivative by the implicit function theorem", "#E3D3F0"),
    "jacobian": BadgeStyle("J Jacobian", "derivative by the full Jacobian", "#F8E3B5"),
    "unrolled": BadgeStyle("AD unrolled", "derivative through every iteration of a solver", "#F8E3B5"),
    "finite-difference": BadgeStyle("Δ differences", "derivative by difference quotients", "#F6D3BF"),
    "complex-step": BadgeStyle("i complex step", "derivative by a complex step", "#F8E3B5"),
    "inexact": BadgeStyle("≈ inexact", "heuristic derivative, inexact by design", "#F6D3BF", "#8A3500"),
    "host": BadgeStyle("host", "runs on the host (NumPy), not on the device", BLACK, WHITE),
    "once": BadgeStyle("1× once", "does not depend on the inputs: computed once", "#F5EFC0"),
    "part once": BadgeStyle("1× partly once", "some steps inside are computed once", "#F5EFC0"),
    "checked": BadgeStyle("✓ residual", "the residual of this solve is checked", PALE_GREY),
    "batched": BadgeStyle("≡ one call", "several right-hand sides in one call of the solver", "#DCD0EA"),
    "again": BadgeStyle("↻ again", "computed again instead of kept (rematerialised)", "#F5EFC0"),
    "cast": BadgeStyle("▱ cast", "changes the precision of what flows", "#CFE6F5"),
    "nan origin": BadgeStyle("★ NaN begins here", "NaN or infinity begins here; its inputs are finite", MAGENTA, WHITE),
    "nan": BadgeStyle("☆ NaN from above", "not finite because of a step before; its distance in brackets", "#F9D9F0"),
    "dead": BadgeStyle("◆ 0! dead from here", "a derivative that is exactly 0 became so here", BLACK, WHITE),
    "not converged": BadgeStyle("! not converged", "a solve that failed, forward or adjoint", VERMILLION, WHITE),
    "wrong rule": BadgeStyle("✗ wrong rule", "a rule that disagrees with difference quotients", VERMILLION, WHITE),
    "narrow": BadgeStyle("▱ fewer bits", "numbers with less precision than the program's", "#F6D3BF"),
    "shared": BadgeStyle("⇉ shared", "one factorisation for several solves", "#DCD0EA"),
}
"""Kind of badge -> its looks. `text` is its line in the legend."""

SILENT = {("arrow", "result"), *(("box", kind) for kind in ("node", "output", "gradient", "tangent", "cut", "removed"))}
"""Marks that say what they are, or whose arrow does: not in the legend."""
