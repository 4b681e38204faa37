"""Interpretation of a table of predictions: a frame and the meaning of its columns become checked ``Predictions``.

Nothing is repaired in silence: what could be meant in two ways is refused with the choice named, and what was read in
one way of several is a note. Cells are data and are never evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.errors import TableError
from her2core.evidence.answers_only import refuse_misread_answers
from her2core.evidence.prediction_columns import ID_ROLES, ColumnMap
from her2core.evidence.prediction_labels import class_indices, classes_of_labels, list_names, read_split
from her2core.evidence.prediction_scores import WHERE, count_rows, one_score, score_values, to_probabilities
from her2core.evidence.row_findings import (
    other_scores,
    refuse_confusion_matrix,
    repeated_rows,
    score_notes,
    score_warnings,
    unused_columns,
)
from her2core.evidence.table_findings import table_notes, table_warnings
from her2core.io.cells import UNKNOWN, identifiers
from her2core.io.columns import GROUP_ROLES, find_column
from her2core.io.number_formats import percent_cells
from her2core.io.text import clean_text
from her2core.labels import order_classes


@dataclass(frozen=True)
class Interpreted:
    """The parts of ``Predictions`` that a table states.

    Parameters
    ----------
    frame : DataFrame
        Identifiers and split, one row a prediction; and those of ``io.columns.GROUP_ROLES`` that the table has.
    probabilities : ndarray of float64, shape (N, K), or None
        None where the table has predicted classes only.
    labels : ndarray of int64, shape (N,)
        True classes as positions in ``classes``.
    classes : tuple of str
        The classes, in order.
    predicted_labels : ndarray of int64, shape (N,), or None
        Predicted classes where there are no probabilities.
    notes, warnings : tuple of str
        Findings about the table (``table_findings``).
    """

    frame: pd.DataFrame
    probabilities: np.ndarray | None
    labels: np.ndarray
    classes: tuple[str, ...]
    predicted_labels: np.ndarray | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def interpret_table(
    frame: pd.DataFrame,
    columns: ColumnMap,
    *,
    classes: Sequence[str] | None = None,
    kind: str = "auto",
    temperature: float = 1.0,
) -> Interpreted:
    """Read a table by the meaning of its columns.

    Parameters
    ----------
    frame : DataFrame
        One row a patch, slide or patient.
    columns : ColumnMap
        Which column holds what.
    classes : sequence of str, optional
        All classes in their order. When left out: those of the score columns (or of the labels, without scores), in
        clinical order where they have one (``labels.order_classes``), otherwise in the order of the columns.
    kind : {"probabilities", "logits", "auto"}
        What the scores are; "auto" takes them as logits only where their columns are named so.
    temperature : float
        Logits are divided by it before the softmax.

    Returns
    -------
    Interpreted

    Raises
    ------
    TableError
        One sentence with the first row (counted from 1 below the header) or column that cannot be read.

    Examples
    --------
    >>> frame = pd.DataFrame({"GT": ["a", "b"], "p_b": [0.2, 0.7], "p_a": [0.8, 0.3]})
    >>> read = interpret_table(frame, ColumnMap("GT", {"a": "p_a", "b": "p_b"}))
    >>> read.classes, read.labels.tolist(), read.probabilities.tolist()
    (('a', 'b'), [0, 1], [[0.8, 0.2], [0.3, 0.7]])
    """
    if frame.empty:
        raise TableError("at least one prediction", got="an empty table", where=WHERE, fix="Check the file.")
    table = _Columns(frame)
    hard = not columns.scores and columns.predicted is not None
    names = _class_names(table, columns, classes, hard)
    table.check(columns, names, hard)
    label = table.column(str(columns.label))
    labels, notes = class_indices(label, str(columns.label), classes=names, spellings=columns.labels)
    probs = predicted = None
    if hard:
        column = str(columns.predicted)
        predicted, said = class_indices(
            table.column(column), column, classes=names, spellings=columns.labels, role="predicted"
        )
        said.append("The table has predicted classes and no scores: figures that need scores are not available.")
    else:
        scored = [columns.scores[c] for c in names if c in columns.scores]
        values = np.stack([score_values(table.column(c), c) for c in scored], axis=1)
        if columns.rest is None:
            probs, said = to_probabilities(values, columns=scored, kind=kind, temperature=temperature)
        else:
            probs, said = one_score(
                values[:, 0], names=names, scores=columns.scores, rest=columns.rest, kind=kind, temperature=temperature
            )
        if any(percent_cells(table.column(column)) for column in scored):
            said.insert(0, "Percentages were divided by 100.")
    notes = said + notes
    if classes is None:
        identified = any((columns.patch_id, columns.slide_id, columns.patient_id))
        refuse_confusion_matrix(labels, classes=names, scores=columns.scores, identified=identified)
        _refuse_single_class(labels, names, str(columns.label))
    ids, said = _ids(table, columns)
    _refuse_duplicates(ids["patch_id"], table, columns)
    patients = None if columns.patient_id is None else table.column(columns.patient_id)
    notes += said + table_notes(ids, labels, names, split_column=columns.split)
    warnings = table_warnings(ids, patients, labels=labels, classes=names)
    if probs is not None:
        warnings += _score_warnings(table, columns, probs, names)
        notes += score_notes(probs) + other_scores(table.frame, scores=columns.scores, taken=_taken(columns))
    if columns.patch_id is None:
        warnings += repeated_rows(table.frame, probs)
    notes += unused_columns(table.frame, label=str(columns.label), taken=_taken(columns), classes=names)
    ids = ids.assign(**_groups(table, columns))
    return Interpreted(ids, probs, labels, tuple(names), predicted, tuple(notes), tuple(warnings))


def _score_warnings(table: _Columns, columns: ColumnMap, probs: np.ndarray, classes: Sequence[str]) -> list[str]:
    answers = columns.predicted if columns.predicted in table.names else None
    predicted = None if answers is None else table.column(answers).rename(answers)
    single = None if columns.rest is None else columns.scores
    return score_warnings(probs, predicted, classes=classes, spellings=columns.labels, single=single)


def _taken(columns: ColumnMap) -> list[str]:
    roles = [getattr(columns, role) for role in (*ID_ROLES, "split", "label", "predicted")]
    return [*(role for role in roles if role is not None), *columns.scores.values()]


class _Columns:
    """Columns by name, also where a name is no text or occurs twice."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self.names = frame, [str(c) for c in frame.columns]

    def column(self, name: str) -> pd.Series:
        return self.frame.iloc[:, self.names.index(name)].reset_index(drop=True)

    def check(self, columns: ColumnMap, classes: Sequence[str], hard: bool) -> None:
        chosen = [("label", columns.label)]
        if hard:
            chosen.append(("predicted", columns.predicted))
        else:
            chosen += [
                (f"probability of {clean_text(c, 60)}", columns.scores[c]) for c in classes if c in columns.scores
            ]
        chosen += [(r, getattr(columns, r)) for r in (*ID_ROLES, "split") if getattr(columns, r) is not None]
        used: dict[str, str] = {}
        for role, name in chosen:
            if name is None or name not in self.names:
                raise TableError(
                    f"a column for the {role}",
                    got="no column chosen" if name is None else f"no column {clean_text(name, 60)!r}",
                    where=WHERE,
                    fix=f"Choose one of {', '.join(clean_text(n, 30) for n in self.names[:12])}.",
                )
            if name in used and not {role, used[name]} <= {"patch_id", "slide_id", "patient_id"}:
                raise TableError(
                    "each column in one place",
                    got=f"{clean_text(name, 60)!r} as {used[name]} and as {role}",
                    where=WHERE,
                    fix="Choose another column for one of them.",
                )
            used[name] = role
            base, dot, number = name.rpartition(".")
            twin = next((n for n in (f"{name}.1", base if dot and number.isdigit() else None) if n in self.names), None)
            if self.names.count(name) > 1 or twin:
                shown = clean_text(name, 60)
                raise TableError(
                    "column names that occur once",
                    got=f"{shown!r} twice" if twin is None else f"{shown!r} and {clean_text(twin, 60)!r}",
                    where=WHERE,
                    fix="Rename or drop one of them: they may differ.",
                )


