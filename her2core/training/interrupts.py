"""Signals that end a training, and the end of its child processes with it.

SIGTERM (a cluster's scheduler, ``kill``) and Ctrl-C leave the training as an exception with the exit code that shells
expect, 143 and 130: the claim is given back, checkpoints stay, and the same command resumes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_received: list[int] = []


class Interrupted(SystemExit):
    """The end of a training by a signal; its code is 128 plus the signal's number."""


@contextlib.contextmanager
def exit_by_signal() -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into ``Interrupted`` within the block; outside of the main thread nothing changes.

    Examples
    --------
    >>> try:
    ...     with exit_by_signal():
    ...         signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)  # as Python does when the signal arrives
    ... except Interrupted as left:
    ...     left.code
    143
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _raise) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        _received.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_pending() -> None:
    """Raise again for a signal whose exception was swallowed, as Python does in destructors and callbacks.

    Raises
    ------
    Interrupted
        When a signal has arrived.
    """
    if _received:
        raise Interrupted(128 + _received[0])


def end_with_parent(parent: int | None = None) -> None:
    """Have the system end this process when its parent ends, however that happens (Linux).

    For worker processes and the helper processes of a run over several devices. Ctrl-C reaches the parent, which ends
    them.

    Parameters
    ----------
    parent : int, optional
        Its process id, given where the parent may have ended before this call; asked from the system when left out.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        parent = os.getppid() if parent is None else parent
        ctypes.CDLL(None, use_errno=True).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it ended before
            os._exit(1)


def _raise(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise Interrupted(128 + number)
