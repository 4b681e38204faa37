"""Paired comparison of runs that were tested on the same rows.

Both runs are resampled by the same patients, so that what is hard for both cancels in the difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.aggregation_rules import DEFAULT_RULE
from her2core.evidence.arguments import UNITS, check_choice, check_resampling
from her2core.evidence.estimates import ResampledMetrics
from her2core.evidence.evaluation import Source, read_source, source_name
from her2core.evidence.intervals import interval_row, join_notes
from her2core.evidence.metrics.confusion import confusion_matrix
from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.registry import select_metrics
from her2core.evidence.paired_tests import bootstrap_p, delong, holm, mcnemar
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import Clusters, bootstrap_counts, clusters, jackknife_counts
from her2core.evidence.results import TableResult
from her2core.evidence.sample_size import effective_clusters
from her2core.evidence.statements import NOT_COMPARED, difference_statement, few_patients, interval_statement
from her2core.io.cells import UNKNOWN
from her2core.runs.folder import Run


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(TableResult):
    """Paired comparison of two runs; made by ``compare_runs``.

    Equality is that of ``TableResult``: tables by ``DataFrame.equals``.

    Parameters
    ----------
    first, second : str
        Names of the runs.
    table : DataFrame
        One row per metric (and class): metric, class, first, second, difference (second less first), lower_95,
        upper_95, p_value (paired bootstrap), exact_p_value and exact_test (McNemar or DeLong, where rows are patients),
        statement.
    note : str
        What was resampled.
    unit : str
        Unit of a row: patch, slide or patient.

    Examples
    --------
    >>> Comparison("a", "b", pd.DataFrame({"statement": ["b is better"]}), "12 patients resampled").unit
    'patch'
    """

    first: str
    second: str
    table: pd.DataFrame
    note: str
    unit: str = "patch"

    def _summary(self) -> list[str]:
        shown = self.table["statement"].str.endswith(" is better")
        return [
            f"{self.second} less {self.first}",
            f"by {self.unit}",
            f"{int(shown.sum())} of {len(self.table)} differences shown",
            self.note,
        ]


def compare_runs(
    first: Source,
    second: Source,
    *,
    unit: str = "patch",
    metrics: Iterable[str | Metric] | None = None,
    names: tuple[str, str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two runs, or any tools' tables of predictions, by a paired bootstrap over patients.

    Parameters
    ----------
    first, second : Run, Predictions, DataFrame, bytes or path
        Tested on the same patches with the same labels and classes (``evaluation.evaluate``).
    unit : {'patch', 'slide', 'patient'}
        Slides and patients get the mean probability of their patches.
    metrics : iterable of str or Metric, optional
        As for ``metric_table``; those that need probabilities or an order of the classes are left out where a run has
        none.
    names : tuple of str, optional
        What to call the two; names of runs and files when left out.
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigError
        For an unknown unit or metric, or resamples or a seed out of range.
    EvaluationError
        When the runs were not tested on the same patches, or cannot be aggregated to this unit.

    References
    ----------
    Field & Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x.

    Examples
    --------
    >>> import her2core
    >>> found = her2core.compare_runs("models/demo", "models/demo", metrics=["accuracy"], resamples=100)
    >>> found.table["statement"].tolist()
    ['no difference can be shown']
    """
    check_choice("unit", unit, UNITS)
    check_resampling(resamples, seed)
    called = names or (source_name(first, "first"), source_name(second, "second"))
    (a, no_order), (b, no_order_b) = (read_source(source) for source in (first, second))
    a, b = a.part("test"), b.part("test")
    _refuse_incomparable(a, b, called)
    order = {p: i for i, p in enumerate(b.frame["patch_id"])}
    b = b.where(np.array([order[p] for p in a.frame["patch_id"]]))
    if unit != "patch":
        a, b = (aggregate(p, unit) for p in (a, b))
    group = clusters(a)
    chosen = available_metrics(metrics, (a, b), ordered=not (no_order or no_order_b))
    rows = _rows(chosen, a, b, group, called, resamples=resamples, seed=seed)
    if group.unit == "patient" and group.count == len(a):  # a row is a patient: rows are independent
        _add_exact(rows, a, b)
    by = "" if unit == "patch" or not (a.has_scores and b.has_scores) else f"patches aggregated by the {DEFAULT_RULE}"
    return Comparison(*called, pd.DataFrame(rows), join_notes(group.note or "resamples patients", by), a.unit)


