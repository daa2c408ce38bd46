"""An optimiser that calls its functions, turned around: it asks for a point, and waits until it is told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


class _Closed(BaseException):
    """Ends a talk that nobody listens to any more; no `except Exception` of a library may hold it up."""


class Conversation:
    """Runs `work(ask)` in a thread of its own that takes turns with the caller: only one of both runs at any time.

    `ask(question)` in the thread returns what the caller gives as the next answer. `told` is the caller's note of how
    much the thread knows.
    """

    def __init__(self, work: Callable[[Callable[[Any], Any]], Any]) -> None:
        self.told = 0
        self._questions: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def listen(self) -> tuple[bool, Any]:
        """(False, the next question), or (True, what `work` returned). Raises what `work` raised."""
        word, what = self._questions.get()
        if word == "error":
            raise what
        return word == "end", what

    def answer(self, reply: Any) -> None:
        """Reply to the question last heard."""
        self._replies.put(reply)

    def close(self) -> None:
        """End the thread, wherever it is."""
        if self._thread.is_alive():
            self._replies.put(_Closed())
            self._thread.join()

    def _ask(self, question: Any) -> Any:
        self._questions.put(("question", question))
        reply = self._replies.get()
        if isinstance(reply, _Closed):
            raise reply
        return reply

    def _run(self, work: Callable[[Callable[[Any], Any]], Any]) -> None:
        try:
            self._questions.put(("end", work(self._ask)))
        except _Closed:
            pass
        except BaseException as error:
            self._questions.put(("error", error))
