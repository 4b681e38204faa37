"""The reader of tables: CSV, TSV, Parquet and Excel from a file, from memory or as a data frame.

Manifests, predictions of any tool, clinical tables and the project's own files are all read here, by the command line,
the Python interface and the dashboard alike. The content of a file decides what it is, never its name. Nothing in a
file is executed, and its size is checked before and while it is read.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from her2core.errors import TableError
from her2core.io.delimited import read_delimited
from her2core.io.file_kinds import MiB, as_utf8, table_kind
from her2core.io.limits import TableLimits, check_size
from her2core.io.parquet import read_parquet
from her2core.io.spreadsheet import guarded, restored
from her2core.io.text import clean_text
from her2core.io.workbooks import read_workbook

#: What a table can be read from.
TableSource: TypeAlias = "str | os.PathLike[str] | bytes | pd.DataFrame"
#: Columns of this project's own CSV files that are never numbers: "0" is an IHC score, "007" a patient.
OWN_TEXT = ("patch_id", "path", "patient_id", "slide_id", "site", "scanner", "her2_ihc", "ish", "label", "source")


@dataclass(frozen=True)
class Table:
    """A table as it was read.

    Parameters
    ----------
    frame : DataFrame
        With an index from 0; column names are text and may occur twice.
    name : str
        The file's path or name, for messages.
    metadata : mapping of str
        A Parquet file's key-value metadata.
    notes : tuple of str
        What had to be interpreted: an assumed encoding, a trailing comma, one worksheet of several.
    """

    frame: pd.DataFrame
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_table(
    source: TableSource,
    *,
    name: str = "",
    text: Iterable[str] = (),
    own: bool = False,
    limits: TableLimits | None = None,
    wanted: Callable[[list[str]], bool] | None = None,
) -> Table:
    """Read a table.

    Parameters
    ----------
    source : path, bytes or DataFrame
        A file (CSV, TSV, semicolons or pipes, in UTF-8, UTF-16 or Latin-1; Parquet; Excel; OpenDocument), its content,
        or a frame, of which named levels of the index become columns.
    name : str, optional
        What to call it in messages; a file's path when left out.
    text : iterable of str, optional
        Columns that stay text even where they look like numbers, besides those whose name says so
        (``columns.is_text_column``).
    own : bool, default False
        This project wrote the file: only an empty cell is missing, booleans come back, a table may be empty.
    limits : TableLimits, optional
        Largest table.
    wanted : callable, optional
        Tells by its column names whether a worksheet is the one wanted, and a row the header (``header_rows``); the
        first worksheet and row where none is.

    Returns
    -------
    Table

    Raises
    ------
    TableError
        For a missing file, content that is no table, damage, and a table beyond the limits.

    Examples
    --------
    >>> table = read_table(b"case;score\\n007;0,5\\n", name="scores.csv")
    >>> table.frame.to_dict("list")
    {'case': ['007'], 'score': [0.5]}
    >>> indexed = pd.DataFrame({"label": ["a"]}, index=pd.Index(["1.png"], name="path"))
    >>> read_table(indexed).frame.to_dict("list")
    {'path': ['1.png'], 'label': ['a']}
    """
    limits = limits or TableLimits()
    if isinstance(source, pd.DataFrame):
        return Table(_plain_frame(source), name or "data frame")
    where = clean_text(name, 120) or ("table" if isinstance(source, bytes) else os.fspath(source))
    data = source if isinstance(source, bytes) else _content(Path(source), where)
    if limits.file is not None and len(data) > limits.file:
        raise TableError(
            f"at most {limits.file // MiB} MiB",
            got=f"{len(data) / MiB:.0f} MiB",
            where=where,
            fix="Leave out columns or rows that are not needed, or export as Parquet.",
        )
    kind = table_kind(data, where)
    metadata: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if kind == "parquet":
        frame, metadata = read_parquet(data, where, limits=limits)
        if frame.empty and not own:
            raise TableError("at least one row", got="none", where=where, fix="Check the export.")
    elif kind == "excel":
        frame, notes = read_workbook(data, where, text=frozenset(text), limits=limits, wanted=wanted)
    else:
        data, encoding = as_utf8(data, where)
        if own:
            return Table(_own_csv(data, where, (*OWN_TEXT, *text), limits), where)
        names = frozenset(name for column in text for name in (column, guarded(column)))
        frame, notes = read_delimited(data, where, text=names, limits=limits, wanted=wanted)
        frame, notes = restored(frame), (*encoding, *notes)
    return Table(frame, where, metadata, notes)


def _content(path: Path, where: str) -> bytes:
    if path.is_dir():
        raise TableError("a table", got="a folder", where=where, fix="Give the file itself.")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise TableError(
            "a CSV, Parquet or Excel file", got="no such file", where=where, fix="Check the name and the folder."
        ) from None
    except OSError as refused:
        raise TableError(
            "a readable file", got=refused.strerror or "an error", where=where, fix="Check its permissions."
        ) from None


def _own_csv(data: bytes, where: str, text: Iterable[str], limits: TableLimits) -> pd.DataFrame:
    check_size(data.count(b"\n"), data.partition(b"\n")[0].count(b",") + 1, 0, limits, where)
    reason = "rows longer than the header"
    try:
        types = dict.fromkeys([name for column in text for name in (column, guarded(column))], "str")
        frame = pd.read_csv(io.BytesIO(data), dtype=types, na_values=[""], keep_default_na=False)
        if isinstance(frame.index, pd.RangeIndex):
            return restored(frame)
    except (ValueError, OverflowError) as broken:  # pandas' own errors are ValueErrors
        reason = clean_text((str(broken).splitlines() or ["unreadable"])[0], 200)
    raise TableError("a complete CSV table", got=reason, where=where, fix="Write it again.")


def _plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The same columns with text names and an index from 0; named levels of the index come first."""
    if isinstance(frame.columns, pd.MultiIndex):
        raise TableError(
            "one row of column names", got=f"{frame.columns.nlevels} levels", where="data frame", fix="Join the levels."
        )
    levels = [name for name in frame.index.names if name is not None and name not in frame.columns]
    others = [name for name in frame.index.names if name not in levels]
    if levels:
        unnamed = [i for i, name in enumerate(frame.index.names) if name in others]
        frame = (frame.droplevel(unnamed) if unnamed else frame).reset_index()
    else:
        frame = frame.reset_index(drop=True)
    if not all(isinstance(c, str) for c in frame.columns):
        frame = frame.set_axis([str(c) for c in frame.columns], axis=1)
    return frame
