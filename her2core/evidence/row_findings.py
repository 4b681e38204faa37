"""Findings about the rows of a table with scores: what shows that scores, classes or rows are not what they seem.

Warnings say that figures may be wrong; notes say how a row was read where it could be read in two ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from her2core.errors import TableError
from her2core.evidence.prediction_labels import class_indices, list_names
from her2core.evidence.prediction_scores import WHERE, count_rows
from her2core.evidence.score_columns import complete_families
from her2core.io.columns import find_column
from her2core.io.text import clean_text

#: Fewest rows for which a score of at least one half in every row is a finding.
_MIN_ROWS = 10
#: Equal rows are a finding where a score has more decimals than this: short ones coincide by chance.
_DECIMALS = 3


def score_warnings(
    probs: np.ndarray,
    predicted: pd.Series | None,
    *,
    classes: Sequence[str],
    spellings: Mapping[str, str],
    single: Mapping[str, str] | None = None,
) -> list[str]:
    """Findings that the scores are not of the classes that they are taken for.

    Parameters
    ----------
    probs : ndarray of float, shape (N, K)
        Probabilities.
    predicted : Series, optional
        The column of predicted classes, named.
    classes : sequence of str
        The classes.
    spellings : mapping of str to str
        Spelling -> class, as the caller states.
    single : mapping of str to str, optional
        Where one class of two has a score: the class -> its column.

    Returns
    -------
    list of str
        Sentences.

    Examples
    --------
    >>> probs = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> score_warnings(probs, pd.Series(["b", "b"], name="Pred"), classes=["a", "b"], spellings={})[0][:66]
    "Column 'Pred' and the class of highest probability differ in 1 of "
    """
    found = []
    ordered = np.sort(probs, axis=1)
    clear = ordered[:, -1] > ordered[:, -2]
    if predicted is not None:
        try:
            stated, _ = class_indices(predicted, str(predicted.name), classes=classes, spellings=spellings)
        except TableError:
            stated = probs.argmax(axis=1)
        other = clear & (stated != probs.argmax(axis=1))
        if other.any():
            found.append(
                f"Column {clean_text(predicted.name, 40)!r} and the class of highest probability differ in "
                f"{int(other.sum()):,} of {len(probs):,} rows, the first in row {int(other.argmax()) + 1}: figures are "
                "those of the probabilities. Check that each probability is of its class."
            )
    for name, column in (single or {}).items():
        if len(probs) >= _MIN_ROWS and probs[:, list(classes).index(name)].min() >= 0.5:
            found.append(
                f"Column {clean_text(column, 40)!r} is one half or more in every row: if it is the probability of the "
                f"predicted class, and not of {clean_text(name, 40)}, every figure is wrong. Give the probability of "
                "one class, or the predicted classes."
            )
    return found


def score_notes(probs: np.ndarray) -> list[str]:
    """How rows were read whose scores do not tell one class from the others.

    Parameters
    ----------
    probs : ndarray of float, shape (N, K)
        Probabilities.

    Returns
    -------
    list of str
        Sentences.

    Examples
    --------
    >>> score_notes(np.array([[0.5, 0.5], [0.2, 0.8]]))
    ['Several classes share the highest probability in 1 row: the first of them counts as predicted.']
    """
    found = []
    ties = int(((probs == probs.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
    if ties:
        found.append(
            f"Several classes share the highest probability in {count_rows(ties)}: the first of them counts as "
            "predicted."
        )
    if np.isin(probs, (0.0, 1.0)).all():
        found.append("Every score is 0 or 1: these are predicted classes rather than probabilities.")
    return found


def refuse_confusion_matrix(
    labels: np.ndarray, *, classes: Sequence[str], scores: Mapping[str, str], identified: bool
) -> None:
    """Refuse a normalised confusion matrix, whose rows sum to one as probabilities do.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        True classes.
    classes : sequence of str
        The classes.
    scores : mapping of str to str
        Class -> column.
    identified : bool
        Whether the table names patches, slides or patients.

    Raises
    ------
    TableError
        For one row a class under columns named as the classes, without any identifier.

    Examples
    --------
    >>> refuse_confusion_matrix(np.array([0, 1, 1]), classes=["a", "b"], scores={"a": "a", "b": "b"}, identified=False)
    """
    named = len(classes) > 1 and all(scores.get(name) == name for name in classes)
    if named and not identified and sorted(labels.tolist()) == list(range(len(classes))):
        raise TableError(
            "one row a patch, slide or patient",
            got=f"{count_rows(len(labels))}, one a class, under columns named as the classes: a confusion matrix",
            where=WHERE,
            fix="Give the predictions that it counts.",
        )


def repeated_rows(frame: pd.DataFrame, probs: np.ndarray | None) -> list[str]:
    """A warning on rows that repeat another one in every column, in a table that does not name its patches.

    Parameters
    ----------
    frame : DataFrame
        The table.
    probs : ndarray of float, shape (N, K), or None
        Probabilities; without them, equal rows are expected.

    Returns
    -------
    list of str
        One sentence or none.

    Examples
    --------
    >>> table = pd.DataFrame({"label": ["a", "a", "b"], "p": [0.12345, 0.12345, 0.9]})
    >>> repeated_rows(table, table[["p"]].to_numpy())[0][:46]
    'Rows are repeated: 1 of 3 rows equals another '
    """
    if probs is None:
        return []
    long = (np.abs(probs - np.round(probs, _DECIMALS)) > 1e-9).any(axis=1)
    suspected = np.flatnonzero(long & pd.DataFrame(probs).duplicated(keep=False).to_numpy())
    again = frame.iloc[suspected].map(str).duplicated()
    if not again.any():
        return []
    number = int(again.sum())
    return [
        f"Rows are repeated: {number:,} of {len(frame):,} rows equal{'s' if number == 1 else ''} another one in every "
        f"column, the first in row {int(suspected[again.to_numpy().argmax()]) + 1}, and all are counted. Remove the "
        "copies, or name the patches."
    ]


def unused_columns(frame: pd.DataFrame, *, label: str, taken: Sequence[str], classes: Sequence[str]) -> list[str]:
    """A note on a second column that could be the true class and says something else.

    Parameters
    ----------
    frame : DataFrame
        The table.
    label : str
        The column that was read as the true class.
    taken : sequence of str
        All columns with a role.
    classes : sequence of str
        The classes.

    Returns
    -------
    list of str
        One sentence or none.

    Examples
    --------
    >>> frame = pd.DataFrame({"y_true": ["a", "b"], "label": ["a", "a"]})
    >>> unused_columns(frame, label="y_true", taken=["y_true"], classes=["a", "b"])[0][:53]
    "The true class was read from column 'y_true'; column "
    """
    names = [str(c) for c in frame.columns]
    other = find_column([name for name in names if name not in taken], "label")
    if other is None:
        return []
    columns = [frame.iloc[:, names.index(name)] for name in (label, other)]
    try:
        first, second = (class_indices(c, "", classes=classes, spellings={})[0] for c in columns)
    except TableError:
        return []
    differ = int((first != second).sum())
    if not differ:
        return []
    return [
        f"The true class was read from column {clean_text(label, 40)!r}; column {clean_text(other, 40)!r} differs from "
        f"it in {differ:,} of {len(frame):,} rows and was not read (her2 evaluate --column label=)."
    ]


def other_scores(frame: pd.DataFrame, *, scores: Mapping[str, str], taken: Sequence[str]) -> list[str]:
    """A note on further columns with a score for every class.

    Parameters
    ----------
    frame : DataFrame
        The table.
    scores : mapping of str to str
        Class -> column that is read.
    taken : sequence of str
        Columns with another role.

    Returns
    -------
    list of str
        One sentence or none.

    Examples
    --------
    >>> frame = pd.DataFrame({"prob_a": [0.9], "prob_b": [0.1], "score_a": [0.8], "score_b": [0.2]})
    >>> other_scores(frame, scores={"a": "prob_a", "b": "prob_b"}, taken=[])
    ['Scores were read from prob_a, prob_b; those in score_a, score_b were not (her2 evaluate --score).']
    """
    used = [*scores.values()]
    free = [name for name in taken if name not in used]
    others = [names for names in complete_families(frame, taken=free, truths=[*scores]) if not set(names) & set(used)]
    if not others:
        return []
    return [
        f"Scores were read from {list_names(used)}; those in {list_names(others[0])} were not (her2 evaluate --score)."
    ]
