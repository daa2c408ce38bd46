"""The layout and sign conventions of the grid, on grids small enough to count by hand."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from tograph.nodes.grid import Grid
from tograph.spec import Axis

# 3 x 2 elements; nodes   0  1  2  3
#                         4  5  6  7
#                         8  9 10 11
FLAT = Grid(3, 2)
BLOCK = Grid(3, 2, 4)
STRETCHED = Grid(3, 2, spacing=(2.0, 0.5))


def test_sizes() -> None:
    assert (FLAT.dim, FLAT.shape, FLAT.node_shape, FLAT.n_elements, FLAT.n_nodes) == (2, (2, 3), (3, 4), 6, 12)
    assert (BLOCK.dim, BLOCK.shape, BLOCK.node_shape) == (3, (2, 3, 4), (3, 4, 5))
    assert (BLOCK.n_elements, BLOCK.n_nodes) == (24, 60)
    assert (FLAT.n_dofs(), FLAT.n_dofs(1), BLOCK.n_dofs(), BLOCK.n_dofs(1)) == (24, 12, 180, 60)
    assert FLAT.spacing == (1.0, 1.0) and BLOCK.spacing == (1.0, 1.0, 1.0)
    assert Grid(3, 2, 4, spacing=0.5).spacing == (0.5, 0.5, 0.5)


def test_is_a_value() -> None:
    assert Grid(3, 2) == FLAT != STRETCHED
    assert hash(Grid(3, 2)) == hash(FLAT)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        FLAT.nelx = 4  # type: ignore[misc]


def test_specs() -> None:
    assert FLAT.field("MPa").axes == (Axis("ny", 2), Axis("nx", 3)) and FLAT.field("MPa").unit == "MPa"
    assert BLOCK.field().shape == (2, 3, 4) and BLOCK.field().kind == "field"
    assert FLAT.vector().axes == (Axis("dof", 24),)
    assert FLAT.vector(components=1, cases=2).axes == (Axis("dof", 12), Axis("case", 2))


def test_row_zero_is_on_top_and_y_points_up() -> None:
    xy = STRETCHED.node_coordinates()
    assert xy.shape == (12, 2)
    assert xy[0].tolist() == [0.0, 1.0] and xy[3].tolist() == [6.0, 1.0] and xy[8].tolist() == [0.0, 0.0]
    assert STRETCHED.centroids()[0].tolist() == [1.0, 0.75] and STRETCHED.centroids()[-1].tolist() == [5.0, 0.25]
    assert BLOCK.node_coordinates()[[0, 1, 5, -1]].tolist() == [[0, 2, 0], [0, 2, 1], [1, 2, 0], [3, 0, 4]]


def test_sides_and_corners() -> None:
    assert FLAT.nodes("left").tolist() == [0, 4, 8] and FLAT.nodes("right").tolist() == [3, 7, 11]
    assert FLAT.nodes("top").tolist() == [0, 1, 2, 3] and FLAT.nodes("bottom").tolist() == [8, 9, 10, 11]
    assert FLAT.nodes("bottom-right").tolist() == FLAT.nodes("right-bottom").tolist() == [11]
    assert FLAT.nodes("top-left").tolist() == [0] and len(FLAT.nodes("all")) == 12
    assert len(BLOCK.nodes("left")) == 15 and len(BLOCK.nodes("front")) == 12
    assert BLOCK.nodes("top-left").tolist() == [0, 1, 2, 3, 4] and BLOCK.nodes("top-left-front").tolist() == [4]
    assert BLOCK.nodes("bottom-right-back").tolist() == [55]


@pytest.mark.parametrize(
    ("where", "axis", "value"),
    [("left", 0, 0), ("right", 0, 3), ("top", 1, 2), ("bottom", 1, 0), ("front", 2, 4), ("back", 2, 0)],
)
def test_a_face_is_where_its_coordinate_says(where: str, axis: int, value: int) -> None:
    assert BLOCK.nodes(where).tolist() == np.flatnonzero(BLOCK.node_coordinates()[:, axis] == value).tolist()


def test_selection_by_coordinates() -> None:
    assert STRETCHED.nodes_in(x=(2, 4), y=(0, 0)).tolist() == [9, 10]
    assert Grid(3, 1, spacing=0.1).nodes_in(x=(0.1 + 0.2, 1)).tolist() == [3, 7]
    assert BLOCK.nodes_in(x=(0, 0), y=(2, 2), z=(3.5, 9)).tolist() == [4]
    assert FLAT.elements_in(x=(0, 1)).tolist() == [[True, False, False]] * 2
    assert FLAT.elements_in(y=(1, 2)).tolist() == [[True] * 3, [False] * 3]
    assert BLOCK.elements_in(z=(3, 4)).sum() == 6 and BLOCK.elements_in(z=(3, 4))[..., 3].all()
    assert (FLAT.nearest_node(2.9, 0.2), STRETCHED.nearest_node(2.9, 0.2), FLAT.nearest_node(0.5, 2)) == (11, 9, 0)


def test_dofs_are_node_major() -> None:
    assert FLAT.dofs([11, 0]).tolist() == [0, 1, 22, 23]
    assert FLAT.dofs([0, 11], "y").tolist() == [1, 23] and FLAT.dofs([2], "yx").tolist() == [4, 5]
    assert BLOCK.dofs([2], "xz").tolist() == [6, 8]
    assert FLAT.describe_dof(23) == "dof 23 (y of node 11 at x=3, y=0)"
    assert FLAT.describe_dof(4, components=1) == "dof 4 (node 4 at x=0, y=1)"


def test_element_corners_run_counter_clockwise_from_the_lower_left() -> None:
    assert FLAT.element_nodes().tolist()[:2] == [[4, 5, 1, 0], [5, 6, 2, 1]]
    assert FLAT.element_nodes().tolist()[3] == [8, 9, 5, 4]
    assert FLAT.element_dofs()[0].tolist() == [8, 9, 10, 11, 2, 3, 0, 1]
    assert FLAT.element_dofs(1).tolist() == FLAT.element_nodes().tolist()


@pytest.mark.parametrize("grid", [STRETCHED, Grid(3, 2, 4, (2.0, 0.5, 3.0))], ids=["Q4", "H8"])
def test_corners_surround_the_centroid(grid: Grid) -> None:
    ring = [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    signs = ring if grid.dim == 2 else [[*xy, z] for z in (-1, 1) for xy in ring]
    offsets = grid.node_coordinates()[grid.element_nodes()] - grid.centroids()[:, None, :]
    np.testing.assert_allclose(offsets, np.broadcast_to(np.array(signs) * np.array(grid.spacing) / 2, offsets.shape))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid(0, 2), "nelx must be a whole number of elements >= 1, got 0"),
        (lambda: Grid(3, 2.0), "nely must be a whole number"),  # type: ignore[arg-type]
        (lambda: Grid(3, 2, -1), "nelz must be a whole number of elements >= 0"),
        (lambda: Grid(3, 2, spacing=(1.0, -1.0)), r"2 positive lengths \(hx, hy\), got \(1.0, -1.0\)"),
        (lambda: Grid(3, 2, 4, spacing=(1.0, 1.0)), r"3 positive lengths \(hx, hy, hz\)"),
        (lambda: FLAT.nodes("botom"), "unknown side 'botom'. Did you mean 'bottom'?"),
        (lambda: FLAT.nodes("front"), "a 2D grid has no 'front' side"),
        (lambda: FLAT.nodes("top-bottom"), "opposite sides have no node in common"),
        (lambda: FLAT.dofs([0], "xz"), "directions must be among 'xy' in 2D, got 'xz'"),
        (lambda: FLAT.dofs([12]), r"nodes must be in 0 \.\. 11, got 12"),
        (lambda: FLAT.nodes_in(x=(1, 0)), "is empty"),
        (lambda: FLAT.elements_in(z=(0, 1)), "this grid is 2D; leave z out"),
        (lambda: FLAT.nearest_node(1, 2, 3), "takes 2 coordinates"),
        (lambda: FLAT.vector(cases=0), "cases must be at least 1"),
        (lambda: FLAT.n_dofs(0), "components must be at least 1"),
        (lambda: FLAT.describe_dof(24), r"dof must be in 0 \.\. 23, got 24"),
    ],
)
def test_messages(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
