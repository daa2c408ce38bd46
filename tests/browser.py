"""A browser without a window, for the tests of HTML pages; they are skipped where none is installed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium with the network switched off; yields a context whose pages note their errors in `page.faults`."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on the PATH: install it (Debian: apt-get install chromium) to test the HTML pages")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = chromium.new_context(offline=True, viewport={"width": 1400, "height": 900})
        context.set_default_timeout(10_000)
        yield context
        chromium.close()
