"""Metrics of groups of runs over several seeds, and paired differences between the groups.

A group is what is compared: a network, a kind of split. Its value is the mean over its runs. Intervals and differences
are about other patients and other trainings alike: patients are left out of all runs of all groups at once, so that
what is hard for all cancels in a difference, and the variance between the seeds is added (``differences``). Of a group
with one run nothing can be said about other trainings. Where patients are unknown or too few, rows are left out, and
every row of the table says so. A group that is tested on sites it was not trained on makes a claim about other sites:
sites take the place of its patients.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.arguments import UNITS, check_choice
from her2core.evidence.compare import DIFFERENCE_COLUMNS, available_metrics
from her2core.evidence.differences import difference_row
from her2core.evidence.estimates import Estimate, ResampledMetrics
from her2core.evidence.jackknife import jackknife_row, why_no_jackknife
from her2core.evidence.metrics.metric import Floats, Metric
from her2core.evidence.metrics.registry import METRICS
from her2core.evidence.notes import join_notes
from her2core.evidence.paired_tests import holm
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import MIN_CLUSTERS, Clusters
from her2core.evidence.results import TableResult
from her2core.evidence.sample_size import OfClasses, SampleSize
from her2core.evidence.statements import (
    ALPHA,
    NO_DIFFERENCE,
    NOT_COMPARED,
    PRIMARY_METRIC,
    no_statement,
    refusal_statement,
)
from her2core.evidence.variance import Variance, variance_over_clusters, variance_over_seeds, variance_unseen

ONE_RUN = "one run only: nothing can be said about another training"
DIFFERENCES = ("unit", "group", "reference", "metric", "role", *DIFFERENCE_COLUMNS, "p_value_holm", "note", "statement")
#: Metrics per class in the table: the two readings of class-specific accuracy, and discrimination.
CLASS_METRICS = ("recall", "one_vs_rest_accuracy", "auroc")


@dataclass(frozen=True, eq=False, repr=False)
class SeedSummary(TableResult):
    """Metrics over seeds; made by ``summarize_seeds``.

    Equality is that of ``TableResult``: tables by ``DataFrame.equals``.

    Parameters
    ----------
    table : DataFrame
        One row per group, metric and class (empty for a metric over all classes): unit, group, metric, class, value
        (mean over the runs), lower_95, upper_95, interval_method, lowest, highest (of its runs), seeds,
        resampling_unit, n_clusters, n (rows of its runs on average), note.
    differences : DataFrame
        One row per group with a reference and metric over all classes: unit, group, reference, metric, role (primary
        or descriptive), difference (group less reference), lower_95, upper_95, p_value (t test), detectable_difference
        (with a power of 80 %), p_value_holm (corrected over all pairs, Holm 1979), note, statement (by p_value_holm,
        of the primary metric alone): higher or lower than the reference, which is not the same as better for two kinds
        of split, or that no difference can be shown.
    """

    table: pd.DataFrame
    differences: pd.DataFrame


@dataclass(frozen=True)
class _Figure:
    """A metric over all classes, or of one class."""

    metric: Metric
    position: int | None = None

    def of(self, run: Predictions) -> str:
        return "" if self.position is None else run.classes[self.position]

    def estimate(self, run: ResampledMetrics) -> Estimate:
        whole = run.estimate(self.metric)
        return whole if self.position is None else whole.of(self.position)


@dataclass(frozen=True)
class _OverRuns:
    """A metric over the runs of a group: ``values`` float (S,) of each run, ``jackknife`` (J,) of their mean."""

    values: Floats
    jackknife: Floats
    size: SampleSize
    classes: OfClasses | None = None


@dataclass(frozen=True)
class _LeftOut:
    """What is left out, one by one: a column of ids, its names over all runs, and the warning beside the interval."""

    column: str
    names: pd.Index
    caution: str = ""

    @property
    def unit(self) -> str:
        return self.column.removesuffix("_id")


def summarize_seeds(
    groups: Mapping[str, Sequence[Predictions]],
    *,
    reference: str | Mapping[str, str],
    unit: str = "patch",
    metrics: Iterable[str | Metric] | None = None,
    primary: str | None = PRIMARY_METRIC,
    by_site: Collection[str] = (),
    ordered: bool = True,
) -> SeedSummary:
    """Compute metrics of each group of runs, and their differences from a reference group.

    Parameters
    ----------
    groups : mapping of str to sequence of Predictions
        Test parts by patch, one per run.
    reference : str or mapping of str to str
        Group from which differences are taken, or the reference of each group that has one.
    unit : {'patch', 'slide', 'patient'}
        Slides and patients get the mean probability of their patches.
    metrics : iterable of str or Metric, optional
        As for ``metric_table``; by default those over all classes, and of those per class ``CLASS_METRICS``.
    primary : str, optional
        The one metric about which statements are made; None where this unit is not the primary one.
    by_site : collection of str
        Groups whose runs were tested on sites that they were not trained on.
    ordered : bool
        Whether the classes have an order; without one, metrics that need it are left out.

    Returns
    -------
    SeedSummary

    Raises
    ------
    ConfigError
        For an unknown unit or metric.
    EvaluationError
        When there is no run, the reference is not a group, classes differ, or a run cannot be aggregated to this unit.

    References
    ----------
    Owen 2007, doi 10.1214/07-AOAS122; Satterthwaite 1946, doi 10.2307/3002019; Holm 1979, Scand J Statist 6:65.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"patch_id": list("stuv"), "label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> run = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> found = summarize_seeds({"a": [run, run], "b": [run]}, reference="a", metrics=["accuracy"])
    >>> found.table[["group", "value", "seeds"]].values.tolist(), found.differences["difference"].tolist()
    ([['a', 0.75, 2], ['b', 0.75, 1]], [0.0])
    """
    check_choice("unit", unit, UNITS)
    pairs = {g: reference for g in groups if g != reference} if isinstance(reference, str) else dict(reference)
    _refuse(groups, {reference} if isinstance(reference, str) else {*pairs, *pairs.values()})
    every = [p for runs in groups.values() for p in runs]
    figures = _figures(metrics, every, ordered=ordered)
    at_unit = {name: [p if unit == "patch" else aggregate(p, unit) for p in runs] for name, runs in groups.items()}
    every = [p for runs in at_unit.values() for p in runs]
    patients = _patients_or_rows(every)
    sites = _LeftOut("site", pd.Index(sorted({name for p in every for name in p.frame["site"]})))
    left_out = {name: sites if name in by_site else patients for name in groups}

    @cache
    def over(name: str, by: str) -> dict[_Figure, _OverRuns]:
        return _over_runs(at_unit[name], sites if by == sites.column else patients, figures)

    rows, differences = [], []
    for name, runs in at_unit.items():
        found = over(name, left_out[name].column)
        for figure in figures:
            labels = {"unit": unit, "group": name, "metric": figure.metric.name, "class": figure.of(runs[0])}
            rows.append(labels | _value_row(figure, found[figure], runs, left_out[name]))
    for name, against in pairs.items():
        by = left_out[name].column
        for figure in figures:
            if figure.position is None:
                labels = {"unit": unit, "group": name, "reference": against, "metric": figure.metric.name}
                role = "primary" if figure.metric.name == primary else "descriptive"
                change = _difference(figure.metric, over(name, by)[figure], over(against, by)[figure])
                differences.append(labels | {"role": role, **change})
    return SeedSummary(pd.DataFrame(rows), _stated(differences, no_statement(every)))


def _figures(
    metrics: Iterable[str | Metric] | None, every: Sequence[Predictions], *, ordered: bool
) -> tuple[_Figure, ...]:
    available = available_metrics(metrics, every, ordered=ordered)
    whole = [_Figure(m) for m in available if not m.per_class]
    if not whole:
        raise ConfigError(
            "argument `metrics` to name a metric over all classes",
            got="metrics per class",
            fix=f"Use {next(iter(METRICS))}, for example.",
        )
    per_class = [m for m in available if m.per_class and (metrics is not None or m.name in CLASS_METRICS)]
    return (*whole, *(_Figure(m, k) for m in per_class for k in range(len(every[0].classes))))


def _patients_or_rows(every: Sequence[Predictions]) -> _LeftOut:
    known = all(p.patients_known for p in every)
    patients = pd.Index(sorted({name for p in every for name in p.patients[1]}))
    if known and len(patients) >= MIN_CLUSTERS:
        return _LeftOut("patient_id", patients)
    why = f"only {len(patients)} patient{'s' if len(patients) != 1 else ''}" if known else "patients unknown"
    rows = pd.Index(sorted({name for p in every for name in p.frame["patch_id"]}))
    return _LeftOut(
        "patch_id", rows, f"{why}; leaves out single rows, which are not independent: the interval is too narrow"
    )


def _over_runs(runs: Sequence[Predictions], left_out: _LeftOut, figures: Iterable[_Figure]) -> dict[_Figure, _OverRuns]:
    names = left_out.names
    groups = [Clusters(names.get_indexer(p.frame[left_out.column]), len(names), left_out.unit, "") for p in runs]
    resampled = [ResampledMetrics(p, group, resamples=0, seed=0) for p, group in zip(runs, groups, strict=True)]
    joint = _joint(runs, groups)
    found = {}
    for figure in figures:
        estimates = [figure.estimate(run) for run in resampled]
        sizes = [run.sample_size(figure.metric, figure.position) for run in resampled]
        size = min(sizes, key=lambda size: size.clusters)
        if len(runs) > 1:  # each run may be tested on patients of its own
            every = joint.sample_size(figure.metric, figure.position)
            size = replace(size, clusters=every.clusters, rarest=every.rarest, binomial=False)
        found[figure] = _OverRuns(
            np.array([e.value for e in estimates], np.float64),
            _mean([e.jackknife for e in estimates], groups),
            size,
            _of_classes(figure.metric, resampled, groups, joint),
        )
    return found


def _of_classes(
    metric: Metric, runs: Sequence[ResampledMetrics], groups: Sequence[Clusters], joint: ResampledMetrics
) -> OfClasses | None:
    """Values of the classes whose mean a metric is, as means over the runs."""
    every = [found for run in runs if (found := run.of_classes(metric)) is not None]
    if not every:
        return None
    places = range(len(joint.predictions.classes))
    jackknife = np.stack([_mean([of.jackknife[:, k] for of in every], groups) for k in places], axis=1)
    effective = np.array([joint.sample_size(metric, k).effective for k in places])
    return OfClasses(np.mean([of.value for of in every], axis=0), jackknife, effective)


def _joint(runs: Sequence[Predictions], groups: Sequence[Clusters]) -> ResampledMetrics:
    """All rows of all runs as those of one, for their sample sizes."""
    frame = pd.concat([p.frame for p in runs], ignore_index=True)
    labels, predicted = (np.concatenate([getattr(p, name) for p in runs]) for name in ("labels", "predicted"))
    rows = Predictions(frame, None, labels, runs[0].classes, runs[0].unit, predicted_labels=predicted)
    codes = np.concatenate([group.codes for group in groups])
    return ResampledMetrics(rows, replace(groups[0], codes=codes), resamples=0, seed=0)


def _mean(jackknives: Sequence[Floats], groups: Sequence[Clusters]) -> Floats:
    """Mean over the runs with one cluster after another left out, without runs that were tested on that one alone."""
    values = np.stack(jackknives)
    kept = np.ones(values.shape, bool)
    for row, group in zip(kept, groups, strict=True):
        if len(row) == group.count and len(only := np.unique(group.codes)) == 1:
            row[only] = False
    with np.errstate(invalid="ignore"):
        return np.where(kept, values, 0.0).sum(axis=0) / kept.sum(axis=0)


def _value_row(figure: _Figure, found: _OverRuns, runs: Sequence[Predictions], left_out: _LeftOut) -> dict[str, object]:
    row = jackknife_row(
        figure.metric.name,
        figure.of(runs[0]),
        float(found.values.mean()),
        found.jackknife,
        size=found.size,
        bounds=figure.metric.range,
        classes=found.classes,
        trainings=variance_over_seeds(found.values),
    )
    held = {name for p in runs for name in p.frame[left_out.column]}
    return {
        "value": row["value"],
        "lower_95": row["lower_95"],
        "upper_95": row["upper_95"],
        "interval_method": row["interval_method"],
        "lowest": found.values.min(),
        "highest": found.values.max(),
        "seeds": len(found.values),
        "resampling_unit": left_out.unit,
        "n_clusters": len(held),
        "n": round(float(np.mean([len(p) for p in runs]))),
        "note": join_notes(left_out.caution, "" if len(runs) > 1 else ONE_RUN, row["note"]),
    }


def _difference(metric: Metric, figure: _OverRuns, base: _OverRuns) -> dict[str, object]:
    change, jackknife = float(figure.values.mean() - base.values.mean()), figure.jackknife - base.jackknife
    note = why_no_jackknife(jackknife, min(figure.size, base.size, key=lambda size: size.clusters))
    variances = [Variance(np.nan, 1.0) if note else variance_over_clusters(jackknife)]
    if metric.is_proportion and not note:
        effective = min(figure.size.effective, base.size.effective)
        variances.append(variance_unseen(jackknife, effective, base.classes, figure.classes))
    variances += [variance_over_seeds(of.values) for of in (figure, base) if len(of.values) > 1]
    row = difference_row(change, variances, largest=metric.range[1] - metric.range[0])
    one = min(len(figure.values), len(base.values)) == 1
    return {**row, "note": join_notes(ONE_RUN if one else "", note)}


def _stated(differences: list[dict[str, object]], reason: str) -> pd.DataFrame:
    """p values corrected over the groups of each metric, and what those of the primary metric say."""
    if not differences:
        return pd.DataFrame(columns=list(DIFFERENCES))
    table = pd.DataFrame(differences)
    table["p_value_holm"] = table.groupby("metric")["p_value"].transform(lambda p: holm(p.to_numpy(np.float64)))
    table["statement"] = [
        _statement(row, reason) if row["role"] == "primary" else "" for row in table.to_dict("records")
    ]
    return table[list(DIFFERENCES)]


def _statement(row: Mapping[Any, Any], reason: str) -> str:
    if reason:
        return reason
    if row["note"].startswith(ONE_RUN):
        return f"{NOT_COMPARED}{ONE_RUN}"
    if np.isnan(row["p_value_holm"]):
        return NO_DIFFERENCE if row["difference"] == 0 and not row["note"] else refusal_statement(row["note"])
    if row["p_value_holm"] >= ALPHA:
        return NO_DIFFERENCE
    return f"{'higher' if row['difference'] > 0 else 'lower'} than {row['reference']}"


def _refuse(groups: Mapping[str, Sequence[Predictions]], compared: set[str]) -> None:
    where = "metrics over seeds"
    if not groups or not compared <= set(groups) or not all(groups.values()):
        raise EvaluationError(
            "at least one run of each group, the reference among them",
            got=f"{', '.join(f'{len(runs)} of {name}' for name, runs in groups.items())}",
            where=where,
            fix=f"Train the missing runs; compared are {', '.join(sorted(compared))}.",
        )
    if len({p.classes for runs in groups.values() for p in runs}) > 1:
        raise EvaluationError("runs of the same classes", got="several", where=where, fix="Compare like runs.")
