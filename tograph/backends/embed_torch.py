"""Embeddings as a PyTorch function: autograd is told which graph is the derivative of which.

`_Run` is one `autograd.Function` for every embedding; its backward runs the embedding of the pull-back by `_Run`
again, so that double backward, and any order after it, are graphs of tograph too. Its `vmap` adds a level of
batching, or goes through the batch one by one where a host part or a loop cannot be batched. Only under
forward mode is `_RunForward` used, which has a `jvp` besides.

Where PyTorch would give a wrong answer without saying so, an error is raised instead:

* forward mode directly inside forward mode, around any further derivative: the tangents of the tangents are
  dropped (PyTorch issue 197867). The pair alone, and forward mode around reverse mode, are right.
* functions that record operations and replay them (`torch.func.linearize`, `make_fx`): what host parts and checks
  did would be replayed as constants.

`torch.compile` cannot see inside: it runs the program as it is, between two compiled pieces, with these derivatives;
with `fullgraph=True` it refuses. (A custom backward that it sees is ignored under `torch.func`: issue 193279.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from ..errors import TographError

if TYPE_CHECKING:
    from ..embed import Embedding

Levels = tuple[tuple[int, tuple[bool, ...]], ...]
"""For each batched `vmap` around the program, outermost first: its size, and which inputs have that axis (in front)."""

_as_it_is: Any = torch.compiler.disable
"""Runs as it is, between compiled pieces."""


class Embedded(torch.nn.Module):
    """A tograph program as a module without parameters: call it with the program's inputs, by position or by name."""

    def __init__(self, embedding: Embedding, pack: Callable[[list[Any]], Any]) -> None:
        super().__init__()
        self._embedding, self._pack = embedding, pack

    @_as_it_is
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Tensors of the outputs asked for."""
        return self._pack(_call(self._embedding, args, kwargs))

    def __deepcopy__(self, memo: dict[int, Any]) -> Embedded:
        return self  # it holds nothing that could change

    def extra_repr(self) -> str:
        """Inputs and outputs."""
        return f"{', '.join(self._embedding.graph.input_names)} -> {', '.join(self._embedding.graph.outputs)}"


def embed(embedding: Embedding, pack: Callable[[list[Any]], Any]) -> Embedded:
    """The embedding as a module."""
    return Embedded(embedding, pack)


def _call(embedding: Embedding, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    values, tensors = embedding.bind(args, kwargs), []
    for value, edge in zip(values, embedding.inputs, strict=True):
        dtype = embedding.like(edge)[1]
        tensor = value if isinstance(value, torch.Tensor) else embedding.backend.array(value, dtype)
        if tensor.device.type != "cpu":
            name = edge.vertex.origin.name
            raise TographError(
                f"input {name!r} is on {tensor.device}, but the program runs on the CPU. Give {name}.cpu()"
            )
        tensors.append(tensor.to(getattr(torch, dtype)))
    return list(_apply(embedding, (), tensors))


def _apply(embedding: Embedding, levels: Levels, tensors: Sequence[Any]) -> tuple[Any, ...]:
    """One use, with forward mode if it is on."""
    made: tuple[Any, ...] = (_RunForward if _forward_mode() else _Run).apply(embedding, levels, *tensors)
    return made


def _forward_mode() -> bool:
    """Whether forward mode is on; raise where PyTorch is known to lie."""
    if get_proxy_mode() is not None:
        fix = "Call the program itself, or use program.jvp and program.vjp, which share the forward work"
        raise TographError(
            f"PyTorch is recording this program to replay it later, which would freeze parts of it. {fix}"
        )
    names = [level.key().name for level in retrieve_all_functorch_interpreters()]
    modes = [name for name in names if name != "Vmap"]
    if ["Jvp", "Jvp"] in [modes[i : i + 2] for i in range(len(modes) - 2)]:
        message = "forward mode directly inside forward mode, around another derivative, is silently wrong in PyTorch"
        fix = "Put torch.func.jacrev or grad in the place of one of them, or use program.jvp or program.hvp"
        raise TographError(f"{message} (its issue 197867). {fix}")
    return "Jvp" in modes or torch.autograd.forward_ad._current_level >= 0


class _Run(torch.autograd.Function):
    """(embedding, levels, *inputs) -> outputs."""

    @staticmethod
    @_as_it_is
    def forward(embedding: Embedding, levels: Levels, *inputs: Any) -> Any:
        """The program."""
        parts = embedding.keep("parts", lambda: _parts(embedding))  # before any level of vmap

        def run(*xs: Any) -> Any:
            return _run(embedding, parts, xs)

        for _, flags in reversed(levels):
            run = torch.vmap(run, in_dims=tuple(0 if flag else None for flag in flags))
        held = [parts.fixed[edge] for edge in parts.results.values() if edge in parts.fixed]
        return _owned(run(*inputs), (*inputs, *held))

    @staticmethod
    @_as_it_is
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the inputs; everything else is computed again from them."""
        ctx.embedding, ctx.levels, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)
        edges = zip(output, ctx.embedding.outputs, strict=True)
        ctx.mark_non_differentiable(*(value for value, edge in edges if not ctx.embedding.spec(edge).differentiable))

    @staticmethod
    @_as_it_is
    def backward(ctx: Any, *cts: Any) -> Any:
        """The pull-back through the inputs that need it, as a program again."""
        embedding, inputs = ctx.embedding, ctx.saved_tensors
        given = tuple(j for j, ct in enumerate(cts) if ct is not None)
        made = tuple(i for i in range(len(inputs)) if ctx.needs_input_grad[2 + i])
        results: list[Any] = [None] * len(inputs)
        if given and made:
            pull = embedding.derivative("pull-back", given, made)
            levels = tuple((size, flags + (True,) * len(given)) for size, flags in ctx.levels)
            found = _apply(pull, levels, [*inputs, *(cts[j] for j in given)]) if pull.outputs else ()
            for i, ct in zip(pull.derived.made, found, strict=True):
                shared = tuple(axis for axis, (_, flags) in enumerate(ctx.levels) if not flags[i])
                results[i] = ct.sum(dim=shared) if shared else ct
        return None, None, *results

    @staticmethod
    @_as_it_is
    def vmap(info: Any, axes: Any, embedding: Embedding, levels: Levels, *inputs: Any) -> Any:
        """One more level, or one by one."""
        if not embedding.batchable:
            items = [
                _apply(
                    embedding,
                    levels,
                    [x if axis is None else x.select(axis, k) for x, axis in zip(inputs, axes[2:], strict=True)],
                )
                for k in range(info.batch_size)
            ]
            return tuple(torch.stack(parts) for parts in zip(*items, strict=True)), (0,) * len(embedding.outputs)
        flags = tuple(axis is not None for axis in axes[2:])
        moved = [x if axis is None else x.movedim(axis, 0) for x, axis in zip(inputs, axes[2:], strict=True)]
        made = _apply(embedding, ((info.batch_size, flags), *levels), moved)
        return made, (0,) * len(made)


