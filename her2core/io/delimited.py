"""Delimited text tables: CSV, TSV, semicolons, pipes; decimal commas, thousands separators, trailing separators.

Separator, number formats and a superfluous last separator are taken from the file. Identifiers and labels stay text
("007" is a patient, "1.10" not 1.1), and so does every column of which one cell is no number.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from her2core.errors import TableError
from her2core.io.cells import MISSING
from her2core.io.columns import is_text_column
from her2core.io.file_kinds import MiB
from her2core.io.header_rows import SEARCHED, header_row, left_out_note
from her2core.io.limits import TableLimits, check_size
from her2core.io.number_formats import NumberFormat, choose_formats
from her2core.io.text import clean_text

_SEPARATORS = ",;\t|"
_SAMPLED = 200
_NULLS = sorted({form for m in MISSING for form in (m, m.upper(), m.title())} | {"NaN", "#N/A", "N/A", "n/A"})
#: Whole numbers without leading zeros, of at most 18 digits: text and number say the same.
_WHOLE = r"-?(?:0|[1-9]\d{0,17})"
#: A leading zero ("08" is a code) or a positive exponent (1.23457E+15 is an identifier that a spreadsheet rounded).
_NO_NUMBER = r"^[-+]?0\d|\d[eE]\+?\d"
_EMPTY_END = b" ,;\t|\r\n"
TRAILING = "Every row ends in a separator that the header lacks (a trailing comma); it was taken as superfluous."


def read_delimited(
    data: bytes,
    where: str,
    *,
    text: frozenset[str] = frozenset(),
    limits: TableLimits | None = None,
    wanted: Callable[[list[str]], bool] | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read delimited text.

    Parameters
    ----------
    data : bytes
        UTF-8 without byte-order mark.
    where : str
        The file's name, for messages.
    text : frozenset of str
        Columns that stay text, besides those whose name says so (``is_text_column``).
    limits : TableLimits, optional
        Largest table.
    wanted : callable, optional
        Tells by its cells whether a row names the columns wanted: rows above it are left out (``header_rows``).

    Returns
    -------
    DataFrame
        Columns of text, int64 or float64; names may occur twice. Text cells are as in the file, numbers NaN where
        missing.
    tuple of str
        What had to be interpreted.

    Raises
    ------
    TableError
        For one column, no row, rows of different length, or a table beyond the limits.

    Examples
    --------
    >>> frame, notes = read_delimited(b"case;score\\n007;0,5\\n008;0,25\\n", "t.csv")
    >>> frame.to_dict("list")
    {'case': ['007', '008'], 'score': [0.5, 0.25]}
    """
    limits = limits or TableLimits()
    hint = re.match(rb"\"?sep=([,;\t|])\"?\r?\n", data)  # what Excel writes and reads as the first line
    data = (data[hint.end() :] if hint else data).lstrip(b"\r\n")
    data, notes = _from_header(data, wanted)
    data = _without_empty_end(data, notes)
    separator = hint[1].decode() if hint else _separator(data)
    header, *rows = _sample(data, separator, where)
    _check_shape(data, header, rows, where, limits)
    header = [name.strip() for name in header]
    if len(header) < 2 or (len(header) == 2 and not header[1]):
        raise TableError(
            "a table with several columns",
            got=f"one column, {clean_text(header[0], 40)!r}",
            where=where,
            fix="Separate columns by comma, semicolon or tab.",
        )
    if all(len(row) == len(header) + 1 for row in rows):
        header.append("")
        notes.append(TRAILING)
    cells = [[row[i].strip() for row in rows if i < len(row)] for i in range(len(header))]
    kept_text = [name in text or is_text_column(name) for name in header]
    formats = choose_formats([[] if is_text else column for column, is_text in zip(cells, kept_text, strict=True)])
    commas = sum(f is not None and f.decimal == "," for f in formats)
    point = "," if 2 * commas > sum(f is not None for f in formats) else "."
    fast = [
        f is not None and f.decimal == point and not f.thousands and _fractional(column)
        for f, column in zip(formats, cells, strict=True)
    ]
    try:
        table = _parse(data, separator, fast, point)
    except pa.ArrowInvalid as broken:
        if "conversion error" not in str(broken):
            raise _ragged(data, separator, header, where) from broken
        # Further down is a cell that is no number: the column stays text, and the cell is named when it is used.
        table = _parse(data, separator, [False] * len(header), point)
    check_size(table.num_rows, len(header), 0, limits, where)
    columns = [
        column if f is None or pa.types.is_floating(column.type) else _numbers(column, f)
        for column, f in zip(table.columns, formats, strict=True)
    ]
    return _frame(header, columns, where, notes)


def _from_header(data: bytes, wanted: Callable[[list[str]], bool] | None) -> tuple[bytes, list[str]]:
    """The text from the row on that names the columns wanted, and a note on what stood above it."""
    pieces = re.split(rb"(\r\n|\r|\n)", data[:MiB], maxsplit=SEARCHED)  # lines and their ends in turn
    rows = [_cells(line) for line in pieces[: 2 * SEARCHED : 2]]
    place = header_row(rows, wanted)
    if not place:
        return data, []
    return data[sum(map(len, pieces[: 2 * place])) :], [left_out_note([row for row in rows[:place] if any(row)])]


