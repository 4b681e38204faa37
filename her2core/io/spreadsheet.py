"""What in a table would a spreadsheet run as a formula? A table in; one that is only text and numbers out."""

from __future__ import annotations

import pandas as pd

#: A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV injection"); the last are full-width signs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def spreadsheet_safe(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with an apostrophe before each text (column names too) that a spreadsheet takes for a formula.

    Numbers stay numbers: -0.5 is no text. The result is for export to spreadsheets only, since it changes the text;
    ``frame`` itself is left alone.
    """
    safe = frame.copy(deep=False)
    for i in range(frame.shape[1]):
        column = frame.iloc[:, i]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        if pd.api.types.is_object_dtype(column.dtype):
            column = column.map(lambda v: f"'{v}" if isinstance(v, str) and _formula(v) else v)
        elif pd.api.types.is_string_dtype(column.dtype):
            found = column.str.lstrip(" ").str.startswith(_FORMULA).fillna(False).to_numpy(bool)
            if found.any():
                column = column.where(~found, "'" + column)
        safe.isetitem(i, column)
    safe.columns = [f"'{c}" if isinstance(c, str) and _formula(c) else c for c in frame.columns]
    return safe


def _formula(text: str) -> bool:
    return text.lstrip(" ").startswith(_FORMULA)
