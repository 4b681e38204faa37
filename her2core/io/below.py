"""Files opened below a folder without following links, and only up to a size.

A folder from elsewhere may hold a link to any file of this machine, or one that is exchanged between a check and the
reading: every level is opened by its name inside the opened level above, and the opened file itself is examined.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path, PurePosixPath

#: Zero where the system has no such flag (Windows); the level is then examined by its path.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


class RefusedFile(OSError):
    """A link, a folder or another thing that is no plain file, or one beyond the size allowed."""


def open_below(root: str | os.PathLike[str], name: str, *, limit: int | None = None) -> BufferedReader:
    """Open a plain file below a folder for reading.

    Parameters
    ----------
    root : path
        The folder; it may itself be reached by a link.
    name : str
        Path below it, with ``/`` between levels.
    limit : int, optional
        Largest size in bytes.

    Returns
    -------
    binary file

    Raises
    ------
    RefusedFile
        For a link at any level below ``root``, a folder, a device, or a file beyond ``limit``; its text is a noun
        phrase that says which.
    OSError
        Where there is no such file, or it may not be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.txt").write_text("kept")
    ...     os.symlink("a.txt", Path(folder, "link.txt"))
    ...     with open_below(folder, "a.txt") as file:
    ...         print(file.read())
    ...     try:
    ...         open_below(folder, "link.txt")
    ...     except RefusedFile as refused:
    ...         print(refused)
    b'kept'
    a link
    """
    levels = PurePosixPath(name).parts
    if not levels or any(level in ("..", "/") or "\0" in level for level in levels):
        raise RefusedFile("a path that leads out of the folder")
    if os.open not in os.supports_dir_fd or not _NO_LINK:
        handle = _open_by_path(Path(root), levels)
    else:
        handle = _open_by_level(os.fspath(root), levels)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise RefusedFile("a folder" if stat.S_ISDIR(about.st_mode) else "no plain file")
        if limit is not None and about.st_size > limit:
            raise RefusedFile(f"{_size(about.st_size)}, above the limit of {_size(limit)}")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _open_by_level(root: str, levels: tuple[str, ...]) -> int:
    place = os.open(root, os.O_RDONLY | _FOLDER)
    try:
        for level in levels[:-1]:
            below = _open_entry(level, os.O_RDONLY | _FOLDER | _NO_LINK, place)
            os.close(place)
            place = below
        return _open_entry(levels[-1], os.O_RDONLY | _NO_LINK | _NO_WAIT, place)
    finally:
        os.close(place)


def _open_entry(name: str, flags: int, place: int) -> int:
    try:
        return os.open(name, flags, dir_fd=place)
    except OSError:
        try:
            linked = stat.S_ISLNK(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)
        except OSError:
            linked = False
        if linked:
            raise RefusedFile("a link") from None
        raise


def _open_by_path(root: Path, levels: tuple[str, ...]) -> int:
    path = root
    for level in levels:
        path = path / level
        if path.is_symlink():
            raise RefusedFile("a link")
    if path.is_dir():
        raise RefusedFile("a folder")
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))


def _size(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size >= 2**20 else f"{size / 2**10:,.1f} KiB"
