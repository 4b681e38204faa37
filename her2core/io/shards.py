"""Shards: many small images in one uncompressed tar file, each named by the shard's path and its own name.

``slides/S1/tiles.tar/3_4.png`` is the entry ``3_4.png`` of the file ``slides/S1/tiles.tar``; whatever takes the path of
an image file takes such a path too. The layout is that of WebDataset, whose readers open the same files. Entries are
read at their place in the file; nothing is unpacked to disk.
"""

from __future__ import annotations

import os
import tarfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType

from her2core.errors import ImageError
from her2core.io.text import clean_text

#: Ending of a shard's file name.
SHARD = ".tar"
#: Entries of all shards whose places are remembered, about 200 bytes each; the least recently used shard goes first.
_REMEMBERED = 1_000_000
_FIX = "Write the shard again, or restore it from a copy."


@dataclass(frozen=True)
class ShardEntry:
    """One entry of a shard.

    Attributes
    ----------
    shard : Path
        The tar file.
    name : str
        Of the entry, with ``/`` between levels.
    """

    shard: Path
    name: str


class ShardWriter:
    """Writes a shard. The same entries in the same order give the same bytes.

    Parameters
    ----------
    path : Path
        The tar file; replaced when it is there.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ShardWriter(Path(folder, "tiles.tar")) as shard:
    ...         shard.add("0_0.png", b"pixels")
    ...     read_entry(find_entry(Path(folder, "tiles.tar", "0_0.png")), limit=100)
    b'pixels'
    """

    def __init__(self, path: Path) -> None:
        self._file = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (closed by __exit__)

    def add(self, name: str, data: bytes) -> None:
        """Append one entry.

        Parameters
        ----------
        name : str
        data : bytes
        """
        about = tarfile.TarInfo(name)
        about.size = len(data)
        self._file.addfile(about, BytesIO(data))

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def find_entry(path: str | os.PathLike[str]) -> ShardEntry | None:
    """The entry of a shard that a path names.

    Parameters
    ----------
    path : path
        Of an image.

    Returns
    -------
    ShardEntry or None
        None where no level above the last one is a file that ends in ``.tar``.

    Examples
    --------
    >>> find_entry("tiles/1_2.png") is None
    True
    """
    named = Path(os.fsdecode(path))
    for level in named.parents:
        if level.suffix.lower() == SHARD and level.is_file():
            return ShardEntry(level, named.relative_to(level).as_posix())
    return None


def image_exists(path: Path) -> bool:
    """Whether there is an image file at a path, or an entry of a shard.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool
        False for a shard that cannot be read, as for a file that cannot be reached.

    Examples
    --------
    >>> image_exists(Path("no-such-file.png"))
    False
    """
    if os.path.isfile(path):
        return True
    entry = find_entry(path)
    try:
        return entry is not None and entry.name in _places(entry.shard)
    except ImageError:
        return False


def file_version(path: Path) -> tuple[int, int]:
    """Size and time of change of an image file, or of an entry of a shard.

    Parameters
    ----------
    path : Path

    Returns
    -------
    size : int
        Bytes.
    changed : int
        Nanoseconds since 1970, for an entry those of its shard.

    Raises
    ------
    OSError
        There is no such file.
    ImageError
        The shard cannot be read or has no such entry.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.png").write_bytes(b"pixels")
    ...     file_version(Path(folder, "a.png"))[0]
    6
    """
    entry = find_entry(path)
    about = (path if entry is None else entry.shard).stat()
    return about.st_size if entry is None else _place(entry)[1], about.st_mtime_ns


def read_entry(entry: ShardEntry, *, limit: int) -> bytes:
    """Content of an entry.

    Parameters
    ----------
    entry : ShardEntry
    limit : int
        Largest entry in bytes; of a larger one ``limit + 1`` bytes are read.

    Returns
    -------
    bytes

    Raises
    ------
    ImageError
        The shard cannot be read, has no such entry, or ends within it.
    """
    start, size = _place(entry)
    wanted = min(size, limit + 1)
    try:
        with open(entry.shard, "rb") as file:
            file.seek(start)
            data = file.read(wanted)
    except OSError as failed:
        raise _unreadable(entry.shard, failed) from failed
    if len(data) < wanted:
        raise ImageError(
            f"{size:,} bytes of {clean_text(entry.name)}",
            got=f"{len(data):,} before the shard ends",
            where=clean_text(entry.shard),
            fix=_FIX,
        )
    return data


_Places = dict[str, tuple[int, int]]
_known: OrderedDict[tuple[str, int, int], _Places] = OrderedDict()
_lock = threading.Lock()


def _place(entry: ShardEntry) -> tuple[int, int]:
    places = _places(entry.shard)
    if entry.name not in places:
        raise ImageError(
            f"an entry {clean_text(entry.name)}",
            got=f"none of this name among {len(places):,}",
            where=clean_text(entry.shard),
            fix="Correct the path: it is the shard's, a slash, and the entry's name.",
        )
    return places[entry.name]


def _places(shard: Path) -> _Places:
    """Start and size in bytes of every plain entry; read once as long as the file stays the same."""
    try:
        about = shard.stat()
        key = (os.path.abspath(shard), about.st_size, about.st_mtime_ns)
        with _lock:
            if key not in _known:
                with tarfile.open(shard, "r:") as file:
                    _known[key] = {e.name: (e.offset_data, e.size) for e in file if e.isreg() and not e.issparse()}
                while len(_known) > 1 and sum(map(len, _known.values())) > _REMEMBERED:
                    _known.popitem(last=False)
            _known.move_to_end(key)
            return _known[key]
    except (OSError, tarfile.TarError, ValueError) as failed:
        raise _unreadable(shard, failed) from failed


def _unreadable(shard: Path, failed: Exception) -> ImageError:
    reason = getattr(failed, "strerror", None) or failed
    return ImageError(
        "an uncompressed tar file that can be read", got=clean_text(reason), where=clean_text(shard), fix=_FIX
    )