class _RunForward(_Run):
    """As `_Run`, in forward mode."""

    @staticmethod
    @_as_it_is
    def jvp(ctx: Any, _embedding: Any, _levels: Any, *tangents: Any) -> Any:
        """The tangent through the inputs that move, as a program again."""
        embedding, inputs = ctx.embedding, ctx.saved_tensors
        given = tuple(
            i for i, t in enumerate(tangents) if t is not None and embedding.spec(embedding.inputs[i]).differentiable
        )
        made = tuple(j for j, edge in enumerate(embedding.outputs) if embedding.spec(edge).differentiable)
        linear = embedding.derivative("tangent", given, made)
        levels = tuple((size, flags + tuple(flags[i] for i in given)) for size, flags in ctx.levels)
        found = _apply(linear, levels, [*inputs, *(tangents[i] for i in given)]) if linear.outputs else ()
        results: list[Any] = [None] * len(embedding.outputs)
        for j in made:
            shape, dtype = embedding.like(embedding.outputs[j])
            results[j] = torch.zeros((*(size for size, _ in levels), *shape), dtype=getattr(torch, dtype))
        for j, tangent in zip(linear.derived.made, found, strict=True):
            results[j] = tangent
        return tuple(results)


def _run(embedding: Embedding, parts: Any, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """The program on plain tensors."""
    with torch.autocast("cpu", enabled=False), embedding.backend.scope():
        values = dict(parts.fixed) | dict(zip(embedding.inputs, inputs, strict=True))
        known = parts.run(values, lambda step, given: _on_host(step.run, given, embedding.backend))
        if parts.statuses:
            embedding.require_solved({label: embedding.backend.to_numpy(known[label]) for label in parts.statuses})
    dtypes = (getattr(torch, embedding.like(edge)[1]) for edge in embedding.outputs)
    return tuple(known[label].to(dtype) for label, dtype in zip(parts.results, dtypes, strict=True))


def _parts(embedding: Embedding) -> Any:
    with torch.inference_mode(False), torch.no_grad():
        return embedding.parts


def _on_host(part: Any, given: list[Any], backend: Any) -> tuple[Any, ...]:
    made = part(*(backend.to_numpy(value) for value in given))
    return tuple(backend.array(value, dtype) for value, dtype in zip(made, part.dtypes, strict=True))


def _owned(made: Sequence[Any], others: Sequence[Any]) -> tuple[Any, ...]:
    """Results that share no memory with inputs, constants or each other: autograd marks them, users change them."""
    taken = {x.untyped_storage().data_ptr() for x in others}
    results = []
    for value in made:
        own = value.clone() if value.untyped_storage().data_ptr() in taken else value
        taken.add(own.untyped_storage().data_ptr())
        results.append(own)
    return tuple(results)
