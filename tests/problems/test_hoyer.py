"""The 116 tasks of the suite: their uniform designs against published model and gradient norms, on both backends."""

from __future__ import annotations

import numpy as np
import pytest

from tograph.problems import SUITE, TASKS, Problem, hoyer

SMALL = [name for name, task in TASKS.items() if task.width * task.height <= 4096]
LARGE = [name for name in TASKS if name not in SMALL]


def errors(name: str, backend: str) -> tuple[float, float]:
    """Relative errors of compliance and gradient norm at the uniform design."""
    problem = hoyer(name)
    known = problem.reference["uniform_compliance"]
    run = problem.workflow().compile(backend).value_and_grad("compliance", wrt="rho")
    value, gradient = run(np.full(problem.grid.shape, TASKS[name].density))
    return abs(value / known["value"] - 1.0), abs(np.linalg.norm(gradient) / known["gradient_norm"] - 1.0)


@pytest.mark.parametrize("name", SMALL)
def test_uniform_designs_of_the_small_tasks(name: str) -> None:
    assert max(errors(name, "torch")) < 1e-9


@pytest.mark.parametrize("name", ["two_level_bridge_64x64_0.2", "crane_64x64_0.3", "hoop_32x64_0.25"])
def test_uniform_designs_on_jax(name: str) -> None:
    assert max(errors(name, "jax")) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LARGE if TASKS[name].width * TASKS[name].height <= 2**14])
def test_uniform_designs_of_larger_tasks(name: str) -> None:
    assert max(errors(name, "torch")) < 1e-9


def test_the_suite_is_complete() -> None:
    assert len(TASKS) == 116 and len({task.category for task in TASKS.values()}) == 28
    assert sum(task.width * task.height <= 2**13 for task in TASKS.values()) == 36
    assert all(name == task.name for name, task in TASKS.items())


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_well_formed(name: str) -> None:
    problem = hoyer(name)
    assert (problem.name, problem.suite) == (name, SUITE) and problem.description.endswith(".")
    active = 1.0 if problem.void is None else 1.0 - problem.void.mean()
    assert problem.volume == pytest.approx(TASKS[name].density * active, rel=1e-12)
    assert set(problem.reference["published"]["best"]) == {"cnn-lbfgs", "pixel-lbfgs", "mma", "oc"}


def test_void_elements_neither_carry_nor_spread_material() -> None:
    """What lies in the void does not change the result, and elements beside it are averaged as at a free edge."""
    problem = hoyer("l_shape_0.4_64x64_0.4")
    assert problem.void is not None
    program = problem.workflow().compile("torch")
    design = np.random.default_rng(0).uniform(0.1, 1.0, problem.grid.shape)
    filled = np.where(problem.void, 1.0, design)
    emptied = np.where(problem.void, 0.0, design)
    assert program(filled)["compliance"] == program(emptied)["compliance"]
    assert program(np.ones(problem.grid.shape))["volume"] == pytest.approx(1.0 - problem.void.mean(), rel=1e-12)


def test_settings_are_defaults_that_can_be_overruled() -> None:
    problem: Problem = hoyer("hoop_32x64_0.25")
    assert problem.settings == {"filter": "active density", "radius": 2.0}
    wide = problem.workflow(filter="density", radius=5.0)
    assert wide.hash != problem.workflow().hash


def test_unknown_task() -> None:
    with pytest.raises(ValueError, match="there is no task 'hoop' in the suite hoyer116"):
        hoyer("hoop")
