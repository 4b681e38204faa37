"""Ranking metrics of one class against the rest: AUROC and average precision.

Both take weights of groups of rows, so that all resamples of a cluster bootstrap are computed at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2core.errors import EvaluationError
from her2core.evidence.metrics.arrays import ratio
from her2core.evidence.metrics.concordance import concordant_pairs
from her2core.evidence.metrics.metric import Floats

#: Rows times weightings that are processed at once: small enough for the processor's cache.
_CHUNK = 30_000


def auroc(
    scores: ArrayLike, *, positive: ArrayLike, groups: ArrayLike | None = None, weights: ArrayLike | None = None
) -> Floats:
    r"""Area under the receiver operating characteristic curve.

    The probability that a random case scores above a random non-case, ties counting one half:

    .. math:: \text{AUROC} = \frac{\sum_{i \in P} \sum_{j \in N} w_i w_j\, [s_i > s_j] + \tfrac12 [s_i = s_j]}
              {\sum_{i \in P} w_i \sum_{j \in N} w_j}

    Parameters
    ----------
    scores : array_like of float, shape (N,)
        Score of each row; higher means more likely a case.
    positive : array_like of bool, shape (N,)
        Whether the row is a case.
    groups : array_like of int, shape (N,), optional
        Group of each row, 0 to G - 1; without ``weights`` not needed.
    weights : array_like of float, shape (B, G), optional
        Weights of the groups, one row per resample.

    Returns
    -------
    ndarray of float64, shape (B,), or () without ``weights``
        From 0 to 1; NaN where there is no case or no non-case.

    Raises
    ------
    EvaluationError
        For arrays of different lengths, scores that are not finite, or weights without groups.

    References
    ----------
    Hanley & McNeil 1982, doi 10.1148/radiology.143.1.7063747.

    Examples
    --------
    >>> float(auroc([0.1, 0.4, 0.35, 0.8], positive=[False, False, True, True]))
    0.75
    >>> auroc([0.1, 0.4, 0.35, 0.8], positive=[0, 0, 1, 1], groups=[0, 1, 1, 0], weights=[[1, 1], [2, 1]]).round(3)
    array([0.75 , 0.889])
    """
    values, cases, codes, stack = _checked(scores, positive, groups, weights)
    count = stack.shape[1]
    pairs = concordant_pairs(values, positive=cases, groups=codes, group_count=count)
    up = np.bincount(codes[cases], minlength=count).astype(np.float64)
    down = np.bincount(codes[~cases], minlength=count).astype(np.float64)
    some_up, some_down = up > 0, down > 0  # elsewhere the table of pairs is zero
    concordant = ((stack[:, some_up] @ pairs[np.ix_(some_up, some_down)]) * stack[:, some_down]).sum(axis=1)
    area = ratio(concordant, (stack @ up) * (stack @ down))
    return area if weights is not None else area[0]


def average_precision(
    scores: ArrayLike, *, positive: ArrayLike, groups: ArrayLike | None = None, weights: ArrayLike | None = None
) -> Floats:
    r"""Average precision: the area under the precision-recall curve without interpolation.

    .. math:: \text{AP} = \sum_t (R_t - R_{t-1}) P_t

    over the distinct scores :math:`t` in falling order, with precision :math:`P_t` and recall :math:`R_t` of the rows
    that score at least :math:`t`; as scikit-learn's ``average_precision_score``.

    Parameters
    ----------
    scores : array_like of float, shape (N,)
        Score of each row; higher means more likely a case.
    positive : array_like of bool, shape (N,)
        Whether the row is a case.
    groups : array_like of int, shape (N,), optional
        Group of each row, 0 to G - 1; without ``weights`` not needed.
    weights : array_like of int, shape (B, G), optional
        How often each group is drawn, whole numbers, one row per resample.

    Returns
    -------
    ndarray of float64, shape (B,), or () without ``weights``
        From 0 to 1; NaN where there is no case or no non-case.

    Raises
    ------
    EvaluationError
        For arrays of different lengths, scores that are not finite, or weights without groups.

    References
    ----------
    Davis & Goadrich 2006, doi 10.1145/1143844.1143874.

    Examples
    --------
    >>> round(float(average_precision([0.1, 0.4, 0.35, 0.8], positive=[False, False, True, True])), 4)
    0.8333
    """
    values, cases, codes, stack = _checked(scores, positive, groups, weights)
    if not cases.any() or cases.all():
        return np.full(len(stack) if weights is not None else (), np.nan)
    order = np.argsort(-values, kind="stable")
    values, cases, codes = values[order], cases[order], codes[order]
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)  # equal scores are one threshold
    ups = np.cumsum(cases)[ends]
    adding = np.diff(ups, prepend=0) > 0  # only thresholds that add a case add recall
    ups, downs = ups[adding], (ends + 1 - ups)[adding]
    up, down = codes[cases], codes[~cases]
    found, step = np.full(len(stack), np.nan), max(1, _CHUNK // len(values))
    for first in range(0, len(stack), step):
        times = stack[first : first + step].astype(np.int64)
        hits, alarms = (np.zeros((len(times), len(rows) + 1), np.int64) for rows in (up, down))
        np.cumsum(times.take(up, axis=1), axis=1, out=hits[:, 1:])
        np.cumsum(times.take(down, axis=1), axis=1, out=alarms[:, 1:])
        true, false = hits.take(ups, axis=1), alarms.take(downs, axis=1)
        gained = (np.diff(true, axis=1, prepend=0) * (true / np.maximum(true + false, 1))).sum(axis=1)
        both = (hits[:, -1] > 0) & (alarms[:, -1] > 0)
        np.divide(gained, hits[:, -1], out=found[first : first + step], where=both)
    return found if weights is not None else found[0]


def _checked(
    scores: ArrayLike, positive: ArrayLike, groups: ArrayLike | None, weights: ArrayLike | None
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64], Floats]:
    """Scores, cases, groups and weights (B, G) as arrays of the right types."""
    if (groups is None) != (weights is None):
        raise EvaluationError(
            "arguments `groups` and `weights` together", got="one of the two", fix="Give both, or neither."
        )
    values, cases = np.asarray(scores, np.float64), np.asarray(positive, bool)
    codes = np.zeros(len(values), np.int64) if groups is None else np.asarray(groups, np.int64)
    stack = np.ones((1, 1)) if weights is None else np.asarray(weights, np.float64)
    if values.ndim != 1 or not values.shape == cases.shape == codes.shape:
        raise EvaluationError(
            "arguments `scores`, `positive` and `groups` to have one shape (N,)",
            got=f"{values.shape}, {cases.shape} and {codes.shape}",
            fix="Give one score, one truth and one group for each row.",
        )
    if not np.isfinite(values).all():
        raise EvaluationError("finite scores", got="NaN or infinity", fix="Correct or drop such rows.")
    if stack.ndim != 2 or (len(codes) and not 0 <= codes.min() <= codes.max() < stack.shape[1]):
        raise EvaluationError(
            "argument `weights` to have shape (B, G) with a column for every group",
            got=f"shape {stack.shape}",
            fix="Number the groups from 0 to G - 1.",
        )
    return values, cases, codes, stack
