"""How far could this number be off? Predictions in; every metric with an interval that resamples patients out.

Percentile bootstrap over clusters (Efron & Tibshirani 1993; Field & Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x):
whole patients are drawn with replacement, so patches of one patient stay together. Where patients are unknown or too
few, single patches are drawn instead, and the result says so: such an interval is too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.evidence.metrics import OVERALL, PER_CLASS, auroc, confusion, from_confusion, pair_wins
from her2core.evidence.predictions import Predictions

MIN_CLUSTERS = 5
#: Beyond so many clusters the pair table of the AUROC gets large; clusters are then bundled at random.
_MAX_GROUPS = 2000


@dataclass(frozen=True)
class Clusters:
    """``codes`` int (N,), ``count`` clusters, ``unit`` what a cluster is, ``note`` what to say beside the interval."""

    codes: np.ndarray
    count: int
    unit: str
    note: str


def clusters(predictions: Predictions) -> Clusters:
    """What to resample: patients where they are known and at least MIN_CLUSTERS, single rows otherwise."""
    n, unit = len(predictions), predictions.unit
    why = "patients unknown"
    if predictions.patients_known:
        codes, names = pd.factorize(predictions.frame["patient_id"], sort=True)
        if len(names) >= MIN_CLUSTERS:
            return Clusters(codes, len(names), "patient", "")
        why = f"only {len(names)} patient{'s' if len(names) != 1 else ''}"
    if unit == "patient":
        return Clusters(np.arange(n), n, unit, f"{why}: too few for an interval to be trusted")
    units = f"{unit}es" if unit == "patch" else f"{unit}s"
    return Clusters(
        np.arange(n), n, unit, f"{why}; resamples {units}, which are not independent: the interval is too narrow"
    )


def metric_table(
    predictions: Predictions, *, resamples: int = 2000, level: float = 0.95, seed: int = 0, aurocs: bool = True
) -> pd.DataFrame:
    """Every metric with its percentile interval.

    Returns
    -------
    DataFrame with columns unit, metric, class ("" for overall), value, low, high, level, resampled (patient or patch),
    clusters, n, note. Where fewer than 95 % of the resamples give a value (a class missing from them), low and high
    are NaN and the note says so.
    """
    group = clusters(predictions)
    weights = draws(group.count, resamples, seed)
    k = len(predictions.classes)
    cells = predictions.labels * k + predictions.predicted
    per_cluster = np.zeros((group.count, k * k))
    np.add.at(per_cluster, (group.codes, cells), 1)
    estimate = from_confusion(confusion(predictions.labels, predicted=predictions.predicted, classes=k))
    resampled = from_confusion((weights @ per_cluster).reshape(-1, k, k))
    rows = [_row(m, "", estimate[m], resampled[m], level) for m in OVERALL]
    rows += [
        _row(m, name, estimate[m][i], resampled[m][:, i], level)
        for m in PER_CLASS
        for i, name in enumerate(predictions.classes)
    ]
    if aurocs:
        rows += _auroc_rows(predictions, group, weights, level)
    frame = pd.DataFrame(rows)
    frame.insert(0, "unit", predictions.unit)
    frame["level"], frame["resampled"], frame["clusters"], frame["n"] = level, group.unit, group.count, len(predictions)
    frame["note"] = ["; ".join(filter(None, (group.note, note))) for note in frame["note"]]
    return frame


def _auroc_rows(predictions: Predictions, group: Clusters, weights: np.ndarray, level: float) -> list[dict]:
    codes, count = group.codes, group.count
    if count > _MAX_GROUPS:
        # Bundles of whole clusters stand for clusters, so that the pair table stays small.
        codes, count = np.random.default_rng(0).permutation(count)[codes] % _MAX_GROUPS, _MAX_GROUPS
        weights = draws(count, len(weights), 0)
    once = np.ones((1, count))
    rows, values, resampled = [], [], []
    for i, name in enumerate(predictions.classes):
        positive = predictions.labels == i
        wins = pair_wins(predictions.probs[:, i], positive=positive, groups=codes, group_count=count)
        counts = {
            "positives": np.bincount(codes[positive], minlength=count).astype(float),
            "negatives": np.bincount(codes[~positive], minlength=count).astype(float),
        }
        values.append(auroc(once, wins=wins, **counts)[0])
        resampled.append(auroc(weights, wins=wins, **counts))
        rows.append(_row("auroc", name, values[-1], resampled[-1], level))
    macro = np.mean(values) if np.isfinite(values).all() else np.nan
    return [_row("macro_auroc", "", macro, np.mean(resampled, axis=0), level), *rows]


def draws(count: int, resamples: int, seed: int) -> np.ndarray:
    """float64 (resamples, count): how often each cluster is drawn; each row sums to ``count``."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, count]))
    drawn = rng.integers(0, count, size=(resamples, count))
    flat = (drawn + np.arange(resamples)[:, None] * count).ravel()
    return np.bincount(flat, minlength=resamples * count).reshape(resamples, count).astype(np.float64)


def _row(metric: str, name: str, value: float, draws: np.ndarray, level: float) -> dict:
    usable = np.isfinite(draws)
    row = {"metric": metric, "class": name, "value": float(value), "low": np.nan, "high": np.nan, "note": ""}
    if not np.isfinite(value):
        row["note"] = "cannot be computed: no case to compute it from"
    elif usable.mean() < 0.95:
        row["note"] = "no interval: too few cases of a class"
    else:
        row["low"], row["high"] = np.quantile(draws[usable], [(1 - level) / 2, (1 + level) / 2])
    return row
