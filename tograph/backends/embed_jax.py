"""Embeddings as a JAX primitive: JAX is told which graph is the derivative of which, and never looks inside.

One primitive, `tograph`, with the embedding as a parameter. Its rules:

    value         the program, traced in line; host parts are calls back from the compiled program
    jvp           the primitive again, with the embedding of the tangent graph
    transposition the primitive again, with that of the pull-back (a tangent is linear in the tangents, and
                  its transpose is the pull-back of the same graph, and the other way round)
    vmap          the primitive again, with one more level of batching, so that differentiating a batched
                  program is batching the differentiated one

Reverse mode is thus the graph's own reverse pass under every combination of transforms. `jax.extend.core` and
`jax.interpreters` are the modules that JAX offers to those who define primitives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..errors import TographError
from .base import map_arrays

if TYPE_CHECKING:
    from ..embed import Embedding

Levels = tuple[tuple[int, tuple[bool, ...]], ...]
"""For each `vmap` around the program, outermost first: its size, and which operands have that axis (in front)."""

tograph_p = Primitive("tograph")
tograph_p.multiple_results = True


def embed(embedding: Embedding, pack: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    """The embedding as a function of its inputs, by position or by name."""

    def program(*args: Any, **kwargs: Any) -> Any:
        _require_precision(embedding.backend.dtype)
        values = embedding.bind(args, kwargs)
        likes = map(embedding.like, embedding.inputs)
        return pack(_bind(embedding, (), [jnp.asarray(v, dtype) for v, (_, dtype) in zip(values, likes, strict=True)]))

    return program


def _require_precision(dtype: str) -> None:
    if dtype == "float64" and jax.dtypes.canonicalize_dtype(dtype) != dtype:
        fix = 'Call jax.config.update("jax_enable_x64", True) first, or compile the graph with dtype="float32"'
        raise TographError(f"this program is in float64, but JAX is set to 32 bits here. {fix}")


def _constants(embedding: Embedding) -> list[Any]:
    """What does not depend on the inputs, as concrete arrays: operands, not literals in the compiled program."""
    if embedding.refused:
        return []  # it will be transposed, or raise when it runs

    def make() -> list[Any]:
        with jax.ensure_compile_time_eval():
            parts = embedding.parts
        return jax.tree.leaves([parts.fixed[edge] for edge in parts.constants])

    made: list[Any] = embedding.keep("constants", make)
    return made


def _bind(embedding: Embedding, levels: Levels, inputs: Sequence[Any]) -> list[Any]:
    """Declare one use; the levels say which inputs are batched."""
    constants = _constants(embedding)
    full = tuple((size, (False,) * len(constants) + flags) for size, flags in levels)
    made: list[Any] = tograph_p.bind(*constants, *inputs, embedding=embedding, levels=full)
    return made


def _compiled(embedding: Embedding, levels: Levels) -> Callable[..., Any]:
    def make() -> Callable[..., Any]:
        def run(*operands: Any) -> list[Any]:
            return _run(embedding, operands)

        for _, flags in reversed(levels):
            run = jax.vmap(run, in_axes=tuple(0 if flag else None for flag in flags))
        return jax.jit(run)

    made: Callable[..., Any] = embedding.keep(("compiled", levels), make)
    return made


def _run(embedding: Embedding, operands: Sequence[Any]) -> list[Any]:
    """The program on traced arrays."""
    parts, count = embedding.parts, len(_constants(embedding))
    fixed = [parts.fixed[edge] for edge in parts.constants]
    constants = jax.tree.unflatten(jax.tree.structure(fixed), operands[:count])
    values = dict(zip((*parts.constants, *embedding.inputs), (*constants, *operands[count:]), strict=True))
    known = parts.run(values, lambda step, given: _call_back(embedding, step.run, given))
    results = [known[label] for label in parts.results]
    if parts.statuses:
        results = _watched(embedding, results, [known[label] for label in parts.statuses])
    likes = map(embedding.like, embedding.outputs)
    return [jnp.asarray(value, dtype) for value, (_, dtype) in zip(results, likes, strict=True)]


def _call_back(embedding: Embedding, part: Any, given: list[Any]) -> Any:
    """A host part, called from the compiled program. No JAX operation may run inside."""
    specs = [part.specs[edge.vertex][edge.index] for edge in part.outputs]
    like = tuple(jax.ShapeDtypeStruct(s.shape, d) for s, d in zip(specs, part.dtypes, strict=True))
    return _on_numpy(_noting(embedding, part), like, given)


def _on_numpy(run: Callable[..., Any], like: Any, given: Sequence[Any]) -> Any:
    """`run` on NumPy arrays, with 64-bit numbers as pairs of 32-bit ones on the way there and back.

    JAX converts what it hands to a callback, and what comes back, to the precision of the thread that runs it. That may
    be a thread of XLA's own, where nobody has asked for 64 bits: numbers would lose half their digits there.
    """

    def packed(*arrays: Any) -> Any:
        made = run(*(map_arrays(_as_numbers, array) for array in arrays))
        return jax.tree.map(lambda value, wanted: _as_words(np.asarray(value, wanted.dtype)), made, like)

    words = jax.tree.map(lambda x: jax.ShapeDtypeStruct(*_words(x)), like)
    there = [map_arrays(lambda x: jax.lax.bitcast_convert_type(x, np.uint32) if _is_wide(x) else x, x) for x in given]
    made = jax.pure_callback(packed, words, *there, vmap_method="sequential")
    return jax.tree.map(lambda x, s: jax.lax.bitcast_convert_type(x, s.dtype) if _is_wide(s) else x, made, like)


def _is_wide(x: Any) -> bool:
    return np.dtype(x.dtype) == np.float64


def _words(x: Any) -> tuple[tuple[int, ...], Any]:
    return ((*x.shape, 2), np.uint32) if _is_wide(x) else (x.shape, x.dtype)


def _as_words(value: np.ndarray) -> np.ndarray:
    return np.asarray(value, order="C")[..., None].view(np.uint32) if _is_wide(value) else value


def _as_numbers(array: Any) -> np.ndarray:
    value = np.asarray(array)
    return np.asarray(value, order="C").view(np.float64)[..., 0] if value.dtype == np.uint32 else value


def _watched(embedding: Embedding, results: list[Any], statuses: list[Any]) -> list[Any]:
    """The results, of which none comes out unless every equation is solved: they wait for a zero from the check."""
    labels = list(embedding.parts.statuses)

    def check(*found: Any) -> Any:
        embedding.require_solved(dict(zip(labels, found, strict=True)))
        return np.zeros((), np.float32)

    like = jax.ShapeDtypeStruct((), np.float32)
    zero = _on_numpy(_noting(embedding, check), like, statuses)
    return [value + zero.astype(value.dtype) for value in results]


@tograph_p.def_impl
def _impl(*operands: Any, embedding: Embedding, levels: Levels) -> Any:
    """Outside `jit`: an error of the host comes out as itself, and not as JAX's report of it."""
    run, raised = _compiled(embedding, levels), _raised(embedding)
    raised.clear()
    try:
        made = run(*operands)
        return made if embedding.batchable else jax.block_until_ready(made)
    except (ValueError, RuntimeError) as error:
        if raised:
            raise raised[0] from error
        raise


