"""Sample sizes behind an estimate: rows, clusters, and the effective number of clusters.

Clusters of unequal size tell less than as many equal ones. Kish's effective number weighs them by their rows; the
degrees of freedom of a variance estimated from them shrink further, by Satterthwaite's approximation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from her2core.evidence.metrics.metric import Floats
from her2core.evidence.resampling import Clusters


@dataclass(frozen=True)
class SampleSize:
    """What an estimate rests on.

    Parameters
    ----------
    rows : int
        Rows in the denominator.
    clusters : int
        Clusters that have such rows; for a mean over classes, those of the rarest class.
    effective : float
        Kish's effective number of clusters; for a mean over classes, the number of equal clusters, equally shared
        among the classes, that would make a mean as precise.
    degrees : float
        Degrees of freedom of a variance estimated from clusters of these sizes.
    independent : bool
        Whether every row is a cluster of its own.
    binomial : bool
        Whether the estimate is a proportion of the rows.
    unit : str
        What a cluster is, for messages.
    rarest : str
        Class that has the fewest clusters, for messages; empty for all classes.

    References
    ----------
    Kish 1965, Survey Sampling, ISBN 0-471-48900-X; Satterthwaite 1946, doi 10.2307/3002019.
    """

    rows: int
    clusters: int
    effective: float
    degrees: float
    independent: bool
    binomial: bool = True
    unit: str = "patient"
    rarest: str = ""


class OfClasses(NamedTuple):
    """Values of the classes whose mean a metric is.

    Parameters
    ----------
    value : ndarray of float64, shape (K,)
        NaN for a class without cases.
    jackknife : ndarray of float64, shape (J, K)
        With one cluster after another left out.
    effective : ndarray of float64, shape (K,)
        Kish's effective number of clusters.
    """

    value: Floats
    jackknife: Floats
    effective: Floats


def sample_size(group: Clusters, rows: NDArray[np.bool_], *, of: str = "") -> SampleSize:
    """Sample size of a proportion of some rows.

    Parameters
    ----------
    group : Clusters
    rows : ndarray of bool, shape (N,)
        Rows in the denominator.
    of : str
        Class of these rows, for messages.

    Returns
    -------
    SampleSize

    References
    ----------
    Kish 1965, Survey Sampling, ISBN 0-471-48900-X.

    Examples
    --------
    >>> group = Clusters(np.array([0, 0, 0, 1, 2]), 3, "patient", "")
    >>> found = sample_size(group, np.ones(5, bool))
    >>> found.rows, found.clusters, round(found.effective, 2), found.independent
    (5, 3, 2.27, False)
    """
    sizes = np.bincount(group.codes[rows]).astype(np.float64)
    sizes = sizes[sizes > 0]
    squares = float((sizes**2).sum())
    return SampleSize(
        rows=int(sizes.sum()),
        clusters=len(sizes),
        effective=float(sizes.sum() ** 2 / squares) if len(sizes) else 0.0,
        degrees=float(squares**2 / (sizes**4).sum()) if len(sizes) else 0.0,
        independent=bool(len(sizes) and sizes.max() == 1),
        unit=group.unit,
        rarest=of,
    )


def mean_over_classes(whole: SampleSize, classes: Iterable[SampleSize]) -> SampleSize:
    """Sample size of a metric that weighs the classes equally, or depends on each.

    Parameters
    ----------
    whole : SampleSize
        Of all rows.
    classes : iterable of SampleSize
        Of each class; those without clusters are left out.

    Returns
    -------
    SampleSize

    Examples
    --------
    >>> group = Clusters(np.arange(8), 8, "patient", "")
    >>> common, rare = (sample_size(group, np.arange(8) < 6), sample_size(group, np.arange(8) >= 6, of="positive"))
    >>> found = mean_over_classes(sample_size(group, np.ones(8, bool)), [common, rare])
    >>> found.clusters, found.rarest, round(found.effective, 2)
    (2, 'positive', 6.0)
    """
    held = [size for size in classes if size.clusters]
    if not held:
        return replace(whole, binomial=False)
    rarest = min(held, key=lambda size: size.clusters)
    effective = len(held) ** 2 / sum(1 / size.effective for size in held)
    return replace(whole, clusters=rarest.clusters, effective=effective, binomial=False, rarest=rarest.rarest)


def of_pairs(whole: SampleSize, cases: SampleSize, others: SampleSize) -> SampleSize:
    """Sample size of a ranking metric: as many independent pairs as the rarer of cases and other rows has clusters.

    Parameters
    ----------
    whole, cases, others : SampleSize
        Of all rows, the cases and the others.

    Returns
    -------
    SampleSize

    Examples
    --------
    >>> group = Clusters(np.arange(8), 8, "patient", "")
    >>> whole, cases = sample_size(group, np.ones(8, bool)), sample_size(group, np.arange(8) >= 6, of="positive")
    >>> found = of_pairs(whole, cases, sample_size(group, np.arange(8) < 6, of="other classes"))
    >>> found.clusters, found.rarest
    (2, 'positive')
    """
    rarest = min(cases, others, key=lambda size: size.clusters)
    effective = min(cases.effective, others.effective)
    return replace(whole, clusters=rarest.clusters, effective=effective, binomial=False, rarest=rarest.rarest)


def effective_clusters(value: float, jackknife: Floats) -> float:
    """Effective number of clusters behind an estimate, by Satterthwaite's approximation.

    The variance of the estimate is a sum of squared influences u of the clusters. It is as uncertain as that of
    3 (sum u^2)^2 / sum u^4 equal clusters, and of no more than those whose removal changes the estimate.

    Parameters
    ----------
    value : float
        Estimate from all clusters.
    jackknife : ndarray of float64, shape (J,)
        Estimate with one cluster after another left out.

    Returns
    -------
    float
        At least 2.

    References
    ----------
    Satterthwaite 1946, doi 10.2307/3002019.

    Examples
    --------
    >>> effective_clusters(0.0, np.array([0.1, -0.1, 0.1, -0.1, 0.0]))
    4.0
    """
    influence = jackknife[np.isfinite(jackknife)] - value
    largest = np.abs(influence).max(initial=0.0)
    if not largest:
        return 2.0
    u = influence / largest
    return max(2.0, min(3 * float((u**2).sum() ** 2 / (u**4).sum()), float(np.count_nonzero(np.abs(u) > 1e-9))))
