"""Decision curve analysis: net benefit of predicting a class, by threshold probability.

The threshold is the probability from which one would act, and so states what a false positive costs: at 0.2, a fourth
of what a missed case does. Probabilities are taken as they are, so that calibration matters (``reliability``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from her2core.errors import ConfigError
from her2core.evidence.arguments import check_class, check_predictions, check_resampling
from her2core.evidence.curves import undefined_classes
from her2core.evidence.intervals import interval_row, interval_table, with_note
from her2core.evidence.metrics.decision import net_benefit
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import bootstrap_counts, clusters, jackknife_counts

#: 0.01 to 0.99.
THRESHOLDS = tuple(i / 100 for i in range(1, 100))
STRATEGIES = ("model", "treat all", "treat none", "model minus treat all")


def decision_curve(
    predictions: Predictions,
    *,
    of: str = "positive",
    thresholds: Sequence[float] = THRESHOLDS,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute the net benefit of predicting a class, beside predicting every row and none.

    Parameters
    ----------
    predictions : Predictions
    of : str
        Class on which one would act.
    thresholds : sequence of float
        Threshold probabilities, above 0 and below 1.
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    DataFrame
        One row per strategy and threshold, thresholds rising: unit, metric (net_benefit), class, value, lower_95,
        upper_95, interval_method, strategy (``STRATEGIES``), threshold, note, resampling_unit, n_clusters, n. Treating
        none is worth 0 by definition. "model minus treat all" is the difference in the same resamples: curves whose
        intervals overlap may still differ.

    Raises
    ------
    ConfigError
        For an unknown class, thresholds that are not between 0 and 1, or resamples or a seed out of range.
    EvaluationError
        When there is no row, or there are no probabilities.

    References
    ----------
    Vickers & Elkin 2006, doi 10.1177/0272989X06295361.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> decision_curve(p, of="a", thresholds=[0.35], resamples=100).set_index("strategy")["value"].round(3).to_dict()
    {'model': 0.5, 'treat all': 0.231, 'treat none': 0.0, 'model minus treat all': 0.269}
    """
    check_predictions(predictions, "decision curve", scores=True)
    position = check_class(of, predictions.classes)
    check_resampling(resamples, seed)
    t = np.unique(np.asarray(thresholds, np.float64))
    if not len(t) or not ((t > 0) & (t < 1)).all():
        raise ConfigError(
            "argument `thresholds` to be above 0 and below 1",
            got=str(list(thresholds))[:80],
            fix="Leave them out for 0.01 to 0.99.",
        )
    group = clusters(predictions)
    reached = np.searchsorted(t, predictions.probs[:, position], side="right")  # how many thresholds
    cells = reached * 2 + (predictions.labels == position)
    kinds = 2 * (len(t) + 1)
    counts = bootstrap_counts(group, cells=cells, kinds=kinds, resamples=resamples, seed=seed)
    left = jackknife_counts(group, cells=cells, kinds=kinds)
    value, draws, jackknife = (_benefits(c, t) for c in (np.bincount(cells, minlength=kinds), counts, left))
    always = undefined_classes(predictions).get(of, "")
    rows = []
    for s in STRATEGIES:
        for i in range(len(t)):
            without = None if s == "treat none" else jackknife[s][..., i]
            row = interval_row("net_benefit", of, float(value[s][i]), draws[s][..., i], without)
            rows.append({**with_note(row, always=always), "strategy": s, "threshold": t[i]})
    return interval_table(rows, predictions, group)


def _benefits(counts: np.ndarray, t: Floats) -> dict[str, Floats]:
    """(..., 2 (T + 1)) rows by thresholds reached and truth -> net benefit of each strategy, float64 (..., T)."""
    table = counts.reshape(*counts.shape[:-1], -1, 2).astype(np.float64)
    rows = table.sum((-2, -1))[..., None]
    reaching = np.cumsum(table[..., ::-1, :], axis=-2)[..., ::-1, :]  # rows that reach so many thresholds or more
    model, everyone = (
        net_benefit(reaching[..., part, 1], false_positives=reaching[..., part, 0], rows=rows, threshold=t)
        for part in (slice(1, None), slice(0, 1))
    )
    return dict(zip(STRATEGIES, (model, everyone, np.zeros_like(model), model - everyone), strict=True))
