"""Operating points on the test part at thresholds that were chosen on the validation part.

A threshold chosen on the rows on which it is then assessed makes its own metrics too good. Here it is chosen on the
validation part, by a named rule, and assessed on the test part.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import EvaluationError
from her2core.evidence.arguments import check_choice, check_class, check_predictions
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions
from her2core.evidence.thresholds import operating_point, threshold_for_sensitivity

COLUMNS = (
    "unit",
    "class",
    "rule",
    "threshold",
    "metric",
    "value",
    "lower_95",
    "upper_95",
    "interval_method",
    "note",
    "resampling_unit",
    "n_clusters",
    "n",
    "validation_n",
    "validation_cases",
)
#: Cases on validation below which a threshold depends on single rows, and the note says so.
FEW_CASES = 20


def youden_threshold(predictions: Predictions, *, of: str) -> float:
    """Choose the threshold with the largest Youden index, sensitivity + specificity - 1; the highest of equals.

    Parameters
    ----------
    predictions : Predictions
        Validation part.
    of : str
        Class that is predicted.

    Returns
    -------
    float
        A probability that occurs in ``predictions``.

    Raises
    ------
    ConfigError
        For an unknown class.
    EvaluationError
        When there is no row, no probabilities, no case of the class, or nothing but cases.

    References
    ----------
    Youden 1950, doi 10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> youden_threshold(read_predictions(frame.assign(probability_b=1 - frame["probability_a"])), of="a")
    0.4
    """
    position = _refuse_without_both(predictions, of)
    scores, case = predictions.probs[:, position], predictions.labels == position
    order = np.argsort(-scores, kind="stable")
    scores, case = scores[order], case[order]
    last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    hits = np.cumsum(case)[last]
    index = hits / hits[-1] - (last + 1 - hits) / (~case).sum()
    return float(scores[last[int(np.argmax(np.round(index, 12)))]])


#: Name of a rule -> function of predictions and ``of`` that chooses a threshold.
THRESHOLD_RULES: dict[str, Callable[..., float]] = {
    "youden": youden_threshold,
    "sensitivity_95": partial(threshold_for_sensitivity, sensitivity=0.95),
}
#: What a rule does, for people.
RULE_LABELS = {
    "youden": "the largest sensitivity + specificity - 1 on validation",
    "sensitivity_95": "the highest threshold with a sensitivity of at least 95 % on validation",
}


def validated_operating_point(
    validation: Predictions, test: Predictions, *, of: str, rule: str, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Assess on the test part the threshold that a rule chooses on the validation part.

    Parameters
    ----------
    validation, test : Predictions
        Of one unit and the same classes.
    of : str
        Class that is predicted.
    rule : {'youden', 'sensitivity_95'}
        Of ``THRESHOLD_RULES``.
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    DataFrame
        Columns ``COLUMNS``, one row per count and rate: intervals are those of the test part and take the threshold as
        fixed. ``validation_n`` and ``validation_cases`` are what it was chosen on. Notes say when these are fewer than
        ``FEW_CASES``, when a patient is in both parts, and when every validation row reaches the threshold.

    Raises
    ------
    ConfigError
        For an unknown class or rule.
    EvaluationError
        For an empty part, parts of different units or classes, and where the rule cannot choose: no case of the class
        on validation, or (youden) nothing else.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> table = validated_operating_point(p, p, of="a", rule="youden", resamples=100)
    >>> float(table["threshold"].iloc[0]), int(table["validation_cases"].iloc[0])
    (0.4, 2)
    """
    check_choice("rule", rule, THRESHOLD_RULES)
    if not len(validation):
        raise EvaluationError(
            "a validation part to choose a threshold on",
            got="none",
            where="operating points",
            fix="Add validation rows (split: val); a threshold chosen on the test part makes its metrics too good.",
        )
    check_predictions(test, "operating points")
    if (validation.unit, validation.classes) != (test.unit, test.classes):
        raise EvaluationError(
            "validation and test of one unit and the same classes",
            got=f"{validation.unit} and {test.unit}",
            where="operating points",
            fix="Aggregate both in the same way.",
        )
    threshold = THRESHOLD_RULES[rule](validation, of=of)
    cases = int((validation.labels == validation.classes.index(of)).sum())
    table = operating_point(test, of=of, threshold=threshold, resamples=resamples, seed=seed)
    caution = _notes(validation, test, of, threshold, cases)
    table["note"] = [join_notes(caution, note) for note in table["note"]]
    table = table.assign(rule=rule, validation_n=len(validation), validation_cases=cases)
    return table[list(COLUMNS)]


def _notes(validation: Predictions, test: Predictions, of: str, threshold: float, cases: int) -> str:
    notes = []
    if cases < FEW_CASES:
        units = {"patch": "patches"}.get(validation.unit, f"{validation.unit}s")
        notes.append(
            f"threshold from only {cases} validation {units} of {of}"
            if cases != 1
            else f"threshold from a single validation {validation.unit} of {of}"
        )
    if (validation.probs[:, validation.classes.index(of)] >= threshold).all():
        notes.append(f"every validation {validation.unit} reaches it")
    shared = (set(validation.patients[1]) & set(test.patients[1])) - {UNKNOWN}
    if shared:
        count = len(shared)
        notes.append(f"{count} patient{'s' if count != 1 else ''} in validation and test: the metrics may be too good")
    return join_notes(*notes)


def _refuse_without_both(predictions: Predictions, of: str) -> int:
    check_predictions(predictions, "threshold", scores=True)
    position = check_class(of, predictions.classes)
    case = predictions.labels == position
    if case.all() or not case.any():
        raise EvaluationError(
            f"{predictions.unit} rows that are {of} and rows that are not",
            got="no other" if case.all() else f"none that is {of}",
            where="threshold",
            fix="Choose it on predictions that hold both.",
        )
    return position
