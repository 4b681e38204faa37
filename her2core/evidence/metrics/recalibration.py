r"""Calibration slope and intercept: logistic recalibration of a class's probabilities.

The outcome is regressed on the log-odds of the predicted probability, ``logit P(y = 1) = a + b logit p`` (Cox 1958, doi
10.1093/biomet/45.3-4.562): slope b and intercept a are 1 and 0 for calibrated probabilities, and a slope below 1 means
overconfidence. The intercept at slope 1 is "calibration in the large" (Van Calster et al. 2019, doi
10.1186/s12916-019-1466-7).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from her2core.evidence.metrics.metric import Floats

#: How near to 0 and 1 a probability may come before its log-odds are taken.
EDGE = 1e-12


def log_odds(probability: ArrayLike) -> Floats:
    """Log-odds of probabilities, kept ``EDGE`` away from 0 and 1.

    Parameters
    ----------
    probability : array_like of float
        From 0 to 1.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> log_odds([0.5, 0.9]).round(3)
    array([0.   , 2.197])
    """
    clipped = np.clip(np.asarray(probability, np.float64), EDGE, 1 - EDGE)
    return np.log(clipped) - np.log1p(-clipped)


def calibration_slope(probability: ArrayLike, *, outcome: ArrayLike) -> Floats:
    """Slope of the logistic recalibration; 1 is calibrated, less is overconfident.

    Parameters
    ----------
    probability : array_like of float, shape (N,)
        Predicted probability of the event.
    outcome : array_like, shape (N,)
        Whether it occurred: 0 or 1.

    Returns
    -------
    ndarray of float64, shape ()
        NaN where the outcome is constant or separated by the probability.

    References
    ----------
    Cox 1958, doi 10.1093/biomet/45.3-4.562.

    Examples
    --------
    >>> float(calibration_slope([0.1, 0.1, 0.9, 0.9], outcome=[0, 1, 0, 1]).round(6))
    0.0
    """
    return _of_rows(probability, outcome)[0]


def calibration_intercept(probability: ArrayLike, *, outcome: ArrayLike) -> Floats:
    """Intercept of the logistic recalibration; 0 is calibrated.

    Parameters
    ----------
    probability : array_like of float, shape (N,)
        Predicted probability of the event.
    outcome : array_like, shape (N,)
        Whether it occurred: 0 or 1.

    Returns
    -------
    ndarray of float64, shape ()
        NaN where the outcome is constant or separated by the probability.

    References
    ----------
    Cox 1958, doi 10.1093/biomet/45.3-4.562.

    Examples
    --------
    >>> probability, outcome = [0.2, 0.2, 0.2, 0.8, 0.8, 0.8], [0, 0, 1, 0, 1, 1]
    >>> float(calibration_intercept(probability, outcome=outcome).round(6))
    0.0
    """
    return _of_rows(probability, outcome)[1]


def calibration_in_the_large(probability: ArrayLike, *, outcome: ArrayLike) -> Floats:
    """Intercept at slope 1: above 0 the event is more frequent than predicted.

    Parameters
    ----------
    probability : array_like of float, shape (N,)
        Predicted probability of the event.
    outcome : array_like, shape (N,)
        Whether it occurred: 0 or 1.

    Returns
    -------
    ndarray of float64, shape ()
        NaN where the outcome is constant.

    References
    ----------
    Van Calster et al. 2019, doi 10.1186/s12916-019-1466-7.

    Examples
    --------
    >>> float(calibration_in_the_large([0.5, 0.5, 0.5, 0.5], outcome=[1, 1, 1, 0]).round(4))
    1.0986
    """
    return _of_rows(probability, outcome)[2]


def recalibrate(odds: Floats, *, up: Floats, down: Floats) -> tuple[Floats, Floats, Floats]:
    """Fit B logistic recalibrations without penalty at once.

    Parameters
    ----------
    odds : ndarray of float64, shape (M,)
        Distinct log-odds, rising.
    up, down : ndarray of float64, shape (B, M)
        Rows with and without the event at each of them.

    Returns
    -------
    slope, intercept, intercept at slope 1 : ndarray of float64, shape (B,)
        NaN where no finite maximum exists: no event or nothing else, or (slope and intercept) no overlap of the two.

    References
    ----------
    Cox 1958, doi 10.1093/biomet/45.3-4.562.

    Examples
    --------
    >>> odds, up, down = np.array([-1.0, 1.0]), np.array([[1.0, 3.0]]), np.array([[3.0, 1.0]])
    >>> [round(float(v[0]), 4) + 0.0 for v in recalibrate(odds, up=up, down=down)]
    [1.0986, 0.0, 0.0]
    """
    up, down = np.atleast_2d(up), np.atleast_2d(down)
    both = (up.sum(1) > 0) & (down.sum(1) > 0)
    first_up, first_down = (np.argmax(side > 0, axis=1) for side in (up, down))
    last_up, last_down = (len(odds) - 1 - np.argmax(side[:, ::-1] > 0, axis=1) for side in (up, down))
    overlap = both & (last_up > first_down) & (last_down > first_up)
    slope, intercept, large = np.full((3, len(up)), np.nan)
    if overlap.any():
        total = (up + down).sum(0)
        centre = np.average(odds, weights=total)
        spread = np.sqrt(np.average((odds - centre) ** 2, weights=total))
        constant, steep = _newton((odds - centre) / spread, up[overlap], down[overlap], fixed=False)
        slope[overlap], intercept[overlap] = steep / spread, constant - steep / spread * centre
    if both.any():
        large[both] = _newton(odds, up[both], down[both], fixed=True)[0]
    return slope, intercept, large


def _of_rows(probability: ArrayLike, outcome: ArrayLike) -> tuple[Floats, Floats, Floats]:
    steps, at = np.unique(log_odds(probability), return_inverse=True)
    occurred = np.asarray(outcome, np.float64)
    up, down = (np.bincount(at, v, minlength=len(steps)).astype(np.float64) for v in (occurred, 1 - occurred))
    slope, intercept, large = recalibrate(steps, up=up, down=down)
    return slope[0], intercept[0], large[0]


def _newton(z: Floats, up: Floats, down: Floats, *, fixed: bool) -> Floats:
    """(2, B): the most likely constant and slope on ``z`` (``fixed``: slope 1); a step for the worse is halved."""
    total = up + down
    found = np.stack([np.zeros(len(up)), np.full(len(up), float(fixed))])

    def loss(at: Floats) -> Floats:
        linear = at[0][:, None] + at[1][:, None] * z
        return (total * np.logaddexp(0, linear) - up * linear).sum(1)

    at, before, pace, going = found, loss(found), np.ones(len(up)), np.arange(len(up))
    for _ in range(200):
        fitted = expit(at[0][:, None] + at[1][:, None] * z)
        off, spread = up - total * fitted, total * fitted * (1 - fitted)
        g0, h0 = off.sum(1), spread.sum(1)
        if fixed:
            step = np.stack([g0 / np.maximum(h0, 1e-300), np.zeros(len(g0))])
        else:
            g1, h1, h2 = off @ z, spread @ z, spread @ z**2
            step = np.stack([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0]) / np.maximum(h0 * h2 - h1**2, 1e-300)
        step *= np.minimum(1, 5 / np.maximum(np.abs(step).max(0), 1e-300))  # no leap where the likelihood is flat
        tried = at + pace * step
        after = loss(tried)
        better = after <= before + 1e-12 * np.abs(before)
        at, before, pace = np.where(better, tried, at), np.where(better, after, before), np.where(better, 1, pace / 2)
        found[:, going] = at
        on = (np.abs(step) >= 1e-9 * (1 + np.abs(at))).any(0)  # those that still move; most converge early
        if not on.any():
            break
        at, before, pace, going, up, total = at[:, on], before[on], pace[on], going[on], up[on], total[on]
    return found
