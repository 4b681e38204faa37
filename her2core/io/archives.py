"""Which images does this zip hold? Bytes, a path or a binary stream in; its entries out, one at a time, in memory only.

Nothing is ever written to disk, and no name or number in the file is believed:

- The whole archive is refused (``ImageError``) on what its table of contents says, before anything is unpacked: no zip,
  damaged, one part of several, something in front of or behind it, too many entries, too much in all, entries that
  overlap (D. Fifield, A better zip bomb, USENIX WOOT 2019), or no image at all.
- A single entry is refused, and the rest goes on: encrypted, an archive itself, a link, a name that leads out of the
  folder or hides what it is, packed suspiciously well, longer than it claims, damaged, empty.
- Folders and what systems leave behind (``__MACOSX``, ``Thumbs.db``, dot files) are passed over in silence; tables and
  notes beside the images are left out too, and one last line counts them.

What the bytes show is asked by ``her2core.io.images`` alone. Stored and deflated entries are read. All other methods
are refused, also those that Python's zipfile knows (bzip2, LZMA, Zstandard): it gives these decompressors no bound on
what one block may become.
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
from her2core.io.images import Source
from her2core.io.text import clean_text, has_hidden_characters
from her2core.io.zip_index import Record, archive_kind, contents, unpack


@dataclass(frozen=True)
class ArchiveLimits:
    """Above ``files``, ``total`` or ``contents`` the archive is refused, above the others one entry."""

    files: int = 2_000  # entries, folders among them
    total: int = 2**30  # bytes that all entries together say they unpack to
    contents: int = 16 * 2**20  # bytes of the table of contents: 8 kB an entry
    entry: int = 256 * 2**20  # bytes of one entry, unpacked
    ratio: int = 200  # unpacked to packed; a picture that packs better is one colour
    ratio_from: int = 10 * 2**20  # bytes; below this the ratio does no harm
    name: int = 1_000  # characters of an entry's name with its folders


@dataclass(frozen=True)
class Entry:
    """One entry: ``data`` unpacked and its checksum right, or None with the reason in ``error``, one line that starts
    with the name. ``name`` is cleaned for display and unique in its archive. It is the ``number``-th of ``of``."""

    name: str
    data: bytes | None
    error: str = ""
    number: int = 0
    of: int = 0


# fmt: off
_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst")
_SIDE_SUFFIXES = (".csv", ".tsv", ".txt", ".xml", ".json", ".geojson", ".md", ".yaml", ".yml", ".log", ".ini")
_LEFT_BEHIND = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini")
# fmt: on


def read_archive(source: Source, *, name: str, limits: ArchiveLimits | None = None) -> Iterator[Entry]:
    """Unpack the entries of a zip that may be images, in the archive's order and only one at a time.

    Parameters
    ----------
    source : the archive's content as bytes, its path (a ``str`` is a path), or a binary stream. A stream that can seek
        must not be used by others meanwhile; one that cannot is read into memory, up to ``limits.total`` bytes.
    name : what to call the archive in messages; cleaned for display.
    limits : ArchiveLimits() when left out.

    Raises
    ------
    ImageError : with the first ``next``, the whole archive is refused; see the top of this file. Later only where the
        source itself stops giving bytes.
    """
    limits, where = limits or ArchiveLimits(), clean_text(name) or "archive"
    try:
        with _opened(source, where, limits) as file:
            yield from _entries(file, where, limits)
    except OSError as error:
        raise _unreadable(error, where) from error


def unique_name(name: str, taken: dict[str, int]) -> str:
    """``name``, or the first of "name (2)", "name (3)" and so on that is not in ``taken``; ``taken`` remembers it."""
    number, unique = taken.get(name, 1), name
    while unique in taken:
        number += 1
        unique = f"{name} ({number})"
    taken[unique] = 1
    taken[name] = number
    return unique


def _error(expected: str, got: str, where: str, fix: str) -> ImageError:
    return ImageError(expected, got=got, where=where, fix=fix)


def _unreadable(error: Exception, where: str) -> ImageError:
    got = f"an error of the system ({clean_text(getattr(error, 'strerror', None) or error)})"
    return _error("an archive that can be read", got, where, "Check the path and that you may read it.")


def _opened(source: Source, where: str, limits: ArchiveLimits) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    try:
        if isinstance(source, (str, os.PathLike)):
            if stat.S_ISREG(os.stat(source).st_mode):  # asked before opening: opening a pipe would wait for ever
                return open(source, "rb")
            raise _error("a zip file", "a folder, device, pipe or socket", where, "Name one zip file.")
        if not isinstance(source.read(0) if hasattr(source, "read") else None, bytes):
            got = f"a {clean_text(type(source).__name__)} that gives no bytes"
            raise _error("bytes, a path or a binary stream", got, where, "Pass the file's bytes or its path.")
        if source.seekable():
            return nullcontext(source)  # its owner closes it
        data = source.read(limits.total + 1)
    except ValueError as error:  # a closed stream, or a path that holds a zero byte
        raise _unreadable(error, where) from error
    if len(data) > limits.total:
        got = f"{len(data):,} bytes or more"
        raise _error(f"a zip of at most {limits.total:,} bytes", got, where, "Split it into several zips.")
    return io.BytesIO(data)


def _entries(file: BinaryIO, where: str, limits: ArchiveLimits) -> Iterator[Entry]:
    records, passed, side = [], 0, Counter()
    lines = contents(file, where, files=limits.files, length=limits.contents, total=limits.total)
    for record in lines:
        lower, kind = record.name.lower(), stat.S_IFMT(record.attributes >> 16)
        if lower.endswith("/") or kind == stat.S_IFDIR or (record.attributes & 0x10 and not record.size):
            continue
        parts = [part for part in lower.replace("\\", "/").split("/") if part not in (".", "..")]
        if any(part in _LEFT_BEHIND or part.startswith(".") for part in parts):
            passed += 1
        elif lower.endswith(_SIDE_SUFFIXES):
            side[lower.rsplit(".", 1)[1]] += 1
        else:
            records.append(record)
    told = f"{side.total()} not images ({', '.join(f'{n} {kind}' for kind, n in side.most_common())})" if side else ""
    if passed:
        told += f"{' and ' if told else ''}{passed} of the system"
    if not records:
        got = f"{len(lines)} entries, among them {told}" if told else f"{len(lines)} entries, all of them folders"
        raise _error("a zip with images", got if lines else "an empty zip", where, "Put the images into it.")
    taken: dict[str, int] = {}
    of = len(records) + bool(side)
    for number, record in enumerate(records, 1):
        shown = unique_name(clean_text(record.name) or "unnamed", taken)
        try:
            _check(record, shown, limits)
            yield Entry(shown, _whole(file, record, shown), "", number, of)
        except ImageError as refused:
            yield Entry(shown, None, refused.sentence, number, of)
    if side:
        shown = unique_name("other files", taken)
        yield Entry(shown, None, f"{shown}: left out {told}.", of, of)


def _check(record: Record, shown: str, limits: ArchiveLimits) -> None:
    """Refuse an entry on what is said about it, before a byte of it is unpacked."""
    name, kind = record.name, stat.S_IFMT(record.attributes >> 16)
    _check_name(name, shown, limits)
    if kind not in (0, stat.S_IFREG):
        got = "a symbolic link" if kind == stat.S_IFLNK else "a device, pipe or socket"
        raise _error("a file", got, shown, "Put the image itself into the zip.")
    if record.flags & 0x2041 or record.method == 99:  # bits 0, 6 and 13; 99 is AES
        raise _error("a file that is not encrypted", "an encrypted one", shown, "Make the zip without a password.")
    if name.lower().endswith(_ARCHIVE_SUFFIXES):
        raise _error("an image", "an archive inside the zip", shown, "Unpack it first.")
    if record.method not in (0, 8):
        got = _METHODS.get(record.method, f"method {record.method}")
        fix = "Make the zip again with the usual method, Deflate."
        raise _error("a stored or deflated file", f"one packed with {got}", shown, fix)
    if record.size > limits.entry:
        fix = "Cut the image into smaller fields; a whole slide needs a slide reader."
        raise _error(f"at most {limits.entry:,} bytes unpacked", f"{record.size:,}", shown, fix)
    if record.size > limits.ratio_from and record.size > limits.ratio * record.packed:
        got = f"{record.size:,} bytes packed into {record.packed:,}, as in a decompression bomb"
        raise _error(f"a file that packs at most {limits.ratio} to 1", got, shown, "Leave it out of the zip.")


def _check_name(name: str, shown: str, limits: ArchiveLimits) -> None:
    got = ""
    if len(name) > limits.name:
        got = f"one of {len(name):,} characters"
    elif has_hidden_characters(name):
        got = "one with control characters or marks that turn the direction of text"
    elif "\\" in name:
        got = "one with backslashes"
    elif name.startswith("/") or re.match(r"[A-Za-z]:", name):
        got = "one that starts at the root of a disk"
    elif ".." in name.split("/"):
        got = "one that leads out of the zip's own folder"
    if got:
        raise _error("a plain file name", got, shown, "Rename the file and make the zip again.")


def _whole(file: BinaryIO, record: Record, shown: str) -> bytes:
    """The entry's bytes; refused where they are none or an archive again, whatever its name says."""
    data = unpack(file, record, shown)
    if not data:
        raise _error("an image", "an empty file", shown, "Copy the file again from its source.")
    if kind := archive_kind(data):
        raise _error("an image", f"{kind} inside the zip", shown, "Unpack it first, or export the picture as PNG.")
    return data
