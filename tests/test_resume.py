"""Stages and schedules, and going on from a checkpoint: to the last bit, or refused with a sentence."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest

import tograph as tg
from test_optimizers import rods
from tograph.compiled import Function
from tograph.optimizers import (
    GCMMA,
    MMA,
    CheckpointError,
    Checkpoints,
    Geometric,
    Linear,
    OnPlateau,
    Optax,
    Scipy,
    Stage,
    TorchOptim,
    load_checkpoint,
    save_checkpoint,
)
from tograph.problems import mbb
from tograph.program import Program

# Schedules.


def followed(schedule: Any, objectives: list[float]) -> list[float]:
    state = schedule.start()
    values = [state[0]]
    for objective in objectives:
        state = schedule.after(state, objective)
        values.append(state[0])
    return values


def test_schedules() -> None:
    assert followed(Linear(1.0, 3.0, steps=4, every=2), [0.0] * 9) == [1, 1, 1.5, 1.5, 2, 2, 2.5, 2.5, 3, 3]
    assert followed(Geometric(1.0, 6.0, every=2), [0.0] * 7) == [1, 1, 2, 2, 4, 4, 6, 6]
    assert followed(Geometric(8.0, 1.0, factor=0.5), [0.0] * 4) == [8, 4, 2, 1, 1]
    plateau = OnPlateau(1.0, 4.0, patience=2, rel=0.01)
    assert followed(plateau, [9.0, 8.0, 7.99, 7.98, 9.0, 9.0, 9.0, 3.0, 3.0]) == [1, 1, 1, 1, 2, 2, 2, 4, 4, 4]
    assert plateau.settled((4.0, 2, 1.0, 0)) and not plateau.settled((2.0, 1, 1.0, 0))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Linear(1.0, 2.0, steps=0), "Linear: steps must be at least 1, got 0"),
        (lambda: Geometric(1.0, 8.0, factor=0.5), "Geometric: factor 0.5 does not lead from 1 to 8"),
        (lambda: Geometric(0.0, 8.0), "Geometric: factor 2 does not lead from 0 to 8"),
        (lambda: OnPlateau(1.0, 8.0, patience=0), "OnPlateau: patience must be at least 1, got 0"),
    ],
)
def test_schedules_that_cannot_be(made: Any, message: str) -> None:
    with pytest.raises(tg.TographError) as caught:
        made()
    assert str(caught.value) == message


def wired() -> Program:
    """A beam with penalisation and sharpness as wires."""
    beam = mbb(nelx=12, nely=4)
    graph = beam.workflow(radius=1.5, penal=tg.source("penal", default=3.0), beta=tg.source("beta", default=1.0))
    return graph.compile("torch")


WIRED = wired()


def run(program: Program, **options: Any) -> tg.Result:
    given = {"minimize": "compliance", "subject_to": ["volume <= 0.5"], "design": "rho"} | options
    return tg.optimize(program, np.full((4, 12), 0.5), **given)


CONTINUED: dict[str, Any] = {
    "stages": [
        Stage({"penal": Linear(1.0, 3.0, steps=4)}, max_iter=12),
        Stage({"penal": 3.0, "beta": Geometric(1.0, 8.0, every=4)}, max_iter=25, method="mma"),
    ]
}


def test_stages_and_schedules() -> None:
    result = run(WIRED, **CONTINUED)
    rows = result.history
    first = [row for row in rows if row["stage"] == 1]
    second = [row for row in rows if row["stage"] == 2]
    assert [row["penal"] for row in first[:6]] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.0]
    assert [row["beta"] for row in second[:9]] == [1, 1, 1, 1, 2, 2, 2, 2, 4]
    # The second stage analyses the last design of the first again, with its own parameters.
    assert second[0]["volume"] == pytest.approx(first[-1]["volume"], rel=1e-12)
    assert len(first) + len(second) == result.iterations
    assert [row["iteration"] for row in rows] == list(range(1, result.iterations + 1))
    last = WIRED(result.design, penal=3.0, beta=8.0)
    assert result.values["compliance"] == pytest.approx(float(last["compliance"]), rel=1e-12)
    assert result.method == "mma, as asked"


def test_a_stage_does_not_converge_while_a_schedule_is_under_way() -> None:
    result = run(WIRED, stages=[Stage({"penal": Linear(1.0, 2.0, steps=2, every=30)}, tol=0.05)])
    assert result.converged and result.iterations > 60
    assert result.history[25]["change"] < 0.05


def test_continuation_compiles_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = mbb(nelx=8, nely=4).workflow(penal=tg.source("penal", default=3.0)).compile("jax")
    made: list[Any] = []
    traced: list[str] = []
    begin = Function.__init__

    def counted(self: Function, *args: Any, **options: Any) -> None:
        made.append(args)
        begin(self, *args, **options)

    monkeypatch.setattr(Function, "__init__", counted)
    start = np.full((4, 8), 0.5)
    given: dict[str, Any] = {"minimize": "compliance", "subject_to": ["volume <= 0.5"], "method": "mma"}
    tg.optimize(jax, start, inputs={"penal": 1.0}, max_iter=1, **given)
    functions = list(jax._functions.values())
    before = len(made)
    with jax_compilations(traced):
        stages = [Stage({"penal": Linear(1.0, 3.0, steps=5)}, max_iter=6), Stage({"penal": 4.0}, max_iter=2)]
        tg.optimize(jax, start, stages=stages, **given)
    assert (len(made), list(jax._functions.values()), traced) == (before, functions, [])


class jax_compilations:
    """Collects the names of what JAX compiles."""

    def __init__(self, names: list[str]) -> None:
        import jax.monitoring as monitoring

        self.names, self.monitoring = names, monitoring

    def _hear(self, event: str, duration_secs: float, **_: str | int) -> None:
        if "backend_compile" in event:
            self.names.append(event)

    def __enter__(self) -> None:
        self.monitoring.register_event_duration_secs_listener(self._hear)

    def __exit__(self, *_: object) -> None:
        self.monitoring.unregister_event_duration_listener(self._hear)


def test_a_method_with_its_own_end_needs_one_function() -> None:
    with pytest.raises(tg.TographError) as caught:
        run(WIRED, method="slsqp", inputs={"beta": Geometric(1.0, 8.0)})
    assert str(caught.value) == (
        "Scipy needs one function for a whole stage, but beta changes within it. Give one stage for every value"
    )


# Checkpoints.

METHODS: list[Any] = [
    None,
    MMA(),
    GCMMA(),
    Scipy("L-BFGS-B"),
    Scipy("SLSQP"),
    Scipy("trust-constr"),
    TorchOptim("Adam", {"lr": 0.1}),
    Optax(optax.adam(0.1)),
]


def timeless(result: tg.Result) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in result.history]


class Dies(Exception):
    pass


def interrupted(at: int) -> Any:
    def observer(iteration: tg.Iteration) -> None:
        if iteration.number == at:
            raise Dies

    return observer


@pytest.mark.parametrize("method", METHODS, ids=lambda m: getattr(m, "name", type(m).__name__))
def test_resumed_is_uninterrupted_to_the_last_bit(method: Any, tmp_path: Path) -> None:
    free = getattr(method, "name", "") == "L-BFGS-B" or isinstance(method, TorchOptim | Optax)
    bounds = [] if free else ["size <= 1"]
    options: dict[str, Any] = {"subject_to": bounds, "method": method, "max_iter": 12, "tol": 1e-9}
    program, start = rods(lower=0.01), np.array([1.0, 2.0, 0.5, 0.2])

    def go(**more: Any) -> tg.Result:
        return tg.optimize(program, start, minimize="cost", **options, **more)

    whole = go()
    path = tmp_path / "checkpoint"
    at = min(4, whole.iterations - 1)
    with pytest.raises(Dies):
        go(observers=[Checkpoints(path, share=1.0), interrupted(at)])
    checkpoint = load_checkpoint(path)
    assert checkpoint.position.number == at
    rest = go(resume=checkpoint)
    assert timeless(rest) == timeless(whole)
    np.testing.assert_array_equal(rest.design, whole.design)
    np.testing.assert_array_equal(rest.best_design, whole.best_design)
    told = ("values", "iterations", "converged", "why", "method", "kkt", "evaluations", "extra_evaluations")
    assert [getattr(rest, name) for name in told] == [getattr(whole, name) for name in told]


@pytest.mark.parametrize("at", [3, 12, 13, 20])
def test_resumed_within_and_between_stages(at: int, tmp_path: Path) -> None:
    whole = run(WIRED, **CONTINUED)
    with pytest.raises(Dies):
        run(WIRED, **CONTINUED, observers=[Checkpoints(tmp_path / "c", share=1.0), interrupted(at)])
    rest = run(WIRED, **CONTINUED, resume=load_checkpoint(tmp_path / "c"))
    assert timeless(rest) == timeless(whole)
    np.testing.assert_array_equal(rest.design, whole.design)


def test_a_finished_run_resumes_to_its_result(tmp_path: Path) -> None:
    whole = run(WIRED, max_iter=5, observers=[Checkpoints(tmp_path / "c")])
    again = run(WIRED, max_iter=5, resume=load_checkpoint(tmp_path / "c"))
    assert timeless(again) == timeless(whole) and again.why == whole.why
    np.testing.assert_array_equal(again.design, whole.design)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    run(WIRED, max_iter=3, observers=[Checkpoints(tmp_path / "c")])
    checkpoint = load_checkpoint(tmp_path / "c")
    for options, word in (
        ({"subject_to": ["volume <= 0.4"]}, "its constraints is volume <= 0.5, here it is volume <= 0.4"),
        ({"method": "mma"}, "its stages is "),
        ({"inputs": {"beta": 2.0}}, "its stages is "),
    ):
        with pytest.raises(CheckpointError) as caught:
            run(WIRED, max_iter=3, resume=checkpoint, **options)
        assert word in str(caught.value) and str(caught.value).startswith("the checkpoint belongs to another run: ")


def test_damage_is_noticed_and_the_previous_one_offered(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    run(WIRED, max_iter=4, observers=[Checkpoints(path, share=1.0)])
    good = path.read_bytes()
    previous = f"The one before it, of iteration 3, is good: {path}.previous"
    for i in (len(good) // 2, len(good) - 1, 60):
        path.write_bytes(good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :])
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(path)
        damaged = f"the checkpoint {path} is damaged: its contents are not those that were written"
        assert str(caught.value) == f"{damaged}. {previous}"
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(path)
    path.write_bytes(b"PK something else")
    with pytest.raises(CheckpointError, match="is no checkpoint of this version of tograph"):
        load_checkpoint(path)
    path.unlink()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(caught.value) == f"cannot read the checkpoint {path}: No such file or directory. {previous}"
    assert load_checkpoint(f"{path}.previous").position.number == 3
    with pytest.raises(CheckpointError, match=r"^cannot read the checkpoint .*/none: No such file or directory$"):
        load_checkpoint(tmp_path / "none")


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / "checkpoint"
    run(WIRED, max_iter=2, observers=[Checkpoints(path, share=1.0)])
    good = load_checkpoint(path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if where == "fsync" else Path, where, full)
    with pytest.raises(CheckpointError) as caught:
        save_checkpoint(path, good)
    monkeypatch.undo()
    told = f"cannot write the checkpoint of iteration 2 to {path}: No space left on device"
    assert str(caught.value) == f"{told}. The one before it is kept"
    assert load_checkpoint(path).position.number == 2
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint", "checkpoint.previous"}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        run(WIRED, max_iter=2, observers=[Checkpoints(tmp_path / "no" / "c")])
    told = f"cannot write the checkpoint of iteration 1 to {tmp_path}/no/c: No such file or directory"
    assert str(caught.value) == f"{told}. There is none before it"


def test_a_state_that_is_no_plain_data(tmp_path: Path) -> None:
    class Strange:
        def findings(self, problem: Any) -> list[str]:
            return []

        def init(self, problem: Any, design: Any) -> Any:
            return object()

        def step(self, problem: Any, point: Any, state: Any) -> Any:
            return point.design.copy(), state

    with pytest.raises(CheckpointError, match="the state of a method must be plain data, and holds a object"):
        run(WIRED, method=Strange(), observers=[Checkpoints(tmp_path / "c")])


@pytest.mark.slow
def test_kill_at_random_moments(tmp_path: Path, root: Path, rng: np.random.Generator) -> None:
    command = [sys.executable, str(root / "tests" / "benchmarks" / "kill.py"), "--kills", "5", "--seed", "7"]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "5 of 5 resumed runs end with the identical design" in done.stdout
