"""Weak slices: subsets of the test part in which the accuracy is lower than in the rest.

Of hundreds of subsets some are weak by chance, so the search is one test. The accuracy inside a subset is compared with
that of the rows of the same true class outside it (a subset of difficult classes is not weak by that alone). Each
patient contributes one term to the score of a subset; under the hypothesis that the subset is as accurate as the rest,
the terms are as likely positive as negative, whatever the number of patches of a patient and however alike they are.
Their signs are flipped at random, the same flips for all subsets, and each subset is compared with the largest
statistic of all: the probability of naming any subset that is not weaker is at most 5 % (max-T, familywise). Where one
patient has most of the rows, it decides the accuracy that all others are compared with, and their terms agree by that
alone; the jackknife sees this, so that no corrected p value is below that of the subset's own interval. How often that
fails, and what is found, is in benchmarks/results/weak_slices.json.

References: score contributions with flipped signs, Hemerik, Goeman & Finos 2020, doi 10.1111/rssb.12369; max-T,
Westfall & Young 1993, ISBN 0-471-55761-7; search over interpretable slices, Chung et al. 2019, doi
10.1109/ICDE.2019.00139.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from her2core.errors import EvaluationError
from her2core.evidence.arguments import check_predictions, check_resampling
from her2core.evidence.differences import difference_row
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.predictions import Predictions
from her2core.evidence.slice_conditions import MIN_PATIENTS, Condition, single_conditions, with_pairs
from her2core.evidence.statements import ALPHA, NO_DIFFERENCE
from her2core.evidence.variance import Variance, variance_over_clusters

WEAKER = "weaker than the rest"
#: Subsets that a table lists.
LISTED = 20
#: Two subsets that share more of their rows than this are one finding; the clearer one is listed.
_OVERLAP = 0.8
#: Subsets whose flipped statistics are held at a time, and most rows of the subsets that are held as numbers.
_CHUNK, _MOST_NUMBERS = 512, 20_000_000
#: How a search is made and what its figures mean, for a page or a report.
METHOD = (
    "Searched: values of the data's columns, quarters and halves of the image properties, and pairs of these, with "
    f"{MIN_PATIENTS} patients inside and outside. Accuracy is compared with rows of the same true class outside. "
    "Adjusted p: by flipping the signs of whole patients, corrected for all subsets (max-T, 5% familywise). Intervals "
    "are not corrected, and a difference that was found by a search overstates that in new patients."
)
COLUMNS = (
    *("unit", "subset", "columns", "metric", "value", "rest", "difference", "lower_95", "upper_95", "p_value"),
    *("p_value_adjusted", "statement", "note", "n", "patients", "n_clusters", "searched"),
)


def weak_slices(
    predictions: Predictions, columns: pd.DataFrame, *, resamples: int = 2000, seed: int = 0, pairs: bool = True
) -> pd.DataFrame:
    """Search for subsets in which the accuracy is lower than in the rest.

    Parameters
    ----------
    predictions : Predictions
        With known patients, rows of any unit.
    columns : DataFrame
        What subsets are described by, row for row (``slice_conditions``).
    resamples, seed : int
        Random flips of the patients' signs.
    pairs : bool, default True
        Whether subsets by two conditions are searched too.

    Returns
    -------
    DataFrame
        ``COLUMNS``: at most ``LISTED`` subsets, the clearest first. ``value`` and ``rest`` are the accuracies inside
        and outside, ``difference`` inside less outside in rows of the same true class (weighted as by Mantel and
        Haenszel), with a 95 % interval over patients by the jackknife, not corrected for the search. ``p_value`` is
        one-sided, by flips, ``p_value_adjusted`` corrected for all ``searched`` subsets and not below that of the
        interval; ``statement`` is ``WEAKER`` where it is at most 0.05, otherwise "no difference can be shown".
        ``patients`` are those inside, ``n`` their rows. The difference of a subset found by a search overstates that in
        new patients. Empty where no subset has enough patients.

    Raises
    ------
    EvaluationError
        Where patients are unknown, or fewer than twice ``MIN_PATIENTS``.
    ConfigError
        For resamples or a seed out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"patient_id": [f"P{i // 4:02}" for i in range(160)], "label": list("aabb") * 40})
    >>> frame["site"] = np.where(np.arange(160) < 80, "x", "y")
    >>> wrong = (frame["site"] == "y") & (rng.random(160) < 0.5)
    >>> frame["predicted"] = frame["label"].where(~wrong, "b")
    >>> found = weak_slices(Predictions.from_frame(frame), frame[["site"]])
    >>> found[["subset", "statement", "patients"]].values.tolist()[0]
    ['site = y', 'weaker than the rest', 20]
    """
    check_predictions(predictions, "weak slices")
    check_resampling(resamples, seed)
    codes, names = predictions.patients
    known = len(names) if predictions.patients_known else 0
    if known < 2 * MIN_PATIENTS:
        raise EvaluationError(
            f"at least {2 * MIN_PATIENTS} known patients",
            got=str(known) if predictions.patients_known else "rows without a patient",
            where="weak slices",
            fix="Subsets of fewer say nothing: add patients, or their ids.",
        )
    conditions, left_out = single_conditions(columns, codes), 0
    if pairs:
        conditions, left_out = with_pairs(conditions, codes)
    right = (predictions.predicted == predictions.labels).astype(np.float64)
    scores, used = _scores(right, predictions.labels, codes, conditions)
    conditions = [conditions[i] for i in used]
    if not conditions:
        return pd.DataFrame(columns=list(COLUMNS))
    statistic, p_value, adjusted = _flipped(scores, resamples=resamples, seed=seed)
    note = f"{left_out:,} further pairs were not searched" if left_out else ""
    rows = []
    for i in _clearest(statistic, conditions):
        inside = conditions[i].rows
        row: dict[str, object] = {
            "unit": predictions.unit,
            "subset": conditions[i].text,
            "columns": ", ".join(conditions[i].columns),
        }
        row |= {"metric": "accuracy", "value": right[inside].mean(), "rest": right[~inside].mean()}
        found = _difference(right, predictions.labels, codes, inside)
        row |= {name: found[name] for name in ("difference", "lower_95", "upper_95")}
        corrected = max(adjusted[i], _p_of_interval(found))
        row |= {"p_value": p_value[i], "p_value_adjusted": corrected, "note": note}
        row["statement"] = WEAKER if corrected <= ALPHA else NO_DIFFERENCE
        row |= {"n": int(inside.sum()), "patients": len(np.unique(codes[inside])), "n_clusters": known}
        rows.append({**row, "searched": len(conditions)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def weak_slices_sentence(found: pd.DataFrame) -> str:
    """Say what a search has shown.

    Parameters
    ----------
    found : DataFrame
        As ``weak_slices`` gives it.

    Returns
    -------
    str
        One sentence without markup.

    Examples
    --------
    >>> weak_slices_sentence(pd.DataFrame(columns=list(COLUMNS)))
    'No weak subset can be shown: none has 5 patients inside and outside.'
    """
    if found.empty:
        return f"No weak subset can be shown: none has {MIN_PATIENTS} patients inside and outside."
    searched, shown = int(found["searched"].iloc[0]), found[found["statement"] == WEAKER]
    if shown.empty:
        return (
            f"No weak subset can be shown: of {searched:,} that were searched, none differs from the rest more than "
            f"chance among so many explains."
        )
    first = shown.iloc[0]
    more = f", and {len(shown) - 1} more" if len(shown) > 1 else ""
    return (
        f"Weaker than the rest, corrected for {searched:,} subsets: {first['subset']} (accuracy {first['value']:.1%} "
        f"against {first['rest']:.1%}){more}."
    )


def _scores(
    right: Floats, labels: NDArray[np.int64], codes: NDArray[np.int64], conditions: list[Condition]
) -> tuple[Floats, list[int]]:
    """Terms of the patients (J, M) to the score of each subset, and the subsets that have one.

    The effective score of "inside" in a model with one accuracy a class: residuals times the deviation of the
    indicator from its mean in the class, summed by patient.
    """
    patients, classes = int(codes.max()) + 1, int(labels.max()) + 1
    rows = np.arange(len(right))
    of_class = np.bincount(labels, minlength=classes)
    residual = right - (np.bincount(labels, right, minlength=classes) / np.maximum(of_class, 1))[labels]
    by_patient = csr_array((residual, (codes, rows)), shape=(patients, len(rows)))
    by_class = csr_array((residual, (codes, labels)), shape=(patients, classes)).toarray()  # equal places are added
    membership = csr_array((np.ones(len(rows)), (labels, rows)), shape=(classes, len(rows)))
    parts, used, chunk = [], [], max(1, min(_CHUNK, _MOST_NUMBERS // len(right)))
    for start in range(0, len(conditions), chunk):
        inside = np.column_stack([c.rows for c in conditions[start : start + chunk]]).astype(np.float64)
        share = (membership @ inside) / np.maximum(of_class, 1)[:, None]
        scores = by_patient @ inside - by_class @ share
        kept = np.flatnonzero((scores**2).sum(axis=0) > 1e-9)
        parts.append(scores[:, kept])
        used += (start + kept).tolist()
    return (np.concatenate(parts, axis=1) if parts else np.empty((patients, 0))), used


def _flipped(scores: Floats, *, resamples: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Statistic of each subset (large where it is weak), its p value, and that corrected for all subsets."""
    rng = np.random.default_rng(seed)
    terms = -scores / np.sqrt((scores**2).sum(axis=0))
    signs = rng.choice(np.array([-1.0, 1.0]), size=(resamples, len(terms)))
    statistic = terms.sum(axis=0)
    reached, largest = np.zeros(terms.shape[1]), np.full(resamples, -np.inf)
    for start in range(0, terms.shape[1], _CHUNK):
        chunk = slice(start, start + _CHUNK)
        flipped = signs @ terms[:, chunk]
        reached[chunk] = (flipped >= statistic[chunk] - 1e-9).sum(axis=0)
        largest = np.maximum(largest, flipped.max(axis=1))
    order = np.sort(largest)
    beyond = resamples - np.searchsorted(order, statistic - 1e-9)
    return statistic, (1 + reached) / (1 + resamples), (1 + beyond) / (1 + resamples)


