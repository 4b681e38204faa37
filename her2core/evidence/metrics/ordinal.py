"""Agreement of ordered classes: Cohen's kappa with quadratic weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from her2core.evidence.metrics.arrays import as_counts, ratio
from her2core.evidence.metrics.metric import Floats


def quadratic_kappa(matrix: ArrayLike) -> Floats:
    r"""Cohen's kappa with quadratic weights.

    One minus the mean squared distance between true and predicted class, over that expected by chance:

    .. math:: \kappa = 1 - \frac{\sum_{ij} (i - j)^2 C_{ij}}{\sum_{ij} (i - j)^2 t_i p_j / s}

    with :math:`t_i` rows of true class :math:`i`, :math:`p_j` rows of predicted class :math:`j`, :math:`s` rows in all.

    Parameters
    ----------
    matrix : array_like, shape (..., K, K)
        Confusion matrices, classes in their clinical order.

    Returns
    -------
    ndarray of float64, shape (...)
        From -1 to 1; 0 is agreement by chance. NaN where one class is all that is true and predicted.

    Raises
    ------
    EvaluationError
        For matrices that are not square.

    References
    ----------
    Cohen 1968, doi 10.1037/h0026256.

    Examples
    --------
    An error of two steps costs four times an error of one:

    >>> one_step = [[8, 2, 0], [0, 10, 0], [0, 0, 10]]
    >>> two_steps = [[8, 0, 2], [0, 10, 0], [0, 0, 10]]
    >>> round(float(quadratic_kappa(one_step)), 3), round(float(quadratic_kappa(two_steps)), 3)
    (0.947, 0.8)
    """
    counts = as_counts(matrix)
    position = np.arange(counts.shape[-1])
    distance = (position[:, None] - position) ** 2
    by_chance = counts.sum(-1)[..., :, None] * counts.sum(-2)[..., None, :]
    observed = (distance * counts).sum((-2, -1)) * counts.sum((-2, -1))
    return 1 - ratio(observed, (distance * by_chance).sum((-2, -1)))
