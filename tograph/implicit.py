"""Nodes defined by an equation: y such that residual(y, x) = 0, however y is found.

Implicit function theorem. Along the solution, r(y(x), x) = 0, so r_y dy + r_x dx = 0:

    tangent     dy    = -r_y^-1 (r_x dx)
    cotangent   x_bar = -r_x^T lambda,   where   r_y^T lambda = y_bar

Both are written with nodes, once for all implicit nodes. `Residual` is r as an ordinary node, so its
own derivatives are by the framework's AD. `TangentSolve` is r_y^-1 s and `AdjointSolve` is r_y^-T s; they
solve the equations r_y t - s = 0 and r_y^T lambda - s = 0, so the two lines above hold for them as well, with
one another as tangent and adjoint: second and higher orders need no further rule and no further solver.
Source: Griewank & Walther, Evaluating Derivatives, 2nd ed. (2008), chapter 15; Blondel et al., Efficient
and modular implicit differentiation, NeurIPS 2022, eq. 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from .arithmetic import Scale
from .derivative import Jvp, Vjp, parameter_filler
from .edge import Edge
from .errors import RuleError
from .method import Derivative
from .node import Node, Port, node
from .residual import Residual, ResidualNorm, inputs_of, require_arrays
from .rootsolver import RootSolver, largest, probe, rounding
from .spec import Spec

if TYPE_CHECKING:
    from .backends.base import Backend

Equation = Callable[..., Any]
"""residual(y, *inputs and parameters) on arrays of one backend."""


@attrs.frozen(eq=False, slots=False)
class ImplicitNode(Node):
    """Base of nodes whose only output y solves residual(y, *inputs) = 0.

    A subclass gives `residual` (portable, on `xp`, of the shape of y) and a field `solver`, a
    `RootSolver`; some solvers also want `bracket`, `start` or `at_step`. All inputs are
    arrays and none is optional. A solution whose residual is not small raises `SolveError` when the
    program is run, in the forward pass and in the adjoint alike.

    Raises:
        RuleError: several outputs, optional inputs, or no solver.
    """

    jacobian: ClassVar[str] = "dense"
    """"diagonal" if equation i contains only y_i, else "dense": how r_y is inverted for derivatives."""
    symmetric: ClassVar[bool] = False
    """Whether r_y is symmetric: then tangent and adjoint solve are the same."""
    tolerance: ClassVar[float] = 1e-8
    """Largest residual let through (maximum norm, in units of `scale`); in float32 at least 3e-4."""
    family: ClassVar[str] = "implicit"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if len(self.outputs) != 1:
            raise RuleError(f"{self.title} has {len(self.outputs)} outputs", fix="Stack the unknowns into one array")
        if any(port.optional or port.variadic for port in self.inputs):
            fix = "Declare all inputs; a composite node around it may fill in what was left out"
            raise RuleError(f"{self.title} is an implicit node with optional or variadic inputs", fix=fix)
        if not isinstance(getattr(self, "solver", None), RootSolver):
            fix = "Give it one, e.g. `solver: Any = attrs.field(factory=Newton)`"
            raise RuleError(f"{self.title} has no field `solver` that holds a RootSolver", fix=fix)

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        """r(y, inputs and parameters), of the shape of y."""
        raise RuleError(f"{self.title} does not define residual(xp, y, ...)")

    def start(self, xp: Any, *inputs: Any) -> Any:
        """An initial guess of y."""
        raise RuleError(f"{self.title} does not define start(xp, ...), which its solver wants")

    def at_step(self, xp: Any, fraction: float, *inputs: Any) -> tuple[Any, ...]:
        """The inputs and parameters at a load fraction in (0, 1), for load stepping."""
        raise RuleError(f"{self.title} does not define at_step(xp, fraction, ...), which its load steps want")

    def bracket(self, xp: Any, *inputs: Any) -> tuple[Any, Any]:
        """A first guess (low, high) at bounds of y, each of its shape; it need not enclose the root."""
        raise RuleError(f"{self.title} does not define bracket(xp, ...), which its solver wants")

    def scale(self, xp: Any, *inputs: Any) -> Any:
        """What the residual is compared with: 1 unless a subclass knows better, e.g. the largest load."""
        return 1.0

    @property
    def host(self) -> bool:  # type: ignore[override]
        """Whether the solver wants NumPy arrays."""
        found: RootSolver = self.solver  # type: ignore[attr-defined]
        return found.host

    def refuses(self, method: str) -> str:
        """Methods that would differentiate the iteration where it cannot be differentiated."""
        solver: RootSolver = self.solver  # type: ignore[attr-defined]
        if method == "complex-step":
            return "the iteration stops by the size of the real part"
        traced = method in ("autodiff", "unrolled", "jacobian")
        return solver.not_traceable if traced else ""

    def equation(self, backend: Backend) -> Equation:
        """The residual as a function of arrays."""
        fill = parameter_filler(self, backend)
        return lambda y, *values: self.residual(backend.xp, y, *fill(values))

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """Run the solver."""
        equation, fill = self.equation(backend), parameter_filler(self, backend)
        solver: RootSolver = self.solver  # type: ignore[attr-defined]

        def run(*values: Any) -> Any:
            return solver.solve(backend, self, lambda y: equation(y, *values), fill(values))

        return run

    def error(self, backend: Backend) -> Callable[..., Any]:
        """|r(y, inputs)| / (tolerance scale) as a function of arrays, at most 1 for what may be used."""
        equation, fill, xp = self.equation(backend), parameter_filler(self, backend), backend.xp

        def run(y: Any, *values: Any) -> Any:
            tolerance = max(self.tolerance, rounding(xp, y) ** 0.5)
            return _ratio(xp, largest(xp, equation(y, *values)), tolerance * self.scale(xp, *fill(values)))

        return run

    def check(self) -> Node:
        """The residual, scaled."""
        return ResidualNorm(self)

    def pull_back(self, port: str, ct: Any, values: dict[str, Any]) -> Edge:
        """x_bar = -r_x^T lambda."""
        y, inputs = self._at(values)
        pulled: Edge = _of_residual(self, port, Vjp)(Scale()(-1.0, self.adjoint(ct, y, inputs)), y, *inputs)
        return pulled

    def push_forward(self, port: str, t: Any, values: dict[str, Any]) -> Edge:
        """dy = -r_y^-1 (r_x dx)."""
        y, inputs = self._at(values)
        return self.tangent(Scale()(-1.0, _of_residual(self, port, Jvp)(t, y, *inputs)), y, inputs)

    def adjoint(self, s: Edge, y: Edge, inputs: list[Edge]) -> Edge:
        """r_y^-T s."""
        solved: Edge = AdjointSolve(self)(s, y, *inputs)
        return solved

    def tangent(self, s: Edge, y: Edge, inputs: list[Edge]) -> Edge:
        """r_y^-1 s."""
        solved: Edge = TangentSolve(self)(s, y, *inputs)
        return solved

    def _at(self, values: dict[str, Any]) -> tuple[Edge, list[Edge]]:
        return values[self.outputs[0].name], [values[port.name] for port in self.ports()]


def _ratio(xp: Any, size: Any, allowed: Any) -> Any:
    """size / allowed; 0 = 0 is as it should be, however little is allowed."""
    return xp.where(size == 0.0, xp.zeros_like(size), size / allowed)


def _of_residual(of: ImplicitNode, port: str, kind: type[Vjp] | type[Jvp]) -> Node:
    residual = Residual(of)
    needs = tuple(p.name for p in residual.ports())
    return kind(residual, f"of_{port}", "autodiff", needs, None, (), Derivative("autodiff"))


@attrs.frozen(eq=False, slots=False)
class _LinearizedSolve(ImplicitNode):
    """x with A x = s, where A is r_y or its transpose at a solution y of an implicit node."""

    of: ImplicitNode
    transposed: ClassVar[bool]
    counts: ClassVar[str] = "solve"
    linear: ClassVar[tuple[str, ...]] = ("s",)

    @property
    def solver(self) -> RootSolver:
        """That of the node."""
        found: RootSolver = self.of.solver  # type: ignore[attr-defined]
        return found

    @property
    def host(self) -> bool:  # type: ignore[override]
        """A host solver that does not say how is left out: then r_y is made by AD on the device."""
        return self.of.host and type(self.solver).solve_linearized is not RootSolver.solve_linearized

    @property
    def tolerance(self) -> float:  # type: ignore[override]
        """That of the node."""
        return self.of.tolerance

    def ports(self) -> tuple[Port, ...]:
        """The right-hand side, the solution y, then what the node itself takes."""
        return (Port("s"), Port("y"), *inputs_of(self.of))

    def infer(self, *specs: Spec) -> Spec:
        """As y."""
        require_arrays(self.of, specs[2:])
        return specs[1]

    def equation(self, backend: Backend) -> Equation:
        """A x - s, where A x is a derivative of the residual by AD."""
        inner = self.of.equation(backend)
        product = backend.vjp if self.transposed else backend.jvp
        return lambda x, s, y, *inputs: product(lambda z: inner(z, *inputs), y, x) - s

    def bind(self, backend: Backend) -> Callable[..., Any]:
        """Let the node's solver do it."""
        inner, fill = self.of.equation(backend), parameter_filler(self.of, backend)

        def run(s: Any, y: Any, *inputs: Any) -> Any:
            def residual(z: Any) -> Any:
                return inner(z, *inputs)

            return self.solver.solve_linearized(backend, self.of, residual, y, fill(inputs), s, self.transposed)

        return run

    def error(self, backend: Backend) -> Callable[..., Any]:
        """|A x - s| / (tolerance |s| + 1000 eps |A| |x|): rounding is excused, however large x is."""
        equation, xp = self.equation(backend), backend.xp

        def run(x: Any, s: Any, *rest: Any) -> Any:
            eps = rounding(xp, x)
            norm = largest(xp, equation(probe(xp, x), xp.zeros_like(s), *rest))  # near |A|, from below
            allowed = max(self.tolerance, eps**0.5) * largest(xp, s) + 1000.0 * eps * norm * largest(xp, x)
            return _ratio(xp, largest(xp, equation(x, s, *rest)), allowed)

        return run

    def pull_back(self, port: str, ct: Any, values: dict[str, Any]) -> Edge:
        """As for every implicit node; r_s = -1."""
        y, inputs = self._at(values)
        return self.adjoint(ct, y, inputs) if port == "s" else super().pull_back(port, ct, values)

    def push_forward(self, port: str, t: Any, values: dict[str, Any]) -> Edge:
        """As for every implicit node; r_s = -1."""
        y, inputs = self._at(values)
        return self.tangent(t, y, inputs) if port == "s" else super().push_forward(port, t, values)

    def _solve(self, kind: type[_LinearizedSolve], s: Edge, inputs: list[Edge]) -> Edge:
        solved: Edge = kind(self.of)(s, *inputs[1:])
        return solved


