"""`tograph bench`: the benchmarks of the repository, each a script that prints ratios and can write JSON."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import click

import tograph as tg
from tograph.errors import did_you_mean

FOLDER = Path("tests", "benchmarks")


@click.command(short_help="Run a benchmark of the repository.", context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="[NAME]", required=False)
@click.argument("arguments", metavar="[-- ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
def bench(name: str | None, arguments: tuple[str, ...]) -> None:
    """Run a benchmark of the repository, or list them. What follows `--` goes to the benchmark; so does `-- --help`.

    \b
    Examples:
      tograph bench
      tograph bench compiler -- --only overhead --json overhead.json
    """
    found = benchmarks()
    if name is None:
        width = max(map(len, found))
        for known, path in found.items():
            click.echo(f"{known:{width}}  {_about(path)}")
        return
    if name not in found:
        raise click.UsageError(f"there is no benchmark {name!r}. {did_you_mean(name, found)}")
    sys.exit(subprocess.run([sys.executable, str(found[name]), *arguments], check=False).returncode)


def benchmarks() -> dict[str, Path]:
    """Name -> script.

    Raises:
        click.ClickException: this is an installed tograph without its repository.
    """
    root = Path(tg.__file__).resolve().parents[1]
    found = {path.stem: path for path in sorted((root / FOLDER).glob("*.py")) if (root / "pyproject.toml").is_file()}
    if not found:
        advice = "Run `tograph bench` from an installation made in a checkout: pip install -e ."
        raise click.ClickException(
            f"the benchmarks are in {FOLDER.as_posix()}/ of the repository, not in the wheel. {advice}"
        )
    return found


def _about(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
