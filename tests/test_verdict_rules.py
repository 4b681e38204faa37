"""The verdict's rules: complete, documented, each grade given by its condition, the answer by the worst grade."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_verdict import table

from her2core.data.checks.outcome import Finding, Outcome
from her2core.data.checks.registry import CHECKS
from her2core.data.checks.report import CheckReport
from her2core.evidence.baselines import HIGHER, LOWER, NO_DIFFERENCE
from her2core.evidence.evaluation import evaluate
from her2core.evidence.metrics.registry import METRICS
from her2core.evidence.partition import partition_of_run
from her2core.evidence.predictions import read_predictions
from her2core.evidence.statements import UNKNOWN_PATIENTS
from her2core.evidence.table_findings import table_notes, table_warnings
from her2core.evidence.verdict.assess import verdict_of
from her2core.evidence.verdict.documentation import markdown_page
from her2core.evidence.verdict.inputs import VerdictInputs, inputs_of_table
from her2core.evidence.verdict.result import Aspect, overall
from her2core.evidence.verdict.rules import CONTRADICTS, GRADES, LIMITS, NOT_GRADED, NOT_KNOWN, OVERALL, RULES, SUPPORTS
from her2core.runs.folder import open_run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def inputs() -> VerdictInputs:
    """A table with disjoint parts, as if it were a run whose checks found nothing."""
    predictions = read_predictions(table())
    found = inputs_of_table(predictions, evaluate(predictions), name="run")
    return replace(found, from_run=True, checks=report())


def report(**status: str) -> CheckReport:
    """Every check found nothing, apart from those in ``status`` (underscores for hyphens; absent ones are left out)."""
    outcomes = []
    for code, check in CHECKS.items():
        how = status.get(code.replace("-", "_"), "not found")
        if how == "absent":
            continue
        finding = None
        if how == "found":
            finding = Finding(code, check.title, "warning", "none", f"something of {code}", "Mend it.", "It matters.")
        reason = "ids are unknown" if how in ("not applicable", "could not be run") else ""
        outcomes.append(Outcome(code, check.title, how, "docs/checks.md", reason, finding))
    return CheckReport(tuple(outcomes))


def grade(inputs: VerdictInputs, rule: str) -> str:
    return verdict_of(inputs).aspect(rule).grade


# rules as data


def test_the_page_of_the_verdict_is_generated():
    page = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8")
    assert page == markdown_page(), "run: python -m her2core.evidence.verdict.documentation > docs/verdict.md"
    assert all(f"\n## {rule}\n" in page for rule in RULES)


def test_every_check_belongs_to_one_rule_or_is_named_as_not_graded():
    used = [code for rule in RULES.values() for code in rule.checks]
    assert sorted([*used, *NOT_GRADED]) == sorted(CHECKS)


def test_every_rule_names_known_metrics_and_grades_and_a_source():
    for rule in RULES.values():
        assert set(rule.metrics) <= set(METRICS)
        assert set(rule.grades) <= set(GRADES)
        assert rule.source
        assert all(rule.grades.values())
        assert rule.section.partition("#")[0] in ("performance", "dataset", "calibration")


def test_every_warning_about_a_table_is_taken_up_by_one_rule():
    ids = pd.DataFrame({"patient_id": ["1.23E+15", "1.23E+15", "unknown"], "split": ["train", "test", "val"]})
    said = table_warnings(ids, ids["patient_id"], labels=np.array([0, 0, 1]), classes=["a", "b"])
    many = pd.DataFrame({"patient_id": [f"P{i}" for i in range(12)], "split": "test"})
    labels = np.array([0] * 11 + [1])
    said += table_warnings(many, many["patient_id"], labels=labels, classes=["a", "b"])
    said += [n for n in table_notes(many, labels, ["a", "b"]) if "training" in n]
    assert len(said) == 6
    for sentence in said:
        assert sum(bool(rule.warnings) and sentence.startswith(rule.warnings) for rule in RULES.values()) == 1, sentence


# the answer


def test_the_answer_is_that_of_the_worst_grade():
    """All combinations of an essential and another aspect, by the words of the rule."""
    for essential, other in product(GRADES, GRADES):
        found = overall([Aspect("overlap", essential, "", ""), Aspect("calibration", other, "", "")])
        if "contradicts the claim" in (essential, other):
            assert found == "No"
        elif essential == "not known":
            assert found == "Not known"
        elif essential == other == "supports the claim":
            assert found == "Yes"
        else:
            assert found == "Within limits"
    assert list(OVERALL) == ["No", "Not known", "Within limits", "Yes"]


def test_with_every_aspect_in_its_favour_the_number_can_be_believed(inputs):
    predictions = read_predictions(table(patients=90, patches=1, wrong=0))
    held = inputs_of_table(predictions, evaluate(predictions), name="run")
    calibration = held.calibration.assign(lower_95=0.0, upper_95=0.05)
    best = replace(
        held,
        from_run=True,
        checks=report(),
        baselines=baselines(colour=HIGHER),
        calibration=calibration[calibration["metric"] != "calibration_slope"],
    )
    found = verdict_of(best)
    assert {a.rule: a.grade for a in found.aspects} == dict.fromkeys((r for r in RULES if r != "further"), SUPPORTS)
    assert found.answer == "Yes"
    assert found.sentence.endswith("by patient it is 100.0% [95.9%, 100.0%].")  # 90 / (90 + 1.96^2)


# checks


@pytest.mark.parametrize("rule", ["copies", "shortcuts", "labels"])
def test_findings_limit_open_checks_are_not_known_and_clean_ones_support(inputs, rule):
    assert grade(inputs, rule) == SUPPORTS
    for code in RULES[rule].checks:
        name = code.replace("-", "_")
        found = verdict_of(replace(inputs, checks=report(**{name: "found"}))).aspect(rule)
        assert found.grade == LIMITS
        assert f"something of {code}" in found.finding
        for how in ("could not be run", "absent"):
            found = verdict_of(replace(inputs, checks=report(**{name: how}))).aspect(rule)
            assert found.grade == NOT_KNOWN
            assert CHECKS[code].title in found.finding
            assert "her2 data check" in found.needed
        expected = NOT_KNOWN if rule == "copies" else SUPPORTS
        assert grade(replace(inputs, checks=report(**{name: "not applicable"})), rule) == expected


def test_a_run_without_recorded_checks_says_how_to_record_them(inputs):
    bare = replace(inputs, checks=None, reasons={**inputs.reasons, "checks": "the run does not record its data checks"})
    found = verdict_of(bare).aspect("shortcuts")
    assert found.grade == NOT_KNOWN
    assert "her2 runs complete" in found.needed


@pytest.mark.parametrize("code", ["patient-spellings", "file-name-ids", "slide-of-two-patients", "shared-patient-id"])
def test_doubtful_identifiers_limit_the_claim(inputs, code):
    assert grade(replace(inputs, checks=report(**{code.replace("-", "_"): "found"})), "identifiers") == LIMITS


def test_neighbouring_tiles_in_different_parts_limit_the_claim(inputs):
    assert grade(replace(inputs, checks=report(neighbouring_tiles="found")), "overlap") == LIMITS


def test_a_dominant_patient_limits_the_claim(inputs):
    assert grade(inputs, "sample") == SUPPORTS
    assert grade(replace(inputs, checks=report(dominant_patient="found")), "sample") == LIMITS


# baselines


def baselines(**statement: str) -> pd.DataFrame:
    rows = [
        {"baseline": name, "unit": unit, "metric": "balanced_accuracy", "value": 0.4, "network": 0.9, "statement": said}
        for unit in ("patch", "patient")
        for name, said in statement.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ({"prevalence": HIGHER, "colour": HIGHER}, SUPPORTS),
        ({"prevalence": HIGHER, "colour": NO_DIFFERENCE}, LIMITS),
        ({"prevalence": HIGHER, "site": LOWER}, CONTRADICTS),
        ({"prevalence": UNKNOWN_PATIENTS}, NOT_KNOWN),
    ],
)
def test_baselines(inputs, statements, expected):
    found = verdict_of(replace(inputs, baselines=baselines(**statements))).aspect("baselines")
    assert found.grade == expected
    if expected in (LIMITS, CONTRADICTS):
        assert ("colour only" if expected == LIMITS else "site only") in found.finding


def test_without_baselines_the_verdict_says_how_to_compute_them(inputs):
    bare = replace(inputs, reasons={**inputs.reasons, "baselines": "baselines were not computed for this run"})
    found = verdict_of(bare).aspect("baselines")
    assert found.grade == NOT_KNOWN
    assert "her2 baselines run --manifest MANIFEST --save" in found.needed


# calibration


@pytest.mark.parametrize(
    ("error", "slope", "expected"),
    [
        ((0.0, 0.08), (0.8, 1.3), SUPPORTS),
        ((0.0, 0.2), (0.8, 1.3), NOT_KNOWN),
        ((0.01, 0.08), (0.8, 1.3), LIMITS),
        ((0.0, 0.08), (0.2, 0.7), LIMITS),
        ((float("nan"), float("nan")), (0.8, 1.3), NOT_KNOWN),
    ],
)
def test_calibration(inputs, error, slope, expected):
    rows = [("ece_equal_mass", "", 0.05, *error), ("brier", "", 0.2, 0.1, 0.3)]
    rows += [("calibration_slope", c, 0.9, *slope) for c in ("negative", "equivocal", "positive")]
    planted = pd.DataFrame(rows, columns=["metric", "class", "value", "lower_95", "upper_95"])
    planted = planted.assign(unit="patch", resampling_unit="patient")
    assert grade(replace(inputs, calibration=planted), "calibration") == expected
    by_row = replace(inputs, calibration=planted.assign(resampling_unit="patch"))
    assert grade(by_row, "calibration") == NOT_KNOWN


# out-of-fold predictions


def test_patients_are_compared_between_folds_where_each_row_was_tested_by_a_model_of_its_own(tmp_path):
    folder = shutil.copytree(ROOT / "models" / "demo", tmp_path / "folds")
    data = pd.read_parquet(folder / "dataset.parquet").assign(split="test")
    data.to_parquet(folder / "dataset.parquet", index=False)
    patients = pd.factorize(data["patient_id"])[0]
    for fold, shared in ((patients % 5, 0), (np.where(np.arange(len(data)) == 0, 4, patients % 5), 1)):
        splits = data[["patch_id", "split"]].assign(fold=fold)
        splits.to_parquet(folder / "splits.parquet", index=False)
        found = partition_of_run(open_run(folder))
        assert found.shared["patient"] == shared
        assert ("Folds are disjoint by patient" in found.sentence) == (shared == 0)
