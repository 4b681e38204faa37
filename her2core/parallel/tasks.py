"""Items of work, their results, and the ways to run them: one contract for every backend.

A backend calls one function with each item and yields results as they are finished, in any order. Items and function
travel to other processes and machines, so both pickle; results should be small. An item whose worker process is lost
(killed, out of memory, its machine gone) is given to another one, ATTEMPTS times in all, and is then reported as lost.
What the function raises ends the whole: functions return what concerns one item only.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from her2core.errors import ConfigError

#: Times an item is given to a worker in all (our choice): once more, as what killed the first may have passed.
ATTEMPTS = 2


@dataclass(frozen=True)
class Completed:
    """What became of one item.

    Parameters
    ----------
    index : int
        Its position among the items.
    value : object
        What the function returned; None where it was lost.
    lost : str
        Why there is no value, as a phrase; empty where there is one.
    worker : str
        Process that did it, ``<host>:<process id>``.
    attempts : int
        Times it was given to a worker.

    Examples
    --------
    >>> Completed(0, "done").attempts
    1
    """

    index: int
    value: Any
    lost: str = ""
    worker: str = ""
    attempts: int = 1


class Backend(Protocol):
    """A way to call a function with every item.

    Examples
    --------
    >>> [done.value for done in in_this_process(abs, [-1, 2])]
    [1, 2]
    """

    def __call__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Completed]:
        """Yield what became of each item."""
        ...


def in_this_process(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Completed]:
    """Call a function with one item after another.

    Parameters
    ----------
    function : callable
    items : sequence

    Yields
    ------
    Completed

    Examples
    --------
    >>> [(done.index, done.value) for done in in_this_process(str.upper, ["a", "b"])]
    [(0, 'A'), (1, 'B')]
    """
    for index, item in enumerate(items):
        yield Completed(index, function(item), worker=worker_name())


def choose_backend(workers: int | None, cluster: str | None) -> Backend:
    """The backend that a command asks for.

    Parameters
    ----------
    workers : int or None
        Processes on this machine; with ``cluster="local"`` its processors. This process alone where both are None.
    cluster : str or None
        Address of a Ray cluster, ``"auto"`` for the one that this machine belongs to, or ``"local"`` for a new one on
        this machine.

    Returns
    -------
    Backend

    Raises
    ------
    ConfigError
        For workers with the address of a cluster, which has its own, and where Ray is not installed.

    Examples
    --------
    >>> choose_backend(None, None) is in_this_process
    True
    """
    if cluster is None:
        if workers is None:
            return in_this_process
        from her2core.parallel.processes import in_processes

        return partial(in_processes, workers=workers)
    if workers is not None and cluster != "local":
        raise ConfigError(
            "a number of workers with `local` only",
            got=f"{workers} for the cluster {cluster}",
            where="--workers",
            fix="Leave it out: a cluster has as many as its machines have processors.",
        )
    from her2core.parallel.ray_cluster import on_ray, require_ray

    require_ray()
    return partial(on_ray, address=cluster, workers=workers)


def worker_name() -> str:
    """This process as results name it.

    Returns
    -------
    str
        ``<host>:<process id>``.

    Examples
    --------
    >>> worker_name().endswith(f":{os.getpid()}")
    True
    """
    import socket

    return f"{socket.gethostname()}:{os.getpid()}"


def guarded(function: Callable[[Any], Any], item: Any) -> tuple[bool, Any]:
    """Call a function for another process, which cannot be sent every exception.

    Parameters
    ----------
    function : callable
    item : object

    Returns
    -------
    right : bool
        Whether it returned.
    value : object
        What it returned or raised; an exception that does not pickle becomes a RuntimeError with its traceback.

    Examples
    --------
    >>> guarded(len, "abc"), guarded(len, 3)[0]
    ((True, 3), False)
    """
    try:
        return True, function(item)
    except Exception as raised:
        try:
            pickle.loads(pickle.dumps(raised))
        except Exception:
            return False, RuntimeError(traceback.format_exc())
        return False, raised
