"""Are the probabilities worth their number? Scores and labels in; a temperature and calibration errors out.

Temperature scaling: Guo et al. 2017 (arXiv 1706.04599), fitted on validation patches only.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from her2core.errors import EvaluationError

#: Beyond these the fit has run away (one class, or no error at all on validation) and the bound is reported as it is.
TEMPERATURE_RANGE = (0.05, 20.0)


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Scores float (N, K) -> calibrated probabilities float64 (N, K)."""
    return softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def fit_temperature(logits: np.ndarray, *, labels: np.ndarray) -> float:
    """The temperature with the smallest negative log-likelihood; float (N, K) scores and int (N,) labels.

    Raises EvaluationError when there is no row or a score is not finite.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if not len(logits) or not np.isfinite(logits).all():
        raise EvaluationError(
            "finite scores of at least one validation patch",
            got=f"{len(logits)} rows" if not len(logits) else "NaN or infinity",
            where="temperature scaling",
            fix="Check the validation part of the split and that training did not diverge.",
        )

    def loss(log_t: float) -> float:
        z = logits / np.exp(log_t)
        return float(np.mean(logsumexp(z, axis=1) - z[np.arange(len(z)), labels]))

    low, high = np.log(TEMPERATURE_RANGE)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def expected_calibration_error(probs: np.ndarray, *, labels: np.ndarray, bins: int = 15) -> float:
    """ECE of the top class over equal-width bins (Naeini et al. 2015; as torchmetrics' MulticlassCalibrationError)."""
    confidence, hit = probs.max(axis=1), probs.argmax(axis=1) == labels
    where = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(where, weights=confidence - hit, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
