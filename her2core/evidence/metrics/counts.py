"""Counts of a class against the rest, and the rate at which it is predicted, from a confusion matrix.

Every function takes counts ``(..., K, K)``, rows true class and columns predicted class, and gives ``(..., K)``.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from her2core.evidence.metrics.arrays import as_counts, diagonal, ratio
from her2core.evidence.metrics.metric import Floats


def true_positives(matrix: ArrayLike) -> Floats:
    """Rows of each class that are predicted as it.

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)

    Examples
    --------
    >>> true_positives([[8, 2], [1, 9]])
    array([8., 9.])
    """
    return diagonal(as_counts(matrix))


def false_positives(matrix: ArrayLike) -> Floats:
    """Rows of other classes that are predicted as each class.

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)

    Examples
    --------
    >>> false_positives([[8, 2], [1, 9]])
    array([1., 2.])
    """
    counts = as_counts(matrix)
    return counts.sum(-2) - diagonal(counts)


def false_negatives(matrix: ArrayLike) -> Floats:
    """Rows of each class that are predicted as another.

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)

    Examples
    --------
    >>> false_negatives([[8, 2], [1, 9]])
    array([2., 1.])
    """
    counts = as_counts(matrix)
    return counts.sum(-1) - diagonal(counts)


def true_negatives(matrix: ArrayLike) -> Floats:
    """Rows of other classes that are not predicted as each class.

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)

    Examples
    --------
    >>> true_negatives([[8, 2], [1, 9]])
    array([9., 8.])
    """
    counts = as_counts(matrix)
    return counts.sum((-2, -1))[..., None] - counts.sum(-1) - counts.sum(-2) + diagonal(counts)


def predicted_positive_rate(matrix: ArrayLike) -> Floats:
    r"""Proportion of all rows that are predicted as each class.

    .. math:: \frac{\sum_i C_{ik}}{\sum_{ij} C_{ij}}

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)
        From 0 to 1; NaN for a matrix without rows.

    Examples
    --------
    >>> predicted_positive_rate([[8, 2], [1, 9]])
    array([0.45, 0.55])
    """
    counts = as_counts(matrix)
    return ratio(counts.sum(-2), counts.sum((-2, -1))[..., None])
