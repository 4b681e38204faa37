"""Net benefit of predicting a class from a threshold on.

Decision curve analysis (Vickers & Elkin 2006, doi 10.1177/0272989X06295361).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from her2core.evidence.metrics.arrays import ratio
from her2core.evidence.metrics.metric import Floats


def net_benefit(
    true_positives: ArrayLike, *, false_positives: ArrayLike, rows: ArrayLike, threshold: ArrayLike
) -> Floats:
    r"""Net benefit per row, in units of a true positive.

    .. math:: \frac{TP}{N} - \frac{FP}{N} \cdot \frac{t}{1 - t}

    Parameters
    ----------
    true_positives, false_positives, rows : array_like
        Counts that broadcast together.
    threshold : array_like of float
        Threshold probability t, above 0 and below 1: it states what a false positive costs.

    Returns
    -------
    ndarray of float64
        At most the prevalence; 0 is what predicting none is worth.

    References
    ----------
    Vickers & Elkin 2006, doi 10.1177/0272989X06295361.

    Examples
    --------
    >>> float(net_benefit(30, false_positives=20, rows=100, threshold=0.2))
    0.25
    """
    odds = np.asarray(threshold, np.float64) / (1 - np.asarray(threshold, np.float64))
    gain = np.asarray(true_positives, np.float64) - np.asarray(false_positives, np.float64) * odds
    return ratio(gain, rows)
