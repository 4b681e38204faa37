"""Could the difference of two networks be chance? Paired answers in; p values, also corrected for many networks, out.

McNemar and DeLong take rows as independent, so they apply where a row is a patient; elsewhere the paired bootstrap over
patients (evidence.compare) stands alone.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtr
from scipy.stats import binomtest, norm, rankdata


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> float:
    """Exact two-sided p that two networks are right equally often; bool (N,) each (McNemar 1947, doi
    10.1007/BF02295996). 1 where they never disagree."""
    only_first = int(np.sum(first_right & ~second_right))
    only_second = int(np.sum(~first_right & second_right))
    n = only_first + only_second
    return float(binomtest(min(only_first, only_second), n).pvalue) if n else 1.0


def delong(positive: np.ndarray, *, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Standard error of the difference of two AUROCs on the same cases, and the two-sided p that there is none.

    ``positive`` bool (N,), scores float (N,) each. DeLong et al. 1988 (doi 10.2307/2531595), computed by midranks (Sun
    & Xu 2014, doi 10.1109/LSP.2014.2337313). NaN, NaN where fewer than two cases are positive or negative; p is NaN
    where the error is zero and the difference is not, and 1 where both are zero.
    """
    up, down = np.flatnonzero(positive), np.flatnonzero(~positive)
    if len(up) < 2 or len(down) < 2:
        return float("nan"), float("nan")
    beats, beaten = [], []
    for scores in (first, second):
        together = rankdata(scores)
        beats.append((together[up] - rankdata(scores[up])) / len(down))
        beaten.append(1 - (together[down] - rankdata(scores[down])) / len(up))
    difference = float(np.mean(beats[1]) - np.mean(beats[0]))
    contrast = np.array([-1.0, 1.0])
    variance = contrast @ (np.cov(beats) / len(up) + np.cov(beaten) / len(down)) @ contrast
    error = float(np.sqrt(max(variance, 0.0)))
    if error < 1e-12:
        return 0.0, 1.0 if abs(difference) < 1e-12 else float("nan")
    return error, float(2 * norm.sf(abs(difference) / error))


def bootstrap_p(differences: np.ndarray, *, patients: float = np.inf) -> float:
    """Two-sided p that there is no difference, from a paired bootstrap's differences float (B,): twice the smaller
    share on one side of zero, counting the estimate itself as one draw (Davison & Hinkley 1997, ISBN 0-521-57471-4),
    so never zero. With so few ``patients`` that carry the difference, larger as the interval is wider
    (``intervals.expanded_tail``): below 0.05 where its 95 % leave zero out. NaN where no draw is finite."""
    d = differences[np.isfinite(differences)]
    if not len(d):
        return float("nan")
    p = float(min(1.0, 2 * (min(np.sum(d <= 0), np.sum(d >= 0)) + 1) / (len(d) + 1)))
    if np.isinf(patients):
        return p
    return float(2 * stdtr(patients - 1, ndtri(p / 2) / np.sqrt(patients / (patients - 1))))


def holm(p: np.ndarray) -> np.ndarray:
    """p values float (M,) corrected for M comparisons (Holm 1979); NaN stay NaN and are not counted."""
    p = np.asarray(p, np.float64)
    found = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    found[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return found
