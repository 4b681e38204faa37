"""Variance of an estimate: over other clusters, and over other trainings.

Where a claim is about an architecture, patients and seeds are both left out one by one (a two-way delete-one jackknife)
and the two variances are added. Patients enter every run, so that the share of the seeds holds a part of that of the
patients: the sum errs on the safe side, as the bootstrap of both does (Owen 2007, doi 10.1214/07-AOAS122).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from her2core.evidence.intervals import LEVEL
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.sample_size import OfClasses, effective_clusters


@dataclass(frozen=True)
class Variance:
    """Variance of an estimate, and the degrees of freedom with which it is known.

    Parameters
    ----------
    value : float
        Squared standard error; NaN where it cannot be estimated.
    degrees : float
        At least 1.

    Examples
    --------
    >>> Variance(0.01, 4.0) + Variance(0.01, 4.0)
    Variance(value=0.02, degrees=8.0)
    """

    value: float
    degrees: float

    def __add__(self, other: Variance) -> Variance:
        """Variance of a sum of independent errors, with Satterthwaite's degrees of freedom (doi 10.2307/3002019)."""
        value = self.value + other.value
        spread = self.value**2 / self.degrees + other.value**2 / other.degrees
        return Variance(value, value**2 / spread if spread > 0 else max(self.degrees, other.degrees))


def variance_over_clusters(jackknife: Floats) -> Variance:
    """Variance of an estimate over other clusters.

    Parameters
    ----------
    jackknife : ndarray of float64, shape (J,)
        The estimate with one cluster after another left out.

    Returns
    -------
    Variance
        NaN where the estimate is undefined without one of them.

    Examples
    --------
    >>> found = variance_over_clusters(np.array([0.4, 0.5, 0.6, 0.5]))
    >>> round(found.value, 3), found.degrees
    (0.015, 1.0)
    """
    if not np.isfinite(jackknife).all() or len(jackknife) < 2:
        return Variance(np.nan, 1.0)
    value = float((len(jackknife) - 1) * jackknife.var())
    degrees = min(effective_clusters(float(jackknife.mean()), jackknife), len(jackknife)) - 1
    return Variance(value, max(1.0, degrees))


def variance_unseen(change: Floats, effective: float, one: OfClasses | None, two: OfClasses | None) -> Variance:
    """Variance of a difference of proportions that a jackknife cannot see.

    Where all patients of a class, or of a whole, differ alike (or none does), leaving one out changes nothing, and the
    difference seems to be known exactly, however few they are. It counts with the width of Wilson's interval of none
    among so many.

    Parameters
    ----------
    change : ndarray of float64, shape (J,)
        The difference with one cluster after another left out.
    effective : float
        Effective number of clusters.
    one, two : OfClasses or None
        Of the two metrics, where they are means over classes.

    Returns
    -------
    Variance
        0 where every class varies.

    References
    ----------
    Wilson 1927, doi 10.1080/01621459.1927.10502953; Satterthwaite 1946, doi 10.2307/3002019.

    Examples
    --------
    >>> found = variance_unseen(np.zeros(3), 3.0, None, None)
    >>> round(found.value, 4), found.degrees
    (0.0821, 2.0)
    """
    columns, sizes = change[:, None], np.array([effective])
    if one is not None and two is not None:
        columns, sizes = two.jackknife - one.jackknife, np.minimum(one.effective, two.effective)
    held = np.isfinite(columns).all(axis=0)
    z, found = float(ndtri((1 + LEVEL) / 2)), Variance(0.0, np.inf)
    for column, n in zip(columns.T[held], sizes[held], strict=True):
        if np.ptp(column) < 1e-12:
            found += Variance(float(z / (n + z**2) / held.sum()) ** 2, max(1.0, float(n) - 1))
    return found


def variance_over_seeds(values: Floats) -> Variance:
    """Variance of the mean of several trainings.

    Parameters
    ----------
    values : ndarray of float64, shape (S,)
        One value per seed.

    Returns
    -------
    Variance
        NaN for a single seed.

    Examples
    --------
    >>> found = variance_over_seeds(np.array([0.7, 0.8, 0.9]))
    >>> round(found.value, 4), found.degrees
    (0.0033, 2)
    """
    seeds = len(values)
    return Variance(float(values.var(ddof=1) / seeds), seeds - 1) if seeds > 1 else Variance(np.nan, 1.0)
