"""Metrics of a classifier that may abstain: coverage, selective accuracy, referral, risk-coverage curve.

Selective classification predicts only the most confident rows (Geifman & El-Yaniv 2017, arXiv 1705.08500); coverage is
the proportion that is predicted and selective risk the error rate among these. With prediction sets, a row is
predicted where its set holds exactly one class and referred otherwise; the functions of the sets take counts
``(..., 2, 2)``: first axis referred or predicted, second axis whether the set holds the true class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2core.evidence.metrics.arrays import ratio
from her2core.evidence.metrics.metric import Floats


def coverage(counts: ArrayLike) -> Floats:
    """Coverage: the proportion of rows that are predicted, not referred.

    Parameters
    ----------
    counts : array_like, shape (..., 2, 2)
        Rows by referred or predicted, and by whether the set holds the true class.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; NaN without rows.

    References
    ----------
    El-Yaniv & Wiener 2010, JMLR 11:1605.

    Examples
    --------
    >>> float(coverage([[1, 3], [1, 5]]))
    0.6
    """
    table = np.asarray(counts, np.float64)
    return ratio(table[..., 1, :].sum(-1), table.sum((-2, -1)))


def selective_accuracy(counts: ArrayLike) -> Floats:
    """Selective accuracy: the proportion of the predicted rows that are right.

    Parameters
    ----------
    counts : array_like, shape (..., 2, 2)
        Rows by referred or predicted, and by whether the set holds the true class.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; NaN where no row is predicted.

    References
    ----------
    El-Yaniv & Wiener 2010, JMLR 11:1605.

    Examples
    --------
    >>> round(float(selective_accuracy([[1, 3], [1, 5]])), 3)
    0.833
    """
    table = np.asarray(counts, np.float64)
    return ratio(table[..., 1, 1], table[..., 1, :].sum(-1))


def correct_rate(counts: ArrayLike) -> Floats:
    """Proportion of all rows that are predicted and right: coverage times selective accuracy.

    Parameters
    ----------
    counts : array_like, shape (..., 2, 2)
        Rows by referred or predicted, and by whether the set holds the true class.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; NaN without rows.

    Examples
    --------
    >>> float(correct_rate([[1, 3], [1, 5]]))
    0.5
    """
    table = np.asarray(counts, np.float64)
    return ratio(table[..., 1, 1], table.sum((-2, -1)))


def referral_rate(counts: ArrayLike) -> Floats:
    """Proportion of rows that are referred (for IHC/ISH): one less the coverage.

    Parameters
    ----------
    counts : array_like, shape (..., 2, 2)
        Rows by referred or predicted, and by whether the set holds the true class.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; NaN without rows.

    Examples
    --------
    >>> float(referral_rate([[1, 3], [1, 5]]))
    0.4
    """
    table = np.asarray(counts, np.float64)
    return ratio(table[..., 0, :].sum(-1), table.sum((-2, -1)))


def set_coverage(counts: ArrayLike) -> Floats:
    """Empirical coverage of prediction sets: the proportion of rows whose set holds the true class.

    Parameters
    ----------
    counts : array_like, shape (..., 2, 2)
        Rows by referred or predicted, and by whether the set holds the true class.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; NaN without rows.

    References
    ----------
    Angelopoulos & Bates 2023, doi 10.1561/2200000101.

    Examples
    --------
    >>> float(set_coverage([[1, 3], [1, 5]]))
    0.8
    """
    table = np.asarray(counts, np.float64)
    return ratio(table[..., 1].sum(-1), table.sum((-2, -1)))


def selective_risk(confidence: ArrayLike, *, wrong: ArrayLike, at: ArrayLike) -> Floats:
    """Error rate among the most confident rows.

    Parameters
    ----------
    confidence : array_like of float, shape (N,)
        Highest probability of each row.
    wrong : array_like of bool, shape (N,)
        Whether the row is misclassified.
    at : array_like of float, shape (M,)
        Coverages, above 0 and at most 1.

    Returns
    -------
    ndarray of float64, shape (M,)
        Among rows of equal confidence any order is as good: their mean is taken.

    References
    ----------
    Geifman & El-Yaniv 2017, arXiv 1705.08500.

    Examples
    --------
    >>> selective_risk([0.9, 0.8, 0.7, 0.6], wrong=[0, 0, 1, 1], at=[0.5, 1.0])
    array([0. , 0.5])
    """
    return _curve(confidence, wrong, at)[0]


def aurc(confidence: ArrayLike, *, wrong: ArrayLike) -> Floats:
    """Area under the risk-coverage curve: the mean risk over predicting the most confident 1, 2, ..., N rows.

    Parameters
    ----------
    confidence : array_like of float, shape (N,)
        Highest probability of each row.
    wrong : array_like of bool, shape (N,)
        Whether the row is misclassified.

    Returns
    -------
    ndarray of float64, shape ()
        From 0 to 1; for an uninformative confidence it is the error rate.

    References
    ----------
    Geifman et al. 2019, arXiv 1805.08206.

    Examples
    --------
    >>> float(aurc([0.9, 0.8], wrong=[0, 1]))
    0.25
    """
    return np.asarray(_curve(confidence, wrong, [1.0])[1])


class RiskCoverage:
    """Selective risks and AURC of rows sorted by falling confidence, under weights of their groups.

    Parameters
    ----------
    confidence : ndarray of float64, shape (N,)
        Falling.
    wrong : ndarray of bool, shape (N,)
        Whether the row is misclassified.
    groups : ndarray of int64, shape (N,)
        Group of each row.
    at : ndarray of float64, shape (M,)
        Coverages, above 0 and at most 1.
    most : int
        Largest weighted number of rows that occurs.

    Notes
    -----
    The risks of predicting 1, 2, ..., N rows sum to H(N) - H(p - 1) for each error, the p-th row, with H the harmonic
    numbers; for an error in a run of equal confidences the mean over the run is taken.

    Examples
    --------
    >>> confidence, wrong = np.array([0.9, 0.8]), np.array([False, True])
    >>> curve = RiskCoverage(confidence, wrong, np.array([0, 1]), np.array([0.5, 1.0]), most=2)
    >>> risks, area = curve(np.array([1, 1]))
    >>> risks, round(area, 3)
    (array([0. , 0.5]), 0.25)
    """

    def __init__(
        self, confidence: Floats, wrong: NDArray[np.bool_], groups: NDArray[np.int64], at: Floats, most: int
    ) -> None:
        starts = np.concatenate([[0], np.flatnonzero(confidence[1:] != confidence[:-1]) + 1])
        self._edges = np.append(starts, len(confidence))  # of the runs, in rows
        self._error_edges = np.concatenate([[0], np.cumsum(wrong)])[self._edges]  # and in errors
        self._erring = np.flatnonzero(np.diff(self._error_edges))
        self._groups, self._error_groups, self._at = groups, groups[wrong], at
        self._harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, most + 1))])
        self._summed = np.concatenate([[0.0], np.cumsum(self._harmonic)])
        self._rows = np.zeros(len(confidence) + 1, np.int64)
        self._errors = np.zeros(int(wrong.sum()) + 1, np.int64)

    def __call__(self, weights: ArrayLike) -> tuple[Floats, float]:
        """Compute the curve under one weighting.

        Parameters
        ----------
        weights : array_like of int, shape (G,)
            How often each group is drawn.

        Returns
        -------
        risks : ndarray of float64, shape (M,)
        area : float
        """
        times = np.asarray(weights).astype(np.int64)
        np.cumsum(times.take(self._groups), out=self._rows[1:])
        np.cumsum(times.take(self._error_groups), out=self._errors[1:])
        total = self._rows[-1]
        before, inside, _, errors = self._runs(self._erring)
        passed = (self._summed[before + inside] - self._summed[before]) / np.maximum(inside, 1)
        area = float((errors * (self._harmonic[total] - passed)).sum() / total)
        target = self._at * total
        row = np.minimum(np.searchsorted(self._rows[1:], target - 1e-9 * total), len(self._rows) - 2)
        before, inside, earlier, errors = self._runs(np.searchsorted(self._edges, row, side="right") - 1)
        return (earlier + (target - before) * errors / np.maximum(inside, 1)) / target, area

    def _runs(self, at: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        """Of these runs: rows before, rows inside, errors before, errors inside."""
        first, first_error = self._rows.take(self._edges[at]), self._errors.take(self._error_edges[at])
        inside = self._rows.take(self._edges[at + 1]) - first
        return first, inside, first_error, self._errors.take(self._error_edges[at + 1]) - first_error


def _curve(confidence: ArrayLike, wrong: ArrayLike, at: ArrayLike) -> tuple[Floats, float]:
    values, errors = np.asarray(confidence, np.float64), np.asarray(wrong, bool)
    order = np.argsort(-values, kind="stable")
    n = len(values)
    curve = RiskCoverage(values[order], errors[order], np.arange(n)[order], np.asarray(at, np.float64), n)
    return curve(np.ones(n))
