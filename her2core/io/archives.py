"""Images of a zip archive, one entry at a time and in memory only.

Nothing is written to disk, and no name or number in the file is trusted:

- The whole archive is refused (``ImageError``) on its table of contents, before anything is unpacked: not a zip,
  damaged, one part of several, something in front of or behind it, too many entries, too much in all, entries that
  overlap (D. Fifield 2019, A better zip bomb, USENIX WOOT), or no image at all.
- A single entry is refused, and the others are read: encrypted, an archive itself, a link, a name that leads out of the
  folder or hides what it is, a compression ratio as in a decompression bomb, longer than it claims, damaged, empty.
- Folders and what operating systems add (``__MACOSX``, ``Thumbs.db``, dot files) are skipped silently; tables and notes
  beside the images are skipped too, and a last entry counts them.

Whether the bytes are an image is decided by ``her2core.io.images`` alone. Stored and deflated entries are read. All
other methods are refused, also those that Python's zipfile knows (bzip2, LZMA, Zstandard): it gives their decompressors
no bound on what one block may become.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from her2core.errors import ImageError
from her2core.io.image_header import COPY_AGAIN, SMALLER
from her2core.io.images import Source
from her2core.io.listing import is_system_name
from her2core.io.text import clean_text, has_hidden_characters, printable_path
from her2core.io.zip_index import Record, archive_kind, contents, unpack


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits of an archive: above ``files``, ``total`` or ``contents`` it is refused, above the others one entry.

    Attributes
    ----------
    files : int
        Number of entries, folders among them.
    total : int
        Bytes that all entries together claim to unpack to.
    contents : int
        Bytes of the table of contents: 8 kB an entry.
    entry : int
        Bytes of one entry, unpacked.
    ratio : int
        Unpacked over packed size; a picture that packs better is one colour.
    ratio_from : int
        Bytes, unpacked, below which the ratio does no harm.
    name : int
        Characters of an entry's name with its folders.

    Examples
    --------
    >>> ArchiveLimits(files=100).entry
    268435456
    """

    files: int = 2_000
    total: int = 2**30
    contents: int = 16 * 2**20
    entry: int = 256 * 2**20
    ratio: int = 200
    ratio_from: int = 10 * 2**20
    name: int = 1_000


@dataclass(frozen=True)
class Entry:
    """One entry of an archive.

    Attributes
    ----------
    name : str
        Cleaned for display and unique in its archive.
    data : bytes or None
        Unpacked, its checksum verified; None where the entry was refused or skipped.
    error : str
        The reason, one sentence that starts with the name; empty where there is data.
    skipped : bool
        Whether this is the count of files beside the images, which are no images and were not read.
    stated : str
        The name in the archive, printable (``printable_path``), by which an answer is joined back to its file.
    number, of : int
        Its position, from 1, and the number of entries that are handed out.
    """

    name: str
    data: bytes | None
    error: str = ""
    number: int = 0
    of: int = 0
    skipped: bool = False
    stated: str = ""


_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst")
_SIDE_SUFFIXES = (".csv", ".tsv", ".txt", ".xml", ".json", ".geojson", ".md", ".yaml", ".yml", ".log", ".ini")


