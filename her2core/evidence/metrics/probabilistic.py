"""Metrics of probabilities: log-likelihood, Brier score and its decomposition, calibration errors.

The binned metrics take sums per bin, ``(..., bins, 5)``: rows, and the sums of p, y, p squared and p y, with p the
predicted probability and y the outcome (0 or 1). So they too are computed for all resamples at once; ``bin_sums`` makes
them for one set of rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2core.errors import EvaluationError
from her2core.evidence.metrics.arrays import ratio
from her2core.evidence.metrics.metric import Floats

#: A probability of zero is replaced by this, as in scikit-learn: its logarithm is not finite.
SMALLEST = float(np.finfo(np.float64).eps)


def negative_log_likelihood(probs: ArrayLike, *, labels: ArrayLike) -> Floats:
    r"""Negative log-likelihood of each row, in nats; the metric is the mean.

    .. math:: -\log p_{n, y_n}

    Parameters
    ----------
    probs : array_like of float, shape (N, K)
        Probability of each class.
    labels : array_like of int, shape (N,)
        True class of each row.

    Returns
    -------
    ndarray of float64, shape (N,)
        At least 0; a probability of 0 for the true class is taken as ``SMALLEST``.

    Raises
    ------
    EvaluationError
        For arrays whose lengths do not match.

    References
    ----------
    Gneiting & Raftery 2007, doi 10.1198/016214506000001437.

    Examples
    --------
    >>> negative_log_likelihood([[0.9, 0.1], [0.5, 0.5]], labels=[0, 1]).round(3)
    array([0.105, 0.693])
    """
    values, truth = _checked(probs, labels)
    return -np.log(np.clip(values[np.arange(len(truth)), truth], SMALLEST, 1))


def expected_calibration_error(probs: ArrayLike, *, labels: ArrayLike, bins: int = 15) -> float:
    r"""Expected calibration error of the predicted class over bins of equal width.

    .. math:: \text{ECE} = \sum_b \frac{n_b}{N} \lvert \text{accuracy}_b - \text{confidence}_b \rvert

    Parameters
    ----------
    probs : array_like of float, shape (N, K)
        Probability of each class.
    labels : array_like of int, shape (N,)
        True class of each row.
    bins : int
        Number of bins between 0 and 1.

    Returns
    -------
    float
        From 0 to 1; NaN without rows.

    Raises
    ------
    EvaluationError
        For arrays whose lengths do not match, or fewer than one bin.

    References
    ----------
    Naeini et al. 2015, doi 10.1609/aaai.v29i1.9602; Guo et al. 2017, arXiv 1706.04599.

    Examples
    --------
    >>> probs = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]
    >>> round(expected_calibration_error(probs, labels=[0, 1, 1, 1]), 3)
    0.325
    """
    values, truth = _checked(probs, labels)
    confidence, right = values.max(axis=1), values.argmax(axis=1) == truth
    return float(calibration_error(bin_sums(confidence, outcome=right, bin_index=equal_width_bins(confidence, bins))))


def equal_width_bins(probability: ArrayLike, bins: int) -> NDArray[np.int64]:
    """Bins of equal width between 0 and 1, closed on the right, as torchmetrics has them.

    Parameters
    ----------
    probability : array_like of float, shape (N,)
        From 0 to 1.
    bins : int
        Number of bins.

    Returns
    -------
    ndarray of int64, shape (N,)
        Bin of each row, 0 to ``bins`` - 1.

    Raises
    ------
    EvaluationError
        For fewer than one bin.

    Examples
    --------
    >>> equal_width_bins([0.0, 0.1, 0.11, 1.0], 10)
    array([0, 0, 1, 9])
    """
    check_bins(bins)
    return np.clip(np.ceil(np.asarray(probability, np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)


def equal_mass_bins(probability: ArrayLike, bins: int) -> NDArray[np.int64]:
    """Bins of about as many rows each, equal probabilities in one bin.

    Parameters
    ----------
    probability : array_like of float, shape (N,)
        From 0 to 1.
    bins : int
        Number of bins; fewer are made where many probabilities are equal.

    Returns
    -------
    ndarray of int64, shape (N,)
        Bin of each row, from 0 without gaps.

    Raises
    ------
    EvaluationError
        For fewer than one bin.

    References
    ----------
    Nguyen & O'Connor 2015, doi 10.18653/v1/D15-1182.

    Examples
    --------
    >>> equal_mass_bins([0.1, 0.2, 0.2, 0.9], 2)
    array([0, 0, 0, 1])
    """
    check_bins(bins)
    values = np.asarray(probability, np.float64)
    _, inverse, times = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(times) - times
    return np.unique(below * bins // max(len(values), 1), return_inverse=True)[1][inverse]


def bin_sums(probability: ArrayLike, *, outcome: ArrayLike, bin_index: ArrayLike) -> Floats:
    """Sums per bin from which the calibration errors and the parts of the Brier score follow.

    Parameters
    ----------
    probability : array_like of float, shape (N,)
        Predicted probability p.
    outcome : array_like, shape (N,)
        Whether the predicted event occurred, y: 0 or 1.
    bin_index : array_like of int, shape (N,)
        Bin of each row.

    Returns
    -------
    ndarray of float64, shape (bins, 5)
        Rows, and sums of p, y, p squared and p y.

    Examples
    --------
    >>> bin_sums([0.25, 0.5, 1.0], outcome=[0, 1, 1], bin_index=[0, 0, 1])
    array([[2.    , 0.75  , 1.    , 0.3125, 0.5   ],
           [1.    , 1.    , 1.    , 1.    , 1.    ]])
    """
    p, y = np.asarray(probability, np.float64), np.asarray(outcome, np.float64)
    where = np.asarray(bin_index, np.int64)
    return np.stack([np.bincount(where, v) for v in (np.ones(len(p)), p, y, p**2, p * y)], axis=-1)


def calibration_error(sums: Floats) -> Floats:
    r"""Calibration error: mean absolute distance of mean probability and observed frequency of a bin, by rows.

    Parameters
    ----------
    sums : ndarray of float64, shape (..., bins, 5)
        As ``bin_sums`` gives them.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; NaN without rows.

    References
    ----------
    Naeini et al. 2015, doi 10.1609/aaai.v29i1.9602.

    Examples
    --------
    >>> float(calibration_error(bin_sums([0.25, 0.75], outcome=[0, 1], bin_index=[0, 1])))
    0.25
    """
    return ratio(np.abs(sums[..., 1] - sums[..., 2]).sum(-1), sums[..., 0].sum(-1))


def observed_frequency(sums: Floats) -> Floats:
    """Observed frequency of the event in each bin.

    Parameters
    ----------
    sums : ndarray of float64, shape (..., bins, 5)
        As ``bin_sums`` gives them.

    Returns
    -------
    ndarray of float64, shape (..., bins)
        From 0 to 1; NaN for an empty bin.

    Examples
    --------
    >>> observed_frequency(bin_sums([0.2, 0.3, 0.9], outcome=[0, 1, 1], bin_index=[0, 0, 1]))
    array([0.5, 1. ])
    """
    return ratio(sums[..., 2], sums[..., 0])


def check_bins(bins: int) -> None:
    """Refuse a number of bins below one.

    Parameters
    ----------
    bins : int

    Raises
    ------
    EvaluationError
    """
    if bins < 1:
        raise EvaluationError("argument `bins` to be at least 1", got=str(bins), fix="Use 10, for example.")


def _checked(probs: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    values, truth = np.asarray(probs, np.float64), np.asarray(labels, np.int64)
    if values.ndim != 2 or truth.shape != values.shape[:1]:
        raise EvaluationError(
            "argument `probs` of shape (N, K) and `labels` of shape (N,)",
            got=f"shapes {values.shape} and {truth.shape}",
            fix="Give one row of probabilities and one label for each row.",
        )
    return values, truth
