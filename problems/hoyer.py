"""The 116 structural tasks of Hoyer et al. in 28 categories: plane stress, unit squares and thickness, E = 1, nu = 0.3.

    problem = hoyer("mbb_beam_96x32_0.5")
    graph = problem.workflow()

is the published objective: a cone filter of radius 2 that averages over the elements that are not empty, p = 3,
E_min = 1e-9. `TASKS` lists all names, and `problem.reference` holds the published numbers.

Source: Hoyer, Sohl-Dickstein and Greydanus (2019), "Neural reparameterization improves structural optimization",
arXiv:1909.04240. Forces on held dofs do nothing and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from importlib import resources
from typing import Any

import attrs

from tograph.errors import did_you_mean

from . import structures as s
from .problem import Problem
from .sketch import Sketch

SUITE = "hoyer116"
SETTINGS = {"filter": "active density", "radius": 2.0}
"""The published objective."""


@attrs.frozen
class Task:
    """One task: a category drawn at a size, and the fraction of its elements that may be solid."""

    category: str
    draw: Callable[[Sketch], None]
    width: int
    height: int
    density: float

    @property
    def name(self) -> str:
        """As published, e.g. `mbb_beam_96x32_0.5`."""
        return f"{self.category}_{self.width}x{self.height}_{self.density:g}"

    def problem(self) -> Problem:
        """The task as a problem; `volume` is a fraction of all elements, empty ones included."""
        sketch = Sketch(self.width, self.height)
        self.draw(sketch)
        described = {"name": self.name, "suite": SUITE, "reference": _published(self.name), "settings": SETTINGS}
        drawn = self.draw.func if isinstance(self.draw, partial) else self.draw
        return sketch.problem(self.density, description=str(drawn.__doc__).splitlines()[0], **described)


Sizes = tuple[tuple[int, int, float], ...]

SQUARES = ((64, 64), (128, 128), (256, 256))


def _squares(*densities: float) -> Sizes:
    """64^2, 128^2, 256^2; further densities are for 256^2."""
    sizes = (*SQUARES, *[SQUARES[-1]] * (len(densities) - 3))
    return tuple((*size, density) for size, density in zip(sizes, densities, strict=True))


CATEGORIES: tuple[tuple[str, Callable[[Sketch], None], Sizes], ...] = (
    ("mbb_beam", s.mbb_beam, ((96, 32, 0.5), (192, 64, 0.4), (384, 128, 0.3), (192, 32, 0.5), (384, 64, 0.4))),
    (
        "cantilever_beam_full",
        s.cantilever_beam_full,
        ((96, 32, 0.4), (192, 64, 0.3), (384, 128, 0.2), (384, 128, 0.15)),
    ),
    (
        "cantilever_beam_two_point",
        s.cantilever_beam_two_point,
        ((64, 48, 0.4), (128, 96, 0.3), (256, 192, 0.2), (256, 192, 0.15)),
    ),
    ("pure_bending_moment", s.pure_bending_moment, ((32, 64, 0.15), (64, 128, 0.125), (128, 256, 0.1))),
    ("ground_structure", s.ground_structure, _squares(0.12, 0.1, 0.07, 0.05)),
    (
        "michell_centered_both",
        s.michell_centered_both,
        ((32, 64, 0.12), (64, 128, 0.12), (128, 256, 0.12), (128, 256, 0.06)),
    ),
    ("michell_centered_below", s.michell_centered_below, _squares(0.12, 0.12, 0.12, 0.06)),
    ("l_shape_0.2", partial(s.l_shape, aspect=0.2), _squares(0.4, 0.3, 0.2)),
    ("l_shape_0.4", partial(s.l_shape, aspect=0.4), _squares(0.4, 0.3, 0.2)),
    ("crane", s.crane, _squares(0.3, 0.2, 0.15, 0.1)),
    ("center_support", s.center_support, _squares(0.15, 0.1, 0.1, 0.05)),
    ("column", s.column, ((32, 128, 0.3), (64, 256, 0.3), (128, 512, 0.1), (128, 512, 0.3), (128, 512, 0.5))),
    ("roof", s.roof, _squares(0.2, 0.15, 0.4, 0.2, 0.1)),
    (
        "causeway_bridge_top",
        partial(s.causeway_bridge, level=1.0),
        (*_squares(0.3, 0.2, 0.1), (128, 64, 0.3), (256, 128, 0.2)),
    ),
    ("causeway_bridge_middle", partial(s.causeway_bridge, level=0.5), _squares(0.12, 0.1, 0.08)),
    ("causeway_bridge_low", partial(s.causeway_bridge, level=0.3), _squares(0.12, 0.1, 0.08)),
    ("two_level_bridge", s.two_level_bridge, _squares(0.2, 0.16, 0.12)),
    ("free_suspended_bridge", s.free_suspended_bridge, _squares(0.15, 0.1, 0.075, 0.05)),
    ("anchored_suspended_bridge", s.anchored_suspended_bridge, _squares(0.15, 0.1, 0.075, 0.05)),
    ("canyon_bridge", s.canyon_bridge, _squares(0.16, 0.12, 0.1, 0.05)),
    ("thin_support_bridge", s.thin_support_bridge, _squares(0.3, 0.2, 0.15, 0.1)),
    ("drawbridge", s.drawbridge, _squares(0.2, 0.15, 0.1)),
    ("hoop", s.hoop, ((32, 64, 0.25), (64, 128, 0.2), (128, 256, 0.15))),
    ("dam", s.dam, _squares(0.2, 0.15, 0.05, 0.1, 0.2)),
    ("ramp", s.ramp, _squares(0.3, 0.2, 0.2, 0.1)),
    ("staircase", partial(s.staircase, flights=3), _squares(0.3, 0.2, 0.15)),
    ("staircase", partial(s.staircase, flights=6), ((128, 512, 0.15),)),
    ("staggered_points", partial(s.staggered_points, interval=16), _squares(0.3, 0.3, 0.3, 0.5)),
    (
        "staggered_points",
        partial(s.staggered_points, interval=16),
        ((64, 128, 0.3), (128, 256, 0.3), (32, 128, 0.3), (64, 256, 0.3), (128, 512, 0.3)),
    ),
    ("staggered_points", partial(s.staggered_points, interval=32), ((128, 512, 0.15),)),
    ("multistory_building", partial(s.multistory_building, storey=16), ((32, 64, 0.5),)),
    ("multistory_building", partial(s.multistory_building, storey=32), ((64, 128, 0.4),)),
    ("multistory_building", partial(s.multistory_building, storey=64), ((128, 256, 0.3), (128, 512, 0.25))),
    ("multistory_building", partial(s.multistory_building, storey=128), ((128, 512, 0.2),)),
)
"""Name, sketch, and (width, height, density) of every task, in the published order."""

TASKS: dict[str, Task] = {
    task.name: task for name, draw, sizes in CATEGORIES for task in (Task(name, draw, *size) for size in sizes)
}


def hoyer(name: str) -> Problem:
    """A task of the suite by its published name.

    Raises:
        ValueError: there is no such task.
    """
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r} in the suite {SUITE}. {did_you_mean(name, TASKS)}")
    return TASKS[name].problem()


def _published(name: str) -> dict[str, Any]:
    """Uniform compliance, and what the published methods reached."""
    numbers = _numbers()
    compliance, gradient = numbers["uniform"][name]
    reached = {kind: dict(zip(numbers["methods"], numbers[kind][name], strict=True)) for kind in ("typical", "best")}
    common = {"source": numbers["source"]}
    return {
        "uniform_compliance": {"value": compliance, "gradient_norm": gradient, **common},
        "published": {**reached, **common},
    }


@cache
def _numbers() -> dict[str, Any]:
    text = resources.files("tograph.problems").joinpath("hoyer.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
