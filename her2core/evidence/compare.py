"""Paired comparison of runs that were tested on the same rows.

The same patients are left out of both runs, so that what is hard for both cancels in the difference. One metric is
primary and alone gets a statement; it is about these two trained runs, not about their architectures (``seeds``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.aggregation_rules import DEFAULT_RULE
from her2core.evidence.arguments import UNITS, check_choice
from her2core.evidence.class_order import in_class_order
from her2core.evidence.differences import difference_row
from her2core.evidence.estimates import ResampledMetrics
from her2core.evidence.evaluation import Source, read_source, source_name
from her2core.evidence.jackknife import why_no_jackknife
from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.registry import select_metrics
from her2core.evidence.notes import join_notes
from her2core.evidence.paired_tests import delong, holm, mcnemar
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import Clusters, clusters
from her2core.evidence.results import TableResult
from her2core.evidence.statements import (
    NO_DIFFERENCE,
    NOT_COMPARED,
    PRIMARY_METRIC,
    PRIMARY_UNIT,
    difference_statement,
    no_statement,
    refusal_statement,
)
from her2core.evidence.variance import Variance, variance_over_clusters, variance_unseen
from her2core.io.cells import UNKNOWN
from her2core.runs.folder import Run

UNDEFINED = "cannot be computed: undefined for these rows"
DIFFERENCE_COLUMNS = ("difference", "lower_95", "upper_95", "p_value", "detectable_difference")
COLUMNS = (
    "metric",
    "class",
    "role",
    "first",
    "second",
    *DIFFERENCE_COLUMNS,
    "classical_p_value",
    "classical_test",
    "note",
    "statement",
)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(TableResult):
    """Paired comparison of two runs; made by ``compare_runs``.

    Equality is that of ``TableResult``: tables by ``DataFrame.equals``.

    Parameters
    ----------
    first, second : str
        Names of the runs.
    table : DataFrame
        One row per metric (and class): metric, class, role (primary or descriptive), first, second, difference (second
        less first), lower_95, upper_95, p_value (Student's t, jackknife over patients), detectable_difference (that
        such data show with a power of 80 %), classical_p_value and classical_test (exact McNemar or asymptotic DeLong,
        where rows are patients), note, statement (of the primary metric alone).
    note : str
        What the jackknife leaves out.
    unit : str
        Unit of a row: patch, slide or patient.

    Examples
    --------
    >>> table = pd.DataFrame({"role": ["descriptive", "primary"], "statement": ["", "b is better"]})
    >>> Comparison("a", "b", table, "leaves out patients", "patient").statement
    'b is better'
    """

    first: str
    second: str
    table: pd.DataFrame
    note: str
    unit: str

    @property
    def primary(self) -> pd.Series:
        """Row of the primary metric."""
        return self.table[self.table["role"] == "primary"].iloc[0]

    @property
    def statement(self) -> str:
        """What the primary metric says: which run is better, that no difference can be shown, or why neither."""
        return str(self.primary["statement"])

    def _summary(self) -> list[str]:
        return [f"{self.second} less {self.first}", f"by {self.unit}", self.statement, self.note]


def compare_runs(
    first: Source,
    second: Source,
    *,
    unit: str = PRIMARY_UNIT,
    primary: str = PRIMARY_METRIC,
    of: str = "",
    metrics: Iterable[str | Metric] | None = None,
    names: tuple[str, str] | None = None,
) -> Comparison:
    """Compare two runs, or any tools' tables of predictions, paired by patients.

    Parameters
    ----------
    first, second : Run, Predictions, DataFrame, bytes or path
        Tested on the same patches with the same labels and classes (``evaluation.evaluate``).
    unit : {'patient', 'slide', 'patch'}
        Slides and patients get the mean probability of their patches.
    primary : str
        The one metric about which a statement is made; choose it before its figures are seen.
    of : str
        Class of the primary metric, for one per class.
    metrics : iterable of str or Metric, optional
        The descriptive ones, as for ``metric_table``; those that need probabilities or an order of the classes are
        left out where a run has none.
    names : tuple of str, optional
        What to call the two; names of runs and files when left out.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigError
        For an unknown unit, metric or class.
    EvaluationError
        When the runs were not tested on the same patches, cannot be aggregated to this unit, or have no probabilities
        for the primary metric.

    References
    ----------
    Satterthwaite 1946, doi 10.2307/3002019; McNemar 1947, doi 10.1007/BF02295996; DeLong et al. 1988, doi
    10.2307/2531595.

    Examples
    --------
    >>> import her2core
    >>> her2core.compare_runs("models/demo", "models/demo", metrics=["accuracy"]).statement
    'no difference can be shown'
    """
    check_choice("unit", unit, UNITS)
    called = names or (source_name(first, "first"), source_name(second, "second"))
    (a, no_order), (b, no_order_b) = (read_source(source) for source in (first, second))
    a, b = a.part("test"), b.part("test")
    ordered = not (no_order or no_order_b) and (a.classes == b.classes or len(a.classes) == 2)
    if set(a.classes) == set(b.classes):  # the columns of two tables may be in different orders
        b = in_class_order(b, a.classes)
    _refuse_incomparable(a, b, called)
    order = {p: i for i, p in enumerate(b.frame["patch_id"])}
    b = b.where(np.array([order[p] for p in a.frame["patch_id"]]))
    if unit != "patch":
        a, b = (aggregate(p, unit) for p in (a, b))
    (main,) = available_metrics([primary], (a, b), ordered=ordered)
    check_choice("of", of, a.classes if main.per_class else ("",))
    chosen = available_metrics(metrics, (a, b), ordered=ordered)
    if main.name not in {m.name for m in chosen}:
        chosen = (main, *chosen)
    group = clusters(a)
    rows = _rows(chosen, a, b, group)
    if group.unit == "patient" and group.count == len(a):  # a row is a patient: rows are independent
        _add_classical(rows, a, b)
    for row in rows:
        is_primary = (row["metric"], row["class"]) == (main.name, of)
        row["role"] = "primary" if is_primary else "descriptive"
        row["statement"] = _statement(main, row, [a, b], called) if is_primary else ""
    table = pd.DataFrame(rows)[list(COLUMNS)]
    by = "" if unit == "patch" or not (a.has_scores and b.has_scores) else f"patches aggregated by the {DEFAULT_RULE}"
    return Comparison(*called, table, join_notes(group.note or "leaves out patients, one by one", by), a.unit)


def compare_many(
    reference: Run | str | os.PathLike[str],
    others: Sequence[Run | str | os.PathLike[str]],
    *,
    metric: str = PRIMARY_METRIC,
    of: str = "",
    unit: str = PRIMARY_UNIT,
) -> pd.DataFrame:
    """Compare several runs with one by the primary metric, p values corrected for their number.

    Parameters
    ----------
    reference : Run or path
    others : sequence of Run or path
    metric : str
        The primary metric: a name in the registry.
    of : str
        Class, for a metric per class.
    unit : {'patient', 'slide', 'patch'}

    Returns
    -------
    DataFrame
        One row per run: run, reference, first (value of the reference), second (value of the run), difference,
        lower_95, upper_95, p_value, detectable_difference, p_value_holm, statement (by p_value_holm).

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
    >>> table = compare_many("models/demo", ["models/demo"], metric="accuracy")
    >>> table[["difference", "statement"]].values.tolist()
    [[0.0, 'no difference can be shown']]
    """
    (entry,) = select_metrics([metric])
    rows = []
    for other in others:
        found = compare_runs(reference, other, unit=unit, primary=metric, of=of, metrics=[entry])
        kept = found.primary[["first", "second", *DIFFERENCE_COLUMNS]]
        rows.append({"run": found.second, "reference": found.first, **kept, "statement": found.statement})
    table = pd.DataFrame(rows)
    table["p_value_holm"] = holm(table["p_value"].to_numpy(np.float64))
    table["statement"] = [
        row.statement
        if np.isnan(row.p_value_holm) or row.statement.startswith(NOT_COMPARED)
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


def _rows(metrics: tuple[Metric, ...], a: Predictions, b: Predictions, group: Clusters) -> list[dict[str, Any]]:
    first, second = (ResampledMetrics(p, group, resamples=0, seed=0) for p in (a, b))
    alike = a.has_scores and b.has_scores and np.array_equal(a.probs, b.probs)  # a difference of 0 is then exact
    rows: list[dict[str, Any]] = []
    for metric in metrics:
        values = first.estimate(metric), second.estimate(metric)
        parts = first.of_classes(metric), second.of_classes(metric)
        for position, name in enumerate(a.classes) if metric.per_class else [(None, "")]:
            one, two = values if position is None else (v.of(position) for v in values)
            change = two - one
            smaller = min((r.sample_size(metric, position) for r in (first, second)), key=lambda size: size.clusters)
            note = why_no_jackknife(change.jackknife, smaller) if np.isfinite(change.value) else UNDEFINED
            variances = [Variance(np.nan, 1.0) if note else variance_over_clusters(change.jackknife)]
            if metric.is_proportion and not alike and not note:
                variances.append(variance_unseen(change.jackknife, smaller.effective, *parts))
            rows.append(
                {
                    "metric": metric.name,
                    "class": name,
                    "first": float(one.value),
                    "second": float(two.value),
                    **difference_row(float(change.value), variances, largest=metric.range[1] - metric.range[0]),
                    "classical_p_value": np.nan,
                    "classical_test": "",
                    "note": note,
                }
            )
    return rows


def _statement(metric: Metric, row: Mapping[str, Any], runs: Sequence[Predictions], names: tuple[str, str]) -> str:
    if reason := no_statement(runs):
        return reason
    if np.isfinite(row["p_value"]):
        return difference_statement(metric, row["difference"], row["p_value"], *names)
    if row["difference"] == 0:
        return NO_DIFFERENCE
    return refusal_statement(row["note"])


def _add_classical(rows: list[dict[str, Any]], a: Predictions, b: Predictions) -> None:
    for row in rows:
        if row["metric"] == "accuracy":
            row["classical_p_value"] = mcnemar(a.predicted == a.labels, b.predicted == b.labels)
            row["classical_test"] = "McNemar, exact"
        elif row["metric"] == "auroc":
            i = a.classes.index(str(row["class"]))
            p = delong(a.labels == i, first=a.probs[:, i], second=b.probs[:, i])[1]
            if np.isfinite(p):
                row["classical_p_value"], row["classical_test"] = p, "DeLong, asymptotic"


def _refuse_incomparable(a: Predictions, b: Predictions, names: tuple[str, str]) -> None:
    if reason := why_incomparable(a, b):
        raise EvaluationError(
            "two runs tested on the same patches",
            got=reason,
            where=f"{names[0]} against {names[1]}",
            fix="Compare runs of the same data and split.",
        )
