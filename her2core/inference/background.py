"""Background jobs of a session: one thread each, with progress, results as they come, and cancellation.

A job belongs to the session that started it: when the session ends, its handle is released and the thread is asked to
stop. Jobs of all sessions take turns, one step each, so that a large batch does not delay other people's patches.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from her2core.errors import Her2Error

T = TypeVar("T")
#: Results of one step, files done so far, and the total where it is known.
Step: TypeAlias = tuple[list[T], int, int | None]
#: Held for one step of one job at a time.
_TURN = threading.Lock()


@dataclass
class _Shared(Generic[T]):
    """What the thread and the page both see. Lists only grow, so that a reader needs no lock."""

    results: list[T] = field(default_factory=list)
    done: int = 0
    total: int | None = None
    error: str = ""
    finished: bool = False
    cancel: threading.Event = field(default_factory=threading.Event)


class Job(Generic[T]):
    """A handle on work that runs in a thread of its own.

    Parameters
    ----------
    steps : callable
        Called with ``cancelled() -> bool``; yields (results, done, total or None) again and again and must not touch
        Streamlit. A Her2Error ends the job with its sentence.

    Examples
    --------
    >>> job = Job(lambda cancelled: iter([(["a"], 1, 2), (["b"], 2, 2)]))
    >>> job.wait(10), job.results, job.progress
    (True, ['a', 'b'], (2, 2))
    """

    def __init__(self, steps: Callable[[Callable[[], bool]], Iterator[Step[T]]]) -> None:
        self._shared: _Shared[T] = _Shared()
        self._thread = threading.Thread(target=_run, args=(steps, self._shared), daemon=True)
        weakref.finalize(self, self._shared.cancel.set)
        self._thread.start()

    @property
    def results(self) -> list[T]:
        """The results so far."""
        return list(self._shared.results)

    @property
    def running(self) -> bool:
        """Whether the job has not ended yet."""
        return not self._shared.finished

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._shared.cancel.is_set()

    @property
    def error(self) -> str:
        """The sentence that ended the job; empty where there is none."""
        return self._shared.error

    @property
    def progress(self) -> tuple[int, int | None]:
        """Files done, and the total where it is known."""
        return self._shared.done, self._shared.total

    def cancel(self) -> None:
        """Ask the job to stop after its current step."""
        self._shared.cancel.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end at most ``seconds``; return whether the job has ended."""
        self._thread.join(seconds)
        return not self.running


def _run(steps: Callable[[Callable[[], bool]], Iterator[Step[T]]], shared: _Shared[T]) -> None:
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
        shared.error = refused.sentence
    except Exception as broken:  # a page must hear of it; its traceback goes to the server's log
        shared.error = f"This is a fault of her2core, not yours: {type(broken).__name__}."
        logging.getLogger(__name__).exception("a background job failed")
    finally:
        shared.finished = True
