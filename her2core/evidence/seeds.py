"""Metrics of groups of runs over several seeds, and paired differences between the groups.

A group is what is compared: a network, a kind of split. Its value is the mean over its runs. Patients are drawn once
for all runs of all groups (Field & Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x), so that what is hard for all
cancels in a difference. The interval is about other patients; the variation over seeds is given as the lowest and
highest run. Where patients are unknown or too few, rows are drawn, and every row of the table says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.arguments import UNITS, check_choice, check_resampling
from her2core.evidence.compare import available_metrics
from her2core.evidence.estimates import Estimate, ResampledMetrics
from her2core.evidence.intervals import interval_row, join_notes
from her2core.evidence.jackknife import jackknife_row
from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.registry import METRICS
from her2core.evidence.paired_tests import bootstrap_p, holm
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import MIN_CLUSTERS, Clusters
from her2core.evidence.results import TableResult
from her2core.evidence.sample_size import SampleSize, effective_clusters
from her2core.evidence.statements import ALPHA, NO_DIFFERENCE, NO_INTERVAL, few_patients

#: Aggregation of patches to slides and patients: one rule for all runs, as none may choose its own.
RULE = "mean"
DIFFERENCES = (
    "unit",
    "group",
    "reference",
    "metric",
    "difference",
    "lower_95",
    "upper_95",
    "p_value",
    "p_value_holm",
    "statement",
)


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
        One row per group other than the reference and metric: unit, group, reference, metric, difference (group less
        reference), lower_95, upper_95, p_value (paired bootstrap), p_value_holm (corrected over the groups, Holm 1979),
        statement (by p_value_holm): higher or lower than the reference, which is not the same as better for two kinds
        of split, or that no difference can be shown.
    """

    table: pd.DataFrame
    differences: pd.DataFrame


@dataclass(frozen=True)
class _OverRuns:
    """A metric over the runs of a group: ``values`` float (S,) of each run, the estimate of their mean, its size."""

    values: np.ndarray
    mean: Estimate
    size: SampleSize


