"""Misclassified rows and the rows of one cell of the confusion matrix, most confident first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from her2core.evidence.arguments import check_choice
from her2core.evidence.predictions import IDS, Predictions

#: Orders of rows: head, column of ``COLUMNS``, and whether the highest come first.
ORDERS = {
    "confident": ("Most confident first", "probability_predicted", True),
    "unsure": ("Least confident first", "probability_predicted", False),
    "true": ("True class least probable first", "probability_true", False),
    "patient": ("By patient", "patient_id", False),
}
COLUMNS = (*IDS, "split", "true", "predicted", "probability_predicted", "probability_true")


def misclassified(predictions: Predictions) -> pd.DataFrame:
    """Find every row whose predicted class is not the true one.

    Parameters
    ----------
    predictions : Predictions

    Returns
    -------
    DataFrame
        ``COLUMNS``, most confident first, rows of equal confidence in their order: ``probability_predicted`` and
        ``probability_true`` are the probabilities of the predicted and of the true class, NaN without scores. Empty,
        with its columns, when every row is right.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aab"), "probability_a": [0.4, 0.1, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> misclassified(p)[["true", "predicted", "probability_predicted", "probability_true"]]
      true predicted  probability_predicted  probability_true
    0    a         b                    0.9               0.1
    1    a         b                    0.6               0.4
    """
    return _rows(predictions, predictions.predicted != predictions.labels)


def all_rows(predictions: Predictions) -> pd.DataFrame:
    """List every row, right or wrong, in the order of the table.

    Parameters
    ----------
    predictions : Predictions

    Returns
    -------
    DataFrame
        ``COLUMNS``.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> all_rows(read_predictions(pd.DataFrame({"label": list("ab"), "predicted": list("bb")})))["true"].tolist()
    ['a', 'b']
    """
    return _columns(predictions, np.arange(len(predictions)))


def ordered(rows: pd.DataFrame, order: str) -> pd.DataFrame:
    """Order rows; those of equal values stay in their order.

    Parameters
    ----------
    rows : DataFrame
        As ``misclassified`` gives them.
    order : str
        One of ``ORDERS``.

    Returns
    -------
    DataFrame

    Raises
    ------
    ConfigError
        For an unknown order.

    Examples
    --------
    >>> rows = pd.DataFrame({"patch_id": ["u", "v"], "probability_predicted": [0.5, 0.9]})
    >>> ordered(rows, "confident")["patch_id"].tolist()
    ['v', 'u']
    """
    check_choice("order", order, ORDERS)
    _, column, highest = ORDERS[order]
    return rows.sort_values(column, ascending=not highest, kind="stable").reset_index(drop=True)


def confusion_cell(predictions: Predictions, *, true: str, predicted: str) -> pd.DataFrame:
    """Find the rows of one cell of the confusion matrix.

    Parameters
    ----------
    predictions : Predictions
    true, predicted : str
        True and predicted class; rows that are right where both are equal.

    Returns
    -------
    DataFrame
        As ``misclassified`` gives it.

    Raises
    ------
    ConfigError
        For an unknown class.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"patch_id": list("uvw"), "label": list("aab"), "probability_a": [0.4, 0.1, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> confusion_cell(p, true="a", predicted="b")["patch_id"].tolist()
    ['v', 'u']
    """
    check_choice("true", true, predictions.classes)
    check_choice("predicted", predicted, predictions.classes)
    i, j = predictions.classes.index(true), predictions.classes.index(predicted)
    return _rows(predictions, (predictions.labels == i) & (predictions.predicted == j))


def _rows(predictions: Predictions, chosen: NDArray[np.bool_]) -> pd.DataFrame:
    rows = np.flatnonzero(chosen)
    if predictions.has_scores:
        rows = rows[np.argsort(-predictions.probs[rows, predictions.predicted[rows]], kind="stable")]
    return _columns(predictions, rows)


def _columns(predictions: Predictions, rows: NDArray[np.int64]) -> pd.DataFrame:
    true, predicted = predictions.labels[rows], predictions.predicted[rows]
    nothing = np.full(len(rows), np.nan)
    names = pd.Series(predictions.classes, dtype="str")
    return (
        predictions.frame.iloc[rows]
        .reset_index(drop=True)[[*IDS, "split"]]
        .assign(
            true=names.take(true).to_numpy(),
            predicted=names.take(predicted).to_numpy(),
            probability_predicted=predictions.probs[rows, predicted] if predictions.has_scores else nothing,
            probability_true=predictions.probs[rows, true] if predictions.has_scores else nothing,
        )
    )
