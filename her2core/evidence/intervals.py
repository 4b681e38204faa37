"""How far could this number be off? Predictions in; every metric with an interval that resamples patients out.

Percentile bootstrap over clusters (Efron & Tibshirani 1993; Field & Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x):
whole patients are drawn with replacement, so patches of one patient stay together. Where patients are unknown or too
few, single patches are drawn instead, and the result says so: such an interval is too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from her2core.evidence.metrics import OVERALL, PER_CLASS, auroc, confusion, from_confusion, pair_wins
from her2core.evidence.predictions import Predictions

MIN_CLUSTERS = 5
#: Beyond so many clusters the pair table of the AUROC gets large; clusters are then bundled at random.
_MAX_GROUPS = 2000
#: Beyond so many single draws (clusters times resamples) equal clusters are drawn together.
_MAX_DRAWN = 40_000_000
#: Up to so many single draws the weights are kept: units of one table, positions of one slider use the same.
_KEPT_DRAWN = 4_000_000
#: Beyond so many numbers a table of counts by cluster is held sparsely.
_MAX_CELLS = 10_000_000


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
        codes, names = predictions.patients
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
    k = len(predictions.classes)
    cells = predictions.labels * k + predictions.predicted
    counts = resampled_counts(group, cells=cells, kinds=k * k, resamples=resamples, seed=seed)
    estimate = from_confusion(confusion(predictions.labels, predicted=predictions.predicted, classes=k))
    resampled = from_confusion(counts.reshape(-1, k, k))
    rows = [interval_row(m, "", estimate[m], resampled[m], level) for m in OVERALL]
    rows += [
        interval_row(m, name, estimate[m][i], resampled[m][:, i], level)
        for m in PER_CLASS
        for i, name in enumerate(predictions.classes)
    ]
    if aurocs:
        rows += _auroc_rows(predictions, group, resamples, seed, level)
    frame = pd.DataFrame(rows)
    frame.insert(0, "unit", predictions.unit)
    frame["level"], frame["resampled"], frame["clusters"], frame["n"] = level, group.unit, group.count, len(predictions)
    frame["note"] = ["; ".join(filter(None, (group.note, note))) for note in frame["note"]]
    return frame


def _auroc_rows(predictions: Predictions, group: Clusters, resamples: int, seed: int, level: float) -> list[dict]:
    values, resampled = auroc_draws(predictions, group, resamples=resamples, seed=seed)
    macro = np.mean(values) if np.isfinite(values).all() else np.nan
    rows = [interval_row("macro_auroc", "", macro, resampled.mean(axis=1), level)]
    return rows + [
        interval_row("auroc", name, values[i], resampled[:, i], level) for i, name in enumerate(predictions.classes)
    ]


def auroc_draws(
    predictions: Predictions, group: Clusters, *, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """One-vs-rest AUROC of each class, float (K,), and in each resample of the clusters, float (resamples, K).

    The same clusters and seed give the same resamples, so that two networks can be compared resample by resample.
    """
    codes, count = group.codes, group.count
    if count > _MAX_GROUPS:
        # Bundles of whole clusters stand for clusters, so that the pair table stays small.
        codes, count = np.random.default_rng(0).permutation(count)[codes] % _MAX_GROUPS, _MAX_GROUPS
        seed = 0
    weights = draws(count, resamples, seed)
    once = np.ones((1, count))
    values, resampled = [], []
    for i in range(len(predictions.classes)):
        positive = predictions.labels == i
        wins = pair_wins(predictions.probs[:, i], positive=positive, groups=codes, group_count=count)
        counts = {
            "positives": np.bincount(codes[positive], minlength=count).astype(float),
            "negatives": np.bincount(codes[~positive], minlength=count).astype(float),
        }
        values.append(auroc(once, wins=wins, **counts)[0])
        resampled.append(auroc(weights, wins=wins, **counts))
    return np.array(values), np.stack(resampled, axis=1)


def resampled_counts(
    group: Clusters, *, cells: np.ndarray, kinds: int, resamples: int, seed: int, limit: int = _MAX_DRAWN
) -> np.ndarray:
    """float64 (resamples, kinds): how many rows of each kind a resample of the clusters holds.

    ``cells`` int (N,) says of which kind a row is, 0 to ``kinds`` - 1 (a cell of a confusion matrix, say). Up to
    ``limit`` single draws, and where hardly two clusters are equal, these are the counts under the weights of
    ``draws``. Beyond it clusters of equal counts are drawn together, as many as a multinomial says, which has the same
    distribution. Either way memory stays bounded.
    """
    if group.count * resamples > limit:
        alike = _alike(group, cells, kinds)
        if alike is not None:
            vectors, times = alike
            drawn = _generator(group.count, seed).multinomial(group.count, times / times.sum(), size=resamples)
            return drawn.astype(np.float64) @ vectors
    few = group.count * resamples <= _KEPT_DRAWN
    per_cluster = _per_cluster(group, cells, kinds)
    parts = [draws(group.count, resamples, seed)] if few else _drawn(group.count, resamples, seed)
    return np.concatenate([part.astype(np.float64, copy=False) @ per_cluster for part in parts])


def _per_cluster(group: Clusters, cells: np.ndarray, kinds: int) -> np.ndarray | csr_array:
    """How many rows of each kind a cluster holds, float64 (clusters, kinds); sparse where that would be large."""
    if group.count * kinds > _MAX_CELLS:
        return csr_array((np.ones(len(cells)), (group.codes, cells)), shape=(group.count, kinds))
    counts = np.bincount(group.codes * kinds + cells, minlength=group.count * kinds)
    return counts.reshape(-1, kinds).astype(np.float64)


def _alike(group: Clusters, cells: np.ndarray, kinds: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Different count vectors of clusters, float64 (M, kinds), and how many clusters have each; None if M is large."""
    if group.count == len(cells):  # a cluster is a row
        return np.eye(kinds), np.bincount(cells, minlength=kinds)
    if group.count * kinds > _MAX_CELLS:
        return None
    per_cluster = _per_cluster(group, cells, kinds).astype(np.int64)
    base = per_cluster.max(axis=0) + 1
    if np.log2(base).sum() > 62:
        return None
    place = np.concatenate([[1], np.cumprod(base[:-1])])  # mixed radix: one number a count vector
    _, first, times = np.unique(per_cluster @ place, return_index=True, return_counts=True)
    return (per_cluster[first].astype(np.float64), times) if 8 * len(first) <= group.count else None