def compare_many(
    reference: Run | str | os.PathLike[str],
    others: Sequence[Run | str | os.PathLike[str]],
    *,
    metric: str = "balanced_accuracy",
    of: str = "",
    unit: str = "patch",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare several runs with one by one metric, p values corrected for their number.

    Parameters
    ----------
    reference : Run or path
    others : sequence of Run or path
    metric : str
        Name in the registry.
    of : str
        Class, for a metric per class.
    unit : {'patch', 'slide', 'patient'}
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    DataFrame
        One row per run: run, reference, first (value of the reference), second (value of the run), difference,
        lower_95, upper_95, p_value, p_value_holm, statement (by p_value_holm).

    Raises
    ------
    ConfigError
        For an unknown metric or class, or as ``compare_runs``.
    EvaluationError
        As ``compare_runs``.

    References
    ----------
    Holm 1979, Scand J Statist 6:65.

    Examples
    --------
    >>> table = compare_many("models/demo", ["models/demo"], metric="accuracy", resamples=100)
    >>> table[["difference", "p_value_holm", "statement"]].values.tolist()
    [[0.0, 1.0, 'no difference can be shown']]
    """
    (entry,) = select_metrics([metric])
    rows = []
    for other in others:
        found = compare_runs(reference, other, unit=unit, metrics=[entry], resamples=resamples, seed=seed)
        check_choice("of", of, tuple(found.table["class"]))
        row = found.table[found.table["class"] == of].iloc[0]
        kept = row[["first", "second", "difference", "lower_95", "upper_95", "p_value"]]
        rows.append({"run": found.second, "reference": found.first, **kept, "statement": row["statement"]})
    table = pd.DataFrame(rows)
    table["p_value_holm"] = holm(table["p_value"].to_numpy(np.float64))
    table["statement"] = [
        row.statement
        if row.statement.startswith(NOT_COMPARED)
        else difference_statement(entry, row.difference, row.p_value_holm, row.reference, row.run)
        for row in table.itertuples()
    ]
    return table[[*(c for c in table if c != "statement"), "statement"]]


def available_metrics(
    metrics: Iterable[str | Metric] | None, runs: Iterable[Predictions], *, ordered: bool = True
) -> tuple[Metric, ...]:
    """Metrics that all of several predictions have.

    Parameters
    ----------
    metrics : iterable of str or Metric, optional
        As for ``metric_table``.
    runs : iterable of Predictions
    ordered : bool
        Whether the classes have an order.

    Returns
    -------
    tuple of Metric

    Raises
    ------
    EvaluationError
        When none is left.

    Examples
    --------
    >>> [m.name for m in available_metrics(["accuracy", "quadratic_kappa"], [], ordered=False)]
    ['accuracy']
    """
    scores = all(p.has_scores for p in runs)
    chosen = tuple(
        m for m in select_metrics(metrics) if (scores or not m.needs_scores) and (ordered or not m.needs_order)
    )
    if not chosen:
        raise EvaluationError(
            "probabilities, or an order of the classes, for these metrics",
            got="neither",
            where="comparison",
            fix="Choose other metrics.",
        )
    return chosen


def why_incomparable(a: Predictions, b: Predictions) -> str:
    """Why two runs cannot be compared: other classes, test patches or labels.

    Parameters
    ----------
    a, b : Predictions
        Test parts.

    Returns
    -------
    str
        Empty when they can be compared.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.2], "probability_b": [0.1, 0.8]})
    >>> why_incomparable(read_predictions(frame), read_predictions(frame, classes=("b", "a")))
    'other classes: a, b against b, a'
    """
    if a.classes != b.classes:
        return f"other classes: {', '.join(a.classes)} against {', '.join(b.classes)}"
    ids = set(a.frame["patch_id"]), set(b.frame["patch_id"])
    if UNKNOWN in ids[0] | ids[1]:
        return "patches without an identifier: their rows cannot be paired"
    if ids[0] != ids[1]:
        return f"other test patches: {len(a)} and {len(b)}, of which {len(ids[0] & ids[1])} are shared"
    pairs = pd.Series(a.labels, a.frame["patch_id"]) - pd.Series(b.labels, b.frame["patch_id"])
    if (pairs != 0).any():
        return f"other labels: {int((pairs != 0).sum())} patches with different true classes"
    return ""


def _rows(
    metrics: tuple[Metric, ...],
    a: Predictions,
    b: Predictions,
    group: Clusters,
    names: tuple[str, str],
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, object]]:
    first, second = _resampled(a, b, group, resamples=resamples, seed=seed)
    rows: list[dict[str, object]] = []
    few = few_patients([a])
    for metric in metrics:
        values = first.estimate(metric), second.estimate(metric)
        for position, name in enumerate(a.classes) if metric.per_class else [(None, "")]:
            one, two = values if position is None else (v.of(position) for v in values)
            change = two - one
            difference = float(change.value)
            interval = interval_row(metric.name, name, difference, change.draws, change.jackknife)
            known = np.isfinite(interval["lower_95"])
            p = bootstrap_p(change.draws, effective=effective_clusters(difference, change.jackknife))
            rows.append(
                {
                    "metric": metric.name,
                    "class": name,
                    "first": float(one.value),
                    "second": float(two.value),
                    "difference": difference,
                    "lower_95": interval["lower_95"],
                    "upper_95": interval["upper_95"],
                    "p_value": p if known else np.nan,
                    "exact_p_value": np.nan,
                    "exact_test": "",
                    "statement": few or interval_statement(metric, interval, names),
                }
            )
    return rows


def _resampled(
    a: Predictions, b: Predictions, group: Clusters, *, resamples: int, seed: int
) -> tuple[ResampledMetrics, ResampledMetrics]:
    """Both runs under the same resamples, also where clusters of equal counts are drawn together."""
    k = len(a.classes)
    cells = (a.labels * k + a.predicted) * k + b.predicted
    joint = [
        c.reshape(-1, k, k, k)
        for c in (
            bootstrap_counts(group, cells=cells, kinds=k**3, resamples=resamples, seed=seed),
            jackknife_counts(group, cells=cells, kinds=k**3),
        )
    ]
    found = []
    for p, other in ((a, 3), (b, 2)):
        matrix = confusion_matrix(p.labels, predicted=p.predicted, classes=k).astype(np.float64)
        confusion = (matrix, *(c.sum(axis=other) for c in joint))
        found.append(ResampledMetrics(p, group, resamples=resamples, seed=seed, confusion=confusion))
    return found[0], found[1]


def _add_exact(rows: list[dict[str, object]], a: Predictions, b: Predictions) -> None:
    for row in rows:
        if row["metric"] == "accuracy":
            row["exact_p_value"] = mcnemar(a.predicted == a.labels, b.predicted == b.labels)
            row["exact_test"] = "McNemar"
        elif row["metric"] == "auroc":
            i = a.classes.index(str(row["class"]))
            p = delong(a.labels == i, first=a.probs[:, i], second=b.probs[:, i])[1]
            if np.isfinite(p):
                row["exact_p_value"], row["exact_test"] = p, "DeLong"


def _refuse_incomparable(a: Predictions, b: Predictions, names: tuple[str, str]) -> None:
    if reason := why_incomparable(a, b):
        raise EvaluationError(
            "two runs tested on the same patches",
            got=reason,
            where=f"{names[0]} against {names[1]}",
            fix="Compare runs of the same data and split.",
        )
