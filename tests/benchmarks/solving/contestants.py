"""Who computes value and gradient of the compliance: tograph's solvers, and other programs, on the same problem."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import lapack
from scipy.spatial import KDTree

from tograph import nodes as n
from tograph.nodes.solvers.band import _analyse
from tograph.nodes.solvers.protocol import lower_triangle
from tograph.problems import Problem, cantilever, cantilever_3d
from tograph.problems.workflow import compliance_workflow

RADIUS, NU, E_MIN, P = 2.4, 0.3, 1e-9, 3.0
Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]
Make = Callable[[Problem], Evaluate]


def problem_of(size: str) -> Problem:
    nelx, nely, *nelz = (int(count) for count in size.split("x"))
    return cantilever_3d(nelx, nely, *nelz) if nelz else cantilever(nelx, nely)


# Contestants: a problem -> value and gradient as a function of the density, a field of ours.


def with_tograph(solver: str, backend: str = "jax", device: str | None = None, **options: Any) -> Make:
    """On a device, arrays of the framework go in and come out; the value is fetched, which waits for it."""

    def make(problem: Problem) -> Evaluate:
        made = getattr(n, solver)(**options)
        graph = compliance_workflow(problem, radius=RADIUS, penal=P, E_min=E_MIN, solver=made)
        program = graph.compile(backend) if device is None else graph.compile(backend, device=device)
        function: Evaluate = program.value_and_grad("compliance", "rho")
        return function

    return make


def bare(solver: str) -> Make:
    """What a direct solve takes at least: assembly, one factorisation, one solve, and NumPy; nothing is checked."""

    def make(problem: Problem) -> Evaluate:
        pattern = n.Stiffness(problem.grid, nu=NU, fixed=problem.fixed).pattern()
        element = n.ElementStiffness(problem.grid).forward(np, np.asarray(NU))
        weights, free, load = filter_matrix(problem), pattern.free, problem.load[pattern.free]
        backward, solve = weights.T.tocsr(), BARE[solver](pattern)
        nodes, dim = problem.grid.element_nodes(), problem.grid.dim
        dofs = (nodes[:, :, None] * dim + np.arange(dim)).reshape(len(nodes), -1)

        def evaluate(rho: np.ndarray) -> tuple[float, np.ndarray]:
            physical = weights @ rho.ravel()
            E = E_MIN + (1.0 - E_MIN) * physical**P
            u = np.zeros(pattern.n_dofs)
            u[free] = solve(pattern.matrix(E.reshape(1, *rho.shape), element), load)
            local = u[dofs]
            work = np.sum((local @ element[0]) * local, axis=1)
            slope = backward @ (-(1.0 - E_MIN) * P * physical ** (P - 1.0) * work)
            return float(load @ u[free]), slope.reshape(rho.shape)

        return evaluate

    return make


def _bare_band(pattern: n.ElementPattern) -> Callable[[Any, np.ndarray], np.ndarray]:
    band = _analyse(pattern)
    place = np.searchsorted(pattern.free, band.order)

    def solve(matrix: Any, load: np.ndarray) -> np.ndarray:
        columns = np.zeros((band.order.size, band.width + 1))
        columns.ravel()[band.place] = matrix.data[band.entries]
        lapack.dpbtrf(columns.T, lower=1, overwrite_ab=1)
        u = np.empty_like(load)
        u[place], _ = lapack.dpbtrs(columns.T, load[place], lower=1)
        return u

    return solve


def _bare_cholmod(pattern: n.ElementPattern) -> Callable[[Any, np.ndarray], np.ndarray]:
    import cvxopt
    import cvxopt.cholmod

    entries, row, column = lower_triangle(pattern)
    sparse = cvxopt.spmatrix(1.0, row.tolist(), column.tolist(), (pattern.free.size,) * 2)
    factor = cvxopt.cholmod.symbolic(sparse)

    def solve(matrix: Any, load: np.ndarray) -> np.ndarray:
        sparse.V = cvxopt.matrix(matrix.data[entries])
        cvxopt.cholmod.numeric(sparse, factor)
        x = cvxopt.matrix(load)
        cvxopt.cholmod.solve(factor, x)
        return np.asarray(x)[:, 0]

    return solve


BARE = {"band": _bare_band, "CHOLMOD": _bare_cholmod}


def with_pymoto(solver: str) -> Make:
    def make(problem: Problem) -> Evaluate:
        import pymoto as pym

        grid = problem.grid
        domain = pym.VoxelDomain(grid.nelx, grid.nely, grid.nelz)
        x = pym.Signal("x", state=np.full(grid.n_elements, 0.5))
        f, fixed = _in_pymoto(grid, problem.load), np.flatnonzero(_in_pymoto(grid, _mask(problem)))
        with pym.Network() as network:
            filtered = pym.DensityFilter(domain, radius=RADIUS)(x)
            E = pym.MathExpression(f"{E_MIN} + {1 - E_MIN}*inp0^{P:g}")(filtered)
            K = pym.AssembleStiffness(domain, bc=fixed, poisson_ratio=NU, plane=problem.plane)(E)
            u = pym.LinSolve(symmetric=True, positive_definite=True, solver=_pymoto_solver(pym, solver, domain))(K, f)
            c = pym.EinSum("i,i->")(u, f)

        def evaluate(rho: np.ndarray) -> tuple[float, np.ndarray]:
            x.state = _to_pymoto(rho)
            network.response()
            network.reset()
            c.sensitivity = 1.0
            network.sensitivity()
            return float(c.state), _from_pymoto(np.asarray(x.sensitivity), rho.shape)

        return evaluate

    return make


def _pymoto_solver(pym: Any, name: str, domain: Any) -> Any:
    if name != "multigrid":
        known = {"symmetric": True, "positive_definite": True} if name == "SolverSparsePardiso" else {}
        return getattr(pym.solvers, name)(**known)
    levels: list[Any] = []
    size = domain
    while (not levels or size.nel > 2000) and all(count % 2 == 0 for count in (size.nelx, size.nely, size.nelz)):
        levels.append(pym.solvers.GeometricMultigrid(size))
        size = pym.VoxelDomain(size.nelx // 2, size.nely // 2, size.nelz // 2)
    for above, below in itertools.pairwise(levels):
        above.inner_level = below
    return pym.solvers.CG(preconditioner=levels[0], tol=1e-8)


def _mask(problem: Problem) -> np.ndarray:
    mask = np.zeros(problem.grid.n_dofs())
    mask[problem.fixed] = 1.0
    return mask


def _turned(field: np.ndarray) -> np.ndarray:
    """(y down, x[, z]) <-> ([z,] y up, x), which pyMOTO and torch-fem number in C order."""
    up = field[::-1]
    return up if field.ndim == 2 else up.transpose(2, 0, 1)


def _to_pymoto(rho: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(_turned(rho)).ravel()


def _from_pymoto(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) == 2:
        return values.reshape(shape)[::-1]
    return values.reshape(shape[2], shape[0], shape[1]).transpose(1, 2, 0)[::-1]


def _in_pymoto(grid: n.Grid, vector: np.ndarray) -> np.ndarray:
    nodal = np.asarray(vector).reshape(*grid.node_shape, grid.dim)
    parts = [_turned(nodal[..., k]).ravel() for k in range(grid.dim)]
    return np.stack(parts, axis=1).ravel()


def with_torch_fem(problem: Problem) -> Evaluate:
    import torch
    import torchfem

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    grid = problem.grid
    nodes, elements = torch.tensor(grid.node_coordinates()), torch.tensor(grid.element_nodes())
    materials, space = torchfem.materials, grid.dim == 3
    law = materials.IsotropicElasticity3D if space else materials.IsotropicElasticityPlaneStress
    body = torchfem.Solid if space else torchfem.Planar
    weights = _filter(problem)
    nu = torch.full((grid.n_elements,), NU)

    def evaluate(rho: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.tensor(np.ascontiguousarray(rho).ravel(), requires_grad=True)
        E = E_MIN + (1.0 - E_MIN) * (weights @ x) ** P
        model = body(nodes, elements, law(E, nu))
        model.forces = torch.tensor(problem.load.reshape(-1, grid.dim))
        model.constraints = torch.tensor(_mask(problem).reshape(-1, grid.dim) > 0.0)
        u, *_ = model.solve(differentiable_parameters=E)
        c = (u * model.forces).sum()
        c.backward()
        assert x.grad is not None
        return float(c), x.grad.numpy().reshape(rho.shape).copy()

    return evaluate


def _filter(problem: Problem) -> Any:
    """The density filter as a sparse matrix of PyTorch."""
    import torch

    made = filter_matrix(problem).tocoo()
    indices = torch.tensor(np.stack([made.row, made.col]))
    return torch.sparse_coo_tensor(indices, torch.tensor(made.data), made.shape).to_sparse_csr()


def filter_matrix(problem: Problem) -> Any:
    """The density filter as a sparse matrix of SciPy, rows in order."""
    points = problem.grid.centroids()
    near = KDTree(points).sparse_distance_matrix(KDTree(points), RADIUS, output_type="coo_matrix")
    near.data = RADIUS - near.data
    near.data = near.data / np.asarray(near.sum(axis=1)).ravel()[near.row]
    return near.tocsr()


CONTESTANTS: dict[str, tuple[tuple[str, ...], Make]] = {
    "tograph, default": ((), with_tograph("DirectSolver")),
    "tograph, default, PyTorch": (("torch",), with_tograph("DirectSolver", "torch")),
    "tograph, multigrid": ((), with_tograph("MultigridCG")),
    "tograph, multigrid float32": ((), with_tograph("MultigridCG", precision="float32")),
    "tograph, multigrid float32, PyTorch": (("torch",), with_tograph("MultigridCG", "torch", precision="float32")),
    "tograph, SuperLU": ((), with_tograph("SuperLU")),
    "tograph, PARDISO": (("pypardiso",), with_tograph("Pardiso")),
    "tograph, CHOLMOD": (("cvxopt",), with_tograph("Cholmod")),
    "tograph, PyAMG": (("pyamg",), with_tograph("AMG")),
    "pyMOTO, SuperLU": (("pymoto",), with_pymoto("SolverSparseLU")),
    "pyMOTO, PARDISO": (("pymoto", "pypardiso"), with_pymoto("SolverSparsePardiso")),
    "pyMOTO, CHOLMOD": (("pymoto", "cvxopt"), with_pymoto("SolverSparseCholeskyCVXOPT")),
    "pyMOTO, multigrid": (("pymoto",), with_pymoto("multigrid")),
    "bare band": ((), bare("band")),
    "bare CHOLMOD": (("cvxopt",), bare("CHOLMOD")),
    "torch-fem": (("torchfem", "torch"), with_torch_fem),
}

ON_DEVICE: dict[str, tuple[tuple[str, ...], Callable[[str], Make]]] = {
    "JAX": ((), lambda device: with_tograph("MultigridCG", "jax", device)),
    "JAX, float32": ((), lambda device: with_tograph("MultigridCG", "jax", device, precision="float32")),
    "PyTorch": (("torch",), lambda device: with_tograph("MultigridCG", "torch", device)),
    "PyTorch, float32": (("torch",), lambda device: with_tograph("MultigridCG", "torch", device, precision="float32")),
}
"""Contestants that run on a device as a whole, given its name."""
