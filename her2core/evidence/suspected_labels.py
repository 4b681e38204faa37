"""Suspected label errors by confident learning: out-of-sample probabilities against the given labels.

A row is confident in a class where its probability of it reaches the mean of that class's own rows. A row that is
confident in another class than its label, and whose label is not its most probable class, is suspected (Northcutt et
al. 2021). A suspicion is no error: a network that is wrong and sure of it looks the same. It names the cases that are
worth a second reading.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from her2core.errors import EvaluationError
from her2core.evidence.arguments import check_predictions
from her2core.evidence.predictions import Predictions
from her2core.io.cells import UNKNOWN

#: Suspected rows that a table lists, most suspected first.
LISTED = 200
COLUMNS = ("unit", "id", "patient_id", "class", "suggested", "probability", "probability_suggested", "suspected", "n")


def confident_classes(probs: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Class in which each row is confident.

    Parameters
    ----------
    probs : array_like of float, shape (N, K)
        Out-of-sample probabilities: of rows that the network was not trained on.
    labels : array_like of int, shape (N,)
        Given labels.

    Returns
    -------
    ndarray of int64, shape (N,)
        The class of highest probability among those whose probability reaches the mean of the rows labelled so; -1
        where there is none, and for a class without rows.

    References
    ----------
    Northcutt, Jiang & Chuang 2021, doi 10.1613/jair.1.12125 (equations 1 and 2).

    Examples
    --------
    >>> confident_classes([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.95, 0.05]], [0, 0, 1, 1]).tolist()
    [0, -1, 1, 0]
    """
    values, given = np.asarray(probs, np.float64), np.asarray(labels, np.int64)
    counts = np.bincount(given, minlength=values.shape[1])
    own = np.bincount(given, values[np.arange(len(given)), given], minlength=values.shape[1])
    thresholds = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)
    reached = np.where(values >= thresholds - 1e-12, values, -1.0)
    return np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), -1)


def suspected_labels(predictions: Predictions, *, listed: int = LISTED) -> pd.DataFrame:
    """Rows whose label is suspected, most suspected first.

    Parameters
    ----------
    predictions : Predictions
        Out of sample, with probabilities.
    listed : int
        Most rows.

    Returns
    -------
    DataFrame
        ``COLUMNS``: ``class`` is the given label, ``suggested`` the class in which the row is confident, with the
        probability of each; ``suspected`` how many rows of the ``n`` are suspected. Without rows where none is.

    Raises
    ------
    EvaluationError
        Without rows or probabilities.

    References
    ----------
    Northcutt, Jiang & Chuang 2021, doi 10.1613/jair.1.12125 (ranked by normalised margin).

    Examples
    --------
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.7, 0.2, 0.95]})
    >>> p = Predictions.from_frame(frame.assign(probability_b=1 - frame["probability_a"], patch_id=list("wxyz")))
    >>> suspected_labels(p)[["id", "class", "suggested"]].values.tolist()
    [['z', 'b', 'a']]
    """
    check_predictions(predictions, "suspected labels", scores=True)
    if listed < 1:
        raise EvaluationError(
            "at least one row to list", got=str(listed), where="suspected labels", fix="Ask for more."
        )
    probs, given = predictions.probs, predictions.labels
    confident = confident_classes(probs, given)
    rows = np.flatnonzero((confident >= 0) & (confident != given) & (predictions.predicted != given))
    own, other = probs[rows, given[rows]], probs[rows, confident[rows]]
    order = np.argsort(own - other, kind="stable")[:listed]
    chosen, names = rows[order], np.array(predictions.classes, object)
    ids = predictions.frame["patch_id"].to_numpy(object)[chosen]
    return pd.DataFrame(
        {
            "unit": predictions.unit,
            "id": np.where(ids == UNKNOWN, [f"row {i + 1}" for i in chosen], ids),
            "patient_id": predictions.frame["patient_id"].to_numpy(object)[chosen],
            "class": names[given[chosen]],
            "suggested": names[confident[chosen]],
            "probability": own[order],
            "probability_suggested": other[order],
            "suspected": len(rows),
            "n": len(predictions),
        },
        columns=list(COLUMNS),
    )
