"""See the gradient: the program that runs, measured on every edge, and explained.

    report = program.inspect("compliance", wrt="rho")(x)       # value and gradient, and what happened on the way
    report.why_nan()                                            # one sentence, with node and line

The normal program is another one, and pays nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..batch import BatchFunction
from ..errors import TographError, did_you_mean
from ..program import Program
from .function import Inspection as Inspection
from .measure import Statistics as Statistics
from .observer import GradientReports as GradientReports
from .overlays import OVERLAYS as OVERLAYS
from .report import GradientReport as GradientReport

MODES = ("reverse", "tangent", "vjp", "hvp", "value")
KEEP = ("statistics", "fields")


def inspection(
    program: Program, of: str | Sequence[str], wrt: str | Sequence[str], mode: str, keep: str, times: bool
) -> Inspection:
    """See `Program.inspect`."""
    for what, given, known in (("mode", mode, MODES), ("keep", keep, KEEP)):
        if given not in known:
            raise TographError(f"{what} is {given!r}. {did_you_mean(given, known)}")
    if mode in ("reverse", "value"):
        names = (of,) if isinstance(of, str) else tuple(of)
        function = program.values(*names) if mode == "value" else program.value_and_grad(of, wrt)
    else:
        make = {"tangent": program.jvp, "vjp": program.vjp, "hvp": program.hvp}[mode]
        function = make(*(one if isinstance(one, str) else _only(one) for one in (of, wrt)))
    if isinstance(function, BatchFunction):
        raise TographError("a batch cannot be inspected. Inspect the program itself, with the inputs of one member")
    return Inspection(function, keep, times=times)


def _only(names: Sequence[str]) -> str:
    if len(names) != 1:
        raise TographError(f"this mode takes one output and one input, got {len(names)} names")
    return names[0]
