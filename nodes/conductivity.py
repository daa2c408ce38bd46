"""Conduction of heat, or any scalar diffusion, as an operator edge: one unknown per node."""

from __future__ import annotations

from typing import Any

import numpy as np

import tograph as tg
from tograph import Axis, Edge, Node, Port, Spec, SpecError

from .filters import require_on_grid
from .grid import Grid
from .pattern import ElementPattern
from .stiffness import Assemble, integrate, require_dofs, shape_gradients


@tg.node
class Conductivity(Node):
    """Conductivity matrix K(k) = sum_e k_e P_e^T K_e P_e of a structured grid, where temperatures are held at `fixed`.

    K_e = integral of G^T diag(along) G over one element, G the gradients of its corner functions: bilinear
    quadrilaterals (unit thickness) or trilinear hexahedra, 2 x 2 (x 2) Gauss points, exact for a box. With it,
    `LinearSolve` gives temperatures for heat put in at the nodes: K T = q, weakly -div(k grad T) = heat, insulated
    where nothing else is said.

    k: field of conductivities, one per element, at least 0. K: symmetric operator with one dof per node.

    Attributes:
        grid: the grid, with its element size.
        fixed: nodes whose temperature is prescribed (0 unless the solve is given others).
        along: conductivity along x, y(, z) relative to k, positive; all 1 by default.

    Raises:
        SpecError: fixed nodes that are not on the grid; not one positive number per axis in `along`.

    Source: Zienkiewicz & Taylor, The Finite Element Method, vol. 1, the chapter on field problems.
    """

    inputs = (Port("k", "field"),)
    outputs = (Port("K", "operator"),)
    grid: Grid
    fixed: np.ndarray = ()  # type: ignore[assignment]
    along: tuple[float, ...] = ()

    def pattern(self) -> ElementPattern:
        """Where element values go."""
        return ElementPattern(self.grid, 1, np.unique(np.asarray(self.fixed, dtype=np.int64)))

    def infer(self, *specs: Spec) -> Spec:
        """An operator; fixed nodes and ratios must make sense."""
        require_on_grid(specs[0], self.grid, "k")
        require_dofs(self.fixed, self.grid.n_nodes, "Use `grid.nodes(...)`: in a scalar problem the dof is the node")
        if self.along and (len(self.along) != self.grid.dim or min(self.along) <= 0.0):
            fix = f"Give {self.grid.dim} positive numbers, for {', '.join('xyz'[: self.grid.dim])}"
            raise SpecError(f"along is {self.along}", port="along", fix=fix)
        return Spec("operator", specs[0].axes, specs[0].dtype, structure=self.pattern())

    def element(self) -> np.ndarray:
        """K_e for k = 1, (corners, corners)."""
        return integrate(self.grid, shape_gradients, np.diag(self.along or np.ones(self.grid.dim)))

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """The element matrix, a constant, and the assembly, which is linear in k."""
        matrix = self.element()[None]
        axes = (Axis("term", 1), *(Axis(name, matrix.shape[1]) for name in ("row", "column")))
        K: Edge = Assemble(self.pattern())(edges[0], tg.constant(matrix, Spec("array", axes), name="K_e"))
        return K
