"""Conditions that describe subsets of the test part: values of a column, quarters and halves of a measured property.

Only what a person can act on is searched: one condition, or two of different columns. Which subsets are searched
follows from columns and patients alone, never from labels or predictions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from her2core.evidence.subgroups import MAX_GROUPS, SEVERAL
from her2core.io.cells import UNKNOWN
from her2core.io.text import clean_text

Bools = NDArray[np.bool_]
#: Patients needed inside and outside a subset.
MIN_PATIENTS = 5
#: Most subsets of one search, and most rows of all its subsets together; pairs beyond them are left out.
MOST_SUBSETS, MOST_CELLS = 4000, 200_000_000
#: A column of numbers of more different values than this is cut at its quartiles, any other by its values.
_MANY_VALUES = 10
_QUARTILES = (25, 50, 75)


@dataclass(frozen=True, eq=False)
class Condition:
    """A subset of rows.

    Parameters
    ----------
    columns : tuple of str
        What it is defined by.
    text : str
        As a person reads it, such as ``site = A and mean R at most 182``.
    rows : ndarray of bool, shape (N,)
        Which rows are inside.
    """

    columns: tuple[str, ...]
    text: str
    rows: Bools


def single_conditions(columns: pd.DataFrame, patients: NDArray[np.int64]) -> list[Condition]:
    """Subsets by one condition.

    Parameters
    ----------
    columns : DataFrame
        N rows. Text is taken by its values (columns of more than ``subgroups.MAX_GROUPS`` values hold ids and are left
        out, unknown cells belong to no subset), numbers of many values as lowest quarter, lower half, upper half and
        highest quarter.
    patients : ndarray of int64, shape (N,)
        Patient of each row, from 0.

    Returns
    -------
    list of Condition
        In the order of the columns, those with ``MIN_PATIENTS`` patients inside and outside; equal subsets once.

    Examples
    --------
    >>> columns = pd.DataFrame({"site": list("aaaaabbbbbc"), "grey": range(11)})
    >>> [c.text for c in single_conditions(columns, np.arange(11))]
    ['site = a', 'site = b', 'grey at most 5', 'grey above 5']
    """
    found, seen = [], set()
    for name in columns:
        for text, rows in _of_column(str(name), columns[name]):
            key = np.packbits(rows).tobytes()
            if key not in seen and _enough(rows, patients):
                seen.add(key)
                found.append(Condition((str(name),), text, rows))
    return found


def with_pairs(singles: list[Condition], patients: NDArray[np.int64]) -> tuple[list[Condition], int]:
    """Add subsets by two conditions of different columns.

    Parameters
    ----------
    singles : list of Condition
    patients : ndarray of int64, shape (N,)

    Returns
    -------
    conditions : list of Condition
        Singles, then pairs with ``MIN_PATIENTS`` patients inside and outside that are no other subset; at most
        ``MOST_SUBSETS``, fewer of more than 50,000 rows.
    left_out : int
        Pairs that were not looked at because there are more.

    Examples
    --------
    >>> columns = pd.DataFrame({"site": list("ab") * 10, "scanner": list("xxyy") * 5})
    >>> found, left_out = with_pairs(single_conditions(columns, np.arange(20)), np.arange(20))
    >>> [c.text for c in found][-2:], left_out
    (['site = b and scanner = x', 'site = b and scanner = y'], 0)
    """
    most = min(MOST_SUBSETS, MOST_CELLS // max(1, len(patients)))
    found = list(singles)
    seen = {np.packbits(c.rows).tobytes() for c in found}
    pairs = [(a, b) for a, b in combinations(singles, 2) if a.columns != b.columns]
    for looked, (first, second) in enumerate(pairs):
        if len(found) >= most:
            return found, len(pairs) - looked
        rows = first.rows & second.rows
        key = np.packbits(rows).tobytes()
        if key not in seen and _enough(rows, patients):
            seen.add(key)
            found.append(Condition((*first.columns, *second.columns), f"{first.text} and {second.text}", rows))
    return found, 0


def columns_by_unit(columns: pd.DataFrame, ids: pd.Series, units: pd.Series) -> pd.DataFrame:
    """Columns of patches by slide or patient.

    Parameters
    ----------
    columns : DataFrame
        One row a patch.
    ids : Series
        The patches' slide or patient.
    units : Series
        Slides or patients in the order wanted.

    Returns
    -------
    DataFrame
        One row a unit: the mean of numbers, the one text of all its patches, ``unknown`` where they differ.

    Examples
    --------
    >>> columns = pd.DataFrame({"site": ["a", "a", "b"], "grey": [1.0, 3.0, 5.0]})
    >>> columns_by_unit(columns, pd.Series(["P", "P", "Q"]), pd.Series(["Q", "P"])).values.tolist()
    [['b', 5.0], ['a', 2.0]]
    """
    made = {}
    for name in columns:
        of = columns[name].groupby(ids.to_numpy())
        if _numbers(columns[name]):
            made[name] = of.mean().reindex(units).to_numpy()
        else:
            text = columns[name].astype(object).fillna(UNKNOWN).astype("str").groupby(ids.to_numpy())
            made[name] = text.first().where(text.nunique() == 1, UNKNOWN).reindex(units).to_numpy()
    return pd.DataFrame(made)


def _of_column(name: str, cells: pd.Series) -> Iterator[tuple[str, Bools]]:
    if _measured(cells):
        values = cells.to_numpy(np.float64, na_value=np.nan)
        known = values[np.isfinite(values)]
        if not len(known):
            return
        low, middle, high = (float(q) for q in np.percentile(known, _QUARTILES, method="lower"))
        for word, limit in (("at most", low), ("at most", middle), ("above", middle), ("above", high)):
            with np.errstate(invalid="ignore"):
                rows = values <= limit if word == "at most" else values > limit
            yield f"{name} {word} {limit:,.0f}" if abs(limit) >= 1e4 else f"{name} {word} {limit:.4g}", rows
        return
    text = cells.astype(object).fillna(UNKNOWN).astype("str")
    values = [v for v in text.unique() if v not in (UNKNOWN, SEVERAL, "")]
    if len(values) <= MAX_GROUPS:
        for value in sorted(values):
            yield f"{name} = {clean_text(value, 60)}", (text == value).to_numpy(bool)


def _measured(cells: pd.Series) -> bool:
    return _numbers(cells) and cells.nunique() > _MANY_VALUES


def _numbers(cells: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype)


def _enough(rows: Bools, patients: NDArray[np.int64]) -> bool:
    return all(np.count_nonzero(np.bincount(patients[side])) >= MIN_PATIENTS for side in (rows, ~rows))
