"""Is calling patients by this network better than calling all or none? Predictions in; net benefit by threshold out.

Decision curve analysis (Vickers & Elkin 2006, doi 10.1177/0272989X06295361). The threshold is the probability from
which one would call, and so says what a false alarm costs: at 0.2, a fourth of what a missed case does. Probabilities
are taken at their word, so that calibration matters (``evidence.reliability``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.curves import curve_reasons
from her2core.evidence.intervals import interval_row
from her2core.evidence.ordinal import as_table, stated
from her2core.evidence.predictions import Predictions, refuse_empty
from her2core.evidence.resampling import clusters, left_out_counts, resampled_counts

#: 0.01 to 0.99.
THRESHOLDS = tuple(i / 100 for i in range(1, 100))
STRATEGIES = ("network", "all", "none", "network minus all")


def decision_curve(
    predictions: Predictions,
    *,
    of: str = "positive",
    thresholds: Sequence[float] = THRESHOLDS,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Net benefit of calling class ``of``, beside calling every row and calling none.

    Net benefit = true positives / n - false positives / n * t / (1 - t): of a row, in units of a case found. A row is
    called when its probability reaches the threshold t.

    Returns
    -------
    DataFrame with one row a strategy and threshold, thresholds rising: unit, metric (net_benefit), class, strategy
    (STRATEGIES), threshold, value, low, high, note, level, resampled, clusters, n. Calling none is worth 0 and has no
    interval to it (0 to 0). "network minus all" is the difference in the same resamples: curves whose intervals
    overlap may still differ. A class without cases has its value and a note.

    Raises EvaluationError for an unknown class, no rows, or thresholds that are not between 0 and 1.
    """
    refuse_empty(predictions, "decision curve")
    if of not in predictions.classes:
        raise EvaluationError(
            f"a class out of {', '.join(predictions.classes)}",
            got=repr(of)[:80],
            where="decision curve",
            fix="Choose one of these.",
        )
    t = np.unique(np.asarray(thresholds, np.float64))
    if not len(t) or not ((t > 0) & (t < 1)).all():
        raise EvaluationError(
            "thresholds above 0 and below 1",
            got=str(list(thresholds))[:80],
            where="decision curve",
            fix="Leave them out for 0.01 to 0.99.",
        )
    group, position = clusters(predictions), predictions.classes.index(of)
    reached = np.searchsorted(t, predictions.probs[:, position], side="right")  # how many thresholds
    cells = reached * 2 + (predictions.labels == position)
    kinds = 2 * (len(t) + 1)
    counts = resampled_counts(group, cells=cells, kinds=kinds, resamples=resamples, seed=seed)
    left = left_out_counts(group, cells=cells, kinds=kinds)
    value, drawn, left = (_benefits(c, t) for c in (np.bincount(cells, minlength=kinds), counts, left))
    always = curve_reasons(predictions).get(of, "")
    rows = []
    for s in STRATEGIES:
        for i in range(len(t)):
            without = None if s == "none" else left[s][..., i]  # worth 0 by definition
            row = interval_row("net_benefit", of, value[s][i], drawn[s][..., i], level, without)
            rows.append(stated(row, "", always) | {"strategy": s, "threshold": t[i]})
    return as_table(rows, predictions, group, level)


def _benefits(counts: np.ndarray, t: np.ndarray) -> dict[str, np.ndarray]:
    """(..., 2 (T + 1)) rows by thresholds reached and truth -> net benefit of each strategy, float64 (..., T)."""
    table = counts.reshape(*counts.shape[:-1], -1, 2).astype(np.float64)
    rows = table.sum((-2, -1))[..., None]
    called = np.cumsum(table[..., ::-1, :], axis=-2)[..., ::-1, :]  # of those that reached so many thresholds or more
    cost = t / (1 - t)
    network = (called[..., 1:, 1] - called[..., 1:, 0] * cost) / rows
    everyone = (called[..., :1, 1] - called[..., :1, 0] * cost) / rows
    return dict(zip(STRATEGIES, (network, everyone, np.zeros_like(network), network - everyone), strict=True))
