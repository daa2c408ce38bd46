"""Linear solves K u = f: one factorisation, applied as often as needed."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

import tograph as tg
from tograph import Edge, Node, Port, Spec, SpecError
from tograph.arithmetic import Add, Scale
from tograph.columns import width
from tograph.spec import scalar

from .device import SolveResidual, iterates, runs_on_host
from .multigrid import MultigridCG
from .operators import ApplyOperator, Dyad, OnSupports
from .pattern import ElementPattern, as_cases, from_cases
from .solvers import DirectSolver


@tg.node
class Factor(Node):
    """F = factorisation of the free-free block of K, or what an iterative solver prepares from K.

    `why` says why this solver, if tograph has picked it.
    """

    inputs = (Port("K", "operator"),)
    outputs = (Port("F", "factor"),)
    counts: ClassVar[str] = "factorization"
    pattern: ElementPattern
    solver: Any
    why: str = ""

    @property
    def host(self) -> bool:  # type: ignore[override]
        """Unless the solver is written for the device."""
        return runs_on_host(self.solver)

    def bind(self, backend: Any) -> Any:
        """For a solver on the device."""
        return None if self.host else lambda K: self.solver.factor(backend, self.pattern, *K)

    def infer(self, *specs: Spec) -> Spec:
        """A factor; its cotangent is that of K."""
        return Spec("factor", (), specs[0].dtype, structure=self.pattern)

    def describe(self) -> str:
        """The reason is for `explain`, not for boxes."""
        return ""

    def chosen(self) -> tuple[str, str] | None:
        """The solver, if it was picked here or picks among others itself."""
        if hasattr(self.solver, "choice"):
            solver, why = self.solver.choice(self.pattern)
            return type(solver).__name__, "; ".join(filter(None, (self.why, why)))
        return (type(self.solver).__name__, self.why) if self.why else None

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """Of a sparse direct factorisation: 10 n^(3/2) in 2D (George 1973), about n^2 in 3D, n free dofs."""
        n = float(self.pattern.free.size)
        return int(10.0 * n**1.5 if self.pattern.grid.dim == 2 else n**2.0)

    def forward(self, xp: Any, *values: Any) -> Any:
        """Hand over to the solver."""
        ((moduli, elements),) = values
        return self.solver.factor(self.pattern, moduli, elements)


@tg.graph_vjp(Factor, "K")
def _(node: Factor, ct: Edge) -> Edge:
    # A factor is K in another form, so its cotangent (a dyad) and its tangent (an operator) are K's.
    return ct


@tg.graph_jvp(Factor, "K")
def _(node: Factor, t: Edge) -> Edge:
    return t


@tg.node
class ApplyFactor(Node):
    """u = K^-1 f on the free dofs, 0 on the fixed ones (K^-T if `transposed`).

    f, u: vector (n_dofs,) or (n_dofs, cases); f at fixed dofs has no effect.
    """

    inputs = (Port("F", "factor"), Port("f", "vector"))
    outputs: ClassVar[tuple[Port, ...]] = (Port("u", "vector"),)
    linear = ("f",)
    counts: ClassVar[str] = "solve"
    columns: ClassVar[str] = "f"
    pattern: ElementPattern
    solver: Any
    transposed: bool = False

    @property
    def host(self) -> bool:  # type: ignore[override]
        """Unless the solver is written for the device."""
        return runs_on_host(self.solver)

    def bind(self, backend: Any) -> Any:
        """For a solver on the device; its K is symmetric, so there is no transposed solve."""
        if self.host:
            return None

        def run(factor: Any, f: Any) -> Any:
            found = self.solver.solve(backend, self.pattern, factor, as_cases(backend.xp, f))
            return self._given(backend.xp, found, f.ndim)

        return run

    def _given(self, xp: Any, found: Any, ndim: int) -> Any:
        """What the solver has found, as this node gives it."""
        return from_cases(xp, found[0] if iterates(self.solver) else found, ndim)

    def check(self) -> Node | None:
        """A solver on the host raises by itself; one that iterates says how it went."""
        return SolveResidual(self.pattern, self.solver) if not self.host or iterates(self.solver) else None

    def counted(self) -> Node | None:
        """With the number of iterations."""
        return CountedSolve(**attrs.asdict(self, recurse=False)) if iterates(self.solver) else None

    def infer(self, *specs: Spec) -> Spec:
        """A vector as f."""
        return attrs.evolve(specs[1], kind="vector")

    def simplify(self, specs: tuple[Spec, ...]) -> tuple[Node, str] | None:
        """K^-T = K^-1 for a symmetric K."""
        if not (self.transposed and self.pattern.symmetric):
            return None
        return attrs.evolve(self, transposed=False), "K is symmetric: the transposed solve is the plain one"

    def flops(self, inputs: tuple[Spec, ...], outputs: tuple[Spec, ...]) -> int:
        """A product and a sum per entry of both triangular factors and right-hand side."""
        return int(4.0 * self.pattern.fill() * width(outputs[0]))

    def forward(self, xp: Any, *values: Any) -> Any:
        """Hand over to the solver."""
        factor, f = values
        found = self.solver.solve(factor, as_cases(xp, f), transposed=self.transposed)
        return self._given(xp, found, f.ndim)


@tg.node
class CountedSolve(ApplyFactor):
    """`ApplyFactor` by a solver that iterates, with what the solver says of it.

    iterations: of all cases together. left: of the worst case, in units of what may be used.
    """

    outputs: ClassVar[tuple[Port, ...]] = (
        Port("u", "vector"),
        Port("iterations", "scalar"),
        Port("left", "scalar"),
    )

    @property
    def title(self) -> str:
        """It is the same operation."""
        return ApplyFactor.__name__

    def infer(self, *specs: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """A vector as f, and two numbers."""
        return super().infer(*specs), scalar(), scalar()

    def _given(self, xp: Any, found: Any, ndim: int) -> Any:
        u, *numbers = found
        return from_cases(xp, u, ndim), *(xp.asarray(number) for number in numbers)


# With u = K^-1 f:  du = K^-1 (df - dK u).  Hence, for a cotangent u_bar and lambda = K^-T u_bar,
# f_bar = lambda and K_bar = -lambda u^T (Giles, An extended collection of matrix derivative results
# for forward and reverse mode AD, 2008, section 2.3.1). K_bar is kept as a dyad.


@tg.graph_vjp(ApplyFactor, "f")
def _(node: ApplyFactor, ct: Edge, F: Edge) -> Edge:
    adjoint: Edge = attrs.evolve(node, transposed=not node.transposed)(F, ct)
    return adjoint


@tg.graph_vjp(ApplyFactor, "F")
def _(node: ApplyFactor, ct: Edge, F: Edge, u: Edge) -> Edge:
    adjoint = attrs.evolve(node, transposed=not node.transposed)(F, ct)
    pair = Dyad(node.pattern)
    negative: Edge = Scale()(-1.0, pair(u, adjoint) if node.transposed else pair(adjoint, u))
    return negative


@tg.graph_jvp(ApplyFactor, "F")
def _(node: ApplyFactor, t: Edge, F: Edge, u: Edge) -> Edge:
    # t is dK; element matrices are symmetric, so dK^T = dK also for the transposed solve.
    moved: Edge = node(F, Scale()(-1.0, ApplyOperator(node.pattern)(t, u)))
    return moved


ITERATED = {2: 100_000, 3: 8_000}
"""Dimension -> dofs from which iterating is faster: factorising takes about dofs^1.5 in 2D, dofs^2 in 3D."""


def automatic(pattern: ElementPattern) -> tuple[Any, str]:
    """Multigrid on large grids, a direct solver on small ones; and why."""
    if not pattern.symmetric:
        return DirectSolver(), "iterating needs a symmetric K"
    dim, count = pattern.grid.dim, pattern.n_dofs
    solver = MultigridCG() if count >= ITERATED[dim] else DirectSolver()
    return solver, f"{count} dofs in {dim}D, where iterating is faster from {ITERATED[dim]}"


@tg.node
class LinearSolve(Node):
    """Solve K u = f on the free dofs; u takes the prescribed values (0 by default) on the fixed ones.

    K: operator; f: vector (n_dofs,) or (n_dofs, cases), in units of force; `prescribed`: vector of the
    same shape, of which only the entries at fixed dofs count; u as f, in units of length.
    K_ff u_f = f_f - K_fp u_p (free f, prescribed p).

    Attributes:
        solver: a `Solver`; by default the fastest direct one that needs only SciPy, `DirectSolver`. "auto":
            `MultigridCG` on large grids, which is one compiled function with what is around it, and `DirectSolver` on
            small ones.

    Raises (when run):
        SolveError: singular, non-finite or inaccurate; says which dofs and the likely cause.
    """

    inputs = (Port("K", "operator"), Port("f", "vector"), Port("prescribed", "vector", optional=True))
    outputs = (Port("u", "vector"),)
    solver: Any = attrs.field(factory=DirectSolver)

    def infer(self, *specs: Spec) -> Spec:
        """A vector as f."""
        pattern, f = specs[0].structure, specs[1]
        for port, spec in zip(("f", "prescribed"), specs[1:], strict=False):
            if not spec.shape or spec.shape[0] != pattern.n_dofs:
                fix = f"Give one value per dof: ({pattern.n_dofs},) or ({pattern.n_dofs}, cases)"
                raise SpecError(f"is {spec.label()}, but K has {pattern.n_dofs} dofs", port=port, fix=fix)
        if len(specs) > 2 and specs[2].shape != f.shape:
            raise SpecError(
                f"is {specs[2].label()}, but f is {f.label()}", port="prescribed", fix="Give both the same shape"
            )
        return attrs.evolve(f, kind="vector", unit=None)

    def expand(self, specs: tuple[Spec | None, ...], *edges: Any) -> Edge:
        """Factor, move the prescribed values to the right-hand side, apply the factor, put them back."""
        K, f, prescribed = edges
        assert specs[0] is not None
        pattern = specs[0].structure
        solver, why = automatic(pattern) if self.solver == "auto" else (self.solver, "")
        factor = Factor(pattern, solver, why)(K)
        solve = ApplyFactor(pattern, solver)
        if prescribed is None:
            plain: Edge = solve(factor, f)
            return plain
        held = OnSupports(pattern)(prescribed)
        load = Add()(f, Scale()(-1.0, ApplyOperator(pattern)(K, held)))
        total: Edge = Add()(solve(factor, load), held)
        return total
