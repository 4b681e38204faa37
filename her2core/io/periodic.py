"""A file that is written again while its content grows, seldom enough that writing stays a small share of the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: Least seconds between two writes, and the largest share of the time that they take (our choice).
EVERY, SHARE = 5.0, 0.05


class PeriodicWrite:
    """Calls a function that writes everything, at the first change and then from time to time.

    Writing n rows after each of n changes takes time that grows with the square of n; this takes SHARE of the time.

    Parameters
    ----------
    write : callable
        Writes all there is.
    clock : callable, optional
        Seconds.

    Examples
    --------
    >>> written = []
    >>> table = PeriodicWrite(lambda: written.append("whole"))
    >>> for _ in range(100):
    ...     table.changed()
    >>> table.finish()
    >>> written
    ['whole', 'whole']
    """

    def __init__(self, write: Callable[[], Any], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._next: float | None = None
        self._unwritten = False

    def changed(self) -> None:
        """Write where it is time."""
        self._unwritten = True
        if self._next is None or self._clock() >= self._next:
            self.finish()

    def finish(self) -> None:
        """Write what has changed since the last time."""
        if not self._unwritten:
            return
        began = self._clock()
        self._write()
        ended = self._clock()
        self._next = ended + max(EVERY, (ended - began) / SHARE)
        self._unwritten = False
