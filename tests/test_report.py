"""A run on one page, how sound its design is, and observers that draw."""

from __future__ import annotations

import csv
import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import tograph as tg
from browser import browser
from test_viewer import data_of
from tograph.cli import main
from tograph.problems import cantilever_3d, mbb
from tograph.runs import LivePicture, Movie, health_of, write_report
from tograph.runs.health import thinnest
from tograph.runs.scene import scene_of


def invoke(*args: str) -> Result:
    result = CliRunner().invoke(main, list(args), prog_name="tograph")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    size = ["--nelx", "18", "--nely", "6", "--radius", "1.5", "--max-iter", "5", "--backend", "torch"]
    done = invoke("run", "mbb", *size, "--live", "2", "--page", "3", "--movie", "gif", "--out", str(path))
    assert done.exit_code == 0, done.output
    return path


# Health.


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8])
def test_the_width_of_a_bar_is_found(width: int) -> None:
    field = np.zeros((20, 40), bool)
    field[6 : 6 + width] = True
    assert thinnest(field) == width
    assert thinnest(field.T) == width
    field[:, :12] = True  # a block beside it does not hide it
    assert thinnest(field) == width


def test_widths_of_what_fills_the_grid_and_of_nothing() -> None:
    assert thinnest(np.ones((6, 9), bool)) == 6  # no wider than the grid
    assert thinnest(np.zeros((6, 9), bool)) is None
    ball = np.zeros((9, 9, 9), bool)
    ball[3:6, 3:6] = True
    assert thinnest(ball) == 3


def test_pieces_and_whether_they_carry() -> None:
    beam = mbb(nelx=12, nely=6)
    scene = scene_of(beam.workflow())
    whole = np.zeros(beam.grid.shape)
    whole[:2], whole[:, -2:] = 1.0, 0.9
    found = health_of(whole, scene)
    assert (found.islands, found.largest, found.carried) == (1, 1.0, True)
    assert found.volume == pytest.approx(whole.mean()) and found.thinnest_void == 3
    cut = whole.copy()
    cut[:, 5] = 0.0
    cut[4, 1] = 1.0
    found = health_of(cut, scene)
    assert found.islands == 3 and found.largest == pytest.approx(20 / 31)
    assert found.carried is True  # the left part reaches the supports of the symmetry plane
    cut[:2, :5] = 0.2
    assert health_of(cut, scene).carried is False
    assert health_of(np.ones((3, 3)), None).carried is None


# The page.


def test_the_page_holds_everything_and_needs_nothing(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert f"compliance {result['values']['compliance']:.6g}" in page and result["graph"] in page
    for words in ("volume of the physical field", "thinnest bar", "loads joined to supports", "KKT residual"):
        assert words in page
    assert "were not checked" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page) and "<script" not in page
    assert len(re.findall(r'src="data:image/', page)) == 6


def test_the_command_checks_the_derivatives_first(folder: Path) -> None:
    done = invoke("report", str(folder), "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"file": str(folder / "report.html"), "passed": True}
    assert "The derivatives were certified" in (folder / "report.html").read_text(encoding="utf-8")
    assert invoke("report", str(folder), "--no-check").exit_code == 0
    refused = invoke("report", str(folder.parent))
    assert refused.exit_code == 2 and "holds no finished run" in refused.stderr


def test_a_wrong_derivative_is_on_the_page(folder: Path) -> None:
    report = tg.check(mbb(4, 2).workflow(filter="sensitivity"), backends=("torch",), quick=True)
    assert not report.passed or "inexact" in report.counts()
    page = write_report(folder, report).read_text(encoding="utf-8")
    assert ("were certified" in page) == report.passed


def test_the_page_in_a_browser(folder: Path) -> None:
    write_report(folder)
    with browser() as context:
        page = context.new_page()
        faults: list[str] = []
        page.on("console", lambda said: faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url))
        page.goto((folder / "report.html").as_uri())
        widths = page.eval_on_selector_all("img", "all => all.map(img => img.naturalWidth)")
        assert len(widths) == 6 and min(widths) > 100
        assert page.inner_text("h1").startswith("mbb: compliance")
        assert page.locator("td", has_text="grey level").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert not faults


# Observers.


def optimised(problem: Any, observers: list[Any]) -> tg.Result:
    program = problem.workflow(radius=1.5).compile("torch")
    call: dict[str, Any] = {"minimize": "compliance", "subject_to": ["volume <= 0.3"], "max_iter": 5, "tol": 0.0}
    return tg.optimize(program, problem.uniform(0.3), **call, observers=observers)


def test_the_movie_and_the_live_picture(folder: Path) -> None:
    with Image.open(folder / "evolution.gif") as movie, np.load(folder / "design.npz") as arrays:
        assert getattr(movie, "n_frames", 1) == 5
        movie.seek(4)
        last = np.asarray(movie.convert("L"), dtype=float)
        density = arrays["density"]
    times = last.shape[1] // density.shape[1]
    shown = 1.0 - last[: density.shape[0] * times : times, ::times] / 255.0
    assert np.abs(shown - density).max() < 0.02
    with Image.open(folder / "live.png") as live:
        assert np.abs(np.asarray(live.convert("L"), dtype=float) - last).max() < 6  # the last iteration is drawn too
    frames = data_of(folder / "live.html")["views"][1]["diagram"]["frames"]
    assert [frame["label"] for frame in frames] == ["1", "4"]
    with (folder / "history.csv").open(encoding="utf-8") as file:
        assert [row["iteration"] for row in csv.DictReader(file)] == list("12345")


def test_pictures_of_a_3d_run(tmp_path: Path) -> None:
    optimised(cantilever_3d(4, 3, 2), [Movie(tmp_path / "a.gif", every=3), LivePicture(tmp_path / "a.png", every=4)])
    with Image.open(tmp_path / "a.gif") as movie:
        assert getattr(movie, "n_frames", 1) == 3  # iterations 1, 3, 5
    assert not (tmp_path / "a.png.new").exists()


def test_movies_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(tg.TographError) as caught:
        Movie(tmp_path / "a.avi")
    assert str(caught.value) == "a movie ends in .gif or .mp4, got 'a.avi'"

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(tg.TographError) as caught:
        Movie(tmp_path / "a.mp4")
    assert str(caught.value) == "MP4 needs imageio with ffmpeg. Install it: pip install 'tograph[video]'"
