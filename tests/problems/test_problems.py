"""Every problem against the independent oracle, its published numbers, and the messages for impossible ones."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import reference
from tograph.nodes.grid import Grid
from tograph.problems import (
    PROBLEMS,
    Problem,
    cantilever,
    cantilever_3d,
    cantilever_with_hole,
    mbb,
    two_load_cantilever,
)

# Uniform-design compliances without a published value, from tests/reference.py.
COMPUTED = {
    "cantilever": 982.415046640,
    "cantilever_with_hole": 169.891495277,
    "two_load_cantilever": 445.493190375,
    "heat_conduction": 13.7961227462,
}


def uniform_compliance(problem: Problem) -> float:
    settings = {"e_min": problem.settings["E_min"]} if problem.settings else {}
    return reference.compliance(reference.from_problem(problem, **settings), reference.from_field(problem.uniform()))[0]


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_registered_problem_is_well_formed(name: str) -> None:
    problem = PROBLEMS[name]()
    assert problem.name == name and problem.description and problem.suite
    assert problem.load.shape[0] == problem.grid.n_dofs(problem.components)
    assert problem.cases == (2 if name == "two_load_cantilever" else 1)
    assert np.abs(problem.load).sum(axis=0) == pytest.approx(1.0, rel=1e-12)
    assert problem.uniform().mean() == pytest.approx(problem.volume, rel=1e-12)
    assert problem.uniform().dtype == np.float64 and problem.uniform().shape == problem.grid.shape


@pytest.mark.parametrize("name", ["bridge", "mbb", "michell", "tensile"])
def test_published_uniform_compliance(name: str) -> None:
    problem = PROBLEMS[name]()
    published = problem.reference["uniform_compliance"]
    assert published["source"].startswith("ADTO")
    assert uniform_compliance(problem) == pytest.approx(published["value"], rel=1e-9)


@pytest.mark.parametrize(("size", "value"), [((96, 64, 0.4), 498.232812980), ((144, 48, 0.2), 16123.645820)])
def test_published_uniform_compliance_of_other_mbb_beams(size: tuple[int, int, float], value: float) -> None:
    problem = mbb(*size)
    assert problem.reference["uniform_compliance"]["value"] == value
    assert uniform_compliance(problem) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", sorted(COMPUTED))
def test_computed_uniform_compliance(name: str) -> None:
    assert uniform_compliance(PROBLEMS[name]()) == pytest.approx(COMPUTED[name], rel=1e-10)


def test_3d_compliance() -> None:
    problem = cantilever_3d(8, 4, 4)
    assert uniform_compliance(problem) == pytest.approx(355.947072632, rel=1e-10)


def test_a_number_is_only_quoted_for_the_settings_it_belongs_to() -> None:
    assert mbb(60, 20, 0.5).reference and not mbb(60, 20, 0.4).reference
    assert cantilever().reference["oc_sensitivity_filter"]["iterations"] == 169
    assert not cantilever(load="mid").reference


def test_mid_load_is_symmetric() -> None:
    problem = cantilever(12, 4, load="mid")
    case = reference.from_problem(problem)
    _, slope = reference.compliance(case, reference.from_field(problem.uniform()))
    np.testing.assert_allclose(slope, slope[:, ::-1], rtol=1e-9)


def test_load_cases_are_independent() -> None:
    both = two_load_cantilever(6, 6)
    case = reference.from_problem(both)
    fields = reference.from_field(both.uniform())
    single = [
        reference.compliance(dataclasses.replace(case, load=case.load[:, k]), fields)[0] for k in range(both.cases)
    ]
    assert reference.compliance(case, fields)[0] == pytest.approx(sum(single), rel=1e-12)
    assert single[0] == pytest.approx(single[1], rel=1e-9)


def test_the_optimised_value_is_the_published_one() -> None:
    problem = mbb()
    published = problem.reference["oc_sensitivity_filter"]
    oc = reference.OC(problem.volume, published["radius"])
    run = reference.optimise(reference.from_problem(problem), oc)
    assert run.iterations == published["iterations"]
    assert run.compliance == pytest.approx(published["value"], rel=1e-7)


def test_the_oracle_has_the_88_line_element_and_the_right_slope() -> None:
    nu = 0.3
    first_row = np.array([1 / 2 - nu / 6, 1 / 8 + nu / 8, -1 / 4 - nu / 12, -1 / 8 + 3 * nu / 8]) / (1 - nu**2)
    element = reference.element_stiffness((1.0, 1.0), nu)
    assert element[0, [0, 1, 4, 5]] == pytest.approx(first_row, rel=1e-14)
    case = reference.from_problem(mbb(6, 4))
    rho, direction = np.random.default_rng(0).uniform(0.3, 0.9, (2, 6, 4))
    ahead, behind = (reference.compliance(case, rho + step * direction)[0] for step in (1e-6, -1e-6))
    assert np.sum(reference.compliance(case, rho)[1] * direction) == pytest.approx((ahead - behind) / 2e-6, rel=1e-7)


def test_the_hole_is_empty_in_the_uniform_design() -> None:
    problem = cantilever_with_hole()
    assert problem.void is not None and int(problem.void.sum()) == 316
    assert problem.uniform()[problem.void].max() == 0.0
    assert problem.uniform(0.25)[~problem.void].tolist() == [0.25] * 1034
    x, y = problem.grid.centroids()[problem.void.ravel()].mean(axis=0)
    assert (x, y) == pytest.approx((15.0, 15.0))


GRID = Grid(4, 2)


def build(**changes: Any) -> Problem:
    load = np.zeros(GRID.n_dofs())
    load[GRID.dofs(GRID.nodes("bottom-right"), "y")] = -1.0
    fixed = GRID.dofs(GRID.nodes("left"))
    settings: dict[str, Any] = {"name": "beam", "grid": GRID, "fixed": fixed, "load": load, "volume": 0.5}
    return Problem(**(settings | changes))


def mask(*columns: int) -> np.ndarray:
    result = np.zeros(GRID.shape, dtype=bool)
    result[:, list(columns)] = True
    return result


def test_solid_and_void_keep_the_mean() -> None:
    problem = build(solid=mask(0), void=mask(3))
    assert problem.uniform().tolist() == [[1.0, 0.5, 0.5, 0.0]] * 2


def test_arrays_are_copied_sorted_and_read_only() -> None:
    fixed = GRID.dofs(GRID.nodes("left"))[::-1].repeat(2)
    problem = build(fixed=fixed)
    assert problem.fixed.tolist() == sorted(set(fixed.tolist()))
    with pytest.raises(ValueError, match="read-only"):
        problem.load[0] = 1.0
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        problem.volume = 0.1  # type: ignore[misc]


def test_scalar_problems_have_one_dof_per_node() -> None:
    problem = build(load=np.eye(GRID.n_nodes)[3], fixed=GRID.nodes("left"))
    assert problem.components == 1 and problem.cases == 1


def test_prescribed_displacements_need_no_force() -> None:
    moved = np.zeros(GRID.n_dofs())
    moved[GRID.dofs(GRID.nodes("right"), "x")] = 0.1
    ends = GRID.dofs(np.union1d(GRID.nodes("left"), GRID.nodes("right")))
    problem = build(fixed=ends, load=np.zeros(GRID.n_dofs()), prescribed=moved)
    u = reference.displacement(reference.from_problem(problem), np.ones((4, 2)), reference.from_dofs(problem, moved))
    assert reference.to_dofs(problem, u)[GRID.dofs([7], "x")] == pytest.approx(0.05)


ON_SUPPORT = np.zeros(GRID.n_dofs())
ON_SUPPORT[1] = -1.0
MOVES_FREE_DOF = np.zeros(GRID.n_dofs())
MOVES_FREE_DOF[-1] = 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(volume=0.0), r"volume is a fraction in \(0, 1\], got 0.0"),
        (lambda: build(nu=0.5), r"nu must be in \(-1, 0.5\)"),
        (lambda: build(plane="stres"), 'plane must be "stress" or "strain", got \'stres\''),
        (lambda: build(load=np.ones(7)), r"load has shape \(7,\); it must be \(30,\) or \(30, cases\)"),
        (lambda: build(load=np.full(30, np.nan)), "not finite, first at dof 0"),
        (lambda: build(load=np.zeros((30, 2))), "a load case without any force"),
        (lambda: build(fixed=np.array([0.0, 1.0])), "fixed must be a list of dof numbers, got float64"),
        (lambda: build(fixed=np.array([0, 1, 30])), r"fixed dofs must be in 0 \.\. 29, got 30"),
        (lambda: build(load=ON_SUPPORT), r"1 loaded dof\(s\) are also fixed, first dof 1 \(y of node 0 at x=0, y=2\)"),
        (lambda: build(fixed=GRID.dofs(GRID.nodes("left"), "x")), r"1 rigid motion\(s\) free \(translation in y\)"),
        (lambda: build(fixed=GRID.dofs([0])), r"leave 1 rigid motion\(s\) free"),
        (lambda: build(prescribed=np.zeros(3)), r"prescribed has shape \(3,\); it must be \(30,\)"),
        (lambda: build(prescribed=MOVES_FREE_DOF), r"prescribed moves dof 29 .* which is not fixed"),
        (lambda: build(solid=np.zeros((4, 2), bool)), r"solid is bool of shape \(4, 2\).*axes look swapped"),
        (lambda: build(void=np.zeros((2, 4))), "void is float64 of shape"),
        (lambda: build(solid=mask(0, 1), void=mask(1)), r"2 element\(s\) are both solid and void"),
        (lambda: build(solid=mask(0, 1, 2)), "volume 0.5 cannot be reached"),
        (lambda: build(void=mask(0, 1, 2)), "volume 0.5 cannot be reached"),
        (lambda: build(solid=mask(0, 1), void=mask(2, 3)), "nothing is left to design"),
        (lambda: build().uniform(1.5), r"a density must be in \[0, 1\], got 1.5"),
        (lambda: cantilever(load="top"), 'load must be "end"'),
    ],
)
def test_messages(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_folder_refuses_its_plain_name() -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", "import problems"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert "This folder is the package tograph.problems" in result.stderr
