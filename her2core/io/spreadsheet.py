"""CSV files without cells that a spreadsheet would run as formulas: the one writer, and its inverse for readers.

OWASP (2024), "CSV Injection": a cell that begins with =, +, - or @ is executed when the file is opened. Every CSV file
of this project is written by ``to_csv`` with an apostrophe before such text, and ``read_table`` takes it away again, so
that the cells come back exactly. Text that already has apostrophes before a formula gets one more.
"""

from __future__ import annotations

import os
import re
from typing import IO, Any

import numpy as np
import pandas as pd

#: First characters of a formula; the last are full-width signs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: A signed number, with its interval or without: "+3.1", "-0.4 [-2.0, +1.1]". It refers to nothing and calls nothing.
_NUMBER = re.compile(r"[+-]\d[\d.,]*%?( \[[+-]?[\d.]+%?, [+-]?[\d.]+%?\])?")


def to_csv(
    frame: pd.DataFrame,
    target: str | os.PathLike[str] | IO[str] | None = None,
    *,
    header: bool = True,
    float_format: str | None = None,
) -> str:
    """Write a table as CSV without its index; no cell can act as a formula.

    Parameters
    ----------
    frame : DataFrame
        Its rows.
    target : path or text stream, optional
        Where to write; nowhere when left out.
    header : bool, default True
        Whether the first line has the column names.
    float_format : str, optional
        As ``DataFrame.to_csv`` takes it, such as ``%.6f``.

    Returns
    -------
    str
        The CSV where there is no target, otherwise empty.

    Examples
    --------
    >>> to_csv(pd.DataFrame({"id": ["=1+1", "P1"], "x": [-0.5, 1.0]}))
    "id,x\\n'=1+1,-0.5\\nP1,1.0\\n"
    """
    safe = spreadsheet_safe(frame)
    # Python before 3.13 quotes a carriage return only where it is a part of the line's end.
    end = "\r\n" if any(_has_return(safe.iloc[:, i]) for i in range(safe.shape[1])) else "\n"
    text = safe.to_csv(target, index=False, header=header, float_format=float_format, lineterminator=end)
    return text or ""


def spreadsheet_safe(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with an apostrophe before each text that a spreadsheet takes for a formula.

    Parameters
    ----------
    frame : DataFrame
        Any table; it is not changed.

    Returns
    -------
    DataFrame
        For export only, since it changes text (column names too). Numbers stay numbers: -0.5 is no text.

    Examples
    --------
    >>> spreadsheet_safe(pd.DataFrame({"id": ["=1+1", "P1"], "x": [-0.5, 1.0]})).to_dict("list")
    {'id': ["'=1+1", 'P1'], 'x': [-0.5, 1.0]}
    """
    safe = frame.copy(deep=False)
    for i in range(frame.shape[1]):
        column = frame.iloc[:, i]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        if pd.api.types.is_object_dtype(column.dtype):
            column = column.map(guarded)
        elif pd.api.types.is_string_dtype(column.dtype):
            found = np.array([isinstance(v, str) and _formula(v) for v in column], bool)
            if found.any():
                column = column.where(~found, "'" + column)
        safe.isetitem(i, column)
    safe.columns = [guarded(c) for c in frame.columns]
    return safe


def guarded(value: Any) -> Any:
    """Text that a spreadsheet takes for a formula with an apostrophe before it; anything else as it is.

    Parameters
    ----------
    value : object
        A cell or a column name.

    Returns
    -------
    object

    Examples
    --------
    >>> guarded("=1+1"), guarded("'=1+1"), guarded("-0.5"), guarded(-0.5)
    ("'=1+1", "''=1+1", '-0.5', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and _formula(value) else value


def unguarded(value: Any) -> Any:
    """The inverse of ``guarded``; text without its apostrophe stays as it is.

    Parameters
    ----------
    value : object
        A cell or a column name.

    Returns
    -------
    object

    Examples
    --------
    >>> unguarded("'=1+1"), unguarded("''=1+1"), unguarded("'quoted'"), unguarded("=1+1")
    ('=1+1', "'=1+1", "'quoted'", '=1+1')
    """
    return value[1:] if isinstance(value, str) and value.startswith("'") and _formula(value) else value


def restored(frame: pd.DataFrame) -> pd.DataFrame:
    """The table before ``spreadsheet_safe``.

    Parameters
    ----------
    frame : DataFrame
        As read from a CSV file; it is not changed.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> restored(pd.DataFrame({"id": ["'=1+1", "P1"]})).to_dict("list")
    {'id': ['=1+1', 'P1']}
    """
    frame = frame.copy(deep=False)
    for i in range(frame.shape[1]):
        column = frame.iloc[:, i]
        if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
            continue
        begins = column.astype("str").str.startswith("'").to_numpy(bool, na_value=False)
        if begins.any():
            column = column.copy()
            column[begins] = column[begins].map(unguarded)
            frame.isetitem(i, column)
    frame.columns = [unguarded(c) for c in frame.columns]
    return frame


def _formula(text: str) -> bool:
    plain = text.lstrip("'")
    return plain.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(plain)


def _has_return(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column.dtype) and any(isinstance(v, str) and "\r" in v for v in column)
