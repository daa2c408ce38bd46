"""The arrows of the house, read from the source: who may import whom, and how long a file may be.

    errors <- spec <- node <- graph <- plan <- ...
    tograph <- tograph.nodes <- tograph.problems <- tograph.runs <- tograph.cli

The tables say what is allowed. Before adding to one, ask whether the code could move to where its import is at home.
"""

import ast
import graphlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"tograph": "tograph", "nodes": "tograph.nodes", "problems": "tograph.problems"}

# The core, lowest first; those in one row are neighbours. Modules not named here are held only by "no cycles".
ORDER = (
    ("errors", "codec"),
    ("spec", "edge"),
    ("backends",),
    ("node",),
    ("rules", "declare"),
    ("arithmetic", "derivative"),
    ("graph",),
    ("validate", "serialize"),
    ("differentiate", "expand"),
    ("plan",),
    ("planning", "passes", "schedule"),
    ("lower",),
    ("function", "recall"),
    ("parts",),
    ("embed",),
    ("program",),
    ("check", "explain", "draw", "optimizers"),
    ("inspect",),
    ("cli",),
)

# Import -> the modules (or packages) where it is at home.
AT_HOME = {
    "jax": (
        "tograph.backends.jax",
        "tograph.backends.embed_jax",
        "tograph.nodes._equinox",
        "tograph.nodes._jax",
        "tograph.optimizers._jax",
    ),
    "equinox": ("tograph.nodes._equinox",),  # not among the dependencies
    "optax": ("tograph.optimizers._jax",),
    "jaxlib": ("tograph.backends.jax", "tograph.nodes._jax"),
    "torch": (
        "tograph.backends.torch",
        "tograph.backends.embed_torch",
        "tograph.nodes._torch",
        "tograph.optimizers._torch",
    ),
    "matplotlib": ("tograph.draw", "tograph.runs", "tograph.cli"),
    "networkx": ("tograph.graph", "tograph.validate", "tograph.serialize", "tograph.draw"),
    "graphviz": ("tograph.draw",),
    "pygraphviz": ("tograph.draw",),
    "matplotlib.pyplot": (),  # its global figures leak between runs: use matplotlib.figure.Figure
    "pylab": (),
    "tograph.cli": ("tograph.cli", "tograph.__main__"),
}

# Module -> what it may import inside a function: methods of `Graph` and `Program` that hand over to a module above.
INSIDE_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "tograph.graph": ("tograph.draw", "tograph.inspect", "tograph.program", "tograph.serialize", "tograph.validate"),
    "tograph.compiled": ("tograph.explain",),
    "tograph.program": ("tograph.draw", "tograph.inspect"),
    "tograph.draw.render": ("pygraphviz",),  # a compiled library that only a picture needs
    # Help and wrong arguments are answered without loading matplotlib or graphviz.
    "tograph.cli.commands": (
        "tograph.runs.gallery",
        "tograph.cli.run_folder",
        "tograph.cli.running",
    ),
    "tograph.cli.explaining": ("numpy", "tograph.check"),
    "tograph.cli.results": ("tograph.cli.exporting", "tograph.runs"),
    "tograph.cli.sweeping": ("tograph.runs",),
}

MAX_FILE, MAX_FUNCTION = 300, 40


class Import(NamedTuple):
    """One imported name. `place` is "module", "function" or "typing" (under `if TYPE_CHECKING`)."""

    module: str
    target: str
    place: str
    at: str

    def __str__(self) -> str:
        return f"{self.at}: {self.module} imports {self.target}"


@cache
def modules() -> dict[str, Path]:
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


@cache
def imports() -> list[Import]:
    found: list[Import] = []
    for module, path in modules().items():
        for node, place in statements(ast.parse(path.read_text(encoding="utf-8")), "module"):
            at = f"{path.relative_to(ROOT)}:{node.lineno}"
            found += [Import(module, target, place, at) for target in targets(node, module, path)]
    return found


