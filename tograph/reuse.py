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

_kept: OrderedDict[Hashable, Callable[..., Any]] = OrderedDict()
_lock = threading.Lock()


def reused(key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """The function of that key; made if it is not kept."""
    with _lock:
        found = _kept.get(key)
        if found is None:
            found = _kept[key] = make()
        _kept.move_to_end(key)
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
        return found


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
