"""Where is the network wrong, and how sure was it there? Predictions in; its mistakes, surest first, out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.predictions import IDS, Predictions

COLUMNS = (*IDS, "split", "true", "predicted", "p_predicted", "p_true")


def mistakes(predictions: Predictions) -> pd.DataFrame:
    """Every row whose class of highest probability is not the true one, most confident first (COLUMNS).

    ``p_predicted`` and ``p_true`` are the probabilities of the predicted and of the true class, NaN without scores.
    Equally confident rows keep their order. Empty, with its columns, when there is no mistake.
    """
    return _rows(predictions, predictions.predicted != predictions.labels)


def cell(predictions: Predictions, *, true: str, predicted: str) -> pd.DataFrame:
    """The rows of one cell of the confusion matrix, most confident first (COLUMNS); right ones where both are equal.

    Raises EvaluationError for an unknown class.
    """
    for name in (true, predicted):
        if name not in predictions.classes:
            raise EvaluationError(
                f"a class out of {', '.join(predictions.classes)}",
                got=repr(name)[:80],
                where="confusion matrix",
                fix="Choose one of these.",
            )
    i, j = predictions.classes.index(true), predictions.classes.index(predicted)
    return _rows(predictions, (predictions.labels == i) & (predictions.predicted == j))


def _rows(predictions: Predictions, chosen: np.ndarray) -> pd.DataFrame:
    rows = np.flatnonzero(chosen)
    probs = (
        predictions.probs if predictions.has_scores else np.full((len(predictions), len(predictions.classes)), np.nan)
    )
    rows = rows[np.argsort(-probs[rows, predictions.predicted[rows]], kind="stable")]
    true, predicted = predictions.labels[rows], predictions.predicted[rows]
    names = pd.Series(predictions.classes, dtype="str")
    return (
        predictions.frame.iloc[rows]
        .reset_index(drop=True)[[*IDS, "split"]]
        .assign(
            true=names.take(true).to_numpy(),
            predicted=names.take(predicted).to_numpy(),
            p_predicted=probs[rows, predicted],
            p_true=probs[rows, true],
        )
    )
