"""Steps on the host: what a host node is given, and what becomes of its errors.

Whatever the backend and its precision, a host node sees real numbers as NumPy arrays in float64. In a
float64 program on the CPU these are views of the backend's own memory; hence they are read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backends.base import Backend, map_arrays
from .backends.numpy import NumpyBackend
from .derivative import implementation
from .edge import Vertex
from .errors import HostError, RuleError, SolveError
from .spec import Spec


def on_host(vertex: Vertex, name: str, inputs: Sequence[Spec]) -> Callable[..., Any]:
    """The vertex as a function of NumPy arrays.

    Args:
        vertex: the vertex.
        name: what to call its result in messages.
        inputs: the specs of its inputs.

    Raises (when run):
        HostError: any exception inside, chained, with the node's name and line of declaration.
        SolveError, RuleError: likewise, kept as what they are.
    """
    run = implementation(vertex.node, NumpyBackend("float64"))
    what = f"{name} ({vertex.node.title}, declared at {vertex.origin.where})"
    role = {"reverse": "adjoint ", "tangent": "tangent "}.get(vertex.origin.role, "")
    name, role = (" and ".join(vertex.origin.joined), "") if vertex.origin.joined else (name, role)
    solve = f"{name} ({role}{vertex.node.title}, declared at {vertex.origin.where})"

    def named(*values: Any) -> Any:
        given = [_as_seen(value, spec) for value, spec in zip(values, inputs, strict=True)]
        try:
            return run(*given)
        except RuleError as error:
            raise RuleError(f"{what}: {error}") from error
        except SolveError as error:
            raise SolveError(f"{solve}: {error}", error.status) from error
        except Exception as error:
            raise HostError(f"{what} raised {type(error).__name__}: {error}") from error

    return named


def _as_seen(value: Any, spec: Spec) -> Any:
    """A read-only view, in float64 if it is of real numbers; a factor as it is."""
    if spec.kind == "factor":
        return value
    return map_arrays(lambda x: _frozen(x, spec.dtype == "real") if isinstance(x, np.ndarray) else x, value)


def _frozen(array: np.ndarray, real: bool) -> np.ndarray:
    view = array.astype(np.float64) if real and array.dtype != np.float64 else array.view()
    view.setflags(write=False)
    return view


def to_device(value: Any, spec: Spec, backend: Backend) -> Any:
    """A result of a host node as array(s) of the backend; a factor as it is.

    Raises:
        SolveError: a finite number that is infinite in the precision of the backend.
    """
    if spec.kind == "factor":
        return value
    dtype = backend.dtype_of(spec)
    if spec.dtype == "real" and backend.dtype == "float32":
        map_arrays(_require_room, value)
    return map_arrays(lambda x: backend.argument(x, dtype) if isinstance(x, np.ndarray | np.generic) else x, value)


def _require_room(array: Any) -> None:
    """Host nodes compute in float64; their results may not fit into float32."""
    sizes = np.abs(array)
    largest = float(np.max(sizes, initial=0.0, where=np.isfinite(sizes)))
    if largest > float(np.finfo(np.float32).max):
        fix = "Compile with dtype='float64', raise E_min, or choose units in which it is smaller"
        raise SolveError(f"a result of {largest:.0e} is infinite in float32. {fix}", "overflow")
