"""How far could this number be off? Predictions in; every metric with an interval that resamples patients out.

Bootstrap over clusters (Efron & Tibshirani 1993; Field & Welsh 2007, doi 10.1111/j.1467-9868.2007.00593.x): whole
patients are drawn with replacement, so patches of one patient stay together. Where patients are unknown or too few,
single patches are drawn instead, and the result says so: such an interval is too narrow.

The column ``interval`` says how bounds were made, decided once, in ``interval_row``:
- ``expanded percentile``: percentiles of the draws, further out than 2.5 and 97.5 by as much as Student's t with the
  patients that carry the figure is wider than the normal (Hesterberg 2015, doi 10.1080/00031305.2015.1089789). How many
  those are is told by leaving out one after another (``effective_clusters``). The plain percentile interval is too
  narrow by a factor near sqrt((n - 1) / n) and by that of t; for a class of 12 patients it held the truth in 91 % of
  cohorts instead of 95 %. benchmarks/results/interval_coverage.json measures this one.
- ``exact``: where a share is 0 or 1, no resample differs from it. The bound is then that of Clopper & Pearson (1934,
  doi 10.1093/biomet/26.4.404) for as many patients as hold the rows that are counted.
- ``reflected``: see ``ordinal.reflected``; ``percentile``: the draws' own, where nothing was left out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtrit

from her2core.evidence.old_metrics import OVERALL, PER_CLASS, auroc, confusion, from_confusion, pair_wins
from her2core.evidence.predictions import Predictions, refuse_empty
from her2core.evidence.resampling import Clusters, clusters, draws, holding, left_out, left_out_counts, resampled_counts

EXPANDED, EXACT, PLAIN = "expanded percentile", "exact", "percentile"
NO_SPREAD = "the same in every resample: none shows how far off it may be"
#: Below so many effective clusters the interval still holds the truth less often than it says (interval_coverage.json).
FEW_CARRY = 6
#: Beyond so many clusters the pair table of the AUROC gets large; clusters are then bundled at random.
_MAX_GROUPS = 2000


def metric_table(
    predictions: Predictions, *, resamples: int = 2000, level: float = 0.95, seed: int = 0, aurocs: bool = True
) -> pd.DataFrame:
    """Every metric with its interval.

    Returns
    -------
    DataFrame with columns unit, metric, class ("" for overall), value, low, high, interval (how these were made: see
    above), level, resampled (patient or patch), clusters, n, note. Where fewer than 95 % of the resamples give a value
    (a class missing from them), low and high are NaN and the note says so.

    Raises EvaluationError when there is no row.
    """
    refuse_empty(predictions, "metrics")
    group = clusters(predictions)
    k = len(predictions.classes)
    cells = predictions.labels * k + predictions.predicted
    counts = resampled_counts(group, cells=cells, kinds=k * k, resamples=resamples, seed=seed)
    left = left_out_counts(group, cells=cells, kinds=k * k)
    matrix = confusion(predictions.labels, predicted=predictions.predicted, classes=k)
    estimate, drawn, left = (from_confusion(c) for c in (matrix, counts.reshape(-1, k, k), left.reshape(-1, k, k)))
    held = _held(predictions, group)
    rows = [interval_row(m, "", estimate[m], drawn[m], level, left[m], share_of=held[m]) for m in OVERALL]
    rows += [
        interval_row(m, name, estimate[m][i], drawn[m][:, i], level, left[m][:, i], share_of=held[m][i])
        for m in PER_CLASS
        for i, name in enumerate(predictions.classes)
    ]
    if aurocs and predictions.has_scores:
        rows += _auroc_rows(predictions, group, resamples, seed, level)
    frame = pd.DataFrame(rows)
    frame.insert(0, "unit", predictions.unit)
    frame["level"], frame["resampling_unit"], frame["n_clusters"], frame["n"] = (
        level,
        group.unit,
        group.count,
        len(predictions),
    )
    frame["note"] = ["; ".join(filter(None, (group.note, note))) for note in frame["note"]]
    return frame


def _auroc_rows(predictions: Predictions, group: Clusters, resamples: int, seed: int, level: float) -> list[dict]:
    values, drawn, left = auroc_draws(predictions, group, resamples=resamples, seed=seed)
    # A case and a non-case make a pair: as many pairs without a common patient as patients of the rarer side.
    sides = ((predictions.labels == i, predictions.labels != i) for i in range(len(values)))
    held = [min(holding(group, rows) for rows in side) for side in sides]
    macro = values.mean(), drawn.mean(axis=1), level, left.mean(axis=1)
    rows = [interval_row("macro_auroc", "", *macro, share_of=min(held))]
    return rows + [
        interval_row("auroc", name, values[i], drawn[:, i], level, left[:, i], share_of=held[i])
        for i, name in enumerate(predictions.classes)
    ]


def _held(predictions: Predictions, group: Clusters) -> dict:
    """How many clusters hold rows that a share counts: OVERALL metrics, int; PER_CLASS metrics, a list by class."""
    classes = range(len(predictions.classes))
    true, called = ([holding(group, of == i) for i in classes] for of in (predictions.labels, predictions.predicted))
    others = [holding(group, predictions.labels != i) for i in classes]
    all_rows = [holding(group, np.ones(len(predictions), bool))] * len(true)
    rarest = min((t for t in true if t), default=0)
    return {
        "accuracy": all_rows[0],
        "balanced_accuracy": rarest,
        "macro_f1": rarest,
        "recall": true,
        "f1": true,
        "precision": called,
        "specificity": others,
        "one_vs_rest_accuracy": all_rows,
    }


def auroc_draws(
    predictions: Predictions, group: Clusters, *, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One-vs-rest AUROC of each class, float (K,), in each resample of the clusters, float (resamples, K), and with
    one cluster after another left out, float (J, K).

    The same clusters and seed give the same resamples, so that two networks can be compared resample by resample.
    """
    codes, count = group.codes, group.count
    if count > _MAX_GROUPS:
        # Bundles of whole clusters stand for clusters, so that the pair table stays small.
        codes, count = np.random.default_rng(0).permutation(count)[codes] % _MAX_GROUPS, _MAX_GROUPS
        seed = 0
    weightings = np.ones((1, count)), draws(count, resamples, seed), left_out(count)
    found: list[list[np.ndarray]] = [[], [], []]
    for i in range(len(predictions.classes)):
        positive = predictions.labels == i
        wins = pair_wins(predictions.probs[:, i], positive=positive, groups=codes, group_count=count)
        counts = {
            "positives": np.bincount(codes[positive], minlength=count).astype(float),
            "negatives": np.bincount(codes[~positive], minlength=count).astype(float),
        }
        for kept, weights in zip(found, weightings, strict=True):
            kept.append(auroc(weights, wins=wins, **counts))
    values, drawn, left = (np.stack(kept, axis=1) for kept in found)
    return values[0], drawn, left


