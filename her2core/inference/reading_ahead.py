"""Preparation of images in threads, ahead of the network that predicts them.

While the network works on a batch, the next ones are decoded, resized, normalised and measured. Libraries do this
without Python's lock for the most part, so that threads gain where there are cores.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

from her2core.inference.images import ImageLike

Ready = TypeVar("Ready")
#: Batches prepared ahead.
_AHEAD = 2
#: Threads, at most: beyond these the network is what is waited for.
_THREADS = 8


def ready_patches(
    prepare: Callable[[ImageLike, str], Ready], images: Sequence[ImageLike], names: Sequence[str], batch: int
) -> Iterator[Ready]:
    """Prepared images in order, read ahead of their use.

    Parameters
    ----------
    prepare : callable
        Called with an image and its name, from several threads at the same time.
    images : sequence of images
    names : sequence of str
        As many.
    batch : int
        Images used together, 1 and up.

    Yields
    ------
    What ``prepare`` returns.

    Examples
    --------
    >>> list(ready_patches(lambda image, name: name.upper(), [b"", b""], ["a", "b"], 1))
    ['A', 'B']
    """
    threads = min(os.cpu_count() or 1, _THREADS, len(images))
    if threads < 2:
        yield from map(prepare, images, names)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")
    waiting: deque[Callable[[], Ready]] = deque()
    try:
        for image, name in zip(images, names, strict=True):
            if isinstance(image, Image.Image):  # decoded when first touched, which Pillow does not do from two threads
                waiting.append(lambda image=image, name=name: prepare(image, name))  # type: ignore[misc]
            else:
                future: Future[Ready] = pool.submit(prepare, image, name)
                waiting.append(future.result)
            if len(waiting) >= _AHEAD * batch + threads:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
