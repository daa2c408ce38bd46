"""What is optimised and how, before anything is compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tograph import Graph
from tograph.optimizers import Checkpoint, Constraint, Observer, Result, Stage, optimize
from tograph.optimizers.identity import said
from tograph.program import Program


@attrs.frozen(eq=False, kw_only=True)
class Setup:
    """The arguments of `tg.optimize`, with a graph in the place of a program.

    Attributes:
        graph: what is computed.
        start: the first design; a dict by name if several inputs are designed.
        dtype: precision of the program, "float64" or "float32".
        minimize, subject_to, design, method, max_iter, tol, kkt, stages, inputs: as for `tg.optimize`.
    """

    graph: Graph
    start: Any
    minimize: str = "compliance"
    subject_to: Sequence[str | Constraint] = ()
    design: str | Sequence[str] | None = None
    method: Any = "mma"
    max_iter: int = 200
    tol: float = 0.01
    kkt: float | None = None
    stages: Sequence[Stage] = ()
    inputs: Mapping[str, Any] = attrs.field(factory=dict)
    dtype: str = "float64"

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that are designed."""
        design = self.design or self.graph.input_names[0]
        return (design,) if isinstance(design, str) else tuple(design)

    @property
    def hash(self) -> str:
        """Of everything that decides the result: the graph, the start, and every setting."""
        parts = {name: said(getattr(self, name)) for name in attrs.fields_dict(type(self)) if name != "graph"}
        return hashlib.sha256(f"{self.graph.hash} {parts}".encode()).hexdigest()

    def compile(self, backend: str) -> Program:
        """The program."""
        return self.graph.compile(backend, dtype=self.dtype)

    def optimize(
        self, program: Program, observers: Sequence[Observer] = (), resume: Checkpoint | None = None
    ) -> Result:
        """Run the design loop; errors as of `tg.optimize`."""
        return optimize(
            program,
            self.start,
            minimize=self.minimize,
            subject_to=self.subject_to,
            design=self.design,
            method=self.method,
            max_iter=self.max_iter,
            tol=self.tol,
            kkt=self.kkt,
            stages=self.stages,
            inputs=self.inputs,
            observers=observers,
            resume=resume,
        )