def effective_clusters(value: float, left: np.ndarray) -> float:
    """How many clusters carry a figure, told by its values with one after another left out, float (J,); at least 2.

    Satterthwaite (1946, doi 10.2307/3002019): the variance of the figure is a sum of squared influences u, as uncertain
    as that of 3 (sum u^2)^2 / sum u^4 equal patients, and of no more than those without whom it changes.
    """
    u = left[np.isfinite(left)] - value
    largest = np.abs(u).max(initial=0.0)
    if not largest:
        return 2.0
    u = u / largest
    return max(2.0, min(3 * float((u**2).sum() ** 2 / (u**4).sum()), float(np.count_nonzero(np.abs(u) > 1e-9))))


def expanded_tail(level: float, patients: float) -> float:
    """Share of the draws beyond each bound of an interval that so many patients carry: (1 - level) / 2 for many."""
    return float(ndtr(np.sqrt(patients / (patients - 1)) * stdtrit(patients - 1, (1 - level) / 2)))


def interval_row(
    metric: str,
    name: str,
    value: float,
    draws: np.ndarray,
    level: float,
    left: np.ndarray | None = None,
    *,
    share_of: int = 0,
) -> dict:
    """One metric's row: metric, class, value, low, high, interval (how it was made), note (why there is none, or
    what to know of it).

    ``draws`` float (resamples,); ``left`` float (J,), the metric with one cluster after another left out: without them
    the interval is the plain percentile one. ``share_of``: for a share, how many clusters hold the rows it counts.
    """
    usable = np.isfinite(draws)
    row = {
        "metric": metric,
        "class": name,
        "value": float(value),
        "lower_95": np.nan,
        "upper_95": np.nan,
        "interval_method": "",
        "note": "",
    }
    if not np.isfinite(value):
        return row | {"note": "cannot be computed: no case to compute it from"}
    if usable.mean() < 0.95:
        return row | {"note": "no interval: too few cases of a class"}
    known, tail = draws[usable], (1 - level) / 2
    if share_of and value in (0, 1):
        bound = float(tail ** (1 / share_of))
        return row | {
            "lower_95": bound if value else 0.0,
            "upper_95": 1.0 if value else 1 - bound,
            "interval_method": EXACT,
        }
    if left is None:
        low, high = np.quantile(known, [tail, 1 - tail])
        return row | {"lower_95": low, "upper_95": high, "interval_method": PLAIN}
    carrying = effective_clusters(float(value), left)
    tail = expanded_tail(level, carrying)
    low, high = np.quantile(known, [tail, 1 - tail])
    few = f"carried by few (about {carrying:.0f}): the interval may be too narrow" if carrying < FEW_CARRY else ""
    note = NO_SPREAD if np.ptp(known) < 1e-12 else few
    return row | {"lower_95": low, "upper_95": high, "interval_method": EXPANDED, "note": note}
