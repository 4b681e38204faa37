"""Reflex ISH tests saved against positives missed, by policy, at a chosen prevalence.

A policy calls each case negative, refers it for an ISH test, or calls it positive. Compared with testing every case, a
call saves a test; a positive case that is called negative is missed, and a negative one called positive is treated
without need. Classes count by what they are: equivocal (IHC 2+) has no status of its own, as ISH finds some of these
cases positive. That share is stated by the reader and not measured here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.arguments import check_predictions
from her2core.evidence.conformal import PredictionSets
from her2core.evidence.intervals import IntervalRow, empty_row, interval_table
from her2core.evidence.jackknife import jackknife_row
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.metrics.referral_metrics import ISH_REFERRAL
from her2core.evidence.mover import Estimate, weighted_sum
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions
from her2core.evidence.prevalence import check_prevalence
from her2core.evidence.resampling import clusters, jackknife_counts
from her2core.evidence.sample_size import sample_size
from her2core.labels import her2_classes

Ints = NDArray[np.int64]
#: What a policy does with a case, and what a case is: negative, in need of ISH, positive.
NEGATIVE, REFER, POSITIVE = 0, 1, 2
#: Share of equivocal cases that ISH finds positive, where the reader states none: our choice.
ISH_POSITIVE = 0.2
#: Probabilities below which a case is called negative, of the policies that rule out.
RULE_OUT = (0.01, 0.05, 0.1, 0.2)
#: Metrics of ``ish_table`` and what they are called: proportions of all cases but that of the positives.
ISH_LABELS = {m.name: m.label for m in ISH_REFERRAL}
_ACTIONS = (NEGATIVE, REFER, POSITIVE)
#: What a policy may do, where it is not everything: other rates are 0, or 1, by definition and not estimated.
_POSSIBLE = {"test every case": (REFER,), "negative": (NEGATIVE, REFER)}
METHOD, BY_DEFINITION = "weighted sum of independent rates (MOVER)", "by definition of the policy"


@dataclass(frozen=True)
class CaseMix:
    """What the cases of each kind weigh at a prevalence; made by ``case_mix``.

    Parameters
    ----------
    weights : ndarray of float64, shape (3,)
        Share of negative, equivocal and positive cases; they sum to one.
    positive : ndarray of float64, shape (3,)
        Share of all cases that is of each kind and positive, by IHC or ISH.
    """

    weights: Floats
    positive: Floats

    @property
    def prevalence(self) -> float:
        """Share of all cases that is positive."""
        return float(self.positive.sum())


def kinds_of_cases(predictions: Predictions) -> Ints:
    """Kind of each case by its true class: negative, equivocal or positive.

    Parameters
    ----------
    predictions : Predictions
        Of a HER2 scheme (``labels.her2_classes``).

    Returns
    -------
    ndarray of int64, shape (N,)

    Raises
    ------
    EvaluationError
        For classes of another kind: there is no ISH to refer to.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["negative", "positive"], "predicted": ["negative", "positive"]})
    >>> kinds_of_cases(read_predictions(frame))
    array([0, 2])
    """
    return _kind_of_class(predictions.classes)[predictions.labels]


def case_mix(kinds: Ints, *, prevalence: float | None = None, ish_positive: float = ISH_POSITIVE) -> CaseMix:
    """Weigh the kinds of cases for a prevalence.

    Parameters
    ----------
    kinds : ndarray of int64, shape (N,)
        Kind of each case.
    prevalence : float, optional
        Share of all cases that is positive, by IHC or ISH; that of these cases when left out. Among the positive, and
        among the negative, the kinds keep their proportions.
    ish_positive : float
        Share of equivocal cases that ISH finds positive, from 0 to 1.

    Returns
    -------
    CaseMix

    Raises
    ------
    ConfigError
        For a prevalence or share out of range.
    EvaluationError
        Without cases of one of the two statuses.

    Examples
    --------
    >>> mix = case_mix(np.array([0, 0, 2, 2]), prevalence=0.15)
    >>> mix.weights.round(2), round(mix.prevalence, 2)
    (array([0.85, 0.  , 0.15]), 0.15)
    """
    if prevalence is not None:
        check_prevalence(prevalence)
    if not 0 <= ish_positive <= 1:
        raise ConfigError(
            "argument `ish_positive` to be from 0 to 1", got=str(ish_positive), fix="Use 0.2 for one in five."
        )
    shares = np.bincount(kinds, minlength=3) / max(len(kinds), 1)
    positive = shares * np.array([0, ish_positive, 1])
    negative = shares - positive
    if not positive.sum() or not negative.sum():
        raise EvaluationError(
            "cases that are positive and cases that are negative",
            got="only one of these",
            where="ISH referral",
            fix="Use a test part that holds both.",
        )
    at = float(positive.sum()) if prevalence is None else prevalence
    positive = at * positive / positive.sum()
    return CaseMix(positive + (1 - at) * negative / negative.sum(), positive)


def policies(predictions: Predictions, sets: PredictionSets | None = None) -> dict[str, Ints]:
    """Apply the policies that a table compares.

    Parameters
    ----------
    predictions : Predictions
        Of a HER2 scheme.
    sets : PredictionSets, optional
        Prediction sets of this unit.

    Returns
    -------
    dict of str to ndarray of int64, shape (N,)
        By name: what is done with each case. "test every case" refers all; "most probable class" calls negative and
        positive, and refers what is equivocal; "prediction set" calls where the set holds nothing but negative, or
        nothing but positive, classes; "negative below 5%" calls negative where the classes that are not negative have
        less probability, and refers the rest.

    Raises
    ------
    EvaluationError
        For classes that are no HER2 status.
    """
    kind = _kind_of_class(predictions.classes)
    found = {"test every case": np.full(len(predictions), REFER), "most probable class": kind[predictions.predicted]}
    if not predictions.has_scores:
        return found
    if sets is not None and sets.given:
        inside = sets.sets(predictions.probs)
        only = [inside.any(axis=1) & ~inside[:, kind != end].any(axis=1) for end in (NEGATIVE, POSITIVE)]
        found["prediction set"] = np.select(only, [NEGATIVE, POSITIVE], REFER)
    not_negative = predictions.probs[:, kind != NEGATIVE].sum(axis=1)
    for below in RULE_OUT:
        found[f"negative below {below:.0%}"] = np.where(not_negative < below, NEGATIVE, REFER)
    return found


def ish_table(
    predictions: Predictions,
    sets: PredictionSets | None = None,
    *,
    prevalence: float | None = None,
    ish_positive: float = ISH_POSITIVE,
) -> pd.DataFrame:
    """Compute for each policy the ISH tests, those saved, and the positives missed.

    Parameters
    ----------
    predictions : Predictions
        Of a HER2 scheme.
    sets : PredictionSets, optional
        Prediction sets of this unit.
    prevalence : float, optional
        Share of all cases that is positive, by IHC or ISH; that of the test part when left out.
    ish_positive : float
        Share of equivocal cases that ISH finds positive.

    Returns
    -------
    DataFrame
        One row per policy and metric of ``ISH_LABELS``: unit, metric, class (""), policy, prevalence, value, lower_95,
        upper_95, interval_method, note, resampling_unit, n_clusters, n. Values are proportions of all cases at the
        prevalence, ``positives_missed_of_positive`` of the positive ones. Intervals combine those of the rates among
        the cases of each kind (Zou & Donner 2008) and take prevalence and proportions as known. These rates are taken
        as independent: they are where no patient has cases of several kinds, and ``note`` says where some have.

    Raises
    ------
    ConfigError
        For a prevalence or share out of range.
    EvaluationError
        When there is no row, the classes are no HER2 status, or the cases are all of one status.

    References
    ----------
    Zou & Donner 2008, doi 10.1002/sim.3095; Pauker & Kassirer 1980, doi 10.1056/NEJM198005153022003.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> labels = ["negative"] * 5 + ["positive"] * 5
    >>> frame = pd.DataFrame({"label": labels, "predicted": ["positive", *labels[1:9], "negative"]})
    >>> table = ish_table(read_predictions(frame), prevalence=0.1).set_index(["policy", "metric"])["value"]
    >>> table["most probable class"].round(2).tolist()
    [0.0, 1.0, 0.02, 0.2, 0.18]
    """
    check_predictions(predictions, "ISH referral")
    kinds = kinds_of_cases(predictions)
    mix = case_mix(kinds, prevalence=prevalence, ish_positive=ish_positive)
    equivocal = bool((kinds == REFER).any())
    note = join_notes(
        f"prevalence {mix.prevalence:.1%}, {'as in this test part' if prevalence is None else 'as stated'}",
        f"ISH taken to find {ish_positive:.0%} of equivocal cases positive: stated, not measured" if equivocal else "",
    )
    of = clusters(predictions)
    both = len(pd.DataFrame({"of": of.codes, "kind": kinds}).drop_duplicates()) - len(np.unique(of.codes))
    note = join_notes(note, f"{of.unit}s with cases of several kinds: their correlation is ignored" if both else "")
    rows: list[dict[str, object]] = []
    for policy, action in policies(predictions, sets).items():
        possible = _POSSIBLE.get(policy.split(" below ")[0], _ACTIONS)
        rates = [[_rate(predictions, kinds == k, action == a, _fixed(a, possible)) for a in _ACTIONS] for k in _ACTIONS]
        for metric, row in _figures(rates, mix).items():
            rows.append({**row, "metric": metric, "note": join_notes(note, row["note"]), "policy": policy})
    frame = interval_table(({**row, "prevalence": mix.prevalence} for row in rows), predictions, of)
    return frame


def _kind_of_class(classes: tuple[str, ...]) -> Ints:
    found = her2_classes(classes)
    if found is None:
        raise EvaluationError(
            "classes that are a HER2 status",
            got=", ".join(classes)[:80],
            where="ISH referral",
            fix="There is no ISH test to refer to for other classes.",
        )
    negative, asks, _ = found
    return np.array([NEGATIVE if c in negative else REFER if c == asks else POSITIVE for c in classes])


def _fixed(action: int, possible: tuple[int, ...]) -> float | None:
    """Rate of an action that a policy never takes, or always; None where it is estimated."""
    return 0.0 if action not in possible else 1.0 if possible == (action,) else None


def _rate(
    predictions: Predictions, among: NDArray[np.bool_], done: NDArray[np.bool_], fixed: float | None
) -> IntervalRow:
    """Proportion of the cases of a kind with which this is done."""
    group = clusters(predictions)
    if not among.any():
        return empty_row("", "", np.nan)
    if fixed is not None:
        return {**empty_row("", "", fixed), "lower_95": fixed, "upper_95": fixed, "interval_method": BY_DEFINITION}
    counts = jackknife_counts(group, cells=among * 2 + (among & done), kinds=4)
    with np.errstate(invalid="ignore"):
        left = counts[:, 3] / (counts[:, 2] + counts[:, 3])
    return jackknife_row("", "", float(done[among].mean()), left, size=sample_size(group, among))


def _figures(rates: list[list[IntervalRow]], mix: CaseMix) -> dict[str, IntervalRow]:
    negative = mix.weights - mix.positive
    missed = _sum(mix.positive, [of[NEGATIVE] for of in rates])
    tests = _sum(mix.weights, [of[REFER] for of in rates])
    return {
        "ish_tests": tests,
        "ish_tests_saved": {
            **tests,
            "value": 1 - tests["value"],
            "lower_95": 1 - tests["upper_95"],
            "upper_95": 1 - tests["lower_95"],
        },
        "positives_missed": missed,
        "positives_missed_of_positive": {
            **missed,
            "value": missed["value"] / mix.prevalence,
            "lower_95": missed["lower_95"] / mix.prevalence,
            "upper_95": missed["upper_95"] / mix.prevalence,
        },
        "negatives_called_positive": _sum(negative, [of[POSITIVE] for of in rates]),
    }


def _sum(weights: Floats, rates: list[IntervalRow]) -> IntervalRow:
    kept = [(float(w), r) for w, r in zip(weights, rates, strict=True) if w > 0]
    total = weighted_sum((w, Estimate(r["value"], r["lower_95"], r["upper_95"])) for w, r in kept)
    row = empty_row("", "", total.value)
    if np.isnan(total.low):
        why = [r["note"] for _, r in kept if np.isnan(r["lower_95"])]
        return {**row, "note": join_notes(*dict.fromkeys(why))}
    low, high = max(0.0, total.low), min(float(weights.sum()), total.high)
    method = BY_DEFINITION if all(r["interval_method"] == BY_DEFINITION for _, r in kept) else METHOD
    return {**row, "lower_95": low, "upper_95": high, "interval_method": method}
