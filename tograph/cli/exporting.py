"""A finished run as files that other tools open: ParaView, CAD, printers, NumPy.

The solid is where the physical density is above 1/2. It ends at the faces of the grid, to a hundredth of an
element, so every surface closes.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import attrs
import click
import contourpy
import numpy as np

import tograph as tg
from tograph import Graph
from tograph.nodes import Grid, LinearSolve, Stiffness
from tograph.nodes.grid import Floats
from tograph.port import Wire
from tograph.runs.figures import density_figure, save
from tograph.runs.scene import Scene, scene_of
from tograph.runs.stress import stress_of, von_mises

LEVEL, GAP = 0.5, 0.01


@attrs.frozen(eq=False)
class Fields:
    """What a run ended with.

    Attributes:
        scene: the grid, its supports and loads.
        design: the last analysed design.
        density: the physical one, a field of the grid.
        displacement: shape (n_nodes, dim), of the first load case; None if the graph has no linear solve.
        sensitivities: of the scalar outputs with respect to the design, by name.
        stress: at element centres, see `tograph.runs.stress`, (n_elements, 6); None without displacements.
    """

    scene: Scene
    design: Floats
    density: Floats
    displacement: Floats | None
    sensitivities: dict[str, Floats]
    stress: Floats | None = None

    @property
    def grid(self) -> Grid:
        """The grid."""
        return self.scene.grid


def export_run(folder: Path, format: str, out: Path | None) -> Path:
    """Write one format; returns the file, by default `RUN/design.FORMAT`.

    Raises:
        click.UsageError: no finished run, a format that the run has nothing for, or a package that is not installed.
    """
    path = out or folder / f"design.{format}"
    fields = read_fields(folder, full=format in ("vti", "vtu", "npz"))
    if format in ("svg", "dxf") and fields.grid.dim == 3:
        raise click.UsageError(f"{format} is flat, and this design is not; take stl, obj, vti or vtu.")
    WRITERS[format](fields, path)
    return path


def read_fields(folder: Path, full: bool) -> Fields:
    """Read a run folder; with `full`, displacements and sensitivities are computed again from the graph.

    Raises:
        click.UsageError: it holds no finished run, or one without a grid.
    """
    try:
        graph = Graph.from_dict(json.loads((folder / "graph.json").read_text(encoding="utf-8")))
        backend = json.loads((folder / "result.json").read_text(encoding="utf-8"))["backend"]
        with np.load(folder / "design.npz") as arrays:
            design, density = arrays["design"], arrays["density"]
    except (OSError, KeyError, ValueError) as error:
        raise click.UsageError(f"{folder} holds no finished run: {error}. Run or resume it first.") from error
    scene = scene_of(graph)
    if scene is None or scene.grid.shape != density.shape:
        raise click.UsageError(f"{folder} has no density on a grid, so there is nothing to export but design.npz.")
    computed = _computed(graph, backend, design, scene) if full else (None, {}, None)
    return Fields(scene, design, density, *computed)


def _computed(
    graph: Graph, backend: str, design: Floats, scene: Scene
) -> tuple[Floats | None, dict[str, Floats], Floats | None]:
    """The displacements, if those are the state, the gradients, and the stresses."""
    grid, name = scene.grid, graph.input_names[0]
    program = graph.compile(backend)
    scalars = program.default_function().request.of
    _, gradients = program.value_and_grad(scalars, name)(**{name: design})
    solve = next((vertex for vertex in graph.vertices if isinstance(vertex.node, LinearSolve)), None)
    if solve is None or scene.held.shape[1] != grid.dim:
        return None, gradients, None
    elastic = next((vertex for vertex in graph.vertices if isinstance(vertex.node, Stiffness)), None)
    wanted = {"u": tg.Edge(solve)} | ({} if elastic is None else {"E": elastic.edges[0]})
    state = Graph(graph.inputs, wanted, name="state").compile(backend)(**{name: design})
    u = np.asarray(state["u"]).reshape(grid.n_dofs(), -1)[:, 0].reshape(grid.n_nodes, grid.dim)
    if elastic is None or not isinstance(node := elastic.node, Stiffness) or isinstance(node.nu, Wire):
        return u, gradients, None
    return u, gradients, stress_of(node, np.asarray(state["E"]), u)


def _npz(fields: Fields, path: Path) -> None:
    arrays: dict[str, Any] = {f"d_{name}": value for name, value in fields.sensitivities.items()}
    if fields.displacement is not None:
        arrays["displacement"] = fields.displacement
    if fields.stress is not None:
        arrays |= {"stress": fields.stress, "von_mises": von_mises(fields.stress).reshape(fields.grid.shape)}
    with path.open("wb") as file:
        np.savez_compressed(file, design=fields.design, density=fields.density, **arrays)


def _png(fields: Fields, path: Path) -> None:
    save(density_figure(fields.density, fields.scene, path.stem), path)


def _cells(fields: Fields) -> dict[str, Floats]:
    """Every array with one value per element, as fields of the grid; the stress has six."""
    found = {"density": fields.density}
    if fields.stress is not None:
        found |= {"von_mises": von_mises(fields.stress).reshape(fields.grid.shape), "stress": fields.stress}
    if fields.design.shape == fields.grid.shape:
        found |= {"design": fields.design, **{f"d_{name}": v for name, v in fields.sensitivities.items()}}
    return found


def _points(fields: Fields) -> dict[str, Floats]:
    if fields.displacement is None:
        return {}
    return {"displacement": np.pad(fields.displacement, ((0, 0), (0, 3 - fields.grid.dim)))}


def _vtu(fields: Fields, path: Path) -> None:
    """An unstructured mesh, through meshio. The corner order of `Grid` is that of VTK."""
    meshio, grid = load("meshio"), fields.grid
    nodes = np.pad(grid.node_coordinates(), ((0, 0), (0, 3 - grid.dim)))
    cells = [("quad" if grid.dim == 2 else "hexahedron", grid.element_nodes())]
    rows = {name: value.reshape(grid.n_elements, -1) for name, value in _cells(fields).items()}
    values = {name: [np.ascontiguousarray(v if v.shape[1] > 1 else v[:, 0])] for name, v in rows.items()}
    meshio.Mesh(nodes, cells, point_data=_points(fields), cell_data=values).write(path)


def _vti(fields: Fields, path: Path) -> None:
    """An image: VTK XML, in text. x runs fastest, then y upward, then z."""
    grid = fields.grid
    counts = (grid.nelx, grid.nely, grid.nelz)
    extent = " ".join(f"0 {count}" for count in counts)
    spacing = " ".join(repr(h) for h in (*grid.spacing, 1.0)[:3])

    def array(name: str, value: Floats, shape: tuple[int, ...], width: int) -> str:
        ordered = np.flip(value.reshape(*shape, width), axis=0)
        axes = (2, 0, 1, 3) if grid.dim == 3 else (0, 1, 2)
        text = " ".join(map(repr, ordered.transpose(axes).ravel().tolist()))
        about = f'type="Float64" Name="{name}" NumberOfComponents="{width}" format="ascii"'
        return f"<DataArray {about}>{text}</DataArray>"

    count = grid.n_elements
    cells = "".join(array(name, v, grid.shape, v.size // count) for name, v in _cells(fields).items())
    points = "".join(array(name, value, grid.node_shape, 3) for name, value in _points(fields).items())
    path.write_text(
        '<?xml version="1.0"?>\n<VTKFile type="ImageData" version="0.1" byte_order="LittleEndian">\n'
        f'<ImageData WholeExtent="{extent}" Origin="0 0 0" Spacing="{spacing}"><Piece Extent="{extent}">\n'
        f"<PointData>{points}</PointData>\n<CellData>{cells}</CellData>\n</Piece></ImageData>\n</VTKFile>\n",
        encoding="utf-8",
    )


def enclosed(density: Floats) -> Floats:
    """With its outermost layers repeated, for the faces of the grid, and then a layer of void around."""
    return np.pad(np.pad(density, 1, mode="edge"), 1)


def places(count: int, h: float) -> Floats:
    """Where the layers of `enclosed` are along an axis: centres, and both sides of the faces.

    The level is crossed within `GAP` elements of a face. A gap of 0 would lay corners on each other, and a surface
    whose corners coincide is not closed for those who read it.
    """
    centres = h * (np.arange(count) + 0.5)
    face, gap = h * count, h * GAP
    return np.concatenate([[-gap, gap], centres, [face - gap, face + gap]])


def _surface(fields: Fields, path: Path) -> None:
    """The iso-surface by marching cubes; a 2D design as a plate one element thick."""
    measure, trimesh, grid = load("skimage.measure"), load("trimesh"), fields.grid
    solid = fields.density if grid.dim == 3 else fields.density[:, :, None]
    steps = grid.spacing if grid.dim == 3 else (*grid.spacing, min(grid.spacing))
    volume = enclosed(np.flip(solid, axis=0).transpose(1, 0, 2))  # axes x, y upward, z
    if not (volume > LEVEL).any():
        raise click.UsageError(f"no density of this run is above {LEVEL:g}, so there is no surface.")
    found, faces, _, _ = measure.marching_cubes(volume, LEVEL, allow_degenerate=False)
    axes = [places(n - 4, h) for n, h in zip(volume.shape, steps, strict=True)]
    corners = [np.interp(found[:, i], np.arange(len(at)), at) for i, at in enumerate(axes)]
    mesh = trimesh.Trimesh(np.stack(corners, axis=1), faces)
    if mesh.volume < 0.0:
        mesh.invert()
    mesh.export(path, file_type=path.suffix[1:])


def contours(fields: Fields) -> list[Floats]:
    """The closed lines where a 2D density is 1/2, each of shape (n, 2), the last point being the first."""
    hx, hy = fields.grid.spacing
    padded = enclosed(np.flip(fields.density, axis=0))
    x, y = places(fields.grid.nelx, hx), places(fields.grid.nely, hy)
    lines: Any = contourpy.contour_generator(x, y, padded).lines(LEVEL)
    return list(lines)


def _svg(fields: Fields, path: Path) -> None:
    """One filled path; holes by the even-odd rule. y points down in SVG."""
    hx, hy = fields.grid.spacing
    width, height = fields.grid.nelx * hx, fields.grid.nely * hy
    parts = [" L ".join(f"{x:.6g} {height - y:.6g}" for x, y in line[:-1]) for line in contours(fields)]
    outline = " ".join(f"M {part} Z" for part in parts)
    box = f"{-hx:g} {-hy:g} {width + 2 * hx:g} {height + 2 * hy:g}"
    drawn = f'<path d="{outline}" fill="black" fill-rule="evenodd"/>'
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{drawn}</svg>\n', encoding="utf-8")


def _dxf(fields: Fields, path: Path) -> None:
    """Closed polylines, through ezdxf."""
    document = load("ezdxf").new()
    space = document.modelspace()
    for line in contours(fields):
        space.add_lwpolyline([tuple(point) for point in line[:-1].tolist()], close=True)
    document.saveas(path)


def load(module: str) -> Any:
    """A package of the extra `export`.

    Raises:
        click.UsageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package = {"skimage.measure": "scikit-image"}.get(module, module)
        raise click.UsageError(
            f"this format needs {package}, which is not installed. Install it: pip install 'tograph[export]'"
        ) from None


WRITERS = {
    "npz": _npz,
    "png": _png,
    "vti": _vti,
    "vtu": _vtu,
    "stl": _surface,
    "obj": _surface,
    "svg": _svg,
    "dxf": _dxf,
}
