"""Interpretation of table cells: missing values, identifiers and labels.

One rule of each kind for manifests, predictions of any tool and clinical tables alike. A missing value has many
spellings (pandas, R, SPSS and Excel each write their own); they are recognised in any case for identifiers, sites and
numbers, and never for class names, since a class may be called "None".
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pandas as pd

#: What an identifier reads where the source does not state it.
UNKNOWN = "unknown"
#: Spellings of a missing value, in lower case and without surrounding blanks.
MISSING = frozenset(
    (
        *("", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "none", "null", "nil", "unknown"),
        *("not available", "not known", "missing", "undefined", "-", "--", "?", "."),
    )
)
#: A number that a spreadsheet rounded to few digits: 1.23457E+15. The sign is always written; 1E05 is a code.
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d{2,}")
#: A spreadsheet keeps 15 significant digits: larger whole numbers that come as floats have lost their last ones.
_EXACT_DIGITS = 15
#: Dates as spreadsheets write them: 1-Mar, 01. Mrz, 1-Mar-24, Mar-21 and 2024-03-01 00:00:00.
_DAY_AND_WORD = re.compile(
    r"(?P<day>\d{1,2})[-. /]+(?P<month>[^\W\d_]{3,4})\.?(?:[-. /]+(?:\d{2}|\d{4}))?"
    r"|(?P<before>[^\W\d_]{3})-(?P<after>\d{2})"
)
_ISO_DATE = re.compile(r"(?:19|20)\d{2}-\d{2}-\d{2}(?:[ T]00:00(?::00)?)?")
_MONTHS = frozenset(
    (
        *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
        *("mrz", "mär", "mai", "okt", "dez", "janv", "févr", "mars", "avr", "juin", "juil", "août", "déc"),
    )
)
_WHOLE = re.compile(r"([-+]?\d+)[.,]0*")


def cell_text(value: object) -> str:
    """One cell as text without surrounding blanks.

    Parameters
    ----------
    value : object
        Text, number, date or a null of Python, NumPy or pandas.

    Returns
    -------
    str
        Empty for a null; a whole number of floating type has no decimals; accents are part of their letter (Unicode
        NFC), so that names from a Mac's file system equal those that were typed.

    Examples
    --------
    >>> cell_text(2.0), cell_text(" 007 "), cell_text(float("nan")), cell_text("None")
    ('2', '007', '', 'None')
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float | np.floating):
        number = float(value)
        if number != number:
            return ""
        return str(int(number)) if number.is_integer() and abs(number) < 1e18 else repr(number)
    return unicodedata.normalize("NFC", str(value)).strip()


def is_missing(value: object) -> bool:
    """Whether a cell of an identifier or number states that there is no value.

    Parameters
    ----------
    value : object
        The cell. Not for class names: "None" may be one.

    Returns
    -------
    bool

    Examples
    --------
    >>> [is_missing(v) for v in ("", "N/A", "nan", "Unknown", "#N/A", None, "P01", 0)]
    [True, True, True, True, True, True, False, False]
    """
    return cell_text(value).casefold() in MISSING


def label_text(value: object) -> str:
    """One cell of a label column as the name of a class: 1, 1.0 and "1.0 " are one class.

    Parameters
    ----------
    value : object
        The cell.

    Returns
    -------
    str
        Empty for a null or blanks. Case is kept.

    Examples
    --------
    >>> {label_text(v) for v in (1, 1.0, "1", "1.0 ", "1,0")}
    {'1'}
    >>> label_text("None"), label_text(" 3+ ")
    ('None', '3+')
    """
    text = cell_text(value)
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def identifiers(column: pd.Series) -> pd.Series:
    """Identifiers of patients, slides, sites or patches as text.

    Parameters
    ----------
    column : Series
        Cells of any type.

    Returns
    -------
    Series of str
        With a new index from 0; without surrounding blanks; ``UNKNOWN`` where the cell is missing. Where every
        identifier is a whole number with a decimal part of zero (a column that pandas wrote with gaps), it has none.

    Examples
    --------
    >>> identifiers(pd.Series(["007", " P1", "N/A", None])).tolist()
    ['007', 'P1', 'unknown', 'unknown']
    >>> identifiers(pd.Series(["1.0", "2.0", "nan"])).tolist()
    ['1', '2', 'unknown']
    """
    if pd.api.types.is_string_dtype(column.dtype) and not pd.api.types.is_object_dtype(column.dtype):
        text = column.reset_index(drop=True)
        text = text.where(text.notna(), "")
        if not text.str.isascii().all():
            text = text.str.normalize("NFC")
        return _identifiers(text.str.strip())
    codes, values = pd.factorize(column)
    texts = _identifiers(pd.Series([*map(cell_text, values), ""], dtype="str"))
    return texts.take(codes).reset_index(drop=True)


