"""Table of the metrics of predictions, with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import cast

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.arguments import check_predictions
from her2core.evidence.estimates import ResampledMetrics
from her2core.evidence.intervals import LEVEL, IntervalRow, empty_row, interval_table, with_note
from her2core.evidence.jackknife import jackknife_row
from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.registry import select_metrics
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import clusters


def metric_table(
    predictions: Predictions,
    *,
    metrics: Iterable[str | Metric] | None = None,
    no_order: str = "",
    simultaneous: int = 0,
) -> pd.DataFrame:
    """Compute metrics with their 95 % intervals.

    Parameters
    ----------
    predictions : Predictions
        One row per patch, slide or patient.
    metrics : iterable of str or Metric, optional
        Names of the registry (``metrics.registry.METRICS``), or metrics of one's own; None for all. Metrics that need
        probabilities are left out for hard labels.
    no_order : str
        Why the classes have no order, if they have none: metrics that need one are then NaN with this note.
    simultaneous : int
        Number of intervals that are to hold together at 95 % (Bonferroni): adds lower_simultaneous and
        upper_simultaneous, each at a level of 1 - 0.05 / ``simultaneous``. 0 for none.

    Returns
    -------
    DataFrame
        One row per metric, and per class for those of one class: unit, metric, class ("" for all classes), value,
        lower_95, upper_95, interval_method (see ``jackknife``), note, resampling_unit, n_clusters, n. A metric that is
        undefined is NaN, and so are the bounds where there is no honest interval, each with the reason in ``note``.

    Raises
    ------
    EvaluationError
        When there is no row, or hard labels leave no metric.
    ConfigError
        For an unknown metric.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb") * 5, "probability_a": [0.9, 0.4, 0.3, 0.2] * 5})
    >>> frame = frame.assign(probability_b=1 - frame["probability_a"], patient_id=[f"p{i // 2}" for i in range(20)])
    >>> table = metric_table(read_predictions(frame), metrics=["accuracy", "auroc"])
    >>> table[["metric", "class", "value", "n_clusters", "n"]]
         metric class  value  n_clusters   n
    0  accuracy         0.75          10  20
    1     auroc     a   1.00          10  20
    2     auroc     b   1.00          10  20
    """
    check_predictions(predictions, "metrics")
    chosen = [m for m in select_metrics(metrics) if predictions.has_scores or not m.needs_scores]
    if not chosen:
        raise EvaluationError(
            "probabilities for these metrics", got="hard labels", where="metrics", fix="Choose other metrics."
        )
    group = clusters(predictions)
    resampled = ResampledMetrics(predictions, group, resamples=0, seed=0)  # the jackknife alone
    rows: list[IntervalRow] = []
    for metric in chosen:
        rows += _without_order(metric, predictions.classes, no_order) or _rows(metric, resampled, simultaneous)
    return interval_table(rows, predictions, group)


def _rows(metric: Metric, resampled: ResampledMetrics, simultaneous: int) -> list[IntervalRow]:
    estimate, note, rows = resampled.estimate(metric), resampled.note(metric), []
    classes = resampled.of_classes(metric)
    for position, name in enumerate(resampled.predictions.classes) if metric.per_class else [(None, "")]:
        own = estimate if position is None else estimate.of(position)
        size = resampled.sample_size(metric, position)
        named = partial(jackknife_row, metric.name, name, float(own.value), own.jackknife)
        of = partial(named, size=size, bounds=metric.range, classes=classes)
        undefined = "" if np.isfinite(own.value) else resampled.undefined(metric, position)
        row = with_note(of(), undefined=undefined, always=note)
        if simultaneous:
            wide = of(level=1 - (1 - LEVEL) / simultaneous)
            bounds = {"lower_simultaneous": wide["lower_95"], "upper_simultaneous": wide["upper_95"]}
            row = cast(IntervalRow, {**row, **bounds})
        rows.append(row)
    return rows


def _without_order(metric: Metric, classes: tuple[str, ...], no_order: str) -> list[IntervalRow]:
    if not (metric.needs_order and no_order):
        return []
    return [
        {**empty_row(metric.name, name, np.nan), "note": no_order} for name in (classes if metric.per_class else ("",))
    ]
