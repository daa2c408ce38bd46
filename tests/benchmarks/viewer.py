"""How fast a page opens, and how large it is.

    python tests/benchmarks/viewer.py --json viewer.json
    tograph bench viewer

For graphs of 100, 1000 and 10,000 nodes, in chains that branch: seconds of the processor to make the page, its size,
seconds in the browser from the request to the first picture, how many boxes are then drawn, and, up to 1000 nodes,
seconds to expand everything. Needs Chromium on the PATH.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from playwright.sync_api import sync_playwright

import tograph as tg
from tograph import nodes as n
from tograph.draw import Drawing

SIZES = (100, 1000, 10_000)
EXPAND = "() => { const t = Date.now(); document.getElementById('unfold').click(); return Date.now() - t }"


def graph(count: int) -> tg.Graph:
    """So many nodes, every third with two inputs."""
    x = tg.source("x", n.Grid(3, 2).field())
    y = before = x
    for i in range(count - 1):
        before, y = y, (y * before if i % 3 == 2 else n.Heaviside(beta=2.0)(y))
    return tg.Graph([x], {"v": n.VolumeFraction()(y)}, name=f"{count} nodes")


def measured(browser: Any, count: int, folder: Path) -> dict[str, Any]:
    """One row."""
    path, made = folder / f"{count}.html", graph(count)
    began = time.process_time()
    Drawing(tg.draw(made).diagram).save(path)
    row: dict[str, Any] = {"nodes": count, "made s": time.process_time() - began, "kB": path.stat().st_size / 1e3}
    page = browser.new_page()
    began = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    row["open s"] = time.perf_counter() - began
    row["in the page s"] = page.evaluate("performance.now()") / 1e3
    row["boxes"] = page.locator(".box").count()
    if count <= 1000:
        row["expand s"] = page.evaluate(EXPAND) / 1e3
    page.close()
    return row


def main() -> None:
    """Print a line per size; write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        program = shutil.which("chromium")
        if program is None:
            sys.exit("no Chromium on the PATH")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for count in asked.sizes:
            rows.append(measured(browser, count, Path(folder)))
            print(
                "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()),
                flush=True,
            )
        browser.close()
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
