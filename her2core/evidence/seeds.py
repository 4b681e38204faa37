"""What is the figure over several seeds? Predictions of runs in groups in; means over runs, and differences, out.

A group is what is compared: a network, a way to split. Its figure is the mean over its runs. Patients are drawn once
for all runs of all groups (Field & Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x), so that what is hard for all
cancels in a difference. The interval tells what other patients would do; what another seed would do stands beside it
as the lowest and highest run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.compare import NO_DIFFERENCE
from her2core.evidence.intervals import Clusters, auroc_draws, interval_row, resampled_counts
from her2core.evidence.metrics import OVERALL, confusion, from_confusion
from her2core.evidence.predictions import Predictions

#: By which rule patches become a slide or patient here: one rule for all runs, as no run may choose its own.
RULE = "mean"
METRICS = (*OVERALL, "macro_auroc")


@dataclass(frozen=True)
class SeedFigures:
    """``table``: one row a group and metric: unit, group, metric, value, low, high, lowest, highest (of its runs),
    seeds, patients, n (rows of its runs on average), note. ``differences``: one row a group other than the reference
    and metric: unit, group, reference, metric, difference (group less reference), low, high, and a statement:
    higher, lower, or that no difference can be shown."""

    table: pd.DataFrame
    differences: pd.DataFrame


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
    EvaluationError when there is no run, the reference is not a group, patients are unknown, classes differ, or a run
    cannot be judged by this unit.
    """
    _refuse(groups, reference)
    at_unit = {name: [p if unit == "patch" else aggregate(p, unit, rule=RULE) for p in runs]
               for name, runs in groups.items()}  # fmt: skip
    patients = pd.Index(sorted({who for runs in groups.values() for p in runs for who in p.patients[1]}))
    found = {name: [_run(p, patients, resamples, seed) for p in runs] for name, runs in at_unit.items()}
    rows, differences = [], []
    for name, runs in found.items():
        held = {who for p in groups[name] for who in p.patients[1]}
        for metric in METRICS:
            values, draws = _over_runs(runs, metric)
            row = interval_row(metric, "", values.mean(), draws, level)
            rows.append({
                "unit": unit, "group": name, "metric": metric, "value": row["value"], "low": row["low"],
                "high": row["high"], "lowest": values.min(), "highest": values.max(), "seeds": len(runs),
                "patients": len(held), "n": round(float(np.mean([len(p) for p in at_unit[name]]))),
                "note": row["note"],
            })  # fmt: skip
            if name != reference:
                theirs, their_draws = _over_runs(found[reference], metric)
                gap = interval_row(metric, "", values.mean() - theirs.mean(), draws - their_draws, level)
                differences.append({
                    "unit": unit, "group": name, "reference": reference, "metric": metric,
                    "difference": gap["value"], "low": gap["low"], "high": gap["high"],
                    "statement": _statement(gap["low"], gap["high"]),
                })  # fmt: skip
    return SeedFigures(pd.DataFrame(rows), pd.DataFrame(differences))


def _run(p: Predictions, patients: pd.Index, resamples: int, seed: int) -> dict[str, tuple[float, np.ndarray]]:
    """Metric -> its value and its draws float (resamples,); the same seed draws the same patients for every run."""
    k = len(p.classes)
    group = Clusters(patients.get_indexer(p.frame["patient_id"]), len(patients), "patient", "")
    cells = p.labels * k + p.predicted
    counts = resampled_counts(group, cells=cells, kinds=k * k, resamples=resamples, seed=seed).reshape(-1, k, k)
    value = from_confusion(confusion(p.labels, predicted=p.predicted, classes=k))
    drawn = from_confusion(counts)
    found = {metric: (float(value[metric]), drawn[metric]) for metric in OVERALL}
    areas, drawn_areas = auroc_draws(p, group, resamples=resamples, seed=seed)
    return found | {"macro_auroc": (float(areas.mean()), drawn_areas.mean(axis=1))}


def _over_runs(runs: list[dict[str, tuple[float, np.ndarray]]], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The runs' values float (S,), and the mean of their draws float (resamples,)."""
    return np.array([r[metric][0] for r in runs]), np.mean([r[metric][1] for r in runs], axis=0)


def _statement(low: float, high: float) -> str:
    if not (np.isfinite(low) and np.isfinite(high)):
        return "cannot be compared: no interval"
    return NO_DIFFERENCE if low <= 0 <= high else "higher" if low > 0 else "lower"


def _refuse(groups: Mapping[str, Sequence[Predictions]], reference: str) -> None:
    where = "figures over seeds"
    if reference not in groups or not all(groups.values()):
        raise EvaluationError(expected="at least one run of each group, the reference among them",
                              got=f"{', '.join(f'{len(runs)} of {name}' for name, runs in groups.items())}",
                              where=where, fix=f"Train the missing runs; the reference is {reference}.")  # fmt: skip
    every = [p for runs in groups.values() for p in runs]
    if len({p.classes for p in every}) > 1:
        raise EvaluationError(expected="runs of the same classes", got="several", where=where, fix="Compare like runs.")
    if not all(p.patients_known for p in every):
        raise EvaluationError(expected="a known patient in every row", got="rows without", where=where,
                              fix="Add the ids; without them there is nothing to resample.")  # fmt: skip
