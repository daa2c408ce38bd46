"""The wheel holds all three folders, and works outside the checkout and inside it."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

FOLDERS = {"tograph": "tograph", "nodes": "tograph/nodes", "problems": "tograph/problems"}
SOURCES = ("pyproject.toml", "README.md", "LICENSE", *FOLDERS)
WHERE = "import tograph as t, tograph.nodes, tograph.problems; print(t.__file__, t.nodes.__file__, t.problems.__file__)"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without this process's import settings; give what it prints."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([*command], cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def files_of(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools would take up whatever an earlier build left in `build/`.

    Without build isolation: setuptools is among the development tools, so nothing is downloaded.
    """
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", copy / "dist", cwd=copy)
    [built] = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it.

    The wheel is really installed. Its dependencies are not: a .pth file lends those of the environment that runs the
    tests, because installing JAX again takes minutes. So this does not show that the dependency list is complete;
    `.ci/run` on a clean clone does. An editable tograph is not lent: Python ignores .pth files in a lent folder.
    """
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    [site_packages] = home.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages")
    lent = dict.fromkeys(path for path in sys.path if Path(path).name in ("site-packages", "dist-packages"))
    (site_packages / "lent.pth").write_text("\n".join(lent))
    run(sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--no-deps", wheel, cwd=home)
    return scripts


def test_wheel_holds_every_file_of_the_three_folders(root: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"{inside}/{path.relative_to(root / folder).as_posix()}"
        for folder, inside in FOLDERS.items()
        for path in files_of(root / folder)
    }
    assert not (missing := sorted(expected - names)), (
        f"The wheel lacks {missing}. Name a new sub-package in [tool.setuptools] packages in pyproject.toml, "
        "and other files in [tool.setuptools.package-data]."
    )
    assert "tograph/py.typed" in names


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tograph"}


def test_wheel_imports_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    for file in run(installed / "python", "-c", WHERE, cwd=tmp_path).split():
        assert Path(file).is_relative_to(installed.parent), f"{file} is not the installed copy"


def test_wheel_imports_inside_the_checkout(root: Path, installed: Path) -> None:
    """Here ./tograph hides the installed package; its shim must then find ./nodes and ./problems."""
    for file in run(installed / "python", "-c", WHERE, cwd=root).split():
        assert Path(file).is_relative_to(root), f"{file} is not the checkout's: two copies would be mixed"


def test_command_line_starts(root: Path, installed: Path, tmp_path: Path) -> None:
    for cwd in (root, tmp_path):
        assert "Usage" in run(installed / "tograph", "--help", cwd=cwd)


def test_version_has_one_source(root: Path, installed: Path, tmp_path: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    version = run(installed / "python", "-c", "import tograph; print(tograph.__version__)", cwd=tmp_path)
    assert version.strip() == project["version"]
