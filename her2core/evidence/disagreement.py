"""Rows on which two classifiers disagree: one right and the other wrong, or both wrong, alike or differently."""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.compare import why_incomparable
from her2core.evidence.misclassified import COLUMNS as ROW_COLUMNS
from her2core.evidence.misclassified import all_rows
from her2core.evidence.predictions import Predictions
from her2core.io.cells import UNKNOWN

#: Outcomes of a row in words; {0} and {1} stand for the two classifiers.
OUTCOMES = {
    "first_right": "{0} right, {1} wrong",
    "second_right": "{0} wrong, {1} right",
    "same_error": "both wrong, same class",
    "other_error": "both wrong, different classes",
    "both_right": "both right",
}
#: Columns of ``paired_rows``: those of ``misclassified`` for the first classifier, then these.
COLUMNS = (*ROW_COLUMNS, "predicted_second", "probability_second", "outcome")


def paired_rows(first: Predictions, second: Predictions) -> pd.DataFrame:
    """Pair the rows of two classifiers that were tested on the same cases.

    Parameters
    ----------
    first, second : Predictions
        Test parts with the same classes, identifiers and labels, in any order of rows.

    Returns
    -------
    DataFrame
        ``COLUMNS``, in the order of the first: the class that each predicted, with its probability, and the
        ``outcome``, a key of ``OUTCOMES``.

    Raises
    ------
    EvaluationError
        Where the two were not tested on the same cases.

    Examples
    --------
    >>> frame = pd.DataFrame({"patch_id": list("uvw"), "label": list("aab"), "predicted": list("aba")})
    >>> other = frame.assign(predicted=list("bba"))
    >>> paired_rows(Predictions.from_frame(frame), Predictions.from_frame(other))["outcome"].tolist()
    ['first_right', 'same_error', 'same_error']
    """
    if reason := why_incomparable(first, second):
        raise EvaluationError(
            "two runs tested on the same cases",
            got=reason,
            where="disagreement",
            fix="Choose runs of the same data and split.",
        )
    rows, other = all_rows(first), all_rows(second).set_index("patch_id").loc[first.frame["patch_id"]]
    predicted = other["predicted"].to_numpy()
    right = (rows["predicted"] == rows["true"]).to_numpy(), predicted == rows["true"].to_numpy()
    same = predicted == rows["predicted"].to_numpy()
    outcome = np.select(
        [right[0] & right[1], right[0], right[1], same],
        ["both_right", "first_right", "second_right", "same_error"],
        "other_error",
    )
    return rows.assign(
        predicted_second=predicted, probability_second=other["probability_predicted"].to_numpy(), outcome=outcome
    )


def outcome_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the outcomes.

    Parameters
    ----------
    rows : DataFrame
        As ``paired_rows`` gives them.

    Returns
    -------
    DataFrame
        A row for each of ``OUTCOMES``: ``outcome``, ``n``, ``share`` of all rows, and ``patients`` among them (NA
        where one is unknown).

    Examples
    --------
    >>> rows = pd.DataFrame({"outcome": ["both_right", "same_error"], "patient_id": ["P1", "P1"]})
    >>> outcome_counts(rows).set_index("outcome").loc["same_error"].tolist()
    [1.0, 0.5, 1.0]
    """
    unknown = (rows["patient_id"] == UNKNOWN).any()
    found = []
    for outcome in OUTCOMES:
        of = rows[rows["outcome"] == outcome]
        patients = pd.NA if unknown else of["patient_id"].nunique()
        found.append((outcome, len(of), len(of) / max(len(rows), 1), patients))
    table = pd.DataFrame(found, columns=["outcome", "n", "share", "patients"])
    return table.astype({"patients": "Int64"})
