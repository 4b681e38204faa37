r"""Brier score of a class against the rest, and its decomposition over bins.

brier = reliability - resolution + uncertainty + within-bin term (Murphy 1973, doi
10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2). The last term is zero only where all rows of a bin have one
probability; it is the variance less twice the covariance within bins (Stephenson et al. 2008, doi
10.1175/2007WAF2006116.1), negative where the higher probabilities of a bin are right more often.

Every function takes sums per bin, ``(..., bins, 5)``, as ``probabilistic.bin_sums`` gives them.
"""

from __future__ import annotations

import numpy as np

from her2core.evidence.metrics.arrays import ratio
from her2core.evidence.metrics.metric import Floats


def brier(sums: Floats) -> Floats:
    r"""Brier score: the mean squared distance of probability and outcome.

    .. math:: \frac{1}{N} \sum_n (p_n - y_n)^2

    Parameters
    ----------
    sums : ndarray of float64, shape (..., bins, 5)
        As ``probabilistic.bin_sums`` gives them; the bins do not matter.

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1 for one class; the sum over K classes from 0 to 2. NaN without rows.

    References
    ----------
    Brier 1950, doi 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Examples
    --------
    >>> from her2core.evidence.metrics.probabilistic import bin_sums
    >>> float(brier(bin_sums([0.5, 0.75], outcome=[0, 1], bin_index=[0, 1])))
    0.15625
    """
    squares = np.maximum(sums[..., 3] - 2 * sums[..., 4] + sums[..., 2], 0)  # rounding of sums may fall below 0
    return ratio(squares.sum(-1), sums[..., 0].sum(-1))


def brier_reliability(sums: Floats) -> Floats:
    r"""Reliability: mean squared distance of mean probability and observed frequency of a bin; 0 is calibrated.

    .. math:: \sum_b \frac{n_b}{N} (\bar p_b - \bar y_b)^2

    Parameters
    ----------
    sums : ndarray of float64, shape (..., bins, 5)
        As ``probabilistic.bin_sums`` gives them.

    Returns
    -------
    ndarray of float64, shape (...)

    References
    ----------
    Murphy 1973, doi 10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2.

    Examples
    --------
    >>> from her2core.evidence.metrics.probabilistic import bin_sums
    >>> float(brier_reliability(bin_sums([0.5, 0.75], outcome=[0, 1], bin_index=[0, 1])))
    0.15625
    """
    n, p, y = (sums[..., i] for i in range(3))
    return ratio(((p - y) ** 2 / np.maximum(n, 1)).sum(-1), n.sum(-1))


def brier_resolution(sums: Floats) -> Floats:
    r"""Resolution: mean squared distance of a bin's observed frequency from that of all rows; more is better.

    .. math:: \sum_b \frac{n_b}{N} (\bar y_b - \bar y)^2

    Parameters
    ----------
    sums : ndarray of float64, shape (..., bins, 5)
        As ``probabilistic.bin_sums`` gives them.

    Returns
    -------
    ndarray of float64, shape (...)

    References
    ----------
    Murphy 1973, doi 10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2.

    Examples
    --------
    >>> from her2core.evidence.metrics.probabilistic import bin_sums
    >>> float(brier_resolution(bin_sums([0.5, 0.75], outcome=[0, 1], bin_index=[0, 1])))
    0.25
    """
    n, y = sums[..., 0], sums[..., 2]
    frequency = ratio(y.sum(-1), n.sum(-1))
    return ratio((n * (y / np.maximum(n, 1) - frequency[..., None]) ** 2).sum(-1), n.sum(-1))


def brier_uncertainty(sums: Floats) -> Floats:
    r"""Uncertainty: variance of the outcome, a property of the data alone.

    .. math:: \bar y (1 - \bar y)

    Parameters
    ----------
    sums : ndarray of float64, shape (..., bins, 5)
        As ``probabilistic.bin_sums`` gives them.

    Returns
    -------
    ndarray of float64, shape (...)

    References
    ----------
    Murphy 1973, doi 10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2.

    Examples
    --------
    >>> from her2core.evidence.metrics.probabilistic import bin_sums
    >>> float(brier_uncertainty(bin_sums([0.5, 0.75], outcome=[0, 1], bin_index=[0, 1])))
    0.25
    """
    frequency = ratio(sums[..., 2].sum(-1), sums[..., 0].sum(-1))
    return frequency * (1 - frequency)


def brier_within_bins(sums: Floats) -> Floats:
    r"""Within-bin term: variance of the probabilities less twice their covariance with the outcome, within bins.

    .. math:: \frac{1}{N} \sum_b \sum_{n \in b} (p_n - \bar p_b)^2 - 2 (p_n - \bar p_b)(y_n - \bar y_b)

    Parameters
    ----------
    sums : ndarray of float64, shape (..., bins, 5)
        As ``probabilistic.bin_sums`` gives them.

    Returns
    -------
    ndarray of float64, shape (...)

    References
    ----------
    Stephenson et al. 2008, doi 10.1175/2007WAF2006116.1.

    Examples
    --------
    >>> from her2core.evidence.metrics.probabilistic import bin_sums
    >>> float(brier_within_bins(bin_sums([0.25, 0.75], outcome=[0, 1], bin_index=[0, 0])))
    -0.1875
    """
    n, p, y, squared, product = (sums[..., i] for i in range(5))
    some = np.maximum(n, 1)
    return ratio((squared - p**2 / some - 2 * (product - p * y / some)).sum(-1), n.sum(-1))
