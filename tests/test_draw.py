"""Diagrams: what is in them, that the reverse one is the program that runs, and the files they are written to."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tograph as tg
from tograph import nodes as n
from tograph.arithmetic import Dot
from tograph.draw import FORMATS, Drawing, draw, draw_passes
from tograph.draw.executed import executed
from tograph.draw.model import Box, Diagram, Wire
from tograph.draw.style import ARROWS, BADGES, BOXES
from tograph.implicit import ImplicitNode
from tograph.passes import run_passes
from tograph.plan import Plan, Request
from tograph.planning import make_plan
from tograph.problems import Problem, mbb, two_load_cantilever
from tograph.solvers import Newton


def small() -> Problem:
    return mbb(nelx=12, nely=4)


def state(problem: Problem, density: tg.Edge) -> tuple[tg.Edge, tg.Edge]:
    """Displacement and load."""
    E = n.Simp()(density)
    K = n.Stiffness(problem.grid, fixed=problem.fixed)(E)
    f = tg.constant(problem.load, problem.grid.vector(), name="f")
    u = n.LinearSolve()(K, f)
    return u, f


def beam() -> tg.Graph:
    problem = small()
    rho = tg.source("rho", problem.grid.field())
    rho_f = n.DensityFilter(problem.grid, radius=2.4)(rho)
    u, f = state(problem, rho_f)
    c = n.Compliance()(u, f)
    v = n.VolumeFraction()(rho_f)
    return tg.Graph([rho], {"compliance": c, "volume": v}, name="beam")


def displacement() -> tg.Graph:
    """Not self-adjoint: the displacement at a dof that is not loaded."""
    problem = small()
    rho = tg.source("rho", problem.grid.field())
    u, _ = state(problem, rho)
    tip = Dot()(u, tg.constant(np.eye(1, problem.grid.n_dofs(), 9)[0], problem.grid.vector(), name="l"))
    return tg.Graph([rho], {"tip": tip})


def masked() -> tg.Graph:
    """rho_f times a detached copy of itself, and an input without influence on the volume."""
    problem = small()
    rho = tg.source("rho", problem.grid.field())
    scale = tg.source("scale")
    rho_f = n.DensityFilter(problem.grid, radius=2.4)(rho)
    mask = tg.detach(rho_f, reason="frozen within an iteration")
    rho_m = rho_f * mask
    v = n.VolumeFraction()(rho_m)
    twice = v * scale
    return tg.Graph([rho, scale], {"volume": v, "twice": twice})


def summed() -> tg.Graph:
    """Two uses of rho, whose cotangents are added; and a detached term of a sum."""
    problem = small()
    rho = tg.source("rho", problem.grid.field())
    J = n.VolumeFraction()(rho**2.0) + n.VolumeFraction()(rho**3.0) + tg.detach(n.VolumeFraction()(rho), "a constant")
    return tg.Graph([rho], {"J": J})


@tg.node
class Step(tg.Node):
    """1 where x > 1/2, else 0."""

    inputs = (tg.Port("x"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        return xp.where(values[0] > 0.5, xp.ones_like(values[0]), xp.zeros_like(values[0]))


def stepped(smooth: bool = True, uses: int = 1) -> tg.Graph:
    """A step with the slope of a smooth one, or of the identity; used once or more."""
    rho = tg.source("rho", small().grid.field())
    sharp = Step()(rho)
    smoothed = n.Heaviside(beta=4.0)(rho)
    rho_p = tg.with_gradient_of(sharp, smoothed if smooth else rho, "a step is flat")
    v = n.VolumeFraction()(rho_p**2.0)
    for _ in range(uses - 1):
        v = v + n.VolumeFraction()(rho_p * rho)
    return tg.Graph([rho], {"v": v})


def ends_in_a_surrogate() -> tg.Graph:
    x = tg.source("x")
    return tg.Graph([x], {"y": tg.with_gradient_of(x**2.0, x**3.0, "for show", name="y")})


def looped() -> tg.Graph:
    problem = small()
    rho = tg.source("rho", problem.grid.field())
    x = rho
    for _ in range(3):
        x = n.Heaviside(beta=2.0)(x)
    return tg.Graph([rho], {"v": n.VolumeFraction()(x)})


@tg.node
class CubicRoot(ImplicitNode):
    """y with y^3 + y = x."""

    inputs = (tg.Port("x"),)
    outputs = (tg.Port("y"),)
    jacobian = "diagonal"
    solver: Any = Newton()

    def residual(self, xp: Any, y: Any, *inputs: Any) -> Any:
        return y**3 + y - inputs[0]


def rooted() -> tg.Graph:
    x = tg.source("x", n.Grid(3, 2).field())
    y = CubicRoot()(x)
    return tg.Graph([x], {"J": n.VolumeFraction()(y)})


def loads() -> tg.Graph:
    return two_load_cantilever(nelx=8, nely=8).workflow(weights=(1.0, 0.3), beta=4.0)


def heuristic() -> tg.Graph:
    return small().workflow(filter="sensitivity")


def plan_of(graph: tg.Graph, of: tuple[str, ...], wrt: tuple[str, ...] = ("rho",), mode: str = "reverse") -> Plan:
    return run_passes(make_plan(graph, Request(of, wrt, mode), "jax"))


CASES: dict[str, tuple[Callable[[], tg.Graph], tuple[str, ...], tuple[str, ...], str]] = {
    "compliance": (beam, ("compliance",), ("rho",), "reverse"),
    "compliance and volume": (beam, ("compliance", "volume"), ("rho",), "reverse"),
    "tangent": (beam, ("compliance",), ("rho",), "tangent"),
    "given cotangents": (beam, ("compliance",), ("rho",), "vjp"),
    "second derivative": (beam, ("compliance",), ("rho",), "hvp"),
    "values": (beam, ("compliance", "volume"), (), "value"),
    "adjoint": (displacement, ("tip",), ("rho",), "reverse"),
    "adjoint, tangent": (displacement, ("tip",), ("rho",), "tangent"),
    "detached": (masked, ("volume",), ("rho", "scale"), "reverse"),
    "sum": (summed, ("J",), ("rho",), "reverse"),
    "surrogate": (stepped, ("v",), ("rho",), "reverse"),
    "surrogate, straight through": (lambda: stepped(smooth=False), ("v",), ("rho",), "reverse"),
    "surrogate, used twice": (lambda: stepped(uses=2), ("v",), ("rho",), "reverse"),
    "surrogate, tangent": (stepped, ("v",), ("rho",), "tangent"),
    "surrogate, second derivative": (stepped, ("v",), ("rho",), "hvp"),
    "surrogate as output": (ends_in_a_surrogate, ("y",), ("x",), "reverse"),
    "surrogate as output, tangent": (ends_in_a_surrogate, ("y",), ("x",), "tangent"),
    "loop": (looped, ("v",), ("rho",), "reverse"),
    "implicit": (rooted, ("J",), ("x",), "reverse"),
    "implicit, tangent": (rooted, ("J",), ("x",), "tangent"),
    "two load cases": (loads, ("compliance",), ("rho",), "reverse"),
    "sensitivity filter": (heuristic, ("compliance", "volume"), ("rho",), "reverse"),
}


@pytest.fixture(params=CASES, scope="module")
def plan(request: pytest.FixtureRequest) -> Plan:
    graph, of, wrt, mode = CASES[request.param]
    return plan_of(graph(), of, wrt, mode)


def reverse(graph: tg.Graph, *of: str, wrt: tuple[str, ...] = ("rho",), detail: bool = False) -> Diagram:
    return draw(graph, of=of, wrt=wrt, detail=detail).diagram


def joins(diagram: Diagram, kind: str) -> list[tuple[str, str]]:
    """(title of the tail, title of the head) of the arrows of one kind."""
    titles = {box.id: box.title for box in diagram.boxes}
    return [(titles[a.tail], titles[a.head]) for a in diagram.arrows if a.kind == kind]


def only(boxes: list[Box]) -> Box:
    assert len(boxes) == 1, boxes
    return boxes[0]


def edges_of(plan: Plan) -> set[Wire]:
    position = {vertex: i for i, vertex in enumerate(plan.order)}
    return {Wire(position[e.vertex], e.index, position[v], port) for v in plan.order for port, e in v.inputs}


# The picture is the program.


def test_every_detail_arrow_is_one_executed_edge(plan: Plan) -> None:
    arrows = [arrow for arrow in executed(plan, detail=True).arrows if arrow.wires]
    assert all(len(arrow.wires) == 1 for arrow in arrows)
    wires = [arrow.wires[0] for arrow in arrows]
    assert len(wires) == len(set(wires))
    assert set(wires) == edges_of(plan)


def test_detail_arrows_join_the_boxes_of_their_edge(plan: Plan) -> None:
    diagram = executed(plan, detail=True)
    step = {box.steps[0]: box.id for box in diagram.boxes if box.steps}
    assert len(step) == len(plan.order)
    for arrow in diagram.arrows:
        for wire in arrow.wires:
            assert (arrow.tail, arrow.head) == (step[wire.tail], step[wire.head])


def test_grouped_every_step_is_in_one_box_and_every_edge_on_one_arrow_or_inside(plan: Plan) -> None:
    diagram = executed(plan)
    home = {i: box.id for box in diagram.boxes for i in box.steps}
    assert sum(len(box.steps) for box in diagram.boxes) == len(home) == len(plan.order)
    wires = Counter(wire for arrow in diagram.arrows for wire in arrow.wires)
    assert wires == Counter(edge for edge in edges_of(plan) if home[edge.tail] != home[edge.head])
    for arrow in diagram.arrows:
        assert all((arrow.tail, arrow.head) == (home[wire.tail], home[wire.head]) for wire in arrow.wires)


@pytest.mark.parametrize("detail", [False, True])
def test_every_mark_is_in_the_tables_and_joined_to_boxes(plan: Plan, detail: bool) -> None:
    diagram = executed(plan, detail=detail)
    ids = [box.id for box in diagram.boxes]
    assert len(ids) == len(set(ids))
    assert {box.kind for box in diagram.boxes} <= BOXES.keys()
    assert {badge for box in diagram.boxes for badge in box.badges} <= BADGES.keys()
    assert {arrow.kind for arrow in diagram.arrows} <= ARROWS.keys()
    assert {end for arrow in diagram.arrows for end in (arrow.tail, arrow.head)} <= set(ids)
    assert {box.mate for box in diagram.boxes} <= {"", *ids}
    assert {id for cluster in diagram.clusters for id in cluster.boxes} <= set(ids)


@pytest.mark.parametrize("detail", [False, True])
def test_graphviz_draws_without_complaint(plan: Plan, detail: bool, capfd: pytest.CaptureFixture[str]) -> None:
    svg = str(Drawing(executed(plan, detail=detail)))
    complaints = [line for line in capfd.readouterr().err.splitlines() if "Fontconfig" not in line]
    assert complaints == []
    assert svg.count('class="node"') >= len(executed(plan, detail=detail).boxes)


def test_a_function_is_drawn_from_its_own_plan() -> None:
    function = beam().compile("jax").value_and_grad("compliance", "rho")
    drawn = draw(function).diagram
    assert drawn.boxes == executed(function.plan).boxes
    assert (drawn.header.backend, drawn.header.dtype) == ("jax", "float64")


# The forward picture.


def test_forward_shows_the_declared_names() -> None:
    diagram = draw(beam()).diagram
    shown = {box.title: (box.kind, box.operation) for box in diagram.boxes if box.kind != "output"}
    assert shown == {
        "rho": ("design", ""),
        "rho_f": ("node", "DensityFilter"),
        "E": ("node", "Simp"),
        "K": ("node", "Stiffness"),
        "f": ("constant", ""),
        "u": ("solve", "LinearSolve"),
        "c": ("node", "Compliance"),
        "v": ("node", "VolumeFraction"),
    }
    assert sorted(box.title for box in diagram.find(kind="output")) == ["compliance", "volume"]
    assert "radius=2.4" in diagram.by_id["rho_f"].lines
    assert re.fullmatch(r".*test_draw\.py:\d+", diagram.by_id["rho_f"].where)
    assert diagram.by_id["u"].badges == ("host",)


def test_forward_arrows_carry_kind_and_port() -> None:
    kinds = {(a.tail, a.head): (a.kind, a.label) for a in draw(beam()).diagram.arrows}
    assert kinds["rho", "rho_f"] == ("field", ("field 4x12",))
    assert kinds["K", "u"] == ("operator", ("operator 130x130",))
    assert kinds["u", "c"] == ("vector", ("vector 130",))
    assert kinds["c", "output compliance"] == ("scalar", ("scalar",))


def test_forward_header_and_legend() -> None:
    graph = beam()
    diagram = draw(graph).diagram
    assert (diagram.header.graph, diagram.header.view, diagram.header.hash) == ("beam", "forward", graph.hash[:12])
    legend = {(entry.table, entry.kind) for entry in diagram.legend}
    assert {("box", "solve"), ("arrow", "operator"), ("badge", "host")} <= legend
    assert ("box", "adjoint") not in legend and ("arrow", "detached") not in legend


def test_a_wired_parameter_is_told_from_a_design() -> None:
    problem = small()
    rho, penal = tg.source("rho", problem.grid.field()), tg.source("penal", default=3.0)
    graph = tg.Graph([rho, penal], {"v": n.VolumeFraction()(n.Simp(p=penal)(rho))})
    kinds = {box.title: box.kind for box in draw(graph).diagram.boxes}
    assert (kinds["rho"], kinds["penal"]) == ("design", "parameter")


def test_a_detached_edge_is_cut_with_its_reason_in_the_forward_picture() -> None:
    diagram = draw(masked()).diagram
    assert "mask" not in diagram.by_id
    cut = [arrow for arrow in diagram.arrows if arrow.kind == "detached"]
    assert [(arrow.tail, arrow.head) for arrow in cut] == [("rho_f", "rho_m")]
    assert " ".join(cut[0].label) == "field 4x12 ✂ mask: frozen within an iteration"


def test_clusters_are_boxes() -> None:
    clusters = {cluster.path: set(cluster.boxes) for cluster in draw(loads()).diagram.clusters}
    assert clusters["design",] == {"rho_f", "rho_p"}
    assert {"E", "K", "u"} <= clusters["analysis",]
    assert "cluster_of_analysis" in draw(loads()).dot


def test_nested_clusters() -> None:
    x = tg.source("x")
    with tg.cluster("outer"), tg.cluster("inner"):
        y = x * 2.0
    paths = [cluster.path for cluster in draw(tg.Graph([x], {"y": y})).diagram.clusters]
    assert paths == [("outer",), ("outer", "inner")]


def test_a_graph_with_errors_is_drawn_and_says_so() -> None:
    rho = tg.source("rho", n.Grid(4, 4).field())
    graph = tg.Graph([rho], {"v": n.VolumeFraction()(n.DensityFilter(n.Grid(5, 5), radius=1.5)(rho))})
    header = draw(graph).diagram.header
    assert header.facts and "graph.validate()" in header.facts[0]


# The reverse picture.


def test_the_saved_solve_is_a_gold_arrow_and_no_hexagon() -> None:
    diagram = reverse(beam(), "compliance")
    assert diagram.find(kind="adjoint") == []
    assert len(diagram.find(kind="solve")) == len(diagram.find(kind="factor")) == 1
    saved = [arrow for arrow in diagram.arrows if arrow.kind == "saved"]
    assert [(arrow.tail, " ".join(arrow.label)) for arrow in saved] == [("u", "lambda = u self-adjoint: solve saved")]
    assert joins(diagram, "saved") == [("u", "K_bar")]
    assert ("u", "K_bar") in joins(diagram, "residual")
    assert diagram.header.facts[0] == "1 factorization, 1 solve"


def test_the_reverse_lane_names_what_it_computes_and_by_which_rule() -> None:
    diagram = reverse(beam(), "compliance")
    lane = {box.title: box for box in diagram.find(kind="pullback")}
    assert set(lane) == {"rho_bar", "rho_f_bar", "E_bar", "K_bar"}
    assert lane["rho_f_bar"].lines == ("back through E: Simp",)
    assert lane["rho_f_bar"].badges == ("registered",)
    assert lane["rho_f_bar"].mate == "E"
    assert "graph" in lane["K_bar"].badges
    assert joins(diagram, "cotangent") == [
        ("K_bar", "E_bar"),
        ("E_bar", "rho_f_bar"),
        ("rho_f_bar", "rho_bar"),
        ("rho_bar", "d compliance / d rho"),
    ]


def test_residuals_carry_their_bytes() -> None:
    arrows = {(a.tail, a.kind): a for a in reverse(beam(), "compliance").arrows if a.kind == "residual"}
    assert arrows["u", "residual"].bytes == 130 * 8
    assert arrows["u", "residual"].label == ("u 1.04 kB",)
    halved = executed(plan_of(beam(), ("compliance",)), dtype="float32")
    assert [a.bytes for a in halved.arrows if a.kind == "residual" and a.tail == "u"] == [130 * 4]


def test_a_folded_seed_is_shown_as_removed_and_not_as_executed() -> None:
    diagram = reverse(beam(), "compliance")
    seed = only(diagram.find(kind="seed removed"))
    assert (seed.steps, seed.mate) == ((), "output compliance")
    dropped = only(diagram.find(kind="removed"))
    assert dropped.lines == ("'c': a factor of 1 dropped",)
    assert joins(diagram, "removed") == [("seed", "u_bar"), ("u_bar", "K_bar")]
    assert diagram.find(kind="seed") == []


def test_a_live_seed_is_a_triangle_with_its_value() -> None:
    problem = small()
    rho = tg.source("rho", problem.grid.field())
    graph = tg.Graph([rho], {"J": n.VolumeFraction()(rho) ** 2.0})
    seed = only(reverse(graph, "J").find(kind="seed"))
    assert seed.lines == ("1",) and seed.steps


def test_without_self_adjointness_there_is_an_adjoint_solve_in_the_call_of_the_state() -> None:
    diagram = reverse(displacement(), "tip")
    adjoint = only(diagram.find(kind="adjoint"))
    assert (adjoint.title, adjoint.mate) == ("lambda", "u")
    assert adjoint.lines == ("adjoint solve of u", "in one call with other right-hand sides")
    assert [arrow for arrow in diagram.arrows if arrow.kind == "saved"] == []
    assert {a.head for a in diagram.arrows if a.kind == "factor"} == {"u"}
    assert diagram.header.facts[0] == "1 factorization, 1 solve"


def test_an_adjoint_that_needs_the_state_is_a_call_of_its_own_with_the_same_factor() -> None:
    problem = small()
    rho = tg.source("rho", problem.grid.field())
    u = n.LinearSolve()(n.Stiffness(problem.grid, fixed=problem.fixed)(rho), problem.load)
    diagram = reverse(tg.Graph([rho], {"size": Dot()(u, u)}), "size")
    adjoint = only(diagram.find(kind="adjoint"))
    assert (adjoint.title, adjoint.lines) == ("lambda", ("adjoint solve of u",))
    assert "shared" in only(diagram.find(kind="factor")).badges
    assert {a.head for a in diagram.arrows if a.kind == "factor"} == {"u", adjoint.id}
    assert diagram.header.facts[0] == "1 factorization, 2 solves"


def test_two_objectives_share_the_forward_lane_and_have_their_own_columns() -> None:
    diagram = reverse(beam(), "compliance", "volume")
    assert sorted(box.title for box in diagram.find(kind="gradient")) == ["d compliance / d rho", "d volume / d rho"]
    assert len(diagram.find(title="rho_f")) == 1
    volume = diagram.by_id["rho_f reverse of volume"]
    assert "once" in volume.badges
    assert "once" not in diagram.by_id["rho_f reverse of compliance"].badges


def test_hoisted_steps_are_marked() -> None:
    badges = {box.title: box.badges for box in reverse(beam(), "compliance").boxes}
    assert "part once" in badges["rho_f"] and "part once" in badges["K"]
    once = [box.title for box in reverse(beam(), "compliance", detail=True).boxes if "once" in box.badges]
    assert "rho_f_cone_weights" in once and "rho_f_reciprocal" in once and "K_element_stiffness" in once


def test_a_sum_of_cotangents_is_a_circle_with_its_count() -> None:
    total = only(reverse(summed(), "J").find(kind="accumulate"))
    assert (total.title, total.lines) == ("rho_bar", ("2 terms",))


def test_a_detached_edge_ends_in_a_bar_with_its_reason() -> None:
    diagram = reverse(masked(), "volume")
    only(diagram.find(kind="cut"))
    stub = next(arrow for arrow in diagram.arrows if arrow.kind == "cut")
    assert diagram.by_id[stub.tail].title == "rho_f_bar"
    assert (" ".join(stub.label), stub.wires) == ("✂ mask: frozen within an iteration", ())
    forward = next(arrow for arrow in diagram.arrows if arrow.kind == "detached")
    assert (forward.tail, forward.head, len(forward.wires)) == ("rho_f", "rho_m", 1)


def test_the_detached_term_of_a_sum_ends_in_a_bar_too() -> None:
    stub = next(arrow for arrow in reverse(summed(), "J").arrows if arrow.kind == "cut")
    assert stub.tail == "J reverse seed of J"


def marked(diagram: Diagram, kind: str) -> list[tuple[str, str, str]]:
    """Tail, head and label of the arrows of a kind."""
    return [(arrow.tail, arrow.head, " ".join(arrow.label)) for arrow in diagram.arrows if arrow.kind == kind]


def test_a_surrogate_is_declared_as_a_value_and_a_slope() -> None:
    diagram = draw(stepped()).diagram
    assert diagram.by_id["rho_p"].lines == ("value of sharp,", "slope of smoothed")
    assert marked(diagram, "detached") == [("sharp", "rho_p", "field 4x12 ✂ rho_p_value: a step is flat")]
    assert marked(diagram, "surrogate") == [("smoothed", "rho_p", "field 4x12 derivative only")]
    assert ("arrow", "surrogate") in {(entry.table, entry.kind) for entry in diagram.legend}


def test_the_derivative_of_a_surrogate_takes_another_way() -> None:
    """Where differentiation noted the rule "surrogate", and nowhere else."""
    diagram = reverse(stepped(), "v")
    assert marked(diagram, "detached") == [("sharp", "power", "field 4x12 ✂ rho_p: a step is flat")]
    taken = [("power reverse of v", "smoothed reverse of v", "field 4x12 surrogate rho_p: slope of smoothed")]
    assert marked(diagram, "surrogate") == taken and not diagram.find(kind="cut")
    straight = ("power reverse of v", "gradient of v by rho", "field 4x12 surrogate rho_p: slope of rho")
    assert marked(reverse(stepped(smooth=False), "v"), "surrogate") == [straight]
    (twice,) = marked(reverse(stepped(uses=2), "v"), "surrogate")
    assert twice[:2] == ("rho_p reverse accumulate of v", "smoothed reverse of v")
    ahead = draw(stepped(), of="v", wrt="rho", view="tangent").diagram
    (forward,) = marked(ahead, "surrogate")
    assert forward[:2] == ("smoothed tangent of v", "power tangent of v")
    assert not marked(reverse(beam(), "compliance"), "surrogate")


def test_an_output_that_is_a_surrogate() -> None:
    both = [draw(ends_in_a_surrogate(), of="y", wrt="x", view=view).diagram for view in ("reverse", "tangent")]
    for diagram in both:
        assert [row[1:] for row in marked(diagram, "detached")] == [("output y", "scalar ✂ y: for show")]
    assert [row[1] for row in marked(both[1], "surrogate")] == ["tangent of y"]


def test_a_missing_path_is_an_end_with_the_reason() -> None:
    end = only(reverse(masked(), "volume", wrt=("rho", "scale")).find(kind="no path"))
    assert end.title == "d volume / d scale = 0"
    assert " ".join(end.lines) == "no path: nothing leads from it to the output"


def test_the_sensitivity_filter_is_drawn_inexact() -> None:
    diagram = reverse(heuristic(), "compliance")
    assert diagram.by_id["rho_s reverse of compliance"].badges == ("inexact",)
    assert ("badge", "inexact") in {(entry.table, entry.kind) for entry in diagram.legend}


def test_with_weights_lambda_is_a_multiple_of_u() -> None:
    diagram = reverse(loads(), "compliance")
    saved = next(arrow for arrow in diagram.arrows if arrow.kind == "saved")
    assert saved.label[0] == "lambda ∝ u"
    assert joins(diagram, "saved") == [("u", "lambda")]


def test_nodes_of_a_loop_keep_their_own_boxes() -> None:
    diagram = reverse(looped(), "v")
    assert [box.id for box in diagram.find(operation="Heaviside")] == ["x", "x_2", "x_3"]
    assert len(diagram.find(kind="pullback")) == 3


def test_an_implicit_node_is_a_hexagon_with_an_adjoint_solve_and_checked_residuals() -> None:
    diagram = reverse(rooted(), "J", wrt=("x",))
    assert only(diagram.find(kind="solve")).badges == ("checked",)
    adjoint = only(diagram.find(kind="adjoint"))
    assert (adjoint.title, adjoint.badges) == ("lambda", ("implicit", "checked"))
    assert diagram.by_id["y reverse of J"].badges == ("autodiff", "implicit")


def test_the_tangent_pass_runs_forward_and_solves_once_more() -> None:
    diagram = draw(beam(), of="compliance", wrt="rho", view="tangent").diagram
    assert only(diagram.find(kind="tangent solve")).title == "u_dot"
    assert only(diagram.find(kind="seed")).lines == ("rho_dot",)
    assert joins(diagram, "tangent")[0] == ("seed", "rho_f_dot")
    assert only(diagram.find(kind="tangent")).title == "compliance_dot"


# Files.

MAGIC = {
    "svg": b"<?xml",
    "png": b"\x89PNG\r\n\x1a\n",
    "pdf": b"%PDF-",
    "html": b"<!doctype html>",
    "txt": b"beam   reverse pass",
    "dot": b"digraph tograph {",
    "json": b"{",
}


@pytest.mark.parametrize("format", FORMATS)
def test_the_extension_is_the_format(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"beam.{format}"
    beam().draw(path, of="compliance", wrt="rho")
    assert path.read_bytes().startswith(MAGIC[format])


def test_a_format_may_be_named(tmp_path: Path) -> None:
    draw(beam(), tmp_path / "picture", format="png")
    assert (tmp_path / "picture").read_bytes().startswith(MAGIC["png"])


def test_json_is_the_diagram(tmp_path: Path) -> None:
    drawing = draw(beam(), tmp_path / "beam.json", of="compliance", wrt="rho")
    read = json.loads((tmp_path / "beam.json").read_text(encoding="utf-8"))
    assert (read["format"], read["version"]) == ("tograph diagram", 2)
    assert Diagram.from_dict(read) == drawing.diagram
    with pytest.raises(tg.TographError, match="this is no diagram of version 2: format 'tograph', version 1"):
        Diagram.from_dict(read | {"format": "tograph", "version": 1})
    assert read == json.loads(json.dumps(drawing.diagram.to_dict()))
    assert [box["id"] for box in read["boxes"]] == [box.id for box in drawing.diagram.boxes]


def test_text_is_a_tree_of_every_box() -> None:
    drawing = draw(beam(), of="compliance", wrt="rho")
    lines = drawing.text.splitlines()
    assert lines[0] == "beam   reverse pass: gradient of compliance with respect to rho"
    assert "├─ ⬡ u : LinearSolve  [host]  ── vector 130" in lines
    assert "└─ ● f ↑  ── vector 130" in lines
    assert "│  │  │  ├─ ⬡ u : LinearSolve ↑  ── lambda = u  self-adjoint:  solve saved" in lines
    assert sum("↑" not in line for line in lines[3:] if line) == len(drawing.diagram.boxes)


def test_a_long_chain_is_a_flat_list() -> None:
    x = y = tg.source("x", n.Grid(3, 2).field())
    for _ in range(1200):
        y = n.Heaviside(beta=2.0)(y)
    lines = draw(tg.Graph([x], {"v": n.VolumeFraction()(y)})).text.splitlines()
    assert len(lines) > 1200 and max(map(len, lines)) < 120


def test_graphs_and_programs_show_themselves_in_a_notebook() -> None:
    program = beam().compile("jax")
    for shown in (beam(), program, draw(beam())):
        assert shown._repr_svg_().count("<svg") == shown._repr_html_().count("<svg") == 1
        assert shown._repr_html_().startswith("<div")
    assert program.draw(of="compliance", wrt="rho").diagram.header.backend == "jax"


def test_svg_is_in_pixels_and_fits_a_screen() -> None:
    found = re.search(r'<svg width="(\d+)px" height="(\d+)px"', str(draw(beam(), of="compliance", wrt="rho")))
    assert found is not None
    width, height = int(found[1]), int(found[2])
    assert width < 1200 and height < 1080


def test_a_notebook_shows_the_forward_picture() -> None:
    assert beam()._repr_svg_() == str(draw(beam())) == draw(beam())._repr_svg_()


def test_the_same_graph_gives_the_same_dot() -> None:
    assert draw(beam(), of="compliance", wrt="rho").dot == draw(beam(), of="compliance", wrt="rho").dot


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("beam.bmp", "cannot draw the format 'bmp'. Known: svg, png, pdf, html, txt, dot, json"),
        ("beam.pgn", "cannot draw the format 'pgn'. Did you mean 'png'? Known: svg, png, pdf, html, txt, dot, json"),
        ("beam", "cannot draw a file without extension ('beam'). Known: svg, png, pdf, html, txt, dot, json"),
    ],
)
def test_an_unknown_format_is_a_clear_error(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(tg.TographError) as error:
        draw(beam(), tmp_path / name)
    assert str(error.value) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "backward"}, "there is no view 'backward'. Known: forward, executed, reverse, tangent, joint"),
        ({"of": "compliance"}, "the reverse pass needs both `of` (outputs) and `wrt` (inputs): wrt is missing"),
        ({"view": "tangent"}, "the tangent pass needs both `of` (outputs) and `wrt` (inputs): of and wrt are missing"),
    ],
)
def test_wrong_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(tg.TographError) as error:
        draw(beam(), **options)  # type: ignore[arg-type]
    assert str(error.value) == message


def test_labels_are_escaped() -> None:
    x = tg.source("x")
    y = tg.detach(x, 'a < b & "c"', name="cut<1>") * 2.0
    svg = str(draw(tg.Graph([x], {"y > 1": y}, name="<graph>")))
    assert "&lt;graph&gt;" in svg and "y &gt; 1" in svg and "a &lt; b &amp;" in svg


def test_the_saved_solve_is_still_seen_when_the_state_shares_its_call() -> None:
    problem = small()
    rho = tg.source("rho", problem.grid.field())
    u = n.LinearSolve()(n.Stiffness(problem.grid, fixed=problem.fixed)(rho), problem.load)
    tip = Dot()(u, np.eye(1, problem.grid.n_dofs(), 9)[0])
    diagram = reverse(tg.Graph([rho], {"c": n.Compliance()(u, problem.load), "tip": tip}), "c", "tip")
    assert [arrow.tail for arrow in diagram.arrows if arrow.kind == "saved"] == ["u"]
    assert only(diagram.find(kind="adjoint")).id.endswith("of tip")


def test_one_picture_before_the_passes_and_one_after_each(tmp_path: Path) -> None:
    files = draw_passes(displacement(), tmp_path / "new" / "folder", of="tip", wrt="rho", format="json")
    names = ["differentiated", "symmetry", "algebra", "batching"]
    assert [path.name for path in files] == [f"{i}_{name}.json" for i, name in enumerate(names)]
    first, *_, last = (json.loads(path.read_text(encoding="utf-8")) for path in files)
    assert first["header"]["computes"] == "before the passes"
    assert last["header"]["computes"].startswith("after batching: independent right-hand sides")
    assert "1 solve (-1)" in last["header"]["facts"]
    kinds = [Counter(box["kind"] for box in diagram["boxes"]) for diagram in (first, last)]
    assert (kinds[0]["solve"], kinds[0]["adjoint"]) == (1, 1)
    assert "JoinColumns" in {box["operation"] for box in last["boxes"]}
