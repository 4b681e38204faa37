"""Table of contents of a zip archive, and the bytes of its entries.

The format is PKWARE's APPNOTE 6.3.10 (2022). Python's zipfile is not used: it reads the whole table of contents before
the entries can be counted, cuts a stream that exceeds its claimed size silently, gives bzip2 and LZMA no bound, and
accepts entries that overlap. What the records state is refused here only where they contradict themselves or each
other; ``her2core.io.archives`` decides what is acceptable.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, replace
from typing import BinaryIO

from her2core.errors import ImageError


@dataclass(frozen=True)
class Record:
    """One line of the table of contents.

    Attributes
    ----------
    raw : bytes
        The name as stored.
    name : str
        The name decoded: UTF-8 where possible, code page 437 otherwise.
    flags, method, crc : int
        General purpose bits, compression method (0 stored, 8 deflated), CRC-32 of the unpacked bytes.
    packed, size : int
        Bytes in the archive, and unpacked, as claimed.
    offset : int
        Where the entry's own header begins.
    attributes : int
        External file attributes; the upper 16 bits are Unix permissions.
    end : int
        The first byte in the file that no longer belongs to this entry.
    """

    raw: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    attributes: int
    end: int = 0


_END, _END64, _LOCATOR = struct.Struct("<4s4H2IH"), struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")
_LINE, _LOCAL = struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")
_ARCHIVES: dict[str, bytes | tuple[bytes, ...]] = {
    "a ZIP archive or an Office document": (b"PK\3\4", b"PK\5\6", b"PK\7\x08"),
    "a gzip archive": b"\x1f\x8b",
    "a 7z archive": b"7z\xbc\xaf\x27\x1c",
    "a RAR archive": b"Rar!\x1a\x07",
    "a bzip2 archive": b"BZh",
    "an XZ archive": b"\xfd7zXZ\0",
    "a Zstandard archive": b"\x28\xb5\x2f\xfd",
}
_AGAIN = "Make the zip again from the original images."
_PIECE = 1 << 16


def archive_kind(data: bytes) -> str | None:
    """The kind of archive that some bytes begin.

    Parameters
    ----------
    data : bytes
        The beginning of a file; 262 bytes are enough.

    Returns
    -------
    str or None
        In words; None where they begin no archive.

    Examples
    --------
    >>> archive_kind(b"PK\\3\\4...")
    'a ZIP archive or an Office document'
    """
    if data[257:262] == b"ustar":
        return "a tar archive"
    return next((kind for kind, magic in _ARCHIVES.items() if data.startswith(magic)), None)


def contents(file: BinaryIO, where: str, *, files: int, length: int, total: int) -> list[Record]:
    """Read the table of contents of a zip.

    Parameters
    ----------
    file : binary stream
        The archive; it must be able to seek.
    where : str
        Name of the archive in messages.
    files, length, total : int
        Largest number of entries, bytes of the table itself, and bytes that all entries claim together.

    Returns
    -------
    list of Record
        In the order of the table.

    Raises
    ------
    ImageError
        Not a zip, damaged, a part of several, above a limit, or with entries that overlap. The number of entries is
        taken from the record at the file's end, before the table is read.

    Examples
    --------
    >>> import io, zipfile
    >>> stream = io.BytesIO()
    >>> with zipfile.ZipFile(stream, "w") as archive:
    ...     archive.writestr("a.png", b"pixels")
    >>> [(r.name, r.size) for r in contents(stream, "a.zip", files=10, length=9999, total=9999)]
    [('a.png', 6)]
    """

    def damaged(got: str) -> ImageError:
        return ImageError("a zip that is whole", got=f"a damaged one ({got})", where=where, fix=_AGAIN)

    count, long, start = _end(file, where)
    if count > files:
        raise ImageError(
            f"a zip of at most {files:,} entries",
            got=f"{count:,}",
            where=where,
            fix="Split it into several zips, or choose a folder on the server.",
        )
    if long > length:
        raise ImageError(
            f"a table of contents of at most {length:,} bytes", got=f"{long:,} bytes", where=where, fix=_AGAIN
        )
    file.seek(start)
    table, at, records = file.read(long), 0, []
    for _ in range(count):
        if len(table) < at + _LINE.size or table[at : at + 4] != b"PK\1\2":
            raise damaged("its table of contents breaks off")
        line = _LINE.unpack_from(table, at)
        flags, method, (crc, packed, size), lengths = line[3], line[4], line[7:10], line[10:13]
        disk, attributes, offset = line[13], line[15], line[16]
        at += _LINE.size
        raw, extra = table[at : at + lengths[0]], table[at + lengths[0] : at + lengths[0] + lengths[1]]
        at += sum(lengths)
        size, packed, offset = _widened(extra, size, packed, offset)
        if disk not in (0, 0xFFFF):
            raise _several(where)
        records.append(Record(raw, _decoded(raw, flags), flags, method, crc, packed, size, offset, attributes))
    if at != long:
        raise damaged("its table of contents and its own count disagree")
    claimed = sum(record.size for record in records)
    if claimed > total:
        raise ImageError(
            f"at most {total:,} bytes when unpacked",
            got=f"{claimed:,} bytes",
            where=where,
            fix="Split it into several zips.",
        )
    order = sorted(range(count), key=lambda i: records[i].offset)
    ends = [*(records[i].offset for i in order), start][1:]
    for i, end in zip(order, ends, strict=True):
        record = records[i]
        if record.offset + _LOCAL.size + len(record.raw) + record.packed > end:
            raise ImageError(
                "entries that lie one behind the other",
                got="entries that overlap, as in a decompression bomb",
                where=where,
                fix=_AGAIN,
            )
        records[i] = replace(record, end=end)
    return records


def _end(file: BinaryIO, where: str) -> tuple[int, int, int]:
    """Entries, and the table of contents' length and place, by the records at the end of the file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(512)
    low = file.seek(max(0, size - _END.size - 0xFFFF - _LOCATOR.size))
    tail = file.read(size - low)
    at = tail.rfind(b"PK\5\6")
    # Only a record that ends where the file ends counts: its comment may hold what looks like another one.
    while at >= 0 and at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little") != len(tail):
        at = tail.rfind(b"PK\5\6", 0, at)
    if at < 0 or len(tail) < at + _END.size:
        if head.startswith(b"PK\7\x08"):
            raise _several(where)
        if not head.startswith(b"PK"):
            got = archive_kind(head) or "another kind of file" if size else "an empty file"
            raise ImageError("a zip archive", got=got, where=where, fix="Make a zip of the images.")
        raise ImageError(
            "a zip that is whole",
            got="a damaged one (it is cut short, or something follows its end)",
            where=where,
            fix="Copy or download it again from its source.",
        )
    _, disk, first, here, count, length, start, _ = _END.unpack_from(tail, at)
    end = low + at
    locator = tail[at - _LOCATOR.size : at] if at >= _LOCATOR.size else b""
    if locator.startswith(b"PK\6\7"):
        end, disks = _LOCATOR.unpack(locator)[2:]
        file.seek(end if end < size else size)
        wide = file.read(_END64.size)
        if len(wide) < _END64.size or not wide.startswith(b"PK\6\6"):
            raise ImageError(
                "a zip that is whole", got="a damaged one (its ZIP64 record is missing)", where=where, fix=_AGAIN
            )
        disk, first, here, count, length, start = _END64.unpack(wide)[4:]
        if disks > 1:
            raise _several(where)
    if disk or first or here != count:
        raise _several(where)
    if head[:4] not in (b"PK\3\4", b"PK\5\6"):
        raise ImageError(
            "a zip and nothing else",
            got="one with something in front of it, as in a program that unpacks itself",
            where=where,
            fix=_AGAIN,
        )
    if start + length != end:
        raise ImageError(
            "a zip that is whole",
            got="a damaged one (its table of contents is not where it should be)",
            where=where,
            fix=_AGAIN,
        )
    return count, length, start


