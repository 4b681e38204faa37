"""Result tables: each is that of its own module, and what cannot be given has a reason."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cohorts import CLASSES, HARD, hard, read, table

from her2core import open_run
from her2core.errors import ConfigError, EvaluationError, TableError
from her2core.evidence.abstention import risk_coverage
from her2core.evidence.aggregate import aggregate
from her2core.evidence.decisions import decision_curve
from her2core.evidence.evaluation import evaluate, evaluate_folder
from her2core.evidence.inputs import EvaluationInputs, inputs_from_folder, inputs_from_predictions
from her2core.evidence.metric_table import metric_table
from her2core.evidence.operating_points import RULE_LABELS, THRESHOLD_RULES, validated_operating_point, youden_threshold
from her2core.evidence.predictions import Predictions, read_predictions
from her2core.evidence.reliability import calibration_table, reliability_table
from her2core.evidence.result_tables import BY_PATIENT, MISSING, TABLES, all_missing, all_result_tables, result_table
from her2core.evidence.run_sets import fit_run_sets
from her2core.evidence.thresholds import operating_point, threshold_for_sensitivity

FEW = {"resamples": 200, "seed": 0}


def same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(a.reset_index(drop=True), b[list(a)].reset_index(drop=True), check_dtype=False)


def at(found: pd.DataFrame, unit: str) -> pd.DataFrame:
    return found[found["unit"] == unit]


def reasons(found: pd.DataFrame, **wanted) -> list[str]:
    for column, value in wanted.items():
        found = found[found[column] == value]
    return found["reason"].tolist()


@pytest.mark.parametrize("unit", ["patch", "patient"])
def test_each_table_is_that_of_its_module(unit):
    predictions = read()
    d = inputs_from_predictions(predictions)
    test, val = predictions.part("test"), predictions.part("val")
    if unit == "patient":
        test, val = aggregate(test, "patient"), aggregate(val, "patient")
    found = {name: at(result_table(d, name, **FEW).frame, unit) for name in TABLES}
    same(found["calibration"].drop(columns="scores"), calibration_table(test, **FEW))
    assert set(found["calibration"]["scores"]) == {"as given"}
    same(found["reliability"], reliability_table(test, **FEW))
    same(found["risk_coverage"], risk_coverage(test, **FEW))
    same(found["decisions"], decision_curve(test, of="positive", **FEW))
    for (of, rule), rows in found["operating_points"].groupby(["class", "rule"]):
        threshold = THRESHOLD_RULES[rule](val, of=of)
        expected = operating_point(test, of=of, threshold=threshold, **FEW)
        same(rows[["metric", "value", "lower_95", "upper_95", "n", "threshold"]], expected)
        assert set(rows["validation_cases"]) == {int((val.labels == CLASSES.index(of)).sum())}
    sites = found["subgroups"].query("metric == 'accuracy'").set_index("group")
    for name in ("north", "south"):
        rows = (test.frame["site"] == name).to_numpy()
        assert sites.loc[name, "value"] == pytest.approx((test.predicted == test.labels)[rows].mean())
        assert sites.loc[name, "n"] == rows.sum()


def test_columns_are_fixed_and_every_row_names_its_unit():
    for name, found in all_result_tables(inputs_from_predictions(read()), **FEW).items():
        assert tuple(found.frame.columns)[: len(TABLES[name])] == TABLES[name]
        assert tuple(found.missing.columns) == MISSING
        assert set(found.frame["unit"]) <= {"patch", "patient"}
        if "resampling_unit" in found.frame:
            assert (found.frame["resampling_unit"] == "patient").all()


def test_what_a_file_cannot_give_is_said():
    missing = all_missing(all_result_tables(inputs_from_predictions(read()), **FEW))
    assert reasons(missing, table="referral") == ["a table of predictions: prediction sets come with a run"] * 2
    assert "before calibration" in reasons(missing, table="calibration", what="uncalibrated")[0]
    assert "no such column" in reasons(missing, table="subgroups", what="scanner")[0]


def test_without_validation_no_threshold_is_set():
    found = result_table(inputs_from_predictions(read(split="test")), "operating_points", **FEW)
    assert found.frame.empty
    assert set(TABLES["operating_points"]) <= set(found.frame.columns)
    assert len(found.missing) == 2 * len(CLASSES) * len(THRESHOLD_RULES)
    assert all("a validation part" in r for r in found.missing["reason"])


def test_without_a_test_part_there_is_nothing():
    with pytest.raises(EvaluationError, match="test part"):
        inputs_from_predictions(read(split="val"))


def test_an_unknown_table_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="'calibration', 'reliability'.*'roc'"):
        result_table(inputs_from_predictions(read()), "roc")


@pytest.mark.parametrize("kind", HARD)
def test_hard_cases_give_a_stated_result_or_a_reason(kind):
    result_tables = all_result_tables(inputs_from_predictions(hard(kind)), **FEW)
    for name, found in result_tables.items():
        for unit in ("patient",) if name in BY_PATIENT else ("patch", "patient"):
            assert len(at(found.frame, unit)) or reasons(found.missing, unit=unit), f"{name} by {unit} is silent"
        if name == "suspected_labels":
            continue
        unsaid = found.frame[found.frame["value"].isna() & (found.frame["note"].fillna("") == "")]
        assert unsaid.empty, f"{name}: a value is missing without a word"
        kind_of = "simultaneous" if name == "group_differences" else "95"
        low, high = (found.frame[f"{end}_{kind_of}"].astype(float).dropna() for end in ("lower", "upper"))
        assert (low <= high).all()
    missing = all_missing(result_tables)
    assert (missing["reason"].str.len() > 10).all()
    if kind in ("a patient with two labels", "a single patient", "unknown patients"):
        assert reasons(missing, table="calibration", unit="patient")
        assert at(result_tables["calibration"].frame, "patient").empty
    if kind in ("a single patient", "unknown patients"):
        assert result_tables["decisions"].frame["note"].str.contains("too narrow").all()
    if kind == "all wrong":
        risk = result_tables["risk_coverage"].frame.query("metric == 'risk' and unit == 'patch'")
        assert risk["value"].to_numpy() == pytest.approx(1)


def test_nan_is_refused_before_anything_is_computed():
    frame = table()
    frame.loc[3, "logit_positive"] = np.nan
    with pytest.raises(TableError, match="Expected a finite number"):
        read_predictions(frame, classes=CLASSES)


# thresholds set on validation


def test_youden_is_the_best_of_all_thresholds():
    val = read().part("val")
    scores, case = val.probs[:, 2], val.labels == 2
    index = [(scores >= t)[case].mean() - (scores >= t)[~case].mean() for t in np.unique(scores)]
    t = youden_threshold(val, of="positive")
    assert (scores >= t)[case].mean() - (scores >= t)[~case].mean() == pytest.approx(max(index))
    assert t == np.unique(scores)[np.isclose(index, max(index))].max()


def test_the_threshold_comes_from_validation_alone():
    d = read()
    val, test = d.part("val"), d.part("test")
    other = Predictions(test.frame, test.probs[::-1].copy(), test.labels, test.classes)
    for rule in THRESHOLD_RULES:
        a, b = (validated_operating_point(val, t, of="positive", rule=rule, resamples=100) for t in (test, other))
        assert a["threshold"].nunique() == 1
        assert a["threshold"].iloc[0] == b["threshold"].iloc[0]
    assert threshold_for_sensitivity(val, of="positive", sensitivity=0.95) == a["threshold"].iloc[0]
    assert set(RULE_LABELS) == set(THRESHOLD_RULES)


def test_a_patient_in_both_parts_and_few_cases_are_said():
    d = read(split=np.where(np.arange(360) < 180, "val", "test"))
    note = validated_operating_point(d.part("val"), d.part("test"), of="positive", rule="youden", resamples=100)["note"]
    assert note.str.contains("36 patients in validation and test: the metrics may be too good").all()
    d = inputs_from_predictions(read())
    patient = at(result_table(d, "operating_points", **FEW).frame, "patient")
    assert patient["note"].str.contains("threshold from only 4 validation patients of").all()


def test_a_threshold_that_cannot_be_chosen_is_refused():
    d = read()
    val, test = d.part("val"), d.part("test")
    cases = val.where(val.labels == 2)
    with pytest.raises(EvaluationError, match="no other"):
        youden_threshold(cases, of="positive")
    with pytest.raises(EvaluationError, match="none that is negative"):
        youden_threshold(cases, of="negative")
    with pytest.raises(ConfigError, match="'best'"):
        validated_operating_point(val, test, of="positive", rule="best")
    with pytest.raises(EvaluationError, match="one unit"):
        validated_operating_point(aggregate(val, "patient"), test, of="positive", rule="youden")


# of a run


def test_a_run_has_all_of_it(tiny_run):
    d = inputs_from_folder(tiny_run.path, tiny_run.card)
    assert isinstance(d, EvaluationInputs)
    assert not d.reasons
    found = result_table(d, "calibration", **FEW).frame
    assert set(found["scores"]) == {"uncalibrated", "calibrated"}
    raw = read_predictions(tiny_run.predictions, classes=tiny_run.classes).part("test")
    same(at(found.query("scores == 'uncalibrated'"), "patch").drop(columns="scores"), calibration_table(raw, **FEW))
    groups = result_table(d, "subgroups", **FEW)
    assert {"site", "scanner"} <= set(groups.frame["by"])
    assert reasons(groups.missing, what="mask_path") == [
        "every patch has its own mask_path: these are no groups",
        "every patient has several mask_path",
    ]
    referral = result_table(d, "referral", **FEW)
    assert referral.frame.empty
    assert [reason.split("only ")[1].split(" (9")[0] for reason in reasons(referral.missing)] == ["3 patients"] * 2
    assert all(
        "at least 10 known patients" in reason for reason in reasons(result_table(d, "weak_slices", **FEW).missing)
    )
    for name in set(TABLES) - {"referral", "group_differences", "between_sites", "weak_slices"}:
        assert len(tiny_run.table(name)), name
    assert list(tiny_run.table("missing")) == list(MISSING)
    metrics = tiny_run.table("metrics")
    for unit in ("patch", "slide", "patient"):
        assert {
            "quadratic_kappa",
            "matthews_correlation",
            "npv",
            "average_precision",
            "negative_log_likelihood",
        } <= set(at(metrics, unit)["metric"])


def test_referral_by_unit_uses_the_sets_of_that_unit():
    predictions = read(n=1200, patients=120)
    sets = fit_run_sets(predictions.part("val"))
    found = result_table(replace(inputs_from_predictions(predictions), sets=sets), "referral", **FEW)
    for unit, p in (("patch", predictions.part("test")), ("patient", aggregate(predictions.part("test"), "patient"))):
        held = sets[unit].sets(p.probs)[np.arange(len(p)), p.labels].mean()
        rows = at(found.frame, unit).query("metric == 'set_coverage' and `class` == ''")
        assert rows["value"].tolist() == pytest.approx([held])


def test_an_older_run_says_what_it_lacks(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.path, tmp_path / "older")
    (folder / "dataset.parquet").unlink()
    card = {k: v for k, v in tiny_run.card.items() if k != "prediction_sets"}
    (folder / "model.card.json").write_text(json.dumps(card))
    evaluate_folder(folder, card, [])
    run = open_run(folder)
    missing = run.table("missing")
    assert "her2 runs sets" in reasons(missing, table="referral")[0]
    assert "no data table" in reasons(missing, table="subgroups", what="scanner")[0]
    assert run.table("referral").empty


def test_a_patient_on_two_scanners_is_a_group_of_its_own():
    predictions = read()
    test = predictions.part("test")
    scanner = pd.Series(np.where(test.frame["patch_id"] == "q37", 1, 0)).map({0: "A", 1: "B"})
    d = EvaluationInputs(
        test, predictions.part("val"), columns=pd.DataFrame({"scanner": scanner}), rules={"patient": "mean"}
    )
    found = at(result_table(d, "subgroups", **FEW).frame, "patient").query("metric == 'accuracy'").set_index("group")
    assert found["n"].to_dict() == {"A": 23, "several": 1}


# metrics.csv


def test_an_evaluation_has_the_whole_registry_and_a_selection_its_rows():
    predictions = read()
    whole = evaluate(predictions)
    test = predictions.part("test")
    same(at(whole.metrics, "patch"), metric_table(test))
    some = evaluate(predictions, metrics=["accuracy", "auroc"])
    same(some.metrics, whole.metrics[whole.metrics["metric"].isin(["accuracy", "auroc"])])


def test_classes_without_an_order_get_no_kappa(tiny_run, tmp_path):
    folder = shutil.copytree(tiny_run.path, tmp_path / "tissue")
    card = {**tiny_run.card, "scheme": {"name": "folders", "meaning": "folder names", "is_her2": False}}
    rows = evaluate_folder(folder, card, []).metrics.query("metric == 'quadratic_kappa'")
    assert rows["value"].isna().all()
    assert rows["note"].str.contains("the label scheme folders declares no order").all()
