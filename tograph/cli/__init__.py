"""The command line: `tograph run | resume | report | export | draw | check | explain | problems | bench | sweep`."""

from __future__ import annotations

from . import drawing as drawing
from . import explaining as explaining
from . import results as results
from . import sweeping as sweeping
from .bench import bench
from .commands import main as main

main.add_command(bench)
