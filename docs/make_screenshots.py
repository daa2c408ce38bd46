"""Photograph the viewer for docs/viewer.md: `python docs/make_screenshots.py` from the root of the checkout.

Needs Chromium on the PATH and the playwright package of the development extra.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from make_pictures import PICTURES, ROOT, beam, two_load_cantilever, under_way
from playwright.sync_api import sync_playwright

from tograph.draw import draw

SIZE = {"width": 1240, "height": 860}


@contextlib.contextmanager
def page_of(drawn: Path) -> Iterator[Any]:
    """The page in a browser, ready to be photographed."""
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_context(offline=True, viewport=SIZE).new_page()
        page.goto(drawn.as_uri())
        page.wait_for_selector("html[data-ready]")
        yield page
        chromium.close()


def main(folder: Path = PICTURES) -> None:
    """Write all screenshots."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(ROOT):
        path = Path(place) / "page.html"
        draw(beam(), path, of="compliance", wrt="rho")
        with page_of(path) as page:
            page.click('[data-id="E reverse of compliance"]')
            page.screenshot(path=folder / "viewer_reverse.png")
        draw(under_way("jax"), path)
        with page_of(path) as page:
            page.select_option("#overlay", "norms")
            page.click('[data-id="K reverse of compliance"]')
            page.screenshot(path=folder / "viewer_measured.png")
        draw(two_load_cantilever().workflow(weights=(1.0, 0.3), beta=4.0), path, of="compliance", wrt="rho")
        with page_of(path) as page:
            page.click("#fold")
            page.screenshot(path=folder / "viewer_groups.png")


if __name__ == "__main__":
    main()
