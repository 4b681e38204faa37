"""What runs longer than a page? One piece of work in a thread, with progress, results as they come, and cancel.

A job belongs to the session that started it: when the session ends, its handle goes, and the thread is asked to stop.
Jobs of all sessions take turns, one step each, so that a large batch does not keep other people's patches waiting.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from her2core.errors import Her2Error

#: Held for one step of one job at a time.
_TURN = threading.Lock()


@dataclass
class _Shared:
    """What the thread and the page both see. Lists only grow, so that a reader needs no lock."""

    results: list[Any] = field(default_factory=list)
    done: int = 0
    total: int | None = None
    error: str = ""
    finished: bool = False
    cancel: threading.Event = field(default_factory=threading.Event)


class Job:
    """A handle on work under way.

    ``steps`` is called with ``cancelled() -> bool`` and yields (results, done, total or None) again and again; it runs
    in a thread of its own and must not touch Streamlit. A Her2Error ends the job with its sentence.
    """

    def __init__(self, steps: Callable[[Callable[[], bool]], Iterator[tuple[list[Any], int, int | None]]]) -> None:
        self._shared = _Shared()
        self._thread = threading.Thread(target=_work, args=(steps, self._shared), daemon=True)
        weakref.finalize(self, self._shared.cancel.set)
        self._thread.start()

    @property
    def results(self) -> list[Any]:
        return list(self._shared.results)

    @property
    def running(self) -> bool:
        return not self._shared.finished

    @property
    def cancelled(self) -> bool:
        return self._shared.cancel.is_set()

    @property
    def error(self) -> str:
        return self._shared.error

    @property
    def progress(self) -> tuple[int, int | None]:
        """Done, and of how many where that is known."""
        return self._shared.done, self._shared.total

    def cancel(self) -> None:
        self._shared.cancel.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; whether it has come."""
        self._thread.join(seconds)
        return not self.running


def _work(steps, shared: _Shared) -> None:
    try:
        work = steps(shared.cancel.is_set)
        while not shared.cancel.is_set():
            with _TURN:
                step = next(work, None)
            if step is None:
                break
            results, shared.done, shared.total = step
            shared.results.extend(results)
    except Her2Error as refused:
        shared.error = str(refused)
    except Exception as broken:  # a page must hear of it; its traceback goes to the server's log
        shared.error = f"This is a fault of her2core, not yours: {type(broken).__name__}."
        logging.getLogger(__name__).exception("a job broke")
    finally:
        shared.finished = True
