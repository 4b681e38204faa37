"""Which series a DICOM file belongs to, read from the first elements of its header alone.

A DICOM slide is several files, a level or a label each, and a folder may hold many slides: files of one series are one
slide. What is read here needs no DICOM library, and each file is read once however many slides lie beside it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

_PREAMBLE, _MAGIC = 128, b"DICM"
_TRANSFER_SYNTAX, _IMAGE_TYPE, _SERIES = (0x0002, 0x0010), (0x0008, 0x0008), (0x0020, 0x000E)
_ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_IMPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
#: Value representations whose length has four bytes (PS3.5, 7.1.2), and the length that says: up to a delimiter.
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED = 0xFFFFFFFF
#: Depth of sequences beyond which a header is taken as damaged.
_DEEPEST = 16

_Tag = tuple[int, int]


@dataclass(frozen=True)
class DicomFile:
    """What the first elements of a DICOM file state.

    Parameters
    ----------
    series : str
        SeriesInstanceUID; empty where it cannot be read.
    level : bool
        Whether it is a level of a slide (VOLUME), not its label, overview or thumbnail.

    Examples
    --------
    >>> DicomFile("1.2.3", True).level
    True
    """

    series: str
    level: bool


def dicom_file(path: Path) -> DicomFile | None:
    """Read the series of a file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    DicomFile or None
        None for a file that is no DICOM, or cannot be read.

    Examples
    --------
    >>> dicom_file(Path("README.md")) is None
    True
    """
    try:
        about = path.stat()
        return _of_state(str(path), about.st_size, about.st_mtime_ns)
    except OSError:
        return None


def one_file_a_series(files: Iterable[Path]) -> list[Path]:
    """The same files, of each DICOM series in a folder one alone: its first level.

    Parameters
    ----------
    files : iterable of Path
        In any order; files that are not named ``.dcm`` are kept as they are.

    Returns
    -------
    list of Path
        In the order of the first file of each series.

    Examples
    --------
    >>> [path.name for path in one_file_a_series([Path("a.svs"), Path("b.dcm")])]
    ['a.svs', 'b.dcm']
    """
    chosen: dict[tuple[Path, str], tuple[Path, bool]] = {}
    for file in files:
        found = dicom_file(file) if file.suffix.lower() == ".dcm" else None
        key = (file, "") if found is None or not found.series else (file.parent, found.series)
        level = found is not None and found.level
        if key not in chosen or (level and not chosen[key][1]):
            chosen[key] = (file, level)
    return [file for file, _ in chosen.values()]


@lru_cache(maxsize=100_000)
def _of_state(path: str, size: int, changed: int) -> DicomFile | None:
    """Read a file in one state: size in bytes and time of change in nanoseconds."""
    with open(path, "rb") as file:
        if file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] != _MAGIC:
            return None
        found = _elements(file)
    kind = found.get(_IMAGE_TYPE, "").split("\\")
    return DicomFile(found.get(_SERIES, ""), len(kind) > 2 and kind[2] == "VOLUME")


def _elements(file: BinaryIO) -> dict[_Tag, str]:
    """Values of the elements that are read here, as text; as many as a damaged header still has."""
    found: dict[_Tag, str] = {}
    order, explicit = "<", True
    try:
        while True:
            group = file.read(2)
            file.seek(-len(group), os.SEEK_CUR)
            if group != b"\x02\x00" and _TRANSFER_SYNTAX in found:  # the file's own meta elements are at an end
                syntax = found.pop(_TRANSFER_SYNTAX)
                order, explicit = ">" if syntax == _BIG_ENDIAN else "<", syntax != _IMPLICIT
            tag, length = _next(file, order, explicit)
            if tag > _SERIES:
                return found
            if length == _UNDEFINED:
                _skip_sequence(file, order, explicit, 1)
            elif tag in (_TRANSFER_SYNTAX, _IMAGE_TYPE, _SERIES):
                found[tag] = file.read(length).decode("ascii", "replace").strip("\0 ")
            else:
                file.seek(length, os.SEEK_CUR)
    except (struct.error, ValueError):
        return found


def _next(file: BinaryIO, order: str, explicit: bool) -> tuple[_Tag, int]:
    group, element = struct.unpack(order + "HH", file.read(4))
    if group == 0xFFFE or not explicit:  # items and delimiters have no value representation
        return (group, element), struct.unpack(order + "I", file.read(4))[0]
    if file.read(2) in _LONG:
        file.read(2)
        return (group, element), struct.unpack(order + "I", file.read(4))[0]
    return (group, element), struct.unpack(order + "H", file.read(2))[0]


def _skip_sequence(file: BinaryIO, order: str, explicit: bool, depth: int) -> None:
    """Go behind a sequence of undefined length."""
    if depth > _DEEPEST:
        raise ValueError("sequences too deep")
    while True:
        tag, length = _next(file, order, explicit)
        if tag == _SEQUENCE_END:
            return
        if length != _UNDEFINED:
            file.seek(length, os.SEEK_CUR)
            continue
        while True:  # an item of undefined length
            tag, length = _next(file, order, explicit)
            if tag == _ITEM_END:
                break
            if length == _UNDEFINED:
                _skip_sequence(file, order, explicit, depth + 1)
            else:
                file.seek(length, os.SEEK_CUR)
