"""Multigrid against direct solves, where grids, supports and designs are awkward; and what is said if it fails."""

from __future__ import annotations

from typing import Any

import array_api_extra as xpx
import numpy as np
import pytest
import scipy.sparse.linalg as spla

import tograph as tg
from tograph import nodes as n
from tograph.backends import load_backend
from tograph.nodes.multigrid import operator
from tograph.nodes.multigrid.levels import make_levels
from tograph.nodes.multigrid.setup import in_corner_order
from tograph.nodes.multigrid.solver import _from_nodes, _to_nodes
from tograph.nodes.solve import automatic
from tograph.problems import mbb

SOLVERS = (n.MultigridCG(direct=5_000), n.DirectSolver())  # so little that small grids have many levels


def compliance(grid: n.Grid, fixed: np.ndarray, load: np.ndarray, solver: Any, E_min: float = 1e-9) -> tg.Graph:
    rho = tg.source("rho", grid.field())
    E = n.Simp(E_min=E_min)(rho)
    u = n.LinearSolve(solver)(n.Stiffness(grid, fixed=fixed)(E), load)
    return tg.Graph(inputs=[rho], outputs={"c": n.Compliance()(u, load), "u": u})


def both(
    grid: n.Grid, fixed: np.ndarray, load: np.ndarray, designs: Any, backend: str = "torch", **options: Any
) -> None:
    """Compliance within 5e-7 and its gradient within 1e-6 of the direct solver's, relative.

    On PyTorch if nothing is said: nothing waits for a compiler.
    """
    ours, direct = (
        compliance(grid, fixed, load, s, **options).compile(backend).value_and_grad("c", "rho") for s in SOLVERS
    )
    for design in designs:
        (c, slope), (c_direct, slope_direct) = ours(design), direct(design)
        assert c == pytest.approx(c_direct, rel=5e-7)
        assert np.abs(slope - slope_direct).max() <= 1e-6 * np.abs(slope_direct).max()


def point_load(grid: n.Grid, where: str, direction: str = "y") -> np.ndarray:
    load = np.zeros(grid.n_dofs())
    load[grid.dofs(grid.nodes(where), direction)] = -1.0
    return load


def frame(shape: tuple[int, ...]) -> np.ndarray:
    """Bars along all edges of the domain: connected, whatever is inside."""
    solid = np.zeros(shape)
    for axis in range(len(shape)):
        for rows in (slice(0, 2), slice(-2, None)):
            solid[(slice(None),) * axis + (rows,)] = 1.0
    return solid


def designs(shape: tuple[int, ...], count: int) -> list[np.ndarray]:
    """Grey ones, and black-and-white ones with islands in the void."""
    rng = np.random.default_rng(3)
    made: list[np.ndarray] = []
    for i in range(count):
        noise = rng.uniform(0.0, 1.0, shape)
        for axis in range(len(shape)):
            noise = (noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)) / 3.0
        islands = np.where(noise > np.quantile(noise, 0.7), 1.0, 0.0)
        made.append(np.maximum(islands, frame(shape)) if i % 2 else np.clip(2.0 * noise - 0.3, 0.0, 1.0))
    return made


GRIDS = {
    "even": n.Grid(32, 16),
    "odd": n.Grid(37, 13),
    "thin": n.Grid(90, 2),
    "one row": n.Grid(40, 1),
    "flat elements": n.Grid(24, 20, spacing=(1.0, 0.1)),
    "block": n.Grid(9, 6, 5),
}


@pytest.mark.parametrize(("name", "backend"), [*((name, "torch") for name in GRIDS), ("odd", "jax"), ("block", "jax")])
def test_the_answer_is_that_of_a_direct_solver(name: str, backend: str) -> None:
    grid = GRIDS[name]
    fixed, load = grid.dofs(grid.nodes("left")), point_load(grid, "right")
    both(grid, fixed, load, designs(grid.shape, 2), backend, E_min=1e-3)


