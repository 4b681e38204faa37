"""Classification metrics of each class from a confusion matrix.

Every function takes counts ``(..., K, K)``, rows true class and columns predicted class, and gives ``(..., K)``: of a
stack of bootstrap resamples at once. A ratio without denominator (a class without a case, or never predicted) is NaN,
never 0.

"Class-specific accuracy" is ambiguous in the literature: ``recall`` is the proportion of a class that is found,
``one_vs_rest_accuracy`` the proportion of all rows that are right about the class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from her2core.evidence.metrics.arrays import as_counts, diagonal, ratio
from her2core.evidence.metrics.metric import Floats


def recall(matrix: ArrayLike) -> Floats:
    r"""Recall (sensitivity) of each class: the proportion of its cases that are predicted as it.

    .. math:: \text{recall}_k = \frac{C_{kk}}{\sum_j C_{kj}}

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)
        From 0 to 1; NaN for a class without a case.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Altman & Bland 1994, doi 10.1136/bmj.308.6943.1552.

    Examples
    --------
    >>> recall([[8, 2], [1, 9]])
    array([0.8, 0.9])
    """
    counts = as_counts(matrix)
    return ratio(diagonal(counts), counts.sum(-1))


def specificity(matrix: ArrayLike) -> Floats:
    r"""Specificity of each class: the proportion of the other cases that are not predicted as it.

    .. math:: \text{specificity}_k = \frac{\sum_{i \ne k} \sum_{j \ne k} C_{ij}}{\sum_{i \ne k} \sum_j C_{ij}}

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)
        From 0 to 1; NaN for a class that all cases have.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Altman & Bland 1994, doi 10.1136/bmj.308.6943.1552.

    Examples
    --------
    >>> specificity([[8, 2], [1, 9]])
    array([0.9, 0.8])
    """
    counts = as_counts(matrix)
    true, predicted, total = counts.sum(-1), counts.sum(-2), counts.sum((-2, -1))[..., None]
    return ratio(total - true - predicted + diagonal(counts), total - true)


def precision(matrix: ArrayLike) -> Floats:
    r"""Precision (positive predictive value) of each class: the proportion of its predictions that are right.

    .. math:: \text{precision}_k = \frac{C_{kk}}{\sum_i C_{ik}}

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)
        From 0 to 1; NaN for a class that is never predicted.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Altman & Bland 1994, doi 10.1136/bmj.309.6947.102.

    Examples
    --------
    >>> precision([[8, 2], [0, 10]]).round(3)
    array([1.   , 0.833])
    """
    counts = as_counts(matrix)
    return ratio(diagonal(counts), counts.sum(-2))


def negative_predictive_value(matrix: ArrayLike) -> Floats:
    r"""Negative predictive value of each class: of the rows not predicted as it, the proportion that are not it.

    .. math:: \text{NPV}_k = \frac{\sum_{i \ne k} \sum_{j \ne k} C_{ij}}{\sum_i \sum_{j \ne k} C_{ij}}

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)
        From 0 to 1; NaN for a class that every row is predicted as.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Altman & Bland 1994, doi 10.1136/bmj.309.6947.102.

    Examples
    --------
    >>> negative_predictive_value([[8, 2], [0, 10]]).round(3)
    array([0.833, 1.   ])
    """
    counts = as_counts(matrix)
    true, predicted, total = counts.sum(-1), counts.sum(-2), counts.sum((-2, -1))[..., None]
    return ratio(total - true - predicted + diagonal(counts), total - predicted)


def f1(matrix: ArrayLike) -> Floats:
    r"""F1 of each class: the harmonic mean of precision and recall.

    .. math:: F_{1,k} = \frac{2 C_{kk}}{\sum_j C_{kj} + \sum_i C_{ik}}

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)
        From 0 to 1; 0 for a class with cases that is never predicted, NaN for a class without a case.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Sokolova & Lapalme 2009, doi 10.1016/j.ipm.2009.03.002.

    Examples
    --------
    >>> f1([[8, 2], [1, 9]]).round(3)
    array([0.842, 0.857])
    """
    counts = as_counts(matrix)
    true, predicted = counts.sum(-1), counts.sum(-2)
    return np.where(true > 0, ratio(2 * diagonal(counts), true + predicted), np.nan)


def one_vs_rest_accuracy(matrix: ArrayLike) -> Floats:
    r"""Accuracy of each class against the rest: the proportion of rows that are right about the class.

    .. math:: \frac{C_{kk} + \sum_{i \ne k} \sum_{j \ne k} C_{ij}}{\sum_{ij} C_{ij}}

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K)
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
    >>> one_vs_rest_accuracy([[5, 1, 0], [0, 2, 0], [0, 0, 2]])
    array([0.9, 0.9, 1. ])
    """
    counts = as_counts(matrix)
    true, predicted, total = counts.sum(-1), counts.sum(-2), counts.sum((-2, -1))[..., None]
    return ratio(total - true - predicted + 2 * diagonal(counts), total)
