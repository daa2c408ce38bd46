"""Our method on the tasks of Hoyer et al., against what they published; goes on where it was stopped.

tograph bench suite
tograph bench suite -- --elements 8192 --seeds 0,1,2,3 --folder runs/ours --json suite.json --png suite_ours.png

Published: "best" is the lowest compliance of four methods over about 100 seeds each, "typical" the lowest of their
median runs, both after 1000 steps (arXiv:1909.04240). Ours is the best of the seeds, at most 450 evaluations each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tograph.problems import hoyer
from tograph.problems.hoyer import TASKS
from tograph.runs import sweep

METHOD = "coarse-to-fine"


def elements(name: str) -> int:
    return hoyer(name).grid.n_elements


def compared(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per task: ours, and the published numbers."""
    found = []
    for name in dict.fromkeys(row["problem"] for row in rows):
        runs = [row for row in rows if row["problem"] == name and row["objective"] is not None]
        if not runs:
            continue
        ours = min(runs, key=lambda row: row["objective"])
        published = hoyer(name).reference["published"]
        found.append(
            {
                "task": name,
                "elements": elements(name),
                "ours": ours["objective"],
                "volume": ours["volume"],
                "bound": hoyer(name).volume,
                "seed": ours["seed"],
                "runs": len(runs),
                "cpu_seconds": sum(row["cpu_seconds"] for row in runs),
                **{kind: published[kind] for kind in ("typical", "best")},
            }
        )
    return found


def excess(row: dict[str, Any], kind: str) -> float:
    """How far ours is above (below: negative) the lowest published one, relatively."""
    return float(row["ours"] / min(row[kind].values()) - 1.0)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, the smallest tasks first."""
    lines = ["| task | ours | way | against typical | against best |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: (row["elements"], row["task"])):
        typical, best = (f"{100 * excess(row, kind):+.1f} %" for kind in ("typical", "best"))
        lines.append(f"| `{row['task']}` | {row['ours']:.5g} | {row['seed']} | {typical} | {best} |")
    return "\n".join(lines)


def figure(rows: list[dict[str, Any]]) -> Figure:
    """In what share of the tasks a method is at most so far above the published best."""
    made = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = made.add_subplot()
    curves = {"ours, best of four ways": [row["ours"] for row in rows]}
    for method in rows[0]["typical"]:
        curves[f"{method}, typical run"] = [row["typical"][method] for row in rows]
    best = np.array([min(row["best"].values()) for row in rows])
    styles = ["-", "--", "-.", ":", (0, (1, 3))]
    for (label, values), style in zip(curves.items(), styles, strict=True):
        above = np.sort(100.0 * (np.array(values) / best - 1.0))
        share = np.arange(1, above.size + 1) / above.size
        axes.step(
            above, 100.0 * share, where="post", label=label, linestyle=style, linewidth=2.4 if style == "-" else 1.4
        )
    axes.axvline(0.0, color="0.7", linewidth=0.8)
    axes.set(
        xlim=(-3.0, 30.0),
        ylim=(0.0, 100.0),
        xlabel="compliance above the published best (%)",
        ylabel="share of the tasks (%)",
    )
    axes.set_title(f"{len(rows)} tasks of Hoyer et al.", fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=8192, help="tasks of up to so many elements")
    parser.add_argument("--seeds", default="0,1,2,3")
    parser.add_argument("--folder", default="runs/ours")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    given = parser.parse_args()

    tasks = sorted((name for name in TASKS if elements(name) <= given.elements), key=elements)
    seeds = [int(seed) for seed in given.seeds.split(",")]
    rows = compared(sweep(tasks, [METHOD], seeds=seeds, folder=given.folder, backend=given.backend).rows)
    print(table(rows))
    for kind in ("typical", "best"):
        print(
            f"at or below the {kind} published compliance: {sum(excess(row, kind) <= 0 for row in rows)} of {len(rows)}"
        )
    print(f"within 1 % of the best: {sum(excess(row, 'best') <= 0.01 for row in rows)} of {len(rows)}")
    print(f"largest volume over its bound: {max(row['volume'] - row['bound'] for row in rows):.1e}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if given.png:
        FigureCanvasAgg(made := figure(rows))
        made.savefig(given.png, dpi=110)


if __name__ == "__main__":
    main()
