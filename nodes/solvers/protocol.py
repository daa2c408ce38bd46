"""What a linear solver is: two methods, and what all solvers share."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol, TypeVar, runtime_checkable

import attrs
import numpy as np
from scipy.linalg.blas import idamax

from tograph import TographError

from ..pattern import ElementPattern

T = TypeVar("T")


@runtime_checkable
class Solver(Protocol):
    """How K u = f is solved. A frozen attrs class with these two methods, registered by `codec.register`.

    The compiler asks for one factor per operator and shares it among the forward, adjoint and tangent solves
    and all their right-hand sides. Both methods run on the host and get NumPy arrays in float64, read-only.
    What does not depend on the numbers (an ordering, an analysis) is kept with `kept`.
    """

    def factor(self, pattern: ElementPattern, moduli: np.ndarray, elements: np.ndarray) -> Any:
        """Prepare the free-free block of K for solves; raise `SolveError` if it is singular.

        Args:
            pattern: grid, fixed dofs, and `pattern.matrix(moduli, elements)`, the assembled block.
            moduli: (terms, *grid.shape).
            elements: (terms, d, d).
        """

    def solve(self, factor: Any, rhs: np.ndarray, *, transposed: bool) -> np.ndarray:
        """Solve for right-hand sides (cases, n_dofs), of which fixed dofs are ignored; 0 at fixed dofs."""


@attrs.frozen(eq=False, slots=False)
class System:
    """The operator of one factorisation: K = sum_t sum_e E_te P_e^T K_t P_e on the free dofs."""

    pattern: ElementPattern
    moduli: np.ndarray
    elements: np.ndarray

    @cached_property
    def matrix(self) -> Any:
        """The free-free block, assembled (SciPy, CSC)."""
        return self.pattern.matrix(self.moduli, self.elements)

    @cached_property
    def diagonal(self) -> np.ndarray:
        """The diagonal of K, (n_dofs,); of no meaning at fixed dofs."""
        if "matrix" in vars(self):
            diagonal = np.zeros(self.pattern.n_dofs)
            diagonal[self.pattern.free] = self.matrix.data[self._places]
            return diagonal
        local = sum(
            E[..., None] * K.diagonal()  # one value per corner and component
            for E, K in zip(self.moduli, self.elements, strict=True)
        )
        made: np.ndarray = self.pattern.scatter(np, np.asarray(local)[None])[0]
        return made

    @property
    def _places(self) -> np.ndarray:
        return kept(self.pattern, "diagonal", lambda: _diagonal_places(self.pattern.assembly[0]))

    @cached_property
    def largest(self) -> float:
        """max_i |K_ii| over the free dofs."""
        assembled = "matrix" in vars(self)
        entries = self.matrix.data.take(self._places) if assembled else self.diagonal.take(self.pattern.free)
        return abs(float(entries[idamax(entries)]))

    def apply(self, u: np.ndarray, transposed: bool = False) -> np.ndarray:
        """K u for u (cases, n_dofs) with u = 0 at fixed dofs; rows of fixed dofs are 0. Assembles nothing."""
        product = np.zeros_like(u)
        product[:, self.pattern.free] = self.on_free(u, transposed)
        return product

    def on_free(self, u: np.ndarray, transposed: bool = False) -> np.ndarray:
        """The rows of K u at free dofs, (cases, free), for u = 0 at fixed dofs."""
        free = self.pattern.free
        if "matrix" in vars(self):
            inside = u.take(free, axis=1).T
            return np.asarray((self.matrix.T if transposed else self.matrix) @ inside).T
        local = self.pattern.gather(np, u)
        total = np.zeros_like(local)
        for E, K in zip(self.moduli, self.elements, strict=True):
            total += E[None, ..., None] * (local @ (K if transposed else K.T))
        return np.take(self.pattern.scatter(np, total), free, axis=1)


def kept(pattern: ElementPattern, key: Any, make: Callable[[], T]) -> T:
    """What `make` gives, made once per pattern and key: for orderings, analyses and pools of workspaces."""
    found: T = pattern.kept[key] if key in pattern.kept else pattern.kept.setdefault(key, make())
    return found


def _diagonal_places(matrix: Any) -> np.ndarray:
    """Where the diagonal is among the entries of a CSC matrix; every free dof has one."""
    return np.flatnonzero(matrix.indices == np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr)))


def lower_triangle(pattern: ElementPattern) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries of `System.matrix.data` on and below the diagonal, in their order, with their rows and columns."""
    matrix: Any = pattern.assembly[0]
    row, column = matrix.indices, np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr))
    below = np.flatnonzero(row >= column)
    return below, row[below], column[below]


class Pool:
    """Workspaces that are handed out for the lifetime of an owner and used again after it.

    A factor lives as long as a program needs it; two may live at once. So each has its own workspace, and
    memory is asked of the system once, not at every evaluation.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._idle: list[Any] = []

    def take(self) -> Any:
        """An idle workspace, or a new one; not yet bound to an owner."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._make()

    def give_back(self, workspace: Any) -> None:
        """Nobody uses it any more."""
        self._idle.append(workspace)

    def lend(self, owner: T, workspace: Any) -> T:
        """The workspace belongs to `owner` until that is collected."""
        weakref.finalize(owner, self.give_back, workspace).atexit = False
        return owner


def optional(module: str, extra: str) -> Any:
    """An optional library, imported when a solver that needs it first runs.

    Raises:
        TographError: not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        state = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded ({error})"
        raise TographError(
            f"this solver needs {name}, which {state}. Install it: pip install 'tograph[{extra}]'"
        ) from error
