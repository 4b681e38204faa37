"""What if unsure patches are not answered? Predictions in; risk against coverage, and who is sent for IHC/ISH, out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.conformal import PredictionSets
from her2core.evidence.intervals import interval_row
from her2core.evidence.ordinal import affordable, as_table, stated, weighting
from her2core.evidence.predictions import Predictions, refuse_empty
from her2core.evidence.resampling import clusters, holding, left_out_counts, resampled_counts

#: What becomes of a row; the shares of ``referral_table``, each of the rows of a class, but the last of those answered.
OUTCOMES = ("answered", "answered_rightly", "sent", "covered", "right_when_answered")


def risk_coverage(
    predictions: Predictions, *, steps: int = 100, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """How often the network is wrong on the share of rows that it is surest of, by its top probability.

    Selective classification: Geifman & El-Yaniv 2017, arXiv 1705.08500. AURC: the mean risk over answering the surest
    1, 2, ..., N rows (Geifman et al. 2019, arXiv 1805.08206). Among rows of one probability any order is as good:
    their mean is taken, so that constant probabilities have the error rate everywhere.

    Returns
    -------
    DataFrame with one row a step (metric "risk"): unit, metric, class (""), coverage (share answered, rising to 1),
    threshold (the lowest probability answered), value, low, high, note, level, resampled, clusters, n (rows answered);
    and one last row (metric "aurc") with coverage and threshold NaN, n all rows. The risk at coverage 1
    is the error rate, and so is the AURC of an order by chance.

    Raises EvaluationError when there is no row, or for fewer than one step.
    """
    refuse_empty(predictions, "risk and coverage")
    if steps < 1:
        raise EvaluationError("at least one step", got=str(steps), where="risk and coverage", fix="Use 100.")
    sure = predictions.probs.max(axis=1)
    order = np.argsort(-sure, kind="stable")
    sure, wrong = sure[order], (predictions.predicted != predictions.labels)[order]
    answered = np.unique(np.ceil(np.arange(1, steps + 1) / steps * len(sure) - 1e-9).astype(int))
    coverage = answered / len(sure)
    group = clusters(predictions)
    used, fewer = affordable(resamples, len(sure))
    codes, weights, without = weighting(group, resamples=used, seed=seed)
    most = int((weights @ np.bincount(codes, minlength=weights.shape[1])).max())
    walk = _Walk(sure, wrong, codes[order], coverage, max(most, len(sure)))
    values, area = walk(np.ones(weights.shape[1]))
    (risks, areas), (left_risks, left_areas) = (
        (np.array([d[0] for d in walked]), np.array([d[1] for d in walked]))
        for walked in ([walk(row) for row in weighted] for weighted in (weights, without))
    )
    seen = np.unique(codes[order], return_index=True)[1]  # where in the order a group has its first row
    held = np.searchsorted(np.sort(seen), answered)
    rows = [
        stated(
            interval_row("risk", "", values[i], risks[:, i], level, left_risks[:, i], share_of=int(held[i])), "", fewer
        )
        | {"coverage": coverage[i], "threshold": sure[n - 1], "n": n}
        for i, n in enumerate(answered)
    ]
    last = stated(interval_row("aurc", "", area, areas, level, left_areas), "", fewer)
    rows.append(last | {"coverage": np.nan, "threshold": np.nan, "n": len(sure)})
    return as_table(rows, predictions, group, level)


def referral_table(
    predictions: Predictions, sets: PredictionSets, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Who is answered and who is sent for IHC/ISH when only a set of exactly one class is an answer.

    Empty sets and sets of several classes are sent.

    Returns
    -------
    DataFrame with one row a true class (class "" for all rows) and figure of OUTCOMES: unit, metric, class, value, low,
    high, note, level, resampled, clusters, n (rows of the class), coverage_asked. ``answered``, ``answered_rightly``,
    ``sent`` and ``covered`` (the set holds the truth) are shares of the rows of the class; ``right_when_answered`` is
    of those answered, and NaN where none is. The promise of the sets is one about patches: for another unit the note
    says that the shares are measured and not promised.

    Raises EvaluationError when there is no row, or for sets of other classes.
    """
    refuse_empty(predictions, "referral")
    if sets.classes != predictions.classes:
        raise EvaluationError(
            f"sets of the classes {', '.join(predictions.classes)}",
            got=", ".join(sets.classes),
            where="referral",
            fix="Use the sets of the run that made these predictions.",
        )
    inside, k = sets.sets(predictions.probs), len(predictions.classes)
    single = inside.sum(axis=1) == 1
    holds = inside[np.arange(len(predictions)), predictions.labels]
    cells = (predictions.labels * 2 + single) * 2 + holds
    group = clusters(predictions)
    estimate = np.bincount(cells, minlength=4 * k).reshape(k, 2, 2).astype(np.float64)
    counts = resampled_counts(group, cells=cells, kinds=4 * k, resamples=resamples, seed=seed).reshape(-1, k, 2, 2)
    left = left_out_counts(group, cells=cells, kinds=4 * k).reshape(-1, k, 2, 2)
    promised = (
        "" if predictions.unit == "patch" else f"thresholds are those of patches: no promise for a {predictions.unit}"
    )
    rows = []
    for i, name in [*enumerate(predictions.classes), (None, "")]:
        of, *others = (c.sum(axis=-3) if i is None else c[..., i, :, :] for c in (estimate, counts, left))
        value, draws, without = (_outcomes(c) for c in (of, *others))
        rows_of = np.ones(len(predictions), bool) if i is None else predictions.labels == i
        always = f"{name} is in every set: too few validation patches" if name in sets.always else ""
        note = "; ".join(filter(None, (promised, always)))
        for figure in OUTCOMES:
            missing = "nothing is answered" if of.sum() else f"no {predictions.unit} is truly {name}"
            held = holding(group, rows_of & single if figure == "right_when_answered" else rows_of)
            row = interval_row(figure, name, value[figure], draws[figure], level, without[figure], share_of=held)
            rows.append(stated(row, f"cannot be computed: {missing}", note) | {"n": of.sum()})
    return as_table(rows, predictions, group, level).assign(coverage_asked=sets.coverage)