def _cells(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8", "replace")], delimiter=_separator(line)), [])
    except csv.Error:  # a cell of more than csv.field_size_limit characters
        return []


def _without_empty_end(data: bytes, notes: list[str]) -> bytes:
    """The text without rows of separators at its end, which spreadsheets write for rows that were cleared."""
    held = len(data.rstrip(_EMPTY_END))
    line_end = min((at for at in (data.find(b"\n", held), data.find(b"\r", held)) if at >= 0), default=len(data))
    if not data[line_end:].strip():
        return data
    notes.append("Rows without any value at the end were left out.")
    return data[:line_end]


def _separator(data: bytes) -> str:
    """The separator that occurs most often in the first line, outside quotes."""
    line = re.split(rb"[\r\n]", data[:MiB], maxsplit=1)[0]
    line = re.sub(rb'"[^"]*"', b"", line)
    return max(_SEPARATORS, key=lambda s: line.count(s.encode()))


def _sample(data: bytes, separator: str, where: str) -> list[list[str]]:
    """The header and the first rows, as text; a row that the sample cuts off is left out."""
    size = min(len(data), MiB)
    found: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(data[:size].decode("utf-8", "ignore"), newline=""), delimiter=separator):
            if row:
                found.append(row)
            if len(found) > _SAMPLED:
                return found
    except csv.Error as broken:  # a cell of more than csv.field_size_limit characters, for one
        if len(found) < 2:
            raise TableError(
                "a table of short cells",
                got=clean_text(broken, 80),
                where=where,
                fix="Leave out the columns that are not needed.",
            ) from None
    if size < len(data) and len(found) > 1:
        found.pop()
    return found or [[""]]


def _check_shape(data: bytes, header: list[str], rows: list[list[str]], where: str, limits: TableLimits) -> None:
    lines = data.count(b"\n") or data.count(b"\r")
    # Quoted cells may hold line breaks; then rows are counted once they are read.
    check_size(0 if b'"' in data else max(0, lines - 1), len(header), 0, limits, where)
    check_size(0, 0, (lines + 1) * len(header) * 8, limits, where)
    if not rows and len(header) > 1:
        raise TableError("at least one row below the header", got="none", where=where, fix="Check the export.")


def _parse(data: bytes, separator: str, numbers: list[bool], point: str) -> pa.Table:
    names = [f"c{i}" for i in range(len(numbers))]  # by position: a name may occur twice
    types = {n: pa.float64() if number else pa.string() for n, number in zip(names, numbers, strict=True)}
    return pa.csv.read_csv(
        pa.BufferReader(data),
        read_options=pa.csv.ReadOptions(column_names=names, skip_rows_after_names=1, block_size=8 * MiB),
        parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in data),
        convert_options=pa.csv.ConvertOptions(
            column_types=types, decimal_point=point, null_values=_NULLS, strings_can_be_null=False
        ),
    )


def _ragged(data: bytes, separator: str, header: list[str], where: str) -> TableError:
    """The error for rows of different length, with the first that differs from the header."""
    reader = csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline=""), delimiter=separator)
    width, got, place = len(header), "rows of different length", where
    fix = "Correct that row, or export the table again."
    try:
        for number, row in enumerate(reader):
            if row and len(row) != width:
                place = f"{where}, row {number}"
                got = f"{len(row)} cells instead of {width}: {clean_text(separator.join(row), 80)!r}"
                if len(row) == width + 1 and not row[-1].strip():
                    fix = "That row ends in a trailing comma: remove it, or end every row in one."
                break
    except csv.Error as broken:
        got = clean_text(broken, 80)
    return TableError("the same number of cells in every row", got=got, where=place, fix=fix)


def _fractional(cells: list[str]) -> bool:
    """Whether Arrow may parse the column at once: fractions in sight. Whole numbers are compared with their text."""
    return any(re.search(r"[.,]|\d[eE]-|inf", c) for c in cells) and not any(re.search(_NO_NUMBER, c) for c in cells)


def _numbers(column: pa.ChunkedArray, number: NumberFormat) -> pa.ChunkedArray:
    """The column as numbers where every cell is one in this format and loses nothing by it; as it is otherwise."""
    trimmed = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(sorted(MISSING)))
    held = pc.if_else(missing, None, trimmed)
    if _all(held, _WHOLE):
        return pc.cast(held, pa.int64())
    if not _all(held, number.pattern.pattern) or pc.any(pc.match_substring_regex(held, _NO_NUMBER)).as_py():
        return column
    if number.thousands:
        held = pc.replace_substring_regex(held, f"[{re.escape(number.thousands)}]", "")
    return pc.cast(pc.replace_substring(held, number.decimal, "."), pa.float64())


def _all(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, f"(?i)^(?:{pattern})$"), min_count=0).as_py())


def _frame(
    header: list[str], columns: list[pa.ChunkedArray], where: str, notes: list[str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    kept = []
    for place, (name, column) in enumerate(zip(header, columns, strict=True), start=1):
        if name:
            kept.append((name, column))
            continue
        filled = pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(pc.cast(column, pa.string())), ""), False)
        if not pc.any(filled, min_count=0).as_py():
            if TRAILING not in notes:
                notes.append("A column without a name and without any value was left out.")
        elif TRAILING in notes and place == len(header):
            row = int(pc.index(filled, True).as_py()) + 1
            raise TableError(
                "a header as long as the rows",
                got="one cell more in every row, which is no trailing comma",
                where=f"{where}, row {row}",
                fix="Name every column (R: write.csv(..., row.names = FALSE)), or remove the cells without a name.",
            )
        else:
            kept.append((f"column {place}", column))
    frame = pd.DataFrame({i: column.to_pandas() for i, (_, column) in enumerate(kept)}, copy=False)
    frame.columns = [name for name, _ in kept]
    return frame, tuple(notes)
