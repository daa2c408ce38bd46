"""Our method and the four published ones on the tasks of Hoyer et al.; goes on where it was stopped.

tograph bench suite
tograph bench suite -- --elements 8192 --folder runs/suite --png suite_ours.png --gallery suite_gallery.png
tograph bench suite -- --named --folder runs/suite
tograph bench suite -- --there --elements 65536 --folder runs/suite

Published: "best" is the lowest compliance of four methods over about 100 seeds each, "typical" the lowest of their
median runs, both after 1000 steps (arXiv:1909.04240). Ours is the best of the seeds, at most 450 evaluations each; the
published methods run here for 100 evaluations, CNN-LBFGS once, or as the median of the seeds that were run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tograph.problems import hoyer
from tograph.problems.hoyer import TASKS
from tograph.runs import sweep
from tograph.runs.figures import save
from tograph.runs.sweep_figures import designs_figure

OURS = "coarse-to-fine"
METHODS = ("oc", "mma", "pixel-lbfgs", "cnn-lbfgs")
EVALUATIONS = 100
SETTINGS = {f"{method}.max_iter": EVALUATIONS for method in METHODS} | {"oc.tol": 0.0, "mma.tol": 0.0}
NAMED: dict[str, tuple[float, float, float]] = {
    "mbb_beam_96x32_0.5": (207.8, 209.9, 210.7),
    "cantilever_beam_full_96x32_0.4": (254.2, 256.9, 258.1),
    "cantilever_beam_two_point_64x48_0.4": (87.9, 88.1, 89.9),
    "michell_centered_both_32x64_0.12": (52.0, 55.9, 55.1),
    "l_shape_0.4_64x64_0.4": (243.0, 224.4, 224.8),
    "roof_64x64_0.2": (13.2, 10.3, 10.5),
    "causeway_bridge_top_128x64_0.3": (21.9, 21.3, 21.1),
}
"""What the authors' code reaches in 100 evaluations: CNN-LBFGS with its seed 0, MMA, OC."""
COLOURS = {
    OURS: "black",
    "cnn-lbfgs": "#c1121f",
    "mma": "#0b3c5d",
    "oc": "#2a7f4f",
    "pixel-lbfgs": "#e07a1f",
}
USUAL = 0.2
"""The move of MMA that is compared, which is the recipe's."""
MOVES = (0.1, USUAL, 0.3, 0.5)
"""Those on the named tasks."""
SMALL = 2**13
FEW = 4
"""Runs from which on a method has a curve."""
GALLERY = (
    "michell_centered_both_32x64_0.12",
    "cantilever_beam_full_96x32_0.4",
    "cantilever_beam_two_point_64x48_0.4",
    "anchored_suspended_bridge_64x64_0.15",
    "l_shape_0.4_64x64_0.4",
    "roof_64x64_0.2",
    "crane_64x64_0.3",
    "causeway_bridge_top_128x64_0.3",
)
Row = dict[str, Any]


def elements(name: str) -> int:
    return hoyer(name).grid.n_elements


def published(name: str, kind: str) -> dict[str, float]:
    found: dict[str, float] = hoyer(name).reference["published"][kind]
    return found


