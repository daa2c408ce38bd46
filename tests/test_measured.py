"""What a run measured, in pictures and pages: overlays, marks, images, sums, scripts; several runs and two backends."""

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tograph as tg
from browser import browser
from test_viewer import Opened, data_of
from tograph import nodes as n
from tograph.draw import Diagram, LivePage, draw
from tograph.draw.frame import Frame, Mark
from tograph.draw.measured import laid_over
from tograph.draw.thumbnails import png
from tograph.problems import mbb

PROBLEM = mbb(nelx=12, nely=4)


def workflow() -> tg.Graph:
    """Volume and compliance in one objective, so that two cotangents are added."""
    rho = tg.source("rho", PROBLEM.grid.field())
    rho_f = n.DensityFilter(PROBLEM.grid, radius=2.4)(rho)
    E = n.Simp()(rho_f)
    K = n.Stiffness(PROBLEM.grid, fixed=PROBLEM.fixed)(E)
    u = n.LinearSolve()(K, PROBLEM.load)
    J = n.Compliance()(u, PROBLEM.load) + n.VolumeFraction()(rho_f) * 50.0
    return tg.Graph([rho], {"J": J}, name="weighted")


def run(backend: str = "jax", density: float = 0.5) -> Any:
    return workflow().compile(backend).inspect("J", "rho", keep="fields")(PROBLEM.uniform(density))


@pytest.fixture(scope="module")
def report() -> Any:
    return run()


def root_of_a_negative() -> tg.Graph:
    x = tg.source("x", n.Grid(3, 2).field())
    return tg.Graph([x], {"J": n.VolumeFraction()((x - 1.0) ** 0.5 * 2.0)})


def test_numbers_stand_on_the_arrows_that_carry_them(report: Any) -> None:
    diagram = draw(report, overlay=("norms", "bytes")).diagram
    norms = report.overlay("norms")
    for arrow in diagram.arrows:
        for wire in arrow.wires[:1] if len(arrow.wires) == 1 else ():
            if (wire.tail, wire.output) in norms.wires:
                assert arrow.numbers[0] == f"norms {norms.wires[wire.tail, wire.output].text}"
    widths = [arrow.strength for arrow in diagram.arrows if arrow.strength is not None]
    assert min(widths) == 0.0 and max(widths) == 1.0
    assert "norms: 2-norm of what flows (width by its logarithm)" in diagram.header.facts


def test_the_svg_shows_numbers_and_has_the_images_inside(report: Any) -> None:
    svg = str(draw(report, overlay=("norms", "fields")))
    assert len(re.findall(r">norms [\d.e+-]+<", svg)) > 10
    inside = re.findall(r'"data:image/png;base64,([^"]*)"', svg)
    assert len(inside) > 5 and all(base64.b64decode(one).startswith(b"\x89PNG") for one in inside)
    assert 'href="/' not in svg


def test_an_unknown_overlay_or_none_to_show(report: Any) -> None:
    with pytest.raises(tg.TographError, match=r"there is no overlay 'norm'\. Did you mean 'norms'"):
        draw(report, overlay="norm")
    with pytest.raises(tg.TographError, match=r"overlay 'norms' needs a run. Draw the report of program.inspect"):
        draw(workflow(), of="J", wrt="rho", overlay="norms")


def test_what_was_measured_survives_json(report: Any) -> None:
    diagram = draw(report).diagram
    text = json.dumps(diagram.to_dict(), allow_nan=False)
    assert Diagram.from_dict(json.loads(text)) == diagram
    [frame] = diagram.frames
    assert {overlay.name for overlay in frame.overlays} >= {"norms", "values", "cotangents", "cancellation"}
    assert frame.sums and {term.name for term in frame.sums[0].terms} >= {"E"}
    assert "tg.check" in dict(frame.scripts)["E"]


def test_nan_is_marked_where_it_begins_and_where_it_is_carried() -> None:
    seen = root_of_a_negative().compile("jax").inspect("J", "x")(np.full((2, 3), 0.5))
    diagram = draw(seen).diagram
    marked = {box.title: box.badges for box in diagram.boxes if {"nan origin", "nan"} & set(box.badges)}
    begins = [title for title, badges in marked.items() if "nan origin" in badges]
    assert begins[:1] == ["power"] and len(marked) > len(begins)
    assert ("badge", "nan origin") in {(entry.table, entry.kind) for entry in diagram.legend}
    assert "NaN begins here" in str(draw(seen))


def test_a_dead_derivative_is_marked_at_its_frontier() -> None:
    x = tg.source("x", n.Grid(3, 2).field())
    graph = tg.Graph([x], {"J": n.VolumeFraction()(n.Heaviside(beta=4000.0)(x) ** 2.0)})
    seen = graph.compile("jax").inspect("J", "x")(np.full((2, 3), 0.1))
    [dead] = [box for box in draw(seen).diagram.boxes if "dead" in box.badges]
    assert dead.numbers == ("d J / d x is 0 from here on",)


@tg.node
class Twice(tg.Node):
    """y = 2 x, with a rule for 3 x."""

    inputs = (tg.Port("x"),)

    def forward(self, xp: Any, *values: Any) -> Any:
        return 2.0 * values[0]


