"""Does 80 % mean 80 %? Predictions in; reliability bins, calibration errors, Brier parts and recalibration slopes out.

Bins hold about as many rows each ("equal mass"; Nguyen & O'Connor 2015, doi 10.18653/v1/D15-1182), equal probabilities
in one bin. In a resample the bins stay where they are.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from her2core.errors import EvaluationError
from her2core.evidence.curves import curve_reasons
from her2core.evidence.intervals import interval_row
from her2core.evidence.ordinal import as_table, reflected, stated, weighting
from her2core.evidence.predictions import Predictions, refuse_empty
from her2core.evidence.resampling import clusters, holding

PARTS = ("brier", "brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins")
RECALIBRATION = ("calibration_slope", "calibration_intercept", "calibration_in_the_large")
#: Figures that a resample makes larger than they are, as it adds noise to every bin.
_ENLARGED = ("ece", "brier_reliability", "brier_resolution")
#: A fit of the slope costs more than a sum: so many resamples at most.
SLOPE_RESAMPLES = 500
#: Log-odds of a resample's rows are put together in steps of this where there are more than _MAX_STEPS of them.
_STEP, _MAX_STEPS = 0.05, 300
#: How near a probability comes to 0 and 1 before its log-odds are taken; bins of equal width, as calibration.py has.
_EDGE, _WIDTH_BINS = 1e-12, 15


def equal_mass_bins(values: np.ndarray, bins: int) -> tuple[np.ndarray, str]:
    """float (N,) -> int (N,), the bin of each, from 0 without gaps, N / bins rows each, equal values together; and what
    to say where there are fewer. Raises EvaluationError for fewer than one bin."""
    if bins < 1:
        raise EvaluationError("at least one bin", got=str(bins), where="calibration", fix="Use 10, say.")
    _, inverse, times = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(times) - times
    found, place = np.unique(below * bins // max(len(values), 1), return_inverse=True)
    few = f"{len(found)} of {bins} bins: equal probabilities stay together" if len(found) < bins else ""
    return place[inverse], few


def reliability_table(
    predictions: Predictions, *, bins: int = 10, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """What was said and what was so, bin by bin: of the top class (class ""), then of each class against the rest.

    Returns
    -------
    DataFrame with one row a class and bin: unit, metric (observed_share), class, bin (from 0), lowest, highest and
    mean_probability of the bin, value (of the top class: how often it is right; of a class: how often it is the true
    one), low, high, note, level, resampled, clusters, n (rows of the bin).

    Raises EvaluationError when there is no row, or for fewer than one bin.
    """
    refuse_empty(predictions, "calibration")
    group = clusters(predictions)
    codes, *weightings = weighting(group, resamples=resamples, seed=seed)
    rows = []
    for name, said, so in _questions(predictions):
        where, note = equal_mass_bins(said, bins)
        total, *sums = _sums(said, so, where, codes, weightings)
        shares, left = (
            np.divide(s[..., 2], s[..., 0], out=np.full(s.shape[:-1], np.nan), where=s[..., 0] > 0) for s in sums
        )
        for b, (n, sum_said, sum_so, *_) in enumerate(total):
            held = holding(group, where == b)
            row = interval_row("observed_share", name, sum_so / n, shares[:, b], level, left[:, b], share_of=held)
            if not np.isfinite(row["lower_95"]):
                row["note"] = "no interval: too few resamples reach this bin"
            elif sum_so in (0, n):
                row["note"] = f"all or none: the bound is the exact one of {held} {group.unit} answers"
            here = said[where == b]
            rows.append(
                stated(row, "", note)
                | {"bin": b, "lowest": here.min(), "highest": here.max(), "mean_probability": sum_said / n, "n": n}
            )
    return as_table(rows, predictions, group, level)


def calibration_table(
    predictions: Predictions, *, bins: int = 10, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """One number each for how far probabilities are from what happens.

    Returns
    -------
    DataFrame as ``metric_table`` gives it. Over all classes (class ""): ``ece_equal_mass`` of the top class;
    ``ece_equal_width`` as ``calibration.expected_calibration_error``; ``classwise_ece``, the mean of the classes' own
    (Nixon et al. 2019, arXiv 1904.01685), of equal mass; ``brier``, the mean squared distance of all classes (Brier
    1950), from 0 to 2. By class against the rest: ``classwise_ece``, ``brier`` (they sum to the one over all), and
    RECALIBRATION: intercept and slope of the logistic regression of the class on the log-odds of its probability (Cox
    1958, doi 10.1093/biomet/45.3-4.562; 0 and 1 are perfect, a slope below 1 is overconfident), and the intercept at
    slope 1, "calibration in the large" (Van Calster et al. 2019, doi 10.1186/s12916-019-1466-7).

    brier = brier_reliability - brier_resolution + brier_uncertainty + brier_within_bins: Murphy 1973 (doi
    10.1175/1520-0450(1973)012<0595:ANVPOT>2.0.CO;2), exact without the last only when all rows of a bin have one
    probability; the last is what varies within bins, variance less twice covariance (Stephenson et al. 2008, doi
    10.1175/2007WAF2006116.1), negative where a bin's higher probabilities are right more often.

    Calibration errors, reliability and resolution grow by resampling. Their intervals are therefore reflected about
    the value (``ordinal.reflected``), and that of an error reaches 0 where that of its bins' reliability does.

    Raises EvaluationError when there is no row, or for fewer than one bin.
    """
    refuse_empty(predictions, "calibration")
    group = clusters(predictions)
    codes, *weightings = weighting(group, resamples=resamples, seed=seed)
    (_, top, right), *by_class = _questions(predictions)
    width = np.clip(np.ceil(top * _WIDTH_BINS).astype(int) - 1, 0, _WIDTH_BINS - 1), f"{_WIDTH_BINS} bins"
    rows, found = [], []
    for metric, (where, note) in (("ece_equal_mass", equal_mass_bins(top, bins)), ("ece_equal_width", width)):
        rows.append(_row(metric, "", [_parts(s) for s in _sums(top, right, where, codes, weightings)], level, note))
    for name, said, so in by_class:
        where, note = equal_mass_bins(said, bins)
        found.append((name, [_parts(sums) for sums in _sums(said, so, where, codes, weightings)], note))
    whole = [
        {
            part: (np.mean if part == "ece" else np.sum)([of[i][part] for _, of, _ in found], axis=0)
            for part in ("ece", *PARTS)
        }
        for i in range(3)
    ]
    for part in ("ece", *PARTS):
        metric = part.replace("ece", "classwise_ece")
        rows += [_row(metric, name, of, level, note, part) for name, of, note in [("", whole, ""), *found]]
    reasons, used = curve_reasons(predictions), (weightings[0][:SLOPE_RESAMPLES], weightings[1])
    for name, said, so in by_class:
        rows += _recalibration_rows(name, said, so, codes, used, level, reasons.get(name, ""), resamples)
    return as_table(rows, predictions, group, level)


def before_and_after(uncalibrated: Predictions, calibrated: Predictions, **options) -> pd.DataFrame:
    """``calibration_table`` of both, one below the other, the column scores (uncalibrated, calibrated) in front.

    ``options`` go to ``calibration_table``. Raises EvaluationError where rows, labels or classes differ.
    """
    a, b, ids = uncalibrated, calibrated, [list(p.frame["patch_id"]) for p in (uncalibrated, calibrated)]
    same = ids[0] == ids[1] and a.classes == b.classes and a.unit == b.unit
    if not same or (a.labels != b.labels).any():
        raise EvaluationError(
            "the same rows before and after calibration",
            where="calibration",
            got="other rows, labels or classes",
            fix="Read one table in both ways.",
        )
    tables = {"uncalibrated": calibration_table(a, **options), "calibrated": calibration_table(b, **options)}
    return pd.concat(tables, names=["scores"]).reset_index("scores").reset_index(drop=True)


def recalibrate(log_odds: np.ndarray, *, up: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, intercept, and intercept at slope 1, float64 (B,) each, of B logistic regressions without penalty.

    ``log_odds`` float (M,), rising; ``up`` and ``down`` float (B, M): rows of the class and of the rest at each. NaN
    where no answer is finite: nothing of a kind, or (slope and intercept) the two kinds overlap nowhere.
    """
    up, down = np.atleast_2d(up), np.atleast_2d(down)
    both = (up.sum(1) > 0) & (down.sum(1) > 0)
    first_up, first_down = (np.argmax(side > 0, axis=1) for side in (up, down))
    last_up, last_down = (len(log_odds) - 1 - np.argmax(side[:, ::-1] > 0, axis=1) for side in (up, down))
    overlap = both & (last_up > first_down) & (last_down > first_up)
    slope, intercept, large = np.full((3, len(up)), np.nan)
    if overlap.any():
        total = (up + down).sum(0)
        centre = np.average(log_odds, weights=total)
        spread = np.sqrt(np.average((log_odds - centre) ** 2, weights=total))
        constant, steep = _newton((log_odds - centre) / spread, up[overlap], down[overlap], fixed=False)
        slope[overlap], intercept[overlap] = steep / spread, constant - steep / spread * centre
    large[both] = _newton(log_odds, up[both], down[both], fixed=True)[0]
    return slope, intercept, large


