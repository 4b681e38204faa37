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
from typing import Any

import numpy as np
import pandas as pd

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.arguments import UNITS, check_choice
from her2core.evidence.compare import DIFFERENCE_COLUMNS, available_metrics
from her2core.evidence.differences import difference_row
from her2core.evidence.estimates import ResampledMetrics
from her2core.evidence.intervals import join_notes
from her2core.evidence.jackknife import jackknife_row, why_no_jackknife
from her2core.evidence.metrics.metric import Floats, Metric
from her2core.evidence.metrics.registry import METRICS
from her2core.evidence.paired_tests import holm
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import MIN_CLUSTERS, Clusters
from her2core.evidence.results import TableResult
from her2core.evidence.sample_size import SampleSize
from her2core.evidence.statements import (
    ALPHA,
    NO_DIFFERENCE,
    NOT_COMPARED,
    PRIMARY_METRIC,
    no_statement,
    refusal_statement,
)
from her2core.evidence.variance import Variance, variance_over_clusters, variance_over_seeds

ONE_RUN = "one run only: nothing can be said about another training"
DIFFERENCES = ("unit", "group", "reference", "metric", "role", *DIFFERENCE_COLUMNS, "p_value_holm", "note", "statement")


@dataclass(frozen=True, eq=False, repr=False)
class SeedSummary(TableResult):
    """Metrics over seeds; made by ``summarize_seeds``.

    Equality is that of ``TableResult``: tables by ``DataFrame.equals``.

    Parameters
    ----------
    table : DataFrame
        One row per group and metric: unit, group, metric, value (mean over the runs), lower_95, upper_95,
        interval_method, lowest, highest (of its runs), seeds, resampling_unit, n_clusters, n (rows of its runs on
        average), note.
    differences : DataFrame
        One row per group other than the reference and metric: unit, group, reference, metric, role (primary or
        descriptive), difference (group less reference), lower_95, upper_95, p_value (t test), detectable_difference
        (with a power of 80 %), p_value_holm (corrected over the groups, Holm 1979), note, statement (by p_value_holm,
        of the primary metric alone): higher or lower than the reference, which is not the same as better for two kinds
        of split, or that no difference can be shown.
    """

    table: pd.DataFrame
    differences: pd.DataFrame


@dataclass(frozen=True)
class _OverRuns:
    """A metric over the runs of a group: ``values`` float (S,) of each run, ``jackknife`` (J,) of their mean."""

    values: Floats
    jackknife: Floats
    size: SampleSize


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
    reference: str,
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
    reference : str
        Group from which differences are taken.
    unit : {'patch', 'slide', 'patient'}
        Slides and patients get the mean probability of their patches.
    metrics : iterable of str or Metric, optional
        As for ``metric_table``; only those over all classes are used.
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
    _refuse(groups, reference)
    every = [p for runs in groups.values() for p in runs]
    chosen = tuple(m for m in available_metrics(metrics, every, ordered=ordered) if not m.per_class)
    if not chosen:
        raise ConfigError(
            "argument `metrics` to name a metric over all classes",
            got="metrics per class",
            fix=f"Use {next(iter(METRICS))}, for example.",
        )
    at_unit = {name: [p if unit == "patch" else aggregate(p, unit) for p in runs] for name, runs in groups.items()}
    every = [p for runs in at_unit.values() for p in runs]
    patients = _patients_or_rows(every)
    sites = _LeftOut("site", pd.Index(sorted({name for p in every for name in p.frame["site"]})))
    rows, differences = [], []
    base = _over_runs(at_unit[reference], patients, chosen)
    for name, runs in at_unit.items():
        left_out = sites if name in by_site else patients
        found = _over_runs(runs, left_out, chosen)
        against = base if left_out is patients else _over_runs(at_unit[reference], left_out, chosen)
        for metric in chosen:
            labels = {"unit": unit, "group": name, "metric": metric.name}
            rows.append(labels | _value_row(metric, found[metric.name], runs, left_out))
            if name != reference:
                change = _difference(metric, found[metric.name], against[metric.name])
                role = "primary" if metric.name == primary else "descriptive"
                differences.append(labels | {"reference": reference, "role": role, **change})
    return SeedSummary(pd.DataFrame(rows), _stated(differences, no_statement(every)))


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


def _over_runs(runs: Sequence[Predictions], left_out: _LeftOut, metrics: Iterable[Metric]) -> dict[str, _OverRuns]:
    names = left_out.names
    groups = [Clusters(names.get_indexer(p.frame[left_out.column]), len(names), left_out.unit, "") for p in runs]
    resampled = [ResampledMetrics(p, group, resamples=0, seed=0) for p, group in zip(runs, groups, strict=True)]
    joint = _joint(runs, groups)
    found = {}
    for metric in metrics:
        estimates = [run.estimate(metric) for run in resampled]
        size = min((run.sample_size(metric, None) for run in resampled), key=lambda size: size.clusters)
        if len(runs) > 1:  # each run may be tested on patients of its own
            every = joint.sample_size(metric, None)
            size = replace(size, clusters=every.clusters, rarest=every.rarest, binomial=False)
        found[metric.name] = _OverRuns(
            np.array([e.value for e in estimates], np.float64), _mean([e.jackknife for e in estimates], groups), size
        )
    return found


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


def _value_row(metric: Metric, figure: _OverRuns, runs: Sequence[Predictions], left_out: _LeftOut) -> dict[str, object]:
    seeds = variance_over_seeds(figure.values)
    row = jackknife_row(
        metric.name,
        "",
        float(figure.values.mean()),
        figure.jackknife,
        size=figure.size,
        bounds=metric.range,
        trainings=seeds,
    )
    held = {name for p in runs for name in p.frame[left_out.column]}
    return {
        "value": row["value"],
        "lower_95": row["lower_95"],
        "upper_95": row["upper_95"],
        "interval_method": row["interval_method"],
        "lowest": figure.values.min(),
        "highest": figure.values.max(),
        "seeds": len(figure.values),
        "resampling_unit": left_out.unit,
        "n_clusters": len(held),
        "n": round(float(np.mean([len(p) for p in runs]))),
        "note": join_notes(left_out.caution, "" if len(runs) > 1 else ONE_RUN, row["note"]),
    }


def _difference(metric: Metric, figure: _OverRuns, base: _OverRuns) -> dict[str, object]:
    change, jackknife = float(figure.values.mean() - base.values.mean()), figure.jackknife - base.jackknife
    note = why_no_jackknife(jackknife, min(figure.size, base.size, key=lambda size: size.clusters))
    variances = [Variance(np.nan, 1.0) if note else variance_over_clusters(jackknife)]
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


def _refuse(groups: Mapping[str, Sequence[Predictions]], reference: str) -> None:
    where = "metrics over seeds"
    if reference not in groups or not all(groups.values()):
        raise EvaluationError(
            "at least one run of each group, the reference among them",
            got=f"{', '.join(f'{len(runs)} of {name}' for name, runs in groups.items())}",
            where=where,
            fix=f"Train the missing runs; the reference is {reference}.",
        )
    if len({p.classes for runs in groups.values() for p in runs}) > 1:
        raise EvaluationError("runs of the same classes", got="several", where=where, fix="Compare like runs.")
