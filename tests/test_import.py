"""What an import costs, and which names refuse to be imported."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("jax", "torch", "matplotlib.pyplot")


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)


def test_import_loads_no_framework(root: Path) -> None:
    done = python(
        f"import sys, tograph, tograph.nodes, tograph.problems; print(*(m for m in {HEAVY} if m in sys.modules))", root
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert not loaded, (
        f"`import tograph, tograph.nodes, tograph.problems` loads {', '.join(loaded)}. "
        "Move that import to a file that is loaded when a program is compiled or drawn; "
        "`python -X importtime -c 'import tograph'` shows who asks for it."
    )


@pytest.mark.parametrize("folder", ["nodes", "problems"])
def test_folder_refuses_a_second_name(root: Path, folder: str) -> None:
    done = python(f"import {folder}", root)
    assert done.returncode != 0, (
        f"`import {folder}` from the checkout made a second copy of every class in it, which the rule table "
        f"cannot tell apart. Restore the guard at the top of {folder}/__init__.py."
    )
    sentence = f"ImportError: This folder is the package tograph.{folder}: import it by that name."
    assert sentence in done.stderr, done.stderr
