"""What do the scores for ordered, rare and probabilistic answers say? Predictions in; kappa, MCC, NPV, AUPRC, loss out.

Beside ``intervals.metric_table``: figures that see how far off an answer is (kappa), how rare a class is (average
precision, Matthews) and what the probability of the truth was (negative log-likelihood).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.evidence.curves import average_precision
from her2core.evidence.intervals import interval_row
from her2core.evidence.old_metrics import confusion
from her2core.evidence.predictions import Predictions, refuse_empty
from her2core.evidence.resampling import Clusters, clusters, draws, holding, left_out, left_out_counts, resampled_counts

#: Beyond so many clusters they are bundled at random, as for the AUROC.
MAX_GROUPS = 2000
#: So many rows, over all resamples, may be walked one by one; larger tables get fewer resamples, and the note says so.
MAX_WALKED = 400_000_000
#: Rows times resamples that are walked at once: so many stay within fast memory.
_AT_ONCE = 30_000
#: A probability of zero is taken as this, as scikit-learn does: its logarithm is not finite.
SMALLEST = float(np.finfo(np.float64).eps)
REFLECTED = "reflected"


def quadratic_kappa(matrix: np.ndarray) -> np.ndarray:
    """(..., K, K) confusion matrices, classes in their order -> Cohen's kappa with squared weights, float64 (...).

    One minus the mean squared distance of true and predicted class, over that expected by chance (Cohen 1968, doi
    10.1037/h0026256). NaN where chance could not be wrong: one class is all there is, true and predicted.
    """
    matrix = np.asarray(matrix, np.float64)
    place = np.arange(matrix.shape[-1])
    off = (place[:, None] - place) ** 2
    by_chance = matrix.sum(-1)[..., :, None] * matrix.sum(-2)[..., None, :]
    return 1 - _ratio((off * matrix).sum((-2, -1)) * matrix.sum((-2, -1)), (off * by_chance).sum((-2, -1)))


def matthews(matrix: np.ndarray) -> np.ndarray:
    """(..., K, K) confusion matrices -> Matthews correlation of several classes, float64 (...).

    Gorodkin 2004, doi 10.1016/j.compbiolchem.2004.09.006. NaN, not scikit-learn's 0, where only one class is true or
    only one is predicted: then there is no correlation.
    """
    matrix = np.asarray(matrix, np.float64)
    true, predicted, total = matrix.sum(-1), matrix.sum(-2), matrix.sum((-2, -1))
    hits = np.trace(matrix, axis1=-2, axis2=-1)
    spread = [total**2 - (side**2).sum(-1) for side in (true, predicted)]
    return _ratio(hits * total - (true * predicted).sum(-1), np.sqrt(spread[0] * spread[1]))


def negative_predictive_value(matrix: np.ndarray) -> np.ndarray:
    """(..., K, K) confusion matrices -> of the rows not called a class, the share that is not it: float64 (..., K)."""
    matrix = np.asarray(matrix, np.float64)
    true, predicted, total = matrix.sum(-1), matrix.sum(-2), matrix.sum((-2, -1))[..., None]
    return _ratio(total - true - predicted + np.diagonal(matrix, axis1=-2, axis2=-1), total - predicted)


def ordinal_table(
    predictions: Predictions, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """The scores that ``metric_table`` leaves out, with intervals from the same resamples of patients.

    Returns
    -------
    DataFrame as ``metric_table`` gives it (unit, metric, class, value, low, high, note, level, resampled, clusters, n):
    quadratic_kappa, matthews, negative_log_likelihood and macro_average_precision with class "", then npv and
    average_precision of each class. PPV is metric_table's ``precision``. Kappa takes the classes in their order.
    The average precision is not interpolated (``curves.average_precision``); its macro is the mean over all classes and
    NaN when one has none. The loss is in nats a row.

    Raises EvaluationError when there is no row.
    """
    refuse_empty(predictions, "scores")
    group, k = clusters(predictions), len(predictions.classes)
    cells = predictions.labels * k + predictions.predicted
    counts = resampled_counts(group, cells=cells, kinds=k * k, resamples=resamples, seed=seed).reshape(-1, k, k)
    left = left_out_counts(group, cells=cells, kinds=k * k).reshape(-1, k, k)
    matrix = confusion(predictions.labels, predicted=predictions.predicted, classes=k)
    order = f"classes in the order {', '.join(predictions.classes)}" if k > 2 else ""
    rows = [
        stated(
            interval_row(
                "quadratic_kappa", "", quadratic_kappa(matrix), quadratic_kappa(counts), level, quadratic_kappa(left)
            ),
            "cannot be computed: one class is all that is true and predicted",
            order,
        ),
        stated(
            interval_row("matthews", "", matthews(matrix), matthews(counts), level, matthews(left)),
            "cannot be computed: only one class is true, or only one predicted",
        ),
    ]
    if predictions.has_scores:
        rows.append(_loss_row(predictions, group, resamples, seed, level))
    npv, drawn, without = (negative_predictive_value(c) for c in (matrix, counts, left))
    precision_rows = _precision_rows(predictions, group, resamples, seed, level) if predictions.has_scores else []
    rows += precision_rows[:1]
    for i, name in enumerate(predictions.classes):
        held = holding(group, predictions.predicted != i)
        rows.append(
            stated(
                interval_row("npv", name, npv[i], drawn[:, i], level, without[:, i], share_of=held),
                f"cannot be computed: every {predictions.unit} is called {name}",
            )
        )
    return as_table(rows + precision_rows[1:], predictions, group, level)


def average_precision_draws(
    scores: np.ndarray, *, positive: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Average precision under each of (B, G) whole-number weightings of the groups, float64 (B,).

    ``scores`` float (N,), ``positive`` bool (N,), ``codes`` int (N,) each row's group. Equal scores fall together. NaN
    where a weighting holds no positive or no negative.
    """
    order = np.argsort(-scores, kind="stable")
    scores, positive, codes = scores[order], positive[order], codes[order]
    ends = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)  # equal scores fall together
    ups = np.cumsum(positive)[ends]
    adding = np.diff(ups, prepend=0) > 0
    ups, downs = ups[adding], (ends + 1 - ups)[adding]
    up, down = codes[positive], codes[~positive]
    found, step = np.full(len(weights), np.nan), max(1, _AT_ONCE // len(scores))
    for first in range(0, len(weights), step):
        held = weights[first : first + step].astype(np.int64)
        hits, alarms = (np.zeros((len(held), len(rows) + 1), np.int64) for rows in (up, down))
        np.cumsum(held.take(up, axis=1), axis=1, out=hits[:, 1:])
        np.cumsum(held.take(down, axis=1), axis=1, out=alarms[:, 1:])
        here, false = hits.take(ups, axis=1), alarms.take(downs, axis=1)
        gained = (np.diff(here, axis=1, prepend=0) * (here / np.maximum(here + false, 1))).sum(axis=1)
        both = (hits[:, -1] > 0) & (alarms[:, -1] > 0)
        np.divide(gained, hits[:, -1], out=found[first : first + step], where=both)
    return found


def affordable(resamples: int, rows: int) -> tuple[int, str]:
    """How many resamples of so many rows can be walked row by row, and what to say when that is fewer than asked."""
    used = int(min(resamples, max(200, MAX_WALKED // max(rows, 1))))
    return used, f"interval from {used} resamples" if used < resamples else ""


def weighting(group: Clusters, *, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row's group, int (N,); how often a resample holds each group, float64 (resamples, G), read only; and the
    same with one group after another left out, float64 (J, G).

    Groups are the clusters; beyond MAX_GROUPS bundles of whole clusters, so that the table stays small.
    """
    codes, count = group.codes, group.count
    if count > MAX_GROUPS:
        codes, count = np.random.default_rng(0).permutation(count)[codes] % MAX_GROUPS, MAX_GROUPS
    return codes, draws(count, resamples, seed), left_out(count)


def stated(row: dict, reason: str, always: str = "") -> dict:
    """The row with ``reason`` as its note where it has no value, and ``always`` in front of any note."""
    note = reason if not np.isfinite(row["value"]) else row["note"]
    return row | {"note": "; ".join(filter(None, (always, note)))}


def reflected(row: dict, note: str = "") -> dict:
    """The row with its interval reflected about the value, kept around it and at or above 0, and a note of that.

    For figures that every resample makes larger, as it adds noise: the basic bootstrap (Davison & Hinkley 1997). Above
    it is the larger of this and the percentile, as noise hardly adds to a figure that is far from 0.
    """
    if np.isfinite(row["lower_95"]):
        value, low, high = row["value"], row["lower_95"], row["upper_95"]
        row = row | {
            "lower_95": max(0.0, min(value, 2 * value - high)),
            "upper_95": max(high, value, 2 * value - low),
            "interval_method": REFLECTED,
        }
        note = "; ".join(filter(None, (note, "interval reflected about the value, as resampling enlarges it")))
    return stated(row, row["note"], note)


def as_table(rows: list[dict], predictions: Predictions, group: Clusters, level: float) -> pd.DataFrame:
    """Rows with metric, class, value, low, high, note (and n, or that of all) -> columns as ``metric_table`` has."""
    frame = pd.DataFrame(rows)
    frame.insert(0, "unit", predictions.unit)
    frame["level"], frame["resampling_unit"], frame["n_clusters"] = level, group.unit, group.count
    frame["n"] = frame.pop("n").astype(int) if "n" in frame else len(predictions)
    frame["note"] = ["; ".join(filter(None, (group.note, note))) for note in frame.pop("note")]
    return frame


def _loss_row(predictions: Predictions, group: Clusters, resamples: int, seed: int, level: float) -> dict:
    true = predictions.probs[np.arange(len(predictions)), predictions.labels]
    loss = -np.log(np.clip(true, SMALLEST, 1))
    codes, *weightings = weighting(group, resamples=resamples, seed=seed)
    count = weightings[0].shape[1]
    sums, sizes = np.bincount(codes, loss, minlength=count), np.bincount(codes, minlength=count)
    drawn, left = ((weights @ sums) / (weights @ sizes) for weights in weightings)
    row = interval_row("negative_log_likelihood", "", loss.mean(), drawn, level, left)
    zero = int((true < SMALLEST).sum())
    return stated(row, "", f"{zero} with probability 0 of the truth, taken as {SMALLEST:.1g}" if zero else "")


def _precision_rows(predictions: Predictions, group: Clusters, resamples: int, seed: int, level: float) -> list[dict]:
    used, fewer = affordable(resamples, len(predictions))
    codes, weights, without = weighting(group, resamples=used, seed=seed)
    table = average_precision(predictions)
    both = np.full((used + len(without), len(table)), np.nan)
    for i, row in table.iterrows():
        if np.isfinite(row["average_precision"]):
            both[:, i] = average_precision_draws(
                predictions.probs[:, i],
                positive=predictions.labels == i,
                codes=codes,
                weights=np.concatenate([weights, without]),
            )
    drawn, left = both[:used], both[used:]
    values, name = table["average_precision"].to_numpy(), "average_precision"
    rows = [
        stated(
            interval_row(f"macro_{name}", "", values.mean(), drawn.mean(axis=1), level, left.mean(axis=1)),
            f"cannot be computed: {'; '.join(filter(None, table['reason']))}",
            fewer,
        )
    ]
    return rows + [
        stated(
            interval_row(name, row["class"], values[i], drawn[:, i], level, left[:, i]),
            f"cannot be computed: {row['reason']}",
            fewer,
        )
        for i, row in table.iterrows()
    ]


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
