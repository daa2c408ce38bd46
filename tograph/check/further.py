"""What must hold besides the derivative: purity, float32, and the program inside the user's own transforms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import SolveError
from .judge import PARITY, SINGLE, Verdict, excused, judge, scatter, sentence
from .measure import deviation, largest
from .report import Row
from .subject import Draw, Subject

SCALES = (1.0, 0.995)
"""The batch of `vmap`: the point itself, and one beside it."""

SAME = 1e-13
"""Largest difference between two runs on the same inputs: threads may add in another order, no more."""


def further(subject: Subject, drawn: Draw) -> Iterator[Row]:
    """The rows of one case on one backend that are not about one input."""
    transform = "jit vmap" if subject.backend == "jax" else "vmap"
    for test, measure in {"pure": pure, "float32": single, transform: transformed}.items():
        try:
            outcome = excused(subject, test, measure(subject, drawn))
        except Exception as error:  # whatever a user's rule raises is a finding
            outcome = ("fail", math.inf, 0.0, sentence(error))
        yield Row(subject.case.node, "", test, subject.backend, *outcome)


def pure(subject: Subject, drawn: Draw) -> Verdict:
    """The same answer before and after a run elsewhere; the inputs stay as they are."""
    before = subject.parts(drawn.w, {})
    subject.parts(drawn.w, subject.scaled(0.9))
    error = largest(before, subject.parts(drawn.w, {}))
    if subject.changed:
        return "fail", math.inf, 0.0, f"it writes into its input: {', '.join(sorted(subject.changed))}"
    note = "" if error <= SAME else "the same inputs give another answer the next time"
    return "fail" if note else "pass", error, SAME, note


def single(subject: Subject, drawn: Draw) -> Verdict:
    """The value and the gradient of a float32 program: in float32 all through, and those of float64."""
    low = Subject(subject.case, subject.backend, subject.runs, "float32")
    try:
        found = low.results(drawn.w)
    except SolveError as error:
        return "not checked", 0.0, 0.0, f"no solution to that precision: {sentence(error)}"
    for x, dtype in subject.case.dtypes(low.program.backend).items():
        if np.asarray(found[x]).dtype.name != dtype:
            what = "the value" if x == "value" else f"the gradient in {subject.case.ports[x]}"
            return "fail", math.inf, 0.0, f"{what} comes out in {np.asarray(found[x]).dtype.name}"
    wanted, terms = subject.results(drawn.w), float(np.sum(np.abs(drawn.w * subject.y({}))))
    errors = {x: deviation(found[x], wanted[x]) for x in subject.case.ports}
    # What cancels in the sum <w, y> is no error of the node.
    errors["value"] = float(abs(found["value"] - wanted["value"])) / terms if terms else deviation(found["value"], 0.0)
    worst = max(errors, key=lambda x: math.inf if math.isnan(errors[x]) else errors[x])
    return judge(errors[worst], SINGLE, lambda: scatter(subject, lambda c: subject.parts(drawn.w, c), np.float32))


def transformed(subject: Subject, drawn: Draw) -> Verdict:
    """`as_jax` under `jax.jit` and `jax.vmap`, `as_torch` under `torch.func.vmap`, and pulled back inside of them."""
    backend = subject.program.backend
    calls: list[Any] = []

    def counted(s: Any) -> Any:
        calls.append(s)
        return embedded(s)

    with backend.scope():
        embedded = subject.embedded(drawn.w)
        made = backend.compile(lambda all_s: backend.batch(counted, all_s))(backend.array(SCALES, backend.dtype))
    if len(calls) > 1:
        return "not checked", 0.0, 0.0, "it looks at values, which cannot be batched: one by one only"
    rows = np.asarray(backend.to_numpy(made), dtype=np.float64)
    wanted = [subject.parts(drawn.w, subject.scaled(s)) for s in SCALES]
    error = max(largest(subject.split(row), parts) for row, parts in zip(rows, wanted, strict=True))
    return judge(error, PARITY, lambda: scatter(subject, lambda c: subject.parts(drawn.w, c)))
