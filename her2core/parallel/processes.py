"""A pool of processes on one machine that outlives the loss of a worker.

``concurrent.futures`` gives up all its work when one process is killed, and ``multiprocessing.Pool`` waits for ever
(CPython issues 22393 and 66587). Here each worker has a pipe of its own and one item at a time, so that it is known
which item a lost worker held. Processes are spawned, not forked: threads and handles of this process are not copied.
A worker ends with this process, and leaves Ctrl-C to it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from her2core.errors import ConfigError
from her2core.parallel.tasks import ATTEMPTS, Completed, guarded, worker_name

#: Seconds that a worker has to end before it is killed.
_PATIENCE = 5.0
_READY = "ready"


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    name: str = ""
    #: Position and attempt of the item it has.
    item: tuple[int, int] | None = None


def in_processes(
    function: Callable[[Any], Any], items: Sequence[Any], *, workers: int, attempts: int = ATTEMPTS
) -> Iterator[Completed]:
    """Call a function with every item in a pool of processes.

    Parameters
    ----------
    function : callable
        Importable, or an object that pickles.
    items : sequence
    workers : int
        Processes; each gets its share of this machine's processors for the threads of numerical libraries, unless
        OMP_NUM_THREADS is set.
    attempts : int
        Times an item is given to a worker whose process is lost.

    Yields
    ------
    Completed
        As they are finished.

    Raises
    ------
    Exception
        What the function raised; the other workers are ended.
    ConfigError
        Worker processes cannot be started.

    Examples
    --------
    >>> sorted(done.value for done in in_processes(abs, [-3, 2], workers=2))
    [2, 3]
    """
    waiting = deque((index, 1) for index in range(len(items)))
    pool: list[_Worker] = []
    try:
        for _ in range(min(workers, len(items))):
            pool.append(_start(function, workers))
        while waiting or any(worker.item for worker in pool):
            for pipe in connection.wait([worker.pipe for worker in pool]):
                worker = next(w for w in pool if w.pipe is pipe)
                try:
                    said = worker.pipe.recv()
                except (EOFError, OSError):
                    pool.remove(worker)
                    done = _lost(worker, waiting, attempts)
                    if waiting and len(pool) < workers:
                        pool.append(_start(function, workers))
                    if done:
                        yield done
                    continue
                if worker.item is None:
                    worker.name = said[1]
                    _give(worker, waiting, items)
                    continue
                (index, attempt), (right, value) = worker.item, said
                worker.item = None
                if not right:
                    raise value
                _give(worker, waiting, items)
                yield Completed(index, value, worker=worker.name, attempts=attempt)
    finally:
        _end(pool)


def _start(function: Callable[[Any], Any], workers: int) -> _Worker:
    context = get_context("spawn")
    own, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, function), name="her2core worker", daemon=True)
    given = os.environ.get("OMP_NUM_THREADS")
    if given is None:  # read by numerical libraries when the new process imports them
        os.environ["OMP_NUM_THREADS"] = str(max(1, processors() // workers))
    try:
        process.start()
    finally:
        theirs.close()
        if given is None:
            del os.environ["OMP_NUM_THREADS"]
    return _Worker(process, own)


def _give(worker: _Worker, waiting: deque[tuple[int, int]], items: Sequence[Any]) -> None:
    """Hand a worker the next item, or the end."""
    if not waiting:
        worker.pipe.send(None)
        return
    worker.item = waiting.popleft()
    with suppress(OSError):  # it was lost meanwhile, which the next wait finds
        worker.pipe.send((items[worker.item[0]],))


def _lost(worker: _Worker, waiting: deque[tuple[int, int]], attempts: int) -> Completed | None:
    """Put the item of a lost worker back, or report it."""
    worker.pipe.close()
    worker.process.join(_PATIENCE)
    code = worker.process.exitcode
    if not worker.name:
        raise ConfigError(
            "worker processes that start",
            got=f"one that ended at once ({_ending(code)})",
            where="--workers",
            fix="Its message stands above. Leave --workers out to work in one process.",
        )
    if worker.item is None:  # it had ended its work
        return None
    index, attempt = worker.item
    if attempt < attempts:
        waiting.append((index, attempt + 1))
        return None
    return Completed(
        index, None, f"its worker process ended {attempt} times, the last {_ending(code)}", worker.name, attempt
    )


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")


def _end(pool: Sequence[_Worker]) -> None:
    for worker in pool:
        if worker.item is not None or not worker.name:
            worker.process.terminate()
        worker.pipe.close()
    for worker in pool:
        worker.process.join(_PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _work(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """What a worker process does until it is told the end, or its parent is gone."""
    with suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe.send((_READY, worker_name()))
    while True:
        try:
            given = pipe.recv()
        except (EOFError, OSError):
            return
        if given is None:
            return
        pipe.send(guarded(function, given[0]))


def _end_with_parent() -> None:
    """End this process when its parent is gone, in the middle of its work: the folder is then free for others."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def processors() -> int:
    """Processors that this process may use.

    Returns
    -------
    int

    Examples
    --------
    >>> processors() >= 1
    True
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1
