"""Spreadsheet files: the worksheet that holds the table, values only.

openpyxl reads .xlsx; what it cannot read (strict OOXML, .xls, .xlsb, .ods) python-calamine does. Formulas are never
evaluated: the value that the spreadsheet program stored is taken.
"""

from __future__ import annotations

import datetime
import io
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from her2core.errors import TableError
from her2core.io.cells import cell_text
from her2core.io.columns import is_text_column
from her2core.io.header_rows import SEARCHED, header_row, left_out_note
from her2core.io.limits import TableLimits, check_size
from her2core.io.number_formats import percent_cells, to_numbers
from her2core.io.text import clean_text

#: Name of a worksheet, and its rows.
_Sheet = tuple[str, Iterator[Sequence[object]]]


def read_workbook(
    data: bytes,
    where: str,
    *,
    text: frozenset[str] = frozenset(),
    limits: TableLimits | None = None,
    wanted: Callable[[list[str]], bool] | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read the first worksheet that holds a header and a row, or the first with the columns wanted.

    Parameters
    ----------
    data : bytes
        The whole file: .xlsx, .xlsm, .xlsb, .xls or .ods.
    where : str
        Its name, for messages.
    text : frozenset of str
        Columns that become text, besides those whose name says so.
    limits : TableLimits, optional
        Largest table.
    wanted : callable, optional
        Tells by its column names whether a worksheet is the one wanted, and a row the header (``header_rows``). Where
        none is, the first worksheet is read from its first row.

    Returns
    -------
    DataFrame
        Columns of text or numbers.
    tuple of str
        Notes where there are several worksheets, or rows above the header.

    Raises
    ------
    TableError
        For a damaged or encrypted workbook, one without a table, and tables beyond the limits.

    Examples
    --------
    >>> buffer = io.BytesIO()
    >>> pd.DataFrame({"patient": ["007"], "score": [0.5]}).to_excel(buffer, index=False)
    >>> read_workbook(buffer.getvalue(), "t.xlsx")[0].to_dict("list")
    {'patient': ['007'], 'score': [0.5]}
    """
    limits = limits or TableLimits()
    _refuse_archive_bomb(data, where, limits)
    reasons = []
    for reader in (_with_openpyxl, _with_calamine) if data[:2] == b"PK" else (_with_calamine,):
        try:
            return _first_table(reader, data, where, text, limits, wanted)
        except TableError:
            raise
        except Exception as broken:  # whatever a parser of somebody else's file may raise
            reasons.append(clean_text(broken, 100) or type(broken).__name__)
    raise TableError(
        "a complete, unencrypted Excel workbook",
        got=reasons[-1],
        where=where,
        fix="Save it again as .xlsx without a password, or export the sheet as CSV.",
    )


def _refuse_archive_bomb(data: bytes, where: str, limits: TableLimits) -> None:
    if data[:2] != b"PK":
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # the readers name what is wrong
    check_size(0, 0, unpacked, limits, where)


def _with_openpyxl(data: bytes) -> Iterator[_Sheet]:
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # openpyxl warns of styles and extensions that hold no value
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        if not book.worksheets:
            raise ValueError("no worksheet that openpyxl can read")  # strict OOXML looks so to it
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what a file states of its size may be wrong
            yield sheet.title, sheet.iter_rows(values_only=True)


def _with_calamine(data: bytes) -> Iterator[_Sheet]:
    import python_calamine

    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    for name in book.sheet_names:
        yield name, iter(book.get_sheet_by_name(name).to_python(skip_empty_area=True))


def _first_table(
    reader: Callable[[bytes], Iterator[_Sheet]],
    data: bytes,
    where: str,
    text: frozenset[str],
    limits: TableLimits,
    wanted: Callable[[list[str]], bool] | None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    names: list[str] = []
    notes: list[str] = []
    first: tuple[str, list[list[object]]] | None = None
    chosen: tuple[str, list[list[object]]] | None = None
    for name, rows in reader(data):
        names.append(name)
        if chosen is not None:
            continue
        held = _held(rows, limits, where)
        above = [[cell_text(cell) for cell in row] for row in held[:SEARCHED]]
        place = header_row(above, wanted)
        if len(held) < 2 + (place or 0) or (place is None and len(held[0]) < 2):
            continue
        first = first or (name, held)
        if wanted is None or place is not None:
            chosen = name, held[place or 0 :]
            notes = [left_out_note(above[:place])] if place else []
    if (read := chosen or first) is None:
        raise TableError(
            "a worksheet with a header and at least one row",
            got=f"{len(names)} worksheet{'s' if len(names) != 1 else ''} without",
            where=where,
            fix="Check the file: the names of the columns stand in its first row.",
        )
    name, held = read
    others = [clean_text(other, 40) for other in names if other != name]
    note = f"Worksheet {clean_text(name, 40)!r} was read; the file has others: {', '.join(others[:5])}."
    return _frame(held[0], held[1:], where, text), (*([note] if others else []), *notes)


def _held(rows: Iterator[Sequence[object]], limits: TableLimits, where: str) -> list[list[object]]:
    """The rows of a worksheet that are not empty, without empty cells at their ends."""
    held: list[list[object]] = []
    for row in rows:
        cells = [None if cell is None or cell_text(cell) == "" else cell for cell in row]
        while cells and cells[-1] is None:
            cells.pop()
        if cells:
            held.append(cells)
            check_size(len(held) - 1, max(len(held[0]), len(cells)), 0, limits, where)
    return held


def _frame(header: list[object], rows: list[list[object]], where: str, text: frozenset[str]) -> pd.DataFrame:
    width = max(len(header), *(len(row) for row in rows))
    names = [cell_text(name) for name in header] + [""] * (width - len(header))
    columns, kept = {}, []
    for place, name in enumerate(names):
        cells = [row[place] if place < len(row) else None for row in rows]
        if not name and all(cell is None for cell in cells):
            continue
        kept.append(name or f"column {place + 1}")
        columns[place] = _column(cells, name in text or is_text_column(name))
    frame = pd.DataFrame(columns)
    frame.columns = kept
    return frame


def _column(cells: list[object], is_text: bool) -> pd.Series:
    if not is_text:
        if all(cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool)) for cell in cells):
            numbers = [float("nan") if cell is None else cell for cell in cells]
            column = pd.Series(numbers)
            whole = pd.api.types.is_float_dtype(column.dtype) and column.notna().all() and (column % 1 == 0).all()
            return column.astype("int64") if whole and column.abs().max() < 2**53 else column
        texts = pd.Series(["" if cell is None else _text(cell) for cell in cells], dtype="str")
        if not percent_cells(texts) and pd.Series(to_numbers(texts)).notna().all():
            return pd.Series(to_numbers(texts))
        return texts
    return pd.Series(["" if cell is None else _text(cell) for cell in cells], dtype="str")


def _text(cell: object) -> str:
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date().isoformat()
    return cell_text(cell)