def test_gradients_of_twenty_designs_with_islands_and_contrast_1e9() -> None:
    beam = mbb(nelx=48, nely=18)
    both(beam.grid, beam.fixed, beam.load, designs(beam.grid.shape, 20), "jax")


def test_gradients_in_space_with_islands_and_contrast_1e9() -> None:
    grid = n.Grid(9, 6, 5)
    both(grid, grid.dofs(grid.nodes("left")), point_load(grid, "right"), designs(grid.shape, 6))


def test_a_tolerance_of_the_residual() -> None:
    grid = n.Grid(16, 8)
    graph = compliance(grid, grid.dofs(grid.nodes("left")), point_load(grid, "right"), n.MultigridCG(tolerance=1e-10))
    function = graph.compile("torch").values("c")
    function(np.full(grid.shape, 0.5))
    (state,) = function.solved
    assert state.residual is not None and state.residual <= 1e-10


def test_an_objective_whose_adjoint_is_another() -> None:
    # sum_e E_e |dg_e| <= 1e-6 |lam|_K |u|_K, and |d(l . u)| <= 5e-7 of it, with islands and contrast 1e-9 but for
    # loads on the islands: then it is 6e-6.
    beam = mbb(nelx=24, nely=12)
    weights = point_load(beam.grid, "top", "x")
    E = tg.source("E", beam.grid.field())

    def of(solver: Any) -> Any:
        u = n.LinearSolve(solver)(n.Stiffness(beam.grid, fixed=beam.fixed)(E), beam.load)
        return tg.Graph([E], {"q": n.Dot()(u, weights)}).compile("torch").value_and_grad("q", "E")

    K = n.Stiffness(beam.grid, fixed=beam.fixed).pattern()
    element = n.ElementStiffness(beam.grid).forward(np, np.asarray(0.3))
    for design in designs(beam.grid.shape, 2):
        moduli = 1e-9 + design**3
        (q, slope), (q_direct, slope_direct) = (of(solver)(moduli) for solver in SOLVERS)
        matrix, free = K.matrix(moduli[None], element), K.free
        norms = [np.sqrt(x[free] @ spla.spsolve(matrix, x[free])) for x in (beam.load, weights)]
        assert np.sum(moduli * np.abs(slope - slope_direct)) <= 1e-6 * norms[0] * norms[1]
        assert abs(q - q_direct) <= 5e-7 * norms[0] * norms[1]


def test_supports_that_no_coarse_grid_has() -> None:
    grid = n.Grid(34, 21)
    nodes = [grid.nearest_node(3.0, 0.0), grid.nearest_node(31.0, 0.0), grid.nearest_node(17.0, 11.0)]
    both(grid, grid.dofs(nodes), point_load(grid, "top"), designs(grid.shape, 2))


def test_supports_along_a_side_that_is_inside_a_coarse_element() -> None:
    grid = n.Grid(33, 17)
    fixed = np.union1d(grid.dofs(grid.nodes("right")), grid.dofs(grid.nodes("bottom"), "y"))
    both(grid, fixed, point_load(grid, "top-left"), designs(grid.shape, 2))


def test_a_grid_with_one_level_of_elements() -> None:
    grid = n.Grid(1, 1)
    both(grid, grid.dofs(grid.nodes("left")), point_load(grid, "right"), [np.full((1, 1), 0.5)])


def test_several_loads_and_prescribed_displacements() -> None:
    grid = n.Grid(30, 11)
    rng = np.random.default_rng(0)
    fixed = grid.dofs(grid.nodes("left"))
    load, prescribed = rng.normal(size=(2, grid.n_dofs(), 3))
    E = tg.source("E", grid.field())
    K = n.Stiffness(grid, fixed=fixed)(E)
    design = rng.uniform(0.1, 1.0, grid.shape)
    u, direct = (
        tg.Graph([E], {"u": n.LinearSolve(solver)(K, load, prescribed)}).compile("torch")(design)["u"]
        for solver in (n.MultigridCG(tolerance=1e-12), n.DirectSolver())
    )
    assert u == pytest.approx(direct, rel=1e-8, abs=1e-8 * np.abs(direct).max())
    assert u[fixed] == pytest.approx(prescribed[fixed])


