"""The verdict's grades on tables and runs; expected grades come from reasoning by hand and from other formulae."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

import her2core
from her2core.cli import cli
from her2core.cli.verdict_text import verdict_lines
from her2core.evidence.verdict.rules import CONTRADICTS, LIMITS, NOT_KNOWN, SUPPORTS

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT.parent / "shared" / "cases" / "tables"
CLASSES = ["negative", "equivocal", "positive"]
needs_cases = pytest.mark.skipif(not TABLES.is_dir(), reason=f"the cases are not here: {TABLES}")


def table(patients=30, patches=4, wrong=3, *, whole=False, split=True, scores=True) -> pd.DataFrame:
    """Patients of three classes in turn, a third as many in training and in validation; ``wrong`` rows or patients.

    ``whole``: all rows of the first ``wrong`` patients are wrong, otherwise the first row of each of them.
    """
    parts = {"test": patients, **({"train": patients // 3, "val": patients // 3} if split else {})}
    rows = []
    for part, number in parts.items():
        for p in range(number):
            for i in range(patches):
                label = p % 3
                bad = part == "test" and p < wrong and (whole or i == 0)
                rows.append((f"{part}{p}", part, label, (label + 1) % 3 if bad else label))
    found = pd.DataFrame(rows, columns=["patient_id", "split", "label", "predicted"])
    found["label"] = [CLASSES[i] for i in found["label"]]
    predicted = found.pop("predicted").to_numpy()
    if not scores:
        return found.assign(predicted=[CLASSES[i] for i in predicted])
    probabilities = 0.02 + 0.94 * np.eye(3)[predicted]
    return found.assign(**{f"probability_{c}": probabilities[:, i] for i, c in enumerate(CLASSES)})


@cache
def of_table(name: str) -> her2core.Verdict:
    return her2core.verdict(TABLES / name)


@cache
def of_run(name: str) -> her2core.Verdict:
    return her2core.verdict(ROOT / "models" / name)


def grades(found: her2core.Verdict) -> dict[str, str]:
    return {aspect.rule: aspect.grade for aspect in found.aspects}


def wilson(right: int, n: int) -> tuple[float, float]:
    found = binomtest(right, n).proportion_ci(method="wilson")
    return found.low, found.high


# the table of the paper's 98 %


@needs_cases
def test_a_table_whose_patients_are_in_all_parts_cannot_be_believed_and_says_so_first():
    found = of_table("paper_98_all_parts.csv")
    frame = pd.read_csv(TABLES / "paper_98_all_parts.csv")
    scores = frame[[f"score_{c}" for c in CLASSES]].to_numpy()
    right = np.array(CLASSES)[scores.argmax(axis=1)] == frame["y_true"].to_numpy()
    test = (frame["fold"] == "test").to_numpy()
    assert found.answer == "No"
    assert found.headline == "Can this number be believed? No."
    assert found.sentence.startswith(
        f"The accuracy of {right.mean():.1%} cannot be believed as performance on new patients: 40 patients are in "
        "several parts of the split."
    )
    assert f"The test rows alone give {right[test].mean():.1%} of {test.sum()} patches" in found.sentence
    assert "of patients who were also trained on" in found.sentence
    assert found.aspects[0].rule == "overlap"
    assert found.aspects[0].grade == CONTRADICTS
    assert "40 of 40 patients" in found.aspects[0].finding


@needs_cases
def test_figures_of_the_paper_s_table_are_those_of_other_formulae():
    found = of_table("paper_98_all_parts.csv")
    frame = pd.read_csv(TABLES / "paper_98_all_parts.csv")
    scores = frame[[f"score_{c}" for c in CLASSES]].to_numpy()
    frame["right"] = np.array(CLASSES)[scores.argmax(axis=1)] == frame["y_true"].to_numpy()
    everything = found.figure("all_rows")
    assert (everything.lower_95, everything.upper_95) == pytest.approx(wilson(int(frame["right"].sum()), len(frame)))
    test = frame[frame["fold"] == "test"]
    usual = found.figure("as_reported")
    assert usual.value == pytest.approx(test["right"].mean())
    assert (usual.lower_95, usual.upper_95) == pytest.approx(wilson(int(test["right"].sum()), len(test)))
    by = test.groupby("case")
    mean = by[[f"score_{c}" for c in CLASSES]].mean().to_numpy().argmax(axis=1)
    patients_right = int((np.array(CLASSES)[mean] == by["y_true"].first().to_numpy()).sum())
    patient = found.figure("by_patient")
    assert (patient.n, patient.value) == (40, pytest.approx(patients_right / 40))
    assert (patient.lower_95, patient.upper_95) == pytest.approx(wilson(patients_right, 40))
    honest = found.figure("by_patch")
    assert honest.lower_95 < usual.lower_95 < usual.upper_95 < honest.upper_95
    # one-way analysis of variance, Kish's design effect
    sizes, means, n, k = by.size().to_numpy(), by["right"].mean().to_numpy(), len(test), by.ngroups
    within = sum(((g["right"] - g["right"].mean()) ** 2).sum() for _, g in by) / (n - k)
    between = (sizes * (means - test["right"].mean()) ** 2).sum() / (k - 1)
    m0 = (n - (sizes**2).sum() / n) / (k - 1)
    icc = (between - within) / (between + (m0 - 1) * within)
    worth = n / (1 + ((sizes**2).sum() / n - 1) * icc)
    assert found.effective_sample.effective_rows == pytest.approx(worth)
    assert f"worth {worth:.0f} independent ones" in found.aspect("interval").finding
    assert grades(found)["interval"] == LIMITS


# tables of other people


@needs_cases
@pytest.mark.parametrize("name", ["patient_na.csv", "binary_float_labels.csv", "clam_fold.csv"])
def test_a_table_without_patients_is_not_known_and_says_what_would_make_it_known(name):
    found = of_table(name)
    assert found.answer == "Not known"
    assert "may or may not hold for new patients" in found.sentence
    held = grades(found)
    assert all(
        held[rule] == NOT_KNOWN for rule in ("overlap", "identifiers", "sample", "interval", "patients", "calibration")
    )
    assert found.figure("by_patient") is None
    assert found.figure("by_patch") is None
    assert found.effective_sample is None
    needed = {unknown.needed: unknown.what for unknown in found.unknowns}
    assert "Accuracy by patient" in needed["Name the patient of every row."]


def test_a_table_with_disjoint_parts_is_believed_within_limits():
    found = her2core.verdict(table(), name="theirs.csv")
    held = grades(found)
    assert [held[r] for r in ("overlap", "identifiers", "sample")] == [SUPPORTS] * 3
    assert [held[r] for r in ("baselines", "copies", "shortcuts", "labels")] == [NOT_KNOWN] * 4
    assert found.answer == "Within limits"
    assert found.name == "theirs.csv"
    # 117 of 120 patches, and all of 30 patients by the mean over four patches of which one is wrong; the lower bound
    # of 30 of 30 is 30 / (30 + 1.96^2) = 88.6 %, below that of 117 of 120, 92.9 %
    assert found.figure("as_reported").value == pytest.approx(117 / 120)
    assert found.figure("by_patient").value == 1
    assert held["patients"] == LIMITS
    assert found.sentence.startswith("The accuracy of 97.5% can be believed as performance on new patients; by patient")
    assert "100.0% [88.6%, 100.0%]" in found.sentence
    assert found.figure("all_rows").value == pytest.approx(197 / 200)


def test_patients_that_are_right_or_wrong_as_a_whole_make_the_usual_interval_too_narrow():
    found = her2core.verdict(table(patches=20, whole=True))
    # intraclass correlation 1: 600 patches are worth 30
    assert found.effective_sample.effective_rows == pytest.approx(30)
    assert grades(found)["interval"] == LIMITS
    assert grades(found)["patients"] == LIMITS
    usual = found.figure("as_reported")
    assert (usual.lower_95, usual.upper_95) == pytest.approx(wilson(540, 600))


def test_with_one_row_a_patient_the_usual_interval_holds():
    found = her2core.verdict(table(patients=60, patches=1))
    assert grades(found)["interval"] == SUPPORTS
    assert grades(found)["patients"] == SUPPORTS
    assert "one row" in found.aspect("interval").finding


def test_an_accuracy_by_patient_far_below_that_by_patch_contradicts_the_claim():
    """One patient with 2,000 right patches, 29 with a single wrong one: 98.6 % by patch, 1 of 30 by patient."""
    frame = table(patches=1, wrong=30)
    frame = frame[frame["patient_id"] != "test0"]
    big = pd.concat([table(patients=1, patches=2000, wrong=0, split=False)])
    found = her2core.verdict(pd.concat([big, frame], ignore_index=True))
    assert grades(found)["patients"] == CONTRADICTS
    assert found.answer == "No"
    assert found.figure("by_patient").value == pytest.approx(1 / 30)


def test_a_patient_in_training_and_test_contradicts_the_claim():
    frame = table()
    frame.loc[frame["patient_id"] == "train0", "patient_id"] = "test0"
    found = her2core.verdict(frame)
    assert grades(found)["overlap"] == CONTRADICTS
    assert found.answer == "No"
    assert "1 patient is in several parts of the split" in found.sentence


def test_training_and_test_rows_without_validation_are_compared():
    frame = table()
    found = her2core.verdict(frame[frame["split"] != "val"])
    assert grades(found)["overlap"] == SUPPORTS
    assert "training and test (ids compared)" in found.aspect("overlap").finding


def test_test_rows_alone_cannot_show_that_the_patients_are_new():
    found = her2core.verdict(table(split=False))
    assert grades(found)["overlap"] == NOT_KNOWN
    assert found.answer == "Not known"
    assert any("training rows" in unknown.needed for unknown in found.unknowns)


def test_a_slope_that_is_not_defined_is_no_number():
    frame = table()
    frame[[f"probability_{c}" for c in CLASSES]] = 1 / 3
    found = her2core.verdict(frame)
    assert "not defined" in found.aspect("calibration").finding
    assert not any("nan" in aspect.finding for aspect in found.aspects)


@pytest.mark.parametrize(
    ("patients", "grade", "answer"),
    [
        (1, CONTRADICTS, "No"),
        (3, NOT_KNOWN, "Not known"),
        (5, LIMITS, "Within limits"),
        (12, SUPPORTS, "Within limits"),
    ],
)
def test_few_patients(patients, grade, answer):
    """One patient is of one class; three are too few for an interval over patients; five are few."""
    frame = table(patients=30, wrong=2)
    keep = {f"test{i}" for i in range(patients)}
    found = her2core.verdict(frame[(frame["split"] != "test") | frame["patient_id"].isin(keep)])
    assert grades(found)["sample"] == grade
    assert found.answer == answer


def test_one_patient_of_a_class_limits_the_claim():
    frame = table(patients=36)
    positive = frame["label"].eq("positive") & frame["split"].eq("test")
    found = her2core.verdict(frame[~positive | frame["patient_id"].eq("test2")])
    assert grades(found)["sample"] == LIMITS
    assert "Only one patient of the test part has the class positive" in found.aspect("sample").finding


def test_a_patient_with_several_labels_limits_the_claim_and_switches_the_unit_off():
    frame = table()
    frame.loc[0, "label"] = "positive"
    found = her2core.verdict(frame)
    assert grades(found)["labels"] == LIMITS
    assert grades(found)["patients"] == NOT_KNOWN
    assert found.figure("by_patient") is None
    assert found.figure("by_patch") is not None


def test_hard_labels_leave_the_calibration_unknown():
    found = her2core.verdict(table(scores=False))
    assert grades(found)["calibration"] == NOT_KNOWN
    assert "without probabilities" in found.aspect("calibration").finding
    assert found.figure("as_reported").value == pytest.approx(117 / 120)


def test_a_constant_prediction_is_no_recognition_whatever_its_accuracy():
    """56 of 60 patients negative, all predicted negative: 93 % accuracy, balanced accuracy one third."""
    frame = table(patients=60, patches=2, wrong=0, scores=False)
    test = frame["split"] == "test"
    few = frame["patient_id"].isin([f"test{i}" for i in range(54)])
    frame.loc[test & few, "label"] = "negative"
    frame["predicted"] = "negative"
    found = her2core.verdict(frame)
    assert found.figure("as_reported").value == pytest.approx(56 / 60)
    assert grades(found)["baselines"] == CONTRADICTS
    assert found.answer == "No"
    assert "as recognition of the classes" in found.sentence


@pytest.mark.parametrize(("missed", "expected"), [(10, "is below"), (0, ""), (1, "is not shown to be above")])
def test_an_accuracy_below_the_share_of_the_largest_class_is_said(missed, expected):
    """56 of 60 patients negative: 10 false positives leave 83 %, always answering negative 93."""
    frame = table(patients=60, patches=2, wrong=0, scores=False)
    few = (frame["split"] == "test") & frame["patient_id"].isin([f"test{i}" for i in range(54)])
    frame.loc[few, "label"] = "negative"
    frame["predicted"] = frame["label"]
    frame.loc[few & frame["patient_id"].isin([f"test{i}" for i in range(missed)]), "predicted"] = "positive"
    found = her2core.verdict(frame).aspect("baselines")
    assert found.grade == (LIMITS if expected else NOT_KNOWN)
    assert ("93.3%" in found.finding) == bool(expected)
    assert ("no-information rate" in found.finding) == bool(expected)
    assert expected in found.reason


def test_predictions_by_chance_are_not_shown_to_beat_a_constant_prediction():
    frame = table(patients=60, patches=1, wrong=0, scores=False)
    rng = np.random.default_rng(0)
    frame["predicted"] = rng.permutation(frame["label"].to_numpy())
    found = her2core.verdict(frame)
    assert grades(found)["baselines"] == LIMITS


def test_rounded_identifiers_leave_every_figure_by_patient_unknown():
    frame = table()
    frame["patient_id"] = "1.2" + frame["patient_id"].str.extract(r"(\d+)")[0].str.zfill(4) + "E+15"
    found = her2core.verdict(frame[frame["split"] == "test"])
    held = grades(found)
    assert all(held[rule] == NOT_KNOWN for rule in ("identifiers", "interval", "patients"))
    assert "rounded by a spreadsheet" in found.aspect("identifiers").finding
    assert found.figure("by_patient") is None


def test_what_a_table_s_notes_say_is_said_once():
    found = her2core.verdict(table(split=False))
    said = " ".join(a.finding for a in found.aspects)
    assert said.count("The table has no training rows") == 1
    assert not any("no training rows" in note for note in found.notes)


# runs


def test_a_random_patch_split_without_patients_cannot_be_believed():
    found = of_run("tissue12")
    assert found.answer == "No"
    assert "assigned at random" in found.sentence
    assert grades(found)["identifiers"] == NOT_KNOWN


def test_a_random_patch_split_with_patients_counts_those_in_several_parts():
    found = of_run("study/leakage/patch-random-seed0")
    split = pd.read_parquet(ROOT / "models/study/leakage/patch-random-seed0/dataset.parquet")
    shared = int((split.groupby("patient_id")["split"].nunique() > 1).sum())
    assert found.answer == "No"
    assert f"{shared} patients and" in found.sentence


def test_a_split_by_slide_that_shares_patients_cannot_be_believed():
    assert grades(of_run("study/leakage/slide-seed0"))["overlap"] == CONTRADICTS


def test_a_split_by_patient_or_site_is_believed_for_what_it_promises():
    by_patient, by_site = of_run("demo"), of_run("study/leakage/site-seed0")
    assert grades(by_patient)["overlap"] == grades(by_site)["overlap"] == SUPPORTS
    assert "performance on new patients from the same sites" in by_patient.sentence
    assert "performance on new patients from new sites" in by_site.sentence
    assert any("at sites" in unknown.what for unknown in by_patient.unknowns)
    assert not any("at sites" in unknown.what for unknown in by_site.unknowns)


def test_a_warning_that_no_rule_takes_up_is_an_aspect_of_its_own():
    found = of_run("her2st-erbb2")
    assert found.aspect("further").grade == LIMITS
    assert "first weights (run:models/tissue12)" in found.aspect("further").finding
    said = " ".join(a.finding for a in found.aspects)
    assert all(said.count(warning) == 1 for warning in her2core.open_run(ROOT / "models/her2st-erbb2").warnings)


def test_a_verdict_from_an_evaluation_is_that_of_its_source():
    frame = table()
    predictions = her2core.read_predictions(frame)
    found = her2core.evaluate(predictions)
    assert her2core.verdict(predictions, evaluation=found) == her2core.verdict(frame)


def test_the_json_form_has_no_nan_and_names_every_rule_s_documentation():
    for found in (of_run("tissue12"), her2core.verdict(table(scores=False))):
        value = json.loads(json.dumps(found.as_dict(), allow_nan=False))
        assert value["answer"] == found.answer
        assert [a["documentation"] for a in value["aspects"]] == [f"docs/verdict.md#{a.rule}" for a in found.aspects]
        assert value["figures"][0]["lower_95"] == pytest.approx(found.figures[0].lower_95)


def test_the_command_line_says_the_verdict_before_any_figure_and_each_thing_once(tmp_path, capsys):
    frame = table()
    frame.loc[frame["patient_id"] == "train0", "patient_id"] = "test0"
    frame.to_csv(tmp_path / "theirs.csv", index=False)
    cli.main(["evaluate", str(tmp_path / "theirs.csv")], standalone_mode=False)
    text = capsys.readouterr().out
    found = her2core.verdict(tmp_path / "theirs.csv")
    assert text.splitlines()[:2] == ["Can this number be believed? No.", found.sentence]
    assert text.index(found.aspects[-1].finding) < text.index("\nBy patch\n")
    for said in (*found.notes, *(a.finding for a in found.aspects)):
        assert text.count(said) == 1
    assert text.count("intraclass correlation") == 1
    assert "warning:" not in text
    cli.main(["evaluate", str(tmp_path / "theirs.csv"), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["verdict"] == found.as_dict()
    cli.main(["evaluate", str(tmp_path / "theirs.csv"), "--part", "val"], standalone_mode=False)
    other = capsys.readouterr().out
    assert "Can this number" not in other
    assert "warning: Patients occur in more than one split part" in other


def test_what_is_not_known_has_no_heading_where_all_is_known():
    found = her2core.verdict("models/demo")
    assert any("cannot be known" in line for line in verdict_lines(found)) == bool(found.unknowns)
    assert not any("cannot be known" in line for line in verdict_lines(replace(found, unknowns=())))
