"""From values at nodes to fields, and derivatives of fields with respect to coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

import tograph as tg
from tograph import Axis, Edge, Node, Port, Spec, SpecError
from tograph.derivative import Jvp
from tograph.expand import Block
from tograph.method import Derivative

from .grid import Grid
from .pattern import ElementPattern
from .stiffness import ElementStiffness


@tg.node
class CornerMean(Node):
    """y_e = mean of x over the corners of element e. x: one value per node, (n_nodes,); y: field, in the unit of x."""

    inputs = (Port("x"),)
    outputs = (Port("y", "field"),)
    linear = ("x",)
    grid: Grid

    def infer(self, *specs: Spec) -> Spec:
        if specs[0].size != self.grid.n_nodes:
            raise SpecError(f"is {specs[0].label()}, but the grid has {self.grid.n_nodes} nodes", port="x")
        return self.grid.field()

    def forward(self, xp: Any, *values: Any) -> Any:
        corners = _nodal(self.grid).gather(xp, xp.reshape(values[0], (1, -1)))[0]
        return xp.mean(corners, axis=-1)


@tg.vjp(CornerMean, "x")
def _(node: CornerMean, xp: Any, ct: Any, x: Any) -> Any:
    count = 2**node.grid.dim
    shares = xp.broadcast_to((ct / count)[..., None], (*ct.shape, count))
    return xp.reshape(_nodal(node.grid).scatter(xp, shares[None])[0], x.shape)


def _nodal(grid: Grid) -> ElementPattern:
    return ElementPattern(grid, 1, np.zeros(0, dtype=np.int64))


@tg.node
class Gradient(Node):
    """H_ij = d u_i / d x_j of a field u = of(x, ...) at every point, by forward AD with respect to the coordinates.

    x: (..., d), the first input of the node `of`, which must treat each point for itself (a network without
    normalisation does); then its other inputs; u: (..., m); H: (..., m, d), in the unit of u over that of x.

    Attributes:
        of: the node, e.g. an `MLP` with `results`.
    """

    outputs = (Port("H"),)
    of: Any

    @property
    def inputs(self) -> tuple[Port, ...]:  # type: ignore[override]
        """Those of the node."""
        found: tuple[Port, ...] = self.of.inputs
        return found

    @property
    def title(self) -> str:
        """E.g. `gradient MLP`."""
        return f"gradient {self.of.title}"

    def infer(self, *specs: Spec) -> Spec:
        u = self.of.infer(*specs)
        if u.shape[:-1] != specs[0].shape[:-1]:
            fix = "Give the network `results`, so that it has one row per point"
            raise SpecError(f"{self.of.title} gives {u.label()} for {specs[0].label()}", port="x", fix=fix)
        return Spec("array", (*u.axes, Axis("along", specs[0].shape[-1])), u.dtype)

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """A tangent along every coordinate."""
        known = tuple(spec for spec in specs if spec is not None)
        names, x = tuple(port.name for port in self.inputs), known[0]
        whole = Block(self.of, names, known)
        ways = np.eye(x.shape[-1])
        push = Jvp(whole, names[0], "autodiff", names, None, (), Derivative("autodiff"))
        columns = [push(tg.constant(np.broadcast_to(way, x.shape), x), *edges) for way in ways]
        H: Edge = Columns()(*columns)
        return H


@tg.node
class Columns(Node):
    """Arrays of one shape side by side, along a new last axis."""

    inputs = (Port("parts", variadic=True),)

    def infer(self, *specs: Spec) -> Spec:
        return Spec("array", (*specs[0].axes, Axis("along", len(specs))), specs[0].dtype)

    def forward(self, xp: Any, *values: Any) -> Any:
        return xp.stack(list(values), axis=-1)


@tg.node
class StrainDensity(Node):
    """s = eps : C(nu) : eps for modulus 1, with eps = (H + H^T) / 2: twice the strain energy per volume, at points.

    H: (..., d, d), the gradient of a displacement, dimensionless; s: (...), dimensionless. Summed with weights over
    collocation points, times moduli, it is the energy that `StrainEnergy` integrates on the grid.

    Attributes:
        nu: Poisson's ratio in (-1, 0.5), constant or wire.
        plane: "stress" or "strain"; ignored in 3D.
    """

    inputs = (Port("H"),)
    outputs = (Port("s"),)
    nu: Any = tg.parameter(default=0.3, above=-1.0, high=0.5)
    plane: str = "stress"

    def infer(self, *specs: Spec) -> Spec:
        H = specs[0]
        if len(H.shape) < 2 or H.shape[-1] != H.shape[-2] or H.shape[-1] not in (2, 3):
            raise SpecError(f"is {H.label()}", port="H", fix="Give (..., 2, 2) or (..., 3, 3)")
        axes = H.axes[:-2]
        return Spec("array" if axes else "scalar", axes, H.dtype)

    def forward(self, xp: Any, *values: Any) -> Any:
        H, nu = values
        d = H.shape[-1]
        normal, coupling, shear = ElementStiffness(Grid(1, 1, 1 if d == 3 else 0), self.plane).coefficients(nu)
        e = [H[..., i, i] for i in range(d)]
        s = sum(normal * a * a for a in e)
        for i in range(d):
            for j in range(i + 1, d):
                g = H[..., i, j] + H[..., j, i]
                s = s + 2.0 * coupling * e[i] * e[j] + shear * g * g
        return s