def read_archive(source: Source, *, name: str, limits: ArchiveLimits | None = None) -> Iterator[Entry]:
    """Unpack the entries of a zip that may be images, in the archive's order and only one at a time.

    Parameters
    ----------
    source : bytes, path or binary stream
        The archive's content, its path (a ``str`` is a path), or a stream. A stream that can seek must not be used by
        others meanwhile; one that cannot is read into memory, up to ``limits.total`` bytes.
    name : str
        Name of the archive in messages; cleaned for display.
    limits : ArchiveLimits, optional
        The defaults when left out.

    Yields
    ------
    Entry
        With data, or with the reason why there is none.

    Raises
    ------
    ImageError
        With the first ``next``, where the whole archive is refused; later only where the source itself fails.

    Examples
    --------
    >>> import io, zipfile
    >>> stream = io.BytesIO()
    >>> with zipfile.ZipFile(stream, "w") as archive:
    ...     archive.writestr("P1/a.png", b"pixels")
    ...     archive.writestr("P1/notes.txt", b"text")
    >>> for entry in read_archive(stream, name="patches.zip"):
    ...     print((entry.name, entry.data, entry.error))
    ('P1/a.png', b'pixels', '')
    ('other files', None, 'other files: skipped 1 not images (1 txt).')
    """
    limits, where = limits or ArchiveLimits(), clean_text(name) or "archive"
    try:
        with _opened(source, where, limits) as file:
            yield from _entries(file, where, limits)
    except OSError as error:
        raise _unreadable(error, where) from error


def unique_name(name: str, taken: dict[str, int]) -> str:
    """A name that is not taken yet: itself, or the first of "name (2)", "name (3)" and so on.

    Parameters
    ----------
    name : str
        The name wanted.
    taken : dict of str to int
        Names taken so far, with the last number tried; the result is added.

    Returns
    -------
    str
        The unique name.

    Examples
    --------
    >>> taken = {}
    >>> [unique_name(name, taken) for name in ("a.png", "b.png", "a.png")]
    ['a.png', 'b.png', 'a.png (2)']
    """
    number, unique = taken.get(name, 1), name
    while unique in taken:
        number += 1
        unique = f"{name} ({number})"
    taken[unique] = 1
    taken[name] = number
    return unique


def _unreadable(error: Exception, where: str) -> ImageError:
    return ImageError(
        "a readable archive",
        got=f"an error of the operating system ({clean_text(getattr(error, 'strerror', None) or error)})",
        where=where,
        fix="Check the path and its permissions.",
    )


def _opened(source: Source, where: str, limits: ArchiveLimits) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    try:
        if isinstance(source, (str, os.PathLike)):
            if stat.S_ISREG(os.stat(source).st_mode):  # asked before opening: opening a pipe would block
                return open(source, "rb")
            raise ImageError(
                "a zip file", got="a folder, device, pipe or socket", where=where, fix="Name one zip file."
            )
        if not isinstance(source.read(0) if hasattr(source, "read") else None, bytes):
            raise ImageError(
                "bytes, a path or a binary stream",
                got=clean_text(type(source).__name__),
                where=where,
                fix="Pass the file's bytes or its path.",
            )
        if source.seekable():
            return nullcontext(source)  # its owner closes it
        data = source.read(limits.total + 1)
    except ValueError as error:  # a closed stream, or a path with a zero byte
        raise _unreadable(error, where) from error
    if len(data) > limits.total:
        raise ImageError(
            f"a zip of at most {limits.total:,} bytes",
            got=f"{len(data):,} bytes or more",
            where=where,
            fix="Split it into several zips.",
        )
    return io.BytesIO(data)


def _entries(file: BinaryIO, where: str, limits: ArchiveLimits) -> Iterator[Entry]:
    records: list[Record] = []
    system_files, side_files = 0, Counter[str]()
    lines = contents(file, where, files=limits.files, length=limits.contents, total=limits.total)
    for record in lines:
        lower, kind = _slashes(record.name).lower(), stat.S_IFMT(record.attributes >> 16)
        if lower.endswith("/") or kind == stat.S_IFDIR or (record.attributes & 0x10 and not record.size):
            continue
        parts = [part for part in lower.split("/") if part not in (".", "..")]
        if any(is_system_name(part) for part in parts):
            system_files += 1
        elif lower.endswith(_SIDE_SUFFIXES):
            side_files[lower.rsplit(".", 1)[1]] += 1
        else:
            records.append(record)
    kinds = ", ".join(f"{n} {kind}" for kind, n in side_files.most_common())
    skipped = [f"{side_files.total()} not images ({kinds})"] if side_files else []
    skipped += [f"{system_files} of the operating system"] if system_files else []
    if not records:
        among = f"among them {' and '.join(skipped)}" if skipped else "all of them folders"
        entries = "1 entry" if len(lines) == 1 else f"{len(lines)} entries"
        got = f"{entries}, {among}" if lines else "an empty zip"
        raise ImageError("a zip with images", got=got, where=where, fix="Put the images into it.")
    taken: dict[str, int] = {}
    of = len(records) + bool(side_files)
    for number, record in enumerate(records, 1):
        name = _slashes(record.name)
        shown, stated = unique_name(clean_text(name) or "unnamed", taken), printable_path(name)
        try:
            _check(record, shown, limits)
            yield Entry(shown, _whole(file, record, shown), "", number, of, stated=stated)
        except ImageError as refused:
            yield Entry(shown, None, refused.sentence, number, of, stated=stated)
    if side_files:
        shown = unique_name("other files", taken)
        yield Entry(shown, None, f"{shown}: skipped {' and '.join(skipped)}.", of, of, True)


