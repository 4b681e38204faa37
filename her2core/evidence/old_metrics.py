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

    ``scores`` float (N,) without NaN, ``positive`` bool (N,), ``groups`` int (N,) from 0 to ``group_count`` - 1. The
    counts are exact: rows are sorted once and cut into blocks, a positive beats all negatives of lower blocks (one
    matrix product), and only inside a block are pairs told apart one by one.
    """
    wins = np.zeros((group_count, group_count))
    order = np.argsort(scores)
    scores, positive, groups = scores[order], positive[order], groups[order]
    up, down = groups[positive], groups[~positive]
    if not len(up) or not len(down):
        return wins
    up_count, down_count = np.bincount(up, minlength=group_count), np.bincount(down, minlength=group_count)
    up_groups, down_groups = np.flatnonzero(up_count), np.flatnonzero(down_count)
    up = (np.cumsum(up_count > 0) - 1)[up]  # numbered without gaps: groups of one kind only cost nothing
    down = (np.cumsum(down_count > 0) - 1)[down]
    shape = len(up_groups), len(down_groups)
    starts, tied = _blocks(scores, _block_size(len(up), len(down), shape))
    # Twice the wins are whole numbers; float32 holds them exactly, at half the cost, as long as they stay small.
    exact = np.float32 if 2 * int(up_count.max()) * int(down_count.max()) < 2**24 else np.float64
    positives_before = np.concatenate([[0], np.cumsum(positive)])
    twice = _wins_between(up, down, positives_before, starts, tied, shape, exact)
    _add_wins_inside(twice, scores, positive, up, down, positives_before, starts, tied)
    wins[np.ix_(up_groups, down_groups)] = twice / 2
    return wins


def _block_size(positives: int, negatives: int, shape: tuple[int, int]) -> int:
    """Rows a block that balance the two costs, in nanoseconds: 0.04 a cell of the product, 5 to count a group, 7 a
    pair. Any size gives the same result."""
    n = positives + negatives
    product = 0.04 * shape[0] * shape[1] + 5 * (shape[0] + shape[1])
    return max(8, int(np.sqrt(product / (7 / 2 * (positives / n) * (negatives / n)))))


def _blocks(scores: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut sorted scores between different values: starts int (B + 1,), and bool (B,) where a block is one value only.

    A value that stands more than ``size`` times is a block of its own, so that heavy ties make no pairs.
    """
    runs = np.concatenate([[0], np.flatnonzero(scores[1:] != scores[:-1]) + 1])
    large = np.diff(runs, append=len(scores)) > size
    cut = np.ones(len(runs), bool)
    cut[1:] = large[1:] | large[:-1] | (runs[1:] // size != runs[:-1] // size)
    return np.append(runs[cut], len(scores)), large[cut]


def _wins_between(up, down, positives_before, starts, tied, shape, exact) -> np.ndarray:
    """Twice the wins over negatives of lower blocks, plus one for each pair inside a block of one value."""
    twice, passed = np.zeros(shape, exact), np.zeros((shape[1], 1), exact)
    up_at, down_at = positives_before[starts], starts - positives_before[starts]
    for first in range(0, len(tied), 512):  # so many blocks at a time that the counts stay in memory's reach
        last = min(first + 512, len(tied))
        counts = []
        for codes, at, groups in ((up, up_at, shape[0]), (down, down_at, shape[1])):
            block = np.repeat(np.arange(last - first), np.diff(at[first : last + 1]))
            cells = codes[at[first] : at[last]] * (last - first) + block
            counts.append(np.bincount(cells, minlength=groups * (last - first)).reshape(groups, -1).astype(exact))
        here, below = counts
        total = passed + np.cumsum(below, axis=1, dtype=exact)
        passed = total[:, -1:].copy()
        total *= 2
        total -= below * (2 - tied[first:last]).astype(exact)
        twice += here @ total.T
    return twice


def _add_wins_inside(twice, scores, positive, up, down, positives_before, starts, tied) -> None:
    """Add twice the wins between rows of the same block, pair by pair; blocks of one value are already counted."""
    at = np.flatnonzero(positive)
    block = np.repeat(np.arange(len(tied)), np.diff(positives_before[starts]))
    change = np.concatenate([[True], scores[1:] != scores[:-1]])
    run = np.cumsum(change) - 1
    run_starts = np.append(np.flatnonzero(change), len(scores))
    negatives_before = np.arange(len(scores) + 1) - positives_before
    low = negatives_before[starts[block]]
    mid, high = (negatives_before[run_starts[run[at] + i]] for i in (0, 1))
    by_group = np.argsort(up, kind="stable")  # row after row of the table: counting stays within fast memory
    by_group = by_group[~tied[block[by_group]]]
    codes = up[by_group]
    for begin, end, worth in ((low[by_group], mid[by_group], 2), (mid[by_group], high[by_group], 1)):
        pairs = np.concatenate([[0], np.cumsum(end - begin)])
        first = 0
        while first < len(codes) and pairs[-1] > pairs[first]:
            last = max(first + 1, int(np.searchsorted(pairs, pairs[first] + 2**19, "right")) - 1)
            length, base = (end - begin)[first:last], codes[first]
            # Positive after positive, the negatives from begin to end.
            negative = np.arange(pairs[first], pairs[last]) + np.repeat((begin - pairs[:-1])[first:last], length)
            cells = np.repeat((codes[first:last] - base) * len(twice[0]), length) + down[negative]
            rows = codes[last - 1] - base + 1
            counted = np.bincount(cells, minlength=rows * twice.shape[1]).reshape(rows, -1)
            twice[base : base + rows] += (worth * counted).astype(twice.dtype)
            first = last


def auroc(weights: np.ndarray, *, wins: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """AUROC for each of (B, G) weightings of the groups; NaN where a weighting holds no positive or no negative."""
    up, down = np.asarray(positives) > 0, np.asarray(negatives) > 0  # elsewhere the table is zero
    won = ((weights[:, up] @ wins[np.ix_(up, down)]) * weights[:, down]).sum(axis=1)
    return _ratio(won, (weights @ positives) * (weights @ negatives))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def _mean_where(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    return _ratio(np.where(present, values, 0).sum(-1), present.sum(-1))
