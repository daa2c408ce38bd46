"""Compiled device segments, found again: an equal graph compiled anew is neither traced nor compiled anew.

A restart of an optimisation, a notebook cell run twice, or a second request that shares a segment gets the very same
compiled function. It is found by everything that it depends on: its text but for the comments, and for each name in
the text the number, or the node and the functions of its rules; shapes, backend and precision. Nodes that make their
own function for a backend (wrapped functions, implicit nodes) are left out, as what they hold cannot be compared.

The store belongs to the process, as the compiled functions of JAX do, and holds the `KEPT` last used.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import attrs

from .derivative import Jvp, Vjp, base_port
from .generic import adjustable
from .node import Node
from .rules import find_rule

KEPT = 128

_kept: OrderedDict[Any, Callable[..., Any]] = OrderedDict()
_lock = threading.Lock()


def reused(key: Any, make: Callable[[], Callable[..., Any]]) -> tuple[Callable[..., Any], str]:
    """The function of that key, made if it is not kept; and in words whether and why it was made."""
    with _lock:
        why = "compiled before" if key in _kept else _why_new(key)
        if key not in _kept:
            _kept[key] = make()
        _kept.move_to_end(key)
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
        return _kept[key], why


def _why_new(key: Any) -> str:
    """What sets a key apart from the last one with the same text; a key is (backend, (text, shapes, names))."""
    backend, (text, shapes, names) = key
    for other_backend, (other_text, other_shapes, other_names) in reversed(_kept):
        if other_text == text:
            what = [] if other_backend == backend else ["backend, precision or device"]
            what += [] if other_shapes == shapes else ["shapes of inputs"]
            what += [name for (name, mine), (_, other) in zip(names, other_names, strict=True) if mine != other]
            return f"new: like one compiled before, but for {', '.join(what)}"
    return f"new: no such text is among the last {KEPT}"


def without_comments(text: str) -> str:
    """The text of a function with nothing that says where it comes from."""
    return re.sub(r" +#.*", "", text)


def operation_key(node: Node, backend: str) -> Hashable | None:
    """Equal for nodes that run the same code; None where that cannot be told."""
    if isinstance(node, Vjp | Jvp):
        inner = operation_key(node.of, backend)
        base = base_port(node.of, node.port)
        rules = tuple(find_rule(type(node.of), kind, base, backend) for kind in ("vjp", "jvp"))
        return inner and (node.key, inner, *(rule and rule.fn for rule in rules))
    values = [getattr(node, f.name) for f in attrs.fields(type(node))]
    if not adjustable(node) or any(callable(value) for value in values):
        return None
    rule = find_rule(type(node), "forward", "", backend)
    return type(node), node.key, rule.fn if rule else type(node).forward
