"""Where a bias is: the gradient with cuts beside the full one, and what lies between them, over the domain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import TographError

if TYPE_CHECKING:
    from ..bias import Bias

TITLES = "with cuts", "full", "difference"


def draw_bias(report: Bias, path: str | Path) -> None:
    """Draw a report of `tg.bias` as maps, one row per input that is a plane field (ny, nx).

    Both gradients of a row have one colour scale, their difference one of its own, much finer where the bias is small.
    The scales are symmetric about zero, red where the output grows.

    Args:
        report: from `tg.bias`.
        path: of the picture; its ending is the format.

    Raises:
        TographError: none of its inputs is a plane field.
    """
    rows = {x: pair for x, pair in report.gradients.items() if pair[0].ndim == 2}
    if not rows:
        raise TographError(f"no input of {report.of!r} in this report is a field (ny, nx): {', '.join(report.wrt)}")
    figure = Figure(figsize=(11.0, 0.5 + 1.7 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), 3, squeeze=False)
    for line, (x, (cut, full)) in zip(panels, rows.items(), strict=True):
        bound = float(np.max(np.abs([cut, full])))
        for panel, title, values in zip(line, TITLES, (cut, full), strict=False):
            _map(figure, panel, f"d {report.of} / d {x}, {title}", values, bound)
        _map(figure, line[2], TITLES[2], cut - full, float(np.max(np.abs(cut - full))))
    figure.suptitle(_sentence(report), fontsize=10)
    figure.savefig(path, dpi=120)


def _sentence(report: Bias) -> str:
    return f"angle {report.angle:.3g} degrees, ratio of lengths {report.ratio:.3g}"


def _map(figure: Any, panel: Any, title: str, values: np.ndarray, bound: float) -> None:
    """One map with its colour bar."""
    end = bound or 1.0
    image = panel.imshow(values, cmap="RdBu_r", vmin=-end, vmax=end)
    panel.set(xticks=[], yticks=[])
    panel.set_title(title, fontsize=9)
    bar = figure.colorbar(image, ax=panel, shrink=0.7, format="%.0e", ticks=[-end, 0.0, end])
    bar.ax.tick_params(labelsize=7)
