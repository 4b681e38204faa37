"""Reliability diagram and calibration metrics with intervals.

Bins hold about as many rows each ("equal mass"; Nguyen & O'Connor 2015, doi 10.18653/v1/D15-1182), equal probabilities
in one bin. In a resample the bins stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from her2core.errors import EvaluationError
from her2core.evidence.arguments import check_predictions, check_resampling
from her2core.evidence.curves import undefined_classes
from her2core.evidence.intervals import IntervalRow, interval_row, interval_table, reflected, with_note
from her2core.evidence.jackknife import EFFECTIVE, jackknife_row, wilson_interval
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.metrics.probabilistic import check_bins, equal_mass_bins, equal_width_bins, observed_frequency
from her2core.evidence.metrics.recalibration import EDGE, log_odds, recalibrate
from her2core.evidence.metrics.registry import METRICS
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import Clusters, GroupWeights, clusters, group_weights
from her2core.evidence.sample_size import sample_size

#: Brier score and its parts.
BRIER = ("brier", "brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins")
RECALIBRATION = ("calibration_slope", "calibration_intercept", "calibration_in_the_large")
#: Metrics that every resample enlarges, as it adds noise to each bin.
_ENLARGED = ("ece_equal_mass", "ece_equal_width", "classwise_ece", "brier_reliability", "brier_resolution")
_ERRORS = _ENLARGED[:3]
#: A logistic fit costs more than a sum: at most so many resamples.
SLOPE_RESAMPLES = 500
#: Log-odds of a resample's rows are pooled in steps of this where there are more than _MAX_STEPS of them.
_STEP, _MAX_STEPS = 0.05, 300
#: Bins of equal width, as ``metrics.probabilistic.expected_calibration_error`` has them.
_WIDTH_BINS = 15


#: Up to so many rows a bin, on average, the frequencies observed in bins are mostly chance; our choice (10 to 41 % of
#: cohorts of 8 to 16 independent rows with calibrated probabilities had an interval above 0).
ROWS_A_BIN = 2
SEPARATED = "the probabilities separate the outcomes: bounds from the number of clusters of each as well"
BINS_TOO_SMALL = f"bins of {ROWS_A_BIN} rows or fewer: a value of 0 cannot be excluded"


class _Event(NamedTuple):
    """A predicted event: its class ("" that the predicted class is right), probability and outcome, float64 (N,)."""

    of: str
    probability: Floats
    outcome: Floats


class _Sums(NamedTuple):
    """Sums per bin, (bins, 5), (B, bins, 5) and (J, bins, 5), as ``metrics.probabilistic.bin_sums`` gives them."""

    value: Floats
    draws: Floats
    jackknife: Floats


def reliability_table(
    predictions: Predictions, *, bins: int = 10, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compute the reliability diagram: predicted probability and observed frequency by bin.

    Parameters
    ----------
    predictions : Predictions
    bins : int
        Bins of about as many rows each.
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    DataFrame
        One row per class and bin, first of the predicted class (class ""), then of each class against the rest: unit,
        metric (observed_frequency), class, value (how often the predicted class is right, or the class is the true
        one), lower_95, upper_95, interval_method, bin (from 0), lowest, highest and mean_probability of the bin, note,
        resampling_unit, n_clusters, n (rows of the bin).

    Raises
    ------
    ConfigError
        For resamples or a seed out of range.
    EvaluationError
        When there is no row, there are no probabilities, or for fewer than one bin.

    References
    ----------
    Nguyen & O'Connor 2015, doi 10.18653/v1/D15-1182.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> table = reliability_table(p, bins=2, resamples=100)
    >>> table.loc[table["class"] == "a", ["bin", "mean_probability", "value", "n"]]
       bin  mean_probability  value  n
    2    0              0.25    0.0  2
    3    1              0.65    1.0  2
    """
    check_predictions(predictions, "calibration", scores=True)
    check_resampling(resamples, seed)
    check_bins(bins)
    group = clusters(predictions)
    weights = group_weights(group, resamples=resamples, seed=seed)
    rows: list[dict[str, object]] = []
    for event in _events(predictions):
        where, note = _binned(event.probability, bins)
        sums = _sums(event, where, weights)
        value, _, jackknife = (observed_frequency(s) for s in sums)
        for b, (n, total, *_) in enumerate(sums.value):
            size = sample_size(group, where == b)
            row = jackknife_row("observed_frequency", event.of, value[b], jackknife[:, b], size=size)
            here = event.probability[where == b]
            measures = {"bin": b, "lowest": here.min(), "highest": here.max(), "mean_probability": total / n, "n": n}
            rows.append({**with_note(row, always=note), **measures})
    return interval_table(rows, predictions, group)