def _raised(embedding: Embedding) -> list[TographError]:
    """What the host raised during the last call."""
    found: list[TographError] = embedding.keep("raised", list)
    return found


def _noting(embedding: Embedding, run: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*arrays: Any) -> Any:
        try:
            return run(*arrays)
        except TographError as error:
            _raised(embedding).append(error)
            raise

    return noted


@tograph_p.def_abstract_eval
def _shapes(*operands: Any, embedding: Embedding, levels: Levels) -> list[Any]:
    sizes = tuple(size for size, _ in levels)
    likes = map(embedding.like, embedding.outputs)
    return [jax.core.ShapedArray(sizes + shape, np.dtype(dtype)) for shape, dtype in likes]


def _traced(*operands: Any, embedding: Embedding, levels: Levels) -> Any:
    return _compiled(embedding, levels)(*operands)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], *, embedding: Embedding, levels: Levels) -> Any:
    values = tograph_p.bind(*primals, embedding=embedding, levels=levels)
    inputs, levels = _inputs(primals, levels, embedding)
    moving, _ = _inputs(tangents, (), embedding)
    given = tuple(i for i, t in enumerate(moving) if not isinstance(t, ad.Zero))
    made = tuple(j for j, edge in enumerate(embedding.outputs) if embedding.spec(edge).differentiable)
    linear = embedding.derivative("tangent", given, made)
    levels = tuple((size, flags + tuple(flags[i] for i in given)) for size, flags in levels)
    assert linear.derived is not None
    results = [ad.Zero(jax.typeof(value).to_tangent_aval()) for value in values]
    if linear.outputs:
        found = _bind(linear, levels, [*inputs, *(moving[i] for i in given)])
        for j, tangent in zip(linear.derived.made, found, strict=True):
            results[j] = tangent
    return values, results


