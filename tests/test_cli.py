"""The command line: what it prints, what it leaves behind, and the sentence for everything it refuses."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from matplotlib.image import imread

import tograph as tg
from tograph.cli import main, options
from tograph.cli.run_folder import FILES, new_folder
from tograph.nodes import VolumeFraction
from tograph.optimizers import Checkpoints
from tograph.plain import to_json
from tograph.problems import PROBLEMS, mbb
from tograph.runs.figures import convergence_figure, density_figure, save
from tograph.runs.scene import physical_density, scene_of

COMMANDS = ["bench", "check", "draw", "explain", "export", "problems", "report", "resume", "run", "sweep"]
SMALL = ["--nelx", "12", "--nely", "4"]
MAGIC = {
    ".png": b"\x89PNG\r\n\x1a\n",
    ".svg": b"<?xml",
    ".pdf": b"%PDF-",
    ".html": b"<!doctype html>",
    ".txt": b"mbb   reverse pass",
    ".dot": b"digraph",
    ".json": b"{",
    ".npz": b"PK",
}
USER_FILE = '''
import numpy as np
import tograph as tg
from tograph import nodes as n
from tograph.problems import mbb
from neighbour import RADIUS

print("the user's file speaks")


@tg.node
class Half(tg.Node):
    """y = x / 2, with a derivative that is wrong on purpose."""
    inputs = (tg.Port("x"),)

    def forward(self, xp, *values):
        return 0.5 * values[0]


@tg.vjp(Half, "x")
def _(node, xp, ct):
    return ct


def build(nelx=12, nely=4, half=False):
    beam = mbb(nelx, nely)
    rho = tg.source("rho", beam.grid.field(), lower=0.0, upper=1.0)
    rho_f = n.DensityFilter(beam.grid, radius=RADIUS)(rho)
    E = n.Simp(p=3.0, E_min=1e-9)(Half()(rho_f) if half else rho_f)
    K = n.Stiffness(beam.grid, nu=0.3, fixed=beam.fixed)(E)
    u = n.LinearSolve()(K, beam.load)
    outputs = {"work": n.Compliance()(u, beam.load), "volume": n.VolumeFraction()(rho_f)}
    return tg.Graph([rho], outputs, name="mine")


def problem(): return mbb(12, 4)
def pair(): return build(), np.full((4, 12), 0.3)
def wrong_rule(): return build(half=True)
def raises(): raise RuntimeError("no such material.")
def leaves(): raise SystemExit(3)
def wrong_type(): return {"a": 1}
def needs(material): return material
def wrong_shape(): return build(), np.ones(3)
def wrong_start(): return build(), "full"
def empty(): return build(), np.zeros((4, 12))
def unbound(): return tg.Graph([], {"volume": n.VolumeFraction()(tg.source("rho", mbb(4, 2).grid.field()))})
def only_volume():
    rho = tg.source("rho", mbb(4, 2).grid.field())
    return tg.Graph([rho], {"volume": n.VolumeFraction()(rho)}, name="thin")
def inputless():
    return tg.Graph([], {"volume": n.VolumeFraction()(tg.constant(np.ones((2, 4)), mbb(4, 2).grid.field()))})
def row():
    beam = mbb(4, 2)
    t = tg.source("t", tg.Spec("array", (tg.Axis("part", 8),)), lower=0.1, upper=1.0)
    rho = tg.source("rho", beam.grid.field(), default=np.full((2, 4), 0.5))
    K = n.Stiffness(beam.grid, fixed=beam.fixed)(n.Simp()(rho))
    c = n.Compliance()(n.LinearSolve()(K, beam.load), beam.load)
    weight = tg.constant(np.full(8, 0.125), tg.Spec("array", (tg.Axis("part", 8),)))
    outputs = {"spent": c / n.Sum()(t), "volume": n.Dot()(t, weight)}
    return tg.Graph([t, rho], outputs, name="8 parts/row"), np.full(8, 0.5)
def floating():
    beam = mbb(6, 3)
    rho = tg.source("rho", beam.grid.field())
    K = n.Stiffness(beam.grid, fixed=beam.fixed[:1])(n.Simp()(rho))
    u = n.LinearSolve()(K, beam.load)
    return tg.Graph([rho], {"compliance": n.Compliance()(u, beam.load), "volume": n.VolumeFraction()(rho)})


NUMBER = 3
'''


def invoke(*args: str) -> Result:
    """The command in this process. Nothing but click's own exit may end it."""
    result = CliRunner().invoke(main, list(args), prog_name="tograph")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def line_of(text: str) -> int:
    """The line of the user's file that holds a text."""
    (line,) = (i for i, line in enumerate(USER_FILE.splitlines(), 1) if text in line)
    return line


