"""The same work on a Ray cluster (Apache-2.0, extra ``cluster``), or on a new local one.

Items travel (paths and settings), pixels do not: every machine reads slides from, and writes results to, folders that
all share under the same names. A lost worker process or machine costs its item one attempt, as in the pool of
processes. Ray's own reports of usage over the network are switched off.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from her2core.errors import ConfigError
from her2core.extras import require_extra
from her2core.io.text import clean_text
from her2core.parallel.processes import processors
from her2core.parallel.tasks import ATTEMPTS, Completed, guarded, worker_name

#: Items given to the cluster for each of its processors: one at work and one on the way.
_AHEAD = 2


def require_ray() -> None:
    """Refuse to go on without Ray.

    Raises
    ------
    ConfigError
        That names the command which installs it.
    """
    require_extra("cluster", "ray")


def on_ray(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    address: str,
    workers: int | None = None,
    attempts: int = ATTEMPTS,
) -> Iterator[Completed]:
    """Call a function with every item on a Ray cluster.

    Parameters
    ----------
    function : callable
        Pickles; her2core of the same version is installed on every machine.
    items : sequence
    address : str
        Of the cluster (``ray://host:10001``, ``host:6379``, ``auto``), or ``local``.
    workers : int, optional
        Processors of a local cluster; all of this machine when left out.
    attempts : int
        Times an item is given to a worker whose process or machine is lost.

    Yields
    ------
    Completed
        As they are finished.

    Raises
    ------
    Exception
        What the function raised.
    ConfigError
        Ray is not installed, or there is no such cluster.
    """
    require_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    _connect(ray, address, workers)
    try:
        held = ray.put(function)
        # Attempts are counted here, by the one rule of all backends.
        task = ray.remote(num_cpus=1, max_retries=0)(_task)
        waiting = deque((index, 1) for index in range(len(items)))
        running: dict[Any, tuple[int, int]] = {}
        while waiting or running:
            room = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while waiting and len(running) < room:
                index, attempt = waiting.popleft()
                running[task.remote(held, items[index])] = index, attempt
            (reference, *_), _ = ray.wait(list(running), num_returns=1)
            index, attempt = running.pop(reference)
            try:
                worker, right, value = ray.get(reference)
            except ray.exceptions.RayError as lost:
                if attempt < attempts:
                    waiting.append((index, attempt + 1))
                    continue
                reason = clean_text(str(lost).partition("\n")[0], 200)
                yield Completed(index, None, f"its worker was lost {attempt} times, the last: {reason}", "", attempt)
                continue
            if not right:
                raise value
            yield Completed(index, value, worker=worker, attempts=attempt)
    finally:
        ray.shutdown()


def _task(function: Callable[[Any], Any], item: Any) -> tuple[str, bool, Any]:
    return worker_name(), *guarded(function, item)


def _connect(ray: Any, address: str, workers: int | None) -> None:
    own = {"num_cpus": workers or processors(), "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as refused:
        raise ConfigError(
            "a Ray cluster that answers, of the same versions of Python and Ray as here",
            got=clean_text(str(refused).partition("\n")[0], 200),
            where=f"--cluster {clean_text(address, 80)}",
            fix="Start one (ray start --head), check the address, or use --cluster local.",
        ) from None
