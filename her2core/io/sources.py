"""Content and shown names of files, whether given as a path, as bytes or as a stream."""

from __future__ import annotations

import os
import stat
from typing import Any, BinaryIO

from her2core.errors import ImageError
from her2core.io.image_header import ALLOWED, COPY_AGAIN, SMALLER
from her2core.io.shards import find_entry, read_entry
from her2core.io.text import clean_text

MAX_BYTES = 600_000_000  # bytes; image_header.MAX_PIXELS stored as uncompressed RGB is 534 million

#: A file: its content, its path (a ``str`` is a path; it may name an entry of a shard), or a binary stream.
Source = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO


def shown_name(source: object, name: str | None) -> str:
    """Name of a file in messages: the one given, or that of its path or stream.

    Parameters
    ----------
    source : object
        A path, a stream, or the content.
    name : str or None
        The name to prefer.

    Returns
    -------
    str
        Cleaned for display; "image" where there is none.

    Examples
    --------
    >>> shown_name("P1/a.png", None), shown_name(b"", None)
    ('P1/a.png', 'image')
    """
    try:
        named = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
        named = named if name is None else name
        return (clean_text(os.fsdecode(named)) if isinstance(named, (str, os.PathLike)) else "") or "image"
    except Exception:  # a path or stream object from outside may raise anything; only the name is lost
        return "image"


def file_bytes(source: Source, where: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a file in any of the forms of ``Source``.

    Parameters
    ----------
    source : bytes, path or binary stream
        As in ``read_image``.
    where : str
        Name of the file in messages.
    max_bytes : int, default 600,000,000
        Largest file, in bytes.

    Returns
    -------
    bytes

    Raises
    ------
    ImageError
        It cannot be read, is empty or too large.

    Examples
    --------
    >>> file_bytes(b"pixels", "a.png")
    b'pixels'
    """
    data: Any
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = source
    elif isinstance(source, (str, os.PathLike)):
        data = _read_path(source, where, max_bytes)
    else:
        seekable = getattr(source, "seekable", None)
        if seekable is not None and seekable():
            source.seek(0)
        data = source.read(max_bytes + 1) if hasattr(source, "read") else None
        if not isinstance(data, bytes):
            raise ImageError(
                "bytes, a path or a binary stream",
                got=clean_text(type(source).__name__),
                where=where,
                fix="Pass the file's bytes or its path.",
            )
    _check_bytes(memoryview(data).nbytes, where, max_bytes)
    return bytes(data)


def _read_path(path: str | os.PathLike[str], where: str, max_bytes: int) -> bytes:
    try:
        if (entry := find_entry(path)) is not None:
            return read_entry(entry, limit=max_bytes)
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # asked before opening: opening a pipe would block
            got = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
            raise ImageError("an image file", got=got, where=where, fix="Name one image file.")
        _check_bytes(status.st_size, where, max_bytes)
        with open(path, "rb") as file:
            return file.read(status.st_size + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte or that cannot be encoded
        raise ImageError(
            "a readable file",
            got=f"an error of the operating system ({clean_text(getattr(error, 'strerror', None) or error)})",
            where=where,
            fix="Check the path and its permissions.",
        ) from error


def _check_bytes(size: int, where: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ImageError(f"a file of at most {max_bytes:,} bytes", got=f"{size:,} or more", where=where, fix=SMALLER)
    if not size:
        raise ImageError(ALLOWED, got="an empty file", where=where, fix=COPY_AGAIN)