@tg.vjp(Twice, "x")
def _(node: Twice, xp: Any, ct: Any) -> Any:
    return 3.0 * ct


def test_a_wrong_rule_is_marked_when_digits_are_asked_for() -> None:
    x = tg.source("x", n.Grid(3, 2).field())
    y = Twice()(x)
    graph = tg.Graph([x], {"J": n.VolumeFraction()(y**2.0)})
    seen = graph.compile("jax").inspect("J", "x")(np.full((2, 3), 0.5))
    diagram = draw(seen, overlay="digits").diagram
    [wrong] = [box for box in diagram.boxes if "wrong rule" in box.badges]
    assert wrong.mate == "y" and any(line.startswith("digits WRONG") for line in wrong.numbers)
    assert not [box for box in draw(seen).diagram.boxes if "wrong rule" in box.badges]


def test_marks_and_images_of_a_frame_by_hand() -> None:
    diagram = draw(workflow(), of="J", wrt="rho").diagram
    step = next(box for box in diagram.boxes if box.title == "E").steps[0]
    marked = laid_over(
        Diagram.from_dict(
            diagram.to_dict() | {"frames": [Frame(marks=(Mark(step, "not converged", "K is singular"),)).to_dict()]}
        ),
        (),
    )
    assert marked.by_id["E"].badges == ("not converged",) and marked.by_id["E"].numbers == ("K is singular",)


def test_png_is_read_back_by_another_program(tmp_path: Path) -> None:
    from matplotlib.image import imread

    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10
    (tmp_path / "x.png").write_bytes(png(pixels))
    assert np.array_equal(np.rint(imread(tmp_path / "x.png") * 255), pixels)


def test_two_backends_side_by_side(report: Any) -> None:
    diagram = draw({"jax": report, "torch": run("torch")}).diagram
    assert diagram.header.backend == "jax beside torch"
    deviations = diagram.frames[0].overlays[0]
    assert deviations.name == "deviation" and len(deviations.wires) > 20
    assert all(reading.number < 1e-9 for reading in deviations.wires.values())
    other = draw({"jax": report, "other": run("jax", 0.6)}).diagram.frames[0].overlays[0]
    steps = next(box for box in diagram.boxes if box.id == "jax: rho").steps
    assert other.wires[steps[0], 0].number == pytest.approx(0.2)


def test_what_cannot_be_side_by_side_or_one_after_the_other(report: Any) -> None:
    with pytest.raises(tg.TographError, match="two reports can be drawn side by side, not 1"):
        draw({"jax": report})
    other = root_of_a_negative().compile("jax").inspect("J", "x")(np.full((2, 3), 2.0))
    with pytest.raises(tg.TographError, match="different graphs"):
        draw({"a": report, "b": other})
    with pytest.raises(tg.TographError, match="different programs"):
        draw([report, other])


def test_a_page_that_follows_an_optimisation(tmp_path: Path) -> None:
    program = mbb(nelx=6, nely=2).workflow(radius=1.5).compile("jax")
    live = LivePage(program, tmp_path / "live.html", "compliance", "rho", every=1, keep=2)
    tg.optimize(
        program,
        mbb(nelx=6, nely=2).uniform(),
        minimize="compliance",
        subject_to=["volume <= 0.5"],
        max_iter=4,
        tol=1e-9,
        observers=[live],
    )
    frames = data_of(tmp_path / "live.html")["views"][1]["diagram"]["frames"]
    assert [frame["label"] for frame in frames] == ["1", "3"]
    assert len({json.dumps(frame["overlays"][0]["wires"]) for frame in frames}) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["live.html"]


def test_numbers_runs_and_contributions_in_the_browser(report: Any, tmp_path: Path) -> None:
    path = tmp_path / "runs.html"
    draw([report, run(density=0.7)], path)
    assert [frame["label"] for frame in data_of(path)["views"][1]["diagram"]["frames"]] == ["0", "1"]
    with browser() as context:
        opened = Opened(context, path)
        opened.page.select_option("#overlay", "norms")
        first = opened.page.text_content("#canvas")
        assert report.overlay("norms").wires[0, 0].text in first
        assert "@" not in first
        opened.page.click('[data-id="rho_f reverse accumulate of J"]')
        assert "contributions" in opened.panel() and "cosine" in opened.panel()
        opened.page.focus("#frame")
        opened.page.keyboard.press("ArrowRight")
        assert opened.page.inner_text("#frame-text") == "1"
        assert opened.page.text_content("#canvas") != first and "run 1" in opened.panel()
        opened.page.click('[data-id="E"]')
        opened.page.click("#panel .copy")
        opened.page.locator("#panel >> text=/copied|Made by tograph/").wait_for()  # the clipboard answers later
        opened.page.keyboard.press("t")
        assert "2-norm of what flows" in opened.page.inner_text("thead")
        assert opened.faults == []


def test_thumbnails_are_small(report: Any) -> None:
    images = draw(report).diagram.frames[0].images
    assert all(len(image.png) < 3000 for image in images)
    assert all(zlib.crc32(base64.b64decode(image.png)) for image in images)
