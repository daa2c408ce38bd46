"""Runs as files for other tools: each is read back by a reader that is not ours."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import ezdxf
import meshio
import numpy as np
import pytest
import trimesh
from click.testing import CliRunner, Result
from matplotlib.image import imread

import tograph as tg
from tograph.cli import exporting, main
from tograph.cli.exporting import contours, read_fields
from tograph.nodes import Grid, Stiffness
from tograph.runs.scene import Scene
from tograph.runs.stress import stress_of, von_mises


def invoke(*args: str) -> Result:
    result = CliRunner().invoke(main, list(args), prog_name="tograph")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def export(folder: Path, format: str) -> Path:
    result = invoke("export", str(folder), "--format", format)
    assert result.exit_code == 0, result.output
    return Path(result.stdout.strip())


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flat")
    size = ["--nelx", "24", "--nely", "8", "--radius", "1.5", "--max-iter", "12", "--backend", "torch"]
    assert invoke("run", "mbb", *size, "--out", str(folder)).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def solid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("solid")
    size = ["--nelx", "9", "--nely", "5", "--nelz", "3", "--radius", "1.5", "--max-iter", "4", "--backend", "torch"]
    assert invoke("run", "cantilever_3d", *size, "--out", str(folder)).exit_code == 0
    return folder


def test_vtu_is_read_back_by_meshio(flat: Path) -> None:
    mesh = meshio.read(export(flat, "vtu"))
    fields = read_fields(flat, full=True)
    assert [(block.type, len(block.data)) for block in mesh.cells] == [("quad", 192)]
    np.testing.assert_array_equal(mesh.cell_data["density"][0], fields.density.ravel())
    np.testing.assert_array_equal(mesh.cell_data["d_compliance"][0], fields.sensitivities["compliance"].ravel())
    assert fields.displacement is not None
    np.testing.assert_array_equal(mesh.point_data["displacement"][:, :2], fields.displacement)
    # Counter-clockwise quads of area one.
    x, y, _ = mesh.points[mesh.cells[0].data].transpose(2, 0, 1)
    area = 0.5 * sum(x[:, i] * y[:, (i + 1) % 4] - x[:, (i + 1) % 4] * y[:, i] for i in range(4))
    np.testing.assert_allclose(area, 1.0)
    # The load at the top left pushes down, and the displacement there is the compliance.
    load = np.argmin(mesh.points[:, 0] - mesh.points[:, 1])
    values = tg.Graph.from_dict(json.loads((flat / "graph.json").read_text(encoding="utf-8"))).compile("numpy")
    compliance = float(values(fields.design)["compliance"])
    assert -mesh.point_data["displacement"][load, 1] == pytest.approx(compliance, rel=1e-8)


def test_vtu_of_a_solid(solid: Path) -> None:
    mesh = meshio.read(export(solid, "vtu"))
    assert [(block.type, len(block.data)) for block in mesh.cells] == [("hexahedron", 135)]
    corners = mesh.points[mesh.cells[0].data]
    volume = np.einsum(
        "ij,ij->i",
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]),
        corners[:, 4] - corners[:, 0],
    )
    np.testing.assert_allclose(volume, 1.0)


@pytest.mark.parametrize("name", ["flat", "solid"])
def test_vti_has_every_value_at_its_place(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    root = ElementTree.parse(export(folder, "vti")).getroot()
    fields = read_fields(folder, full=True)
    grid = fields.grid
    image = root[0]
    assert image.attrib["WholeExtent"] == f"0 {grid.nelx} 0 {grid.nely} 0 {grid.nelz}"
    arrays = {array.attrib["Name"]: array for array in image.iter("DataArray")}
    read = {key: np.array((array.text or "").split(), dtype=float) for key, array in arrays.items()}
    x, y, z = np.pad(grid.centroids() - 0.5, ((0, 0), (0, 3 - grid.dim))).astype(int).T
    np.testing.assert_array_equal(read["density"][x + grid.nelx * (y + grid.nely * z)], fields.density.ravel())
    assert fields.displacement is not None
    x, y, z = np.pad(grid.node_coordinates(), ((0, 0), (0, 3 - grid.dim))).astype(int).T
    at = x + (grid.nelx + 1) * (y + (grid.nely + 1) * z)
    np.testing.assert_array_equal(read["displacement"].reshape(-1, 3)[at, : grid.dim], fields.displacement)


@pytest.mark.parametrize("format", ["stl", "obj"])
@pytest.mark.parametrize("name", ["flat", "solid"])
def test_surfaces_are_watertight(name: str, format: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    mesh = trimesh.load_mesh(export(folder, format))
    density = read_fields(folder, full=False).density
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume == pytest.approx((density > 0.5).sum(), rel=0.3)
    assert np.all(mesh.bounds[0] >= -0.01) and np.all(mesh.bounds[1] <= np.array([24, 8, 3]) + 0.01)


@pytest.mark.parametrize("grid", [Grid(4, 3), Grid(4, 3, 2, spacing=(1.0, 2.0, 0.5))])
def test_a_full_grid_is_its_own_box(grid: Grid, tmp_path: Path) -> None:
    nothing = np.zeros((grid.n_nodes, grid.dim))
    full = exporting.Fields(Scene(grid, nothing > 0, (), nothing), np.ones(grid.shape), np.ones(grid.shape), None, {})
    exporting.WRITERS["stl"](full, tmp_path / "box.stl")
    mesh = trimesh.load_mesh(tmp_path / "box.stl")
    assert mesh.is_watertight and mesh.volume == pytest.approx(12.0 if grid.dim == 2 else 24.0, rel=0.02)


def test_contours_close_and_hold_the_area(flat: Path) -> None:
    fields = read_fields(flat, full=False)
    lines = contours(fields)
    assert lines and all(np.array_equal(line[0], line[-1]) for line in lines)
    area = abs(sum(0.5 * float(np.sum(a[:-1, 0] * a[1:, 1] - a[1:, 0] * a[:-1, 1])) for a in lines))
    assert area == pytest.approx((fields.density > 0.5).sum(), rel=0.2)
    drawn = ezdxf.readfile(export(flat, "dxf")).modelspace().query("LWPOLYLINE")
    assert len(drawn) == len(lines) and all(line.dxf.flags & 1 for line in drawn)  # bit 1: closed
    outline = ElementTree.parse(export(flat, "svg")).getroot()[0].attrib["d"]
    assert outline.count("M") == outline.count("Z") == len(lines)


def test_arrays_and_picture(flat: Path) -> None:
    with np.load(export(flat, "npz")) as arrays:
        derivatives = {"d_compliance", "d_volume"}
        assert set(arrays) == {"design", "density", "displacement", "stress", "von_mises", *derivatives}
    assert imread(export(flat, "png")).shape[0] > 100


def test_what_cannot_be_exported(flat: Path, solid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = invoke("export", str(solid), "--format", "svg")
    assert told.exit_code == 2
    assert "Error: svg is flat, and this design is not; take stl, obj, vti or vtu.\n" in told.stderr
    told = invoke("export", str(tmp_path), "--format", "npz")
    assert told.exit_code == 2 and "holds no finished run: " in told.stderr

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(exporting.importlib, "import_module", missing)
    told = invoke("export", str(flat), "--format", "stl")
    assert told.exit_code == 2
    wanted = "this format needs scikit-image, which is not installed. Install it: pip install 'tograph[export]'"
    assert wanted in told.stderr


# Stress.


@pytest.mark.parametrize("plane", ["stress", "strain"])
def test_the_stress_of_a_uniform_stretch(plane: str) -> None:
    grid, E, nu = Grid(3, 2, spacing=(0.5, 0.25)), 7.0, 0.25
    x, y = grid.node_coordinates().T
    zz = 0.0 if plane == "stress" else 1.0
    # e_xx = 1, e_yy = 2, gamma_xy = 0.5; Hooke's law in the form e = (s - nu (tr s - s)) / E.
    found = stress_of(Stiffness(grid, nu=nu, plane=plane), np.full(grid.shape, E), np.stack([x, 2.0 * y + 0.5 * x], 1))
    sx, sy, sz, txy = found[:, 0], found[:, 1], found[:, 2], found[:, 3]
    np.testing.assert_allclose((sx - nu * (sy + sz)) / E, 1.0)
    np.testing.assert_allclose((sy - nu * (sx + sz)) / E, 2.0)
    np.testing.assert_allclose((sz - nu * (sx + sy)) * zz, 0.0, atol=1e-12)
    np.testing.assert_allclose(txy, E / (2 * (1 + nu)) * 0.5)
    assert plane == "strain" or not sz.any()
    np.testing.assert_allclose(von_mises(found) ** 2, sx**2 + sy**2 + sz**2 - sx * sy - sy * sz - sz * sx + 3 * txy**2)


def test_the_stress_of_pure_shear_in_3d() -> None:
    grid = Grid(2, 2, 2)
    x, _, z = grid.node_coordinates().T
    u = np.stack([0.0 * x, 0.3 * z, 0.0 * x], axis=1)
    found = stress_of(Stiffness(grid, nu=0.0), np.ones(grid.shape), u)
    expected = np.tile([0.0, 0.0, 0.0, 0.0, 0.15, 0.0], (8, 1))  # yz
    np.testing.assert_allclose(found, expected, atol=1e-15)
    np.testing.assert_allclose(von_mises(found), 0.15 * np.sqrt(3.0))


def test_the_stress_is_in_the_files(flat: Path) -> None:
    mesh = meshio.read(export(flat, "vtu"))
    fields = read_fields(flat, full=True)
    assert fields.stress is not None and fields.displacement is not None
    np.testing.assert_array_equal(mesh.cell_data["stress"][0], fields.stress)
    np.testing.assert_allclose(mesh.cell_data["von_mises"][0], von_mises(fields.stress))
    # The left half of the symmetric beam carries the load 1 by shear: the resultant of xy over a vertical cut.
    shear = fields.stress[:, 3].reshape(fields.grid.shape)
    assert abs(shear[:, 6].sum()) == pytest.approx(1.0, rel=0.05)
    assert 'NumberOfComponents="6"' in export(flat, "vti").read_text(encoding="utf-8")
