"""Predictive values at a stated prevalence, by Bayes' rule from sensitivity and specificity.

A test part that was enriched for a class flatters the predictive value of it: 0.77 where a third of the cases are
positive is 0.54 where 15 % are. Sensitivity and specificity carry over to another prevalence only where the cases of a
class are the same kind of cases there (no spectrum effect); the note of every row says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from her2core.errors import ConfigError
from her2core.evidence.arguments import check_class, check_predictions
from her2core.evidence.intervals import IntervalRow, empty_row, interval_table
from her2core.evidence.jackknife import jackknife_row
from her2core.evidence.mover import Estimate, ratio
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import clusters, jackknife_counts
from her2core.evidence.sample_size import sample_size

METHOD = "Bayes, ratio of independent rates (MOVER)"
#: Metrics of ``predictive_value_table`` and what they are called.
PREVALENCE_LABELS = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV at the stated prevalence",
    "npv": "NPV at the stated prevalence",
    "ppv_observed": "PPV in this test part",
    "npv_observed": "NPV in this test part",
}
ASSUMES = "assumes the sensitivity and specificity of this test part"


def predictive_values(sensitivity: float, *, specificity: float, prevalence: float) -> tuple[float, float]:
    r"""Positive and negative predictive value at a prevalence.

    .. math:: PPV = \frac{s \pi}{s \pi + (1 - c)(1 - \pi)}, \quad NPV = \frac{c (1 - \pi)}{c (1 - \pi) + (1 - s) \pi}

    Parameters
    ----------
    sensitivity, specificity : float
        From 0 to 1.
    prevalence : float
        Above 0 and below 1.

    Returns
    -------
    ppv, npv : float
        NaN where nothing would be predicted so.

    Raises
    ------
    ConfigError
        For a prevalence that is not between 0 and 1.

    Examples
    --------
    >>> [round(predictive_values(0.8, specificity=0.88, prevalence=p)[0], 2) for p in (1 / 3, 0.15)]
    [0.77, 0.54]
    """
    check_prevalence(prevalence)
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    kept, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return true / (true + false) if true + false else math.nan, kept / (kept + missed) if kept + missed else math.nan


def check_prevalence(prevalence: float) -> None:
    """Refuse a prevalence that is not between 0 and 1.

    Parameters
    ----------
    prevalence : float

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> check_prevalence(0.15)
    """
    if not 0 < prevalence < 1:
        raise ConfigError(
            "argument `prevalence` to be above 0 and below 1", got=str(prevalence), fix="Use 0.15 for 15 %."
        )


def predictive_value_table(
    predictions: Predictions, *, prevalence: float, of: Sequence[str] | None = None
) -> pd.DataFrame:
    """Compute predictive values at a stated prevalence beside those of the test part.

    Parameters
    ----------
    predictions : Predictions
        Each row is predicted as its class of highest probability, or as the class given.
    prevalence : float
        Of each class in turn, above 0 and below 1.
    of : sequence of str, optional
        Classes against the rest; all when left out.

    Returns
    -------
    DataFrame
        One row per class and metric of ``PREVALENCE_LABELS``: unit, metric, class, value, lower_95, upper_95,
        interval_method, prevalence (stated, or for the last two that of the test part), note, resampling_unit,
        n_clusters, n. Intervals of the predictive values at the stated prevalence combine those of sensitivity and
        specificity, and take the prevalence as known.

    Raises
    ------
    ConfigError
        For an unknown class, or a prevalence out of range.
    EvaluationError
        When there is no row.

    References
    ----------
    Newcombe 2016, doi 10.1177/0962280213502144; Mercaldo, Lau & Zhou 2007, doi 10.1002/sim.2677.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aaaabbbb"), "predicted": list("aaabbbba"), "patient": list("12345678")})
    >>> table = predictive_value_table(read_predictions(frame), prevalence=0.15, of=["a"]).set_index("metric")
    >>> table.loc[["ppv", "ppv_observed"], "value"].round(3).tolist()
    [0.346, 0.75]
    """
    check_prevalence(prevalence)
    check_predictions(predictions, "predictive values")
    rows: list[dict[str, object]] = []
    group = clusters(predictions)
    for name in predictions.classes if of is None else of:
        position = check_class(name, predictions.classes)
        truly, predicted = predictions.labels == position, predictions.predicted == position
        observed = float(truly.mean())
        rates = {
            metric: _rate(predictions, metric, name, right=right, among=among)
            for metric, right, among in (
                ("sensitivity", predicted, truly),
                ("specificity", ~predicted, ~truly),
                ("ppv_observed", truly, predicted),
                ("npv_observed", ~truly, ~predicted),
            )
        }
        values = _bayes(name, rates["sensitivity"], rates["specificity"], prevalence)
        both = len(set(group.codes[truly]) & set(group.codes[~truly]))
        mixed = f"{both} {group.unit}s with both: their correlation is not accounted for" if both else ""
        for metric in PREVALENCE_LABELS:
            row = (values | rates)[metric]
            stated = metric in values
            note = join_notes(ASSUMES, mixed, row["note"]) if stated else row["note"]
            at = prevalence if stated else observed
            rows.append({**row, "note": note, "prevalence": at})
    return interval_table(rows, predictions, group)


def _rate(predictions: Predictions, metric: str, name: str, *, right: np.ndarray, among: np.ndarray) -> IntervalRow:
    """Proportion of ``right`` among some rows, with its interval."""
    group = clusters(predictions)
    cells = among * 2 + (among & right)
    counts = jackknife_counts(group, cells=cells, kinds=4)
    with np.errstate(invalid="ignore"):
        left = counts[:, 3] / (counts[:, 2] + counts[:, 3])
    value = float(right[among].mean()) if among.any() else np.nan
    return jackknife_row(metric, name, value, left, size=sample_size(group, among))


def _bayes(name: str, sensitivity: IntervalRow, specificity: IntervalRow, prevalence: float) -> dict[str, IntervalRow]:
    s, c = (Estimate(r["value"], r["lower_95"], r["upper_95"]) for r in (sensitivity, specificity))
    odds = (1 - prevalence) / prevalence
    why = join_notes(*(r["note"] for r in (sensitivity, specificity) if math.isnan(r["lower_95"])))
    values = predictive_values(s.value, specificity=c.value, prevalence=prevalence)
    found = {}
    # PPV = 1 / (1 + odds * (1 - c) / s), NPV = 1 / (1 + (1 - s) / c / odds)
    for metric, value, wrong, right, weight in (("ppv", values[0], c, s, odds), ("npv", values[1], s, c, 1 / odds)):
        row = empty_row(metric, name, value)
        error = ratio(Estimate(1 - wrong.value, 1 - wrong.high, 1 - wrong.low), right)
        if math.isnan(value):
            row["note"] = "cannot be computed: nothing would be predicted so"
        elif math.isnan(error.low):
            row["note"] = why or "no interval: no case was predicted rightly"
        else:
            low, high = (1 / (1 + weight * bound) for bound in (error.high, error.low))
            row |= {"lower_95": low, "upper_95": high, "interval_method": METHOD}
        found[metric] = row
    return found
