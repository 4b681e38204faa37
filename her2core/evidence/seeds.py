"""What is the figure over several seeds? Predictions of runs in groups in; means over runs, and differences, out.

A group is what is compared: a network, a way to split. Its figure is the mean over its runs. Patients are drawn once
for all runs of all groups (Field & Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x), so that what is hard for all
cancels in a difference. The interval tells what other patients would do; what another seed would do stands beside it
as the lowest and highest run. Where patients are unknown or too few, patches are drawn, and every row says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.compare import ALPHA, NO_DIFFERENCE
from her2core.evidence.intervals import auroc_draws, effective_clusters, interval_row
from her2core.evidence.old_metrics import OVERALL, confusion, from_confusion
from her2core.evidence.paired_tests import bootstrap_p, holm
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import MIN_CLUSTERS, Clusters, left_out_counts, resampled_counts

#: By which rule patches become a slide or patient here: one rule for all runs, as no run may choose its own.
RULE = "mean"
METRICS = (*OVERALL, "macro_auroc")


@dataclass(frozen=True)
class SeedFigures:
    """``table``: one row a group and metric: unit, group, metric, value, low, high, interval, lowest, highest (of its
    runs), seeds, resampled (patient or patch), clusters, n (rows of its runs on average), note. ``differences``: one
    row a group other than the reference and metric: unit, group, reference, metric, difference (group less reference),
    low, high, p (paired bootstrap), p_holm (corrected over the groups, Holm 1979), and a statement by it: higher,
    lower, or that no difference can be shown."""

    table: pd.DataFrame
    differences: pd.DataFrame


@dataclass(frozen=True)
class _Figure:
    """A metric over the runs of a group: ``values`` float (S,), each run's; their mean in each resample, ``draws``
    float (B,), and with one cluster after another left out, ``left`` float (J,)."""

    values: np.ndarray
    draws: np.ndarray
    left: np.ndarray


def seed_figures(
    groups: Mapping[str, Sequence[Predictions]],
    *,
    reference: str,
    unit: str = "patch",
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> SeedFigures:
    """Every metric of METRICS for each group, and its difference from ``reference``, with intervals over patients.

    ``groups`` holds the test parts by patch; slides and patients get the mean of their patches' probabilities. Raises
    EvaluationError when there is no run, the reference is not a group, classes differ, or a run cannot be judged by
    this unit.
    """
    _refuse(groups, reference)
    at_unit = {
        name: [p if unit == "patch" else aggregate(p, unit, rule=RULE) for p in runs] for name, runs in groups.items()
    }
    column, clusters, caution = _clusters(at_unit)
    found = {
        name: _figures([_run(p, column, clusters, resamples, seed) for p in runs]) for name, runs in at_unit.items()
    }
    rows, differences = [], []
    for name, figures in found.items():
        held = {who for p in at_unit[name] for who in p.frame[column]}
        counted = round(float(np.mean([len(p) for p in at_unit[name]])))
        for metric, figure in figures.items():
            row = interval_row(metric, "", figure.values.mean(), figure.draws, level, figure.left)
            rows.append(
                {
                    "unit": unit,
                    "group": name,
                    "metric": metric,
                    "value": row["value"],
                    "lower_95": row["lower_95"],
                    "upper_95": row["upper_95"],
                    "interval_method": row["interval_method"],
                    "lowest": figure.values.min(),
                    "highest": figure.values.max(),
                    "seeds": len(figure.values),
                    "resampling_unit": column.removesuffix("_id"),
                    "n_clusters": len(held),
                    "n": counted,
                    "note": "; ".join(filter(None, (caution, row["note"]))),
                }
            )
            if name != reference:
                differences.append(
                    {
                        "unit": unit,
                        "group": name,
                        "reference": reference,
                        "metric": metric,
                        **_difference(figure, found[reference][metric], level),
                    }
                )
    return SeedFigures(pd.DataFrame(rows), _stated(pd.DataFrame(differences)))


def _clusters(at_unit: Mapping[str, Sequence[Predictions]]) -> tuple[str, pd.Index, str]:
    """What is drawn (a column of ids), its names over all runs, and what to say beside the interval."""
    every = [p for runs in at_unit.values() for p in runs]
    known = all(p.patients_known for p in every)
    patients = pd.Index(sorted({name for p in every for name in p.patients[1]}))
    if known and len(patients) >= MIN_CLUSTERS:
        return "patient_id", patients, ""
    why = f"only {len(patients)} patient{'s' if len(patients) != 1 else ''}" if known else "patients unknown"
    rows = pd.Index(sorted({name for p in every for name in p.frame["patch_id"]}))
    return "patch_id", rows, f"{why}; resamples single rows, which are not independent: the interval is too narrow"


def _run(p: Predictions, column: str, names: pd.Index, resamples: int, seed: int) -> dict[str, tuple]:
    """Metric -> its value, its draws and its left-out values; the same seed draws the same patients for every run."""
    k = len(p.classes)
    group = Clusters(names.get_indexer(p.frame[column]), len(names), column.removesuffix("_id"), "")
    cells = p.labels * k + p.predicted
    counts = (
        resampled_counts(group, cells=cells, kinds=k * k, resamples=resamples, seed=seed),
        left_out_counts(group, cells=cells, kinds=k * k),
    )
    value = from_confusion(confusion(p.labels, predicted=p.predicted, classes=k))
    drawn, left = (from_confusion(c.reshape(-1, k, k)) for c in counts)
    areas, *others = auroc_draws(p, group, resamples=resamples, seed=seed)
    return {m: (value[m], drawn[m], left[m]) for m in OVERALL} | {
        "macro_auroc": (areas.mean(), *(o.mean(axis=1) for o in others))
    }


def _figures(runs: list[dict[str, tuple]]) -> dict[str, _Figure]:
    return {
        metric: _Figure(
            np.array([r[metric][0] for r in runs], np.float64),
            *(np.mean([r[metric][i] for r in runs], axis=0) for i in (1, 2)),
        )
        for metric in METRICS
    }


def _difference(figure: _Figure, reference: _Figure, level: float) -> dict:
    value = float(figure.values.mean() - reference.values.mean())
    draws, left = figure.draws - reference.draws, figure.left - reference.left
    row = interval_row("", "", value, draws, level, left)
    known = np.isfinite(row["lower_95"])
    p = bootstrap_p(draws, patients=effective_clusters(value, left)) if known else np.nan
    return {"difference": value, "lower_95": row["lower_95"], "upper_95": row["upper_95"], "p_value": p}


def _stated(differences: pd.DataFrame) -> pd.DataFrame:
    """p corrected over the groups of each metric, and what it says."""
    if differences.empty:
        return pd.DataFrame(
            columns=[
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
            ]
        )
    differences["p_value_holm"] = differences.groupby("metric")["p_value"].transform(
        lambda p: holm(p.to_numpy(np.float64))
    )
    differences["statement"] = [
        "cannot be compared: no interval"
        if np.isnan(row.p_value_holm)
        else NO_DIFFERENCE
        if row.p_value_holm >= ALPHA
        else "higher"
        if row.difference > 0
        else "lower"
        for row in differences.itertuples()
    ]
    return differences


def _refuse(groups: Mapping[str, Sequence[Predictions]], reference: str) -> None:
    where = "figures over seeds"
    if reference not in groups or not all(groups.values()):
        raise EvaluationError(
            "at least one run of each group, the reference among them",
            got=f"{', '.join(f'{len(runs)} of {name}' for name, runs in groups.items())}",
            where=where,
            fix=f"Train the missing runs; the reference is {reference}.",
        )
    if len({p.classes for runs in groups.values() for p in runs}) > 1:
        raise EvaluationError("runs of the same classes", got="several", where=where, fix="Compare like runs.")
