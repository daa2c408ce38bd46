"""How sound a finished design is: volume, grey, length scale, islands. Measured on the physical density."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from scipy import ndimage

from tograph.nodes.grid import Floats, Mask
from tograph.optimizers import grey_level

from .scene import Scene

SOLID = 0.5
"""An element whose density is above counts as solid."""
LOST = 0.01
"""The share of the solid that an opening may remove: rounded corners are no features."""
WIDEST = 40


@attrs.frozen
class Health:
    """What is measured; lengths in elements.

    Attributes:
        volume: mean of the physical density.
        grey: 4 mean(rho (1 - rho)), 0 for black and white.
        thinnest_solid, thinnest_void: smallest width of a bar, and of a gap; None where there is neither.
        islands: separate pieces of solid, elements that share a face being one piece.
        largest: share of the solid that is in the largest piece.
        carried: whether one piece touches a held node and a loaded one; None without a scene.
    """

    volume: float
    grey: float
    thinnest_solid: int | None
    thinnest_void: int | None
    islands: int
    largest: float
    carried: bool | None


def health_of(density: Floats, scene: Scene | None) -> Health:
    """Measure a field of the grid in 2D or 3D."""
    solid = np.asarray(density > SOLID)
    pieces, count = ndimage.label(solid)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    fits = scene is not None and scene.grid.shape == density.shape
    return Health(
        volume=float(density.mean()),
        grey=grey_level(np.clip(density, 0.0, 1.0)),
        thinnest_solid=thinnest(solid),
        thinnest_void=thinnest(~solid),
        islands=int(count),
        largest=float(sizes.max() / sizes.sum()) if count else 0.0,
        carried=_carried(pieces, scene) if fits and scene is not None else None,
    )


def thinnest(where: Mask) -> int | None:
    """The smallest width of a region, in elements: the largest disc whose opening leaves 99 % of it.

    An opening removes what no disc of the given diameter fits into; J. Serra, Image Analysis and Mathematical
    Morphology (1982). Outside of the grid the region goes on as at its edge. None for an empty region; at most 40.
    """
    if not where.any():
        return None
    widest = min(WIDEST if where.ndim == 2 else 10, *where.shape)
    found = 1
    for diameter in range(2, widest + 1):
        wide = np.pad(where, diameter, mode="edge")
        opened = ndimage.binary_opening(wide, _disc(diameter, where.ndim))
        inner = tuple(slice(diameter, -diameter) for _ in where.shape)
        if (where & ~opened[inner]).sum() > LOST * where.sum():
            return found
        found = diameter
    return found


def _disc(diameter: int, dim: int) -> Mask:
    """Elements whose centres are within the disc, or the ball."""
    along = np.arange(diameter) - 0.5 * (diameter - 1)
    squares = np.meshgrid(*[along**2] * dim, indexing="ij")
    return np.asarray(np.sum(squares, axis=0) <= (0.5 * diameter) ** 2)


def _carried(pieces: Any, scene: Scene) -> bool:
    """Whether a piece holds a node that is held and one that is loaded, for every load case."""
    nodes = scene.grid.element_nodes()
    labels = pieces.ravel()

    def touching(vectors: Any) -> set[int]:
        marked = np.any(vectors, axis=1)
        return set(labels[marked[nodes].any(axis=1)].tolist()) - {0}

    held = touching(scene.held)
    return all(held & touching(force) for force in scene.forces if np.any(force))


def health_rows(health: Health, bound: float | None, kkt: float | None) -> list[tuple[str, str, str]]:
    """Name, value and what it means, as texts."""

    def width(value: int | None) -> str:
        return "-" if value is None else f"{value} element{'s' if value > 1 else ''}"

    limit = "" if bound is None else f"the bound is {bound:.6g}"
    carried = {True: "yes", False: "no", None: "-"}[health.carried]
    return [
        ("volume of the physical field", f"{health.volume:.6g}", limit),
        ("grey level", f"{health.grey:.3f}", "0 is black and white, 1 all grey"),
        ("thinnest bar", width(health.thinnest_solid), "above a density of 1/2; largest disc whose opening keeps 99 %"),
        ("thinnest gap", width(health.thinnest_void), "the same, of the void"),
        ("pieces of solid", str(health.islands), f"{100 * health.largest:.1f} % of it in the largest"),
        ("loads joined to supports", carried, "by solid elements that share faces"),
        ("KKT residual", "-" if kkt is None else f"{kkt:.3g}", "0 is stationary; relative to the gradient"),
    ]
