"""The table: one row per node type, with example inputs. A new node is one row here and is then tested everywhere.

tests/test_rules.py runs every example on every backend: values, derivatives in every input and every
parameter, float32, JSON, hashes. The first example of a row is an ordinary one; the others are the
corners: single elements, zeros, ones, repeated values, several load cases, three dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

import tograph as tg
from tograph import Edge, Graph, Node
from tograph import nodes as n
from tograph.again import Again
from tograph.batching import Each, FromColumns, Repeat, ToColumns
from tograph.check import node_graph
from tograph.check.together import Total
from tograph.columns import JoinColumns, TakeColumns
from tograph.declare import Detach, Source, WithGradientOf
from tograph.derivative import Jvp, Vjp
from tograph.expand import Block
from tograph.function_nodes import ArrayFunction, FunctionRule, HostFunction
from tograph.implicit import AdjointSolve, TangentSolve
from tograph.inspect import measure
from tograph.node import Constant
from tograph.nodes.nodal import Columns
from tograph.nodes.solve import CountedSolve
from tograph.residual import Residual, ResidualNorm
from tograph.solvers import Newton
from tograph.spec import array


@attrs.frozen(eq=False)
class Example:
    """A node and its inputs, as for `tg.check_node`.

    Attributes:
        node: the node with constant parameters.
        inputs: arrays, numbers or edges, one per port.
        through: for nodes that do not give an array: what makes one of it.
        constant: parameters that cannot be wires, with the reason; all others are differentiated too.
    """

    node: Node
    inputs: tuple[Any, ...] = ()
    through: Callable[[Edge], Edge] | None = None
    constant: dict[str, str] = attrs.field(factory=dict)

    def graph(self, *, wired: bool = True) -> Graph:
        """With every parameter that can be a wire as an input, or with constants only."""
        wires = {name: tg.source(name, default=value) for name, value in self.node.constants.items()}
        kept = {name: edge for name, edge in wires.items() if name not in self.constant}
        node = attrs.evolve(self.node, **kept) if wired else self.node
        return node_graph(node, *self.inputs, through=self.through)


RNG = np.random.default_rng(7)
GRID, BLOCK, SINGLE = n.Grid(4, 3, spacing=(1.0, 0.5)), n.Grid(2, 3, 2), n.Grid(1, 1)
CLAMPED = {grid: grid.dofs(grid.nodes("left")) for grid in (GRID, BLOCK, SINGLE)}


def uniform(*shape: int) -> np.ndarray:
    """Values well inside (0, 1)."""
    return RNG.uniform(0.2, 0.9, shape)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def density(values: Any, grid: n.Grid = GRID) -> Edge:
    """A field, some of whose values may be exactly 0."""
    return tg.source("rho", grid.field(), default=np.broadcast_to(values, grid.shape))


def symmetric(d: int) -> np.ndarray:
    """An element matrix."""
    a = normal(1, d, d)
    matrix: np.ndarray = a + a.transpose(0, 2, 1)
    return matrix


def vector(grid: n.Grid = GRID, *cases: int) -> np.ndarray:
    return normal(grid.n_dofs(), *cases)


def operator(grid: n.Grid = GRID, **options: Any) -> Edge:
    """A stiffness from a source E."""
    E = tg.source("E", grid.field(), default=RNG.uniform(0.5, 2.0, grid.shape))
    edge: Edge = n.Stiffness(grid, fixed=CLAMPED[grid], **options)(E)
    return edge


def pattern(grid: n.Grid = GRID) -> n.ElementPattern:
    return n.Stiffness(grid, fixed=CLAMPED[grid]).pattern()


def applied(grid: n.Grid = GRID) -> Callable[[Edge], Edge]:
    """K -> K u for a fixed u."""
    u = vector(grid)
    return lambda K: n.ApplyOperator(pattern(grid))(K, tg.constant(u, grid.vector()))


def conducted(grid: n.Grid) -> Callable[[Edge], Edge]:
    """K -> K T for fixed temperatures T."""
    T = normal(grid.n_nodes)
    return lambda K: n.ApplyOperator(n.Conductivity(grid).pattern())(K, tg.constant(T, grid.vector(1)))


def solved(grid: n.Grid = GRID) -> Callable[[Edge], Edge]:
    """F -> K^-1 f for a fixed f."""
    f = vector(grid)
    return lambda F: n.ApplyFactor(pattern(grid), n.DirectSolver())(F, tg.constant(f, grid.vector()))


def factor(grid: n.Grid = GRID) -> Edge:
    edge: Edge = n.Factor(pattern(grid), n.DirectSolver())(operator(grid))
    return edge


SMALL = {"E_min": "1e-9 beside 1 cannot be moved visibly: see the first example"}
NO_WINDOW = {"radius": "ConeWeights and the filters need `max_radius` for a wired radius: see the next example"}
HEURISTIC = {"radius": "the heuristic has no derivative in its radius"}
BY_HAND = dict.fromkeys(("p", "E_min", "E_max", "nu"), "the rule by hand is for densities and loads only")
WEIGHTS = tg.constant(normal(4, 4)), tg.constant(uniform(3, 4))
NETWORK = n.NeuralEnergy(width=4, strain_scale=1.0)
MASK = np.arange(12).reshape(3, 4) % 3 == 0


CERTIFIED: dict[type[Node], tuple[Example, ...]] = {
    # arithmetic
    n.Add: (
        Example(n.Add(), (normal(3, 4), normal(3, 4), normal(3, 4))),
        Example(n.Add(), (1.5,)),
    ),
    n.Scale: (
        Example(n.Scale(), (0.7, normal(3, 4))),
        Example(n.Scale(), (0.0, np.zeros(3))),
        Example(n.Scale(), (1.0, 2.0)),
    ),
    JoinColumns: (
        Example(JoinColumns(), (normal(4), normal(4, 2), normal(4))),
        Example(JoinColumns(), (normal(1),)),
    ),
    TakeColumns: (
        Example(TakeColumns(1), (normal(4, 3),)),
        Example(TakeColumns(0, 2), (normal(4, 3),)),
        Example(TakeColumns(2, 1), (normal(1, 3),)),
    ),
    n.Dot: (
        Example(n.Dot(), (normal(3, 4), normal(3, 4))),
        Example(n.Dot(), (2.0, 3.0)),
        Example(n.Dot(), (np.zeros(1), np.ones(1))),
    ),
    n.Hadamard: (
        Example(n.Hadamard(), (normal(3, 4), normal(3, 4))),
        Example(n.Hadamard(), (np.zeros(1), np.ones(1))),
    ),
    n.Multiply: (
        Example(n.Multiply(), (normal(3, 4), normal(3, 4))),
        Example(n.Multiply(), (2.0, normal(3))),
        Example(n.Multiply(), (normal(3), 2.0)),
        Example(n.Multiply(), (2.0, 3.0)),
    ),
    n.Reciprocal: (Example(n.Reciprocal(), (uniform(3, 4),)), Example(n.Reciprocal(), (-2.0,))),
    n.Divide: (
        Example(n.Divide(), (normal(3, 4), uniform(3, 4))),
        Example(n.Divide(), (normal(3), 2.0)),
        Example(n.Divide(), (0.0, 2.0)),
    ),
    n.Power: (
        Example(n.Power(exponent=2.5), (uniform(3, 4),)),
        Example(n.Power(), (-(normal(3) ** 2) - 0.1,), constant={"exponent": "of a negative number, only an integer"}),
        Example(n.Power(exponent=1.0), (2.0,)),
        Example(n.Power(exponent=3.0), (density(MASK),)),
    ),
    n.Shift: (
        Example(n.Shift(by=0.4), (normal(3, 4),)),
        Example(n.Shift(by=-1.0), (2.0,)),
        Example(n.Shift(), (np.zeros(1),)),
    ),
    n.Sum: (Example(n.Sum(), (normal(3, 4),)), Example(n.Sum(), (normal(1),)), Example(n.Sum(), (2.0,))),
    # filters and projections
    n.ConeWeights: (
        Example(n.ConeWeights(GRID, (3, 1), 1.7)),
        Example(n.ConeWeights(BLOCK, (1, 1, 1), 1.9)),
        Example(n.ConeWeights(SINGLE, (0, 0), 0.5)),
    ),
    n.Convolve: (
        Example(n.Convolve(), (uniform(3, 4), normal(4, 4))),
        Example(n.Convolve(), (uniform(1, 1), uniform(2, 2))),
        Example(n.Convolve(), (np.zeros((2, 3)), np.ones((6, 5)))),
        Example(n.Convolve(), (uniform(3, 2, 2), np.ones((4, 4, 2)))),
    ),
    n.Spectrum: (
        Example(n.Spectrum((3, 4)), (uniform(3, 5),)),
        Example(n.Spectrum((1, 1)), (uniform(1, 1),)),
        Example(n.Spectrum((3, 2, 2)), (np.ones((3, 3, 1)),)),
    ),
    n.AverageSensitivity: (
        Example(n.AverageSensitivity(), (density(uniform(3, 4)), *WEIGHTS)),
        Example(n.AverageSensitivity(), (density(0.0), *WEIGHTS)),
    ),
    n.DensityFilter: (
        Example(n.DensityFilter(GRID, radius=1.7), (density(uniform(3, 4)),), constant=NO_WINDOW),
        Example(n.DensityFilter(GRID, radius=1.7, max_radius=2.6), (density(uniform(3, 4)),)),
        Example(n.DensityFilter(GRID, radius=9.0, max_radius=9.0), (density(0.5),), constant=NO_WINDOW),
        Example(
            n.DensityFilter(BLOCK, radius=1.9, max_radius=1.9),
            (density(uniform(*BLOCK.shape), BLOCK),),
            constant=NO_WINDOW,
        ),
        Example(n.DensityFilter(SINGLE, radius=0.5), (density(1.0, SINGLE),), constant=NO_WINDOW),
    ),
    n.SensitivityFilter: (
        Example(n.SensitivityFilter(GRID, radius=1.7), (density(uniform(3, 4)),), constant=HEURISTIC),
        Example(n.SensitivityFilter(SINGLE, radius=0.5), (density(1.0, SINGLE),), constant=HEURISTIC),
        Example(n.SensitivityFilter(GRID, radius=1.7), (density(0.0),), constant=HEURISTIC),
    ),
    n.Heaviside: (
        Example(n.Heaviside(beta=4.0, eta=0.4), (uniform(3, 4),)),
        Example(n.Heaviside(beta=64.0), (density(MASK),)),
        Example(n.Heaviside(beta=0.1, eta=0.0), (uniform(1, 1),)),
    ),
    n.Passive: (
        Example(n.Passive(GRID, MASK, ~MASK & (np.arange(4) == 1)), (density(uniform(3, 4)),)),
        Example(n.Passive(GRID, MASK & False, MASK & False), (density(uniform(3, 4)),)),
    ),
    n.Sigmoid: (
        Example(n.Sigmoid(), (normal(3, 4),)),
        Example(n.Sigmoid(shift=-30.0), (np.array([[29.0, 31.5]]),)),
        Example(n.Sigmoid(), (np.zeros((1, 1)),)),
    ),
    n.VolumeShift: (
        Example(n.VolumeShift(V=0.4), (normal(3, 4),)),
        Example(n.VolumeShift(V=0.4, mask=MASK), (30.0 + 10.0 * uniform(3, 4),)),
        Example(n.VolumeShift(V=0.25), (np.full((3, 4), 2.0),)),
        Example(n.VolumeShift(V=0.7, solver=Newton()), (normal(3, 4),)),
        Example(n.VolumeShift(V=0.5), (np.zeros((1, 1)),)),
    ),
    n.VolumeEnforcing: (
        Example(n.VolumeEnforcing(V=0.4), (normal(3, 4),)),
        Example(n.VolumeEnforcing(V=0.4, mask=MASK), (normal(3, 4),)),
        Example(n.VolumeEnforcing(V=0.5), (np.full((2, 2), -3.0),)),
    ),
    n.VolumeThreshold: (Example(n.VolumeThreshold(V=0.5, beta=3.0), (uniform(3, 4),)),),
    # layers
    n.Dense: (
        Example(n.Dense(), (normal(5, 3), normal(3, 4), normal(4))),
        Example(n.Dense(), (normal(2, 3, 2), normal(2, 1), normal(1))),
    ),
    n.Sin: (Example(n.Sin(omega=3.0), (normal(3, 4),)), Example(n.Sin(), (0.0,))),
    n.Tanh: (Example(n.Tanh(), (normal(3, 4),)), Example(n.Tanh(), (0.0,))),
    n.LeakyRelu: (Example(n.LeakyRelu(0.3), (normal(3, 4) + np.where(MASK, 3.0, -3.0),)),),
    n.Relu: (Example(n.Relu(), (normal(3, 4) + np.where(MASK, 3.0, -3.0),)),),
    n.Softplus: (Example(n.Softplus(), (normal(3, 4),)), Example(n.Softplus(), (np.array([-40.0, 0.0, 40.0]),))),
    n.Normalize: (
        Example(n.Normalize(), (normal(3, 4, 2),)),
        Example(n.Normalize("all", eps=0.1), (normal(3, 4),)),
    ),
    n.Affine: (Example(n.Affine(), (normal(3, 2, 4), normal(4), normal(4))),),
    # networks
    n.Pack: (Example(n.Pack(), (normal(3, 4), normal(2))),),
    n.Unpack: (Example(n.Unpack(((2, 3), (4,)), ("W", "b")), (normal(10),)),),
    n.Reshape: (Example(n.Reshape(array("array", a=3, b=4), array("field", ny=2, nx=6)), (normal(3, 4),)),),
    n.MLP: (Example(n.MLP(width=3, depth=1, activation=n.Tanh()), (normal(4, 3, 2), normal(13))),),
    n.Siren: (Example(n.Siren(width=3, depth=1, omega=2.0), (normal(4, 3, 2), normal(13))),),
    n.FourierFeatures: (Example(n.FourierFeatures(m=3, scale=0.5), (normal(2, 3, 2),)),),
    n.FourierMLP: (
        Example(n.FourierMLP(width=2, depth=1, m=2, scale=0.5, activation=n.Tanh()), (normal(4, 2), normal(13))),
    ),
    n.Conv2D: (Example(n.Conv2D(), (normal(3, 4, 2), normal(3, 3, 2, 1))),),
    n.TurnedKernel: (Example(n.TurnedKernel(), (normal(3, 3, 2, 1),)),),
    n.Resize: (Example(n.Resize((3, 5), (2, 3)), (normal(2, 3, 2),)),),
    # materials
    n.Simp: (
        Example(n.Simp(p=2.7, E_min=1e-2, E_max=1.5), (uniform(3, 4),)),
        Example(n.Simp(p=3.0, E_min=1e-9), (density(MASK),), constant=SMALL),
        Example(n.Simp(p=1.0), (np.array([[0.5]]),), constant=SMALL),
        Example(n.Simp(p=1.5, E_min=0.0), (density(MASK),), constant={"E_min": "0 is the end of its range"}),
    ),
    n.Ramp: (
        Example(n.Ramp(q=5.0, E_min=1e-2, E_max=1.5), (uniform(3, 4),)),
        Example(n.Ramp(E_min=1e-9), (density(MASK),), constant=SMALL),
        Example(n.Ramp(q=0.0), (np.array([[0.5]]),), constant=SMALL),
    ),
    # analysis
    n.ElementStiffness: (
        Example(n.ElementStiffness(GRID)),
        Example(n.ElementStiffness(GRID, plane="strain", nu=0.4)),
        Example(n.ElementStiffness(BLOCK, nu=0.0)),
    ),
    n.Assemble: (Example(n.Assemble(pattern()), (uniform(3, 4), normal(1, 8, 8)), applied()),),
    n.Conductivity: (
        Example(n.Conductivity(GRID), (uniform(3, 4),), conducted(GRID)),
        Example(n.Conductivity(GRID, along=(1.0, 0.2)), (density(MASK),), conducted(GRID)),
        Example(n.Conductivity(BLOCK), (uniform(*BLOCK.shape),), conducted(BLOCK)),
        Example(n.Conductivity(SINGLE), (np.ones((1, 1)),), conducted(SINGLE)),
    ),
    n.Stiffness: (
        Example(n.Stiffness(GRID, fixed=CLAMPED[GRID]), (uniform(3, 4),), applied()),
        Example(n.Stiffness(GRID, fixed=CLAMPED[GRID], plane="strain"), (density(MASK),), applied()),
        Example(n.Stiffness(BLOCK, nu=0.2), (uniform(*BLOCK.shape),), applied(BLOCK)),
        Example(n.Stiffness(SINGLE), (np.ones((1, 1)),), applied(SINGLE)),
    ),
    n.ApplyOperator: (
        Example(n.ApplyOperator(pattern()), (operator(), vector())),
        Example(n.ApplyOperator(pattern()), (operator(), vector(GRID, 3))),
        Example(n.ApplyOperator(pattern(SINGLE)), (operator(SINGLE), np.zeros(8))),
    ),
    n.OnSupports: (
        Example(n.OnSupports(pattern()), (vector(),)),
        Example(n.OnSupports(pattern()), (vector(GRID, 2),)),
        Example(n.OnSupports(n.Stiffness(SINGLE).pattern()), (vector(SINGLE),)),
    ),
    n.Factor: (Example(n.Factor(pattern(), n.DirectSolver()), (operator(),), solved()),),
    n.ApplyFactor: (
        Example(n.ApplyFactor(pattern(), n.DirectSolver()), (factor(), vector())),
        Example(n.ApplyFactor(pattern(), n.DirectSolver()), (factor(), vector(GRID, 3))),
        Example(n.ApplyFactor(pattern(), n.DirectSolver(), transposed=True), (factor(), vector())),
        Example(n.ApplyFactor(pattern(SINGLE), n.DirectSolver()), (factor(SINGLE), vector(SINGLE))),
    ),
    n.LinearSolve: (
        Example(n.LinearSolve(), (operator(), vector())),
        Example(n.LinearSolve(), (operator(), vector(), vector())),
        Example(n.LinearSolve(), (operator(), vector(GRID, 2), vector(GRID, 2))),
        Example(n.LinearSolve(), (operator(), np.zeros(GRID.n_dofs()), vector())),
        Example(n.LinearSolve(), (operator(BLOCK), vector(BLOCK))),
        Example(n.LinearSolve(), (operator(SINGLE), vector(SINGLE), vector(SINGLE))),
    ),
    n.SimpDisplacement: (
        Example(n.SimpDisplacement(GRID, E_min=1e-2, fixed=CLAMPED[GRID]), (uniform(3, 4), vector(), vector())),
        Example(
            n.SimpDisplacement(GRID, E_min=1e-2, fixed=CLAMPED[GRID], plane="strain", solver=Newton()),
            (uniform(3, 4), vector(GRID, 2), vector(GRID, 2)),
        ),
    ),
    n.SimpCompliance: (
        Example(n.SimpCompliance(GRID, fixed=CLAMPED[GRID]), (uniform(3, 4), vector()), constant=BY_HAND),
        Example(n.SimpCompliance(GRID, fixed=CLAMPED[GRID]), (uniform(3, 4), vector(GRID, 2)), constant=BY_HAND),
    ),
    # energies
    n.ElementForm: (
        Example(n.ElementForm(pattern()), (vector(), symmetric(8))),
        Example(n.ElementForm(pattern()), (vector(GRID, 2), symmetric(8))),
        Example(n.ElementForm(pattern(SINGLE)), (np.zeros(8), symmetric(8))),
    ),
    n.StrainEnergy: (
        Example(n.StrainEnergy(GRID), (uniform(3, 4), vector())),
        Example(n.StrainEnergy(GRID, plane="strain", nu=0.2), (density(MASK), vector(GRID, 2))),
        Example(n.StrainEnergy(BLOCK), (uniform(*BLOCK.shape), vector(BLOCK))),
    ),
    n.CornerMean: (
        Example(n.CornerMean(GRID), (normal(GRID.n_nodes),)),
        Example(n.CornerMean(BLOCK), (normal(BLOCK.n_nodes),)),
    ),
    n.StrainDensity: (Example(n.StrainDensity(), (normal(3, 2, 2),)),),
    n.ExternalWork: (Example(n.ExternalWork(), (vector(), vector())),),
    n.InverseSimp: (
        Example(n.InverseSimp(p=2.7, E_min=1e-2, E_max=1.5), (uniform(3, 4), uniform(3, 4))),
        Example(n.InverseSimp(E_min=1e-9), (np.full((3, 4), 0.5), uniform(3, 4)), constant=SMALL),
    ),
    # nonlinear materials and bodies
    n.StiffeningLaw: (Example(n.StiffeningLaw(k=2.0), (normal(4, 3), uniform(4))),),
    n.NeuralEnergy: (Example(NETWORK, (normal(4, 3), uniform(4), NETWORK.initial(0))),),
    n.Stress: (Example(n.Stress(NETWORK), (normal(4, 3), uniform(4), NETWORK.initial(0))),),
    n.InternalForce: (
        Example(n.InternalForce(n.StiffeningLaw(k=2.0), GRID), (uniform(3, 4), vector(), uniform(3, 4))),
    ),
    # objectives
    n.WeightCases: (
        Example(n.WeightCases((0.3, 1.0, -2.0)), (vector(GRID, 3),)),
        Example(n.WeightCases((0.3,)), (vector(),)),
        Example(n.WeightCases((0.3,)), (vector(GRID, 1),)),
    ),
    n.Compliance: (
        Example(n.Compliance(), (vector(), vector())),
        Example(n.Compliance((0.3, 2.0)), (vector(GRID, 2), vector(GRID, 2))),
        Example(n.Compliance(), (vector(GRID, 1), vector(GRID, 1))),
    ),
    n.VolumeFraction: (
        Example(n.VolumeFraction(), (uniform(3, 4),)),
        Example(n.VolumeFraction(MASK), (uniform(3, 4),)),
        Example(n.VolumeFraction(), (np.ones((1, 1)),)),
    ),
}

MEMBERS = "arranges the members of a batch after differentiation: tests/test_batch.py"
MEASURED = "a number about a run, added after all differentiation: tests/test_inspect.py"
INSIDE = "made by the rules of implicit nodes, which are checked as a whole"

EXEMPT: dict[type[Node], str] = {
    n.VolumeHeaviside: "nodes of this table: tests/problems/test_neural.py",
    n.CNN: "nodes of this table, compared with modules of both frameworks: tests/nodes/test_networks.py",
    n.KernelCotangent: "a derivative of Conv2D, checked with it",
    n.NewtonSolve: "passes `tg.check_node`, but in 45 s, all of it compiling: tests/nodes/test_equilibrium.py",
    n.Gradient: "a derivative of another node: tests/nodes/test_nodal.py",
    Columns: "puts the tangents of `Gradient` side by side: tests/nodes/test_nodal.py",
    Source: "an input has no operation",
    Constant: "a constant has no operation",
    WithGradientOf: "its derivative is not that of its value by design: tests/test_detached.py",
    Detach: "a cut has no derivative by design: tests/test_detached.py",
    Vjp: "made by differentiation from the nodes of this table, whose derivatives it is",
    Jvp: "made by differentiation from the nodes of this table, whose derivatives it is",
    n.Cast: "a rounding, whose differences are those of float32: tests/nodes/test_objectives.py",
    Again: "the identity between two computations of one value: tests/test_memory.py",
    Block: "a composite of this table run as one step",
    Each: "a node of this table for every member of a batch: tests/test_batch.py",
    Repeat: MEMBERS,
    ToColumns: MEMBERS,
    FromColumns: MEMBERS,
    measure.Measure: MEASURED,
    measure.Cosine: MEASURED,
    measure.Pack: MEASURED,
    Residual: INSIDE,
    TangentSolve: INSIDE,
    AdjointSolve: INSIDE,
    ResidualNorm: INSIDE,
    Total: "adds up what `tg.check` looks at, where a wrong sum would fail everything",
    n.SolveResidual: "checks a solution: the last nodes of a program, after all differentiation",
    CountedSolve: "`ApplyFactor` that counts, put in its place after differentiation: tests/nodes/test_iterations.py",
    ArrayFunction: "stands for a user's function: `tg.check_node` with the user's examples",
    HostFunction: "stands for a user's function: `tg.check_node` with the user's examples",
    FunctionRule: "a derivative of a host function, checked with it",
    n.Dyad: "the cotangent of an operator, made by differentiation only; its value: tests/nodes/test_stiffness.py",
}
