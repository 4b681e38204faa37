"""Refusal of tables with predicted classes only that would be misread.

Without scores the classes are those that occur in the two columns, so that a score, a line of totals, a missing label
or a second spelling would become a class of its own and every figure wrong. A caller who states the classes is not
asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    first, second = (_Texts.of(column, meant) for column in (true, predicted))
    if "" in first.names or "" in second.names:
        return  # an empty cell is refused where it is read
    second = second.spelled_as(first.names)
    where = f"{WHERE}, columns {clean_text(columns[0], 60)} and {clean_text(columns[1], 60)}"
    if has_fractions(predicted) and not has_fractions(true):
        raise TableError(
            "predicted classes",
            got=f"numbers such as {label_text(predicted.iloc[_fraction(predicted)])}",
            where=f"{WHERE}, column {clean_text(columns[1], 60)}, row {_fraction(predicted) + 1}",
            fix="If they are scores, state of which class (her2 evaluate --score CLASS=COLUMN).",
        )
    if not set(first.names) & set(second.names):
        names = [repr(clean_text(name, 40)) for name in second.names]
        raise TableError(
            f"predicted classes that are also true ones ({list_names(first.names)})",
            got=list_names(names, 3),
            where=where,
            fix="Choose the column of predicted classes, or state what each spelling means (her2 evaluate --label).",
        )
    _refuse_totals(first, second, where)
    _refuse_missing(first, second, where)
    _refuse_two_spellings([*first.names, *second.names], where)


@dataclass(frozen=True)
class _Texts:
    """The different texts of a column in order of appearance, and the text of each row: int64 (N,)."""

    names: list[str]
    codes: np.ndarray

    @classmethod
    def of(cls, column: pd.Series, meant: Mapping[str, str]) -> _Texts:
        codes, values = pd.factorize(column)
        texts = [meant.get(text, text) for text in map(label_text, values)]
        return cls._from(np.where(codes < 0, len(texts), codes), [*texts, ""])

    @classmethod
    def _from(cls, codes: np.ndarray, texts: list[str]) -> _Texts:
        used = list(dict.fromkeys(texts[i] for i in pd.unique(codes)))
        place = {text: i for i, text in enumerate(used)}
        return cls(used, np.array([place.get(text, -1) for text in texts])[codes])

    def spelled_as(self, classes: Sequence[str]) -> _Texts:
        near = near_spellings({name for name in self.names if name not in classes}, classes)
        return self._from(self.codes, [near.get(name, name) for name in self.names])

    def rows(self, name: str) -> np.ndarray:
        return np.flatnonzero(self.codes == self.names.index(name)) if name in self.names else np.array([], int)

    @property
    def last(self) -> str:
        return self.names[self.codes[-1]]


def _fraction(column: pd.Series) -> int:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return int((numbers != np.round(numbers)).argmax())


def _refuse_totals(true: _Texts, answers: _Texts, where: str) -> None:
    rows = len(true.codes)
    places = [texts.rows(name) for name in (true.last, answers.last) for texts in (true, answers)]
    alone = all(len(place) == 0 or place[0] == rows - 1 for place in places)
    if true.last != answers.last and alone and rows > 1:
        raise TableError(
            "a prediction in every row",
            got=f"{clean_text(true.last, 40)!r} and {clean_text(answers.last, 40)!r} in the last row alone: a "
            "line of totals",
            where=f"{where}, row {rows}",
            fix=f"Remove that row, {_STATE}.",
        )


def _refuse_missing(true: _Texts, answers: _Texts, where: str) -> None:
    for texts, others in ((true, answers), (answers, true)):
        for name in texts.names:
            if name.casefold() in MISSING and name not in others.names:
                rows = texts.rows(name)
                raise TableError(
                    "a true and a predicted class in every row",
                    got=f"{clean_text(name, 40)!r}, which often stands for a missing one ({count_rows(len(rows))})",
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