def _several(where: str) -> ImageError:
    return ImageError(
        "one whole zip", got="a part of one in several files", where=where, fix="Make one zip, or several whole ones."
    )


def _widened(extra: bytes, *fields: int) -> list[int]:
    """Size, packed size and offset, those that do not fit into 32 bits from the ZIP64 field (id 1)."""
    at, wide = 0, b""
    while 0xFFFFFFFF in fields and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + length]
        at += 4 + length
    values = []
    for field in fields:
        if field == 0xFFFFFFFF and len(wide) >= 8:
            field, wide = int.from_bytes(wide[:8], "little"), wide[8:]
        values.append(field)
    return values


def _decoded(raw: bytes, flags: int) -> str:
    """UTF-8 where the flag says so or the bytes are (macOS sets no flag), code page 437 otherwise."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace") if flags & 0x800 else raw.decode("cp437")


def unpack(file: BinaryIO, record: Record, where: str) -> bytes:
    """Unpack one entry.

    Parameters
    ----------
    file : binary stream
        The archive.
    record : Record
        The entry, stored or deflated.
    where : str
        Name of the entry in messages.

    Returns
    -------
    bytes
        Of the claimed size and checksum. At most one byte more than claimed is ever unpacked.

    Raises
    ------
    ImageError
        The entry is not where the table says, or its size or checksum is wrong.

    Examples
    --------
    >>> import io, zipfile
    >>> stream = io.BytesIO()
    >>> with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
    ...     archive.writestr("a.png", b"pixels")
    >>> unpack(stream, contents(stream, "a.zip", files=10, length=9999, total=9999)[0], "a.png")
    b'pixels'
    """

    def damaged(got: str) -> ImageError:
        return ImageError("a file that is whole", got=f"a damaged one ({got})", where=where, fix=_AGAIN)

    file.seek(record.offset)
    head = file.read(_LOCAL.size + len(record.raw))
    if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
        raise damaged("it is not where the table of contents says")
    local = _LOCAL.unpack_from(head)
    if local[3] != record.method or local[2] & 1 or head[_LOCAL.size :] != record.raw or local[9] != len(record.raw):
        raise damaged("its own header contradicts the table of contents")
    start = record.offset + _LOCAL.size + local[9] + local[10]
    if start + record.packed > record.end:
        raise damaged("it runs into the next one")
    file.seek(start)
    pieces: list[bytes] = []
    size, left, engine = 0, record.packed, zlib.decompressobj(-15)
    try:
        while left and size <= record.size and not engine.eof:
            piece = file.read(min(left, _PIECE))
            if not piece:
                break
            left -= len(piece)
            while piece and size <= record.size and not engine.eof:
                most = record.size + 1 - size  # never 0, which zlib would take as "without bound"
                if record.method == 0:
                    unpacked, piece = piece[:most], b""
                else:
                    unpacked = engine.decompress(piece, most)
                    piece = engine.unconsumed_tail
                pieces.append(unpacked)
                size += len(unpacked)
    except zlib.error:
        raise damaged("it cannot be unpacked") from None
    if size > record.size:
        raise damaged(f"it unpacks to more than the {record.size:,} bytes that it claims")
    if size < record.size or (record.method == 8 and not engine.eof):
        raise damaged("it is cut short")
    if left or engine.unused_data:
        raise damaged("something follows its end")
    data = b"".join(pieces)
    if zlib.crc32(data) != record.crc:
        raise damaged("its checksum is wrong")
    return data
