"""Confidence intervals at 95 % from a cluster bootstrap: differences, calibration errors, counts.

Metrics themselves have the intervals of ``jackknife``. Patients are resampled where they are known
(``resampling.clusters``). The column ``interval_method`` states how the bounds were made:

- ``expanded percentile``: percentiles of the bootstrap distribution, further out than 2.5 and 97.5 by as much as
  Student's t with the effective number of clusters is wider than the normal (Hesterberg 2015, doi
  10.1080/00031305.2015.1089789). The plain percentile interval is too narrow by a factor near sqrt((n - 1) / n) and by
  that of t.
- ``reflected``: the basic bootstrap, for metrics that resampling biases upwards (``reflected``).
- ``percentile``: plain percentiles, where no jackknife was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict, cast

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from her2core.evidence.metrics.metric import Floats
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import Clusters
from her2core.evidence.sample_size import effective_clusters

#: Confidence level of every interval.
LEVEL = 0.95
EXPANDED, PERCENTILE, REFLECTED = "expanded percentile", "percentile", "reflected"
NO_SPREAD = "identical in every resample: the interval has no width"
#: Share of the resamples that must give a value.
MIN_USABLE = 0.95
#: Below so many effective clusters the interval still covers the truth too rarely (calibration_coverage.json).
FEW_EFFECTIVE = 6


#: One metric with its interval; the bounds are NaN where there is none, and the note says why.
IntervalRow = TypedDict(
    "IntervalRow",
    {
        "metric": str,
        "class": str,
        "value": float,
        "lower_95": float,
        "upper_95": float,
        "interval_method": str,
        "note": str,
    },
)


def empty_row(metric: str, of: str, value: float) -> IntervalRow:
    """Row of a metric without an interval.

    Parameters
    ----------
    metric : str
        Name of the metric.
    of : str
        Class, empty for all classes.
    value : float

    Returns
    -------
    IntervalRow
        Bounds NaN, no method, no note.

    Examples
    --------
    >>> empty_row("accuracy", "", 1)["value"]
    1.0
    """
    bounds = {"lower_95": np.nan, "upper_95": np.nan, "interval_method": "", "note": ""}
    return cast(IntervalRow, {"metric": metric, "class": of, "value": float(value), **bounds})


def interval_row(metric: str, of: str, value: float, draws: Floats, jackknife: Floats | None = None) -> IntervalRow:
    """Make the interval of one metric, or of a difference.

    Parameters
    ----------
    metric : str
        Name of the metric.
    of : str
        Class, empty for all classes.
    value : float
        Estimate from all rows.
    draws : ndarray of float64, shape (resamples,)
        The metric in every resample; NaN where it is undefined.
    jackknife : ndarray of float64, shape (J,), optional
        The metric with one cluster after another left out; without it the interval is the plain percentile one.

    Returns
    -------
    IntervalRow
        Keys metric, class, value, lower_95, upper_95, interval_method and note. Bounds are NaN where the metric is
        undefined, or where fewer than 95 % of the resamples give a value (a class is missing from them).

    References
    ----------
    Hesterberg 2015, doi 10.1080/00031305.2015.1089789.

    Examples
    --------
    >>> row = interval_row("accuracy", "", 0.1, np.linspace(0, 0.2, 2001))
    >>> row["interval_method"], round(row["lower_95"], 3), round(row["upper_95"], 3)
    ('percentile', 0.005, 0.195)
    """
    usable, row = np.isfinite(draws), empty_row(metric, of, value)
    if not np.isfinite(value):
        return {**row, "note": "cannot be computed: undefined for these rows"}
    if usable.mean() < MIN_USABLE:
        return {**row, "note": "no interval: too few cases of a class"}
    known, tail, method, note = draws[usable], (1 - LEVEL) / 2, PERCENTILE, ""
    if jackknife is not None:
        effective = effective_clusters(float(value), jackknife)
        tail, method = expanded_tail(effective), EXPANDED
        few = f"few effective clusters (about {effective:.0f}): the interval may be too narrow"
        note = NO_SPREAD if np.ptp(known) < 1e-12 else few if effective < FEW_EFFECTIVE else ""
    low, high = np.quantile(known, [tail, 1 - tail])
    return {**row, "lower_95": float(low), "upper_95": float(high), "interval_method": method, "note": note}


def expanded_tail(effective: float) -> float:
    """Proportion of the bootstrap distribution beyond each bound of the expanded percentile interval.

    Parameters
    ----------
    effective : float
        Effective number of clusters, above 1.

    Returns
    -------
    float
        Below 0.025, which it approaches for many clusters.

    References
    ----------
    Hesterberg 2015, doi 10.1080/00031305.2015.1089789.

    Examples
    --------
    >>> round(expanded_tail(10), 4), round(expanded_tail(1e6), 4)
    (0.0086, 0.025)
    """
    return float(ndtr(np.sqrt(effective / (effective - 1)) * stdtrit(effective - 1, (1 - LEVEL) / 2)))


def reflected(row: IntervalRow, note: str = "") -> IntervalRow:
    """Reflect an interval about its value: the basic bootstrap, for metrics that resampling biases upwards.

    Every resample adds noise to the bins of a calibration error, and so enlarges it. The interval is kept around the
    value and at or above 0; its upper bound is the larger of this and the percentile, as noise hardly adds to a value
    far from 0.

    Parameters
    ----------
    row : IntervalRow
    note : str
        Remark that precedes the note of the reflection.

    Returns
    -------
    IntervalRow

    References
    ----------
    Davison & Hinkley 1997, ISBN 0-521-57471-4.

    Examples
    --------
    >>> row = interval_row("ece", "", 0.05, np.linspace(0.05, 0.09, 2001))
    >>> [round(reflected(row)[bound], 3) for bound in ("lower_95", "upper_95")]
    [0.011, 0.089]
    """
    if not np.isfinite(row["lower_95"]):
        return with_note(row, always=note)
    value, low, high = row["value"], row["lower_95"], row["upper_95"]
    bounds = {
        "lower_95": max(0.0, min(value, 2 * value - high)),
        "upper_95": max(high, value, 2 * value - low),
        "interval_method": REFLECTED,
    }
    said = join_notes(note, "interval reflected about the value, as resampling enlarges it")
    return with_note(cast(IntervalRow, {**row, **bounds}), always=said)


def with_note(row: IntervalRow, *, undefined: str = "", always: str = "") -> IntervalRow:
    """Add remarks to the note of a row.

    Parameters
    ----------
    row : IntervalRow
    undefined : str
        Replaces the note where the metric has no value.
    always : str
        Precedes any note.

    Returns
    -------
    IntervalRow

    Examples
    --------
    >>> row = interval_row("recall", "positive", np.nan, np.full(10, np.nan))
    >>> with_note(row, undefined="no patch is truly positive")["note"]
    'cannot be computed: no patch is truly positive'
    """
    note = f"cannot be computed: {undefined}" if undefined and not np.isfinite(row["value"]) else row["note"]
    return cast(IntervalRow, {**row, "note": join_notes(always, note)})


def interval_table(rows: Iterable[Mapping[str, object]], predictions: Predictions, group: Clusters) -> pd.DataFrame:
    """Rows of one table with what is common to all: unit, resampling and the warning that goes with it.

    Parameters
    ----------
    rows : iterable of mapping
        As ``interval_row`` gives them, with further columns; ``n`` where it is not that of all rows.
    predictions : Predictions
    group : Clusters

    Returns
    -------
    DataFrame
        Columns unit, metric, class, value, lower_95, upper_95, interval_method, further ones, note, resampling_unit,
        n_clusters, n.
    """
    frame = pd.DataFrame([dict(row) for row in rows])
    notes = frame.pop("note")
    n = frame.pop("n").astype(int) if "n" in frame else len(predictions)
    frame.insert(0, "unit", predictions.unit)
    return frame.assign(
        note=[join_notes(group.note, note) for note in notes], resampling_unit=group.unit, n_clusters=group.count, n=n
    )
