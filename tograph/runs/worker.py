"""`python -m tograph.runs.worker`: carries out jobs, a JSON line each on standard input, and answers with their rows.

It ends with the process that started it, in the middle of a run too: standard input is closed then.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from pathlib import Path

from tograph.plain import to_json

from . import standard as standard
from .carry_out import carry_out
from .job import Job


def main() -> None:
    """Serve until standard input ends. What a recipe prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    while True:
        asked = json.loads(lines.get())
        row = carry_out(Job(**asked["job"]), Path(asked["folder"]), asked["key"])
        answers.write(json.dumps(json.loads(to_json(row))) + "\n")
        answers.flush()


def _listen(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
