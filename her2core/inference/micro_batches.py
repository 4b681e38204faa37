"""Micro-batches: requests of several callers pass through the network together.

Each caller prepares its image in its own thread. One thread takes what is ready, waits at most a few milliseconds for
more, and runs the network once for all of it: several patches together take less time than one after the other.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from her2core.errors import Her2Error
from her2core.inference.analysis import PatchAnalysis
from her2core.inference.pipeline import Pipeline, ReadyPatch

#: Patches in one pass through the network, and seconds that the first of them waits for others.
BATCH, WAIT = 16, 0.01


class ServerBusy(Her2Error):
    """As many patches wait as may: the caller should try again later."""


@dataclass(eq=False)
class _Request:
    patch: ReadyPatch
    answer: Future[PatchAnalysis] = field(default_factory=Future)


class MicroBatcher:
    """One thread that runs the network for many callers; close it when it is no longer needed.

    Parameters
    ----------
    pipeline : Pipeline
    batch : int, default BATCH
        Patches a pass, at most.
    wait : float, default WAIT
        Seconds that the first patch of a batch waits for others.
    waiting : int, default 64
        Patches that may wait; more are refused.
    on_batch : callable, optional
        Called with the number of patches of each batch.

    Examples
    --------
    >>> import numpy as np
    >>> from her2core.inference.example import example_predictor
    >>> pipeline = example_predictor()._pipeline
    >>> with MicroBatcher(pipeline) as batcher:
    ...     ready = pipeline.ready(np.full((64, 64, 3), 255, np.uint8), "a", mpp=None)
    ...     batcher.submit(ready).result(30).prediction.flags
    ('blank',)
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        batch: int = BATCH,
        wait: float = WAIT,
        waiting: int = 64,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self._pipeline, self._batch, self._wait, self._on_batch = pipeline, batch, wait, on_batch
        self._queue: queue.Queue[_Request | None] = queue.Queue(waiting)
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="micro-batches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Patches that wait for the network."""
        return self._queue.qsize()

    def submit(self, patch: ReadyPatch) -> Future[PatchAnalysis]:
        """Ask for the analysis of a prepared patch, with its features.

        Parameters
        ----------
        patch : ReadyPatch
            From ``pipeline.ready``.

        Returns
        -------
        Future of PatchAnalysis

        Raises
        ------
        ServerBusy
            As many patches wait as may, or the server stops.
        """
        request = _Request(patch)
        try:
            with self._lock:  # nothing is accepted after the last that is answered
                if self._closed:
                    raise queue.Full
                self._queue.put_nowait(request)
        except queue.Full:
            raise ServerBusy(
                "a free place in the queue", got=f"{self.waiting} patches waiting", fix="Try again later."
            ) from None
        return request.answer

    def close(self) -> None:
        """Answer what waits, then end the thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> MicroBatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            requests, until, last = [first], time.monotonic() + self._wait, False
            while len(requests) < self._batch and not last:
                try:
                    found = self._queue.get(timeout=max(0.0, until - time.monotonic()))
                except queue.Empty:
                    break
                if found is None:
                    last = True
                else:
                    requests.append(found)
            # A caller that no longer waits needs no answer.
            self._answer([r for r in requests if r.answer.set_running_or_notify_cancel()])
            if last:
                return

    def _answer(self, requests: list[_Request]) -> None:
        if not requests:
            return
        if self._on_batch is not None:
            self._on_batch(len(requests))
        try:
            found = self._pipeline.analyse([r.patch for r in requests], keep=True)
        except BaseException as failed:  # whoever waits must hear of it, and the thread goes on
            for request in requests:
                request.answer.set_exception(failed)
            return
        for request, analysis in zip(requests, found, strict=True):
            request.answer.set_result(analysis)