@pytest.mark.parametrize("name", ["jax", "torch"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("grid", [n.Grid(5, 4, 3, spacing=(1.0, 0.5, 2.0)), n.Grid(6, 3)], ids=["block", "plate"])
def test_products_in_blocks_of_elements(
    grid: n.Grid, name: str, mirrored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two terms, two cases, and blocks that do not divide the number of nodes.
    monkeypatch.setattr(operator, "CHUNK", 25)
    monkeypatch.setattr(operator, "CHUNK_COMPILED", 25)
    pattern, rng = n.ElementPattern(grid, grid.dim, np.array([], int), mirrored=mirrored), np.random.default_rng(4)
    level = make_levels(pattern, 10_000)[0]
    matrix = n.ElementStiffness(grid).forward(np, np.asarray(0.3))[0]
    moduli, elements = rng.uniform(size=(2, *grid.shape)), np.stack([matrix, np.diag(np.diag(matrix))])
    u = rng.normal(size=(2, grid.n_dofs()))
    backend = load_backend(name, "float64")
    with backend.scope():
        E, K, x = (backend.array(value, "float64") for value in (moduli, elements, u))
        padding = [(0, 0), *((0, m - k) for m, k in zip(level.elements, grid.shape, strict=True))]
        wide = operator.widened(
            backend.xp, operator.to_nodes(backend.xp, xpx.pad(E, padding, xp=backend.xp), level), level
        )
        made = operator.apply_elements(
            backend, level, wide, in_corner_order(backend.xp, pattern, K), _to_nodes(backend.xp, pattern, level, x)
        )
        found = backend.to_numpy(_from_nodes(backend.xp, pattern, level, made))
    expected = (pattern.matrix(moduli, elements) @ u.T).T
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_an_element_matrix_that_is_not_as_the_pattern_says_is_an_error() -> None:
    grid = n.Grid(3, 2, 2)
    pattern = n.Stiffness(grid, fixed=grid.dofs(grid.nodes("left"))).pattern()
    wrong = np.random.default_rng(0).normal(size=(24, 24))
    E = tg.source("E", grid.field())
    K = n.Assemble(pattern)(E, (wrong @ wrong.T)[None])
    graph = tg.Graph([E], {"u": n.LinearSolve(n.MultigridCG(iterations=30))(K, point_load(grid, "right"))})
    with pytest.raises(tg.SolveError, match="did not converge"):
        graph.compile("jax").values("u")(np.ones(grid.shape))  # where the program counts on it


def test_elements_that_do_not_exist() -> None:
    # An L with E = 0 outside: the dofs out there keep 0, and the others are as with a very soft outside.
    grid = n.Grid(24, 24)
    there = np.ones(grid.shape)
    there[:12, 12:] = 0.0
    load = point_load(grid, "bottom-right")
    fixed = grid.dofs(grid.nodes("top"))
    found = compliance(grid, fixed, load, SOLVERS[0], 0.0).compile("torch").values("c", "u")(there)
    c, u = found["c"], found["u"]
    soft = compliance(grid, fixed, load, SOLVERS[1], 1e-9).compile("torch").values("c")(there)["c"]
    assert c == pytest.approx(soft, rel=1e-6)
    assert not u[grid.dofs(grid.nodes("top-right"))].any()


def test_compliance_takes_one_set_up_one_solve_and_one_function() -> None:
    grid = n.Grid(12, 6)
    graph = compliance(grid, grid.dofs(grid.nodes("left")), point_load(grid, "right"), SOLVERS[0])
    function = graph.compile("jax").value_and_grad("c", "rho")
    explained = function.explain()
    assert (explained.factorizations, explained.solves) == (1, 1)
    assert [s.where for s in function.schedule.segments if not s.once] == ["device"]


def test_no_answer_is_an_error() -> None:
    beam = mbb(nelx=60, nely=20)
    graph = compliance(beam.grid, beam.fixed, beam.load, n.MultigridCG(iterations=3))
    with pytest.raises(tg.SolveError, match=r"solve of u \(ApplyFactor\), declared at .*, did not converge: .*"):
        graph.compile("torch").value_and_grad("c", "rho")(beam.uniform(0.5))


def test_moduli_that_are_not_numbers() -> None:
    grid = n.Grid(8, 4)
    x = tg.source("x", grid.field())
    K = n.Stiffness(grid, fixed=grid.dofs(grid.nodes("left")))(
        n.Add()(n.Reciprocal()(x), n.Scale()(-1.0, n.Reciprocal()(x)))
    )
    graph = tg.Graph([x], {"u": n.LinearSolve(SOLVERS[0])(K, point_load(grid, "right"))})
    with pytest.raises(tg.SolveError, match="gave no finite answer"):
        graph.compile("torch").values("u")(np.zeros(grid.shape))


def test_a_body_that_floats_is_an_error() -> None:
    grid = n.Grid(16, 8)
    load = point_load(grid, "right")
    graph = compliance(grid, grid.dofs(grid.nodes("left"), "x"), load, SOLVERS[0])
    with pytest.raises(tg.SolveError, match=r"^solve of u .* leave the body free to move: translation along y\. Add"):
        graph.compile("jax").values("c")(np.ones(grid.shape))


def test_the_adjoint_is_checked_too() -> None:
    # Without a load the state is found at once; the adjoint, a further column of the same solve, is not.
    beam = mbb(nelx=60, nely=20)
    rho = tg.source("rho", beam.grid.field())
    u = n.LinearSolve(n.MultigridCG(iterations=3))(n.Stiffness(beam.grid, fixed=beam.fixed)(rho), 0.0 * beam.load)
    graph = tg.Graph([rho], {"c": n.Dot()(u, beam.load)})
    with pytest.raises(
        tg.SolveError, match=r"^solve of u and adjoint of u \(ApplyFactor\), declared at .* did not converge"
    ):
        graph.compile("torch").value_and_grad("c", "rho")(beam.uniform(0.5))


def test_float32() -> None:
    beam = mbb(nelx=40, nely=15)
    c, slope = (
        compliance(beam.grid, beam.fixed, beam.load, s, 1e-3)
        .compile("jax", dtype=dtype)
        .value_and_grad("c", "rho")(beam.uniform(0.5))
        for s, dtype in zip(SOLVERS, ("float32", "float64"), strict=True)
    )
    assert c[0] == pytest.approx(slope[0], rel=5e-3)
    assert c[1] == pytest.approx(slope[1], rel=1e-2, abs=5e-3 * np.abs(slope[1]).max())


def test_the_automatic_choice() -> None:
    small, large, block = n.Grid(300, 100), n.Grid(600, 200), n.Grid(24, 12, 12)
    chosen = [type(automatic(n.Stiffness(grid).pattern())[0]) for grid in (small, large, block)]
    assert chosen == [n.DirectSolver, n.MultigridCG, n.MultigridCG]
    graph = compliance(block, block.dofs(block.nodes("left")), point_load(block, "right"), "auto")
    assert all(s.where != "host" for s in graph.compile("jax").values("c").schedule.segments)


def test_levels_shrink_to_a_small_one() -> None:
    grid = n.Grid(300, 100)
    levels = make_levels(n.Stiffness(grid).pattern(), 100_000)
    assert [level.elements for level in levels] == [(100, 300), (50, 150), (26, 76), (14, 38), (7, 19)]
    assert 20 * (2 * 8) ** 3 <= 100_000
