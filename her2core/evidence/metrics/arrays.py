"""Array helpers of the metrics: checked confusion matrices, ratios and means without a division by zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from her2core.errors import EvaluationError
from her2core.evidence.metrics.metric import Floats


def as_counts(matrix: ArrayLike) -> Floats:
    """Confusion matrices as float64, checked to be square.

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices.

    Returns
    -------
    ndarray of float64, shape (..., K, K)

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    Examples
    --------
    >>> as_counts([[1, 2], [3, 4]]).dtype
    dtype('float64')
    """
    counts = np.asarray(matrix, np.float64)
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2]:
        raise EvaluationError(
            "argument `matrix` to have shape (..., K, K)",
            got=f"shape {counts.shape}",
            fix="Make it with confusion_matrix.",
        )
    return counts


def ratio(top: ArrayLike, bottom: ArrayLike) -> Floats:
    """Elementwise ratio, NaN where the denominator is not positive.

    Parameters
    ----------
    top, bottom : array_like
        Arrays that broadcast together.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> ratio([1, 0], [2, 0])
    array([0.5, nan])
    """
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)


def mean_where(values: ArrayLike, mask: ArrayLike) -> Floats:
    """Mean over the last axis of the values under a mask; NaN where the mask is empty.

    Parameters
    ----------
    values : array_like, shape (..., K)
    mask : array_like of bool, shape (..., K)

    Returns
    -------
    ndarray of float64, shape (...)

    Examples
    --------
    >>> float(mean_where([1.0, 3.0, np.nan], [True, True, False]))
    2.0
    """
    mask = np.asarray(mask, bool)
    return ratio(np.where(mask, values, 0).sum(-1), mask.sum(-1))


def diagonal(counts: Floats) -> Floats:
    """Diagonals of a stack of square matrices.

    Parameters
    ----------
    counts : ndarray of float64, shape (..., K, K)

    Returns
    -------
    ndarray of float64, shape (..., K)

    Examples
    --------
    >>> diagonal(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 4.])
    """
    return np.diagonal(counts, axis1=-2, axis2=-1)
