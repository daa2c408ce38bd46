"""Options that several commands share, and how a mistake in them is said: a sentence and exit code 2."""

from __future__ import annotations

import contextlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from tograph.backends import compilation_cache
from tograph.errors import SolveError, TographError, did_you_mean
from tograph.problems.workflow import FILTERS

Command = TypeVar("Command", bound=Callable[..., Any])

BACKENDS = ("jax", "torch")
PROBLEM_OPTIONS = ("nelx", "nely", "nelz", "volume", "load")
"""What a function that makes a problem may take."""
WORKFLOW_OPTIONS = ("filter", "radius", "penal")
"""What `Problem.workflow` takes."""
SETTINGS = ("method", "max_iter", "tol", "bisection", "live", "page", "movie")
"""Of `run`: what is neither the problem's nor the workflow's."""


class Count(click.IntRange):
    """A whole number in a range."""

    name = "integer"


class Number(click.FloatRange):
    """A finite number in a range; "nan" and "inf" are no sizes, radii or tolerances."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or click's own refusal."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Commands(click.Group):
    """A group of commands that suggests the nearest name for one it does not have."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command, or a sentence that suggests one."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"there is no command {args[0]!r}. {did_you_mean(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def _keep_compiled(ctx: click.Context, param: click.Parameter, folder: str | None) -> None:
    if folder is not None and not ctx.resilient_parsing:
        with sentences():
            compilation_cache(folder)


cache_option = click.option(
    "--cache",
    type=click.Path(file_okay=False),
    envvar="TOGRAPH_CACHE",
    show_envvar=True,
    expose_value=False,
    callback=_keep_compiled,
    help="Keep what JAX compiles in this folder, for later runs.",
)


def problem_options(command: Command) -> Command:
    """TARGET, and the parameters of problems and of their standard workflow. None stands for "not given"."""
    count, density = Count(min=1), Number(0.0, 1.0, min_open=True)
    for option in reversed(
        [
            click.argument("target", metavar="TARGET"),
            click.option("--nelx", type=count, help="Elements along x. [default: the problem's own]"),
            click.option("--nely", type=count, help="Elements along y. [default: the problem's own]"),
            click.option("--nelz", type=count, help="Elements along z, for 3D problems. [default: the problem's own]"),
            click.option("--volume", type=density, help="Fraction of solid. [default: the problem's own]"),
            click.option("--load", type=click.Choice(["end", "mid"]), help="Where the cantilever is loaded."),
            click.option(
                "--filter",
                type=click.Choice(FILTERS),
                help="What keeps the design free of checkerboards. [default: density, or that of the suite]",
            ),
            click.option(
                "--radius",
                type=Number(0.0, min_open=True),
                help="Filter radius in units of length; an element is 1 wide. [default: 2.4]",
            ),
            click.option("--penal", type=Number(0.0, min_open=True), help="SIMP exponent p. [default: 3]"),
        ]
    ):
        command = option(command)
    return command


def backend_option(command: Command) -> Command:
    """`--backend jax|torch`."""
    return click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        default="jax",
        show_default=True,
        callback=lambda _ctx, _param, value: installed(value),
        help="Framework that runs the program.",
    )(command)


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else there."
    )(command)


def is_there(backend: str) -> bool:
    """Whether the framework is installed; it is not imported."""
    return importlib.util.find_spec(backend) is not None


def installed(backend: str) -> str:
    """The backend, if its framework is there.

    Raises:
        click.UsageError: it is not; says how to install it.
    """
    if not is_there(backend):
        raise click.UsageError(f"backend {backend!r} is not installed. Install it: pip install 'tograph[{backend}]'")
    return backend


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """What tograph refuses becomes a sentence: exit code 1 for a solve that failed, 2 for what was asked wrongly."""
    try:
        yield
    except SolveError as error:
        raise click.ClickException(f"the linear solve failed: {error}") from error
    except TographError as error:
        raise click.UsageError(str(error)) from error
    except MemoryError as error:
        raise click.ClickException(f"there is not enough memory: {error}. Use a coarser grid.") from error
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise click.ClickException(f"cannot read or write{where}: {error.strerror or error}.") from error
