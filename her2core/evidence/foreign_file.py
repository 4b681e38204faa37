"""Is this upload a table of predictions? Bytes of a CSV or Parquet file in; a table, or why not, out.

The content decides, never the name. Nothing is executed and nothing is written; what a file claims about its size is
checked before it is read, and what it turns out to hold while it is read.
"""

from __future__ import annotations

import codecs
import csv
import io
import re

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from her2core.errors import EvaluationError
from her2core.evidence.foreign_columns import is_text_by_name
from her2core.io.text import clean_text as shown

MiB = 2**20
MAX_ROWS = 5_000_000
MAX_COLUMNS = 2_000
#: Bytes of a table in memory.
MAX_READ = 2 * 1024 * MiB
_HEAD = 64 * 1024

#: How a file begins that is something else, and what it is.
_OTHERS = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file"),
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
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"II*\x00", "a picture"),
    (b"MM\x00*", "a picture"),
    (b"\xff\xfe\x00\x00", "text in UTF-32"),
    (b"\x00\x00\xfe\xff", "text in UTF-32"),
)
#: Pickles of protocol 2 and later, and what the older ones begin with.
_PICKLE = re.compile(rb"\x80[\x02-\x05]|\([dl]p\d|\(?c[A-Za-z_][\w.]*\r?\n[A-Za-z_]\w*\r?\n|[(\]})]q\x00")
_FIX = "Export the predictions as CSV (UTF-8) or Parquet."


