"""Paired tests of two classifiers on the same rows, and the correction for several comparisons.

McNemar and DeLong take rows as independent, so they apply where a row is a patient; elsewhere only the jackknife over
patients (``compare``) does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, norm, rankdata

from her2core.errors import EvaluationError
from her2core.evidence.metrics.metric import Floats


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> float:
    """Exact two-sided McNemar test that two classifiers are right equally often.

    Parameters
    ----------
    first_right, second_right : array_like of bool, shape (N,)
        Whether each classifier is right on each row.

    Returns
    -------
    float
        p value; 1 where they never disagree.

    Raises
    ------
    EvaluationError
        For arrays of different lengths.

    References
    ----------
    McNemar 1947, doi 10.1007/BF02295996.

    Examples
    --------
    >>> mcnemar([True] * 6 + [False], [False] * 6 + [False])
    0.03125
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    _check_lengths(first, second)
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(~first & second))
    n = only_first + only_second
    return float(binomtest(min(only_first, only_second), n).pvalue) if n else 1.0


def delong(positive: ArrayLike, *, first: ArrayLike, second: ArrayLike) -> tuple[float, float]:
    """DeLong test that two AUROCs on the same rows are equal, computed by midranks.

    Parameters
    ----------
    positive : array_like of bool, shape (N,)
        Whether the row is a case.
    first, second : array_like of float, shape (N,)
        Scores of the two classifiers.

    Returns
    -------
    error : float
        Standard error of the difference; NaN where fewer than two rows are cases or non-cases.
    p : float
        Two-sided p value; NaN where the error is zero and the difference is not, 1 where both are zero.

    Raises
    ------
    EvaluationError
        For arrays of different lengths.

    References
    ----------
    DeLong et al. 1988, doi 10.2307/2531595; Sun & Xu 2014, doi 10.1109/LSP.2014.2337313.

    Examples
    --------
    >>> case = [0, 0, 0, 1, 1, 1]
    >>> error, p = delong(case, first=[1, 2, 3, 4, 5, 6], second=[1, 4, 3, 2, 5, 6])
    >>> round(error, 3), round(p, 3)
    (0.248, 0.371)
    """
    cases, a, b = np.asarray(positive, bool), np.asarray(first, np.float64), np.asarray(second, np.float64)
    _check_lengths(cases, a, b)
    up, down = np.flatnonzero(cases), np.flatnonzero(~cases)
    if len(up) < 2 or len(down) < 2:
        return float("nan"), float("nan")
    of_cases, of_others = [], []  # DeLong's structural components V10 and V01
    for scores in (a, b):
        together = rankdata(scores)
        of_cases.append((together[up] - rankdata(scores[up])) / len(down))
        of_others.append(1 - (together[down] - rankdata(scores[down])) / len(up))
    difference = float(np.mean(of_cases[1]) - np.mean(of_cases[0]))
    contrast = np.array([-1.0, 1.0])
    variance = contrast @ (np.cov(of_cases) / len(up) + np.cov(of_others) / len(down)) @ contrast
    error = float(np.sqrt(max(variance, 0.0)))
    if error < 1e-12:
        return 0.0, 1.0 if abs(difference) < 1e-12 else float("nan")
    return error, float(2 * norm.sf(abs(difference) / error))


def holm(p: ArrayLike) -> Floats:
    """Holm correction of p values for several comparisons.

    Parameters
    ----------
    p : array_like of float, shape (M,)

    Returns
    -------
    ndarray of float64, shape (M,)
        Corrected p values; NaN stay NaN and are not counted.

    References
    ----------
    Holm 1979, Scand J Statist 6:65.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    values = np.asarray(p, np.float64)
    found = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * (len(order) - np.arange(len(order)))
    found[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return found


def _check_lengths(*arrays: np.ndarray) -> None:
    if len({a.shape for a in arrays}) > 1 or arrays[0].ndim != 1:
        raise EvaluationError(
            "arrays of one shape (N,)", got=", ".join(str(a.shape) for a in arrays), fix="Give one value for each row."
        )
