"""Many runs: planned at once, computed once, resumed, and given to another worker when one is lost."""

from __future__ import annotations

import csv
import json
import os
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import tograph as tg
from tograph.cli import main
from tograph.optimizers import HistoryLines
from tograph.problems import PROBLEMS, mbb
from tograph.runs import RECIPES, Setup, carry_out, recipe, sweep
from tograph.runs.job import Job, grid_of
from tograph.runs.recipes import parameters_of
from tograph.runs.sweep import Sweep, planned
from tograph.runs.table import csv_of, summary_of, text_of

SMALL: dict[str, Any] = {"nelx": 12, "nely": 4, "max_iter": 4}
HERE: dict[str, Any] = {"backend": "torch", "workers": 0}


@pytest.fixture(autouse=True)
def same_registries() -> Iterator[None]:
    recipes, problems = dict(RECIPES), dict(PROBLEMS)
    yield
    for registry, before in ((RECIPES, recipes), (PROBLEMS, problems)):
        registry.clear()
        registry.update(before)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One problem, three methods."""
    folder = tmp_path_factory.mktemp("sweep") / "study"
    found = sweep(["mbb"], ["oc", "mma", "pixel-lbfgs"], folder=folder, parameters=SMALL, **HERE)
    return found


def test_every_combination_is_run_and_left_in_the_folder(study: Any) -> None:
    assert study.computed == len(study.rows) == 3
    assert [(row["case"], row["variant"]) for row in study.rows] == [("mbb", m) for m in ("oc", "mma", "pixel-lbfgs")]
    for row in study.rows:
        place = study.folder / row["folder"]
        with np.load(place / "design.npz") as arrays:
            assert arrays["design"].shape == arrays["density"].shape == (4, 12)
        graph = tg.Graph.from_dict(json.loads((place / "graph.json").read_text(encoding="utf-8")))
        with (place / "history.csv").open(encoding="utf-8") as file:
            history = list(csv.DictReader(file))
        assert len(history) == row["iterations"] == SMALL["max_iter"]
        assert row["objective"] <= min(float(entry["compliance"]) for entry in history) * 1.2
        design = np.load(place / "design.npz")["design"]
        again = graph.compile("torch")(**{graph.input_names[0]: design})
        assert float(again["compliance"]) == pytest.approx(row["objective"], rel=1e-12)
    for name in ("table.csv", "table.json", "table.txt", "designs.png", "convergence.png"):
        assert (study.folder / name).stat().st_size > 100
    assert not (study.folder / "profile.png").exists()  # for four cases and more


def test_nothing_is_computed_twice(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(Job, "setup", property(Job.setup.func))  # type: ignore[attr-defined]
    again = sweep(
        ["mbb"],
        ["oc", "mma"],
        folder=study.folder,
        parameters={**SMALL, "max_iter": [4, 5]},
        report=lambda ready, count, row: seen.append((ready, count, row["variant"])),
        **HERE,
    )
    assert again.computed == 2
    labels = ["oc max_iter=4", "mma max_iter=4", "oc max_iter=5", "mma max_iter=5"]
    assert seen == [(i, 4, label) for i, label in enumerate(labels, 1)]
    assert [row["objective"] for row in again.rows[::2]] == [row["objective"] for row in study.rows[:2]]


def test_another_recipe_of_the_same_name_is_another_run() -> None:
    keys = []
    for radius in (1.5, 2.0):
        RECIPES.pop("mine", None)

        @recipe("mine")
        def mine(problem: Any, *, seed: int = 0, radius: float = radius) -> Setup:
            return Setup(graph=problem.workflow(radius=radius), start=problem.uniform(), subject_to=["volume <= 0.5"])

        keys += [Job("mbb", "mine").key, Job("mbb", "mine", seed=1).key]
    assert len(set(keys)) == 4


def test_a_run_that_was_interrupted_goes_on(study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = HistoryLines.__call__
    numbers: list[int] = []

    def interrupted(self: HistoryLines, iteration: tg.Iteration) -> None:
        numbers.append(iteration.number)
        write(self, iteration)
        if len(numbers) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(HistoryLines, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(["mbb"], ["mma"], folder=tmp_path, parameters=SMALL, **HERE)
    [row] = sweep(["mbb"], ["mma"], folder=tmp_path, parameters=SMALL, **HERE).rows
    assert numbers == [1, 2, 3, 4]
    assert row["objective"] == study.rows[1]["objective"]


def test_a_damaged_checkpoint_begins_the_run_anew(tmp_path: Path) -> None:
    job = Job("mbb", "oc", SMALL, backend="torch")
    (tmp_path / job.folder).mkdir()
    (tmp_path / job.folder / "checkpoint").write_bytes(b"tograph checkpoint 1\nnonsense")
    assert carry_out.carry_out(job, tmp_path, job.key)["iterations"] == 4


def test_what_is_wrong_is_said_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(tg.TographError) as caught:
        sweep(["mbbb"], ["oc"], folder=tmp_path / "a", **HERE)
    assert str(caught.value).startswith("this sweep cannot be run:\n- there is no problem 'mbbb'. Did you mean 'mbb'")
    with pytest.raises(tg.TographError) as caught:
        sweep(["mbb"], ["oc", "mmma"], folder=tmp_path / "a", parameters={"radus": 2.0, "adam.lr": 1.0}, **HERE)
    lines = str(caught.value).splitlines()
    assert lines[1] == "- the parameter 'adam.lr' is for 'adam', which is not among the methods"
    assert lines[2].startswith("- neither 'mbb' nor 'oc' takes a parameter 'radus'. Did you mean 'radius'?")
    assert lines[3].startswith("- there is no method 'mmma'. Did you mean 'mma'")
    with pytest.raises(tg.TographError, match=r"- mbb, oc filter=cone: there is no filter 'cone'"):
        sweep(["mbb"], ["oc"], folder=tmp_path / "a", parameters={"filter": "cone"}, **HERE)
    with pytest.raises(tg.TographError, match="nothing to run"):
        sweep([], ["oc"], folder=tmp_path / "a", **HERE)
    assert not (tmp_path / "a").exists()


def test_a_run_that_fails_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    @recipe("fails")
    def fails(problem: Any) -> Setup:
        return Setup(graph=problem.workflow(), start=problem.uniform(), method="newton-cg")

    found = sweep(["mbb"], ["fails", "oc"], folder=tmp_path, parameters={"nelx": 12, "nely": 4}, **HERE)
    assert "Newton-CG knows no bounds" in found.rows[0]["error"]
    assert found.rows[1]["error"] is None
    assert "Newton-CG knows no bounds" in found.table() and "nan" not in found.table()


def test_recipes_that_are_not_the_same_twice_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    @recipe("random")
    def random(problem: Any) -> Setup:
        return Setup(graph=problem.workflow(), start=rng.uniform(size=problem.grid.shape))

    row = carry_out.carry_out(Job("mbb", "random"), tmp_path, Job("mbb", "random").key)
    assert row["error"].startswith("the recipe 'random' makes another setup each time")
    with pytest.raises(tg.TographError, match="there is a recipe 'oc' already"):
        recipe("oc")(lambda problem: Setup(graph=problem.workflow(), start=0.5))


def test_parameters() -> None:
    assert {"nelx", "nely"} <= set(parameters_of(mbb))
    assert {"move", "max_iter", "tol", "radius", "penal", "beta"} <= set(parameters_of(RECIPES["mma"]))
    assert not {"problem", "rho", "solver"} & set(parameters_of(RECIPES["mma"]))
    assert grid_of({"a": [1, 2], "oc.b": [3, 4], "mma.c": 5}, "oc") == [
        {"a": a, "b": b} for a in (1, 2) for b in (3, 4)
    ]


def _row(case: str, variant: str, objective: float, seed: int | None = None, error: str | None = None) -> Any:
    values = dict.fromkeys(("volume", "grey", "iterations", "evaluations"), 0.5)
    about: dict[str, Any] = {
        "case": case,
        "variant": variant,
        "problem": case,
        "method": variant,
        "parameters": {},
        "seed": seed,
    }
    return about | values | {"objective": objective, "seconds": 1.0, "error": error, "backend": "jax"}


def test_summary() -> None:
    rows = [
        _row("a", "x", 100.0),
        _row("b", "x", 210.0),
        _row("a", "y", 110.0, seed=0),
        _row("a", "y", 100.5, seed=1),
        _row("b", "y", 200.0, seed=0),
        _row("b", "y", float("nan"), seed=1, error="the linear solve failed"),
    ]
    x, y = sorted(summary_of(rows), key=lambda entry: entry["method"])
    assert (x["runs"], x["failed"], x["best"], x["good"]) == (2, 0, 1, 1)
    assert (y["runs"], y["failed"], y["best"], y["good"]) == (4, 1, 1, 2)
    assert x["median"] == pytest.approx(0.025) and x["worst"] == pytest.approx(0.05)
    assert y["median"] == pytest.approx(0.005) and y["worst"] == pytest.approx(0.1)
    text = text_of(rows)
    assert "the linear solve failed" in text and "5.00 %" in text
    assert csv_of(rows).splitlines()[0].startswith("problem,method,seed,backend,objective,behind")


LETHAL = """
import os
from pathlib import Path

