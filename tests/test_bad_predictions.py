"""Extreme and bad predictions: a stated result or a clear refusal, never a silent number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bounds import wilson

from her2core.errors import EvaluationError, Her2Error, TableError
from her2core.evidence.abstention import referral_table, risk_coverage
from her2core.evidence.aggregate import aggregate
from her2core.evidence.compare import compare_many, compare_runs
from her2core.evidence.conformal import PredictionSets, fit_prediction_sets
from her2core.evidence.decisions import decision_curve
from her2core.evidence.evaluation import evaluate
from her2core.evidence.metric_table import metric_table
from her2core.evidence.predictions import Predictions, id_table
from her2core.evidence.reliability import calibration_table, reliability_table
from her2core.evidence.run_sets import coverage_table
from her2core.evidence.statements import MIN_PATIENTS, NO_DIFFERENCE, NOT_COMPARED
from her2core.evidence.subgroups import subgroup_table
from her2core.evidence.thresholds import operating_point
from her2core.runs.folder import Run

CLASSES = ("negative", "equivocal", "positive")
SETS = PredictionSets(0.9, CLASSES, (0.6, 0.6, 0.6), (50, 50, 50))
#: Every table of figures with intervals.
TABLES = {
    "metric_table": lambda p: metric_table(p),
    "calibration_table": lambda p: calibration_table(p),
    "reliability_table": lambda p: reliability_table(p),
    "risk_coverage": lambda p: risk_coverage(p),
    "referral": lambda p: referral_table(p, replace(SETS, unit=p.unit)),
    "decision_curve": lambda p: decision_curve(p),
    "operating_point": lambda p: operating_point(p, of="positive", threshold=0.4),
    "subgroup_table": lambda p: subgroup_table(p, by="site"),
}


def predictions(n=60, patients=12, *, unit="patch") -> Predictions:
    rng = np.random.default_rng(0)
    patient = np.arange(n) % patients
    labels = patient % 3
    odds = np.exp(rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels])
    ids = {"patch_id": np.arange(n), "patient_id": patient, "slide_id": patient}
    frame = id_table({c: pd.Series(v).astype("str") for c, v in ids.items()}, n)
    site = np.where(patient % 2, "a", "b")
    return Predictions(frame.assign(site=site), odds / odds.sum(axis=1, keepdims=True), labels, CLASSES, unit)


def with_probs(p: Predictions, probs) -> Predictions:
    return replace(p, probabilities=np.asarray(probs, np.float64))


def several_labels(p: Predictions) -> Predictions:
    labels = p.labels.copy()
    labels[0] = (labels[0] + 1) % 3
    return replace(p, labels=labels)


CASES = {
    "one class": lambda p: p.where(p.labels == 2),
    "two classes": lambda p: p.where(p.labels != 1),
    "all wrong": lambda p: with_probs(p, 0.9 * np.eye(3)[(p.labels + 1) % 3] + 0.1 / 3),
    "all right": lambda p: with_probs(p, 0.9 * np.eye(3)[p.labels] + 0.1 / 3),
    "all right and certain": lambda p: with_probs(p, np.eye(3)[p.labels]),
    "all wrong and certain": lambda p: with_probs(p, np.eye(3)[(p.labels + 1) % 3]),
    "constant": lambda p: with_probs(p, np.full((len(p), 3), 1 / 3)),
    "always the same answer": lambda p: with_probs(p, np.tile([0.2, 0.3, 0.5], (len(p), 1))),
    "ties": lambda p: with_probs(p, 0.4 * np.eye(3)[p.predicted] + 0.2),
    "a patient with two labels": several_labels,
    "a single patient": lambda p: p.where((p.frame["patient_id"] == "2").to_numpy()),
    "two patients": lambda p: p.where(p.frame["patient_id"].isin(["2", "3"]).to_numpy()),
    "a single row": lambda p: p.where(np.arange(len(p)) == 2),
}


def say_all(table: pd.DataFrame) -> None:
    """A value or the reason why not; bounds or the reason why not, and the value between them."""
    assert len(table)
    assert (table["value"].notna() | (table["note"] != "")).all(), table[table["value"].isna()]
    assert (table["lower_95"].notna() == table["upper_95"].notna()).all()
    without = table["lower_95"].isna()
    assert (table["note"][without] != "").all(), table[without]
    bounded = table[~without]
    assert np.isfinite(bounded[["value", "lower_95", "upper_95"]]).all(axis=None)
    assert (bounded["lower_95"] <= bounded["upper_95"]).all()
    same = (bounded["upper_95"] - bounded["lower_95"] < 1e-12) & (bounded.get("strategy") != "treat none")
    if "interval_method" in table:
        said = "identical in every resample|reflected"
        assert (bounded["note"][same].str.contains(said)).all(), bounded[same]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("case", CASES)
def test_every_table_says_what_it_could_not_compute(case, name):
    for p in (predictions(), predictions(12, unit="patient")):
        say_all(TABLES[name](CASES[case](p)))


@pytest.mark.parametrize("name", TABLES)
def test_nothing_to_judge_is_refused(name):
    with pytest.raises(Her2Error):
        TABLES[name](predictions().where(np.zeros(60, bool)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_probability_that_is_no_number_never_becomes_a_prediction(bad):
    probs = predictions().probs.copy()
    probs[4, 1] = bad
    with pytest.raises(EvaluationError, match="Expected a finite number for every class, but got"):
        with_probs(predictions(), probs)


def test_labels_and_probabilities_that_do_not_fit_are_refused():
    p = predictions()
    for labels in (p.labels - 1, p.labels + 1):
        with pytest.raises(EvaluationError, match="Expected labels from 0 to 2, but got"):
            replace(p, labels=labels)
    with pytest.raises(EvaluationError, match="60 rows of 3 probabilities"):
        with_probs(p, p.probs[:59])
    with pytest.raises(EvaluationError, match="60 rows of 2 probabilities"):
        replace(p, classes=CLASSES[:2])
    with pytest.raises(EvaluationError, match="59 rows of identifiers"):
        replace(p, frame=p.frame.head(59))


# what the stated results are


def row(table: pd.DataFrame, metric: str, of: str = "") -> pd.Series:
    return table[(table["metric"] == metric) & (table["class"] == of)].iloc[0]


@pytest.mark.parametrize(("case", "share"), [("all right", 1.0), ("all wrong", 0.0)])
def test_all_or_none_right_has_wilson_s_bound_of_as_many_patients(case, share):
    p = CASES[case](predictions())
    metrics = metric_table(p)
    for metric, of, patients in (
        ("accuracy", "", 12),
        ("balanced_accuracy", "", 12),
        ("macro_f1", "", 12),
        ("recall", "positive", 4),
        ("specificity", "positive", 8) if share else ("f1", "positive", 4),
        ("precision", "positive", 4),
        ("auroc", "positive", 4) if share else ("recall", "negative", 4),
    ):
        found = row(metrics, metric, of)
        expected = (share, *wilson(share, patients))
        assert (found["value"], found["lower_95"], found["upper_95"]) == pytest.approx(expected, abs=1e-9), metric
        assert found["interval_method"] == "Wilson score, effective clusters"
    if share:
        assert row(metrics, "quadratic_kappa")["value"] == row(metrics, "matthews_correlation")["value"] == 1
        assert row(metrics, "npv", "positive")["lower_95"] == pytest.approx(wilson(1, 8)[0])


def test_one_class_has_recall_but_nothing_to_tell_it_from():
    p = CASES["one class"](predictions())
    metrics = metric_table(p)
    assert np.isfinite(row(metrics, "recall", "positive")["value"])
    for found in (
        row(metrics, "auroc", "positive"),
        row(metrics, "macro_auroc"),
        row(metrics, "recall", "negative"),
        row(metrics, "specificity", "positive"),
        row(metrics, "average_precision", "positive"),
        row(metrics, "macro_average_precision"),
    ):
        assert np.isnan(found["value"])
        assert "cannot be computed" in found["note"]


def test_constant_scores_tell_nothing_apart():
    p = CASES["constant"](predictions())
    metrics = metric_table(p)
    assert row(metrics, "macro_auroc")["value"] == 0.5
    assert row(metrics, "quadratic_kappa")["value"] == 0
    assert "only one class is true, or only one predicted" in row(metrics, "matthews_correlation")["note"]
    slope = row(calibration_table(p), "calibration_slope", "positive")
    assert np.isnan(slope["value"])
    assert "every probability is the same" in slope["note"]


def test_a_single_patient_is_said_in_every_row():
    for name, table in TABLES.items():
        found = table(CASES["a single patient"](predictions()))
        assert found["note"].str.contains("only 1 patient").all(), name


# evaluate


@pytest.mark.parametrize("case", CASES)
def test_an_evaluation_states_every_unit(case):
    found = evaluate(CASES[case](predictions()))
    say_all(found.metrics)
    assert list(found.units["unit"]) == ["patch", "slide", "patient"]
    assert (found.units["assessed"] | (found.units["reason"] != "")).all()
    if case == "a patient with two labels":
        units = found.units.set_index("unit")
        assert units["assessed"].to_dict() == {"patch": True, "slide": False, "patient": False}
        assert "needs one label per patient, but found 1 with several, the first: 0" in units.loc["patient", "reason"]
        assert set(found.metrics["unit"]) == {"patch"}
        with pytest.raises(EvaluationError, match="one label per patient"):
            aggregate(CASES[case](predictions()), "patient")


# compare_runs


def run(name: str, p: Predictions, **columns) -> Run:
    """A run that was never trained: of it, only what a comparison reads."""
    frame = p.frame.assign(label=np.array(CLASSES)[p.labels])
    for i, c in enumerate(CLASSES):
        frame[f"probability_{c}"] = p.probs[:, i]
    made = Run(Path(name), {}, {"classes": list(CLASSES), "temperature": 1.0})
    made.__dict__["predictions"] = frame.assign(**columns)
    return made


@pytest.mark.parametrize("unit", ["patch", "patient"])
@pytest.mark.parametrize("case", CASES)
def test_a_comparison_says_one_thing_about_its_primary_metric(case, unit):
    bad = CASES[case](predictions())
    other = with_probs(bad, bad.probs[:, [1, 2, 0]])
    if case == "a patient with two labels" and unit == "patient":
        with pytest.raises(EvaluationError, match="one label per patient"):
            compare_runs(run("bad", bad), run("other", other), unit=unit)
        return
    found = compare_runs(run("bad", bad), run("other", other), unit=unit)
    table, primary = found.table, found.primary
    assert table["role"].tolist().count("primary") == 1
    assert (primary["metric"], primary["class"]) == ("balanced_accuracy", "")
    assert (table.loc[table["role"] == "descriptive", "statement"] == "").all()
    known = table["lower_95"].notna()
    assert table["p_value"].notna().equals(known)
    assert table["detectable_difference"].notna().equals(known)
    assert (table["upper_95"] - table["lower_95"])[known].gt(0).all(), "an interval without width is none"
    if bad.patients_known and len(bad.patients[1]) < MIN_PATIENTS:
        assert found.statement.startswith(f"{NOT_COMPARED}only")
    elif not np.isfinite(primary["p_value"]):
        assert found.statement.startswith(NOT_COMPARED) or primary["difference"] == 0
    else:
        assert found.statement == NO_DIFFERENCE or found.statement.endswith(" is better")
        assert found.statement.endswith(" is better") == (primary["lower_95"] > 0 or primary["upper_95"] < 0)
    if case in ("a single patient", "two patients", "a single row"):
        assert found.note.startswith("only")
    if case == "constant":
        assert found.statement == NO_DIFFERENCE


def test_runs_with_scores_that_are_no_number_are_not_compared():
    p = predictions()
    broken = run("broken", p, probability_negative=np.where(np.arange(60) == 3, np.nan, p.probs[:, 0]))
    for pair in ((run("a", p), broken), (broken, run("a", p))):
        with pytest.raises(TableError, match=r"Expected a finite number in every row.*row 4"):
            compare_runs(*pair)
    with pytest.raises(TableError, match="Expected a finite number"):
        compare_many(run("a", p), [broken])


def test_other_patches_labels_or_classes_are_not_compared():
    p = predictions()
    with pytest.raises(EvaluationError, match="other test patches: 60 and 59, of which 59 are shared"):
        compare_runs(run("a", p), run("b", p.where(np.arange(59))))
    with pytest.raises(EvaluationError, match="other labels: 1 patches"):
        compare_runs(run("a", p), run("b", several_labels(p)))


# prediction sets


@pytest.mark.parametrize("case", CASES)
def test_prediction_sets_say_why_they_are_marginal_or_none(case):
    p = CASES[case](predictions())
    counts = [len(set(p.frame.loc[p.labels == k, "patient_id"])) for k in range(3)]
    sets = fit_prediction_sets(p.probs, labels=p.labels, patients=p.patients[0], classes=CLASSES)
    patients = len(set(p.frame["patient_id"]))
    assert sets.kind == ("class-conditional" if min(counts) >= 9 else "marginal" if patients >= 9 else "none")
    assert (sets.reason == "") == (min(counts) >= 9)
    table = coverage_table(sets, p).set_index("class")
    for name, n in zip(CLASSES, sets.rows, strict=True):
        assert np.isnan(table.loc[name, "set_coverage"]) == (n == 0 or sets.kind == "none")
    assert set(table["note"]) == {sets.reason}
