"""Risk-coverage curve and referral by prediction sets: what follows when uncertain rows are not predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.arguments import check_predictions, check_resampling
from her2core.evidence.conformal import PredictionSets
from her2core.evidence.intervals import interval_row, interval_table, with_note
from her2core.evidence.jackknife import jackknife_row
from her2core.evidence.metrics.registry import METRICS, metrics_of
from her2core.evidence.metrics.selective import RiskCoverage
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import affordable_resamples, clusters, group_weights, jackknife_counts
from her2core.evidence.sample_size import sample_size
from her2core.labels import referral_class

#: Metrics of ``referral_table``: proportions of the rows of a class, but the last of those that are predicted.
OUTCOMES = tuple(m.name for m in metrics_of("referral"))


def risk_coverage(predictions: Predictions, *, steps: int = 100, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compute the risk-coverage curve: error rate among the most confident rows, by their proportion.

    Confidence is the highest probability of a row. Among rows of equal confidence any order is as good: their mean is
    taken, so that constant probabilities have the error rate at every coverage.

    Parameters
    ----------
    predictions : Predictions
    steps : int
        Number of coverages, evenly from 1 / ``steps`` to 1.
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    DataFrame
        One row per step (metric "risk"): unit, metric, class (""), value, lower_95, upper_95, interval_method, coverage
        (rising to 1), threshold (the lowest confidence that is predicted), note, resampling_unit, n_clusters, n (rows
        predicted); and one last row (metric "aurc"), coverage and threshold NaN, n all rows. The risk at coverage 1
        is the error rate, and so is the AURC of a random order.

    Raises
    ------
    ConfigError
        For fewer than one step, or resamples or a seed out of range.
    EvaluationError
        When there is no row, or there are no probabilities.

    References
    ----------
    Geifman & El-Yaniv 2017, arXiv 1705.08500; Geifman et al. 2019, arXiv 1805.08206.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> risk_coverage(p, steps=4, resamples=100)[["metric", "coverage", "value"]].round(3)
      metric  coverage  value
    0   risk      0.25  0.000
    1   risk      0.50  0.000
    2   risk      0.75  0.000
    3   risk      1.00  0.250
    4   aurc       NaN  0.062
    """
    check_predictions(predictions, "risk and coverage", scores=True)
    check_resampling(resamples, seed)
    if steps < 1:
        raise ConfigError("argument `steps` to be at least 1", got=str(steps), fix="Use 100.")
    confidence = predictions.probs.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], (predictions.predicted != predictions.labels)[order]
    predicted = np.unique(np.ceil(np.arange(1, steps + 1) / steps * len(confidence) - 1e-9).astype(int))
    coverage = predicted / len(confidence)
    group = clusters(predictions)
    used, fewer = affordable_resamples(resamples, len(confidence))
    codes, bootstrap, jackknife = group_weights(group, resamples=used, seed=seed)
    most = int((bootstrap @ np.bincount(codes, minlength=bootstrap.shape[1])).max())
    curve = RiskCoverage(confidence, wrong, codes[order], coverage, max(most, len(confidence)))
    value, area = curve(np.ones(bootstrap.shape[1]))
    (_, areas), (left_risks, left_areas) = (
        (np.array([c[0] for c in curves]), np.array([c[1] for c in curves]))
        for curves in ([curve(weights) for weights in stack] for stack in (bootstrap, jackknife))
    )
    rows: list[dict[str, object]] = []
    for i, n in enumerate(predicted):
        size = sample_size(group, np.isin(np.arange(len(order)), order[:n]))
        row = jackknife_row("risk", "", value[i], left_risks[:, i], size=size)
        rows.append({**row, "coverage": coverage[i], "threshold": confidence[n - 1], "n": n})
    last = with_note(interval_row("aurc", "", area, areas, left_areas), always=fewer)
    rows.append({**last, "coverage": np.nan, "threshold": np.nan, "n": len(confidence)})
    return interval_table(rows, predictions, group)


