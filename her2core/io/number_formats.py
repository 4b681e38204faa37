"""Number formats of text tables: decimal comma or point, thousands separators.

A table from a German, French or Brazilian Excel writes 0,5 and 1.024; an English one 0.5 and 1,024. The format of a
column follows from its own cells where they decide it ("0,5" can only be a decimal), otherwise from that of the other
columns of the table ("1,024" is a thousand beside decimal points, one and a bit beside decimal commas).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.io.cells import MISSING, cell_text, missing_cells

_SPACES = " \u00a0\u202f'’"


@dataclass(frozen=True)
class NumberFormat:
    """How numbers of one column are written.

    Parameters
    ----------
    decimal : str
        "." or ",".
    thousands : str
        Characters between groups of three digits; empty where there are none.

    Examples
    --------
    >>> NumberFormat(",", ".").parse("1.024,5")
    1024.5
    """

    decimal: str = "."
    thousands: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """The regular expression that a number in this format matches as a whole."""
        d, t = re.escape(self.decimal), f"[{re.escape(self.thousands)}]"
        whole = rf"[1-9]\d{{0,2}}(?:{t}\d{{3}})+|\d+" if self.thousands else r"\d+"
        return re.compile(rf"[-+]?(?:(?:{whole})(?:{d}\d*)?|{d}\d+)(?:[eE][-+]?\d+)?|[-+]?inf(?:inity)?", re.IGNORECASE)

    def plain(self, text: str) -> str:
        """A number in this format as Python and Arrow write it.

        Parameters
        ----------
        text : str
            A cell that matches ``pattern``.

        Returns
        -------
        str
        """
        return text.translate({ord(c): None for c in self.thousands}).replace(self.decimal, ".")

    def parse(self, text: str) -> float:
        """The value of one cell; NaN where it is no number in this format.

        Parameters
        ----------
        text : str
            The cell.

        Returns
        -------
        float
        """
        return float(self.plain(text)) if self.pattern.fullmatch(text.strip()) else float("nan")


#: In order of preference where a column fits several and no other column decides.
_POINT, _COMMA = NumberFormat("."), NumberFormat(",")
FORMATS = (
    NumberFormat("."),
    NumberFormat(".", ","),
    NumberFormat(","),
    NumberFormat(",", "."),
    NumberFormat(".", _SPACES),
    NumberFormat(",", _SPACES),
)


def possible_formats(cells: Iterable[str]) -> list[NumberFormat]:
    """The formats in which every cell is a number.

    Parameters
    ----------
    cells : iterable of str
        Cells of one column; missing values are passed over.

    Returns
    -------
    list of NumberFormat
        In order of preference; empty for a column of text or without any value.

    Examples
    --------
    >>> [f.decimal for f in possible_formats(["0,5", "NA"])]
    [',', ',', ',']
    """
    held = [c for cell in cells if (c := cell.strip()).casefold() not in MISSING]
    return [f for f in FORMATS if held and all(f.pattern.fullmatch(c) for c in held)]


def choose_formats(columns: Sequence[Iterable[str]]) -> list[NumberFormat | None]:
    """The number format of each column of a table.

    Parameters
    ----------
    columns : sequence of iterables of str
        The cells of each column, or a sample of them.

    Returns
    -------
    list of NumberFormat or None
        None where a column holds text.

    Examples
    --------
    >>> [f.decimal for f in choose_formats([["0,5"], ["1,024"]])]
    [',', ',']
    >>> choose_formats([["1,024"], ["low"]])
    [NumberFormat(decimal='.', thousands=','), None]
    """
    possible = [possible_formats(cells) for cells in columns]
    decided = [marks.pop() for formats in possible if len(marks := {f.decimal for f in formats}) == 1]
    usual = "," if decided.count(",") > decided.count(".") else "." if decided else None
    return [next((f for f in formats if usual in (None, f.decimal)), next(iter(formats), None)) for formats in possible]


def percent_cells(column: pd.Series) -> bool:
    """Whether every cell is a number with a percent sign, or missing.

    Parameters
    ----------
    column : Series
        Cells of any type.

    Returns
    -------
    bool
        False for a column without any value.

    Examples
    --------
    >>> percent_cells(pd.Series(["81 %", "19,5%", "NA"])), percent_cells(pd.Series(["81 %", "0.195"]))
    (True, False)
    """
    if not (pd.api.types.is_string_dtype(column.dtype) or column.dtype == object):
        return False
    held = [text for value in column.unique() if (text := cell_text(value)).casefold() not in MISSING]
    return bool(held) and all(text.endswith("%") for text in held) and bool(possible_formats(_unsigned(held)))


def _unsigned(cells: Iterable[str]) -> list[str]:
    return [cell.strip().removesuffix("%").strip() for cell in cells]


def to_numbers(column: pd.Series) -> np.ndarray:
    """A column as numbers, whatever its number format.

    Parameters
    ----------
    column : Series
        Numbers, or text of which each cell is a number or missing; or each a percentage, which is divided by 100.

    Returns
    -------
    ndarray of float64, shape (N,)
        NaN where a cell is missing or no number: ``missing_cells`` tells which.

    Examples
    --------
    >>> to_numbers(pd.Series(["0,25", "1,5", "n/a"])).tolist()
    [0.25, 1.5, nan]
    >>> to_numbers(pd.Series(["25 %", "7,5 %"])).tolist()
    [0.25, 0.075]
    """
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return numbers
    unread = np.isnan(numbers) & ~missing_cells(column)
    if not unread.any():
        return numbers
    if percent_cells(column):
        return to_numbers(pd.Series(_unsigned(map(cell_text, column)), dtype="str")) / 100
    text = column.astype("str").str.strip()
    chosen = choose_formats([text[~missing_cells(column)].unique()])[0]
    if chosen is None:
        return numbers
    values = {cell: chosen.parse(cell) for cell in text.dropna().unique()}
    return text.map(values).to_numpy(np.float64)
