"""Filters: density (weighted average over a neighbourhood) and sensitivity (heuristic)."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from scipy.ndimage import convolve

import tograph as tg
from tograph import Edge, Node, Port, Spec, SpecError
from tograph.arithmetic import Hadamard, Reciprocal
from tograph.port import Range

from .convolution import Convolve, Spectrum
from .grid import Grid


@tg.node
class ConeWeights(Node):
    """Cone filter weights on a window of elements: w = max(0, r - d).

    d is the distance of element centres, r the radius, both in units of length. Source of w:
    Bourdin, Filters in topology optimization, IJNME 50:2143 (2001), eq. 8.

    Output: array of shape 2 reach + 1 along each axis of the field.
    """

    grid: Grid
    reach: tuple[int, ...]
    radius: Any = tg.parameter(above=0.0)

    def infer(self, *specs: Spec) -> Spec:
        """The window; a radius that does not fit it is refused."""
        return Spec("array", tuple(tg.Axis(f"window{i}", 2 * n + 1) for i, n in enumerate(self.reach)))

    def distance(self) -> np.ndarray:
        """d on the window, in units of length."""
        steps = _spacing_by_axis(self.grid)
        axes = [np.arange(-n, n + 1) * h for n, h in zip(self.reach, steps, strict=True)]
        return np.sqrt(sum(x**2 for x in np.meshgrid(*axes, indexing="ij")))

    def forward(self, xp: Any, *values: Any) -> Any:
        """max(0, r - d)."""
        (radius,) = values
        return xp.clip(radius - _like(xp, self.distance(), radius), 0.0, None)


@tg.vjp(ConeWeights, "radius")
def _(node: ConeWeights, xp: Any, ct: Any, out: Any) -> Any:
    return xp.sum(xp.where(out > 0.0, ct, xp.zeros_like(ct)))


@tg.jvp(ConeWeights, "radius")
def _(node: ConeWeights, xp: Any, t: Any, out: Any) -> Any:
    return xp.where(out > 0.0, xp.ones_like(out), xp.zeros_like(out)) * t


def _like(xp: Any, value: np.ndarray, reference: Any) -> Any:
    return xp.asarray(value, dtype=reference.dtype)


def _spacing_by_axis(grid: Grid) -> tuple[float, ...]:
    """Element lengths in the order of the field's axes: (hy, hx[, hz])."""
    hx, hy, *rest = grid.spacing
    return (hy, hx, *rest)


def _reach(grid: Grid, radius: float) -> tuple[int, ...]:
    """How many elements away a neighbour can be and still have a weight."""
    return tuple(max(math.ceil(radius / h) - 1, 0) for h in _spacing_by_axis(grid))


def _window(grid: Grid, radius: Any, max_radius: float | None, what: str) -> tuple[int, ...]:
    largest = max_radius if max_radius is not None else radius
    if not isinstance(largest, float | int):
        raise SpecError("a wired radius needs an upper bound", port="radius", fix=f"Give {what}(..., max_radius=...)")
    return _reach(grid, float(largest))


@tg.node
class DensityFilter(Node):
    """rho_f,i = sum_j w_ij rho_j / sum_j w_ij, with cone weights w_ij = max(0, r - |x_i - x_j|).

    Sums run over the elements inside the grid, so the filter is an average at the boundary too.
    rho, rho_f: field of densities in [0, 1], dimensionless. Source: Bruns & Tortorelli, CMAME 190:3443
    (2001); Bourdin, IJNME 50:2143 (2001).

    Attributes:
        grid: the grid of the field.
        radius: r > 0 in units of length; constant or wire.
        max_radius: largest r that will be used; needed only for a wired radius.
    """

    inputs = (Port("rho", "field"),)
    outputs = (Port("rho_f", "field"),)
    grid: Grid
    radius: Any = tg.parameter(above=0.0)
    max_radius: float | None = None

    @property
    def ranges(self) -> dict[str, Range]:
        """The radius is at most `max_radius`."""
        found = super().ranges
        if self.max_radius is not None:
            found["radius"] = attrs.evolve(found["radius"], high=float(self.max_radius))
        return found

    def infer(self, *specs: Spec) -> Spec:
        """As rho, which must live on the grid."""
        _window(self.grid, self.radius, self.max_radius, "DensityFilter")
        require_on_grid(specs[0], self.grid)
        return specs[0]

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """Convolution with the weights, divided by the convolution of ones."""
        rho, radius = edges
        reach = _window(self.grid, self.radius, self.max_radius, "DensityFilter")
        spectrum, share = _weights(self.grid, reach, radius)
        filtered: Edge = Hadamard()(Convolve()(rho, spectrum), share)
        return filtered


