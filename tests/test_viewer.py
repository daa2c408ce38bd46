"""The HTML page, in a browser without network: every control once, on one page of a real workflow."""

import json
import re
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tograph as tg
from browser import browser
from tograph import nodes as n
from tograph.draw import Diagram, draw
from tograph.draw.folding import OPEN, folded
from tograph.problems import mbb, two_load_cantilever


def two_loads() -> tg.Graph:
    return two_load_cantilever(nelx=8, nely=8).workflow(weights=(1.0, 0.3), beta=4.0)


def long(steps: int) -> tg.Graph:
    x = tg.source("x", n.Grid(3, 2).field())
    y = x
    for _ in range(steps):
        y = n.Heaviside(beta=2.0)(y)
    return tg.Graph([x], {"v": n.VolumeFraction()(y)}, name="long")


class Opened:
    """A page in the browser."""

    def __init__(self, context: Any, path: Path) -> None:
        self.faults: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda said: self.faults.append(said.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda asked: self.faults.append(asked.url) if not _own(asked.url) else None)
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]")

    def boxes(self, more: str = "") -> set[str]:
        found: list[str] = self.page.eval_on_selector_all(f".box{more}", "all => all.map(one => one.dataset.id)")
        return set(found)

    def panel(self) -> str:
        text: str = self.page.inner_text("#panel")
        return text

    def tab(self, name: str) -> None:
        self.page.click(f'[role=tab][data-tab="{name}"]')


