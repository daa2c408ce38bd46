"""Plane beams and brackets under point and line loads, and one block in 3D. All dimensionless, with unit elements.

Reference compliances are u . f (no 1/2) for E = 1, nu = 0.3, plane stress, p = 3, E_min = 1e-9, unit thickness.
"uniform_compliance" belongs to the uniform design rho = volume. "oc_*" is the optimality-criteria loop of the 88-line
code: move limit 0.2, multiplier bisected on [0, 1e9] to a relative bracket of 1e-3, stop when no density changes by
more than 0.01, compliance of the last analysed design. That bracket leaves the volume off by up to 5.5e-4 relative; a
loop that holds the volume exactly ends at slightly other numbers, "exact_volume", with an iteration count of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tograph.nodes.grid import Floats, Grid, Integers

from .problem import Problem

ADTO = "ADTO package, commit 594ebce, executed; reproduced by tests/reference.py"
TOPOPTLAB = "topoptlab, tests/test_compliance.py, read; reproduced by tests/reference.py"


def _oc(value: float, iterations: int, exact: tuple[float, int]) -> dict[str, Any]:
    own = {"value": exact[0], "iterations": exact[1], "source": "tests/reference.py, interval=1e-15"}
    return {"value": value, "iterations": iterations, "radius": 2.4, "source": TOPOPTLAB, "exact_volume": own}


UNIFORM: dict[tuple[str, int, int, float], float] = {
    ("mbb", 60, 20, 0.5): 1007.022100730,
    ("mbb", 96, 64, 0.4): 498.232812980,
    ("mbb", 144, 48, 0.2): 16123.645820,
    ("tensile", 128, 64, 0.3): 178.654131312,
    ("michell", 128, 64, 0.3): 1483.527151,
    ("bridge", 96, 96, 0.5): 32.0002727877,
}
OPTIMISED: dict[tuple[str, int, int, float], dict[str, Any]] = {
    ("mbb", 60, 20, 0.5): {
        "oc_sensitivity_filter": _oc(216.81366, 106, exact=(216.785192425, 103)),
        "oc_density_filter": _oc(233.71457, 144, exact=(233.712543661, 146)),
    },
    ("cantilever", 60, 20, 0.5): {
        "oc_sensitivity_filter": _oc(208.442935436, 169, exact=(208.491717171, 169)),
    },
}


def mbb(nelx: int = 60, nely: int = 20, volume: float = 0.5) -> Problem:
    """Right half of the MBB beam: symmetry on the left edge, roller at the bottom right, unit load at the top left.

    Source: Sigmund (2001), "A 99 line topology optimization code written in Matlab",
    Struct. Multidisc. Optim. 21:120-127.
    """
    grid = Grid(nelx, nely)
    return Problem(
        name="mbb",
        grid=grid,
        fixed=np.union1d(grid.dofs(grid.nodes("left"), "x"), grid.dofs(grid.nodes("bottom-right"), "y")),
        load=_forces(grid, grid.nodes("top-left"), "y", -1.0),
        volume=volume,
        reference=_published("mbb", nelx, nely, volume),
        description="Half MBB beam: symmetry plane on the left, roller at the bottom right, load down at the top left.",
    )


def cantilever(nelx: int = 60, nely: int = 20, volume: float = 0.5, load: str = "end") -> Problem:
    """Cantilever clamped on the left with a unit load down on the right edge.

    load: "end" puts it at the bottom right corner, "mid" at the middle of the right edge (with an odd `nely` at the
        node just above the middle).
    """
    grid = Grid(nelx, nely)
    if load not in ("end", "mid"):
        raise ValueError(f'cantilever: load must be "end" (bottom right) or "mid" (middle right), got {load!r}.')
    where = grid.nodes("bottom-right") if load == "end" else _middle(grid, "right")
    return Problem(
        name="cantilever" if load == "end" else "cantilever_mid",
        grid=grid,
        fixed=grid.dofs(grid.nodes("left")),
        load=_forces(grid, where, "y", -1.0),
        volume=volume,
        reference=_published("cantilever", nelx, nely, volume) if load == "end" else {},
        description=f"Clamped on the left, load down at the {'bottom' if load == 'end' else 'middle'} right.",
    )


def cantilever_with_hole(nelx: int = 45, nely: int = 30, volume: float = 0.5) -> Problem:
    """Cantilever with a load at the bottom right and a round hole that must stay empty.

    The hole has radius nely/3 and its centre a third along the length, at half height. Source: Sigmund (2001), the
    example of passive elements.
    """
    grid = Grid(nelx, nely)
    from_centre = grid.centroids() - (nelx / 3, nely / 2)
    return Problem(
        name="cantilever_with_hole",
        grid=grid,
        fixed=grid.dofs(grid.nodes("left")),
        load=_forces(grid, grid.nodes("bottom-right"), "y", -1.0),
        volume=volume,
        void=(np.hypot(from_centre[:, 0], from_centre[:, 1]) < nely / 3).reshape(grid.shape),
        suite="passive",
        description="Cantilever with a round hole of radius nely/3 kept empty, load down at the bottom right.",
    )


def two_load_cantilever(nelx: int = 30, nely: int = 30, volume: float = 0.4) -> Problem:
    """Cantilever under two load cases: down at the bottom right (case 0) and up at the top right (case 1).

    Source: Sigmund (2001), the example of multiple load cases; the objective is the sum of both compliances.
    """
    grid = Grid(nelx, nely)
    cases = (
        _forces(grid, grid.nodes("bottom-right"), "y", -1.0),
        _forces(grid, grid.nodes("top-right"), "y", 1.0),
    )
    return Problem(
        name="two_load_cantilever",
        grid=grid,
        fixed=grid.dofs(grid.nodes("left")),
        load=np.stack(cases, axis=1),
        volume=volume,
        suite="load cases",
        description="Cantilever clamped on the left; one case pulls the bottom right down, the other the top right up.",
    )


def cantilever_3d(nelx: int = 24, nely: int = 8, nelz: int = 8, volume: float = 0.3) -> Problem:
    """Block clamped on the left face, with a unit load down spread evenly over the nodes of the bottom right edge."""
    grid = Grid(nelx, nely, nelz)
    return Problem(
        name="cantilever_3d",
        grid=grid,
        fixed=grid.dofs(grid.nodes("left")),
        load=_forces(grid, grid.nodes("bottom-right"), "y", -1.0),
        volume=volume,
        suite="3d",
        description="3D cantilever clamped on the left face, line load down along the bottom right edge.",
    )


def michell(nelx: int = 128, nely: int = 64, volume: float = 0.3) -> Problem:
    """Cantilever clamped on the left, unit load down at the middle of the right edge, in the proportions of ADTO."""
    grid = Grid(nelx, nely)
    return Problem(
        name="michell",
        grid=grid,
        fixed=grid.dofs(grid.nodes("left")),
        load=_forces(grid, _middle(grid, "right"), "y", -1.0),
        volume=volume,
        reference=_published("michell", nelx, nely, volume),
        description="Clamped on the left, load down at the middle of the right edge: two fans of a Michell structure.",
    )


def tensile(nelx: int = 128, nely: int = 64, volume: float = 0.3) -> Problem:
    """Bar pulled to the right at the middle of its right edge; left edge held in x, its middle node also in y."""
    grid = Grid(nelx, nely)
    return Problem(
        name="tensile",
        grid=grid,
        fixed=np.union1d(grid.dofs(grid.nodes("left"), "x"), grid.dofs(_middle(grid, "left"), "y")),
        load=_forces(grid, _middle(grid, "right"), "x", 1.0),
        volume=volume,
        reference=_published("tensile", nelx, nely, volume),
        description="Left edge held along x, pulled to the right at the middle of the right edge.",
    )


def bridge(nelx: int = 96, nely: int = 96, volume: float = 0.5) -> Problem:
    """Deck load on two pinned bottom corners: a total of 1 down, spread equally over the nelx + 1 top nodes."""
    grid = Grid(nelx, nely)
    return Problem(
        name="bridge",
        grid=grid,
        fixed=grid.dofs(np.union1d(grid.nodes("bottom-left"), grid.nodes("bottom-right"))),
        load=_forces(grid, grid.nodes("top"), "y", -1.0),
        volume=volume,
        reference=_published("bridge", nelx, nely, volume),
        description="Both bottom corners pinned, a load of total 1 spread equally over the nodes of the top edge.",
    )


def _forces(grid: Grid, nodes: Integers, direction: str, total: float) -> Floats:
    """Load vector (ndof,) with `total` in equal shares on `nodes`."""
    load = np.zeros(grid.n_dofs())
    load[grid.dofs(nodes, direction)] = total / len(nodes)
    return load


def _middle(grid: Grid, edge: str) -> Integers:
    """The node at index nely // 2 from the top of the left or right edge, shape (1,)."""
    return grid.nodes(edge)[grid.nely // 2 :][:1]


def _published(name: str, nelx: int, nely: int, volume: float) -> dict[str, Any]:
    key = (name, nelx, nely, volume)
    uniform = {"uniform_compliance": {"value": UNIFORM[key], "source": ADTO}} if key in UNIFORM else {}
    return uniform | OPTIMISED.get(key, {})
