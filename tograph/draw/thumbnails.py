"""Fields as small pictures: densities and moduli in grey, signed fields in two colours, displacements by magnitude."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..edge import Vertex
from ..plan import Plan
from .frame import Image
from .style import BLACK, BLUE, VERMILLION, WHITE

LARGEST = 96
"""Pixels along the longer side; a larger field is averaged over blocks."""


def images(plan: Plan, fields: Mapping[tuple[int, int], Any]) -> tuple[Image, ...]:
    """A picture for every step whose first output is a field, or a displacement on the grid of the plan."""
    grid = next((found for v in plan.order if (found := getattr(v.node, "grid", None)) is not None), None)
    made = []
    for i, vertex in enumerate(plan.order):
        plane = _plane(plan, vertex, fields.get((i, 0)), grid)
        if plane is not None and np.isfinite(plane).any():
            made.append(_image(i, plane))
    return tuple(made)


def _plane(plan: Plan, vertex: Vertex, value: Any, grid: Any) -> Any:
    """The value as a two-dimensional array, seen from the front where it has three; None if it is no picture."""
    spec = plan.specs[vertex][0]
    if value is None or spec.kind not in ("field", "vector"):
        return None
    value = np.asarray(value, dtype=float)
    if spec.kind == "vector":
        first = value if value.ndim == 1 else value[:, 0]
        if grid is None or value.ndim > 2 or first.size % grid.n_nodes or first.size == grid.n_nodes:
            return None
        value = np.linalg.norm(first.reshape(*grid.node_shape, -1), axis=-1)
    return value if value.ndim == 2 else value.mean(axis=2) if value.ndim == 3 else None


def _image(step: int, plane: Any) -> Image:
    plane = _coarser(plane)
    finite = plane[np.isfinite(plane)]
    low, high = float(finite.min()), float(finite.max())
    # A filter by FFT leaves -1e-17 where a density is 0: that is no field of two signs.
    if low < -1e-9 * high:
        # Both signs on one scale; a few extreme entries, as beside a load, must not make all others pale.
        unit = float(np.quantile(np.abs(finite), 0.98)) or float(np.abs(finite).max())
        pixels = _mixed(np.clip(plane / unit, -1.0, 1.0))
        text = f"orange below 0, blue above; {low:.3g} .. {high:.3g}"
    else:
        unit = high or 1.0
        pixels = _mixed(np.clip(plane / unit, 0.0, 1.0), dark=BLACK)
        text = f"white 0, black {high:.3g}; least {low:.3g}"
    return Image(step, text, base64.b64encode(png(pixels)).decode())


def _coarser(plane: Any) -> Any:
    factor = -(-max(plane.shape) // LARGEST)
    rows, columns = (size // factor for size in plane.shape)
    if factor == 1 or not rows or not columns:
        return plane
    return plane[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor).mean(axis=(1, 3))


def _mixed(x: Any, dark: str = BLUE) -> Any:
    """Colours of numbers in [-1, 1]: white at 0; magenta where they are not finite."""
    white, up, down = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (WHITE, dark, VERMILLION))
    part = np.nan_to_num(np.abs(x))[..., None]
    mixed = white + part * (np.where((x > 0)[..., None], up, down) - white)
    return np.where(np.isfinite(x)[..., None], mixed, (255, 0, 255)).astype(np.uint8)


def png(pixels: Any) -> bytes:
    """An array (rows, columns, 3) of bytes as a PNG file (ISO/IEC 15948: header, zlib of unfiltered rows, end)."""
    rows, columns, _ = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    raw = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
