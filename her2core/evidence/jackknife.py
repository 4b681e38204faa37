"""Confidence intervals at 95 % from a delete-one jackknife over clusters, within the range of the metric.

Patients are left out where they are known (``resampling.clusters``). The column ``interval_method`` states which of
these was used; benchmarks/results/interval_coverage.json measures how often each covers the truth:

- ``Wilson score``: rows that are independent (a row is a patient). A proportion has as many as its denominator
  (Wilson 1927, doi 10.1080/01621459.1927.10502953); any other metric in a bounded range has p (1 - p) / se^2, with the
  quantile of Student's t.
- ``logit jackknife t``: rows in clusters. Student's t on the log odds of the metric, with p (1 - p) / se^2 rows, at
  most those there are (Korn & Graubard 1998, Survey Methodology 24:193), as near 0 or 1 few clusters err and the
  standard error is then too small.
- ``Wilson score, effective clusters``: rows in clusters that are all right or all wrong. Kish's effective number of
  clusters takes the place of the rows. So it does in a mean over classes for those whose rows are so, beside another
  method for the rest (MOVER: Zou & Donner 2008, doi 10.1002/sim.3095).
- ``log jackknife t`` and ``jackknife t``: metrics without an upper bound, or without any.

Degrees of freedom are the harmonic mean of two of Satterthwaite's (1946, doi 10.2307/3002019): that of the influences
of the clusters, which varies from sample to sample, and that of their sizes, which assumes equal variation in them.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

from her2core.evidence.intervals import FEW_EFFECTIVE, LEVEL, IntervalRow, empty_row
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.mover import Estimate, weighted_sum
from her2core.evidence.sample_size import OfClasses, SampleSize, effective_clusters
from her2core.evidence.variance import Variance

WILSON, EFFECTIVE = "Wilson score", "Wilson score, effective clusters"
LOGIT_T, LOG_T, PLAIN_T = "logit jackknife t", "log jackknife t", "jackknife t"
#: With fewer clusters of a class no interval is given, except for a proportion of independent rows.
MIN_CLASS_CLUSTERS = 3


def jackknife_row(
    metric: str,
    of: str,
    value: float,
    jackknife: Floats,
    *,
    size: SampleSize,
    bounds: tuple[float, float] = (0.0, 1.0),
    classes: OfClasses | None = None,
    trainings: Variance | None = None,
    level: float = LEVEL,
) -> IntervalRow:
    """Make the interval of one metric.

    Parameters
    ----------
    metric : str
        Name of the metric.
    of : str
        Class, empty for all classes.
    value : float
        Estimate from all rows.
    jackknife : ndarray of float64, shape (J,)
        The metric with one cluster after another left out; NaN where it is undefined.
    size : SampleSize
        What the estimate rests on.
    bounds : tuple of float
        Smallest and largest possible value; infinite where there is none.
    classes : OfClasses, optional
        Of a mean over classes. Where all clusters of a class are right, leaving one out changes nothing, and the class
        would count as known exactly, however few they are: its Wilson interval is combined with that of the jackknife.
    trainings : Variance, optional
        Over other trainings, added to that over clusters.
    level : float
        Confidence level; above ``LEVEL`` for intervals that hold together with others (Bonferroni).

    Returns
    -------
    IntervalRow
        Bounds are NaN where no honest interval exists; the note says why, and what would be needed.

    References
    ----------
    Wilson 1927, doi 10.1080/01621459.1927.10502953; Korn & Graubard 1998, Survey Methodology 24:193;
    Satterthwaite 1946, doi 10.2307/3002019.

    Examples
    --------
    >>> from her2core.evidence.resampling import Clusters
    >>> from her2core.evidence.sample_size import sample_size
    >>> eight = sample_size(Clusters(np.arange(8), 8, "patient", ""), np.ones(8, bool))
    >>> row = jackknife_row("accuracy", "", 7 / 8, np.array([1.0] + [6 / 7] * 7), size=eight)
    >>> row["interval_method"], round(row["lower_95"], 3), round(row["upper_95"], 3)
    ('Wilson score', 0.529, 0.978)
    """
    row = empty_row(metric, of, value)
    if reason := _refusal(value, jackknife, size):
        return {**row, "note": reason}
    (low, high), z = bounds, float(ndtri((1 + level) / 2))
    if size.independent and size.binomial:
        ends = wilson_interval(value, size.rows, quantile=z)
        return _filled(row, ends, bounds, WILSON, few=size.rows)
    same, settled = bool(np.ptp(jackknife) < 1e-12), value in bounds and np.isfinite(high)
    total = Variance(float((len(jackknife) - 1) * jackknife.var()), _degrees(jackknife, size))
    if trainings is not None and trainings.value > 0:
        total, same, settled = total + trainings, False, False
    variance, degrees = total.value, total.degrees
    if same and not (settled or size.binomial):
        return {**row, "note": f"no interval: the same whichever {size.unit} is left out"}
    t = float(stdtrit(degrees, (1 + level) / 2))
    if not np.isfinite(high):
        error = t * np.sqrt(variance)
        if not np.isfinite(low) or value <= low:
            return _filled(row, (value - error, value + error), bounds, PLAIN_T, few=degrees)
        factor = np.exp(error / (value - low))
        return _filled(row, (low + (value - low) / factor, low + (value - low) * factor), bounds, LOG_T, few=degrees)
    p, variance = (value - low) / (high - low), variance / (high - low) ** 2
    if settled or same:
        ends, method = wilson_interval(p, size.effective, quantile=z), WILSON if size.independent else EFFECTIVE
        few = size.effective
    elif size.independent:
        ends, method, few = wilson_interval(p, p * (1 - p) / variance, quantile=t), WILSON, degrees
    else:
        rows = min(p * (1 - p) / variance, float(size.rows))
        half = t / np.sqrt(rows * p * (1 - p))
        ends, method, few = (expit(logit(p) - half), expit(logit(p) + half)), LOGIT_T, degrees
    if classes is not None and not (settled or same):
        ends = _with_settled(p, ends, classes, z)
    return _filled(row, tuple(low + (high - low) * end for end in ends), bounds, method, few=few)


def wilson_interval(p: float, n: float, *, quantile: float | None = None) -> tuple[float, float]:
    """Wilson's score interval of a proportion.

    Parameters
    ----------
    p : float
        Proportion observed, 0 to 1.
    n : float
        Number of independent rows, above 0; not necessarily whole.
    quantile : float, optional
        Of the standardised error; 1.96 when not given.

    Returns
    -------
    tuple of float

    References
    ----------
    Wilson 1927, doi 10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson_interval(1.0, 20)]
    [0.839, 1.0]
    """
    z2 = float(ndtri((1 + LEVEL) / 2) if quantile is None else quantile) ** 2 / n
    centre, half = (p + z2 / 2) / (1 + z2), np.sqrt(z2 * (p * (1 - p) + z2 / 4)) / (1 + z2)
    return max(0.0, min(p, float(centre - half))), min(1.0, max(p, float(centre + half)))


def why_no_jackknife(jackknife: Floats, size: SampleSize) -> str:
    """Why no interval can be made from leaving out clusters.

    Parameters
    ----------
    jackknife : ndarray of float64, shape (J,)
        The estimate with one cluster after another left out.
    size : SampleSize
        What it rests on.

    Returns
    -------
    str
        Empty where an interval can be made.

    Examples
    --------
    >>> why_no_jackknife(np.array([0.5, 1.0]), SampleSize(8, 2, 2.0, 2.0, False, rarest="positive"))
    'no interval: only 2 patients of positive; at least 3 are needed'
    """
    if size.clusters < MIN_CLASS_CLUSTERS:
        plural = "s" if size.clusters != 1 else ""
        held = f"{size.clusters} {size.unit}{plural}{f' of {size.rarest}' if size.rarest else ''}"
        return f"no interval: only {held}; at least {MIN_CLASS_CLUSTERS} are needed"
    if not np.isfinite(jackknife).all():
        return f"no interval: undefined when a {size.unit} is left out"
    return ""


def _refusal(value: float, jackknife: Floats, size: SampleSize) -> str:
    if not np.isfinite(value):
        return "cannot be computed: undefined for these rows"
    if size.independent and size.binomial:
        return ""
    return why_no_jackknife(jackknife, size)


def _degrees(jackknife: Floats, size: SampleSize) -> float:
    by_influence = effective_clusters(float(jackknife.mean()), jackknife)
    by_size = max(size.degrees, 1.0)
    return max(1.0, min(2 / (1 / by_influence + 1 / by_size), len(jackknife) - 1))


def _with_settled(value: float, ends: tuple[float, float], classes: OfClasses, quantile: float) -> tuple[float, float]:
    """Bounds of a mean over classes, those in which no cluster changes anything by Wilson's interval (MOVER)."""
    fixed = Estimate(0.0, 0.0, 0.0)
    held, still = np.isfinite(classes.value), np.ptp(classes.jackknife, axis=0) < 1e-12
    for own, n in zip(classes.value[held & still], classes.effective[held & still], strict=True):
        one = Estimate(float(own), *wilson_interval(float(own), float(n), quantile=quantile))
        fixed = weighted_sum([(1.0, fixed), (1 / int(held.sum()), one)])
    below, above = fixed.value - fixed.low, fixed.high - fixed.value
    return value - math.hypot(value - ends[0], below), value + math.hypot(ends[1] - value, above)


def _filled(
    row: IntervalRow, ends: tuple[float, ...], bounds: tuple[float, float], method: str, *, few: float
) -> IntervalRow:
    lower, upper = max(bounds[0], float(ends[0])), min(bounds[1], float(ends[1]))
    note = f"few effective clusters (about {few:.0f})" if few < FEW_EFFECTIVE else ""
    return {**row, "lower_95": lower, "upper_95": upper, "interval_method": method, "note": note}
