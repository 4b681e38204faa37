"""What do all patches of a patient say together? Patch predictions in, slide or patient predictions out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregation_rules import RULES, combine
from her2core.evidence.old_metrics import confusion, from_confusion
from her2core.evidence.predictions import Predictions
from her2core.io.cells import UNKNOWN

#: Units of a class that validation must hold before a rule is chosen by them.
MIN_UNITS = 5
UNIT_COLUMN = {"slide": "slide_id", "patient": "patient_id"}


def choose_rule(validation: Predictions, unit: str) -> tuple[str, str]:
    """The rule of evidence.aggregation_rules with the highest balanced accuracy by ``unit`` on validation, and the
    reason in words.

    ``mean`` wins ties, and is taken without a choice where validation is missing, cannot be judged by this unit, or
    holds fewer than MIN_UNITS units of a class.
    """
    if not validation.has_scores:
        return "majority", "majority: predicted classes without scores can only vote"
    if not len(validation):
        return "mean", "mean: there is no validation part to choose a rule by"
    try:
        tried = {rule: aggregate(validation, unit, rule=rule) for rule in RULES}
    except EvaluationError as reason:
        return "mean", f"mean: no rule can be chosen on validation ({reason.got})"
    units = np.bincount(tried["mean"].labels, minlength=len(validation.classes))
    if units.min() < MIN_UNITS:
        short = validation.classes[int(units.argmin())]
        return "mean", f"mean: validation holds only {units.min()} {unit}s of {short}, too few to choose a rule by"
    scores = {rule: _balanced_accuracy(found) for rule, found in tried.items()}
    best = max(scores, key=scores.__getitem__)  # the first of equals, and mean is the first of all
    told = ", ".join(f"{rule} {score:.3f}" for rule, score in scores.items())
    return best, f"{best}: chosen on {int(units.sum())} validation {unit}s by balanced accuracy ({told})"


def _balanced_accuracy(p: Predictions) -> float:
    matrix = confusion(p.labels, predicted=p.predicted, classes=len(p.classes))
    return round(float(from_confusion(matrix)["balanced_accuracy"]), 12)


def aggregate(predictions: Predictions, unit: str, *, rule: str = "mean") -> Predictions:
    """One row a ``unit`` (slide or patient) by a rule of evidence.aggregation_rules from its patches' probabilities.

    Raises EvaluationError for another unit or rule, when the ids are unknown, or when a patient or slide has patches of
    several labels: then the label belongs to a region and a figure for the whole has no meaning.
    """
    if unit not in UNIT_COLUMN:
        raise EvaluationError("slide or patient", got=repr(unit), where="unit", fix="Choose one of the two.")
    if rule not in RULES:
        raise EvaluationError(
            f"a rule out of {', '.join(RULES)}", got=repr(rule), where="rule", fix="Choose one of them."
        )
    column = UNIT_COLUMN[unit]
    ids = predictions.frame[column]
    if (ids == UNKNOWN).any():
        raise EvaluationError(
            f"a {unit} id in every row",
            got=f"{int((ids == UNKNOWN).sum())} rows without",
            where=f"{unit} level",
            fix="Add the ids to the predictions.",
        )
    splits, split_names = pd.factorize(predictions.frame["split"], sort=True)
    codes, names = pd.factorize(ids, sort=True)
    keys = splits * len(names) + codes  # a patient on both sides is two rows, one a side
    present = np.bincount(keys, minlength=len(split_names) * len(names)) > 0
    codes, names = (np.cumsum(present) - 1)[keys], names[np.flatnonzero(present) % len(names)]
    lowest = np.full(len(names), np.iinfo(np.int64).max)
    highest = np.full(len(names), -1)
    np.minimum.at(lowest, codes, predictions.labels)
    np.maximum.at(highest, codes, predictions.labels)
    mixed = lowest != highest
    if mixed.any():
        raise EvaluationError(
            f"one label a {unit}",
            got=f"{int(mixed.sum())} with several, the first: {names[mixed.argmax()]}",
            where=f"{unit} level",
            fix=f"The labels belong to smaller regions: report patches, or give each {unit} one label.",
        )
    if predictions.has_scores:
        probs, votes = combine(predictions.probs, codes, rule=rule), None
    else:
        one_hot = np.eye(len(predictions.classes))[predictions.predicted]
        probs, votes = None, combine(one_hot, codes, rule="majority").argmax(axis=1)
    first = np.empty(len(names), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # written last to first, so that the first row stays
    frame = predictions.frame.iloc[first].reset_index(drop=True)
    if unit == "patient":
        frame = frame.assign(slide_id=UNKNOWN)
    return replace(
        predictions,
        frame=frame.assign(patch_id=frame[column]),
        probabilities=probs,
        predicted_labels=votes,
        labels=lowest,
        unit=unit,
    )
