"""Temperature scaling: calibrated probabilities from scores, fitted on validation patches only (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from her2core.errors import EvaluationError
from her2core.evidence.metrics.metric import Floats

#: Bounds of the temperature; at a bound the fit has diverged (one class, or no error at all on validation).
TEMPERATURE_RANGE = (0.05, 20.0)


def probabilities(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """Calibrate scores: softmax of scores over temperature.

    Parameters
    ----------
    logits : array_like of float, shape (N, K)
    temperature : float
        Above 0; above 1 makes probabilities less extreme.

    Returns
    -------
    ndarray of float64, shape (N, K)
        Rows sum to one.

    References
    ----------
    Guo et al. 2017, arXiv 1706.04599.

    Examples
    --------
    >>> probabilities([[2.0, 0.0]], temperature=2.0).round(3)
    array([[0.731, 0.269]])
    """
    return softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def fit_temperature(logits: ArrayLike, *, labels: ArrayLike) -> float:
    """Find the temperature with the smallest negative log-likelihood.

    Parameters
    ----------
    logits : array_like of float, shape (N, K)
        Scores of the validation patches.
    labels : array_like of int, shape (N,)
        True class of each.

    Returns
    -------
    float
        Within ``TEMPERATURE_RANGE``.

    Raises
    ------
    EvaluationError
        When there is no row or a score is not finite.

    References
    ----------
    Guo et al. 2017, arXiv 1706.04599.

    Examples
    --------
    >>> logits = [[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]]
    >>> round(fit_temperature(logits, labels=[0, 0, 1, 1]), 2)
    3.64
    """
    scores, truth = np.asarray(logits, np.float64), np.asarray(labels)
    if not len(scores) or not np.isfinite(scores).all():
        raise EvaluationError(
            "finite scores of at least one validation patch",
            got=f"{len(scores)} rows" if not len(scores) else "NaN or infinity",
            where="temperature scaling",
            fix="Check the validation part of the split and that training did not diverge.",
        )

    def loss(log_temperature: float) -> float:
        z = scores / np.exp(log_temperature)
        return float(np.mean(logsumexp(z, axis=1) - z[np.arange(len(z)), truth]))

    low, high = np.log(TEMPERATURE_RANGE)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))