def there(folder: Path, names: Sequence[str], seeds: Sequence[int]) -> list[Row]:
    """What is finished in a folder of runs; of our method, with these seeds."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/result.json"))]
    return [row for row in rows if row["problem"] in names and (row["method"] != OURS or row["seed"] in seeds)]


def plain(row: Row) -> bool:
    """Whether a run is one of those that are compared: MMA with its usual move, not another."""
    return bool(row["error"] is None and move(row) == USUAL)


def move(row: Row) -> float:
    """Of MMA; what has none counts as with the usual one."""
    return float(row["parameters"].get("move", USUAL))


def compared(rows: Iterable[Row], names: Sequence[str]) -> list[Row]:
    """One row per task that ours was run on, the smallest first: what was reached here, and what is published."""
    runs: dict[tuple[str, str], list[Row]] = {}
    for row in filter(plain, rows):
        runs.setdefault((row["problem"], row["method"]), []).append(row)
    found = []
    for name in sorted(names, key=lambda name: (elements(name), name)):
        if (name, OURS) not in runs:
            continue
        ours = min(runs[name, OURS], key=lambda row: row["objective"])
        here = {
            method: float(np.median([row["objective"] for row in runs[name, method]]))
            for method in METHODS
            if (name, method) in runs
        }
        found.append(
            {
                "task": name,
                "elements": elements(name),
                "volume": max(row["volume"] for (task, _), of in runs.items() if task == name for row in of)
                / hoyer(name).volume
                - 1.0,
                "seed": ours["seed"],
                "cpu_seconds": sum(row["cpu_seconds"] for row in runs[name, OURS]),
                "reached": {OURS: ours["objective"], **here},
                **{kind: published(name, kind) for kind in ("typical", "best")},
            }
        )
    return found


def excess(row: Row, value: float | None, kind: str = "best") -> float:
    """How far a compliance is above (below: negative) the lowest published one, relatively."""
    return float("nan") if value is None else value / min(row[kind].values()) - 1.0


def table(rows: Sequence[Row]) -> str:
    """Markdown, one line per task: ours, and how far each is above the published best."""
    here = [method for method in METHODS if any(method in row["reached"] for row in rows)]
    lines = [
        "| " + " | ".join(["task", "ours", "way", "against typical", "against best", *(f"`{m}`" for m in here)]) + " |",
        "|---|---|---|---|---|" + "---|" * len(here),
    ]
    for row in rows:
        ours = row["reached"][OURS]
        gaps = [excess(row, ours, "typical"), *(excess(row, row["reached"].get(m)) for m in (OURS, *here))]
        cells = ["" if np.isnan(gap) else f"{100 * gap:+.1f} %" for gap in gaps]
        lines.append(f"| `{row['task']}` | {ours:.5g} | {row['seed']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def curves(rows: Sequence[Row]) -> list[tuple[str, str, np.ndarray]]:
    """(method, "here" or "published", how far above the best in every task that it was run on)."""
    made = []
    for method in (OURS, *METHODS):
        gaps = [excess(row, row["reached"][method]) for row in rows if method in row["reached"]]
        if len(gaps) >= FEW:
            made.append((method, "here", np.array(gaps)))
    for method in METHODS:
        made.append((method, "published", np.array([excess(row, row["typical"][method]) for row in rows])))
    return made


def errors(rows: Sequence[Row]) -> str:
    """Markdown, one line per method: relative errors against the published best over the tasks."""
    lines = [
        "| method | tasks | median | mean | within 1 % of the best | at or below it |",
        "|---|---|---|---|---|---|",
    ]
    said = {"here": f"`{{}}`, {EVALUATIONS} evaluations", "published": "`{}`, published, 1000 steps"}
    for method, where, gaps in curves(rows):
        name = f"ours, `{OURS}`" if method == OURS else said[where].format(method)
        near = f"{(gaps <= 0.01).sum()} | {(gaps <= 0.0).sum()}"
        lines.append(f"| {name} | {gaps.size} | {100 * np.median(gaps):.1f} % | {100 * gaps.mean():.1f} % | {near} |")
    return "\n".join(lines)


def figure(rows: Sequence[Row]) -> Figure:
    """In what share of the tasks a method is at most so far above the published best, small and larger tasks."""
    parts = {
        f"{{}} of 36 tasks of up to {SMALL} elements": [row for row in rows if row["elements"] <= SMALL],
        "{} of 80 larger tasks": [row for row in rows if row["elements"] > SMALL],
    }
    shown = {title.format(len(some)): some for title, some in parts.items() if some}
    made = Figure(figsize=(5.4 * len(shown), 4.2), layout="constrained")
    panels = made.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, (title, some) in zip(panels, shown.items(), strict=True):
        _profile(axes, some)
        axes.set_title(title, fontsize=10)
    panels[0].set_ylabel("share of the tasks (%)")
    return made


def _profile(axes: Axes, rows: Sequence[Row]) -> None:
    for method, where, gaps in curves(rows):
        ours, here = method == OURS, where == "here"
        said = (
            "ours, best of its ways" if ours else f"{method}, {f'{EVALUATIONS} evaluations' if here else 'published'}"
        )
        axes.step(
            100.0 * np.sort(gaps),
            100.0 * np.arange(1, gaps.size + 1) / gaps.size,
            where="post",
            label=said if gaps.size == len(rows) else f"{said} ({gaps.size} tasks)",
            color=COLOURS[method],
            linestyle="-" if here else "--",
            linewidth=2.4 if ours else 1.3,
        )
    axes.axvline(0.0, color="0.7", linewidth=0.8)
    axes.set(xlim=(-3.0, 30.0), ylim=(0.0, 100.0), xlabel="compliance above the published best (%)")
    axes.legend(loc="lower right", fontsize=7.5, frameon=False)


def gallery(rows: Iterable[Row], folder: Path) -> Figure:
    """The best designs of some tasks (rows) by every method (columns)."""
    order = (OURS, *METHODS)
    shown = [row for row in filter(plain, rows) if row["problem"] in GALLERY]
    shown.sort(key=lambda row: (GALLERY.index(row["problem"]), order.index(row["method"])))
    titled = [{**row, "case": row["problem"].replace("_", " "), "variant": row["method"]} for row in shown]
    return designs_figure(titled, folder)


def named(rows: Iterable[Row]) -> str:
    """Markdown: the named tasks, each cell ours and in brackets what the authors' code reaches."""
    good = [row for row in rows if row["error"] is None]
    columns = {
        "`cnn-lbfgs`": (0, "cnn-lbfgs", USUAL),
        **{f"`mma`, move {moved:g}": (1, "mma", moved) for moved in MOVES},
        "`oc`": (2, "oc", USUAL),
    }
    lines = ["| task | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for task, wanted in NAMED.items():
        cells = []
        for at, *column in columns.values():
            mine = [row for row in good if row["problem"] == task and [row["method"], move(row)] == column]
            values = [row["objective"] for row in mine]
            spread = f", {min(values):.4g} to {max(values):.4g}" if len(values) > 1 else ""
            cells.append(f"{np.median(values):.5g} ({wanted[at]:g}{spread})" if values else "")
        lines.append(f"| `{task}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run(names: Sequence[str], given: argparse.Namespace) -> list[Row]:
    """Compute what is not there yet, the smallest tasks first."""
    common: Any = {"folder": given.folder, "backend": given.backend, "workers": given.workers}
    ordered = sorted(names, key=lambda name: (elements(name), name))
    if given.named:
        methods = ("oc", "mma", "cnn-lbfgs")
        settings = {key: value for key, value in SETTINGS.items() if key.startswith(methods)} | {"mma.move": [*MOVES]}
        return list(sweep(list(NAMED), methods, parameters=settings, seeds=range(5), **common).rows)
    rows = [*sweep(ordered, [OURS], seeds=given.seeds, **common).rows]
    return [*rows, *sweep(ordered, METHODS, parameters={**SETTINGS, "mma.move": USUAL}, **common).rows]


def tell(rows: list[Row]) -> None:
    """The tables, and what is said beneath them."""
    print(table(rows), "", errors(rows), sep="\n")
    for kind in ("typical", "best"):
        below = sum(excess(row, row["reached"][OURS], kind) <= 0.0 for row in rows)
        print(f"ours at or below the {kind} published compliance: {below} of {len(rows)}")
    print(f"largest volume over its bound, relatively: {max(row['volume'] for row in rows):.1e}")


def numbers(text: str) -> list[int]:
    """0,1,2 -> a list."""
    return [int(number) for number in text.split(",")]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=SMALL, help="tasks of up to so many elements")
    parser.add_argument("--named", action="store_true", help="the table of named tasks after 100 evaluations")
    parser.add_argument("--there", action="store_true", help="take what is finished in the folder, compute nothing")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2, 3], help="of our method, e.g. 0,1,2")
    parser.add_argument("--folder", type=Path, default=Path("runs", "suite"))
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--workers", type=int, help="processes; by default one per core")
    for option in ("--json", "--png", "--gallery"):
        parser.add_argument(option, type=Path)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    names = [name for name in TASKS if elements(name) <= given.elements]
    rows = there(given.folder, names, given.seeds) if given.there else run(names, given)
    if given.named:
        print(named(rows))
        return
    tell(found := compared(rows, names))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if given.png:
        save(figure(found), given.png)
    if given.gallery:
        save(gallery(rows, given.folder), given.gallery)


if __name__ == "__main__":
    main()