def succeed(*args: str) -> str:
    result = invoke(*args)
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; what user files do to the module path is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("beam", "user_beam", "neighbour", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.fixture
def user_file(here: Path) -> Path:
    (here / "beam.py").write_text(USER_FILE, encoding="utf-8")
    (here / "neighbour.py").write_text("RADIUS = 1.5\n", encoding="utf-8")
    (here / "broken.py").write_text("x = 1\ndef build(:\n", encoding="utf-8")
    return here


# Help and listings


def commands() -> list[str]:
    return sorted(main.commands)


def examples(command: str) -> list[str]:
    text = main.commands[command].callback.__doc__ or ""
    return re.findall(r"^ +(tograph .+)$", text, flags=re.MULTILINE)


def test_version() -> None:
    assert succeed("--version") == f"tograph {tg.__version__}\n"


def test_the_commands() -> None:
    assert commands() == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples_that_parse(command: str) -> None:
    text = succeed(command, "--help")
    shown = examples(command)
    assert shown and all(example in text for example in shown)
    for example in shown:
        name, *args = shlex.split(example)[1:]
        parsed = main.commands[name].make_context(name, args)
        assert isinstance(parsed, click.Context)


def test_help_and_version_load_no_framework(root: Path) -> None:
    code = (
        "import sys; from tograph.cli import main; main(['run', '--help'], standalone_mode=False); "
        "print('LOADED', *(m for m in ('jax', 'torch', 'matplotlib') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "LOADED", done.stderr


def test_problems_as_json_and_as_text() -> None:
    rows = json.loads(succeed("problems", "--json"))
    assert {row["name"] for row in rows} == set(PROBLEMS)
    assert {row["suite"] for row in rows} >= {"classic", "3d", "load cases"}
    (row,) = (row for row in rows if row["name"] == "mbb")
    assert row["size"] == [60, 20] and row["reference"]["oc_density_filter"]["iterations"] == 144
    assert all(name in succeed("problems") for name in PROBLEMS)


def test_problems_of_a_suite_with_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "suite.png"
    rows = json.loads(succeed("problems", "--suite", "hoyer116", "--picture", str(picture), "--json"))
    assert len(rows) == 116 and rows[0]["size"] == [96, 32] and rows[0]["suite"] == "hoyer116"
    assert imread(picture).shape[1] > 2000


def test_a_task_of_the_suite_is_a_target() -> None:
    told = json.loads(succeed("explain", "hoop_32x64_0.25", "--json"))
    assert (told["factorizations"], told["solves"]) == (1, 1)


# bench


def test_bench_lists_the_benchmarks_and_runs_one() -> None:
    assert re.match(
        r"compiler +What the compiler costs.*\ncube +The SIMP cantilever.*\nimplicit +Memory and time", succeed("bench")
    )
    assert "bench" in main.commands and invoke("bench", "implicit", "--", "--help").exit_code == 0


def test_bench_without_the_repository_says_where_it_is(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    monkeypatch.setattr(tg, "__file__", str(here / "tograph" / "__init__.py"))
    refused = invoke("bench")
    assert refused.exit_code == 1 and refused.stderr == (
        "Error: the benchmarks are in tests/benchmarks/ of the repository, not in the wheel. "
        "Run `tograph bench` from an installation made in a checkout: pip install -e .\n"
    )


def test_bench_suggests_a_name() -> None:
    refused = invoke("bench", "compilr")
    assert refused.exit_code == 2 and "there is no benchmark 'compilr'. Did you mean 'compiler'" in refused.stderr


# explain and check


def test_draw_passes(tmp_path: Path) -> None:
    options = (*SMALL, "--pass", "reverse", "--passes", "--out", str(tmp_path / "passes"), "--json")
    told = json.loads(succeed("draw", "mbb", *options))
    names = [Path(file).name for file in told["files"]]
    assert names[0] == "0_differentiated.svg" and "sharing" in names[-1]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "passes").iterdir())


def test_explain() -> None:
    told = json.loads(succeed("explain", "mbb", *SMALL, "--json"))
    assert (told["factorizations"], told["solves"], told["right_hand_sides"]) == (1, 1, 1)
    assert told["residual_bytes"] > 0 and told["rules"] and told["problem"] == "mbb"
    assert (told["naive"]["solves"], told["naive"]["right-hand sides"]) == (2, 2) and told["flops"] > 1000
    assert any("computed on the first call only" in sentence for sentence in told["savings"])
    assert any("spectrum" in name for name in told["hoisted"])
    assert {"symmetry", "sharing"} <= {stage["name"] for stage in told["stages"]}
    assert "factorizations 1, solves 1" in succeed("explain", "mbb", *SMALL, "--backend", "torch")


def test_explain_tells_an_inexact_rule() -> None:
    rules = json.loads(succeed("explain", "mbb", *SMALL, "--filter", "sensitivity", "--json"))["rules"]
    assert "inexact" in {rule["rule"] for rule in rules}


def test_explain_a_run() -> None:
    told = json.loads(succeed("explain", "mbb", *SMALL, "--report", "--why-nan", "--backend", "torch", "--json"))
    assert told["why_nan"] == {"severity": "fine", "sentence": "every value and every derivative is finite"}
    assert {row["severity"] for row in told["report"]} == {"fine"}
    text = succeed("explain", "mbb", *SMALL, "--report", "--rules", "--backend", "torch")
    assert "fine: nothing conspicuous in value and gradient of compliance with respect to rho" in text
    assert "rules pass: the least exact" in text
    assert "tg.check(graph" in succeed("explain", "mbb", *SMALL, "--reproducer", "u", "--backend", "torch")


FAULTY = """
import tograph as tg
from tograph import nodes as n

def build():
    rho, theta = tg.source("rho", n.Grid(6, 4).field(), default=[[0.0] * 6] * 4), tg.source("theta")
    root = rho ** 0.5
    return tg.Graph([rho, theta], {"c": n.Dot()(root, root), "volume": theta * n.VolumeFraction()(rho)})
"""


def test_explain_the_fault_of_a_user_file(here: Path) -> None:
    (here / "faulty.py").write_text(FAULTY, encoding="utf-8")
    asked = ("explain", "faulty.py:build", "--backend", "torch")
    text = succeed(*asked, "--why-nan", "--why-zero", "theta")
    assert "no path leads from 'theta' (declared at faulty.py:6) to 'c'; it reaches only 'volume'" in text
    assert "begins at the reverse step of 'root' (vjp Power.x, declared at faulty.py:7)" in text
    failed = invoke(*asked, "--why-zero", "eta")
    assert failed.exit_code == 2 and "there is no input 'eta'. Did you mean 'theta'?" in failed.stderr


def test_check_passes() -> None:
    report = json.loads(succeed("check", "mbb", "--nelx", "6", "--nely", "3", "--backend", "jax", "--json"))
    assert report["passed"] is True and report["backends"] == ["jax"]
    assert report["rows"] and all(row["verdict"] != "fail" for row in report["rows"])


def test_a_quick_check_as_a_page(here: Path) -> None:
    size = ("--nelx", "4", "--nely", "2", "--backend", "torch")
    report = json.loads(succeed("check", "mbb", *size, "--quick", "--html", "check.html", "--json"))
    page = (here / "check.html").read_text(encoding="utf-8")
    assert report["passed"] is True and report["first_wrong"] is None and 0 < report["runs"] < 200
    assert page.startswith("<!doctype html>") and "<svg" in page and "passed ✓" in page and "<script" not in page


def test_a_failed_check_has_exit_code_1(user_file: Path) -> None:
    result = invoke("check", "beam.py:wrong_rule", "--backend", "jax", "--json", "--html", "check.html")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["passed"] is False
    assert "half" in {row["node"] for row in report["rows"] if row["verdict"] == "fail"}
    page = (user_file / "check.html").read_text(encoding="utf-8")
    assert page.count("node failing") == 1 and '<g id="half" class="node failing">' in page


# draw


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf", ".html", ".txt", ".dot", ".json"])
def test_the_ending_is_the_format(here: Path, ending: str) -> None:
    text = succeed("draw", "mbb", *SMALL, "--pass", "reverse", "--out", f"reverse{ending}")
    assert text == f"reverse{ending}: the reverse pass of mbb\n"
    data = (here / f"reverse{ending}").read_bytes()
    assert data.startswith(MAGIC[ending]) and len(data) > 1000


def test_numbers_of_a_run_on_the_picture(here: Path) -> None:
    text = succeed("draw", "mbb", *SMALL, "--overlay", "norms,bytes", "--html", "measured.html")
    assert text == "measured.html: the reverse pass of mbb\n"
    told = succeed("draw", "mbb", *SMALL, "--overlay", "norms", "--text")
    assert told.startswith("mbb   reverse pass: gradient of compliance") and "── field 4x12  norms " in told


def test_the_passes_are_different_pictures(here: Path) -> None:
    for view in ("forward", "reverse", "tangent"):
        succeed("draw", "mbb", *SMALL, "--pass", view)
    pictures = [(here / f"mbb_{view}.svg").read_text(encoding="utf-8") for view in ("forward", "reverse", "tangent")]
    assert len(set(pictures)) == 3
    about = json.loads(succeed("draw", "mbb", *SMALL, "--pass", "reverse", "--of", "volume", "--detail", "--json"))
    wanted = {"problem": "mbb", "pass": "reverse", "backend": "jax", "of": "volume", "wrt": "rho"}
    assert about == wanted | {"file": "mbb_reverse.svg"}


# run


def read_history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_run_end_to_end(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    command = [sys.executable, "-m", "tograph", "run", "mbb", "--nelx", "30", "--nely", "10", "--max-iter", "5"]
    command += ["--json", "--out", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["problem"] == "mbb" and summary["backend"] == "jax" and summary["seconds"] > 0
    assert summary["iterations"] == 5 and summary["converged"] is False
    assert summary["volume"] == pytest.approx(0.5, rel=1e-9) and 0 < summary["compliance"] < 984.6
    assert "iteration    1  compliance 984.555  volume 0.5000  change 0.2000" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for name in FILES:
        data = (folder / name).read_bytes()
        known = {"history.json": b"[", "checkpoint": b"tograph checkpoint"}
        start = known.get(name) or MAGIC.get(Path(name).suffix, b"")
        assert len(data) > 200 and data.startswith(start), name
    saved = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert {name: saved[name] for name in summary if name not in ("folder", "files")} == {
        name: value for name, value in summary.items() if name not in ("folder", "files")
    }
    assert saved["versions"]["tograph"] == tg.__version__ and saved["options"]["nelx"] == 30


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    succeed("run", "mbb", "--nelx", "24", "--nely", "8", "--radius", "1.5", "--max-iter", "6", "--out", str(folder))
    return folder


def test_both_histories_say_the_same(run_folder: Path) -> None:
    rows = json.loads((run_folder / "history.json").read_text(encoding="utf-8"))
    assert rows == read_history(run_folder)
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["compliance"] < rows[0]["compliance"]
    assert all(row["volume"] == pytest.approx(0.5, rel=1e-9) for row in rows)


def test_the_graph_that_ran_can_be_read_back(run_folder: Path) -> None:
    graph = tg.Graph.from_dict(json.loads((run_folder / "graph.json").read_text(encoding="utf-8")))
    assert graph == mbb(24, 8).workflow(radius=1.5)
    result = json.loads((run_folder / "result.json").read_text(encoding="utf-8"))
    arrays = np.load(run_folder / "design.npz")
    again = graph.compile("numpy")(arrays["design"])
    assert graph.hash == result["graph"]
    assert float(again["compliance"]) == pytest.approx(result["compliance"], rel=1e-9)
    assert float(arrays["density"].mean()) == pytest.approx(result["volume"], rel=1e-12)


def test_the_diagram_is_that_of_the_function_that_ran(run_folder: Path) -> None:
    svg = (run_folder / "reverse.svg").read_text(encoding="utf-8")
    assert "d compliance / d rho" in svg and "d volume / d rho" in svg


def test_a_run_repeats_the_published_number(here: Path) -> None:
    args = ["--filter", "sensitivity", "--bisection", "1e-3", "--backend", "torch", "--json", "--out", "published"]
    summary = json.loads(succeed("run", "mbb", *args))
    published = mbb().reference["oc_sensitivity_filter"]
    assert summary["converged"] and summary["iterations"] == published["iterations"]
    assert summary["compliance"] == pytest.approx(published["value"], rel=1e-7)


def test_text_at_the_end_and_the_folder_by_default(here: Path) -> None:
    told = succeed("run", "cantilever", "--load", "mid", *SMALL, "--max-iter", "1", "--filter", "none", "--penal", "2")
    (folder,) = (here / "runs").iterdir()
    sentence, files = told.splitlines()
    assert re.fullmatch(
        r"cantilever on jax: compliance [\d.]+ at volume 0\.5 after 1 iteration and [\d.]+ s \(stopped after .*\)",
        sentence,
    )
    assert files == f"runs/{folder.name}: {', '.join(FILES)}"
    assert new_folder("mbb", "now") != new_folder("mbb", "now")


def without_time(summary: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in summary.items() if name not in ("seconds", "folder")}


@pytest.mark.parametrize("target", ["mbb", "beam.py:pair"])
def test_resume_ends_as_run_does(user_file: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    args = [*SMALL, "--max-iter", "9", "--backend", "torch"] if target == "mbb" else ["--max-iter", "9"]
    whole = json.loads(succeed("run", target, *args, "--method", "mma", "--out", "whole", "--json"))
    seen = Checkpoints.__call__

    def dies(self: Checkpoints, iteration: tg.Iteration) -> None:
        if iteration.number == 5:
            raise KeyboardInterrupt
        self.share = 1.0
        seen(self, iteration)

    monkeypatch.setattr(Checkpoints, "__call__", dies)
    interrupted = CliRunner().invoke(main, ["run", target, *args, "--method", "mma", "--out", "cut"])
    assert interrupted.exit_code != 0 and not (user_file / "cut" / "result.json").exists()
    monkeypatch.setattr(Checkpoints, "__call__", seen)
    monkeypatch.chdir(user_file / "cut")
    result = invoke("resume", str(user_file / "cut"), "--json")
    assert result.exit_code == 0, result.stderr
    assert "going on after iteration 4" in result.stderr
    assert without_time(json.loads(result.stdout)) == without_time(whole)
    ends = [np.load(user_file / name / "design.npz")["design"] for name in ("whole", "cut")]
    np.testing.assert_array_equal(*ends)
    lines = (user_file / "cut" / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == list(range(1, 10))


def test_what_cannot_be_resumed(run_folder: Path, here: Path) -> None:
    (here / "empty").mkdir()
    told = invoke("resume", "empty")
    advice = "it has no readable run.json. Give a folder that `tograph run` made."
    assert told.exit_code == 2 and told.stderr.endswith(f"Error: empty is not a run folder: {advice}\n")
    shutil.copytree(run_folder, here / "damaged")
    (here / "damaged" / "checkpoint").write_bytes(b"nothing")
    told = invoke("resume", "damaged")
    assert told.exit_code == 2
    assert told.stderr.endswith("damaged/checkpoint is no checkpoint of this version of tograph\n")


def test_a_3d_run(here: Path) -> None:
    size = ["--nelx", "6", "--nely", "3", "--nelz", "3", "--radius", "1.5"]
    summary = json.loads(succeed("run", "cantilever_3d", *size, "--max-iter", "2", "--out", "block", "--json"))
    assert summary["iterations"] == 2
    assert np.load(here / "block" / "design.npz")["density"].shape == (3, 6, 3)


def test_a_bar_in_a_terminal(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    result = invoke("run", "mbb", *SMALL, "--max-iter", "2", "--out", "bar", "--json")
    assert json.loads(result.stdout)["iterations"] == 2
    assert "2/2" in result.stderr and "compliance" in result.stderr and "iteration    1" not in result.stderr


# Pictures


def shade(path: Path) -> np.ndarray:
    """Brightness of a picture, 0 black to 1 white."""
    brightness: np.ndarray = np.asarray(imread(path), dtype=np.float64)[..., :3].mean(axis=2)
    return brightness


def test_material_is_black_on_white_the_right_way_up(tmp_path: Path) -> None:
    problem = mbb(12, 12)
    density = np.zeros(problem.grid.shape)
    density[:3, :] = 1.0  # row 0 is the top
    save(density_figure(density, scene_of(problem.workflow()), "top"), tmp_path / "top.png")
    picture = shade(tmp_path / "top.png")
    height, width = picture.shape
    column = picture[:, int(0.55 * width)]
    black = np.flatnonzero(column < 0.1)
    assert black.size > 0.1 * height and black.mean() < 0.45 * height
    assert column[int(0.6 * height)] == 1.0


def test_the_scene_is_the_problem() -> None:
    problem = mbb(6, 2)
    scene = scene_of(problem.workflow())
    assert scene is not None and scene.grid == problem.grid
    assert np.array_equal(np.flatnonzero(scene.held), problem.fixed)
    assert np.array_equal(scene.forces[0].ravel(), problem.load) and not scene.moved.any()


def test_a_graph_without_a_solve_has_a_picture_without_supports(tmp_path: Path) -> None:
    rho = tg.source("rho", mbb(4, 2).grid.field())
    graph = tg.Graph([rho], {"volume": VolumeFraction()(rho)})
    assert scene_of(graph) is None
    save(density_figure(np.eye(3), None, "plain"), tmp_path / "plain.png")
    assert shade(tmp_path / "plain.png").min() < 0.1


@pytest.mark.parametrize(("name", "symbols"), [("bridge", 2), ("two_load_cantilever", 3), ("tensile", 3), ("mbb", 2)])
def test_supports_and_loads_are_in_the_legend(name: str, symbols: int) -> None:
    figure = density_figure(PROBLEMS[name](8, 8).uniform(), scene_of(PROBLEMS[name](8, 8).workflow()), name)
    (legend,) = figure.legends
    assert len(legend.get_texts()) == symbols


def test_three_curves() -> None:
    rows = [{"iteration": i, "compliance": 1000.0 / i**2, "volume": 0.5, "change": 0.2 / i} for i in range(1, 30)]
    figure = convergence_figure(rows, "compliance", "three", tol=0.01)
    assert [axes.get_ylabel() for axes in figure.axes] == ["compliance", "volume", "change"]
    assert figure.axes[0].get_yscale() == "log" and figure.axes[1].get_yscale() == "linear"
    assert np.array_equal(figure.axes[0].lines[0].get_ydata(), [row["compliance"] for row in rows])


@pytest.mark.parametrize("filter", ["density", "sensitivity", "none"])
def test_the_physical_density_is_what_the_volume_counts(filter: str, rng: np.random.Generator) -> None:
    problem = PROBLEMS["cantilever_with_hole"](9, 6)
    program = problem.workflow(filter=filter, radius=1.5).compile("numpy")
    design = rng.uniform(0.1, 0.9, problem.grid.shape)
    density = physical_density(program, "rho", design)
    assert float(density.mean()) == pytest.approx(float(program(design)["volume"]), rel=1e-12)
    assert problem.void is not None and not density[problem.void].any()


# A user's own file


@pytest.mark.parametrize(
    ("target", "volume", "size"),
    [("beam.py:build", 0.4, 48), ("beam.py:pair", 0.3, 48), ("beam.py:problem", 0.5, 48)],
)
def test_run_of_a_user_file(user_file: Path, target: str, volume: float, size: int) -> None:
    given = ["--volume", "0.4"] if target == "beam.py:build" else []
    result = invoke("run", target, *given, "--max-iter", "2", "--out", "own", "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert "the user's file speaks" in result.stderr
    assert summary["volume"] == pytest.approx(volume, rel=1e-9)
    assert summary["problem"] == ("mbb" if "problem" in target else "mine")
    assert summary["objective"] == ("compliance" if "problem" in target else "work")
    assert np.load(user_file / "own" / "design.npz")["design"].size == size


def test_options_reach_the_function_that_takes_them(user_file: Path) -> None:
    told = json.loads(invoke("explain", "beam.py:build", "--nelx", "20", "--json").stdout)
    assert any(step["output"] == "field 4x20" for step in told["steps"])


def test_a_user_problem_takes_the_options_of_the_workflow(user_file: Path) -> None:
    args = [
        "--volume",
        "0.3",
        "--radius",
        "1.2",
        "--filter",
        "sensitivity",
        "--max-iter",
        "1",
        "--out",
        "own",
        "--json",
    ]
    assert json.loads(invoke("run", "beam.py:problem", *args).stdout)["volume"] == pytest.approx(0.3)


def test_a_design_that_is_no_field(user_file: Path) -> None:
    result = invoke("run", "beam.py:row", "--max-iter", "2")
    assert result.exit_code == 0, result.stderr
    (folder,) = (user_file / "runs").iterdir()
    assert folder.name.startswith("8_parts_row-") and (folder / "density.png").stat().st_size > 1000
    drawn = invoke("draw", "beam.py:only_volume", "--pass", "reverse").stdout
    assert drawn.endswith("thin_reverse.svg: the reverse pass of thin\n")


# What is refused

REFUSED = [
    ("rum mbb", "there is no command 'rum'. Did you mean 'run'?"),
    ("run", "Missing argument 'TARGET'."),
    ("run mbbb", "there is no problem 'mbbb'. Did you mean 'mbb'? See `tograph problems`, or give file.py:function."),
    ("run mbb --backend jx", "Invalid value for '--backend': 'jx' is not one of 'jax', 'torch'."),
    ("run mbb --nelx -3", "Invalid value for '--nelx': -3 is not in the range x>=1."),
    ("run mbb --nelx 2.5", "Invalid value for '--nelx': '2.5' is not a valid integer."),
    ("run mbb --volume 1.5", "Invalid value for '--volume': 1.5 is not in the range 0.0<x<=1.0."),
    ("run mbb --volume nan", "Invalid value for '--volume': nan is not a finite number."),
    ("run mbb --radius inf", "Invalid value for '--radius': inf is not a finite number."),
    ("run mbb --penal 0", "Invalid value for '--penal': 0.0 is not in the range x>0.0."),
    ("run mbb --tol 0.5", "Invalid value for '--tol': 0.5 is not in the range 0.0<=x<0.2."),
    ("run mbb --max-iter 0", "Invalid value for '--max-iter': 0 is not in the range x>=1."),
    ("run mbb --bisection 1", "Invalid value for '--bisection': 1.0 is not in the range 0.0<x<1.0."),
    (
        "run mbb --filter cone",
        "Invalid value for '--filter': 'cone' is not one of 'density', 'active density', 'sensitivity', 'none'.",
    ),
    (
        "run mbb --load mid",
        "mbb does not take --load; it takes: --nelx, --nely, --volume, --filter, --radius, --penal.",
    ),
    ("run mbb --nelz 3", "mbb does not take --nelz; it takes: --nelx, --nely, --volume, --filter, --radius, --penal."),
    (
        "explain cantilever_with_hole --volume 0.9",
        "cantilever_with_hole: volume 0.9 cannot be reached: solid and void leave fractions in (0, 0.765926]. Volume "
        "counts all elements, passive ones included.",
    ),
    (
        "run mbb --out /dev/null/x",
        "Invalid value for '--out': cannot write to the folder /dev/null/x: Not a directory.",
    ),
    (
        "draw mbb --out a.tiff",
        "Invalid value for '--out': a.tiff ends in '.tiff'; a diagram can be written as .svg, .png, .pdf, .html, .txt, "
        ".dot, .json.",
    ),
    (
        "draw mbb --out a",
        "Invalid value for '--out': a has no ending; a diagram can be written as .svg, .png, .pdf, .html, .txt, .dot, "
        ".json.",
    ),
    ("run hoop_32x64_0.25 --nelx 8", "hoop_32x64_0.25 does not take --nelx; it takes: --filter, --radius, --penal."),
    ("draw mbb --out no/a.svg", "Invalid value for '--out': cannot write to no/a.svg: No such file or directory."),
    (
        "draw mbb --pass back",
        "Invalid value for '--pass': 'back' is not one of 'forward', 'reverse', 'tangent', 'joint'.",
    ),
    ("draw mbb --pass forward --overlay norms", "the declared graph has no --overlay; leave out --pass forward."),
    ("draw mbb --of volume", "the forward pass has no --of or --wrt; add --pass reverse or --pass tangent."),
    (
        "draw mbb --pass reverse --of complance",
        "The graph has 1 problem:\n1. there is no output 'complance'. Did you mean 'compliance'?",
    ),
    ("explain no.py:build", "there is no file 'no.py'."),
    ("explain beam.py", "'beam.py' names a file but no function. Write beam.py:build for its function `build`."),
    ("explain runs:build", "there is no file 'runs'."),
    ("explain broken.py:build", "broken.py cannot be read: invalid syntax at broken.py:2."),
    ("explain beam.py:bild", "beam.py has no function 'bild'. Did you mean 'build'?"),
    ("explain beam.py:raises", "beam.py:raises raised RuntimeError at beam.py:{raise RuntimeError}: no such material."),
    ("explain beam.py:leaves", "beam.py:leaves raised SystemExit at beam.py:{raise SystemExit}: 3."),
    (
        "explain beam.py:wrong_type",
        "beam.py:wrong_type returned a dict; it must return a tograph Problem, a Graph, or a pair (Graph, start "
        "design).",
    ),
    (
        "explain beam.py:needs",
        "beam.py:needs needs a value for 'material'. Give every parameter a default; those named like an option "
        "(nelx, volume, ...) take its value.",
    ),
    ("run beam.py:wrong_shape", "beam.py:wrong_shape returned a start of shape (3,); the design has shape (4, 12)."),
    (
        "run beam.py:wrong_start",
        "beam.py:wrong_start returned a start that is a str; it must be an array of shape (4, 12).",
    ),
    ("run beam.py:empty", "the start of mine holds no material (volume 0)."),
    ("run beam.py:build", "nothing says how much material mine may use. Give --volume 0.5, or return (graph, start)."),
    ("run beam.py:build --radius 2", "beam.py:build does not take --radius; it takes: --nelx, --nely, --volume."),
    ("draw beam.py:inputless", "beam.py:inputless returned a graph without inputs; the first one is the design."),
    ("run beam.py:only_volume", "run needs a graph with the output 'volume' and an objective; thin has: volume."),
    (
        "explain beam.py:unbound",
        "The graph has 1 problem:\n1. rho: this source is used but is not an input of the graph (declared at "
        "beam.py:{def unbound}). Add it to `inputs`",
    ),
]


@pytest.mark.parametrize(("args", "sentence"), REFUSED, ids=[args for args, _ in REFUSED])
def test_a_wrong_argument_is_a_sentence(user_file: Path, args: str, sentence: str) -> None:
    result = invoke(*shlex.split(args))
    assert result.exit_code == 2
    wanted = re.sub(r"\{(.+?)\}", lambda found: str(line_of(found[1])), sentence)
    assert result.stderr.partition("Error: ")[2] == wanted + "\n"
    assert "Traceback" not in result.output
    assert not list(user_file.glob("*.svg")) and not (user_file / "runs").exists()


def test_no_sentence_is_a_file_that_is_not_python(user_file: Path) -> None:
    (user_file / "beam.txt").write_text("", encoding="utf-8")
    assert "'beam.txt' is not a Python file: its name must end in .py." in invoke("draw", "beam.txt:build").stderr
    assert "beam.py:NUMBER is not a function (its type is int)." in invoke("draw", "beam.py:NUMBER").stderr


def test_a_backend_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "is_there", lambda backend: backend != "torch")
    for command in ("run", "check"):
        result = invoke(command, "mbb", "--backend", "torch")
        assert result.exit_code == 2
        assert "backend 'torch' is not installed. Install it: pip install 'tograph[torch]'\n" in result.stderr


def test_a_failed_solve_is_a_sentence_and_exit_code_1(user_file: Path) -> None:
    result = invoke("run", "beam.py:floating", "--volume", "0.5", "--json", "--out", "own")
    assert result.exit_code == 1 and result.stdout == ""
    assert "Error: the linear solve failed: u" in result.stderr and "Traceback" not in result.stderr


def test_what_breaks_in_the_middle_has_exit_code_1(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, observers: list[Callable[..., None]], **__: object) -> None:
        observers[-1](tg.Iteration(1, np.ones(1), {}, {}, 0.2, 0.0, np.ones(1)))
        raise tg.TographError("iteration 2: compliance is not finite")

    monkeypatch.setattr(tg, "optimize", breaks)
    result = invoke("run", "mbb", *SMALL)
    assert result.exit_code == 1 and result.stderr.endswith("Error: iteration 2: compliance is not finite\n")


def test_what_is_not_finite_is_null() -> None:
    data = {"slope": np.float64("inf"), "rows": ({"value": float("nan"), "n": np.int64(3)},), "ok": True}
    assert json.loads(to_json(data)) == {"slope": None, "rows": [{"value": None, "n": 3}], "ok": True}


def test_without_a_traceback_in_a_real_process(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tograph", "run", "mbbb"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("Error: there is no problem 'mbbb'.")
