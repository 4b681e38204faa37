"""Three-way decision curve: net benefit of calling negative, referring for ISH, or calling positive.

Two harms are stated: that of treating a negative case, by the threshold probability from which one would treat (as in a
decision curve: at 0.2, a fourth of the benefit of treating a positive one), and that of an ISH test, as a share of the
same benefit. Between the testing and the treatment threshold that follow from both, a test is worth more than either
call (Pauker & Kassirer 1980). A model whose curve lies below "test every case" saves tests at too high a price.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from her2core.errors import ConfigError
from her2core.evidence.arguments import check_predictions, check_resampling
from her2core.evidence.intervals import interval_row, interval_table, with_note
from her2core.evidence.ish_referral import ISH_POSITIVE, NEGATIVE, POSITIVE, REFER, Ints, case_mix, kinds_of_cases
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.metrics.referral_metrics import worth_per_case
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import bootstrap_counts, clusters, jackknife_counts
from her2core.labels import her2_classes

#: Threshold probabilities 0.05 to 0.95, and harms of an ISH test as shares of the benefit of treating a positive case.
THRESHOLDS = tuple(i / 20 for i in range(1, 20))
HARMS = (0.01, 0.05, 0.1)
#: The model with and without referral; then what needs no model.
STRATEGIES = ("model, three-way", "model, two-way", "test every case", "all positive", "all negative")
NET_BENEFIT = "three_way_net_benefit"


def three_way_curve(
    predictions: Predictions,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    harms: Sequence[float] = HARMS,
    ish_positive: float = ISH_POSITIVE,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute the net benefit per case of three-way decisions, beside decisions without referral and without a model.

    Parameters
    ----------
    predictions : Predictions
        Of a HER2 scheme (``labels.her2_classes``), with probabilities.
    thresholds : sequence of float
        Threshold probabilities of treatment without a test, above 0 and below 1.
    harms : sequence of float
        Harm of an ISH test, in units of the benefit of treating a positive case; at least 0 and below 1.
    ish_positive : float
        Share of equivocal cases that ISH finds positive: stated, not measured.
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    DataFrame
        One row per strategy (``STRATEGIES``), harm and threshold: unit, metric (three_way_net_benefit), class (""),
        value, lower_95, upper_95, interval_method, strategy, threshold, harm, note, resampling_unit, n_clusters, n.
        With p the probability that a case is positive and w = t / (1 - t), calling positive is expected to be worth
        p - w (1 - p), a test p - harm, calling negative 0; the model takes the largest.

    Raises
    ------
    ConfigError
        For thresholds, harms or a share out of range, or resamples or a seed.
    EvaluationError
        When there is no row, there are no probabilities, the classes are no HER2 status, or all cases are of one
        status.

    References
    ----------
    Vickers & Elkin 2006, doi 10.1177/0272989X06295361; extended to a test between two thresholds after Pauker &
    Kassirer 1980, doi 10.1056/NEJM198005153022003.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["negative"] * 3 + ["positive"], "probability_positive": [0.1, 0.2, 0.6, 0.7]})
    >>> p = read_predictions(frame.assign(probability_negative=1 - frame["probability_positive"]))
    >>> table = three_way_curve(p, thresholds=[0.5], harms=[0.1], resamples=100)
    >>> table.set_index("strategy")["value"].round(3).to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'model, three-way': 0.175, 'model, two-way': 0.0, 'test every case': 0.15, 'all positive': -0.5,
     'all negative': 0.0}
    """
    check_predictions(predictions, "three-way decisions", scores=True)
    check_resampling(resamples, seed)
    t, h = (np.unique(np.asarray(values, np.float64)) for values in (thresholds, harms))
    for name, values, fine in (("thresholds", t, (t > 0) & (t < 1)), ("harms", h, (h >= 0) & (h < 1))):
        if not len(values) or not fine.all():
            raise ConfigError(
                f"argument `{name}` to be above 0 and below 1", got=str(values.tolist())[:80], fix="Leave them out."
            )
    kinds = kinds_of_cases(predictions)
    case_mix(kinds, ish_positive=ish_positive)  # refuses cases of one status
    p = _probability_positive(predictions, ish_positive)
    group = clusters(predictions)
    equivocal = bool((kinds == REFER).any())
    note = (
        f"ISH taken to find {ish_positive:.0%} of equivocal cases positive: stated, not measured" if equivocal else ""
    )
    counted: dict[tuple[object, ...], tuple[Floats, Floats, Floats]] = {}

    def counts_of(key: tuple[object, ...], action: Ints) -> tuple[Floats, Floats, Floats]:
        """Cases by kind and action: observed, in every resample, and with one cluster after another left out."""
        if key not in counted:
            cells = kinds * 3 + action
            counted[key] = (
                np.bincount(cells, minlength=9).astype(np.float64),
                bootstrap_counts(group, cells=cells, kinds=9, resamples=resamples, seed=seed),
                jackknife_counts(group, cells=cells, kinds=9),
            )
        return counted[key]

    rows: list[dict[str, object]] = []
    for harm in h:
        for threshold in t:
            worth = _worth(threshold, harm, ish_positive)
            for strategy, action in _actions(p, threshold, harm).items():
                depends = {STRATEGIES[0]: (threshold, harm), STRATEGIES[1]: (threshold,)}.get(strategy, ())
                value, draws, left = (
                    worth_per_case(counts, worth) for counts in counts_of((strategy, *depends), action)
                )
                row = interval_row(NET_BENEFIT, "", float(value), draws, None if strategy == STRATEGIES[-1] else left)
                rows.append({**with_note(row, always=note), "strategy": strategy, "threshold": threshold, "harm": harm})
    return interval_table(rows, predictions, group)


def _probability_positive(predictions: Predictions, ish_positive: float) -> Floats:
    """Probability that a case is positive, by IHC or ISH, float64 (N,)."""
    _, asks, positive = her2_classes(predictions.classes) or ((), "", ())
    weight = [ish_positive if c == asks else float(c in positive) for c in predictions.classes]
    return np.asarray(predictions.probs @ np.array(weight))


def _actions(p: Floats, threshold: float, harm: float) -> dict[str, Ints]:
    """What each strategy does with each case."""
    w = threshold / (1 - threshold)
    worth = np.stack([np.zeros(len(p)), p - harm, p - w * (1 - p)], axis=1)
    fixed = (("test every case", REFER), ("all positive", POSITIVE), ("all negative", NEGATIVE))
    return {
        "model, three-way": worth.argmax(axis=1),
        "model, two-way": np.where(p >= threshold, POSITIVE, NEGATIVE),
        **{name: np.full(len(p), action) for name, action in fixed},
    }


def _worth(threshold: float, harm: float, ish_positive: float) -> Floats:
    """What doing each (columns) with a case of each kind (rows) is worth, float64 (3, 3)."""
    w = threshold / (1 - threshold)
    positive = np.array([0, ish_positive, 1])
    return np.stack([np.zeros(3), positive - harm, positive - w * (1 - positive)], axis=1)
