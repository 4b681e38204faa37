"""Operating point: counts and rates of one class against the rest at a threshold probability.

A row is predicted as the class when its probability reaches the threshold, whatever the other classes get; this is the
reading of the ROC curve, not the class of highest probability. Intervals are those of ``intervals``; those of counts
are plain percentiles.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.arguments import check_class, check_predictions, check_resampling
from her2core.evidence.intervals import NO_SPREAD, IntervalRow, interval_row, interval_table, with_note
from her2core.evidence.jackknife import jackknife_row
from her2core.evidence.metrics.registry import METRICS
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import bootstrap_counts, clusters, jackknife_counts
from her2core.evidence.sample_size import sample_size

COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
RATES = ("recall", "specificity", "precision", "npv", "predicted_positive_rate")
#: A slider has to respond at once: beyond so many single draws clusters of equal counts are drawn together.
_DRAWN_AT_ONCE = 10_000_000


def operating_point(
    predictions: Predictions, *, of: str, threshold: float, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compute ``COUNTS`` and ``RATES`` of a class when it is predicted from a threshold on.

    Parameters
    ----------
    predictions : Predictions
    of : str
        Class that is predicted.
    threshold : float
        Probability from which it is predicted, usually 0 to 1.
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    DataFrame
        One row per count and rate: unit, class, threshold, metric, value, lower_95, upper_95, interval_method, note,
        resampling_unit, n_clusters, n. A rate without denominator (nothing predicted: no PPV) is NaN with the reason
        in ``note``.

    Raises
    ------
    ConfigError
        For an unknown class, a threshold that is no number, or resamples or a seed out of range.
    EvaluationError
        When there is no row, or there are no probabilities.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> table = operating_point(p, of="a", threshold=0.35, resamples=100).set_index("metric")
    >>> float(table.loc["recall", "value"]), float(table.loc["false_positives", "value"])
    (1.0, 0.0)
    """
    position = check_class(of, predictions.classes)
    check_resampling(resamples, seed)
    check_predictions(predictions, "threshold", scores=True)
    if np.isnan(threshold):
        raise ConfigError("argument `threshold` to be a number from 0 to 1", got="NaN", fix="Choose a probability.")
    group = clusters(predictions)
    below, truly_not = predictions.probs[:, position] < threshold, predictions.labels != position
    cells = truly_not * 2 + below  # a confusion matrix of the class and the rest
    counts = bootstrap_counts(group, cells=cells, kinds=4, resamples=resamples, seed=seed, limit=_DRAWN_AT_ONCE)
    estimate = np.bincount(cells, minlength=4)
    value, draws, left = (
        _figures(c.reshape(-1, 2, 2)) for c in (estimate, counts, jackknife_counts(group, cells=cells, kinds=4))
    )
    unit = predictions.unit
    denominators = {
        "recall": (~truly_not, f"no {unit} is truly {of}"),
        "specificity": (truly_not, f"every {unit} is truly {of}"),
        "precision": (~below, f"no {unit} reaches the threshold"),
        "npv": (below, f"every {unit} reaches the threshold"),
        "predicted_positive_rate": (np.ones(len(predictions), bool), ""),
    }
    rows: list[IntervalRow] = []
    for name in COUNTS:
        row = interval_row(name, of, float(value[name][0]), draws[name])
        rows.append(with_note(row, always=NO_SPREAD if row["lower_95"] == row["upper_95"] else ""))
    for name in RATES:
        counted, undefined = denominators[name]
        size = sample_size(group, counted)
        row = jackknife_row(name, of, float(value[name][0]), left[name], size=size)
        rows.append(with_note(row, undefined=undefined))
    frame = interval_table(({**row, "threshold": float(threshold)} for row in rows), predictions, group)
    first = ["unit", "class", "threshold", "metric"]
    return frame[[*first, *(c for c in frame if c not in first)]]


def threshold_for_sensitivity(predictions: Predictions, *, of: str, sensitivity: float) -> float:
    """Choose the highest threshold that reaches a sensitivity.

    To be chosen on validation predictions only: a threshold picked on the test part makes the test part's own metrics
    too good. Apply it to the test part with ``operating_point``.

    Parameters
    ----------
    predictions : Predictions
        Validation part.
    of : str
        Class that is predicted.
    sensitivity : float
        Proportion of its cases that should reach the threshold, above 0 and at most 1.

    Returns
    -------
    float
        A probability that occurs in ``predictions``.

    Raises
    ------
    ConfigError
        For an unknown class or a sensitivity out of range.
    EvaluationError
        When there is no row, no probabilities, or no case of the class.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> threshold_for_sensitivity(p, of="a", sensitivity=0.95)
    0.4
    """
    position = check_class(of, predictions.classes)
    check_predictions(predictions, "threshold", scores=True)
    if not 0 < sensitivity <= 1:
        raise ConfigError(
            "argument `sensitivity` to be above 0 and at most 1",
            got=f"{sensitivity}",
            fix="Give a proportion, such as 0.95 for 95 %.",
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


def _figures(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """(B, 2, 2) confusion matrices of the class and the rest -> every count and rate of the class, float64 (B,)."""
    return {name: METRICS[name].function(matrices)[..., 0] for name in (*COUNTS, *RATES)}