def referral_table(
    predictions: Predictions, sets: PredictionSets, *, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compute who is predicted and who is referred for IHC/ISH when only a set of exactly one class is a prediction.

    Rows with empty sets and sets of several classes are referred. So is a set that holds nothing but the class that
    asks for ISH (``labels.referral_class``): equivocal is no answer.

    Parameters
    ----------
    predictions : Predictions
    sets : PredictionSets
        Of the same classes and unit.
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    DataFrame
        One row per true class (class "" for all rows) and metric of ``OUTCOMES``: unit, metric, class, value, lower_95,
        upper_95, interval_method, nominal_coverage, note, resampling_unit, n_clusters, n (rows of the class).
        ``coverage``, ``correct_rate``, ``referral_rate`` and ``set_coverage`` are proportions of the rows of the class;
        ``selective_accuracy`` is of those predicted, and NaN where none is. The note says where sets are marginal or
        were calibrated on patches of unknown patients.

    Raises
    ------
    ConfigError
        For resamples or a seed out of range.
    EvaluationError
        When there is no row, there are no probabilities, the sets are of other classes or another unit, or none are
        given.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.5], "probability_b": [0.1, 0.5]})
    >>> sets = PredictionSets(0.9, ("a", "b"), (0.5, 0.5), (50, 50))
    >>> table = referral_table(read_predictions(frame), sets, resamples=100)
    >>> table[table["class"] == ""].set_index("metric")["value"].to_dict()
    {'coverage': 0.5, 'correct_rate': 0.5, 'referral_rate': 0.5, 'set_coverage': 1.0, 'selective_accuracy': 1.0}
    """
    check_predictions(predictions, "referral", scores=True)
    check_resampling(resamples, seed)
    if (sets.classes, sets.unit) != (predictions.classes, predictions.unit):
        raise EvaluationError(
            f"sets of a {predictions.unit}, of the classes {', '.join(predictions.classes)}",
            got=f"those of a {sets.unit}, {', '.join(sets.classes)}",
            where="referral",
            fix="Use the sets of the run that made these predictions.",
        )
    inside, k = sets.sets(predictions.probs), len(predictions.classes)
    refers = referral_class(predictions.classes)
    single = (inside.sum(axis=1) == 1) & ~_holds_only(inside, predictions.classes, refers)
    holds = inside[np.arange(len(predictions)), predictions.labels]
    cells = (predictions.labels * 2 + single) * 2 + holds
    group = clusters(predictions)
    counts = [
        c.reshape(-1, k, 2, 2)
        for c in (np.bincount(cells, minlength=4 * k), jackknife_counts(group, cells=cells, kinds=4 * k))
    ]
    unit = predictions.unit
    note = join_notes(sets.note, f"a set of {refers} alone is a referral: it asks for ISH" if refers else "")
    rows: list[dict[str, object]] = []
    for i, name in [*enumerate(predictions.classes), (None, "")]:
        of = [c.sum(axis=1) if i is None else c[:, i] for c in counts]
        rows_of = np.ones(len(predictions), bool) if i is None else predictions.labels == i
        n = int(rows_of.sum())
        for metric in OUTCOMES:
            value, jackknife = (METRICS[metric].function(c) for c in of)
            size = sample_size(group, rows_of & single if metric == "selective_accuracy" else rows_of, of=name)
            row = jackknife_row(metric, name, float(value[0]), jackknife, size=size)
            undefined = f"no {unit} is predicted" if n else f"no {unit} is truly {name}"
            noted = with_note(row, undefined=undefined, always=note)
            rows.append({**noted, "nominal_coverage": sets.coverage, "n": n})
    return interval_table(rows, predictions, group)


def _holds_only(inside: NDArray[np.bool_], classes: tuple[str, ...], name: str) -> NDArray[np.bool_]:
    """Which sets hold this class and no other; none for an empty name."""
    return inside[:, classes.index(name)] & (inside.sum(axis=1) == 1) if name else np.zeros(len(inside), bool)
