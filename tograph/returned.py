"""What a node's `forward` returns, held against what its `infer` promised: number, shapes, precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .derivative import Jvp, Vjp
from .edge import Vertex
from .errors import HostError, TographError, a
from .node import Node
from .spec import Spec

if TYPE_CHECKING:
    from .backends.base import Backend

PAIRS = ("operator", "dyad", "factor", "params")
"""Kinds whose values are not one array of the spec's shape."""


def checked(run: Callable[..., Any], vertex: Vertex, specs: Sequence[Spec]) -> Callable[..., Any]:
    """`run` with a check of number and shapes of its results; under a tracing compiler it costs nothing per call.

    Raises (when run):
        TographError: says which node, what it returned, and what it should; `HostError` for a host node.
    """
    if isinstance(vertex.node, Vjp | Jvp):
        return run  # checked against the rule, in `derivative`
    shapes = [None if spec.kind in PAIRS else spec.shape for spec in specs]
    if shapes == [None]:
        return run

    one = shapes[0] if len(shapes) == 1 else None
    reals = specs[0].dtype != "integer" and vertex.node.host

    def returned(*values: Any) -> Any:
        made = run(*values)
        usual = one is not None and getattr(made, "shape", None) == one
        if usual and (not vertex.node.host or (reals and getattr(made, "dtype", None) == np.float64)):
            return made
        several = made if isinstance(made, tuple) else (made,)
        got = [None if shape is None else np.shape(value) for shape, value in zip(shapes, several, strict=False)]
        if len(several) != len(shapes) or [shape and tuple(shape) for shape in got] != shapes:
            error = HostError if vertex.node.host else TographError
            raise error(_message(vertex, specs, several))
        if vertex.node.host:
            _require_dtypes(vertex, specs, several)
        return made

    return returned


def in_precision(run: Callable[..., Any], specs: Sequence[Spec], backend: Backend) -> Callable[..., Any]:
    """`run` with results in float32 where their specs say so, in a float64 program.

    In JAX an operand in float64, such as a parameter, lifts a float32 array to float64; in PyTorch it does not.
    """
    low = [spec.dtype == "float32" and spec.kind not in PAIRS for spec in specs]
    if backend.dtype == "float32" or not any(low):
        return run
    xp = backend.xp

    def rounded(*values: Any) -> Any:
        made = run(*values)
        if not isinstance(made, tuple):
            return xp.astype(made, xp.float32)
        return tuple(xp.astype(x, xp.float32) if is_low else x for x, is_low in zip(made, low, strict=True))

    return rounded


def _require_dtypes(vertex: Vertex, specs: Sequence[Spec], values: Sequence[Any]) -> None:
    """What comes from NumPy may be integers, complex numbers or objects, and would be converted silently."""
    for spec, value in zip(specs, values, strict=True):
        dtype = np.asarray(value).dtype
        if spec.kind not in PAIRS and dtype.kind not in ("f" if spec.dtype != "integer" else "iub"):
            got = "None" if value is None else f"values of dtype {dtype}"
            fix = "Return real numbers, e.g. `y.astype(float)`" if spec.dtype != "integer" else "Return integers"
            raise HostError(
                f"{vertex.origin.name}: {vertex.node.title} returned {got} for {a(spec.label())} "
                f"(declared at {vertex.origin.where}). {fix}"
            )


def _message(vertex: Vertex, specs: Sequence[Spec], values: Sequence[Any]) -> str:
    node = vertex.node
    wanted = ", ".join(f"{port.name}: {spec.label()}" for port, spec in zip(node.outputs, specs, strict=True))
    got = ", ".join(f"an array of shape {tuple(np.shape(v))}" if hasattr(v, "shape") else repr(v)[:40] for v in values)
    by_class = type(node).forward is not Node.forward
    returned = f"{node.title}.forward returned {got}, but infer says ({wanted})"
    if not by_class:
        returned = f"{node.title} returned {got}, but its output is declared as ({wanted})"
    return f"{vertex.origin.name}: {returned} (declared at {vertex.origin.where}). Make the two agree"
