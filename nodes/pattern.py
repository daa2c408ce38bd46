"""The static pattern of an element-wise operator on a grid: where element values go in the vector of dofs."""

from __future__ import annotations

import copy
import math
from functools import cached_property
from itertools import product
from typing import Any

import array_api_extra as xpx
import attrs
import numpy as np
import scipy.sparse as sp
from array_api_compat import is_torch_namespace

from tograph import codec

from .grid import Grid


@codec.register
@attrs.frozen(eq=False, slots=False)
class ElementPattern:
    """Static data of K = sum_t sum_e E_te P_e^T K_t P_e on the free dofs of a grid.

    The value of an operator edge is the pair (moduli (terms, *grid.shape), element matrices
    (terms, d, d)); that of a dyad the pair (lambda, u), each (cases, n_dofs), which stands for
    sum_k lambda_k u_k^T.

    Attributes:
        grid: the grid.
        components: unknowns per node (grid.dim for elasticity, 1 for diffusion).
        fixed: the dofs whose value is prescribed.
        symmetric: whether element matrices are.
        mirrored: whether reflections of the element along the axes leave its matrix as it is: less work for
            `MultigridCG` in 3D, whose check of the answer does not rely on it.
    """

    grid: Grid
    components: int
    fixed: np.ndarray
    symmetric: bool = True
    mirrored: bool = False

    @property
    def n_dofs(self) -> int:
        """All dofs, free and fixed."""
        return self.grid.n_dofs(self.components)

    @cached_property
    def free(self) -> np.ndarray:
        """The dofs to be solved for."""
        return np.setdiff1d(np.arange(self.n_dofs), self.fixed)

    @cached_property
    def supports(self) -> np.ndarray:
        """1 at fixed dofs, 0 elsewhere."""
        mask = np.zeros(self.n_dofs)
        mask[self.fixed] = 1.0
        return mask

    def element_flops(self, cases: int) -> int:
        """Operations of one product of every element matrix (d x d) with a vector: 2 d^2 each."""
        d = self.components * 2**self.grid.dim
        return 2 * d * d * cases * math.prod(self.grid.shape)

    def fill(self) -> float:
        """Entries of the triangular factor after nested dissection, estimated from the free dofs n.

        In 2D 31/4 m^2 log2 m for an m x m grid (George, SIAM J. Numer. Anal. 10:345, 1973, theorem 3.2), with m^2 = n;
        in 3D O(n^(4/3)) with a factor of order one (Lipton, Rose & Tarjan, SIAM J. Numer. Anal. 16:346, 1979).
        """
        n = max(float(self.free.size), 2.0)
        return 31.0 / 8.0 * n * math.log2(n) if self.grid.dim == 2 else n ** (4.0 / 3.0)

    @cached_property
    def kept(self) -> dict[Any, Any]:
        """What solvers keep from one factorisation to the next, such as an analysis; by a key of theirs."""
        return {}

    def corners(self) -> list[tuple[slice, ...]]:
        """For each element corner, the part of the node array that holds it, in the grid's corner order."""
        low, high = slice(0, -1), slice(1, None)
        # y is up and row 0 is on top, so y- is the later row.
        plane = [(high, low), (high, high), (low, high), (low, low)]
        if self.grid.dim == 2:
            return list(plane)
        return [(*rows, layer) for layer, rows in product((low, high), plane)]

    def gather(self, xp: Any, vectors: Any) -> Any:
        """(cases, n_dofs) -> element values (cases, *grid.shape, d)."""
        nodal = xp.reshape(vectors, (vectors.shape[0], *self.grid.node_shape, self.components))
        return xp.concat([nodal[(slice(None), *corner)] for corner in self.corners()], axis=-1)

    def products(self, xp: Any, a: Any, b: Any, K_e: Any) -> Any:
        """sum_k (P_e a_k)^T K_e (P_e b_k) for a, b (cases, n_dofs) and K_e (d, d); of the shape of the grid."""
        left = self._rows(xp, a)
        right = left if b is a else self._rows(xp, b)
        each = xp.reshape(xp.sum(xp.matmul(left, K_e) * right, axis=-1), (a.shape[0], *self.grid.shape))
        return each[0] if a.shape[0] == 1 else xp.sum(each, axis=0)

    def _rows(self, xp: Any, vectors: Any) -> Any:
        """As `gather`, in rows: (cases * elements, d)."""
        d = self.components * 2**self.grid.dim
        if not is_torch_namespace(xp):  # XLA makes one loop of the slices and of what comes after
            return xp.reshape(self.gather(xp, vectors), (-1, d))
        key = "dofs", vectors.device
        if key not in self.kept:
            self.kept[key] = xp.asarray(self.grid.element_dofs(self.components).ravel(), device=vectors.device)
        if vectors.shape[0] == 1:  # four times faster than along the second of two axes
            return vectors.reshape(-1).index_select(0, self.kept[key]).reshape(-1, d)
        return vectors.index_select(1, self.kept[key]).reshape(-1, d)

    def scatter(self, xp: Any, elements: Any) -> Any:
        """(cases, *grid.shape, d) -> (cases, n_dofs), adding what meets at a node: the transpose of `gather`."""
        total = None
        for i, corner in enumerate(self.corners()):
            part = elements[..., i * self.components : (i + 1) * self.components]
            widths = [(1, 0) if axis.start == 1 else (0, 1) for axis in corner]
            placed = xpx.pad(part, [(0, 0), *widths, (0, 0)], xp=xp)
            total = placed if total is None else total + placed
        return xp.reshape(total, (elements.shape[0], -1))

    @cached_property
    def assembly(self) -> tuple[Any, Any, np.ndarray]:
        """Pattern of the free-free block, the (nnz, n_elements) map, and which element entry each item holds.

        The numbers of the map are element-matrix entries, so K.data = map @ moduli.
        """
        dofs = self.grid.element_dofs(self.components)
        d = dofs.shape[1]
        place = np.full(self.n_dofs, -1)
        place[self.free] = np.arange(self.free.size)
        local = place[dofs]
        rows, columns = np.repeat(local, d, axis=1).ravel(), np.tile(local, (1, d)).ravel()
        element, entry = np.divmod(np.arange(rows.size), d * d)
        kept = (rows >= 0) & (columns >= 0)
        rows, columns, element, entry = rows[kept], columns[kept], element[kept], entry[kept]
        n = self.free.size
        unique, position = np.unique(columns.astype(np.int64) * n + rows, return_inverse=True)
        pattern = sp.csc_matrix((np.zeros(unique.size), (unique % n, unique // n)), shape=(n, n))
        pattern.sum_duplicates()  # there are none, and SciPy remembers it, also in copies
        order = np.lexsort((element, position))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(position, minlength=unique.size))])
        scatter = sp.csr_matrix((np.zeros(order.size), element[order], indptr), shape=(unique.size, dofs.shape[0]))
        return pattern, scatter, entry[order]

    def matrix(self, moduli: np.ndarray, elements: np.ndarray) -> Any:
        """The assembled free-free block (SciPy, on the host)."""
        parts = [self._map(element) @ modulus.ravel() for modulus, element in zip(moduli, elements, strict=True)]
        made = copy.copy(self.assembly[0])  # a shallow one: the pattern was checked when it was made
        made.data = sum(parts[1:], parts[0])
        return made

    def _map(self, element: np.ndarray) -> Any:
        """The map of `assembly` with the numbers of an element matrix; the last one is kept, as nu seldom changes."""
        key = element.tobytes()
        known, made = self.kept.get("map", (b"", None))
        if known != key:
            _, scatter, entry = self.assembly
            made = sp.csr_matrix((element.ravel()[entry], scatter.indices, scatter.indptr), shape=scatter.shape)
            self.kept["map"] = key, made
        return made


def as_cases(xp: Any, vector: Any) -> Any:
    """(n_dofs,) or (n_dofs, cases) -> (cases, n_dofs)."""
    return vector[None] if vector.ndim == 1 else xp.permute_dims(vector, (1, 0))


def from_cases(xp: Any, cases: Any, ndim: int) -> Any:
    """The inverse of `as_cases` for a vector of `ndim` axes."""
    return cases[0] if ndim == 1 else xp.permute_dims(cases, (1, 0))
