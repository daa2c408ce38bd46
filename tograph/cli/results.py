"""Commands on a finished run."""

from __future__ import annotations

from pathlib import Path

import click

from tograph.plain import to_json

from .commands import main, only_json
from .options import json_option, sentences

FORMATS = ("vti", "vtu", "stl", "obj", "svg", "dxf", "npz", "png")


@main.command(short_help="Write the design of a run for other tools.")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option("--out", type=click.Path(path_type=Path), help="The file. [default: RUN/design.FORMAT]")
@json_option
def export(folder: Path, format: str, out: Path | None, as_json: bool) -> None:
    """Write the design of a finished run for other tools: ParaView, CAD, printers, NumPy.

    \b
    Example:
      tograph export runs/fine --format vtu
    """
    from .exporting import export_run

    with sentences(), only_json(as_json):
        path = export_run(folder, format, out)
    click.echo(to_json({"format": format, "file": str(path)}) if as_json else f"{path}")


@main.command(short_help="Write a run as one HTML page.")
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--check/--no-check", default=True, show_default=True, help="Certify the derivatives of its graph first.")
@json_option
def report(folder: Path, check: bool, as_json: bool) -> None:
    """Write RUN/report.html: problem, design, health, convergence, diagrams and checks of a finished run on one page.

    \b
    Example:
      tograph report runs/fine
    """
    from tograph.runs.report import check_of, write_report

    with sentences(), only_json(as_json):
        checked = check_of(folder) if check else None
        path = write_report(folder, checked)
    passed = None if checked is None else checked.passed
    click.echo(to_json({"file": str(path), "passed": passed}) if as_json else f"{path}")
    if passed is False:
        raise SystemExit(1)
