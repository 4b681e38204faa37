"""Exact counts of concordant pairs between groups of rows: the Mann-Whitney form of the AUROC.

With A the pairs of a positive of group i and a negative of group j in which the positive scores higher, the AUROC under
weights w of the groups is ``w A w / (w.p)(w.n)``, p and n the positives and negatives of each group (Hanley & McNeil
1982, doi 10.1148/radiology.143.1.7063747). A cluster bootstrap over thousands of resamples is then two matrix products.

Rows are sorted once and cut into blocks: a positive beats all negatives of lower blocks (one matrix product), and only
inside a block are pairs compared one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from her2core.evidence.metrics.metric import Floats

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: float32 or float64, whichever holds the counts exactly.
Numbers = NDArray[Any]


def concordant_pairs(
    scores: NDArray[np.float64], *, positive: NDArray[np.bool_], groups: NDArray[np.int64], group_count: int
) -> Floats:
    """Count the pairs in which a positive of group i scores above a negative of group j.

    Parameters
    ----------
    scores : ndarray of float64, shape (N,)
        Score of each row, without NaN.
    positive : ndarray of bool, shape (N,)
        Whether the row is a case.
    groups : ndarray of int64, shape (N,)
        Group of each row, 0 to ``group_count`` - 1.
    group_count : int
        Number of groups G.

    Returns
    -------
    ndarray of float64, shape (G, G)
        Rows groups of the positive, columns of the negative; ties count one half. The counts are exact.

    References
    ----------
    Hanley & McNeil 1982, doi 10.1148/radiology.143.1.7063747.

    Examples
    --------
    >>> scores, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True])
    >>> concordant_pairs(scores, positive=positive, groups=np.array([0, 1, 0, 1]), group_count=2)
    array([[1. , 0.5],
           [1. , 1. ]])
    """
    concordant = np.zeros((group_count, group_count))
    order = np.argsort(scores)
    scores, positive, groups = scores[order], positive[order], groups[order]
    up, down = groups[positive], groups[~positive]
    if not len(up) or not len(down):
        return concordant
    up_count, down_count = np.bincount(up, minlength=group_count), np.bincount(down, minlength=group_count)
    up_groups, down_groups = np.flatnonzero(up_count), np.flatnonzero(down_count)
    up = (np.cumsum(up_count > 0) - 1)[up]  # numbered without gaps: groups of one kind only cost nothing
    down = (np.cumsum(down_count > 0) - 1)[down]
    shape = len(up_groups), len(down_groups)
    starts, tied = _blocks(scores, _block_size(len(up), len(down), shape))
    # Twice the count is a whole number; float32 holds it exactly, at half the cost, as long as it stays small.
    exact = np.float32 if 2 * int(up_count.max()) * int(down_count.max()) < 2**24 else np.float64
    positives_before = np.concatenate([[0], np.cumsum(positive)])
    twice = _pairs_between_blocks(up, down, positives_before, starts, tied, shape, exact)
    _add_pairs_within_blocks(twice, scores, positive, up, down, positives_before, starts, tied)
    concordant[np.ix_(up_groups, down_groups)] = twice / 2
    return concordant


def _block_size(positives: int, negatives: int, shape: tuple[int, int]) -> int:
    """Rows per block that balance the two costs, in nanoseconds: 0.04 per cell of the product, 5 to count a group, 7
    per pair. Any size gives the same result."""
    n = positives + negatives
    product = 0.04 * shape[0] * shape[1] + 5 * (shape[0] + shape[1])
    return max(8, int(np.sqrt(product / (7 / 2 * (positives / n) * (negatives / n)))))


def _blocks(scores: NDArray[np.float64], size: int) -> tuple[Ints, Bools]:
    """Cut sorted scores between different values: starts int (B + 1,), and bool (B,) where a block is one value only.

    A value that occurs more than ``size`` times is a block of its own, so that heavy ties make no pairs.
    """
    runs = np.concatenate([[0], np.flatnonzero(scores[1:] != scores[:-1]) + 1])
    large = np.diff(runs, append=len(scores)) > size
    cut = np.ones(len(runs), bool)
    cut[1:] = large[1:] | large[:-1] | (runs[1:] // size != runs[:-1] // size)
    return np.append(runs[cut], len(scores)), large[cut]


def _pairs_between_blocks(
    up: Ints, down: Ints, positives_before: Ints, starts: Ints, tied: Bools, shape: tuple[int, int], exact: type
) -> Numbers:
    """Twice the concordant pairs with lower blocks, plus one for each pair inside a block of one value."""
    twice: Numbers = np.zeros(shape, exact)
    passed: Numbers = np.zeros((shape[1], 1), exact)
    up_at, down_at = positives_before[starts], starts - positives_before[starts]
    for first in range(0, len(tied), 512):  # bounds the memory of the counts
        last = min(first + 512, len(tied))
        counts: list[Numbers] = []
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


def _add_pairs_within_blocks(
    twice: Numbers,
    scores: NDArray[np.float64],
    positive: Bools,
    up: Ints,
    down: Ints,
    positives_before: Ints,
    starts: Ints,
    tied: Bools,
) -> None:
    """Add twice the concordant pairs of the same block, pair by pair; blocks of one value are already counted."""
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
