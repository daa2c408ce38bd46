"""Conduction of heat: a plate that is heated everywhere and cooled at one place. All dimensionless."""

from __future__ import annotations

import numpy as np

from tograph.nodes.grid import Grid

from .problem import Problem


def heat_conduction(nelx: int = 40, nely: int = 40, nelz: int = 0, volume: float = 0.4) -> Problem:
    """Plate (or, with `nelz`, block) heated evenly, with a heat sink in the middle of its left side.

    A total of 1 is put in, in equal parts at all nodes but those of the sink, a tenth of the height (and depth). The
    other sides are insulated. The compliance sum of q T is the mean temperature of the heated nodes. Void conducts 1e-3
    of what the material does.
    Source: Bendsøe & Sigmund (2003), Topology Optimization: Theory, Methods and Applications, the example of heat
    conduction and its code `toph`, whose sink is every second node.
    """
    grid = Grid(nelx, nely, nelz)
    middle, half = np.array([nely, nelz][: grid.dim - 1]) / 2.0, np.array([nely, nelz][: grid.dim - 1]) / 20.0
    left = grid.nodes("left")
    off = np.abs(grid.node_coordinates()[left][:, 1:] - middle)
    sink = left[(off <= np.maximum(half, 0.5)).all(axis=1)]
    heat = np.full(grid.n_nodes, 1.0 / (grid.n_nodes - sink.size))
    heat[sink] = 0.0
    return Problem(
        name="heat_conduction",
        grid=grid,
        fixed=sink,
        load=heat,
        volume=volume,
        suite="heat",
        settings={"E_min": 1e-3},
        description="Plate heated evenly, cooled in the middle of its left side.",
    )
