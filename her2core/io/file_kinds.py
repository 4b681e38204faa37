"""File kinds and text encodings recognised by content.

The content decides, never the name: a CSV called .xlsx is read as a CSV, a pickle called .csv is refused by what it is.
Text is UTF-8, UTF-16 (with or without byte-order mark) or, where it is neither, Windows-1252, the superset of Latin-1
that Excel writes in western Europe and the Americas.
"""

from __future__ import annotations

import codecs
import re
from typing import Literal

from her2core.errors import TableError
from her2core.io.text import clean_text

MiB = 2**20
Kind = Literal["parquet", "excel", "text"]
FIX = "Export the table as CSV (UTF-8), Parquet or Excel."
_EXPECTED = "a CSV, Parquet or Excel table"

#: First bytes of files that are no tables.
_OTHERS = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstandard archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "a SQLite database"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "a rich-text document"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"\xff\xfe\x00\x00", "text in UTF-32"),
    (b"\x00\x00\xfe\xff", "text in UTF-32"),
)
#: Pickles of protocol 2 and later, and what the older ones begin with.
_PICKLE = re.compile(rb"\x80[\x02-\x05]|\([dl]p\d|\(?c[A-Za-z_][\w.]*\r?\n[A-Za-z_]\w*\r?\n|[(\]})]q\x00")
#: Farthest from the end at which a ZIP archive's last record starts, with its comment.
_ZIP_END = 22 + 65_535
_HTML = (b"<!doctype", b"<html", b"<head", b"<body", b"<table", b"<script")
#: Windows-1252 as browsers read it: the five bytes without a letter stay apart, so that no two names become one.
_WINDOWS_1252 = {byte: letter for byte in range(128, 160) if (letter := bytes([byte]).decode("cp1252", "ignore"))}
#: Bytes that occur in no text of any encoding read here.
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\x0b\x0c\x1a\x1c\x1d\x1e\x1f"))


def table_kind(data: bytes, where: str) -> Kind:
    """Recognise the kind of a table by its content.

    Parameters
    ----------
    data : bytes
        The whole file.
    where : str
        Its name, for the message.

    Returns
    -------
    {"parquet", "excel", "text"}
        "excel" also stands for OpenDocument spreadsheets and old .xls files.

    Raises
    ------
    TableError
        For an empty file and any other kind of file, named where it is known.

    Examples
    --------
    >>> table_kind(b"patch_id,label\\n1,a\\n", "t.csv")
    'text'
    """
    if len(data) < 64 * 1024 and not data.strip(b"\x00 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise TableError("a table", got="an empty file", where=where, fix="Check the export.")
    if data[:4] == b"PAR1":
        return "parquet"
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        if b"xl/workbook" in data or b"opendocument.spreadsheet" in data[:4096]:
            return "excel"
        if b"PK\x05\x06" not in data[-_ZIP_END:]:
            raise TableError(
                _EXPECTED, got="a ZIP archive or workbook without its end", where=where, fix="Copy the file again."
            )
        packed = b"/data.pkl" in data or b".npy" in data
        kind: str | None = "a PyTorch or NumPy archive, which may hold pickles" if packed else "a ZIP archive"
    elif data.startswith(b"\xd0\xcf\x11\xe0"):
        return "excel"
    elif data.startswith(b"PARE") and data.endswith(b"PARE"):
        kind = "an encrypted Parquet file"
    else:
        kind = next((what for start, what in _OTHERS if data.startswith(start)), None) or _text_kind(data[:512])
    if kind is not None:
        raise TableError(_EXPECTED, got=kind, where=where, fix=FIX)
    return "text"


def _text_kind(start: bytes) -> str | None:
    if _PICKLE.match(start):
        return "a Python pickle, which could run code when opened"
    text = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if text.startswith(_HTML):
        return "a web page (HTML)"
    if text.startswith(b"<?xml"):
        return "an XML file"
    return "a JSON file" if re.match(rb"[\[{]\s*[\"\[{]", text) else None


def as_utf8(data: bytes, where: str) -> tuple[bytes, tuple[str, ...]]:
    """Convert text of a known encoding to UTF-8 without byte-order mark.

    Parameters
    ----------
    data : bytes
        The whole file.
    where : str
        Its name, for the message.

    Returns
    -------
    bytes
        The text in UTF-8.
    tuple of str
        A note where the encoding was assumed.

    Raises
    ------
    TableError
        For binary data and damaged UTF-16.

    Examples
    --------
    >>> text, notes = as_utf8("Gef\\u00e4\\u00df,1".encode("cp1252"), "t.csv")
    >>> text.decode(), len(notes)
    ('Gef\\xe4\\xdf,1', 1)
    """
    for bom, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(bom):
            return _from_utf16(data[2:], encoding, where), ()
    head = data[: min(len(data), 1024) // 2 * 2]
    for zeros, encoding in ((head[1::2], "utf-16-le"), (head[0::2], "utf-16-be")):
        if len(zeros) > 1 and zeros.count(0) > 0.8 * len(zeros) and head.count(0) < 0.6 * len(head):
            return _from_utf16(data, encoding, where), ()
    if b"\x00" in data:
        raise TableError(_EXPECTED, got="binary data", where=where, fix=FIX)
    if _is_utf8(data):
        return data.removeprefix(codecs.BOM_UTF8), ()
    if len(data.translate(None, _CONTROL)) < len(data):
        raise TableError(_EXPECTED, got="binary data", where=where, fix=FIX)
    text = data.decode("latin-1").translate(_WINDOWS_1252)
    odd = next(line for line in text.splitlines() if not line.isascii())
    return text.encode(), (
        f"The file is not UTF-8 and was read as Windows-1252 (Latin-1); its first line with other letters reads "
        f"{clean_text(odd, 60)!r}. Where that is not what you wrote, save the table as UTF-8.",
    )


def _is_utf8(data: bytes) -> bool:
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(data)
    try:
        for at in range(0, len(data), MiB):
            decoder.decode(view[at : at + MiB], final=at + MiB >= len(data))
    except UnicodeDecodeError:
        return False
    return True


def _from_utf16(data: bytes, encoding: str, where: str) -> bytes:
    try:
        return data.decode(encoding).encode()
    except UnicodeError:
        raise TableError(
            "text in UTF-8 or UTF-16",
            got="UTF-16 that breaks off or is damaged",
            where=where,
            fix="Save it as UTF-8 (Excel: CSV UTF-8).",
        ) from None