def _inputs(operands: Sequence[Any], levels: Levels, embedding: Embedding) -> tuple[list[Any], Levels]:
    """Operands and levels without those of the constants."""
    first = len(operands) - len(embedding.inputs)
    return list(operands[first:]), tuple((size, flags[first:]) for size, flags in levels)


def _transpose(cts: Sequence[Any], *operands: Any, embedding: Embedding, levels: Levels) -> list[Any]:
    derived = embedding.derived
    assert derived is not None, "JAX transposes what is linear, and only derivatives are"
    inputs, levels = _inputs(operands, levels, embedding)
    first = len(inputs) - len(derived.given)  # where the linear ones begin
    unknown = [k for k in range(len(derived.given)) if ad.is_undefined_primal(inputs[first + k])]
    known = [j for j, ct in enumerate(cts) if not isinstance(ct, ad.Zero)]
    flags = tuple((size, flags[:first] + (True,) * len(known)) for size, flags in levels)
    made: dict[int, Any] = {}
    if known and unknown:
        other = derived.transposed(tuple(derived.made[j] for j in known), tuple(derived.given[k] for k in unknown))
        assert other.derived is not None
        if other.outputs:
            found = _bind(other, flags, [*inputs[:first], *(cts[j] for j in known)])
            made = dict(zip(other.derived.made, found, strict=True))
    results: list[Any] = [None] * len(operands)
    for k in unknown:
        at = len(operands) - len(derived.given) + k
        ct = made.get(derived.given[k])
        results[at] = ad.Zero(operands[at].aval) if ct is None else _without(ct, levels, first + k)
    return results


def _without(ct: Any, levels: Levels, position: int) -> Any:
    """A cotangent of an operand that is the same for a whole batch: the sum over the batch."""
    shared = tuple(axis for axis, (_, flags) in enumerate(levels) if not flags[position])
    return jnp.sum(ct, axis=shared) if shared else ct


def _batch(operands: Sequence[Any], axes: Sequence[Any], *, embedding: Embedding, levels: Levels) -> Any:
    flags = tuple(axis is not None for axis in axes)
    size = next(x.shape[axis] for x, axis, flag in zip(operands, axes, flags, strict=True) if flag)
    moved = [jnp.moveaxis(x, axis, 0) if flag else x for x, axis, flag in zip(operands, axes, flags, strict=True)]
    made = tograph_p.bind(*moved, embedding=embedding, levels=((size, flags), *levels))
    return made, [0] * len(made)


ad.primitive_jvps[tograph_p] = _jvp
ad.primitive_transposes[tograph_p] = _transpose
batching.primitive_batchers[tograph_p] = _batch
mlir.register_lowering(tograph_p, mlir.lower_fun(_traced, multiple_results=True))
