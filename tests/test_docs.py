"""The documentation runs: every Python block, page by page from top to bottom, in an empty folder.

A ```text block that follows a Python block is what that block prints. Numbers must agree to the digits shown, words
must be the same; `...` stands for anything, over several lines if it has a line of its own. File names with
line numbers, as in `beam.py:12`, all count as the same.
"""

import contextlib
import io
import math
import re
import runpy
import shlex
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import jax
import pytest

from tograph.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NUMBER = r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?(?![\w.])"
PLACE = r"[\w/.\-]+\.(?:md|py):\d+"
TOKEN = re.compile(rf"\.\.\.|(?<![\w.]){NUMBER}|{PLACE}|\w+|[^\w\s]")


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line on which the text begins."""

    language: str
    text: str
    line: int


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    text = read(page)
    return [Block(m[1], m[2], text.count("\n", 0, m.start(2)) + 1) for m in FENCE.finditer(text)]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def with_blocks(language: str) -> list[Path]:
    return [page for page in PAGES if any(block.language == language for block in blocks(page))]


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working folder; what a page sets in JAX is set back."""
    monkeypatch.chdir(tmp_path)
    wide = jax.config.read("jax_enable_x64")
    yield
    jax.config.update("jax_enable_x64", wide)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("page", with_blocks("python"), ids=name_of)
def test_page_runs_and_prints_what_it_says(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType(f"page_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    following = [*blocks(page)[1:], None]
    for block, after in zip(blocks(page), following, strict=True):
        if block.language != "python":
            continue
        # Line numbers in tracebacks are those of the page.
        code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, module.__dict__)
        if after is not None and after.language == "text":
            differs = difference(printed.getvalue(), after.text)
            assert not differs, f"{name_of(page)}:{after.line}: {differs}\n\n{printed.getvalue()}"


def difference(printed: str, shown: str) -> str:
    """What the page shows and the output has not; "" if they agree."""
    got, position = TOKEN.findall(printed), 0
    parts: list[list[str]] = [[]]
    for token in TOKEN.findall(shown):
        parts.append([]) if token == "..." else parts[-1].append(token)
    for i, part in enumerate(parts):
        end = len(got) - len(part)
        starts = range(position, end + 1) if i else range(min(1, end + 1))
        if i == len(parts) - 1:
            starts = range(end, end + 1) if end in starts else range(0)
        found = next((start for start in starts if all(map(same, got[start:], part))), None)
        if found is None:
            return f"not printed like this: {' '.join(part)}"
        position = found + len(part)
    return ""


def same(got: str, wanted: str) -> bool:
    """Numbers to the digits shown, file positions always, words letter by letter."""
    if re.fullmatch(PLACE, wanted):
        return re.fullmatch(PLACE, got) is not None
    if not (re.fullmatch(NUMBER, got) and re.fullmatch(NUMBER, wanted)):
        return got == wanted
    mantissa = re.split("e", wanted)[0]
    decimals = len(mantissa.partition(".")[2])
    exponent = int(wanted.partition("e")[2] or 0)
    step = 10.0 ** (exponent - decimals) if decimals else 0.0
    return math.isclose(float(got), float(wanted), rel_tol=1e-9, abs_tol=1.01 * step)


@pytest.mark.parametrize(
    ("printed", "shown", "fits"),
    [
        ("c 216.81371 at 106", "c 216.81372 at 106", True),
        ("c 216.81371 at 106", "c 216.81375 at 106", False),
        ("c 216.81371 at 107", "c 216.81371 at 106", False),
        ("a\nb\nc\nd\n", "a\n...\nd\n", True),
        ("a\nb\nc\nd\n", "a\n...\nc\n", False),
        ("a b", "a b c", False),
        ("a b c", "a b", False),
        ("x  tour.md:12", "x  beam.py:3", True),
        ("error 1.2e-09", "error 1.3e-09", True),
        ("error 1.2e-09", "error 1.2e-08", False),
    ],
)
def test_comparison(printed: str, shown: str, fits: bool) -> None:
    assert (difference(printed, shown) == "") == fits


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", read(page))
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}, which does not exist"
        assert file.is_relative_to(ROOT), f"{name_of(page)} links to {target}, outside the repository"
        assert not anchor or anchor in anchors(file), f"{name_of(page)} links to {target}: no such heading"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", read(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_on_the_map() -> None:
    listed = set(LINK.findall(read(ROOT / "docs" / "index.md")))
    missing = {page.name for page in PAGES[1:]} - listed - {"index.md"}
    assert not missing, f"docs/index.md does not list {', '.join(sorted(missing))}"


def test_every_picture_is_shown() -> None:
    shown = {(page.parent / target).resolve() for page in PAGES for target in LINK.findall(read(page))}
    unused = {path.name for path in (ROOT / "docs" / "pictures").iterdir()} - {path.name for path in shown}
    assert not unused, f"no page shows {', '.join(sorted(unused))}"


def commands() -> list[tuple[str, str]]:
    """The `tograph` commands of all shell blocks, with the page they are on."""
    found = []
    for page in with_blocks("bash"):
        for block in blocks(page):
            for line in block.text.splitlines() if block.language == "bash" else ():
                parts = re.split(r"&&|\|", line)
                found += [(name_of(page), p.strip()) for p in parts if re.match(r"\s*(\.venv/bin/)?tograph ", p)]
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_command_lines_are_understood(page: str, command: str) -> None:
    _, name, *arguments = shlex.split(command, comments=True)
    group = click.Context(main)
    found = main.get_command(group, name)
    assert found is not None, f"{page}: there is no command {name!r}"
    found.make_context(name, arguments, parent=group)


def test_list_of_nodes_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_nodes.py"))["page"]()
    assert read(ROOT / "docs" / "nodes.md") == made, "Run `python docs/make_nodes.py`"


@pytest.mark.slow
def test_pictures_can_be_drawn(tmp_path: Path) -> None:
    runpy.run_path(str(ROOT / "docs" / "make_pictures.py"))["main"](tmp_path, max_iter=1, coarse=8)
    drawn, kept = ({path.name for path in folder.iterdir()} for folder in (tmp_path, ROOT / "docs" / "pictures"))
    kept = {name for name in kept if not name.startswith("viewer_")}  # photographed: docs/make_screenshots.py
    fits = {"multiscale.png", "multiscale_bias.png", "multiscale_fit.png"}
    suite = {"suite_ours.png", "suite_gallery.png"}
    measured = {"memory.png", "pinn.png", "solve.png", *suite, *fits}  # by the benchmarks named like them
    assert drawn | measured == kept