def _newton(z: np.ndarray, up: np.ndarray, down: np.ndarray, *, fixed: bool) -> np.ndarray:
    """(2, B): the most likely constant and slope on ``z`` (``fixed``: slope 1); a step for the worse is halved."""
    total = up + down
    found = np.stack([np.zeros(len(up)), np.full(len(up), float(fixed))])

    def loss(at: np.ndarray) -> np.ndarray:
        odds = at[0][:, None] + at[1][:, None] * z
        return (total * np.logaddexp(0, odds) - up * odds).sum(1)

    at, before, pace, going = found, loss(found), np.ones(len(up)), np.arange(len(up))
    for _ in range(200):
        said = expit(at[0][:, None] + at[1][:, None] * z)
        off, spread = up - total * said, total * said * (1 - said)
        g0, g1, h0, h1, h2 = off.sum(1), off @ z, spread.sum(1), spread @ z, spread @ z**2
        g1, h1, h2 = (0 * g1, 0 * h1, 1.0) if fixed else (g1, h1, h2)
        step = np.stack([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0]) / np.maximum(h0 * h2 - h1**2, 1e-300)
        step *= np.minimum(1, 5 / np.maximum(np.abs(step).max(0), 1e-300))  # no leap where the likelihood is flat
        tried = at + pace * step
        after = loss(tried)
        better = after <= before + 1e-12 * np.abs(before)
        at, before, pace = np.where(better, tried, at), np.where(better, after, before), np.where(better, 1, pace / 2)
        found[:, going] = at
        on = (np.abs(step) >= 1e-9 * (1 + np.abs(at))).any(0)  # those that still move; most are done before the last
        if not on.any():
            break
        at, before, pace, going, up, total = at[:, on], before[on], pace[on], going[on], up[on], total[on]
    return found