@node
class TangentSolve(_LinearizedSolve):
    """t with r_y t = s, at a solution of an implicit node."""

    transposed: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """E.g. `tangent solve VolumeShift`."""
        return f"tangent solve {self.of.title}"

    def tangent(self, s: Edge, y: Edge, inputs: list[Edge]) -> Edge:
        """r_y^-1 s."""
        return self._solve(TangentSolve, s, inputs)

    def adjoint(self, s: Edge, y: Edge, inputs: list[Edge]) -> Edge:
        """r_y^-T s."""
        return self._solve(AdjointSolve, s, inputs)


@node
class AdjointSolve(_LinearizedSolve):
    """lambda with r_y^T lambda = s, at a solution of an implicit node."""

    transposed: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """E.g. `adjoint solve VolumeShift`."""
        return f"adjoint solve {self.of.title}"

    def simplify(self, specs: tuple[Spec, ...]) -> tuple[Node, str] | None:
        """r_y^-T = r_y^-1 for a symmetric r_y."""
        if not self.of.symmetric:
            return None
        return TangentSolve(self.of), "r_y is symmetric: the adjoint solve is a tangent solve"

    def tangent(self, s: Edge, y: Edge, inputs: list[Edge]) -> Edge:
        """r_y^-T s."""
        return self._solve(AdjointSolve, s, inputs)

    def adjoint(self, s: Edge, y: Edge, inputs: list[Edge]) -> Edge:
        """r_y^-1 s."""
        return self._solve(TangentSolve, s, inputs)
