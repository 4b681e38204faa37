"""Schemas of the tables of a run: columns, kinds of values, and the rows that belong together.

Pages and reports read these tables without asking further: a column that is named here is there and of its kind, units
and classes are known ones, no row stands twice, and a metric that is given by class is given for every class.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from her2core.data.split_units import PARTS
from her2core.errors import RunError
from her2core.io.text import clean_text

_Refused = Callable[[str, str], RunError]
#: Units of analysis.
UNITS = ("patch", "slide", "patient")
_KEYS = (
    "unit",
    "metric",
    "class",
    "true",
    "predicted",
    "baseline",
    "scores",
    "strategy",
    "policy",
    "rule",
    "by",
    "group",
    "method",
    "measure",
    "property",
)
_WORDS = (
    "kind",
    "role",
    "resampling_unit",
    "interval_method",
    "note",
    "reason",
    "rule_reason",
    "table",
    "what",
    "measure",
)
_OF_LABELS = ("part", "id", "suggested", "published_source")
_OF_STUDIES = ("reference", "network", "statement", "name", "init", "frozen", "state", "processor")
#: Columns of the tables of evaluations and studies that are text, even where a class is called 0.
TEXT_COLUMNS = (*_KEYS, *_WORDS, *_OF_STUDIES, *_OF_LABELS, "her2_ihc", "ish", "patient_id")
_COLUMNS = ("patch_id", "patient_id", "slide_id", "site", "scanner", "label", "source", "split", "her2_ihc", "ish")
_TEXT = frozenset((*TEXT_COLUMNS, *_COLUMNS))
#: Of the columns that a schema names, these hold counts; the rest that are no text hold numbers.
_WHOLE = frozenset(
    {
        "n",
        "n_clusters",
        "count",
        "bin",
        "patients",
        "validation_n",
        "validation_cases",
        "seeds",
        "runs",
        "asked",
        "epoch",
        "fold",
        "comparisons",
        "reference_patients",
        "suspected",
        "n_development",
        "n_external",
    }
)
_BASE = ("value", "lower_95", "upper_95", "note", "resampling_unit", "n_clusters", "n")


@dataclass(frozen=True)
class TableSchema:
    """Schema of one table.

    Parameters
    ----------
    columns : tuple of str
        Columns that must be there; further ones are kept.
    key : tuple of str
        Columns that name a row; none stands twice.
    rows : bool
        Whether it needs at least one row.
    optional : tuple of str
        Columns that may be absent, and are checked as the others where they are there.
    finite : tuple of str
        Columns whose numbers may not be missing.
    by_class : tuple of str
        Where not empty: within each group by these columns, what is given for one class is given for all.
    numbers : tuple of str
        Columns that hold numbers here and text in other tables.
    complete : tuple, optional
        Columns, a further column and its values: within each group by the columns, each of the values is given.

    Examples
    --------
    >>> EVALUATION_TABLES["confusion"].key
    ('unit', 'true', 'predicted')
    """

    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    rows: bool = False
    optional: tuple[str, ...] = field(default=(), kw_only=True)
    finite: tuple[str, ...] = ()
    by_class: tuple[str, ...] = field(default=())
    complete: tuple[tuple[str, ...], str, tuple[str, ...]] | None = None
    numbers: tuple[str, ...] = ()

    @property
    def text(self) -> tuple[str, ...]:
        """Columns that are read as text."""
        return tuple(name for name in TEXT_COLUMNS if name not in self.numbers)


_COUNTED = ("n", "n_clusters")
_CALIBRATION = (
    *("ece_equal_mass", "ece_equal_width", "classwise_ece", "brier"),
    *("brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins"),
    *("calibration_slope", "calibration_intercept", "calibration_in_the_large"),
)
_REFERRAL = ("coverage", "correct_rate", "referral_rate", "set_coverage", "selective_accuracy")
#: Tables of ``evaluation/`` by name.
EVALUATION_TABLES: dict[str, TableSchema] = {
    "metrics": TableSchema(
        ("unit", "metric", "class", *_BASE), ("unit", "metric", "class"), True, _COUNTED, ("unit", "metric")
    ),
    "confusion": TableSchema(
        ("unit", "true", "predicted", "count", "proportion_of_true"), ("unit", "true", "predicted"), True, ("count",)
    ),
    "units": TableSchema(("unit", "assessed", "n", "reason", "rule", "rule_reason"), ("unit",), True, ("n",)),
    "calibration": TableSchema(
        ("scores", "unit", "metric", "class", *_BASE),
        ("scores", "unit", "metric", "class"),
        finite=_COUNTED,
        by_class=("scores", "unit", "metric"),
        complete=(("unit", "scores"), "metric", _CALIBRATION),
    ),
    "reliability": TableSchema(
        ("unit", "metric", "class", "bin", "lowest", "highest", "mean_probability", *_BASE),
        ("unit", "metric", "class", "bin"),
        finite=(*_COUNTED, "bin", "lowest", "highest", "mean_probability", "value"),
    ),
    "risk_coverage": TableSchema(
        ("unit", "metric", "class", "coverage", "threshold", *_BASE),
        ("unit", "metric", "class", "coverage"),
        finite=(*_COUNTED, "value"),
        complete=(("unit",), "metric", ("risk", "aurc")),
    ),
    "referral": TableSchema(
        ("unit", "metric", "class", *_BASE, "nominal_coverage"),
        ("unit", "metric", "class"),
        finite=(*_COUNTED, "nominal_coverage"),
        by_class=("unit", "metric"),
        complete=(("unit", "class"), "metric", _REFERRAL),
    ),
    "decisions": TableSchema(
        ("unit", "metric", "class", "strategy", "threshold", *_BASE),
        ("unit", "metric", "class", "strategy", "threshold"),
        finite=(*_COUNTED, "threshold", "value"),
        complete=(("unit", "class"), "strategy", ("model", "treat all", "treat none")),
    ),
    "three_way": TableSchema(
        ("unit", "metric", "class", "strategy", "threshold", "harm", *_BASE),
        ("unit", "metric", "class", "strategy", "threshold", "harm"),
        finite=(*_COUNTED, "threshold", "harm", "value"),
        complete=(("unit", "threshold", "harm"), "strategy", ("model, three-way", "test every case")),
    ),
    "ish_referral": TableSchema(
        ("unit", "metric", "class", "policy", "prevalence", *_BASE),
        ("unit", "metric", "class", "policy"),
        finite=(*_COUNTED, "prevalence", "value"),
        complete=(("unit", "policy"), "metric", ("ish_tests", "ish_tests_saved", "positives_missed")),
    ),
    "operating_points": TableSchema(
        ("unit", "class", "rule", "threshold", "metric", *_BASE, "validation_n", "validation_cases"),
        ("unit", "class", "rule", "metric"),
        finite=(*_COUNTED, "threshold", "validation_n", "validation_cases"),
        complete=(("unit", "class", "rule"), "metric", ("recall", "specificity", "precision", "npv")),
    ),
    "subgroups": TableSchema(
        ("by", "group", "unit", "metric", "class", *_BASE, "patients"),
        ("by", "group", "unit", "metric", "class"),
        optional=("lower_simultaneous", "upper_simultaneous"),
        finite=(*_COUNTED, "patients"),
        complete=(("by", "group", "unit"), "metric", ("accuracy", "balanced_accuracy", "recall")),
    ),
    "group_differences": TableSchema(
        (
            *("by", "group", "reference", "unit", "metric", "class", "value", "reference_value", "difference"),
            *("lower_simultaneous", "upper_simultaneous", "comparisons", "statement", "note"),
            *("patients", "reference_patients"),
        ),
        ("by", "group", "unit", "metric", "class"),
        finite=("comparisons", "patients", "reference_patients"),
    ),
    "discordance": TableSchema(
        (
            *("part", "unit", "metric", "her2_ihc", "ish", "count", "value", "lower_95", "upper_95", "note", "n"),
            *("published_low", "published_high", "published_source"),
        ),
        ("part", "unit", "her2_ihc", "ish"),
        finite=("count", "n"),
    ),
    "label_noise": TableSchema(
        (
            *("unit", "metric", "class", "label_error", *_BASE),
            *("true_lowest", "true_highest", "true_if_independent", "perfect_network"),
        ),
        ("unit", "metric", "class", "label_error"),
        finite=(*_COUNTED, "label_error", "value", "true_lowest", "true_highest"),
    ),
    "suspected_labels": TableSchema(
        (
            *("unit", "id", "patient_id", "class", "suggested", "probability", "probability_suggested"),
            *("suspected", "n"),
        ),
        ("unit", "id"),
        finite=("suspected", "n", "probability", "probability_suggested"),
    ),
    "prediction_sets": TableSchema(
        ("unit", "class", "nominal_coverage", "set_coverage", "mean_size", "singleton_rate", "empty_rate", "n"),
        ("unit", "class"),
        optional=("kind", "set_coverage_by_patient", "patients", "note"),
        finite=("nominal_coverage", "n"),
        by_class=("unit",),
    ),
    "baselines": TableSchema(
        (
            *("baseline", "unit", "metric", "class", *_BASE),
            *("network", "difference", "difference_lower_95", "difference_upper_95", "statement"),
        ),
        ("baseline", "unit", "metric", "class"),
        finite=(*_COUNTED, "value", "network", "difference"),
        numbers=("network",),
    ),
    "external": TableSchema(
        (
            *("unit", "metric", "class", "development", "development_lower_95", "development_upper_95"),
            *("external", "external_lower_95", "external_upper_95", "difference", "lower_95", "upper_95"),
            *("n_development", "n_external", "note"),
        ),
        ("unit", "metric", "class"),
        rows=True,
        finite=("n_development", "n_external"),
    ),
    "drift": TableSchema(
        (
            *("kind", "property", "development", "external", "difference", "lower_95", "upper_95"),
            *("standardised_difference", "p_value_holm", "n_development", "n_external", "resampling_unit", "note"),
        ),
        ("kind", "property"),
        finite=("n_development", "n_external"),
    ),
    "maps": TableSchema(
        ("method", "measure", "value", "lower_95", "upper_95", "n", "n_clusters"), ("method", "measure"), True, _COUNTED
    ),
    "missing": TableSchema(("table", "unit", "what", "reason")),
}
#: Tables beside the evaluation.
RUN_TABLES: dict[str, TableSchema] = {
    "splits.parquet": TableSchema(("patch_id", "split"), ("patch_id",), True, optional=("fold",), finite=("fold",)),
    "dataset.parquet": TableSchema(
        ("patch_id", "patient_id", "slide_id", "site", "label", "split", "scanner", "source"), ("patch_id",), True
    ),
    "image_properties.parquet": TableSchema(("patch_id",), ("patch_id",), True),
    "history.csv": TableSchema(
        ("train_loss", "val_loss", "val_balanced_accuracy"),
        rows=True,
        optional=("epoch", "tried"),
        finite=("epoch", "tried"),
    ),
    "predictions.parquet": TableSchema(
        ("patch_id", "label"), ("patch_id",), True, optional=("fold", "temperature"), finite=("fold", "temperature")
    ),
}


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
        elif name in _TEXT and name not in schema.numbers:
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
    if column.name in _WHOLE and ((values[~np.isnan(values)] < 0) | (values[~np.isnan(values)] % 1 != 0)).any():
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
        if name in _TEXT and name != "class" and (frame[name] == "").any():
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