def _recalibration_rows(name, said, so, codes, weightings, level, reason: str, asked: int) -> list[dict]:
    clipped = np.clip(said, _EDGE, 1 - _EDGE)
    log_odds = np.log(clipped) - np.log1p(-clipped)
    steps, at = np.unique(log_odds, return_inverse=True)
    cases = np.bincount(at, so, minlength=len(steps))
    values = [v[0] for v in recalibrate(steps, up=cases, down=np.bincount(at, minlength=len(steps)) - cases)]
    if len(steps) > _MAX_STEPS:
        _, at = np.unique(np.round(log_odds / _STEP), return_inverse=True)
        steps = np.bincount(at, log_odds) / np.bincount(at)
    cells, shape = codes * len(steps) + at, (weightings[0].shape[1], len(steps))
    up, down = (np.bincount(cells, v, minlength=shape[0] * shape[1]).reshape(shape) for v in (so, 1 - so))
    together, used = np.concatenate(weightings), len(weightings[0])
    fitted = recalibrate(steps, up=together @ up, down=together @ down)
    reason = reason or ("every probability is the same" if len(steps) == 1 else "no overlap of the class and the rest")
    moved = int((clipped != said).sum())
    fewer = [f"interval from {used} resamples"] * (used < asked)
    note = "; ".join([f"{moved} probabilities moved off 0 or 1"] * (moved > 0) + fewer)
    rows = [
        interval_row(m, name, v, d[:used], level, d[used:])
        for m, v, d in zip(RECALIBRATION, values, fitted, strict=True)
    ]
    for row in rows:
        if np.isnan(row["lower_95"]):
            row["note"] = "no interval: too many resamples have no finite answer"
    return [stated(row, f"cannot be computed: {reason}", note) for row in rows]