def _own(url: str) -> bool:
    return url.startswith(("file:", "data:"))


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def workflow(context: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    path = tmp_path_factory.mktemp("page") / "two_loads.html"
    draw(two_loads(), path, of="compliance", wrt="rho")
    opened = Opened(context, path)
    yield opened
    opened.page.close()


@pytest.fixture
def opened(workflow: Opened) -> Iterator[Opened]:
    """The page with nothing chosen, at its reverse pass; it must have loaded nothing and complained of nothing."""
    workflow.page.keyboard.press("Escape")
    workflow.tab("reverse")
    yield workflow
    assert workflow.faults == []


def data_of(path: Path) -> dict[str, Any]:
    packed = re.search(r'id="data">([^<]*)<', path.read_text())
    assert packed is not None
    found: dict[str, Any] = json.loads(zlib.decompress(b64decode(packed[1])))
    return found


def test_a_page_holds_the_diagrams_of_all_views(tmp_path: Path) -> None:
    drawing = draw(two_loads(), tmp_path / "page.html", of="compliance", wrt="rho")
    page = data_of(tmp_path / "page.html")
    tabs = [view["tab"] for view in page["views"]]
    assert list(dict.fromkeys(tabs)) == ["forward", "reverse", "joint", "tangent", "passes"]
    assert page["first"] == "reverse"
    assert Diagram.from_dict(page["views"][1]["diagram"]) == drawing.diagram
    stages = [view["label"] for view in page["views"] if view["tab"] == "passes"]
    assert stages[0] == "differentiated" and "sharing" in stages
    assert (tmp_path / "page.html").stat().st_size < 400_000


def test_a_page_names_nothing_outside_of_it(tmp_path: Path) -> None:
    draw(two_loads(), tmp_path / "page.html", of="compliance", wrt="rho")
    text = (tmp_path / "page.html").read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|src=|href=|@import|url\((?!#)", text)


def test_a_graph_with_errors_has_a_page_that_says_so(tmp_path: Path) -> None:
    rho = tg.source("rho", n.Grid(4, 4).field())
    graph = tg.Graph([rho], {"v": n.VolumeFraction()(n.DensityFilter(n.Grid(5, 5), radius=1.5)(rho))})
    draw(graph, tmp_path / "wrong.html")
    [view] = data_of(tmp_path / "wrong.html")["views"]
    assert "graph.validate()" in view["diagram"]["header"]["facts"][0]


def test_the_page_of_a_value_has_the_passes_of_that_value(tmp_path: Path) -> None:
    draw(mbb(nelx=4, nely=2).workflow(), tmp_path / "values.html")
    tabs = dict.fromkeys(view["tab"] for view in data_of(tmp_path / "values.html")["views"])
    assert list(tabs) == ["forward", "executed", "passes"]


def test_large_diagrams_are_folded_into_runs() -> None:
    diagram = draw(long(300)).diagram
    made, collapsed = folded(diagram)
    inside = [id for cluster in made.clusters for id in cluster.boxes]
    assert len(inside) == len(set(inside)) and len(diagram.boxes) - len(inside) < OPEN
    assert set(collapsed) == {cluster.path[0] for cluster in made.clusters}
    assert folded(draw(long(3)).diagram)[1] == []


def test_nodes_of_one_line_say_once_what_is_inside_them() -> None:
    boxes = draw(long(40)).diagram.find(operation="Heaviside")
    assert len(boxes) == 40 and {box.detail for box in boxes} == {("Heaviside",)}


def test_the_user_s_clusters_are_the_groups() -> None:
    diagram = draw(two_loads(), of="compliance", wrt="rho").diagram
    lanes = {(cluster.lane, cluster.path): set(cluster.boxes) for cluster in diagram.clusters}
    assert lanes["reverse", ("design",)] == {"rho_f reverse of compliance", "rho_p reverse of compliance"}


def test_joint_view_links_what_nothing_else_joins() -> None:
    diagram = draw(two_loads(), of="compliance", wrt="rho", view="joint").diagram
    links = {(arrow.tail, arrow.head) for arrow in diagram.arrows if arrow.kind == "mate"}
    assert ("rho", "gradient of compliance by rho") in links
    assert ("rho_f", "rho_f reverse of compliance") not in links  # its residual joins them
    assert diagram.header.view == "joint"


def test_it_opens_at_the_pass_that_was_asked_for(opened: Opened) -> None:
    title = "two_load_cantilever reverse pass: gradient of compliance with respect to rho"
    assert opened.page.inner_text("#title") == title
    assert "1 factorization, 1 solve" in opened.page.inner_text("#facts")
    assert {"rho", "u", "compliance reverse of compliance"} <= opened.boxes()
    assert "solve saved" in opened.page.text_content("#legend")


def test_groups_collapse_and_expand(opened: Opened) -> None:
    everything = opened.boxes()
    opened.page.click("#fold")
    assert {"forward group design", "reverse group analysis"} <= opened.boxes()
    assert not {"rho_f", "K"} & opened.boxes()
    opened.page.click('[data-id="forward group design"]')
    assert "a group of 4 boxes" in opened.panel()
    opened.page.dblclick('[data-id="forward group design"]')
    assert "rho_f" in opened.boxes() and "K" not in opened.boxes()
    opened.page.click('[data-close="design"]')
    assert "rho_f" not in opened.boxes()
    opened.page.click("#unfold")
    assert opened.boxes() == everything


def test_search_finds_and_leads_into_groups(opened: Opened) -> None:
    opened.page.click("#fold")
    opened.page.keyboard.press("/")
    opened.page.keyboard.type("heaviside")
    assert opened.page.inner_text("#found") == "2 found"
    assert opened.boxes(".hit") == {"forward group design", "reverse group design"}
    opened.page.keyboard.press("Enter")
    assert opened.boxes(".chosen") == {"rho_p"}
    assert opened.panel().startswith("×\nrho_p : Heaviside")
    opened.page.click("#unfold")


def test_neighbours_within_some_steps(opened: Opened) -> None:
    opened.page.click('[data-id="E"]')
    opened.page.select_option("#hops", "1")
    assert opened.boxes() == {"rho_p", "E", "K"}
    opened.page.select_option("#hops", "2")
    assert {"rho_f", "E reverse of compliance", "u factor"} <= opened.boxes() and "u" not in opened.boxes()
    opened.page.select_option("#hops", "0")
    assert len(opened.boxes()) > 10


def test_paths_from_design_to_objective_and_back(opened: Opened) -> None:
    opened.page.click("#there")
    lit = opened.boxes(":not(.dim)")
    assert {"rho", "rho_f", "u", "output compliance"} <= lit and "f" not in lit
    assert not {id for id in lit if "reverse" in id}
    opened.page.click("#back")
    lit = opened.boxes(":not(.dim)")
    assert {"compliance reverse of compliance", "K reverse of compliance", "gradient of compliance by rho"} <= lit
    assert "rho" not in lit


def test_the_panel_explains_a_box(opened: Opened) -> None:
    opened.page.click('[data-id="E reverse of compliance"]')
    text = opened.panel()
    assert "Modified SIMP: E = E_min + rho^p (E_max - E_min)." in text
    assert re.search(r"rho: registered, nodes/materials\.py:\d+", text)
    assert re.search(r"declared at\s+problems/workflow\.py:\d+", text)
    opened.page.click("#panel .link >> text=rho_p")
    assert opened.panel().startswith("×\nrho_p : Heaviside")
    opened.page.click("#panel .close")
    assert not opened.page.is_visible("#panel")


def test_the_passes_are_on_a_slider(opened: Opened) -> None:
    opened.tab("passes")
    assert opened.page.inner_text("#stage-text") == "0: differentiated"
    before = opened.boxes()
    opened.page.focus("#stage")
    opened.page.keyboard.press("End")
    assert opened.page.inner_text("#title").startswith("two_load_cantilever after ")
    assert opened.boxes() != before


def test_everything_by_keyboard(opened: Opened) -> None:
    opened.page.focus(".box[tabindex='0']")
    opened.page.focus('[data-id="rho"]')
    opened.page.keyboard.press("ArrowDown")
    assert opened.page.evaluate("document.activeElement.dataset.id") == "rho_f"
    opened.page.keyboard.press("ArrowRight")
    assert "reverse" in opened.page.evaluate("document.activeElement.dataset.id")
    opened.page.keyboard.press("Enter")
    assert opened.page.is_visible("#panel")
    opened.page.keyboard.press("Escape")
    assert not opened.page.is_visible("#panel")
    opened.page.focus('[role=tab][aria-selected="true"]')
    opened.page.keyboard.press("ArrowRight")
    assert opened.page.inner_text('[role=tab][aria-selected="true"]') == "joint"


def test_the_table_says_what_the_picture_says(opened: Opened) -> None:
    opened.page.keyboard.press("t")
    rows = opened.page.locator("tbody tr")
    assert rows.count() == len(draw(two_loads(), of="compliance", wrt="rho").diagram.boxes)
    row = opened.page.locator("tbody tr", has=opened.page.locator("th >> text=/^E_bar$/")).inner_text()
    assert "pull-back" in row and "K_bar" in row and "rho_p_bar" in row and "rule" in row
    opened.page.keyboard.press("t")
    assert not opened.page.is_visible("#table")


def test_hundreds_of_nodes_open_collapsed(context: Any, tmp_path: Path) -> None:
    drawing = draw(long(400), tmp_path / "long.html")
    assert (tmp_path / "long.html").stat().st_size < 3_000_000
    page = Opened(context, tmp_path / "long.html")
    assert 10 < len(page.boxes()) < OPEN
    page.page.click("#unfold")
    assert len(page.boxes()) == len(drawing.diagram.boxes)
    assert page.faults == []
    page.page.close()
