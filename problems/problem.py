"""What a topology-optimisation problem is: a grid, supports, loads, regions and published numbers. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from tograph import Graph
from tograph.nodes.grid import Floats, Grid, Integers, Mask

from .workflow import compliance_workflow


@attrs.frozen(eq=False)
class Problem:
    """A design problem on a structured grid. Layout and signs are those of `tograph.nodes.grid`.

    Attributes:
        name: short identifier, e.g. "mbb".
        grid: elements, nodes and dof numbering.
        fixed: supported dofs, shape (n_fixed,); stored ascending and without repeats.
        load: nodal forces, shape (ndof,), or (ndof, cases) for load cases solved independently. ndof is grid.n_dofs(),
            or grid.n_nodes in a scalar problem such as heat conduction.
        volume: target mean of the physical density over ALL elements, passive ones included; in (0, 1].
        prescribed: displacements at the fixed dofs, shape (ndof,), zero elsewhere; None means zero supports.
        solid, void: True where the density is held at 1 or at 0, shape of a field; None means nowhere.
        nu: Poisson's ratio, dimensionless, in (-1, 0.5).
        plane: "stress" or "strain"; of no effect in 3D.
        suite: family for listings, e.g. "classic".
        reference: published values. By convention {quantity: {"value": ..., "source": ..., further settings}}.
        settings: defaults of `workflow` for this problem: those that its published numbers belong to.
        description: one or two sentences.

    All arrays are copied and read-only. Forces and lengths are in any consistent units; the classics are dimensionless.

    Raises:
        ValueError: shapes or indices that do not fit the grid, supports that leave a rigid motion free, a load or
            a region that contradicts another, or a number out of range.
    """

    name: str
    grid: Grid
    fixed: Integers
    load: Floats
    volume: float
    prescribed: Floats | None = None
    solid: Mask | None = None
    void: Mask | None = None
    nu: float = 0.3
    plane: str = "stress"
    suite: str = "classic"
    reference: Mapping[str, Any] = attrs.field(factory=dict)
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    description: str = ""

    def __attrs_post_init__(self) -> None:
        _check_numbers(self)
        load = _load(self)
        fixed = _fixed(self, len(load))
        checked = {
            "load": load,
            "fixed": fixed,
            "prescribed": _prescribed(self, fixed, load),
            "solid": _region(self, "solid"),
            "void": _region(self, "void"),
        }
        for field, value in checked.items():
            if value is not None:
                value.setflags(write=False)
            object.__setattr__(self, field, value)
        _check_load_is_carried(self)
        _check_supports(self)
        _check_regions(self)

    @property
    def components(self) -> int:
        """Dofs per node: `grid.dim`, or 1 in a scalar problem."""
        return len(self.load) // self.grid.n_nodes

    @property
    def cases(self) -> int:
        """Number of load cases, at least 1."""
        return 1 if self.load.ndim == 1 else self.load.shape[1]

    def uniform(self, value: float | None = None) -> Floats:
        """A design with one density in every free element, 1 in `solid` and 0 in `void`; shape of a field, float64.

        value: density of the free elements in [0, 1]. Default: the one whose mean over all elements is `volume`,
            which without passive regions is `volume` itself.
        """
        passive = np.zeros(self.grid.shape, dtype=np.bool_)
        filled = 0
        if self.solid is not None:
            passive, filled = passive | self.solid, int(self.solid.sum())
        if self.void is not None:
            passive = passive | self.void
        if value is None:
            free = passive.size - int(passive.sum())
            value = (self.volume * passive.size - filled) / free if passive.any() else self.volume
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{self.name}: a density must be in [0, 1], got {value}.")
        design = np.where(passive, 0.0, float(value))
        return design if self.solid is None else np.where(self.solid, 1.0, design)

    def workflow(self, **options: Any) -> Graph:
        """The standard workflow as a graph; see `tograph.problems.workflow.compliance_workflow` for the options.

        Input `rho`, outputs `compliance` and `volume`. What is not given is taken from `settings`.
        """
        return compliance_workflow(self, **{**self.settings, **options})


def _check_numbers(problem: Problem) -> None:
    if not 0.0 < problem.volume <= 1.0:
        raise ValueError(f"{problem.name}: volume is a fraction in (0, 1], got {problem.volume}.")
    if not -1.0 < problem.nu < 0.5:
        raise ValueError(f"{problem.name}: Poisson's ratio nu must be in (-1, 0.5), got {problem.nu}.")
    if problem.plane not in ("stress", "strain"):
        raise ValueError(f'{problem.name}: plane must be "stress" or "strain", got {problem.plane!r}.')


def _load(problem: Problem) -> Floats:
    load = np.array(problem.load, dtype=np.float64)
    grid = problem.grid
    if load.ndim not in (1, 2) or load.shape[0] not in (grid.n_dofs(), grid.n_nodes) or load.size == 0:
        expected = f"({grid.n_dofs()},) or ({grid.n_dofs()}, cases), or {grid.n_nodes} rows in a scalar problem"
        raise ValueError(f"{problem.name}: load has shape {load.shape}; it must be {expected}.")
    if not np.isfinite(load).all():
        first = int(np.argwhere(~np.isfinite(load))[0, 0])
        raise ValueError(f"{problem.name}: load has entries that are not finite, first at dof {first}.")
    if not load.any(axis=0).all() and problem.prescribed is None:
        raise ValueError(f"{problem.name}: a load case without any force has only the zero solution; give it a force.")
    return load


def _fixed(problem: Problem, n_dofs: int) -> Integers:
    given = np.asarray(problem.fixed)
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer):
        message = f"{problem.name}: fixed must be a list of dof numbers"
        raise ValueError(f"{message}, got {given.dtype} of shape {given.shape}; see Grid.dofs.")
    fixed = np.unique(given).astype(np.int64)
    outside = fixed[(fixed < 0) | (fixed >= n_dofs)]
    if outside.size:
        raise ValueError(f"{problem.name}: fixed dofs must be in 0 .. {n_dofs - 1}, got {outside[0]}.")
    return fixed


def _prescribed(problem: Problem, fixed: Integers, load: Floats) -> Floats | None:
    if problem.prescribed is None:
        return None
    values = np.array(problem.prescribed, dtype=np.float64)
    if values.shape != load.shape[:1]:
        raise ValueError(f"{problem.name}: prescribed has shape {values.shape}; it must be ({len(load)},).")
    if not np.isfinite(values[fixed]).all():
        raise ValueError(f"{problem.name}: prescribed has values at fixed dofs that are not finite.")
    free = np.delete(np.arange(len(values)), fixed)
    ignored = free[values[free] != 0]
    if ignored.size:
        where = problem.grid.describe_dof(int(ignored[0]), len(load) // problem.grid.n_nodes)
        raise ValueError(f"{problem.name}: prescribed moves {where}, which is not fixed; add it to `fixed`.")
    return values


def _region(problem: Problem, name: str) -> Mask | None:
    given = getattr(problem, name)
    if given is None:
        return None
    mask = np.array(given)
    if mask.shape != problem.grid.shape or mask.dtype != np.bool_:
        turned = mask.shape == problem.grid.shape[::-1] != problem.grid.shape
        fix = "the axes look swapped" if turned else "see Grid.elements_in"
        expected = f"it must be bool of shape {problem.grid.shape}, rows from the top"
        raise ValueError(f"{problem.name}: {name} is {mask.dtype} of shape {mask.shape}; {expected} ({fix}).")
    return mask


def _check_load_is_carried(problem: Problem) -> None:
    on_support = problem.fixed[problem.load[problem.fixed].reshape(len(problem.fixed), -1).any(axis=1)]
    if on_support.size:
        where = problem.grid.describe_dof(int(on_support[0]), problem.components)
        message = f"{problem.name}: {on_support.size} loaded dof(s) are also fixed, first {where}"
        raise ValueError(f"{message}; such a load does nothing, remove it or the support.")


def _check_supports(problem: Problem) -> None:
    """Supports must stop every rigid motion: the motions, seen at the fixed dofs only, stay linearly independent."""
    modes, names = _rigid_motions(problem)
    at_supports = modes[problem.fixed]
    rank = int(np.linalg.matrix_rank(at_supports)) if at_supports.size else 0
    if rank < len(names):
        free = [name for k, name in enumerate(names) if not at_supports[:, k].any()]
        detail = f" ({', '.join(free)})" if free else ""
        message = f"{problem.name}: the supports leave {len(names) - rank} rigid motion(s) free{detail}"
        raise ValueError(f"{message}, so the stiffness is singular; fix more dofs.")


def _rigid_motions(problem: Problem) -> tuple[Floats, list[str]]:
    """Translations and rotations about the centre, shape (ndof, motions), and their names."""
    grid = problem.grid
    if problem.components == 1:
        return np.ones((grid.n_nodes, 1)), ["a constant"]
    points = grid.node_coordinates()
    # Scaled to unit size, so that the rank does not depend on the user's unit of length.
    points = (points - points.mean(axis=0)) / np.ptp(points)
    columns = [np.tile(np.eye(grid.dim)[k], (grid.n_nodes, 1)) for k in range(grid.dim)]
    names = [f"translation in {d}" for d in "xyz"[: grid.dim]]
    for a, b, about in ((0, 1, "z"), (1, 2, "x"), (2, 0, "y"))[: 1 if grid.dim == 2 else 3]:
        turn = np.zeros_like(points)
        turn[:, a], turn[:, b] = -points[:, b], points[:, a]
        columns.append(turn)
        names.append(f"rotation about {about}")
    return np.stack([column.ravel() for column in columns], axis=1), names


def _check_regions(problem: Problem) -> None:
    solid = np.zeros(problem.grid.shape, np.bool_) if problem.solid is None else problem.solid
    void = np.zeros(problem.grid.shape, np.bool_) if problem.void is None else problem.void
    both = int((solid & void).sum())
    if both:
        raise ValueError(f"{problem.name}: {both} element(s) are both solid and void; take them out of one of the two.")
    if (solid | void).all():
        raise ValueError(f"{problem.name}: every element is solid or void, so nothing is left to design.")
    least, most = float(solid.mean()), 1.0 - float(void.mean())
    if not least < problem.volume <= most:
        raise ValueError(
            f"{problem.name}: volume {problem.volume} cannot be reached: solid and void leave fractions in"
            f" ({least:.6g}, {most:.6g}]. Volume counts all elements, passive ones included."
        )