def _questions(predictions: Predictions):
    """Name, probability float (N,) and whether it came true, float (N,): of the top class, then of each class."""
    yield "", predictions.probs.max(axis=1), (predictions.predicted == predictions.labels).astype(np.float64)
    for i, name in enumerate(predictions.classes):
        yield name, predictions.probs[:, i], (predictions.labels == i).astype(np.float64)


def _sums(said, so, where, codes, weightings) -> list[np.ndarray]:
    """(bins, 5), then (B, bins, 5) for each weighting (B, G) of groups: rows, sum of said, of so, of said squared, of
    said times so."""
    bins, groups = int(where.max()) + 1, weightings[0].shape[1]
    cells = codes * bins + where
    sums = [np.bincount(cells, v, minlength=groups * bins) for v in (np.ones(len(said)), said, so, said**2, said * so)]
    table = np.stack(sums, axis=-1).reshape(groups, bins * 5)
    return [table.sum(0).reshape(bins, 5), *((weights @ table).reshape(-1, bins, 5) for weights in weightings)]


def _parts(sums: np.ndarray) -> dict[str, np.ndarray]:
    """(..., bins, 5) of ``_sums`` -> ece and PARTS, float64 (...)."""
    n, said, so, said_squared, product = (sums[..., i] for i in range(5))
    rows, some = n.sum(-1), np.maximum(n, 1)
    share = so.sum(-1) / rows
    varying = said_squared - said**2 / some - 2 * (product - said * so / some)
    return {
        "ece": np.abs(said - so).sum(-1) / rows,
        "brier": (said_squared - 2 * product + so).sum(-1) / rows,
        "brier_reliability": ((said - so) ** 2 / some).sum(-1) / rows,
        "brier_resolution": (n * (so / some - share[..., None]) ** 2).sum(-1) / rows,
        "brier_uncertainty": share * (1 - share),
        "brier_within_bins": varying.sum(-1) / rows,
    }


def _row(metric: str, name: str, parts: list[dict], level: float, note: str, part: str = "ece") -> dict:
    """One row of ``_parts`` as they are, resampled and left out: an error is 0 exactly where the reliability of its
    bins is, so both reach 0 together."""
    value, drawn, left = parts
    row = interval_row(metric, name, value[part], drawn[part], level, left[part])
    if part not in _ENLARGED:
        return stated(row, "", note if part == "brier_within_bins" else "")
    row, off = reflected(row, note), "brier_reliability"
    if part == "ece" and reflected(interval_row("", "", value[off], drawn[off], level, left[off]))["lower_95"] == 0:
        row["lower_95"] = 0.0
    return row
