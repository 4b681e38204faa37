"""Engine that several threads share: what they ask for at the same time passes through the network together.

Several patches together take less time than one after the other. While one batch passes, what arrives waits and makes
the next one, so that a caller who is alone waits for nobody unless ``wait`` says so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from her2core.inference.engines import Engine, Forward

#: Patches in one pass through the network.
BATCH = 16


@dataclass(eq=False)
class _Request:
    batch: Tensor
    found: Forward | None = None
    failed: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.found is not None or self.failed is not None


class BatchedEngine:
    """An engine behind a queue; its answers are the engine's up to the rounding of batches.

    Parameters
    ----------
    engine : Engine
    batch : int, default BATCH
        Patches a pass, at most; a request of more passes alone.
    wait : float, default 0
        Seconds that the first patch of a batch waits for others.
    on_batch : callable, optional
        Called with the number of patches of each batch.

    Examples
    --------
    >>> from her2core.networks.registry import build_network
    >>> from her2core.inference.engines import TorchEngine
    >>> network = build_network("timm:test_resnet", 3).eval()
    >>> engine = BatchedEngine(TorchEngine(network, torch.device("cpu"), responses=False))
    >>> engine.forward(torch.zeros(2, 3, 64, 64)).scores.shape
    torch.Size([2, 3])
    """

    def __init__(
        self, engine: Engine, *, batch: int = BATCH, wait: float = 0.0, on_batch: Callable[[int], None] | None = None
    ) -> None:
        self._engine, self._batch, self._wait, self._on_batch = engine, batch, wait, on_batch
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._busy = False
        # One thread runs the network: torch keeps threads for each thread that calls it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")

    def forward(self, batch: Tensor) -> Forward:
        """The outputs for network inputs, float32 (N, 3, px, px) in any memory format; errors are the engine's."""
        own = _Request(batch)
        with self._changed:
            self._waiting.append(own)
            self._changed.notify_all()
        while not own.done:
            with self._changed:
                self._changed.wait_for(lambda: own.done or not self._busy)
                requests = [] if own.done else self._next_batch()
            if requests:
                self._pass(requests)
        if own.failed is not None:
            raise own.failed
        assert own.found is not None
        return own.found

    def describe(self) -> str:
        """Library, version, precision and device, as every prediction states them."""
        return self._engine.describe()

    def _next_batch(self) -> list[_Request]:
        """The requests that waited longest, as many as fit; the caller holds the lock and passes them."""
        self._busy = True

        def full() -> bool:
            return sum(len(r.batch) for r in self._waiting) >= self._batch

        if self._wait:
            self._changed.wait_for(full, self._wait)
        taken = [self._waiting.popleft()]
        room = self._batch - len(taken[0].batch)
        while self._waiting and len(self._waiting[0].batch) <= room:
            room -= len(self._waiting[0].batch)
            taken.append(self._waiting.popleft())
        return taken

    def _pass(self, requests: list[_Request]) -> None:
        sizes = [len(r.batch) for r in requests]
        try:
            if self._on_batch is not None:
                self._on_batch(sum(sizes))
            images = requests[0].batch if len(requests) == 1 else torch.cat([r.batch for r in requests])
            found = self._thread.submit(self._engine.forward, images).result()
            parts = zip(*(_divided(output, sizes) for output in found), strict=True)
            for request, part in zip(requests, parts, strict=True):
                request.found = Forward(*part)
        except BaseException as failed:  # whoever waits must hear of it
            for request in requests:
                request.failed = failed
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()


def _divided(output: Tensor | None, sizes: list[int]) -> tuple[Tensor | None, ...]:
    """An output of several requests, divided into those of each."""
    return (None,) * len(sizes) if output is None else output.split(sizes)
