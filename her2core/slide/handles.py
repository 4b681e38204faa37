"""Open slides that are kept for the next read: least recently used ones are closed first.

Opening a slide takes milliseconds to seconds (a plain image is decoded whole), and a viewer asks for hundreds of tiles.
One process keeps one ``HANDLES``; any number of threads read through it. A slide that is being read is closed when its
last reader has finished, never before. A file that was exchanged (size or time of change) is opened anew.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from her2core.io.text import printable_path
from her2core.slide.reader import Slide
from her2core.slide.scale import slide_mpp
from her2core.slide.sources import SlideSource, open_source

#: Most slides kept open, and most memory that they may hold together, in bytes (our choice).
CAPACITY, MEMORY = 8, 1_500_000_000

#: A file as it was when it was opened: path, size in bytes, time of change in nanoseconds.
FileState: TypeAlias = tuple[str, int, int]


@dataclass
class _Handle:
    opening: threading.Lock = field(default_factory=threading.Lock)
    source: SlideSource | None = None
    readers: int = 0
    evicted: bool = False


class SlideHandles:
    """Open slides of one process, at most ``capacity`` of them beside those that are being read.

    Parameters
    ----------
    capacity : int
        Slides kept open; at least 1.
    memory : int
        Bytes that they may hold together. The slide read last is kept even if it holds more.
    opener : callable, optional
        Opens a path as ``sources.open_source`` does.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from her2core.io.images import encode_png
    >>> handles = SlideHandles(capacity=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [Path(folder, name) for name in ("a.png", "b.png")]
    ...     for file in files:
    ...         _ = file.write_bytes(encode_png(np.full((90, 120, 3), 200, np.uint8)))
    ...         with handles.slide(file, mpp=0.5) as slide:
    ...             print(slide)
    ...     [path.name for path in handles.open_paths]
    Slide('a', 120 x 90 px, 0.5 microns per pixel, 1 levels)
    Slide('b', 120 x 90 px, 0.5 microns per pixel, 1 levels)
    ['b.png']
    """

    def __init__(
        self, capacity: int = CAPACITY, memory: int = MEMORY, *, opener: Callable[[Path], SlideSource] = open_source
    ) -> None:
        self._capacity, self._memory, self._opener = max(1, capacity), memory, opener
        self._lock = threading.Lock()
        self._handles: OrderedDict[FileState, _Handle] = OrderedDict()

    @property
    def open_paths(self) -> list[Path]:
        """Files that are kept open, the least recently used one first."""
        with self._lock:
            return [Path(path) for (path, _, _), handle in self._handles.items() if handle.source is not None]

    @contextmanager
    def source(self, path: Path) -> Iterator[SlideSource]:
        """Read a slide's file, whatever its scale.

        Parameters
        ----------
        path : Path

        Yields
        ------
        SlideSource
            Shared with other threads; not to be closed.

        Raises
        ------
        ImageError
            The file vanished, is damaged or no slide.
        ConfigError
            It needs OpenSlide, which is not installed.
        """
        key = _file_state(path)
        with self._lock:
            handle = self._handles.setdefault(key, _Handle())
            self._handles.move_to_end(key)
            handle.readers += 1
        try:
            with handle.opening:
                if handle.source is None:
                    handle.source = self._opener(path)
            self._close_surplus(key)
            yield handle.source
        finally:
            with self._lock:
                handle.readers -= 1
                if handle.source is None and self._handles.get(key) is handle:
                    del self._handles[key]
                done = handle.evicted and not handle.readers
            if done and handle.source is not None:
                handle.source.close()

    @contextmanager
    def slide(self, path: Path, *, mpp: float | None = None) -> Iterator[Slide]:
        """Read a slide at its scale.

        Parameters
        ----------
        path : Path
        mpp : float, optional
            Microns per pixel of level 0; what the file states when left out.

        Yields
        ------
        Slide
            As from ``open_slide``; not to be closed.

        Raises
        ------
        ImageError
            As ``source``; or the scale is missing or doubtful and none is given.
        ConfigError
            It needs OpenSlide, which is not installed.
        """
        with self.source(path) as source:
            found, said = slide_mpp(source.stated, mpp, where=printable_path(path))
            yield Slide(path, source, found, said)

    def close(self) -> None:
        """Close every slide that is kept; those being read when their readers have finished."""
        with self._lock:
            handles = list(self._handles.values())
            self._handles.clear()
            unused = [self._evicted(handle) for handle in handles]
        _close(unused)

    def forget(self) -> None:
        """Start with no slide, without closing any: in the child of a fork they belong to its parent."""
        self._lock = threading.Lock()
        self._handles = OrderedDict()

    def _close_surplus(self, used: FileState) -> None:
        """Evict older states of the same file, then the least recently used slides, until the limits hold."""
        with self._lock:
            surplus = [key for key in self._handles if key[0] == used[0] and key != used]
            kept = [key for key in self._handles if key not in surplus]
            held = sum(self._held(key) for key in kept)
            for key in [k for k in kept if k != used]:
                if len(kept) <= self._capacity and held <= self._memory:
                    break
                kept.remove(key)
                held -= self._held(key)
                surplus.append(key)
            unused = [self._evicted(self._handles.pop(key)) for key in surplus]
        _close(unused)

    def _held(self, key: FileState) -> int:
        source = self._handles[key].source
        return 0 if source is None else source.held_bytes

    @staticmethod
    def _evicted(handle: _Handle) -> SlideSource | None:
        """Mark a handle, and return what may be closed at once; under the lock."""
        handle.evicted = True
        return None if handle.readers else handle.source


def _close(sources: list[SlideSource | None]) -> None:
    for source in sources:
        if source is not None:
            source.close()


def _file_state(path: Path) -> FileState:
    try:
        about = path.stat()
    except OSError:  # the opener says what is wrong with it
        return str(path), -1, -1
    return str(path), about.st_size, about.st_mtime_ns


#: The open slides of this process.
HANDLES = SlideHandles()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=HANDLES.forget)
