"""Which threshold would have been used, and what does it do on other patients? Validation and test in; rates out.

A threshold chosen on the rows that it is then judged by makes its own figures too good. Here it is chosen on the
validation part, by a rule with a name, and measured on the test part as it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.errors import EvaluationError
from her2core.evidence.predictions import Predictions, refuse_empty
from her2core.evidence.thresholds import operating_point, threshold_for

COLUMNS = (
    "unit",
    "class",
    "rule",
    "threshold",
    "metric",
    "value",
    "lower_95",
    "upper_95",
    "note",
    "level",
    "resampling_unit",
    "n_clusters",
    "n",
    "validation_n",
    "validation_cases",
)
#: Cases on validation below which a threshold hangs on single rows, and the note says so.
FEW_CASES = 20


def youden_threshold(predictions: Predictions, *, of: str) -> float:
    """The threshold with the largest sensitivity + specificity - 1, the highest of equals.

    Youden 1950, doi 10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3. A row is called from the threshold
    on, so that it is always a probability that stands in ``predictions``.

    Raises EvaluationError for an unknown class, no row, no case of the class, or nothing but cases.
    """
    _refuse_without_both(predictions, of)
    position = predictions.classes.index(of)
    scores, case = predictions.probs[:, position], predictions.labels == position
    order = np.argsort(-scores, kind="stable")
    scores, case = scores[order], case[order]
    last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    hits = np.cumsum(case)[last]
    index = hits / hits[-1] - (last + 1 - hits) / (~case).sum()
    return float(scores[last[int(np.argmax(np.round(index, 12)))]])


#: Name of a rule -> the threshold it chooses: predictions and ``of`` in, a probability out.
CHOICES: dict[str, Callable[..., float]] = {
    "youden": youden_threshold,
    "sensitivity_95": partial(threshold_for, sensitivity=0.95),
}
#: What a rule does, in words.
MEANINGS = {
    "youden": "the largest sensitivity + specificity - 1 on validation",
    "sensitivity_95": "the highest threshold that calls at least 95 % of the cases on validation",
}


def validated_point(
    validation: Predictions,
    test: Predictions,
    *,
    of: str,
    rule: str,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Class ``of`` called on ``test`` from the threshold that ``rule`` (of CHOICES) chooses on ``validation``.

    Returns
    -------
    DataFrame with COLUMNS, and further ones of ``operating_point``, one row a figure: intervals are those of the test
    part and take the threshold as fixed. ``validation_n`` and ``validation_cases`` are what it was chosen on. Notes say
    when these are fewer than FEW_CASES, when a patient stands in both parts, and when it calls every validation row.

    Raises EvaluationError for an unknown class or rule, an empty part, parts of different units or classes, and where
    the rule cannot choose: no case of the class on validation, or (youden) nothing else.
    """
    if rule not in CHOICES:
        raise EvaluationError(
            f"a rule out of {', '.join(CHOICES)}", got=repr(rule)[:80], where="threshold", fix="Choose one of these."
        )
    if not len(validation):
        raise EvaluationError(
            "a validation part to set a threshold on",
            got="none",
            where="operating points",
            fix="Add validation rows (split: val); a threshold set on the test part makes its figures too good.",
        )
    refuse_empty(test, "operating points")
    if (validation.unit, validation.classes) != (test.unit, test.classes):
        raise EvaluationError(
            "validation and test of one unit and the same classes",
            got=f"{validation.unit} and {test.unit}",
            where="operating points",
            fix="Aggregate both in the same way.",
        )
    threshold = CHOICES[rule](validation, of=of)
    cases = int((validation.labels == validation.classes.index(of)).sum())
    table = operating_point(test, of=of, threshold=threshold, resamples=resamples, level=level, seed=seed)
    said = _notes(validation, test, of, threshold, cases)
    table["note"] = ["; ".join(filter(None, (said, note))) for note in table["note"]]
    table = table.assign(rule=rule, validation_n=len(validation), validation_cases=cases)
    return table[[*COLUMNS, *(c for c in table if c not in COLUMNS)]]


def _notes(validation: Predictions, test: Predictions, of: str, threshold: float, cases: int) -> str:
    said = []
    if cases < FEW_CASES:
        units = {"patch": "patches"}.get(validation.unit, f"{validation.unit}s")
        said.append(
            f"threshold from only {cases} validation {units} of {of}"
            if cases != 1
            else f"threshold from a single validation {validation.unit} of {of}"
        )
    called = validation.probs[:, validation.classes.index(of)] >= threshold
    if called.all():
        said.append(f"it calls every {validation.unit} of validation {of}")
    shared = (set(validation.patients[1]) & set(test.patients[1])) - {UNKNOWN}
    if shared:
        count = len(shared)
        said.append(f"{count} patient{'s' if count != 1 else ''} in validation and test: the figures may be too good")
    return "; ".join(said)


def _refuse_without_both(predictions: Predictions, of: str) -> None:
    refuse_empty(predictions, "threshold")
    if of not in predictions.classes:
        raise EvaluationError(
            f"a class out of {', '.join(predictions.classes)}",
            got=repr(of)[:80],
            where="threshold",
            fix="Choose one of these.",
        )
    case = predictions.labels == predictions.classes.index(of)
    if case.all() or not case.any():
        raise EvaluationError(
            f"{predictions.unit} rows that are {of} and rows that are not",
            got="no other" if case.all() else f"none that is {of}",
            where="threshold",
            fix="Set it on predictions that hold both.",
        )