def _slashes(name: str) -> str:
    """The name with "/" between its parts: some Windows programs write backslashes, against APPNOTE 4.4.17."""
    return name.replace("\\", "/")


def _check(record: Record, shown: str, limits: ArchiveLimits) -> None:
    """Refuse an entry on what the table of contents states about it, before a byte of it is unpacked."""
    name, kind = _slashes(record.name), stat.S_IFMT(record.attributes >> 16)
    _check_name(name, shown, limits)
    if kind not in (0, stat.S_IFREG):
        got = "a symbolic link" if kind == stat.S_IFLNK else "a device, pipe or socket"
        raise ImageError("a file", got=got, where=shown, fix="Put the image itself into the zip.")
    if record.flags & 0x2041 or record.method == 99:  # bits 0, 6 and 13; 99 is AES
        raise ImageError(
            "a file that is not encrypted", got="an encrypted one", where=shown, fix="Make the zip without a password."
        )
    if name.lower().endswith(_ARCHIVE_SUFFIXES):
        raise ImageError("an image", got="an archive inside the zip", where=shown, fix="Unpack it first.")
    if record.method not in (0, 8):
        raise ImageError(
            "a stored or deflated file",
            got=f"one packed with {_METHODS.get(record.method, f'method {record.method}')}",
            where=shown,
            fix="Make the zip again with the usual method, Deflate.",
        )
    if record.size > limits.entry:
        raise ImageError(f"at most {limits.entry:,} bytes unpacked", got=f"{record.size:,}", where=shown, fix=SMALLER)
    if record.size > limits.ratio_from and record.size > limits.ratio * record.packed:
        raise ImageError(
            f"a file that packs at most {limits.ratio} to 1",
            got=f"{record.size:,} bytes packed into {record.packed:,}, as in a decompression bomb",
            where=shown,
            fix="Leave it out of the zip.",
        )


def _check_name(name: str, shown: str, limits: ArchiveLimits) -> None:
    got = ""
    if len(name) > limits.name:
        got = f"one of {len(name):,} characters"
    elif has_hidden_characters(name):
        got = "one with control characters or marks that turn the direction of text"
    elif name.startswith("/") or re.match(r"[A-Za-z]:", name):
        got = "one that starts at the root of a disk"
    elif ".." in name.split("/"):
        got = "one that leads out of the zip's own folder"
    if got:
        raise ImageError("a plain file name", got=got, where=shown, fix="Rename the file and make the zip again.")


def _whole(file: BinaryIO, record: Record, shown: str) -> bytes:
    """The entry's bytes; refused where there are none or they are an archive again, whatever its name."""
    data = unpack(file, record, shown)
    if not data:
        raise ImageError("an image", got="an empty file", where=shown, fix=COPY_AGAIN)
    if kind := archive_kind(data):
        raise ImageError(
            "an image", got=f"{kind} inside the zip", where=shown, fix="Unpack it first, or export the picture as PNG."
        )
    return data
