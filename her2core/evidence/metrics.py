"""Which numbers describe these predictions? Weighted confusion matrices and scores in; named metrics out.

Everything is written for a stack of weightings (one a bootstrap resample) at once: the plain estimate is a stack of
one. "Class-specific accuracy" is ambiguous in the literature, so both readings are given, each by its name: recall
(sensitivity) and one-vs-rest accuracy.
"""

from __future__ import annotations

import numpy as np

#: Metrics from the confusion matrix with one value for all classes, and those with one a class.
OVERALL = ("accuracy", "balanced_accuracy", "macro_f1")
PER_CLASS = ("recall", "one_vs_rest_accuracy", "precision", "specificity", "f1")


def confusion(labels: np.ndarray, *, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int64 (K, K): rows true class, columns predicted class."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def from_confusion(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """(..., K, K) -> OVERALL metrics (...) and PER_CLASS metrics (..., K), float64.

    A ratio without denominator (a class without a case, or never predicted) is NaN, never 0; the macro figures take
    the mean over the classes that have cases. F1 of a class that has cases is 0 when it is never predicted.
    """
    matrix = np.asarray(matrix, np.float64)
    total = matrix.sum((-2, -1))[..., None]
    hit = np.diagonal(matrix, axis1=-2, axis2=-1)
    true, predicted = matrix.sum(-1), matrix.sum(-2)
    present = true > 0
    recall = _ratio(hit, true)
    f1 = np.where(present, _ratio(2 * hit, true + predicted), np.nan)
    return {
        "accuracy": _ratio(hit.sum(-1), total[..., 0]),
        "balanced_accuracy": _mean_where(recall, present),
        "macro_f1": _mean_where(f1, present),
        "recall": recall,
        "one_vs_rest_accuracy": _ratio(total - true - predicted + 2 * hit, total),
        "precision": _ratio(hit, predicted),
        "specificity": _ratio(total - true - predicted + hit, total - true),
        "f1": f1,
    }


def pair_wins(scores: np.ndarray, *, positive: np.ndarray, groups: np.ndarray, group_count: int) -> np.ndarray:
    """How often does a positive of group i score above a negative of group j? float64 (G, G), ties count one half.

    AUROC of any reweighting w of the groups is then ``w A w / (w.p)(w.n)`` with p and n the positives and negatives
    of each group: the Mann-Whitney form (Hanley & McNeil 1982, doi 10.1148/radiology.143.1.7063747), which makes a
    bootstrap over thousands of resamples two matrix products.
    """
    wins = np.zeros((group_count, group_count))
    up, group_up = scores[positive], groups[positive]
    for j in np.unique(groups[~positive]):
        down = np.sort(scores[~positive & (groups == j)])
        beaten = (np.searchsorted(down, up, "left") + np.searchsorted(down, up, "right")) / 2
        wins[:, j] = np.bincount(group_up, weights=beaten, minlength=group_count)
    return wins


def auroc(weights: np.ndarray, *, wins: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """AUROC for each of (B, G) weightings of the groups; NaN where a weighting holds no positive or no negative."""
    return _ratio(np.einsum("bi,ij,bj->b", weights, wins, weights, optimize=True),
                  (weights @ positives) * (weights @ negatives))  # fmt: skip


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def _mean_where(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    return _ratio(np.where(present, values, 0).sum(-1), present.sum(-1))