def _clearest(statistic: Floats, conditions: list[Condition]) -> list[int]:
    """Positions of the subsets that are listed: the clearest first, none that is nearly one before it."""
    chosen: list[int] = []
    for i in np.argsort(-statistic, kind="stable").tolist():
        if len(chosen) == LISTED or statistic[i] <= 0:
            break
        rows = conditions[i].rows
        if all(_shared(rows, conditions[j].rows) <= _OVERLAP for j in chosen):
            chosen.append(i)
    return chosen


def _shared(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


def _difference(
    right: Floats, labels: NDArray[np.int64], codes: NDArray[np.int64], inside: NDArray[np.bool_]
) -> dict[str, float]:
    """Accuracy inside less outside within classes, with its interval over patients."""
    patients, classes = int(codes.max()) + 1, int(labels.max()) + 1
    cells = codes * classes + labels

    def counts(of: Floats) -> Floats:
        sums = np.bincount(cells, of, minlength=patients * classes)
        return np.asarray(sums, np.float64).reshape(patients, classes)

    within, outside = inside.astype(np.float64), (~inside).astype(np.float64)
    parts = [counts(of) for of in (right * within, within, right * outside, outside)]
    whole = _weighted(*(p.sum(axis=0) for p in parts))
    without = _weighted(*(p.sum(axis=0) - p for p in parts))
    variance = variance_over_clusters(without)
    fewer = min(len(np.unique(codes[side])) for side in (inside, ~inside)) - 1
    return difference_row(
        float(whole), [Variance(variance.value, min(variance.degrees, max(1.0, float(fewer))))], largest=1.0
    )


def _p_of_interval(found: dict[str, float]) -> float:
    """p value of a difference below 0 that agrees with its 95 % interval; 0 where there is none."""
    if np.isnan(found["p_value"]):
        return 0.0
    return found["p_value"] if found["difference"] < 0 else 1.0


def _weighted(right_in: Floats, n_in: Floats, right_out: Floats, n_out: Floats) -> Floats:
    """Mantel and Haenszel's difference of two proportions over the classes of the last axis."""
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where((n_in > 0) & (n_out > 0), n_in * n_out / (n_in + n_out), 0.0)
        each = np.where(weight > 0, right_in / n_in - right_out / n_out, 0.0)
        return (weight * each).sum(axis=-1) / weight.sum(axis=-1)