def _identifiers(text: pd.Series) -> pd.Series:
    missing = text.str.lower().isin(list(MISSING))
    held = text[~missing]
    if len(held) and held.str.fullmatch(r"\d+\.0").all():
        text = text.str.removesuffix(".0")
    return text.where(~missing, UNKNOWN).astype("str")


def missing_cells(column: pd.Series) -> np.ndarray:
    """Which cells are missing by the rule for identifiers and numbers.

    Parameters
    ----------
    column : Series
        Cells of any type.

    Returns
    -------
    ndarray of bool, shape (N,)

    Examples
    --------
    >>> missing_cells(pd.Series([0.5, float("nan")])).tolist(), missing_cells(pd.Series(["0.5", "NULL"])).tolist()
    ([False, True], [False, True])
    """
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.isna().to_numpy(bool)
    return (identifiers(column) == UNKNOWN).to_numpy(bool)


def rounded_identifiers(column: pd.Series) -> list[str]:
    """Identifiers that a spreadsheet has rounded, so that several patients may have become one.

    Parameters
    ----------
    column : Series
        Identifiers as the source has them. Suspicious are text such as "1.23457E+15", floats of more than 15 digits,
        and whole numbers of which every digit after the 15th is a zero in all rows.

    Returns
    -------
    list of str
        The distinct ones, sorted; empty for sound identifiers.

    Examples
    --------
    >>> rounded_identifiers(pd.Series(["1.23457E+15", "1.23457E+15", "P7"]))
    ['1.23457E+15']
    """
    values = column.dropna().unique()
    if pd.api.types.is_float_dtype(column.dtype):
        return [f"{v:.6G}" for v in sorted(values) if abs(v) >= 10**_EXACT_DIGITS]
    texts = {cell_text(value) for value in values}
    long = {text for text in texts if text.isdecimal() and len(text) > _EXACT_DIGITS}
    if any(text[_EXACT_DIGITS:].strip("0") for text in long):
        long = set()
    return sorted(long | {text for text in texts if _ROUNDED.fullmatch(text)})


def date_identifiers(column: pd.Series) -> list[str]:
    """Identifiers that a spreadsheet has made dates, such as MAR1 or 3-4.

    Parameters
    ----------
    column : Series
        Identifiers as the source has them.

    Returns
    -------
    list of str
        The distinct ones, sorted. None where all are dates, or where ids of the same form are none (1-LYO beside
        1-MAR): dates are then how patients were numbered.

    Examples
    --------
    >>> date_identifiers(pd.Series(["1-Mar", "2024-09-02 00:00:00", "LUM1"]))
    ['1-Mar', '2024-09-02 00:00:00']
    >>> date_identifiers(pd.Series(["1-MAR", "1-LYO"])), date_identifiers(pd.Series(["2024-09-02", "2024-09-03"]))
    ([], [])
    """
    texts = {cell_text(value) for value in column.dropna().unique()} - {"", UNKNOWN}
    dates = {text for text in texts if _is_date(text)}
    alike = any(_DAY_AND_WORD.fullmatch(text) for text in texts - dates)
    return [] if alike or dates == texts else sorted(dates)


def _is_date(text: str) -> bool:
    named = _DAY_AND_WORD.fullmatch(text)
    if named is None:
        return _ISO_DATE.fullmatch(text) is not None
    day, month = named["day"] or named["after"], (named["month"] or named["before"]).casefold()
    return month in _MONTHS and int(day) <= (31 if named["day"] else 99)


def distinct_labels(column: pd.Series) -> list[str]:
    """The different class names in a column, by ``label_text``.

    Parameters
    ----------
    column : Series
        Cells of any type.

    Returns
    -------
    list of str
        In order of first appearance, without the empty one.

    Examples
    --------
    >>> distinct_labels(pd.Series([0.0, 1.0, None, 1.0]))
    ['0', '1']
    """
    return list(dict.fromkeys(text for v in pd.unique(column) if (text := label_text(v))))
