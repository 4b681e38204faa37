"""Slide and patient predictions from those of their patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregation_rules import BY_VALIDATION, DEFAULT_RULE, RULES, combine
from her2core.evidence.arguments import check_choice
from her2core.evidence.metrics.confusion import balanced_accuracy, confusion_matrix
from her2core.evidence.predictions import Predictions
from her2core.io.cells import UNKNOWN

#: Units of every class that validation must have before a rule is chosen by them.
MIN_UNITS = 5
UNIT_COLUMN = {"slide": "slide_id", "patient": "patient_id"}


def rule_of_unit(unit: str, *, asked: str, validation: Predictions) -> tuple[str, str]:
    """Rule by which patches are aggregated to a unit, and why.

    Parameters
    ----------
    unit : {'slide', 'patient'}
    asked : {'mean', 'majority', 'top_k', 'noisy_or', 'validation'}
        A rule of ``aggregation_rules.RULES``, or ``BY_VALIDATION`` for the best on the validation part.
    validation : Predictions
        Patches of the validation part, perhaps none.

    Returns
    -------
    rule : str
        Of ``RULES``.
    reason : str
        Why, in words.

    Raises
    ------
    ConfigError
        For an unknown unit or rule.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.2], "probability_b": [0.1, 0.8]})
    >>> rule_of_unit("patient", asked="mean", validation=read_predictions(frame).part("val"))
    ('mean', 'mean of the probabilities of the patches (the default)')
    """
    check_choice("unit", unit, UNIT_COLUMN)
    check_choice("rule", asked, (*RULES, BY_VALIDATION))
    if not validation.has_scores:
        return "majority", "majority: predicted classes without scores can only vote"
    if asked == BY_VALIDATION:
        return choose_rule(validation, unit)
    if asked == DEFAULT_RULE:
        return asked, "mean of the probabilities of the patches (the default)"
    return asked, f"{asked}: requested"


def choose_rule(validation: Predictions, unit: str) -> tuple[str, str]:
    """Choose the aggregation rule with the highest balanced accuracy on the validation part.

    Offered, and never the default: with the few patients of a validation part the choice follows chance, its gain is on
    validation and its cost on test (benchmarks/results/aggregation_rule.json).

    Parameters
    ----------
    validation : Predictions
        Patches of the validation part, perhaps none.
    unit : {'slide', 'patient'}

    Returns
    -------
    rule : str
        Of ``aggregation_rules.RULES``. ``mean`` wins ties, and is used without a choice where validation is missing,
        cannot be aggregated to this unit, or has fewer than ``MIN_UNITS`` units of a class; predicted classes without
        scores can only vote (``majority``).
    reason : str
        Why, in words.

    Raises
    ------
    ConfigError
        For an unknown unit.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.2], "probability_b": [0.1, 0.8]})
    >>> choose_rule(read_predictions(frame).part("val"), "patient")
    ('mean', 'mean: there is no validation part to choose by')
    """
    check_choice("unit", unit, UNIT_COLUMN)
    if not validation.has_scores:
        return "majority", "majority: predicted classes without scores can only vote"
    if not len(validation):
        return "mean", "mean: there is no validation part to choose by"
    try:
        tried = {rule: aggregate(validation, unit, rule=rule) for rule in RULES}
    except EvaluationError as reason:
        return "mean", f"mean: no rule can be chosen on validation ({reason.got})"
    units = np.bincount(tried["mean"].labels, minlength=len(validation.classes))
    if units.min() < MIN_UNITS:
        short = validation.classes[int(units.argmin())]
        return "mean", f"mean: validation has only {units.min()} {unit}s of {short}, too few to choose by"
    scores = {rule: _balanced_accuracy(found) for rule, found in tried.items()}
    best = max(scores, key=scores.__getitem__)  # the first of equals, and mean is the first of all
    listed = ", ".join(f"{rule} {score:.3f}" for rule, score in scores.items())
    return best, f"{best}: chosen on {int(units.sum())} validation {unit}s by balanced accuracy ({listed})"


def _balanced_accuracy(p: Predictions) -> float:
    matrix = confusion_matrix(p.labels, predicted=p.predicted, classes=len(p.classes))
    return round(float(balanced_accuracy(matrix)), 12)


def aggregate(predictions: Predictions, unit: str, *, rule: str = DEFAULT_RULE) -> Predictions:
    """Aggregate patch predictions to one row per slide or patient.

    Parameters
    ----------
    predictions : Predictions
        One row per patch.
    unit : {'slide', 'patient'}
    rule : {'mean', 'majority', 'top_k', 'noisy_or'}
        Of ``aggregation_rules.RULES``; predicted classes without scores always vote (majority).

    Returns
    -------
    Predictions
        One row per unit and split part.

    Raises
    ------
    ConfigError
        For an unknown unit or rule.
    EvaluationError
        When ids are unknown, or when a unit has patches of several labels: then the label belongs to a region and a
        metric for the whole has no meaning.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"patient_id": ["p1", "p1", "p2"], "label": list("aab"), "probability_a": [0.9, 0.5, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> aggregate(p, "patient").probs.round(3).tolist()
    [[0.7, 0.3], [0.2, 0.8]]
    """
    check_choice("unit", unit, UNIT_COLUMN)
    check_choice("rule", rule, RULES)
    column = UNIT_COLUMN[unit]
    ids = predictions.frame[column]
    if (ids == UNKNOWN).any():
        raise EvaluationError(
            f"a {unit} id in every row",
            got=f"{int((ids == UNKNOWN).sum())} rows without",
            where=f"aggregation by {unit}",
            fix="Add the ids to the predictions.",
        )
    splits, split_names = pd.factorize(predictions.frame["split"], sort=True)
    codes, names = pd.factorize(ids, sort=True)
    keys = splits * len(names) + codes  # a patient in two parts is two rows, one per part
    present = np.bincount(keys, minlength=len(split_names) * len(names)) > 0
    codes, names = (np.cumsum(present) - 1)[keys], names[np.flatnonzero(present) % len(names)]
    lowest = np.full(len(names), np.iinfo(np.int64).max)
    highest = np.full(len(names), -1)
    np.minimum.at(lowest, codes, predictions.labels)
    np.maximum.at(highest, codes, predictions.labels)
    mixed = lowest != highest
    if mixed.any():
        raise EvaluationError(
            f"one label per {unit}",
            got=f"{int(mixed.sum())} with several, the first: {names[mixed.argmax()]}",
            where=f"aggregation by {unit}",
            fix=f"The labels belong to smaller regions: report patches, or give each {unit} one label.",
        )
    if predictions.has_scores:
        probs, votes = combine(predictions.probs, codes, rule=rule), None
    else:
        one_hot = np.eye(len(predictions.classes))[predictions.predicted]
        probs, votes = None, combine(one_hot, codes, rule="majority").argmax(axis=1)
    first = np.empty(len(names), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # written last to first, so that the first row remains
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
