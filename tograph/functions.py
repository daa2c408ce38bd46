"""Plain functions as nodes: of NumPy arrays on the host, or of the arrays of a framework.

    solve = tg.host(my_solver, output=grid.vector(), vjp=my_adjoint)      # NumPy, SciPy, anything
    law   = tg.function(my_jax_function, backend="jax")                    # traced and differentiated by JAX
    net   = tg.function(my_torch_module)                                   # likewise, with its weights
    u = solve(f)

A graph file holds the import path of a function, not the function: one at the top level of a module
can be stored; a lambda, a closure or a module can be used, and saving the graph says that it cannot be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from . import codec
from .backends import load_backend
from .errors import RuleError, declared_here, did_you_mean
from .function_nodes import ArrayFunction, HostFunction, Rules, arguments, name_of
from .method import Derivative, as_derivative
from .spec import Spec

Output = Spec | tuple[Spec, ...] | Callable[..., Any] | None
"""Spec(s) of the result, or a function from the specs of the inputs to them; None for that of the first input."""

Rule = Callable[..., Any] | Mapping[str, Callable[..., Any]] | None
"""One rule for all inputs, or one for each of some of them."""


def host(
    function: Callable[..., Any] | None = None,
    *,
    inputs: Sequence[str] | None = None,
    output: Output = None,
    outputs: Sequence[str] = ("out",),
    vjp: Rule = None,
    jvp: Rule = None,
    derivative: str | Derivative | None = None,
    name: str = "",
) -> Any:
    """A node from a pure function of NumPy arrays; also a decorator, `@tg.host(output=...)`.

    It sees read-only float64 arrays, on the CPU without a copy. Wrong results and exceptions: `HostError`.

    Args:
        function: takes one array per input, returns one per output (several as a tuple).
        inputs: names of its inputs; those of its parameters without a default if omitted.
        output: see `Output`.
        outputs: names of its results.
        vjp: `rule(ct, ...)` names after `ct` what it needs of inputs and outputs, and returns one cotangent
            per input (several as a tuple); or `{input: rule}`.
        jvp: `rule(t, ...)` returns the tangent of the output; `{input: rule}` where there are several inputs.
        derivative: how it is differentiated without them: "finite-difference" or "complex-step".
        name: shown in listings and diagrams.
    """
    options: dict[str, Any] = {
        "inputs": inputs,
        "output": output,
        "outputs": outputs,
        "derivative": derivative,
        "name": name,
    }
    if function is None:
        return partial(host, vjp=vjp, jvp=jvp, **options)
    title, takes, gives = name or name_of(function), _takes(function, inputs), tuple(outputs)
    rules = [_as_rules(title, mode, given, takes, gives) for mode, given in (("vjp", vjp), ("jvp", jvp))]
    _register(function, output, *(rule for several in rules for _, rule in several))
    made: Any = HostFunction  # mypy does not see the fields that `node` classes inherit
    return made(function, takes, gives, output, title, as_derivative(derivative), *rules)


def function(
    function: Callable[..., Any],
    *,
    backend: str | None = None,
    inputs: Sequence[str] | None = None,
    output: Output = None,
    outputs: Sequence[str] = ("out",),
    derivative: str | Derivative | None = None,
    name: str = "",
) -> Any:
    """A node from a function of arrays that a framework can trace; its derivatives are by the framework's AD.

    Modules (an Equinox module, a `torch.nn.Module`) are taken as they are at this moment, a torch one in
    evaluation mode, and run at the precision of the program. Called as `net(x)` their weights are
    frozen. They are also an optional last input, one vector: `net(x, theta)` with
    `theta = tg.source("theta", net.weights_spec, default=net.weights)`.

    Args:
        function: of one array per input; portable ones take the array namespace `xp` before these.
        backend: "jax" or "torch"; None for a portable function. Of modules it is found out.
        inputs: names of its inputs; those of its parameters without a default if omitted.
        output: see `Output`.
        outputs: names of its results.
        derivative: another method than AD, for all uses.
        name: shown in listings and diagrams.
    """
    backend, title, weights = backend or _framework_of(function), name or name_of(function), None
    if backend:
        function, weights = load_backend(backend, "float64").adopt(function)
    takes = _takes(function, inputs, skip=0 if backend else 1)
    _register(function, output)
    made: Any = ArrayFunction
    return made(function, takes, tuple(outputs), output, title, as_derivative(derivative), backend, weights)


def _framework_of(function: Any) -> str:
    """The framework of a module; "" for plain functions. Told by names: neither framework is imported here."""
    packages = {base.__module__.partition(".")[0] for base in type(function).__mro__}
    return "torch" if "torch" in packages else "jax" if "equinox" in packages else ""


def _takes(function: Callable[..., Any], inputs: Sequence[str] | None, skip: int = 0) -> tuple[str, ...]:
    if isinstance(inputs, str):
        raise RuleError(
            f"inputs is the text {inputs!r} (declared at {declared_here()[0]})", fix="Give a tuple of names"
        )
    if inputs is not None:
        return tuple(inputs)
    # A torch module is called through `__call__(*args)`; its signature is that of `forward`.
    called = getattr(function, "forward", function)
    return arguments(called)[skip:]


def _as_rules(title: str, mode: str, given: Any, takes: tuple[str, ...], gives: tuple[str, ...]) -> Rules:
    """The rules as (inputs, function), after a look at what they name."""
    if given is None:
        return ()
    if mode == "jvp" and not isinstance(given, Mapping) and len(takes) > 1:
        message = f"jvp= of {title} is one rule for {len(takes)} inputs (declared at {declared_here()[0]})"
        raise RuleError(message, fix=f"Give one for each: jvp={{{takes[0]!r}: rule, ...}}")
    rules = tuple(((port,), rule) for port, rule in given.items()) if isinstance(given, Mapping) else ((takes, given),)
    for through, rule in rules:
        known = (*takes, *gives)
        for word, among in [(through[0], takes), *((name, known) for name in arguments(rule)[1:])]:
            if word not in among:
                message = (
                    f"{mode}= of {title} names {word!r}, which it does not have (declared at {declared_here()[0]})"
                )
                raise RuleError(message, fix=did_you_mean(word, among))
    return rules


def _register(*functions: Any) -> None:
    for one in functions:
        if callable(one):
            codec.register(one)
