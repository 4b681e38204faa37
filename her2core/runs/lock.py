"""Lock files that name the process at work on a folder.

A lock holds process id, machine and the process's start time, so that a lock left by a killed process, or one whose
number was reused, is recognised as stale. A lock of another machine cannot be checked and counts as not held here.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from her2core.io.files import write_json

LOCK = "lock.json"


def write_lock(path: Path) -> None:
    """Write a lock in the name of this process.

    Parameters
    ----------
    path : Path
        The lock file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_lock(Path(folder) / LOCK)
    ...     lock_holder(Path(folder) / LOCK) is None  # a process does not lock itself out
    True
    """
    pid = os.getpid()
    write_json(path, {"pid": pid, "host": socket.gethostname(), "started": process_start(pid)})


def lock_holder(path: Path) -> int | None:
    """Find the other process that holds a lock.

    Parameters
    ----------
    path : Path
        The lock file; it may be missing or broken.

    Returns
    -------
    int or None
        Its process id; None where no other process alive on this machine holds the lock.

    Examples
    --------
    >>> lock_holder(Path("no-such-folder") / LOCK) is None
    True
    """
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return None
    pid = lock.get("pid") if isinstance(lock, dict) else None
    if not isinstance(pid, int) or pid == os.getpid() or lock.get("host") != socket.gethostname():
        return None
    return pid if process_start(pid) == lock.get("started") and _exists(pid) else None


def process_start(pid: int) -> str | None:
    """Read when a process started, to tell it from a later one with the same number.

    Parameters
    ----------
    pid : int
        A process id.

    Returns
    -------
    str or None
        Clock ticks since boot; None for a process that ended, and on systems without ``/proc``.

    Examples
    --------
    >>> process_start(os.getpid()) == process_start(os.getpid())
    True
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]  # a zombie was killed and is not yet collected
    except (OSError, IndexError):
        return None


def _exists(pid: int) -> bool:
    """Whether there is such a process; on systems without /proc (macOS) this alone decides."""
    if os.name != "posix" or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
