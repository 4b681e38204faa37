"""Prediction sets of a run: fitted on its validation part, measured on its test part, stored on its model card."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.aggregation_rules import DEFAULT_RULE
from her2core.evidence.arguments import check_predictions
from her2core.evidence.conformal import NONE, PredictionSets, fit_prediction_sets
from her2core.evidence.predictions import Predictions
from her2core.io.files import write_csv, write_json
from her2core.runs.folder import Run, open_run

#: What a run has prediction sets of.
SET_UNITS = ("patch", "patient")
#: Entry of the sets of patients, within that of the sets of patches.
OF_PATIENTS = "of_patients"


def fit_run_sets(validation: Predictions, *, coverage: float = 0.9) -> dict[str, PredictionSets]:
    """Fit the prediction sets of patches and of patients.

    Parameters
    ----------
    validation : Predictions
        Patches of the validation part, calibrated.
    coverage : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    dict of str to PredictionSets
        By unit of ``SET_UNITS``. Patients have the mean of their patches' probabilities
        (``aggregation_rules.DEFAULT_RULE``). Where patients are unknown, or have patches of several labels, there are
        no sets of patients, with the reason.

    Raises
    ------
    ConfigError
        For a coverage that is not between 0 and 1.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.2], "probability_b": [0.1, 0.8]})
    >>> fit_run_sets(read_predictions(frame))["patient"].kind
    'none'
    """
    classes, known = validation.classes, validation.patients_known
    patients = validation.patients[0] if known else None
    found = {
        "patch": fit_prediction_sets(
            validation.probs, labels=validation.labels, patients=patients, classes=classes, coverage=coverage
        )
    }
    try:
        by = aggregate(validation, "patient", rule=DEFAULT_RULE)
    except EvaluationError as refused:
        none = (0,) * len(classes)
        reason = f"no prediction sets of patients: {refused.got} ({refused.where})"
        return found | {"patient": PredictionSets(coverage, classes, (), none, none, "patient", NONE, reason)}
    of_patients = fit_prediction_sets(
        by.probs, labels=by.labels, patients=np.arange(len(by)), classes=classes, coverage=coverage, unit="patient"
    )
    return found | {"patient": of_patients}


def out_of_fold_sets(
    predictions: Predictions, folds: np.ndarray, *, coverage: float = 0.9
) -> tuple[dict[str, PredictionSets], pd.DataFrame]:
    """Fit the prediction sets of a final model to out-of-fold predictions, and measure them on patients apart.

    The sets are those of cross-conformal prediction (Vovk 2015, doi 10.1007/s10472-013-9368-4): scores of all folds
    together. Their coverage is measured fold by fold, with sets fitted to the other folds.

    Parameters
    ----------
    predictions : Predictions
        Out-of-fold, calibrated.
    folds : ndarray of int, shape (N,)
        The fold of each row; folds share no patient.
    coverage : float
        Nominal coverage, between 0 and 1.

    Returns
    -------
    sets : dict of str to PredictionSets
        As ``fit_run_sets``.
    table : DataFrame
        As ``run_coverage``.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"] * 20, "patient_id": [f"P{i}" for i in range(40)]})
    >>> frame = frame.assign(probability_a=np.tile([0.8, 0.3], 20), probability_b=np.tile([0.2, 0.7], 20))
    >>> sets, table = out_of_fold_sets(read_predictions(frame), np.arange(40) // 20)
    >>> sets["patch"].kind, table["set_coverage"].tolist()[:3]
    ('class-conditional', [1.0, 1.0, 1.0])
    """
    sets = fit_run_sets(predictions, coverage=coverage)
    others = {f: fit_run_sets(predictions.where(folds != f), coverage=coverage) for f in np.unique(folds).tolist()}
    fold_of = dict(zip(predictions.frame["patient_id"], folds.tolist(), strict=True))
    tables = []
    for unit, by in _by_unit(sets, predictions).items():
        own = folds if unit == "patch" else by.frame["patient_id"].map(fold_of).to_numpy()
        inside = np.full(by.probs.shape, np.nan)
        for fold, fitted in others.items():
            if fitted[unit].given:
                inside[own == fold] = fitted[unit].sets(by.probs[own == fold])
        tables.append(coverage_table(sets[unit], by, inside=inside))
    return sets, pd.concat(tables, ignore_index=True)


def sets_entry(sets: Mapping[str, PredictionSets]) -> dict[str, Any]:
    """Entry of the model card, ready for JSON.

    Parameters
    ----------
    sets : mapping of str to PredictionSets
        By unit of ``SET_UNITS``.

    Returns
    -------
    dict
    """
    return {**sets["patch"].as_dict(), OF_PATIENTS: {**sets["patient"].as_dict(), "rule": DEFAULT_RULE}}


def sets_of_card(entry: Mapping[str, Any], *, run_classes: tuple[str, ...]) -> dict[str, PredictionSets]:
    """Read the prediction sets of a model card.

    Parameters
    ----------
    entry : mapping
        As ``sets_entry`` gives it; sets of patients may be absent.
    run_classes : tuple of str
        Classes of the run.

    Returns
    -------
    dict of str to PredictionSets
        By unit.

    Raises
    ------
    EvaluationError
        For a broken entry, or one of other classes.
    """
    found = {"patch": PredictionSets.from_card(entry, run_classes=run_classes)}
    if (inner := entry.get(OF_PATIENTS)) is not None:
        found["patient"] = PredictionSets.from_card(inner, run_classes=run_classes, unit="patient")
    return found


def run_coverage(sets: Mapping[str, PredictionSets], test: Predictions) -> pd.DataFrame:
    """Measure the sets of a run on its test part, by every unit that can be assessed.

    Parameters
    ----------
    sets : mapping of str to PredictionSets
        By unit.
    test : Predictions
        Patches of the test part, calibrated.

    Returns
    -------
    DataFrame
        As ``coverage_table``.
    """
    tables = [coverage_table(sets[unit], by) for unit, by in _by_unit(sets, test).items()]
    return pd.concat(tables, ignore_index=True)


def _by_unit(sets: Mapping[str, PredictionSets], test: Predictions) -> dict[str, Predictions]:
    """Predictions of every unit that has sets and can be assessed."""
    found = {"patch": test}
    if "patient" in sets:
        with suppress(EvaluationError):  # the table ``missing`` of the run names the reason
            found["patient"] = aggregate(test, "patient", rule=DEFAULT_RULE)
    return found


def refit_run_sets(path: str | os.PathLike[str]) -> Run:
    """Fit the prediction sets of a finished run again, from its validation or out-of-fold predictions; none is trained.

    Writes evaluation/prediction_sets.csv and then the model card, each replaced at once. Weights, predictions and
    metrics are unchanged; ``her2 evaluate RUN --save`` afterwards writes the tables that use the sets.

    Parameters
    ----------
    path : str or path
        The run folder.

    Returns
    -------
    Run

    Raises
    ------
    RunError
        For a folder that is no finished run.
    EvaluationError
        For a run whose predictions have no scores, or no validation part.
    """
    run = open_run(path)
    predictions = run.calibrated_predictions
    if run.trained_on_evaluated:
        sets, table = out_of_fold_sets(predictions.part("test"), run.test_folds())
    else:
        validation = predictions.part("val")
        check_predictions(validation, f"prediction sets of {run.name}", scores=True)
        sets = fit_run_sets(validation)
        table = run_coverage(sets, predictions.part("test"))
    write_csv(run.path / "evaluation" / "prediction_sets.csv", table, float_format="%.6f")
    write_json(run.path / "model.card.json", {**run.card, "prediction_sets": sets_entry(sets)})
    return open_run(run.path)


def coverage_table(sets: PredictionSets, predictions: Predictions, *, inside: np.ndarray | None = None) -> pd.DataFrame:
    """Measure the coverage and size of prediction sets.

    Parameters
    ----------
    sets : PredictionSets
    predictions : Predictions
        Of the same classes and unit, the test part.
    inside : ndarray of float, shape (N, K), optional
        Which classes are in each row's set, NaN for a row without one; by ``sets`` where left out.

    Returns
    -------
    DataFrame
        One row per class, then one for all (class ""): unit, class, nominal_coverage, kind, set_coverage (every row
        counts the same), set_coverage_by_patient (every patient counts the same: what the nominal coverage is about;
        NaN where patients are unknown), mean_size, singleton_rate (proportion of sets with one class), empty_rate, n
        (rows of the class), patients, note; NaN where n is 0 or no sets are given. ``abstention.referral_table`` has
        intervals that resample patients.

    Raises
    ------
    EvaluationError
        For other classes, or without probabilities.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": ["a", "b"], "probability_a": [0.9, 0.7], "probability_b": [0.1, 0.3]})
    >>> table = coverage_table(PredictionSets(0.9, ("a", "b"), (0.5, 0.5), (50, 50)), read_predictions(frame))
    >>> table["set_coverage"].tolist()
    [1.0, 0.0, 0.5]
    """
    if len(predictions):
        check_predictions(predictions, "prediction sets", scores=True)
    known = predictions.patients_known
    if inside is None:
        inside = sets.sets(predictions.probs) if sets.given else np.full(predictions.probs.shape, np.nan)
    size = inside.sum(axis=1)
    held = inside[np.arange(len(predictions)), predictions.labels].astype(np.float64)
    measures = {
        "mean_size": size,
        "singleton_rate": np.where(np.isnan(size), np.nan, size == 1),
        "empty_rate": np.where(np.isnan(size), np.nan, size == 0),
    }
    rows = []
    for k, name in [*enumerate(predictions.classes), (None, "")]:
        of = np.ones(len(predictions), bool) if k is None else predictions.labels == k
        by_patient = pd.Series(held[of]).groupby(predictions.patients[0][of]).mean()
        rows.append(
            {
                "unit": predictions.unit,
                "class": name,
                "nominal_coverage": sets.coverage,
                "kind": sets.kind,
                "set_coverage": float(held[of].mean()) if of.any() else np.nan,
                "set_coverage_by_patient": float(by_patient.mean()) if known and of.any() else np.nan,
                **{m: float(values[of].mean()) if of.any() else np.nan for m, values in measures.items()},
                "n": int(of.sum()),
                "patients": len(by_patient) if known else np.nan,
                "note": sets.note,
            }
        )
    return pd.DataFrame(rows)