from tograph.runs import RECIPES, recipe

MARK = Path({mark!r})


@recipe("once")
def once(problem, *, max_iter=4):
    if os.getpid() != {pid} and not MARK.exists():
        MARK.touch()
        os.kill(os.getpid(), 9)
    return RECIPES["oc"](problem, max_iter=max_iter)


@recipe("always")
def always(problem):
    if os.getpid() != {pid}:
        os.kill(os.getpid(), 9)
    return RECIPES["oc"](problem)
"""


@pytest.mark.slow
def test_a_lost_worker_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "lethal.py"
    file.write_text(LETHAL.format(mark=str(tmp_path / "mark"), pid=os.getpid()), encoding="utf-8")
    found = sweep(
        ["mbb"],
        ["once", "always"],
        folder=tmp_path / "out",
        parameters={"nelx": 12, "nely": 4},
        files=[file],
        backend="jax",
        workers=1,
        retries=1,
    )
    once, always = found.rows
    assert once["iterations"] == 4 and once["error"] is None
    assert always["error"].startswith("its workers were lost (killed, or out of memory); see workers.log")


@pytest.mark.parametrize("options", [[], ["--named"]])
def test_what_the_benchmark_of_the_suite_asks_for_can_be_run(
    options: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Path
) -> None:
    benchmark = runpy.run_path(str(root / "tests" / "benchmarks" / "suite.py"))
    asked: list[Job] = []

    def planned_only(
        problems: Any, methods: Any, *, parameters: Any = None, seeds: Any = (0,), backend: str, **_: Any
    ) -> Any:
        asked.extend(planned(problems, methods, parameters or {}, seeds, backend))
        return Sweep(tmp_path, (), 0)

    task = "hoop_32x64_0.25"
    for name, value in {"sweep": planned_only, "NAMED": {task: (0.0, 0.0, 0.0)}}.items():
        monkeypatch.setitem(benchmark["run"].__globals__, name, value)
    monkeypatch.setattr("sys.argv", ["suite", "--elements", "2048", *options])
    benchmark["run"]([task], benchmark["arguments"]())
    assert {job.method for job in asked} >= {"oc", "mma", "cnn-lbfgs"}
    assert len({job.key for job in asked}) == (10 if options else 8)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_on_a_dask_cluster(study: Any, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        address = cluster.scheduler_address
        found = sweep(["mbb"], ["oc"], folder=tmp_path, parameters=SMALL, backend="torch", scheduler=address)
    assert found.rows[0]["objective"] == study.rows[0]["objective"]


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [word for text in ("nelx=12", "nely=4", "max_iter=2,3") for word in ("--set", text)]
    words = ["sweep", "mbb", "--methods", "oc", *settings, "--backend", "torch", "--workers", "0"]
    done = CliRunner().invoke(main, [*words, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["computed"] == 2 and [row["variant"] for row in found["runs"]] == ["oc max_iter=2", "oc max_iter=3"]
    assert "1/2  mbb  oc max_iter=2" in done.stderr
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 0 and "0 of 2 runs computed" in again.stdout
    for wrong, sentence in (
        (["--set", "nelx"], "'nelx' does not read NAME=VALUE"),
        (["--seeds", "a"], "'a' is not a whole number"),
        (["--methods", "occ"], "there is no method 'occ'. Did you mean 'oc'"),
    ):
        refused = CliRunner().invoke(main, ["sweep", "mbb", *wrong])
        assert refused.exit_code == 2 and sentence in refused.stderr
