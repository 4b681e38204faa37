"""Check of a run's tables against their schemas: kinds of values, known names, whole groups of rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from her2core.data.split_units import PARTS
from her2core.errors import RunError
from her2core.io.text import clean_text
from her2core.runs.schema.tables import TEXT, UNITS, WHOLE, TableSchema

_Refused = Callable[[str, str], RunError]


def check_table(
    frame: pd.DataFrame, schema: TableSchema, *, where: str | os.PathLike[str], classes: Sequence[str], fix: str
) -> pd.DataFrame:
    """The table with the kinds of its schema: text without missing cells, counts and numbers as float64 where missing.

    Parameters
    ----------
    frame : DataFrame
        As it was read.
    schema : TableSchema
    where : path
        The file, for messages.
    classes : sequence of str
        Classes of the run.
    fix : str
        What to do about a damaged table.

    Returns
    -------
    DataFrame
        A copy; columns that the schema does not name are as they were.

    Raises
    ------
    RunError
        Naming the column at fault.

    Examples
    --------
    >>> from her2core.runs.schema.tables import EVALUATION_TABLES
    >>> row = {"unit": "patch", "assessed": True, "n": 9, "reason": None, "rule": "", "rule_reason": ""}
    >>> table = pd.DataFrame([row])
    >>> check_table(table, EVALUATION_TABLES["units"], where="units.csv", classes=["a", "b"], fix="")["reason"].tolist()
    ['']
    """

    def refused(expected: str, got: str) -> RunError:
        return RunError(expected, got=got, where=where, fix=fix)

    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise refused("columns of different names", f"{clean_text(doubled[0], 60)!r} twice")
    if lacking := [name for name in schema.columns if name not in frame]:
        raise refused(f"a table with the columns {', '.join(schema.columns)}", f"no column {lacking[0]!r}")
    if schema.rows and frame.empty:
        raise refused("a table with rows", "none")
    frame = frame.copy()
    for name in (*schema.columns, *(name for name in schema.optional if name in frame)):
        if name == "assessed":
            if frame[name].isna().any() or not frame[name].isin([True, False]).all():
                raise refused("true or false in column 'assessed'", "other values")
            frame[name] = frame[name].astype(bool)
        elif name in TEXT and name not in schema.numbers:
            frame[name] = _text(frame[name], refused)
        else:
            frame[name] = _numbers(frame[name], name in schema.finite, refused)
    _check_values(frame, schema, tuple(classes), refused)
    return frame


def _text(column: pd.Series, refused: _Refused) -> pd.Series:
    known = column.dropna()
    if len(known) and not known.map(lambda value: isinstance(value, str)).all():
        raise refused(f"text in column {column.name!r}", f"values of type {known.dtype}")
    return column.astype(object).where(column.notna(), "").astype("str")


def _numbers(column: pd.Series, finite: bool, refused: _Refused) -> pd.Series:
    if column.isna().all():
        numbers = pd.Series(np.nan, column.index, dtype="float64")
    elif pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        raise refused(f"numbers in column {column.name!r}", f"values of type {column.dtype}")
    else:
        numbers = column
    values = numbers.to_numpy("float64", na_value=np.nan)
    if np.isinf(values).any() or (np.abs(values[~np.isnan(values)]) > 1e15).any():
        raise refused(f"finite numbers in column {column.name!r}", "an infinite or huge one")
    if finite and np.isnan(values).any():
        raise refused(f"a number in every row of column {column.name!r}", "missing ones")
    if column.name in WHOLE and ((values[~np.isnan(values)] < 0) | (values[~np.isnan(values)] % 1 != 0)).any():
        raise refused(f"counts in column {column.name!r}", "other numbers")
    return numbers


def _check_values(frame: pd.DataFrame, schema: TableSchema, classes: tuple[str, ...], refused: _Refused) -> None:
    known: dict[str, tuple[str, ...]] = {
        "unit": UNITS,
        "resampling_unit": (*UNITS, "site", ""),
        "class": (*classes, ""),
        "suggested": classes,
        "true": classes,
        "predicted": classes,
        "split": PARTS,
        "label": classes,
    }
    for name in schema.columns:
        if name == "label" and "patient_id" in schema.columns:
            continue  # the data table keeps the labels of its source
        if name in known and not (foreign := frame.loc[~frame[name].isin(known[name]), name]).empty:
            allowed = ", ".join(repr(value) for value in known[name][:12])
            raise refused(f"{allowed} in column {name!r}", clean_text(repr(foreign.iloc[0]), 60))
    for name in schema.key:
        if name in TEXT and name != "class" and (frame[name] == "").any():
            raise refused(f"a value in every row of column {name!r}", "empty cells")
    if schema.key and frame.duplicated(list(schema.key)).any():
        raise refused(f"one row for each {', '.join(schema.key)}", "rows that repeat one")
    if schema.by_class:
        given = frame[frame["class"] != ""].groupby(list(schema.by_class), observed=True)["class"].nunique()
        if (given != len(classes)).any():
            raise refused(f"a row for each of the {len(classes)} classes", f"{int(given.min())} of them")
    if schema.complete:
        groups, column, values = schema.complete
        given = frame[frame[column].isin(values)].drop_duplicates([*groups, column]).groupby(list(groups)).size()
        for group in frame[list(groups)].drop_duplicates().itertuples(index=False):
            found = int(given.get(tuple(group) if len(groups) > 1 else group[0], 0))
            if found < len(values):
                named = clean_text(", ".join(map(str, group)), 60)
                raise refused(f"{', '.join(values)} in column {column!r} for {named}", f"{found} of them")