def read_predictions_bytes(data: bytes, *, name: str, max_bytes: int = 200 * MiB) -> pd.DataFrame:
    """An uploaded table: CSV, TSV, semicolon-separated CSV (UTF-8 with or without BOM, or UTF-16), or Parquet.

    ``name`` is only for messages. In a CSV, ids, labels and everything that is no decimal number stay text ("007" is a
    patient); in a semicolon-separated one a decimal comma is understood. Columns keep their names, also when one stands
    twice. Raises EvaluationError, one sentence, for any other content (named where it is known), for more than
    ``max_bytes``, MAX_ROWS, MAX_COLUMNS or MAX_READ, for nested columns, and for a file that breaks off.
    """
    where = shown(name) or "upload"
    if len(data) > max_bytes:
        raise _error(
            f"at most {max_bytes // MiB} MiB",
            f"{len(data) / MiB:.0f} MiB",
            where,
            "Leave out columns or rows that are not needed, or export as Parquet.",
        )
    if len(data) < _HEAD and not data.strip(b"\x00 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise _error("a table of predictions", "an empty file", where, "Check the export.")
    if data[:4] == b"PAR1":
        return _parquet(data, where)
    _refuse_others(data, where)
    return _csv(_as_utf8(data, where), where)


def _refuse_others(data: bytes, where: str) -> None:
    kind = next((what for start, what in _OTHERS if data.startswith(start)), None)
    if kind is None and data.startswith(b"PARE") and data.endswith(b"PARE"):
        kind = "an encrypted Parquet file"
    if kind == "a ZIP archive":
        if b"xl/workbook" in data:
            kind = "an Excel workbook"
        elif b"/data.pkl" in data or b".npy" in data:
            kind = "a PyTorch or NumPy archive, which may hold pickles"
    if kind is None and _PICKLE.match(data[:512]):
        kind = "a Python pickle, which could run code when opened"
    text = data[:512].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if kind is None:
        page = (b"<!doctype", b"<html", b"<head", b"<body", b"<table", b"<script")
        kind = "a web page (HTML)" if text.startswith(page) else "an XML file" if text.startswith(b"<?xml") else None
    if kind is None and re.match(rb"[\[{]\s*[\"\[{]", text):
        kind = "a JSON file"
    if kind is not None:
        raise _error("a CSV or Parquet table", kind, where, _FIX)


def _as_utf8(data: bytes, where: str) -> bytes:
    """The text as UTF-8 without BOM; refused, with the line, where it is no text or another encoding."""
    for bom, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(bom):
            return _utf16(data[2:], encoding, where)
    head = data[: min(len(data), 1024) // 2 * 2]
    for zeros, encoding in ((head[1::2], "utf-16-le"), (head[0::2], "utf-16-be")):
        if len(zeros) > 1 and zeros.count(0) > 0.8 * len(zeros) and head.count(0) < 0.6 * len(head):
            return _utf16(data, encoding, where)
    if b"\x00" in data:
        raise _error("a CSV or Parquet table", "binary data", where, _FIX)
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    for at in range(0, len(data), MiB):
        try:
            decoder.decode(view[at : at + MiB], final=at + MiB >= len(data))
        except UnicodeDecodeError as broken:
            # The decoder may hold up to three bytes of the part before.
            line = data.count(b"\n", 0, min(at + broken.start, len(data))) + 1
            raise _error(
                "text in UTF-8 or UTF-16",
                f"another encoding in line {line}",
                where,
                "Save it as UTF-8 (Excel: CSV UTF-8).",
            ) from None
    return data.removeprefix(codecs.BOM_UTF8)


def _utf16(data: bytes, encoding: str, where: str) -> bytes:
    try:
        return data.decode(encoding).encode()
    except UnicodeError:
        raise _error(
            "text in UTF-8 or UTF-16",
            "UTF-16 that breaks off or is damaged",
            where,
            "Save it as UTF-8 (Excel: CSV UTF-8).",
        ) from None


def _csv(data: bytes, where: str) -> pd.DataFrame:
    hint = re.match(rb"\"?sep=([,;\t])\"?\r?\n", data)  # what Excel writes and reads as the first line
    data = data[hint.end() :] if hint else data
    data = data[1:].lstrip(b"\r\n") if data[:1] in b"\r\n" else data
    separator = hint[1].decode() if hint else _separator(data)
    sample = _sample(data, separator, where)
    header, rows = sample[0], sample[1:]
    if len(header) < 2:
        raise _error(
            "a table with several columns",
            f"one column, {shown(header[0] if header else '', 40)!r}",
            where,
            "Separate columns by comma, semicolon or tab.",
        )
    if len(header) > MAX_COLUMNS:
        raise _error(f"at most {MAX_COLUMNS:,} columns", f"{len(header):,}", where, "Leave out what is not needed.")
    if not rows:
        raise _error("at least one row below the header", "none", where, "Check the export.")
    lines = data.count(b"\n") or data.count(b"\r")
    if lines > MAX_ROWS + 1 and b'"' not in data:
        raise _error(f"at most {MAX_ROWS:,} rows", f"{lines:,} lines", where, "Evaluate the test part only.")
    if (lines + 1) * len(header) * 8 > MAX_READ:
        raise _error(
            "a table of at most 2 GiB in memory",
            f"{lines:,} lines of {len(header):,} columns",
            where,
            "Leave out columns that are not needed.",
        )
    comma = separator == ";" and any(re.fullmatch(r"\s*[-+]?\d+,\d+([eE][-+]?\d+)?\s*", c) for row in rows for c in row)
    numbers = [_decimal(header, rows, i, "," if comma else ".") for i in range(len(header))]
    try:
        table = _read_csv(data, separator, numbers, comma)
    except pa.ArrowInvalid as broken:
        if "conversion error" not in str(broken):
            line = re.sub(r"^CSV parse error: ", "", str(broken).splitlines()[0])
            raise _error(
                "the same number of cells in every row",
                shown(line, 120),
                where,
                "Correct that row, or export the table again.",
            ) from None
        # Further down stands a cell that is no number: it is named when the column is chosen.
        table = _read_csv(data, separator, [False] * len(header), comma)
    table = table.rename_columns([c.strip() for c in header])
    if table.num_rows > MAX_ROWS:
        raise _error(f"at most {MAX_ROWS:,} rows", f"{table.num_rows:,}", where, "Evaluate the test part only.")
    return _frame(table)


def _read_csv(data: bytes, separator: str, numbers: list[bool], comma: bool) -> pa.Table:
    columns = [f"c{i}" for i in range(len(numbers))]  # by place: names may stand twice
    types = {c: pa.float64() if number else pa.string() for c, number in zip(columns, numbers, strict=True)}
    return pa.csv.read_csv(
        pa.BufferReader(data),
        read_options=pa.csv.ReadOptions(column_names=columns, skip_rows_after_names=1, block_size=8 * MiB),
        parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in data),
        convert_options=pa.csv.ConvertOptions(
            column_types=types,
            decimal_point="," if comma else ".",
            null_values=["", "NA", "NaN", "nan", "null"],
            strings_can_be_null=False,
        ),
    )


def _separator(data: bytes) -> str:
    """The one of comma, semicolon and tab that stands most often in the first line, outside quotes."""
    line = re.split(rb"[\r\n]", data[:MiB].lstrip(b"\r\n"), maxsplit=1)[0]
    line = re.sub(rb'"[^"]*"', b"", line)
    return max(",;\t", key=lambda s: line.count(s.encode()))


def _sample(data: bytes, separator: str, where: str) -> list[list[str]]:
    """The header and the first rows, as text; a row that the sample cuts off is left out."""
    size = min(len(data), MiB)
    text = data[:size].decode("utf-8", "ignore")
    found: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if row:
                found.append(row)
            if len(found) > 200:
                return found
    except csv.Error as broken:  # a cell of more than csv.field_size_limit characters, for one
        if len(found) < 2:
            raise _error("a table of short cells", shown(broken, 80), where, "Leave out what is not needed.") from None
    if size < len(data) and len(found) > 1:
        found.pop()
    return found


def _decimal(header: list[str], rows: list[list[str]], i: int, point: str) -> bool:
    """Whether column i is read as decimal numbers: no id or label by its name, and numbers with a point in sight."""
    cells = [c for row in rows if i < len(row) if (c := row[i].strip())]
    number = re.compile(rf"[-+]?(\d+{re.escape(point)}?\d*|{re.escape(point)}\d+)([eE][-+]?\d+)?|nan|NaN|NA|null|-?inf")
    return (
        not is_text_by_name(header[i])
        and any(point in c or "e-" in c.lower() for c in cells)
        and all(number.fullmatch(c) for c in cells)
    )


def _parquet(data: bytes, where: str) -> pd.DataFrame:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        schema, about = file.schema_arrow, file.metadata
        size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        _refuse_large(about.num_rows, about.num_columns, size, where)
        for field in schema:
            if not _plain(field.type):
                kind = "a nested column" if pa.types.is_nested(field.type) else f"a column of type {field.type}"
                raise _error(
                    "columns of numbers or text",
                    f"{kind}, {shown(field.name)!r}",
                    where,
                    "Write one value a cell: one probability column a class.",
                )
        # Text stays a dictionary while it is read: a page of a few bytes can stand for gigabytes.
        text = [f.name for f in schema if _is_text(f.type)]
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=text)
        parts, held = [], 0
        for batch in file.iter_batches(batch_size=65_536):
            held += sum(_unpacked(column) for column in batch.columns)
            _refuse_large(about.num_rows, about.num_columns, held, where)
            parts.append(batch)
        table = pa.Table.from_batches(parts, schema=parts[0].schema if parts else schema)
    except EvaluationError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as broken:
        reason = shown((str(broken).splitlines() or ["unreadable"])[0], 100)
        raise _error("a whole Parquet file", reason, where, "Write it again, or export as CSV.") from None
    if not table.num_rows:
        raise _error("at least one row", "none", where, "Check the export.")
    return _frame(table)


