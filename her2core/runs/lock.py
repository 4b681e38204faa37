"""Claims on an unfinished run: lock files that name the process at work on it, made and taken over by one at a time.

A lock holds process id, host, the process's start time, a token and a heartbeat. On the same host the process itself
decides: a lock left by a killed one, or one whose number was reused, is void. Of another host only the heartbeat can be
seen, which the holder renews; without one for ``EXPIRY`` seconds the claim has expired and may be taken over.

Reading a lock and replacing it happens under an exclusive file lock (``exclusively``), so that of several processes
that find a void lock one takes it over and the others see its claim.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from her2core.errors import RunError
from her2core.io.files import write_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "lock.json"
#: Seconds without a heartbeat after which another host's claim has expired.
EXPIRY = 600.0
#: Seconds between two heartbeats.
BEAT = 30.0
#: Seconds after which a mutex file without its process is void, on file systems without file locks.
_MUTEX_AGE = 30.0
#: Tokens of this process's claims.
_OWN: set[str] = set()


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes
    ----------
    pid : int
        Process id on its host.
    host : str
        Its machine.
    here : bool
        Whether that is this machine.
    alive : bool
        Here: whether the process is alive and not this one's former self. Elsewhere: whether the heartbeat is fresh.
    age : float
        Seconds since the last heartbeat.
    """

    pid: int
    host: str
    here: bool
    alive: bool
    age: float

    def __str__(self) -> str:
        return f"process {self.pid}" + ("" if self.here else f" on {self.host}")


def read_holder(path: Path) -> Holder | None:
    """Read who holds a lock.

    Parameters
    ----------
    path : Path
        The lock file.

    Returns
    -------
    Holder or None
        None for a missing or broken lock.

    Examples
    --------
    >>> read_holder(Path("no-such-folder") / LOCK) is None
    True
    """
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
        beat = path.stat().st_mtime
    except (ValueError, OSError, RecursionError):
        return None
    if not isinstance(lock, dict) or type(lock.get("pid")) is not int or not isinstance(lock.get("host"), str):
        return None
    if isinstance(lock.get("heartbeat"), int | float):
        beat = lock["heartbeat"]
    age = max(0.0, time.time() - beat)
    pid, host = lock["pid"], lock["host"]
    here = host == socket.gethostname()
    if not here:
        alive = age < EXPIRY
    elif pid == os.getpid():
        alive = lock.get("token") in _OWN
    else:
        alive = process_start(pid) == lock.get("started") and _exists(pid)
    return Holder(pid, host, here, alive, age)


class Claim:
    """This process's claim on a folder, with a heartbeat, until it is released.

    Parameters
    ----------
    path : Path
        The lock file.
    guard : Path
        The file of ``exclusively``.

    Attributes
    ----------
    lost : bool
        Whether another host took the claim over, because this one gave no sign of life for longer than ``EXPIRY``.
    expired : Holder or None
        Another host's claim that was taken over.
    new : bool
        Whether the folder was made for this claim.

    Raises
    ------
    RunError
        When another process, or another thread of this one, holds it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     claim = Claim(Path(folder, LOCK), guard=Path(folder, "guard"))
    ...     held = read_holder(Path(folder, LOCK)).alive
    ...     claim.release()
    ...     held, os.listdir(folder)
    (True, [])
    """

    def __init__(self, path: Path, *, guard: Path) -> None:
        self.path, self.guard, self.lost = path, guard, False
        self.token = uuid.uuid4().hex
        self.expired: Holder | None = None
        with exclusively(guard):
            holder = read_holder(path)
            if holder is not None and holder.alive:
                wait = "" if holder.here else f" Without a sign of life a claim ends after {EXPIRY / 60:.0f} minutes."
                raise RunError(
                    "a run that no other process is training",
                    got=f"{holder} at work on it",
                    where=path.parent,
                    fix=f"Wait for it, or stop it first.{wait}",
                )
            if holder is not None and not holder.here:
                self.expired = holder
            self.new = not path.parent.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write()
            _OWN.add(self.token)
        self._ended = threading.Event()
        threading.Thread(target=self._beat, name="her2core heartbeat", daemon=True).start()

    def release(self) -> None:
        """Give the claim back; does nothing when it is lost or released already."""
        self._ended.set()
        _OWN.discard(self.token)
        if not self.path.parent.is_dir():
            return
        with contextlib.suppress(OSError), exclusively(self.guard):
            if self._mine():
                self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with contextlib.suppress(OSError), exclusively(self.guard):  # a full disk must not end a training
                if self._ended.is_set():
                    return
                if not self._mine():
                    self.lost = True
                    return
                self._write()

    def _mine(self) -> bool:
        try:
            lock = json.loads(self.path.read_text(encoding="utf-8"))
        except (ValueError, OSError):
            return False
        return isinstance(lock, dict) and lock.get("token") == self.token

    def _write(self) -> None:
        pid = os.getpid()
        facts: dict[str, Any] = {"pid": pid, "host": socket.gethostname(), "started": process_start(pid)}
        write_json(self.path, {**facts, "token": self.token, "heartbeat": round(time.time(), 1)})


@contextlib.contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Enter a section that one thread of one process enters at a time, on every host that shares the folder.

    Parameters
    ----------
    path : Path
        A file that exists only meanwhile; its folder is made. The system frees it when its process ends.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with exclusively(Path(folder, "guard")):
    ...         os.listdir(folder)
    ['guard']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mutex = path.with_name(f"{path.name}.mutex")
    handle = _by_lock(path)
    if handle is None:
        _by_name(mutex)
    try:
        yield
    finally:
        # Deleted while it is held: whoever waits for it finds another file, or none, under the name, and tries again.
        if handle is None:
            mutex.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
            os.close(handle)


def _by_lock(path: Path) -> int | None:
    """The locked file; None where files cannot be locked."""
    while fcntl is not None:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        except OSError:  # a file system without file locks
            os.close(handle)
            path.unlink(missing_ok=True)
            return None
        os.close(handle)
    return None


def _by_name(path: Path) -> None:
    """Create the name that others wait for; void after ``_MUTEX_AGE`` seconds."""
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _MUTEX_AGE:
                    path.unlink(missing_ok=True)
            time.sleep(0.01)


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
    except (ProcessLookupError, OverflowError):  # a number beyond any system's
        return False
    except PermissionError:
        return True
    return True
