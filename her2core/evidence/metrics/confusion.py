"""Classification metrics over all classes from a confusion matrix.

Every function takes counts ``(..., K, K)``, rows true class and columns predicted class, and so computes the metric of
a stack of bootstrap resamples at once; the plain estimate is a stack of none. A matrix without rows gives NaN, never 0;
macro averages are over the classes that have cases.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2core.errors import EvaluationError
from her2core.evidence.metrics.arrays import as_counts, diagonal, mean_where, ratio
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.metrics.per_class import f1, recall


def confusion_matrix(labels: ArrayLike, *, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count the rows of each true and predicted class.

    Parameters
    ----------
    labels, predicted : array_like of int, shape (N,)
        True and predicted class of each row, 0 to ``classes`` - 1.
    classes : int
        Number of classes K.

    Returns
    -------
    ndarray of int64, shape (K, K)
        Rows true class, columns predicted class.

    Raises
    ------
    EvaluationError
        For arrays of different lengths or a class out of range.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1, 2], predicted=[0, 1, 1, 2], classes=3)
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 0, 1]])
    """
    labels, predicted = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    if labels.shape != predicted.shape or labels.ndim != 1:
        raise EvaluationError(
            "arguments `labels` and `predicted` to have one shape (N,)",
            got=f"{labels.shape} and {predicted.shape}",
            fix="Give one true and one predicted class for each row.",
        )
    if len(labels) and not 0 <= min(labels.min(), predicted.min()) <= max(labels.max(), predicted.max()) < classes:
        raise EvaluationError(
            f"classes from 0 to {classes - 1}",
            got=f"{min(labels.min(), predicted.min())} to {max(labels.max(), predicted.max())}",
            fix="Give each class as its position in the list of classes.",
        )
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def accuracy(matrix: ArrayLike) -> Floats:
    r"""Proportion of rows whose predicted class is the true class.

    .. math:: \text{accuracy} = \frac{\sum_k C_{kk}}{\sum_{ij} C_{ij}}

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; NaN for a matrix without rows.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Sokolova & Lapalme 2009, doi 10.1016/j.ipm.2009.03.002.

    Examples
    --------
    >>> float(accuracy([[8, 2], [1, 9]]))
    0.85
    """
    counts = as_counts(matrix)
    return ratio(diagonal(counts).sum(-1), counts.sum((-2, -1)))


def balanced_accuracy(matrix: ArrayLike) -> Floats:
    r"""Mean recall of the classes that have cases.

    .. math:: \frac{1}{|P|} \sum_{k \in P} \frac{C_{kk}}{\sum_j C_{kj}}, \quad P = \{k : \sum_j C_{kj} > 0\}

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; NaN for a matrix without rows.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Brodersen et al. 2010, doi 10.1109/ICPR.2010.764.

    Examples
    --------
    >>> float(balanced_accuracy([[90, 0], [5, 5]]))
    0.75
    """
    counts = as_counts(matrix)
    return mean_where(recall(counts), counts.sum(-1) > 0)


def macro_f1(matrix: ArrayLike) -> Floats:
    """Mean F1 of the classes that have cases.

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; NaN for a matrix without rows.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Sokolova & Lapalme 2009, doi 10.1016/j.ipm.2009.03.002.

    Examples
    --------
    >>> round(float(macro_f1([[8, 2], [1, 9]])), 4)
    0.8496
    """
    counts = as_counts(matrix)
    return mean_where(f1(counts), counts.sum(-1) > 0)


def matthews_correlation(matrix: ArrayLike) -> Floats:
    r"""Matthews correlation coefficient of several classes.

    .. math:: \frac{c\,s - \sum_k t_k p_k}{\sqrt{(s^2 - \sum_k t_k^2)(s^2 - \sum_k p_k^2)}}

    with :math:`c` rows right, :math:`s` rows in all, and :math:`t_k`, :math:`p_k` rows of true and predicted class
    :math:`k`.

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (...)
        From -1 to 1. NaN, unlike scikit-learn's 0, where only one class is true or only one is predicted: a constant
        has no correlation.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Gorodkin 2004, doi 10.1016/j.compbiolchem.2004.09.006.

    Examples
    --------
    >>> round(float(matthews_correlation([[8, 2], [1, 9]])), 4)
    0.7035
    """
    counts = as_counts(matrix)
    true, predicted, total = counts.sum(-1), counts.sum(-2), counts.sum((-2, -1))
    spread = [total**2 - (side**2).sum(-1) for side in (true, predicted)]
    covariance = diagonal(counts).sum(-1) * total - (true * predicted).sum(-1)
    return ratio(covariance, np.sqrt(spread[0] * spread[1]))