def _class_names(table: _Columns, columns: ColumnMap, classes: Sequence[str] | None, hard: bool) -> list[str]:
    if classes is not None:
        names = [str(c) for c in classes]
    elif hard and columns.label in table.names and columns.predicted in table.names:
        true, predicted = (table.column(str(c)) for c in (columns.label, columns.predicted))
        asked = (str(columns.label), str(columns.predicted))
        refuse_misread_answers(true, predicted, columns=asked, spellings=columns.labels)
        names = classes_of_labels(true, predicted, columns.labels)
    else:
        names = list(order_classes([*filter(None, [columns.rest]), *columns.scores]))
    if len(names) < 2:
        raise TableError(
            "a probability column for each of at least two classes, or a column of predicted classes",
            got=f"only {clean_text(names[0], 60)!r}" if names else "none",
            where=WHERE,
            fix="Add the others (for two classes: one minus this one), or state them (her2 evaluate --score). The "
            f"table has {list_names(table.names, 12)}.",
        )
    if columns.rest is not None and (len(columns.scores) != 1 or columns.rest in columns.scores or len(names) != 2):
        raise TableError(
            "one score and one class without any",
            got=f"{len(columns.scores)} scores",
            where=WHERE,
            fix="Choose a column for each class, or leave out the class that is the rest.",
        )
    missing = [] if hard else [c for c in names if c not in columns.scores and c != columns.rest]
    if missing or len(set(names)) < len(columns.scores) or len(set(names)) < len(names):
        got = (
            f"no column for {clean_text(missing[0], 60)!r}"
            if missing
            else ", ".join(clean_text(c, 30) for c in names[:12])
        )
        raise TableError(
            "every class once, each with its column", got=got, where=WHERE, fix="Give the same classes in both places."
        )
    if not all(clean_text(c) for c in names):
        raise TableError("a name for every class", got="a blank one", where=WHERE, fix="Name the class.")
    return names