def statements(tree: ast.AST, place: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Every import below `tree`, and whether it runs with the module, in a function, or never."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, place
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from statements(node, "function")
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from statements(ast.Module(node.body, []), "typing")
            yield from statements(ast.Module(node.orelse, []), place)
        else:
            yield from statements(node, place)


def targets(node: ast.Import | ast.ImportFrom, module: str, path: Path) -> list[str]:
    """The absolute names an import asks for; a name inside one of our modules counts as that module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        above = package[: len(package) - node.level + 1]
        base = ".".join(above + ([node.module] if node.module else []))
    names = [f"{base}.{alias.name}" for alias in node.names]
    return list(dict.fromkeys(name if name in modules() or base not in modules() else base for name in names))


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layer(module: str) -> str:
    """The top-level package that a module belongs to; runs are above the problems, a command line above all of them."""
    for package in ("tograph.problems", "tograph.nodes", "tograph.runs", "tograph.cli"):
        if within(module, package):
            return package
    return "tograph.cli" if module == "tograph.__main__" else "tograph"


def rank(module: str) -> int | None:
    parts = module.split(".")
    return next((i for i, row in enumerate(ORDER) if len(parts) > 1 and parts[1] in row), None)


def expect_none(wrong: list[str], advice: str) -> None:
    assert not wrong, "\n".join([advice, *sorted(wrong)])


def test_the_reader_sees_the_house() -> None:
    assert {"tograph", "tograph.nodes", "tograph.problems"} <= modules().keys()
    assert any(i.module == "tograph.spec" and i.target == "tograph.errors" for i in imports())


def test_no_cycles() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for i in imports():
        if i.place == "module" and i.target in graph:
            graph[i.module].add(i.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = " <- ".join(error.args[1])
        raise AssertionError(
            f"These modules import each other: {circle}. Move what both need into the lower one, or a new one below."
        ) from None


def test_nodes_and_problems_stand_above_the_core() -> None:
    above = {
        "tograph": ("tograph.nodes", "tograph.problems", "tograph.runs"),
        "tograph.nodes": ("tograph.problems", "tograph.runs"),
        "tograph.problems": ("tograph.runs",),
        "tograph.runs": (),
        "tograph.cli": (),
    }
    wrong = [str(i) for i in imports() if any(within(i.target, package) for package in above[layer(i.module)])]
    expect_none(wrong, "The arrows: tograph <- tograph.nodes <- tograph.problems. Pass the object in, or register it.")


def test_core_order() -> None:
    wrong = []
    for i in imports():
        low, high = rank(i.module), rank(i.target)
        if i.place == "module" and low is not None and high is not None and high > low:
            wrong.append(str(i))
    order = " <- ".join("|".join(row) for row in ORDER)
    expect_none(wrong, f"The core reads {order}. Move what both need down, or change ORDER.")


def test_imports_are_at_home() -> None:
    wrong = [
        f"{i}; at home in: {', '.join(homes) or 'none'}"
        for i in imports()
        for name, homes in AT_HOME.items()
        if i.place != "typing" and within(i.target, name) and not any(within(i.module, home) for home in homes)
    ]
    expect_none(wrong, "Move this code to a file where the import is at home, or name the file in AT_HOME.")


def test_imports_stand_at_the_top() -> None:
    wrong = [
        str(i)
        for i in imports()
        if i.place == "function" and not any(within(i.target, name) for name in INSIDE_FUNCTIONS.get(i.module, ()))
    ]
    expect_none(wrong, "Move this import to the top of its file; if that cannot be, say so in INSIDE_FUNCTIONS.")


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules().values()}
    wrong = [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n > MAX_FILE]
    expect_none(wrong, f"Split these files by what they are about; at most {MAX_FILE} lines each.")


def test_functions_are_short() -> None:
    wrong = []
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines} lines")
    expect_none(wrong, f"Give a part of each its own name; at most {MAX_FUNCTION} lines (docstring counted).")
