"""Export of tables to spreadsheets without cells that they would run as formulas.

OWASP (2024), "CSV Injection": a cell that begins with =, +, - or @ is executed when the file is opened.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

#: First characters of a formula; the last are full-width signs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: A signed number, with its interval or without: "+3.1", "-0.4 [-2.0, +1.1]". It refers to nothing and calls nothing.
_NUMBER = re.compile(r"[+-]\d[\d.,]*%?( \[[+-]?[\d.]+%?, [+-]?[\d.]+%?\])?")


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
            column = column.map(lambda v: f"'{v}" if isinstance(v, str) and _formula(v) else v)
        elif pd.api.types.is_string_dtype(column.dtype):
            found = np.array([isinstance(v, str) and _formula(v) for v in column], bool)
            if found.any():
                column = column.where(~found, "'" + column)
        safe.isetitem(i, column)
    safe.columns = [f"'{c}" if isinstance(c, str) and _formula(c) else c for c in frame.columns]
    return safe


def _formula(text: str) -> bool:
    return text.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(text)