def _refuse_large(rows: int, columns: int, size: int, where: str) -> None:
    for value, limit, what in ((rows, MAX_ROWS, "rows"), (columns, MAX_COLUMNS, "columns")):
        if value > limit:
            raise _error(f"at most {limit:,} {what}", f"{value:,}", where, "Leave out what is not needed.")
    size = max(size, rows * columns * 8)  # a run of one value is a few bytes in the file and eight a row in memory
    if size > MAX_READ:
        raise _error(
            "a table of at most 2 GiB in memory", f"{size / 2**30:.1f} GiB", where, "Leave out what is not needed."
        )


def _plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type) or pa.types.is_integer(kind.value_type)
    tests = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_temporal,
        pa.types.is_null,
        _is_text,
    )
    return not isinstance(kind, pa.BaseExtensionType) and any(test(kind) for test in tests)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _unpacked(column: pa.Array) -> int:
    """Bytes that a column takes once its dictionary is written out."""
    if not pa.types.is_dictionary(column.type) or not _is_text(column.type.value_type):
        return column.nbytes
    lengths = pa.compute.binary_length(column.dictionary)
    return int(pa.compute.sum(lengths.take(column.indices)).as_py() or 0) + 8 * len(column)


def _frame(table: pa.Table) -> pd.DataFrame:
    """Text as text, numbers as they are; without the index and types a pandas file may ask for."""
    columns = {}
    for i, field in enumerate(table.schema):
        column = table.column(i)
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        elif pa.types.is_decimal(field.type):
            column = column.cast(pa.float64())
        columns[i] = column.to_pandas()
    frame = pd.DataFrame(columns, copy=False)
    frame.columns = [field.name for field in table.schema]
    return frame


def _error(expected: str, got: str, where: str, fix: str) -> EvaluationError:
    return EvaluationError(expected, got=got, where=where, fix=fix)