def summarize_seeds(
    groups: Mapping[str, Sequence[Predictions]],
    *,
    reference: str,
    unit: str = "patch",
    metrics: Iterable[str | Metric] | None = None,
    ordered: bool = True,
    resamples: int = 2000,
    seed: int = 0,
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
    ordered : bool
        Whether the classes have an order; without one, metrics that need it are left out.
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    SeedSummary

    Raises
    ------
    ConfigError
        For an unknown unit or metric, or resamples or a seed out of range.
    EvaluationError
        When there is no run, the reference is not a group, classes differ, or a run cannot be aggregated to this unit.

    References
    ----------
    Field & Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x; Holm 1979, Scand J Statist 6:65.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"patch_id": list("stuv"), "label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> run = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> found = summarize_seeds({"a": [run, run], "b": [run]}, reference="a", metrics=["accuracy"], resamples=100)
    >>> found.table[["group", "value", "seeds"]].values.tolist(), found.differences["statement"].tolist()
    ([['a', 0.75, 2], ['b', 0.75, 1]], ['no difference can be shown'])
    """
    check_choice("unit", unit, UNITS)
    check_resampling(resamples, seed)
    _refuse(groups, reference)
    every = [p for runs in groups.values() for p in runs]
    chosen = tuple(m for m in available_metrics(metrics, every, ordered=ordered) if not m.per_class)
    if not chosen:
        raise ConfigError(
            "argument `metrics` to name a metric over all classes",
            got="metrics per class",
            fix=f"Use {next(iter(METRICS))}, for example.",
        )
    at_unit = {
        name: [p if unit == "patch" else aggregate(p, unit, rule=RULE) for p in runs] for name, runs in groups.items()
    }
    column, clusters, caution = _clusters(at_unit)
    over_runs = {
        name: _over_runs([_resampled(p, column, clusters, resamples, seed) for p in runs], chosen)
        for name, runs in at_unit.items()
    }
    rows, differences = [], []
    for name, found in over_runs.items():
        held = {cluster for p in at_unit[name] for cluster in p.frame[column]}
        for metric in chosen:
            figure = found[metric.name]
            value = float(figure.mean.value)
            row = jackknife_row(metric.name, "", value, figure.mean.jackknife, size=figure.size, bounds=metric.range)
            rows.append(
                {
                    "unit": unit,
                    "group": name,
                    "metric": metric.name,
                    "value": row["value"],
                    "lower_95": row["lower_95"],
                    "upper_95": row["upper_95"],
                    "interval_method": row["interval_method"],
                    "lowest": figure.values.min(),
                    "highest": figure.values.max(),
                    "seeds": len(figure.values),
                    "resampling_unit": column.removesuffix("_id"),
                    "n_clusters": len(held),
                    "n": round(float(np.mean([len(p) for p in at_unit[name]]))),
                    "note": join_notes(caution, row["note"]),
                }
            )
            if name != reference:
                change = _difference(figure.mean - over_runs[reference][metric.name].mean)
                differences.append(
                    {"unit": unit, "group": name, "reference": reference, "metric": metric.name, **change}
                )
    return SeedSummary(
        pd.DataFrame(rows), _stated(differences, few_patients(p for runs in at_unit.values() for p in runs))
    )


def _clusters(at_unit: Mapping[str, Sequence[Predictions]]) -> tuple[str, pd.Index, str]:
    """What is drawn (a column of ids), its names over all runs, and the warning beside the interval."""
    every = [p for runs in at_unit.values() for p in runs]
    known = all(p.patients_known for p in every)
    patients = pd.Index(sorted({name for p in every for name in p.patients[1]}))
    if known and len(patients) >= MIN_CLUSTERS:
        return "patient_id", patients, ""
    why = f"only {len(patients)} patient{'s' if len(patients) != 1 else ''}" if known else "patients unknown"
    rows = pd.Index(sorted({name for p in every for name in p.frame["patch_id"]}))
    return "patch_id", rows, f"{why}; resamples single rows, which are not independent: the interval is too narrow"


def _resampled(p: Predictions, column: str, names: pd.Index, resamples: int, seed: int) -> ResampledMetrics:
    """A run under the resamples that all runs share: the same seed draws the same of all names."""
    group = Clusters(names.get_indexer(p.frame[column]), len(names), column.removesuffix("_id"), "")
    return ResampledMetrics(p, group, resamples=resamples, seed=seed)


def _over_runs(runs: Sequence[ResampledMetrics], metrics: Iterable[Metric]) -> dict[str, _OverRuns]:
    found = {}
    for metric in metrics:
        estimates = [run.estimate(metric) for run in runs]
        parts = zip(*((e.value, e.draws, e.jackknife) for e in estimates), strict=True)
        mean = Estimate(*(np.mean(part, axis=0) for part in parts))
        smallest = min((run.sample_size(metric, None) for run in runs), key=lambda size: size.rows)
        size = smallest if len(runs) == 1 else replace(smallest, binomial=False)
        found[metric.name] = _OverRuns(np.array([e.value for e in estimates], np.float64), mean, size)
    return found


def _difference(change: Estimate) -> dict[str, float]:
    row = interval_row("", "", float(change.value), change.draws, change.jackknife)
    p = bootstrap_p(change.draws, effective=effective_clusters(row["value"], change.jackknife))
    known = np.isfinite(row["lower_95"])
    return {
        "difference": row["value"],
        "lower_95": row["lower_95"],
        "upper_95": row["upper_95"],
        "p_value": p if known else np.nan,
    }


def _stated(differences: list[dict[str, object]], few: str) -> pd.DataFrame:
    """p values corrected over the groups of each metric, and what they say."""
    if not differences:
        return pd.DataFrame(columns=list(DIFFERENCES))
    table = pd.DataFrame(differences)
    table["p_value_holm"] = table.groupby("metric")["p_value"].transform(lambda p: holm(p.to_numpy(np.float64)))
    table["statement"] = [
        few
        if few
        else NO_INTERVAL
        if np.isnan(row.p_value_holm)
        else NO_DIFFERENCE
        if row.p_value_holm >= ALPHA
        else f"{'higher' if row.difference > 0 else 'lower'} than {row.reference}"
        for row in table.itertuples()
    ]
    return table[list(DIFFERENCES)]


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
