"""What would calling one class from another probability on change? Predictions and a threshold in; counts, rates out.

A patch is called when its probability of the class reaches the threshold, whatever the other classes get; this is the
reading of the ROC, not the class of highest probability. Intervals are those of ``evidence.intervals``: whole patients
are drawn, and where patients are unknown the note says so; those of counts are plain percentiles.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.intervals import NO_SPREAD, interval_row
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import clusters, holding, left_out_counts, resampled_counts

COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
RATES = ("sensitivity", "specificity", "ppv", "npv", "share_called")
#: A slider has to answer at once: beyond so many single draws clusters of equal counts are drawn together.
_DRAWN_AT_ONCE = 10_000_000


def operating_point(
    predictions: Predictions, *, of: str, threshold: float, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """COUNTS and RATES of class ``of`` against the rest when it is called from ``threshold`` on.

    Returns
    -------
    DataFrame with one row a figure: unit, class, threshold, metric, value, low, high, interval, note, level, resampled,
    clusters, n. A rate without denominator (nothing called: no PPV) is NaN with the reason in ``note``; an interval
    that less than 95 % of the resamples support is NaN likewise.

    Raises EvaluationError for an unknown class, no rows, or a threshold that is NaN.
    """
    position = _position(predictions, of)
    if np.isnan(threshold):
        raise EvaluationError("a number from 0 to 1", got="NaN", where="threshold", fix="Choose a probability.")
    group = clusters(predictions)
    missed, truly_not = predictions.probs[:, position] < threshold, predictions.labels != position
    cells = np.where(missed, 2 + truly_not, truly_not)  # in the order of COUNTS
    counts = resampled_counts(group, cells=cells, kinds=4, resamples=resamples, seed=seed, limit=_DRAWN_AT_ONCE)
    estimate = np.bincount(cells, minlength=4).astype(np.float64)
    left = left_out_counts(group, cells=cells, kinds=4)
    value, drawn, left = _figures(estimate), _figures(counts), _figures(left)
    counted = {
        "sensitivity": ~truly_not,
        "specificity": truly_not,
        "ppv": ~missed,
        "npv": missed,
        "share_called": np.ones(len(predictions), bool),
    }
    rows = [interval_row(m, of, value[m], drawn[m], level) for m in COUNTS]
    rows = [row | ({"note": NO_SPREAD} if row["lower_95"] == row["upper_95"] else {}) for row in rows]
    rows += [
        interval_row(m, of, value[m], drawn[m], level, left[m], share_of=holding(group, counted[m])) for m in RATES
    ]
    frame = pd.DataFrame(rows)[["class", "metric", "value", "lower_95", "upper_95", "interval_method", "note"]]
    frame.insert(0, "unit", predictions.unit)
    frame.insert(2, "threshold", float(threshold))
    frame["level"], frame["resampling_unit"], frame["n_clusters"], frame["n"] = (
        level,
        group.unit,
        group.count,
        len(predictions),
    )
    frame["note"] = ["; ".join(filter(None, (group.note, note))) for note in frame["note"]]
    return frame


def threshold_for(predictions: Predictions, *, of: str, sensitivity: float) -> float:
    """The highest threshold at which at least that share of the true ``of`` is called.

    To be chosen on validation predictions only: a threshold picked on the test part makes the test part's own figures
    too good. Apply it to the test part with ``operating_point``.

    Raises EvaluationError for an unknown class, a class without cases, or a sensitivity that is not above 0 and at
    most 1.
    """
    position = _position(predictions, of)
    if not 0 < sensitivity <= 1:
        raise EvaluationError(
            "a sensitivity above 0 and at most 1",
            got=f"{sensitivity}",
            where="threshold",
            fix="Give a share, such as 0.95 for 95 %.",
        )
    scores = np.sort(predictions.probs[predictions.labels == position, position])[::-1]
    if not len(scores):
        raise EvaluationError(
            f"at least one {predictions.unit} that is truly {of}",
            got="none",
            where="threshold",
            fix="Choose another class, or predictions that hold some.",
        )
    reached = np.arange(1, len(scores) + 1) / len(scores) >= sensitivity
    return float(scores[int(reached.argmax())])


def _position(predictions: Predictions, of: str) -> int:
    if of not in predictions.classes:
        raise EvaluationError(
            f"a class out of {', '.join(predictions.classes)}",
            got=repr(of)[:80],
            where="threshold",
            fix="Choose one of these.",
        )
    if not len(predictions):
        raise EvaluationError(
            "at least one prediction", got="none", where="threshold", fix="Choose a part that holds some."
        )
    return predictions.classes.index(of)


def _figures(counts: np.ndarray) -> dict[str, np.ndarray]:
    """(..., 4) counts in the order of COUNTS -> every figure (...), float64; NaN without denominator."""
    hit, alarm, miss, rest = (counts[..., i] for i in range(4))
    ratios = {
        "sensitivity": (hit, hit + miss),
        "specificity": (rest, rest + alarm),
        "ppv": (hit, hit + alarm),
        "npv": (rest, rest + miss),
        "share_called": (hit + alarm, hit + alarm + miss + rest),
    }
    rates = {}
    for name, (top, bottom) in ratios.items():
        top, bottom = np.asarray(top, np.float64), np.asarray(bottom, np.float64)
        rates[name] = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return dict(zip(COUNTS, (hit, alarm, miss, rest), strict=True)) | rates