def _refuse_single_class(labels: np.ndarray, names: Sequence[str], column: str) -> None:
    present = np.unique(labels)
    if len(present) < 2:
        raise TableError(
            "true labels of at least two classes",
            got=f"only {clean_text(names[int(present[0])], 60)!r}",
            where=f"{WHERE}, column {clean_text(column, 60)}",
            fix="Add rows of another class: with one, there is nothing to discriminate.",
        )


def _ids(table: _Columns, columns: ColumnMap) -> tuple[pd.DataFrame, list[str]]:
    ids: dict[str, pd.Series] = {}
    notes: list[str] = []
    for role in (*ID_ROLES, "split"):
        name = getattr(columns, role)
        if name is None:
            continue
        column = table.column(name)
        if role == "split":
            ids[role], notes = read_split(column, name)
            continue
        if pd.api.types.is_float_dtype(column.dtype):
            numbers = column.to_numpy(np.float64, na_value=np.nan)
            bad = np.isfinite(numbers) & (numbers != np.round(numbers))
            if bad.any():
                raise TableError(
                    "names or whole numbers",
                    got=f"{numbers[bad.argmax()]:.6g}",
                    where=f"{WHERE}, column {clean_text(name, 60)}, row {int(bad.argmax()) + 1}",
                    fix="Choose another column.",
                )
        ids[role] = column
    return id_table(ids, len(table.frame)), notes


def _groups(table: _Columns, columns: ColumnMap) -> dict[str, pd.Series]:
    """Columns that put patients into groups, by their names; those with another role are left out."""
    taken = set(_taken(columns))
    found: dict[str, pd.Series] = {}
    for role in GROUP_ROLES:
        name = find_column([n for n in table.names if n not in taken], role)
        if name is not None:
            taken.add(name)
            found[role] = identifiers(table.column(name))
    return found


def id_table(given: dict[str, pd.Series], rows: int) -> pd.DataFrame:
    """Identifiers and split part of every row.

    Parameters
    ----------
    given : dict of Series
        Role -> cells, for some of patch_id, patient_id, slide_id, site and split.
    rows : int
        Length of the table.

    Returns
    -------
    DataFrame
        Columns patch_id, patient_id, slide_id, site (``unknown`` where missing) and split (test where not given).

    Examples
    --------
    >>> id_table({"patient_id": pd.Series([7.0, None])}, 2)["patient_id"].tolist()
    ['7', 'unknown']
    """
    unknown = pd.Series(UNKNOWN, index=range(rows), dtype="str")
    ids = {role: identifiers(given[role]) if role in given else unknown for role in ID_ROLES}
    split = given.get("split", pd.Series("test", index=range(rows)))
    ids["split"] = split.reset_index(drop=True).astype("str")
    return pd.DataFrame(ids)


def _refuse_duplicates(patches: pd.Series, table: _Columns, columns: ColumnMap) -> None:
    twice = (patches.duplicated(keep=False) & (patches != UNKNOWN)).to_numpy(bool)
    if twice.any():
        name = patches[int(twice.argmax())]
        rows = ", ".join(str(i + 1) for i in np.flatnonzero((patches == name).to_numpy())[:5])
        raise TableError(
            "each patch once",
            got=f"{clean_text(name, 60)!r} in rows {rows} ({count_rows(int(twice.sum()))} affected)",
            where=WHERE,
            fix=_several_tables(patches, table, columns)
            or "Drop the duplicates, or choose another patch column or none.",
        )


def _several_tables(patches: pd.Series, table: _Columns, columns: ColumnMap) -> str:
    """What to do where each patch occurs once for each value of another column: a seed, a fold, a model, a class."""
    for name in table.names:
        if name in _taken(columns):
            continue
        values = table.column(name).map(str)
        if 1 < values.nunique() <= 100 and not pd.DataFrame({"patch": patches, "value": values}).duplicated().any():
            shown = clean_text(name, 40)
            return f"Each patch occurs once for each {shown!r}: give one table for each {shown!r}."
    return ""