def _weights(grid: Grid, reach: tuple[int, ...], radius: Any) -> tuple[Edge, Edge]:
    """The spectrum of the cone weights, and 1 / sum_j w_ij: what does not depend on the field."""
    spectrum: Edge = Spectrum(grid.shape)(ConeWeights(grid, reach, radius)())
    ones = tg.constant(np.ones(grid.shape), grid.field())
    return spectrum, Reciprocal()(Convolve()(ones, spectrum))


def filter_share(
    grid: Grid, radius: float, counted: np.ndarray | None = None, active: np.ndarray | None = None
) -> np.ndarray:
    """s with sum_j s_j rho_j = mean of the filtered field over the elements `counted`, for every rho; sum s = 1.

    s = F^T d / sum d, with the cone filter F over the elements `active` and the mask d of those counted: the gradient
    of the physical volume, by which a volume is held before a filter such that it is right behind it.

    counted, active: boolean arrays of the shape of a field; None for all elements. s: of that shape.
    """
    window = np.maximum(float(radius) - ConeWeights(grid, _reach(grid, radius), radius).distance(), 0.0)
    m = np.ones(grid.shape) if active is None else np.asarray(active, dtype=np.float64)
    d = m if counted is None else m * np.asarray(counted, dtype=np.float64)
    around = convolve(m, window, mode="constant")
    return np.asarray(m * convolve(d / np.where(around > 0.0, around, 1.0), window, mode="constant") / d.sum())


@tg.node
class SensitivityFilter(Node):
    """Identity forward; filters the sensitivity on the way back (a heuristic, hence *inexact*).

    rho_bar_i = sum_j w_ij rho_j ct_j / (max(gamma, rho_i) sum_j w_ij), cone weights w as in
    `DensityFilter`, gamma = 1e-3. Source: Sigmund, Struct. Multidisc. Optim. 21:120 (2001), eq. 5;
    Andreassen et al., Struct. Multidisc. Optim. 43:1 (2011), eq. 8.

    rho: field of densities in [0, 1], dimensionless; radius > 0 in units of length.
    """

    inputs = (Port("rho", "field"),)
    outputs = (Port("out", "field"),)
    grid: Grid
    radius: float
    gamma: float = 1e-3

    def infer(self, *specs: Spec) -> Spec:
        """As rho, which must live on the grid."""
        if not isinstance(self.radius, int | float) or not self.radius > 0.0:
            fix = "Give a number: the heuristic has no derivative with respect to its radius"
            raise SpecError(f"radius = {self.radius!r} is not a positive number", port="radius", fix=fix)
        require_on_grid(specs[0], self.grid)
        return specs[0]

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """The heuristic, given the weights, which do not depend on the design."""
        weights = _weights(self.grid, _reach(self.grid, self.radius), self.radius)
        same: Edge = AverageSensitivity(self.gamma)(edges[0], *weights)
        return same


@tg.node
class AverageSensitivity(Node):
    """y = rho; on the way back rho_bar = (W * (rho ct)) s / max(gamma, rho): an *inexact* rule by design.

    rho, y: field; W: array, the `Spectrum` of the weights; s: field, 1 / sum_j w_ij. See `SensitivityFilter`.
    """

    inputs = (Port("rho", "field"), Port("W", "array"), Port("s", "field"))
    gamma: float = 1e-3

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """None forward; a convolution on the way back."""
        return Convolve().flops(inputs, outputs) if len(inputs) > 3 else 0

    def forward(self, xp: Any, *values: Any) -> Any:
        """rho."""
        return values[0]


tg.zero(AverageSensitivity, "W", "s", reason="the weights are used for the sensitivity only")


@tg.vjp(AverageSensitivity, "rho", exact=False)
def _(node: AverageSensitivity, xp: Any, ct: Any, rho: Any, W: Any, s: Any) -> Any:
    return s * Convolve().forward(xp, rho * ct, W) / xp.clip(rho, node.gamma, None)


@tg.jvp(AverageSensitivity, "rho", exact=False)
def _(node: AverageSensitivity, xp: Any, t: Any, rho: Any, W: Any, s: Any) -> Any:
    # The transpose of the heuristic above, so that forward and reverse mode agree with each other.
    return rho * Convolve().forward(xp, s * t / xp.clip(rho, node.gamma, None), W)


def require_on_grid(spec: Spec, grid: Grid, port: str = "rho") -> None:
    """Raise `SpecError` unless a field has the grid's shape."""
    if spec.shape != grid.shape:
        turned = ". It looks transposed: fields are (ny, nx[, nz])" if sorted(spec.shape) == sorted(grid.shape) else ""
        raise SpecError(
            f"shape {spec.shape} does not fit the grid, whose fields are {grid.shape}",
            port=port,
            fix=f"Use `grid.field()`{turned}",
        )


__all__ = [
    "AverageSensitivity",
    "ConeWeights",
    "DensityFilter",
    "SensitivityFilter",
    "filter_share",
    "require_on_grid",
]
