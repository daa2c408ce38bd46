"""Every host solver gives the same answers, to its accuracy, on every kind of grid."""

from __future__ import annotations

import gc
import sys
import types
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg as spla

import tograph as tg
from tograph import Graph
from tograph import nodes as n
from tograph.nodes.solvers.dissection import dissect, runs
from tograph.nodes.solvers.protocol import System, optional
from tograph.nodes.stiffness import ElementStiffness
from tograph.problems import cantilever, mbb
from tograph.problems.workflow import compliance_workflow

GRIDS = [
    n.Grid(1, 1),
    n.Grid(7, 3),
    n.Grid(23, 17, spacing=(1.0, 0.5)),
    n.Grid(2, 30),
    n.Grid(5, 4, 3),
    n.Grid(9, 2, 7),
]
OWN = [n.BandCholesky(), n.Multifrontal(), n.DirectSolver()]


def installed(solver: Any) -> Any:
    """The solver, or skip the test where its library cannot be loaded, with the reason."""
    for name, module in (("Pardiso", "pypardiso"), ("Cholmod", "cvxopt.cholmod"), ("AMG", "pyamg")):
        if type(solver).__name__ == name:
            pytest.importorskip(module, exc_type=ImportError)
    return solver


def pattern_of(grid: n.Grid, components: int) -> tuple[n.ElementPattern, np.ndarray]:
    """A grid held at its left side and one more dof, and its element matrices: elasticity, or a scalar problem."""
    left = grid.nodes("left")
    dofs = (left[:, None] * components + np.arange(components)).ravel()
    fixed = np.union1d(dofs, [grid.n_nodes * components // 2])
    elastic = ElementStiffness(grid).forward(np, np.asarray(0.3))
    size = components * 2**grid.dim
    scalar = np.eye(size)[None] - 1.0 / size
    return n.ElementPattern(grid, components, fixed), elastic if components == grid.dim else scalar


def moduli(grid: n.Grid, terms: int, rng: np.random.Generator) -> np.ndarray:
    """Black and white, contrast 1e-9, without loose islands large enough to hide an error."""
    solid = rng.random((terms, *grid.shape)) < 0.7
    return np.where(solid, 1.0, 1e-9) * rng.uniform(0.5, 1.0, (terms, *grid.shape))


@pytest.mark.parametrize("components", [1, 0], ids=["scalar", "elastic"])
@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: "x".join(map(str, g.shape)))
@pytest.mark.parametrize("solver", [*OWN, n.SuperLU(), n.Pardiso(), n.Cholmod()], ids=lambda s: type(s).__name__)
def test_residuals(solver: Any, grid: n.Grid, components: int, rng: np.random.Generator) -> None:
    """Several loads, two terms: K u = f to rounding, zero at fixed dofs, loads there without effect."""
    pattern, elements = pattern_of(grid, components or grid.dim)
    E = moduli(grid, 2, rng)
    elements = np.concatenate([elements, 0.5 * elements])
    system = System(pattern, E, elements)
    rhs = system.apply(rng.normal(size=(3, pattern.n_dofs)) * (1.0 - pattern.supports))
    loaded = rhs + 7.0 * pattern.supports
    factor = installed(solver).factor(pattern, E, elements)
    u = solver.solve(factor, loaded, transposed=False)
    assert np.all(u[:, pattern.fixed] == 0.0)
    assert np.allclose(system.apply(u), rhs, rtol=0.0, atol=1e-12 * max(1.0, np.abs(u).max()))
    assert np.allclose(solver.solve(factor, loaded, transposed=True), u, rtol=0.0, atol=1e-6 * np.abs(u).max())


def test_the_operator_without_assembly(rng: np.random.Generator) -> None:
    pattern, elements = pattern_of(n.Grid(4, 3, 2), 3)
    system = System(pattern, moduli(pattern.grid, 1, rng), elements)
    u = rng.normal(size=(2, pattern.n_dofs)) * (1.0 - pattern.supports)
    applied, diagonal = system.apply(u), system.diagonal
    assert np.allclose(applied[:, pattern.free], (system.matrix @ u[:, pattern.free].T).T, atol=1e-12)
    assert np.allclose(diagonal[pattern.free], system.matrix.diagonal(), rtol=1e-13)
    assert np.allclose(applied, system.apply(u), atol=1e-12) and np.all(applied[:, pattern.fixed] == 0.0)


def test_the_map_of_another_element_matrix_is_made_anew(rng: np.random.Generator) -> None:
    pattern, elements = pattern_of(n.Grid(4, 3), 2)
    E = moduli(pattern.grid, 2, rng)
    once = pattern.matrix(E[:1], elements).toarray()
    both = pattern.matrix(E, np.concatenate([elements, 0.5 * elements])).toarray()
    again = pattern.matrix(E[1:], elements).toarray()
    assert np.allclose(both, once + 0.5 * again, rtol=1e-13) and not np.allclose(once, again)


@pytest.mark.parametrize("shape", [(1, 1), (9, 14), (3, 40), (5, 6, 7)])
def test_every_node_is_eliminated_once(shape: tuple[int, ...]) -> None:
    kinds = dissect(shape, 3)
    nodes = [tuple(corner + np.array(point)) for kind in kinds for corner in kind.corners for point in kind.eliminated]
    assert len(nodes) == len(set(nodes)) == int(np.prod([count + 1 for count in shape]))
    assert not kinds[-1].handed_on and len(kinds[-1].corners) == 1
    for kind in kinds:
        for child in kind.children:
            assert np.array_equal(child.kind.corners[child.boxes], kind.corners + child.shift)


def test_runs() -> None:
    assert runs(np.array([3, 4, 5, 9, 10]), 5) == (
        (slice(0, 2), slice(3, 5)),
        (slice(2, 3), slice(5, 6)),
        (slice(3, 5), slice(9, 11)),
    )
    assert runs(np.zeros(0, dtype=int), 0) == ()


def test_the_choice() -> None:
    def choice(grid: n.Grid, symmetric: bool = True) -> tuple[Any, str]:
        return n.DirectSolver().choice(n.ElementPattern(grid, grid.dim, np.zeros(0, dtype=int), symmetric))

    assert choice(n.Grid(60, 20)) == (n.BandCholesky(), "K is symmetric, and a band would take 5e+06 multiplications")
    assert choice(n.Grid(300, 100))[0] == n.Multifrontal()
    assert choice(n.Grid(5000, 10))[0] == n.BandCholesky()
    assert choice(n.Grid(24, 12, 12))[0] == n.BandCholesky()
    assert choice(n.Grid(64, 32, 32))[0] == n.Multifrontal()
    assert choice(n.Grid(6, 2), symmetric=False) == (n.SuperLU(), "K is not symmetric")


@pytest.mark.parametrize("solver", [*OWN, n.Cholmod(), n.Pardiso(), n.AMG(tolerance=1e-12)], ids=lambda s: repr(s))
def test_value_and_gradient(solver: Any, rng: np.random.Generator) -> None:
    """As those of SuperLU; at successive designs, so that what is kept from the last one does no harm."""
    problem = mbb(24, 10)
    installed(solver)
    found, expected = (
        compliance_workflow(problem, solver=s).compile("torch").value_and_grad("compliance", "rho")
        for s in (solver, n.SuperLU())
    )
    for _ in range(3):
        rho = rng.uniform(0.2, 1.0, problem.grid.shape)
        (c, dc), (c_ref, dc_ref) = found(rho), expected(rho)
        assert abs(c / c_ref - 1.0) < 1e-9
        assert np.abs(dc - dc_ref).max() < 1e-9 * np.abs(dc_ref).max()


@pytest.mark.parametrize("solver", [n.BandCholesky(), n.Multifrontal(), n.Cholmod(), n.Pardiso()], ids=repr)
def test_two_factors_of_one_pattern_live_side_by_side(solver: Any, rng: np.random.Generator) -> None:
    installed(solver)
    pattern, elements = pattern_of(n.Grid(6, 5), 2)
    rhs = rng.normal(size=(1, pattern.n_dofs))
    stiff, soft = np.full((1, 5, 6), 2.0), np.full((1, 5, 6), 1.0)
    first, second = (solver.factor(pattern, E, elements) for E in (stiff, soft))
    u, v = (solver.solve(factor, rhs, transposed=False) for factor in (first, second))
    assert np.allclose(2.0 * u, v, rtol=1e-10)
    del first
    gc.collect()
    third = solver.factor(pattern, 4.0 * soft, elements)
    assert np.allclose(4.0 * solver.solve(third, rhs, transposed=False), v, rtol=1e-10)
    assert np.allclose(solver.solve(second, rhs, transposed=False), v, rtol=1e-14)


def test_workspaces_are_used_again() -> None:
    pattern, elements = pattern_of(n.Grid(6, 5), 2)
    E = np.ones((1, 5, 6))
    solver = n.BandCholesky()
    places = set()
    for _ in range(5):
        factor = solver.factor(pattern, E, elements)
        places.add(factor.columns.ctypes.data)
        del factor
        gc.collect()
    assert len(places) == 1


def test_an_unsymmetric_operator(rng: np.random.Generator) -> None:
    grid = n.Grid(5, 4)
    pattern = n.ElementPattern(grid, 1, grid.nodes("left"), symmetric=False)
    elements = (np.eye(4) - 0.25 + 0.1 * np.triu(np.ones((4, 4)), 1))[None]
    E = rng.uniform(0.5, 1.0, (1, *grid.shape))
    solver, rhs = n.DirectSolver(), rng.normal(size=(1, grid.n_nodes))
    factor = solver.factor(pattern, E, elements)
    matrix = pattern.matrix(E, elements).toarray()
    for transposed in (False, True):
        u = solver.solve(factor, rhs, transposed=transposed)
        assert np.allclose((matrix.T if transposed else matrix) @ u[0, pattern.free], rhs[0, pattern.free])


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypardiso", None)
    message = "needs pypardiso, which is not installed. Install it: pip install 'tograph\\[solvers-mkl\\]'"
    with pytest.raises(tg.TographError, match=message):
        optional("pypardiso", "solvers-mkl")
    graph = compliance_workflow(cantilever(4, 3), solver=n.Pardiso())
    with pytest.raises(tg.TographError, match=message):
        graph.compile("torch")(np.ones((3, 4)))


class StandIn:
    """What is used of `nvmath.sparse.advanced.DirectSolver`, by SciPy; as strict about the order of calls."""

    DirectSolverMatrixType = types.SimpleNamespace(SPD="spd")
    planned = 0

    def __init__(self, a: Any, b: np.ndarray, options: Any) -> None:
        assert a.format == "csr" and b.shape == (a.shape[0],) and options == "spd"
        self.a, self.b = a, b
        self.lu: Any = None

    @staticmethod
    def DirectSolverOptions(sparse_system_type: str) -> str:
        return sparse_system_type

    def plan(self) -> None:
        StandIn.planned += 1

    def reset_operands(self, a: Any = None, b: Any = None) -> None:
        if a is not None:
            assert a.nnz == self.a.nnz
            self.a, self.lu = a, None
        self.b = self.b if b is None else b

    def factorize(self) -> None:
        self.lu = spla.splu(self.a.tocsc())

    def solve(self) -> np.ndarray:
        assert self.lu is not None
        found: np.ndarray = self.lu.solve(self.b)
        return found

    def free(self) -> None:
        self.lu = None


def test_cudss_by_a_stand_in(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    module = "nvmath.sparse.advanced"
    monkeypatch.setitem(sys.modules, module, None)
    beam = cantilever(6, 3)
    function = compliance_workflow(beam, solver=n.CuDSS()).compile("torch").value_and_grad("compliance", "rho")
    rho = rng.uniform(0.2, 1.0, beam.grid.shape)
    with pytest.raises(tg.TographError, match=r"needs nvmath, which .* pip install 'tograph\[solvers-cuda\]'"):
        function(rho)
    parts = {name: getattr(StandIn, name) for name in ("DirectSolverMatrixType", "DirectSolverOptions")}
    library = types.SimpleNamespace(DirectSolver=StandIn, **parts)
    monkeypatch.setitem(sys.modules, module, library)
    direct = compliance_workflow(beam).compile("torch").value_and_grad("compliance", "rho")
    for design in (rho, rho**2):
        (value, slope), (value_direct, slope_direct) = function(design), direct(design)
        assert value == pytest.approx(value_direct, rel=1e-10) and slope == pytest.approx(slope_direct, rel=1e-8)
    assert StandIn.planned == 1
    with pytest.raises(tg.SolveError, match="singular"):
        compliance_workflow(beam, E_min=0.0, solver=n.CuDSS()).compile("torch")(rho * 0.0)


def test_solvers_are_stored() -> None:
    extras = (n.AMG(tolerance=1e-8), n.Cholmod(), n.CuDSS(), n.Pardiso())
    for solver in (*extras, n.BandCholesky(), n.DirectSolver(), n.SuperLU()):
        graph = compliance_workflow(cantilever(4, 3), solver=solver)
        assert Graph.from_dict(graph.to_dict()).hash == graph.hash


@pytest.mark.slow
def test_a_long_run_neither_hangs_nor_leaks() -> None:
    """Host steps between jitted segments, several hundred times: resident memory stays where it was."""
    problem = cantilever(30, 10)
    function = compliance_workflow(problem).compile("jax").value_and_grad("compliance", "rho")
    rng = np.random.default_rng(0)

    def run(times: int) -> float:
        for _ in range(times):
            function(rng.uniform(0.2, 1.0, problem.grid.shape))
        gc.collect()
        with open("/proc/self/statm", encoding="utf-8") as file:
            return float(file.read().split()[1]) * 4096.0 / 2**20

    before = run(100)
    assert run(600) - before < 8.0
