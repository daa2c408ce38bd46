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

    All three maps of a row have one colour scale, symmetric about zero: the largest entry of the full gradient, red
    where the output grows. What lies beyond is drawn in the colour of the end.

    Args:
        report: from `tg.bias`.
        path: of the picture; its ending is the format.

    Raises:
        TographError: none of its inputs is a plane field.
    """
    rows = {x: pair for x, pair in report.gradients.items() if pair[0].ndim == 2}
    if not rows:
        raise TographError(f"no input of {report.of!r} in this report is a field (ny, nx): {', '.join(report.wrt)}")
    figure = Figure(figsize=(10.5, 0.5 + 2.1 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), 3, squeeze=False)
    for line, (x, (cut, full)) in zip(panels, rows.items(), strict=True):
        _row(figure, line, f"d {report.of} / d {x}", cut, full)
    figure.suptitle(_sentence(report), fontsize=10)
    figure.savefig(path, dpi=120)


def _sentence(report: Bias) -> str:
    return f"angle {report.angle:.3g} degrees, ratio of lengths {report.ratio:.3g}"


def _row(figure: Any, line: Any, name: str, cut: np.ndarray, full: np.ndarray) -> None:
    bound = float(np.max(np.abs(full))) or 1.0
    for panel, title, values in zip(line, TITLES, (cut, full, cut - full), strict=True):
        image = panel.imshow(values, cmap="RdBu_r", vmin=-bound, vmax=bound)
        panel.set(title=f"{name}, {title}", xticks=[], yticks=[])
        panel.title.set_fontsize(9)
    figure.colorbar(image, ax=list(line), shrink=0.8, extend="both")
