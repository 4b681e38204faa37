"""Refusal of tables with predicted classes only that would be misread.

Without scores the classes are those that occur in the two columns, so that a score, a line of totals, a missing label
or a second spelling would become a class of its own and every figure wrong. A caller who states the classes is not
asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from her2core.errors import TableError
from her2core.evidence.prediction_labels import list_names
from her2core.evidence.prediction_scores import WHERE, count_rows
from her2core.evidence.score_columns import has_fractions
from her2core.io.cells import MISSING, label_text
from her2core.io.text import clean_text
from her2core.labels import near_spellings, spelled_class

_STATE = "or state the classes if they are right (her2 evaluate --classes)"


def refuse_misread_answers(
    true: pd.Series, predicted: pd.Series, *, columns: tuple[str, str], spellings: Mapping[str, str]
) -> None:
    """Refuse columns of which a cell would become a class that it is not.

    Parameters
    ----------
    true, predicted : Series
        The true and the predicted classes, of the same rows.
    columns : tuple of str
        The names of the two.
    spellings : mapping of str to str
        Spelling -> the class it means, as the caller states.

    Raises
    ------
    TableError
        For scores in place of classes, columns without a class in common, a last row of totals, a spelling of a missing
        value in one column only, and two spellings of one class.

    Examples
    --------
    >>> refuse_misread_answers(pd.Series([0, 1]), pd.Series([1, 1]), columns=("GT", "Pred"), spellings={})
    """
    meant = {label_text(spelling): name for spelling, name in spellings.items()}
    pairs = [[meant.get(text, text) for value in column if (text := label_text(value))] for column in (true, predicted)]
    if any(len(texts) < len(true) for texts in pairs):
        return  # an empty cell is refused where it is read
    where = f"{WHERE}, columns {clean_text(columns[0], 60)} and {clean_text(columns[1], 60)}"
    answers = _spelled_alike(pairs[1], set(pairs[0]))
    if has_fractions(predicted) and not has_fractions(true):
        raise TableError(
            "predicted classes",
            got=f"numbers such as {label_text(predicted.iloc[_fraction(predicted)])}",
            where=f"{WHERE}, column {clean_text(columns[1], 60)}, row {_fraction(predicted) + 1}",
            fix="If they are scores, state of which class (her2 evaluate --score CLASS=COLUMN).",
        )
    if not set(pairs[0]) & set(answers):
        names = [repr(clean_text(name, 40)) for name in dict.fromkeys(pairs[1])]
        raise TableError(
            f"predicted classes that are also true ones ({list_names(list(dict.fromkeys(pairs[0])))})",
            got=list_names(names, 3),
            where=where,
            fix="Choose the column of predicted classes, or state what each spelling means (her2 evaluate --label).",
        )
    _refuse_totals(pairs[0], answers, where)
    _refuse_missing(pairs[0], answers, where)
    _refuse_two_spellings([*pairs[0], *answers], where)


def _fraction(column: pd.Series) -> int:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return int((numbers != np.round(numbers)).argmax())


def _spelled_alike(answers: list[str], classes: set[str]) -> list[str]:
    near = near_spellings({answer for answer in answers if answer not in classes}, classes)
    return [near.get(answer, answer) for answer in answers]


def _refuse_totals(true: Sequence[str], answers: Sequence[str], where: str) -> None:
    last = {true[-1], answers[-1]}
    if len(last) == 2 and not last & {*true[:-1], *answers[:-1]}:
        raise TableError(
            "a prediction in every row",
            got=f"{clean_text(true[-1], 40)!r} and {clean_text(answers[-1], 40)!r} in the last row, as in no other: a "
            "line of totals",
            where=f"{where}, row {len(true)}",
            fix=f"Remove that row, {_STATE}.",
        )


def _refuse_missing(true: Sequence[str], answers: Sequence[str], where: str) -> None:
    for texts, others in ((true, answers), (answers, true)):
        absent = [text for text in dict.fromkeys(texts) if text.casefold() in MISSING and text not in others]
        if absent:
            rows = [i for i, text in enumerate(texts) if text == absent[0]]
            raise TableError(
                "a true and a predicted class in every row",
                got=f"{clean_text(absent[0], 40)!r}, which often stands for a missing one ({count_rows(len(rows))})",
                where=f"{where}, row {rows[0] + 1}",
                fix=f"Drop these rows, {_STATE}.",
            )


def _refuse_two_spellings(names: Sequence[str], where: str) -> None:
    forms: dict[str, str] = {}
    for name in dict.fromkeys(names):
        first = forms.setdefault("".join(spelled_class(name).split()).casefold(), name)
        if first != name:
            raise TableError(
                "one spelling of each class",
                got=f"{clean_text(first, 40)!r} and {clean_text(name, 40)!r}",
                where=where,
                fix="State which class each spelling means (her2 evaluate --label), or correct the file.",
            )
