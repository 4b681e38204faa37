"""Confidence interval, p value and smallest detectable difference, from components of the variance of a difference.

Student's t on jackknife variances, as for the metrics themselves (``jackknife``): percentiles of a paired bootstrap are
too narrow for few patients. benchmarks/comparison_errors.py simulates how often a difference is stated where there is
none.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.special import stdtr, stdtrit

from her2core.evidence.intervals import LEVEL
from her2core.evidence.variance import Variance

#: Power at which the smallest detectable difference is given.
POWER = 0.8


def difference_row(difference: float, variances: Iterable[Variance], *, largest: float = np.inf) -> dict[str, float]:
    """Interval, p value and smallest detectable difference, by Student's t.

    Parameters
    ----------
    difference : float
    variances : iterable of Variance
        Independent components; NaN in one of them, or none above 0, and there is no interval.
    largest : float
        Largest possible difference: the width of the metric's range.

    Returns
    -------
    dict of str to float
        difference, lower_95, upper_95, p_value (two-sided), detectable_difference (that such data show with a
        probability of ``POWER`` in a two-sided test at 5 %; Cohen 1988, ISBN 0-8058-0283-5).

    Examples
    --------
    >>> row = difference_row(0.1, [Variance(0.0016, 30.0)])
    >>> {name: round(value, 3) for name, value in row.items()}
    {'difference': 0.1, 'lower_95': 0.018, 'upper_95': 0.182, 'p_value': 0.018, 'detectable_difference': 0.116}
    """
    total: Variance | None = None
    for variance in variances:
        total = variance if total is None else total + variance
    row = dict.fromkeys(("difference", "lower_95", "upper_95", "p_value", "detectable_difference"), float("nan"))
    row["difference"] = float(difference)
    if total is None or not np.isfinite(total.value) or total.value < 1e-24 or not np.isfinite(difference):
        return row
    error, t = float(np.sqrt(total.value)), float(stdtrit(total.degrees, (1 + LEVEL) / 2))
    return {
        "difference": float(difference),
        "lower_95": max(-largest, float(difference - t * error)),
        "upper_95": min(largest, float(difference + t * error)),
        "p_value": float(2 * stdtr(total.degrees, -abs(difference) / error)),
        "detectable_difference": min(largest, (t + float(stdtrit(total.degrees, POWER))) * error),
    }