def _outcomes(counts: np.ndarray) -> dict[str, np.ndarray]:
    """(..., 2, 2) counts by answered and covered -> OUTCOMES, float64 (...); NaN without denominator."""
    rows, answered = counts.sum((-2, -1)), counts[..., 1, :].sum(-1)
    right = counts[..., 1, 1]
    tops = (answered, right, rows - answered, counts[..., 1].sum(-1), right)
    bottoms = (rows, rows, rows, rows, answered)
    return {
        name: np.divide(top, bottom, out=np.full(np.shape(rows), np.nan), where=bottom > 0)
        for name, top, bottom in zip(OUTCOMES, tops, bottoms, strict=True)
    }


class _Walk:
    """Risk at each coverage, and AURC, of rows that stand surest first, under a weighting of their groups.

    The risks of answering 1, 2, ..., N rows sum to H(N) - H(p - 1) for each error, the p-th row, with H the harmonic
    numbers; of an error in a run of equal probabilities that is the mean over the run.
    """

    def __init__(self, sure, wrong, codes, coverage, most: int) -> None:
        starts = np.concatenate([[0], np.flatnonzero(sure[1:] != sure[:-1]) + 1])
        self.edges = np.append(starts, len(sure))  # of the runs, in rows
        self.bad_edges = np.concatenate([[0], np.cumsum(wrong)])[self.edges]  # and in errors
        self.erring = np.flatnonzero(np.diff(self.bad_edges))
        self.codes, self.bad_codes, self.coverage = codes, codes[wrong], coverage
        self.harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, most + 1))])
        self.summed = np.concatenate([[0.0], np.cumsum(self.harmonic)])
        self.rows, self.bad = np.zeros(len(sure) + 1, np.int64), np.zeros(int(wrong.sum()) + 1, np.int64)

    def __call__(self, weights: np.ndarray) -> tuple[np.ndarray, float]:
        """float (G,) whole numbers -> float (steps,) and AURC."""
        held = weights.astype(np.int64)
        np.cumsum(held.take(self.codes), out=self.rows[1:])
        np.cumsum(held.take(self.bad_codes), out=self.bad[1:])
        total = self.rows[-1]
        before, m, _, e = self._runs(self.erring)
        passed = (self.summed[before + m] - self.summed[before]) / np.maximum(m, 1)
        area = float((e * (self.harmonic[total] - passed)).sum() / total)
        target = self.coverage * total
        row = np.minimum(np.searchsorted(self.rows[1:], target - 1e-9 * total), len(self.rows) - 2)
        before, m, errors, e = self._runs(np.searchsorted(self.edges, row, side="right") - 1)
        return (errors + (target - before) * e / np.maximum(m, 1)) / target, area

    def _runs(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of these runs: rows before, rows inside, errors before, errors inside."""
        first, bad_first = self.rows.take(self.edges[at]), self.bad.take(self.bad_edges[at])
        inside = self.rows.take(self.edges[at + 1]) - first
        return first, inside, bad_first, self.bad.take(self.bad_edges[at + 1]) - bad_first