def draws(count: int, resamples: int, seed: int) -> np.ndarray:
    """float64 (resamples, count), read only: how often each cluster is drawn; each row sums to ``count``."""
    return (_kept_draws if count * resamples <= _KEPT_DRAWN else _all_draws)(count, resamples, seed)


def _all_draws(count: int, resamples: int, seed: int) -> np.ndarray:
    weights, at = np.empty((resamples, count)), 0
    for part in _drawn(count, resamples, seed):
        weights[at : at + len(part)] = part
        at += len(part)
    weights.flags.writeable = False
    return weights


_kept_draws = lru_cache(maxsize=2)(_all_draws)


def _drawn(count: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """The rows of ``draws``, some at a time: int (b, count)."""
    rng, step = _generator(count, seed), max(1, 2**18 // max(count, 1))
    for at in range(0, resamples, step):
        rows = min(step, resamples - at)
        drawn = rng.integers(0, count, size=(rows, count))
        drawn += np.arange(rows)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)


def _generator(count: int, seed: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, count]))


def interval_row(metric: str, name: str, value: float, draws: np.ndarray, level: float) -> dict:
    """One metric's row: its value, the percentile interval of ``draws`` float (resamples,), and a note if there is
    none."""
    usable = np.isfinite(draws)
    row = {"metric": metric, "class": name, "value": float(value), "low": np.nan, "high": np.nan, "note": ""}
    if not np.isfinite(value):
        row["note"] = "cannot be computed: no case to compute it from"
    elif usable.mean() < 0.95:
        row["note"] = "no interval: too few cases of a class"
    else:
        row["low"], row["high"] = np.quantile(draws[usable], [(1 - level) / 2, (1 + level) / 2])
    return row