def calibration_table(
    predictions: Predictions, *, bins: int = 10, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compute calibration errors, the Brier score with its parts, and recalibration slopes.

    Over all classes (class ""): ``ece_equal_mass`` and ``ece_equal_width`` of the predicted class; ``classwise_ece``,
    the mean of the classes' own; ``brier`` and its parts, summed over the classes. By class against the rest:
    ``classwise_ece``, ``brier`` and its parts, and ``RECALIBRATION``. The registry has the definition of each.

    Calibration errors, reliability and resolution are enlarged by resampling. Their intervals are therefore reflected
    about the value (``intervals.reflected``), and that of an error reaches 0 where that of its bins' reliability does.

    Parameters
    ----------
    predictions : Predictions
    bins : int
        Bins of about as many rows each.
    resamples, seed : int
        Of the cluster bootstrap; at most ``SLOPE_RESAMPLES`` for the slopes.

    Returns
    -------
    DataFrame
        unit, metric, class, value, lower_95, upper_95, interval_method, note, resampling_unit, n_clusters, n.

    Raises
    ------
    ConfigError
        For resamples or a seed out of range.
    EvaluationError
        When there is no row, there are no probabilities, or for fewer than one bin.

    References
    ----------
    Naeini et al. 2015, doi 10.1609/aaai.v29i1.9602; Nixon et al. 2019, arXiv 1904.01685; Murphy 1973, doi
    10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2; Van Calster et al. 2019, doi 10.1186/s12916-019-1466-7.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> table = calibration_table(p, resamples=100)
    >>> table.loc[table["metric"] == "brier", ["class", "value"]].round(3).values.tolist()
    [['', 0.25], ['a', 0.125], ['b', 0.125]]
    """
    check_predictions(predictions, "calibration", scores=True)
    check_resampling(resamples, seed)
    check_bins(bins)
    group = clusters(predictions)
    weights = group_weights(group, resamples=resamples, seed=seed)
    top, *by_class = _events(predictions)
    rows = []
    width = equal_width_bins(top.probability, _WIDTH_BINS), f"{_WIDTH_BINS} bins"
    for metric, (where, note) in (("ece_equal_mass", _binned(top.probability, bins)), ("ece_equal_width", width)):
        rows.append(_separated(_binned_row(metric, "", [_sums(top, where, weights)], note), [top], group))
    found = []
    for event in by_class:
        where, note = _binned(event.probability, bins)
        found.append((event, _sums(event, where, weights), note))
    every = [sums for _, sums, _ in found]
    for metric in ("classwise_ece", *BRIER):
        rows.append(_separated(_binned_row(metric, "", every, ""), by_class, group))
        for event, sums, note in found:
            rows.append(_separated(_binned_row(metric, event.of, [sums], note), [event], group))
    reasons = undefined_classes(predictions)
    for event in by_class:
        rows += _recalibration_rows(event, weights, reasons.get(event.of, ""))
    return interval_table(rows, predictions, group)


def compare_calibration(
    uncalibrated: Predictions, calibrated: Predictions, *, bins: int = 10, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Compute ``calibration_table`` before and after calibration.

    Parameters
    ----------
    uncalibrated, calibrated : Predictions
        Of the same rows.
    bins, resamples, seed : int
        As for ``calibration_table``.

    Returns
    -------
    DataFrame
        Both tables, one below the other, with the column scores (uncalibrated, calibrated) in front.

    Raises
    ------
    EvaluationError
        Where rows, labels or classes differ.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "logit_a": [2.0, 0.5, -1.0, -2.0], "logit_b": [0.0] * 4})
    >>> before, after = read_predictions(frame), read_predictions(frame, temperature=2.0)
    >>> table = compare_calibration(before, after, resamples=100)
    >>> table.loc[(table["metric"] == "brier") & (table["class"] == ""), ["scores", "value"]].round(3).values.tolist()
    [['uncalibrated', 0.122], ['calibrated', 0.239]]
    """
    a, b = uncalibrated, calibrated
    ids = [list(p.frame["patch_id"]) for p in (a, b)]
    if ids[0] != ids[1] or (a.classes, a.unit) != (b.classes, b.unit) or (a.labels != b.labels).any():
        raise EvaluationError(
            "the same rows before and after calibration",
            where="calibration",
            got="other rows, labels or classes",
            fix="Read one table in both ways.",
        )
    tables = {
        name: calibration_table(p, bins=bins, resamples=resamples, seed=seed)
        for name, p in (("uncalibrated", a), ("calibrated", b))
    }
    return pd.concat(tables, names=["scores"]).reset_index("scores").reset_index(drop=True)


def _events(predictions: Predictions) -> Iterator[_Event]:
    right = (predictions.predicted == predictions.labels).astype(np.float64)
    yield _Event("", predictions.probs.max(axis=1), right)
    for i, name in enumerate(predictions.classes):
        yield _Event(name, predictions.probs[:, i], (predictions.labels == i).astype(np.float64))


def _binned(probability: Floats, bins: int) -> tuple[NDArray[np.int64], str]:
    where = equal_mass_bins(probability, bins)
    made = int(where.max()) + 1
    return where, f"{made} of {bins} bins: equal probabilities are in one bin" if made < bins else ""


def _sums(event: _Event, where: NDArray[np.int64], weights: GroupWeights) -> _Sums:
    p, y = event.probability, event.outcome
    bins, groups = int(where.max()) + 1, weights.bootstrap.shape[1]
    cells = weights.codes * bins + where
    columns = [np.bincount(cells, v, minlength=groups * bins) for v in (np.ones(len(p)), p, y, p**2, p * y)]
    table = np.stack(columns, axis=-1).reshape(groups, bins * 5)
    return _Sums(
        table.sum(0).reshape(bins, 5),
        *((w @ table).reshape(-1, bins, 5) for w in (weights.bootstrap, weights.jackknife)),
    )


def _binned_row(metric: str, of: str, classes: list[_Sums], note: str) -> IntervalRow:
    """Row of a binned metric: of one event, or over several classes (mean of the errors, sum of the rest)."""
    row = _combined(metric, of, classes)
    if metric not in _ENLARGED:
        return with_note(row, always=note if metric == "brier_within_bins" else "")
    few = any(sums.value[:, 0].sum() <= ROWS_A_BIN * np.count_nonzero(sums.value[:, 0]) for sums in classes)
    row = reflected(row, join_notes(note, BINS_TOO_SMALL if few else ""))
    if few:
        row["lower_95"] = min(row["lower_95"], 0.0)
    # An error is 0 exactly where the reliability of its bins is, so both intervals reach 0 together.
    if "ece" in metric and reflected(_combined("brier_reliability", of, classes))["lower_95"] == 0:
        row["lower_95"] = 0.0
    return row


def _separated(row: IntervalRow, events: list[_Event], group: Clusters) -> IntervalRow:
    """The interval of an error where all probabilities of the event are above all others: resamples hardly differ then.

    The rows of each outcome are taken together: their frequency is 1 or 0, within Wilson's interval of as many
    effective clusters, and the error is at most the distance of their mean probability from the farther end of it.
    """
    error = row["metric"] in _ERRORS
    if not (error or row["metric"] == "brier_reliability") or not all(map(_apart, events)):
        return row
    power, low, high = (1 if error else 2), 0.0, 0.0
    for event in events:
        for outcome in np.unique(event.outcome):
            rows = event.outcome == outcome
            share, mean = float(rows.mean()), float(event.probability[rows].mean())
            ends = wilson_interval(float(outcome), sample_size(group, rows).effective)
            far = [abs(mean - end) for end in ends]
            low += share * (0.0 if ends[0] <= mean <= ends[1] else min(far)) ** power
            high += share * max(far) ** power
    count = len(events) if error else 1
    bounds = {"lower_95": min(row["lower_95"], low / count), "upper_95": max(row["upper_95"], high / count)}
    return with_note(cast(IntervalRow, {**row, **bounds, "interval_method": EFFECTIVE}), always=SEPARATED)


def _apart(event: _Event) -> bool:
    yes = event.outcome == 1
    return bool(yes.all() or not yes.any() or event.probability[yes].min() > event.probability[~yes].max())


def _combined(metric: str, of: str, classes: list[_Sums]) -> IntervalRow:
    combine = np.mean if "ece" in metric else np.sum
    function = METRICS[metric].function
    value, draws, jackknife = (combine([function(sums[i]) for sums in classes], axis=0) for i in range(3))
    return interval_row(metric, of, float(value), draws, jackknife)


def _recalibration_rows(event: _Event, weights: GroupWeights, reason: str) -> list[IntervalRow]:
    odds, outcome = log_odds(event.probability), event.outcome
    steps, at = np.unique(odds, return_inverse=True)
    events, others = (np.bincount(at, v, minlength=len(steps)).astype(np.float64) for v in (outcome, 1 - outcome))
    values = [v[0] for v in recalibrate(steps, up=events, down=others)]
    if len(steps) > _MAX_STEPS:
        _, at = np.unique(np.round(odds / _STEP), return_inverse=True)
        steps = np.bincount(at, odds) / np.bincount(at)
    bootstrap = weights.bootstrap[:SLOPE_RESAMPLES]
    shape = bootstrap.shape[1], len(steps)
    cells = weights.codes * len(steps) + at
    up, down = (np.bincount(cells, v, minlength=shape[0] * shape[1]).reshape(shape) for v in (outcome, 1 - outcome))
    stacked, used = np.concatenate([bootstrap, weights.jackknife]), len(bootstrap)
    fitted = recalibrate(steps, up=stacked @ up, down=stacked @ down)
    undefined = reason or (
        "every probability is the same" if len(steps) == 1 else "the probabilities separate the class from the rest"
    )
    moved = int(((event.probability < EDGE) | (event.probability > 1 - EDGE)).sum())
    note = join_notes(
        f"{moved} probabilities moved off 0 or 1" if moved else "",
        f"interval from {used} resamples" if used < len(weights.bootstrap) else "",
    )
    rows = []
    for metric, value, draws in zip(RECALIBRATION, values, fitted, strict=True):
        row = interval_row(metric, event.of, float(value), draws[:used], draws[used:])
        if np.isnan(row["lower_95"]):
            row["note"] = "no interval: too many resamples have no finite fit"
        rows.append(with_note(row, undefined=undefined, always=note))
    return rows
