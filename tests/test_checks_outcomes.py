"""Outcomes of checks: each ends in exactly one way, with a reason where there is no answer; registry and docs."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from her2core.data.checks import CHECKS, CheckReport, check_manifest
from her2core.data.checks.check import Check
from her2core.data.checks.documentation import markdown_page
from her2core.data.checks.inputs import CheckInputs, example_inputs
from her2core.data.checks.outcome import SEVERITIES, STATUSES, Finding, Outcome
from her2core.data.manifest import Manifest, build_manifest, read_manifest
from her2core.data.splits import split_manifest
from her2core.errors import ConfigError, ManifestError
from her2core.labels import SCHEMES

HOME = Path(__file__).resolve().parents[1]
CLASSES = ("negative", "equivocal", "positive")


def cohort(patients: int = 12, **columns) -> Manifest:
    """``patients`` per class with two patches each; every column as given, or as a clean cohort would have it."""
    rows = [
        {"path": f"{label}{i}-{k}.png", "label": label, "patient_id": f"{label}{i}", "slide_id": f"{label}{i}"}
        for label in CLASSES
        for i in range(patients)
        for k in range(2)
    ]
    frame = pd.DataFrame(rows).assign(site="A", scanner="S", mpp=0.5)
    return build_manifest(frame.assign(**columns), root="/nowhere", scheme=SCHEMES["paper3"])


def split_of(manifest: Manifest, **part_of_label) -> pd.DataFrame:
    """Patients in turn to train, val and test; labels named are in one part whole."""
    number = manifest.frame["patient_id"].str.extract(r"(\d+)$")[0].fillna(0).astype(int)
    parts = pd.Series(np.array(["train", "val", "test"])[number % 3])
    for label, part in part_of_label.items():
        parts = parts.mask(manifest.frame["label"] == label, part)
    return pd.DataFrame({"patch_id": manifest.frame["patch_id"], "split": parts})


# The registry


def test_every_check_is_complete_and_documented():
    page = (HOME / "docs" / "checks.md").read_text(encoding="utf-8")
    assert page == markdown_page(), "run: python -m her2core.data.checks.documentation > docs/checks.md"
    headings = {line[3:] for line in page.splitlines() if line.startswith("## ")}
    assert headings == set(CHECKS)
    for code, check in CHECKS.items():
        assert check.code == code
        assert check.severity in SEVERITIES
        assert check.title
        assert check.explanation.endswith(".")
        assert check.fix.endswith(".")
        assert check.documentation == f"docs/checks.md#{code}"


def test_every_check_ends_in_exactly_one_way():
    manifest = cohort()
    for split in (None, split_of(manifest)):
        outcomes = check_manifest(manifest, split, half_width=0.4).outcomes
        assert [o.code for o in outcomes] == list(CHECKS)
        for outcome in outcomes:
            assert outcome.status in STATUSES
            assert (outcome.finding is not None) == (outcome.status == "found")
            assert bool(outcome.reason) == (outcome.status in ("not applicable", "could not be run"))


@pytest.mark.parametrize(
    ("code", "status", "columns"),
    [
        ("patient-leak", "not applicable", {}),
        ("slide-leak", "not applicable", {}),
        ("split-part-without-class", "not applicable", {}),
        ("neighbouring-tiles", "not applicable", {}),
        ("few-patients-for-interval", "not applicable", {}),
        ("site-confounded", "not applicable", {}),
        ("scanner-confounded", "not applicable", {}),
        ("label-conflict", "not applicable", {}),
        ("patient-confounded", "not applicable", {"patient_id": "P"}),
        ("site-confounded", "could not be run", {"site": None}),
        ("scanner-confounded", "could not be run", {"scanner": None}),
        ("few-patients", "could not be run", {"patient_id": None}),
        ("patient-with-two-labels", "could not be run", {"patient_id": None}),
        ("patient-confounded", "could not be run", {"patient_id": None}),
        ("unreadable-images", "could not be run", {}),
        ("identical-images", "could not be run", {}),
        ("near-duplicates", "could not be run", {}),
        ("colour-confounded", "could not be run", {}),
    ],
)
def test_a_check_without_an_answer_says_why(code, status, columns):
    outcome = check_manifest(cohort(**columns)).outcome(code)
    assert outcome.status == status
    assert outcome.reason
    assert outcome.reason in str(outcome)


def test_a_leak_check_needs_ids_and_an_interval_needs_patients():
    manifest = cohort(patient_id=None, slide_id=None)
    report = check_manifest(manifest, split_of(cohort()), half_width=0.1)
    for code in ("patient-leak", "slide-leak", "few-patients-for-interval"):
        assert report.outcome(code).status == "could not be run"
    frame = cohort().frame
    frame.loc[0, "patient_id"] = "unknown"
    outcome = check_manifest(replace(manifest, frame=frame), split_of(cohort())).outcome("patient-leak")
    assert outcome.status == "could not be run"
    assert "1 of 72 rows" in outcome.reason


def test_images_that_cannot_be_read_leave_their_checks_without_an_answer():
    report = check_manifest(cohort(), contents=True)
    assert report.outcome("missing-files").status == "found"
    for code in ("identical-images", "near-duplicates", "colour-confounded"):
        assert report.outcome(code).reason == "no image could be read"


def test_a_check_that_fails_takes_no_other_with_it():
    def broken(inputs: CheckInputs) -> None:
        raise ZeroDivisionError("no rows")

    check = Check("broken", "A broken check", "error", "It matters.", "Mend it.", broken)
    outcome = check.run(CheckInputs(cohort()))
    assert (outcome.status, outcome.reason) == ("could not be run", "ZeroDivisionError: no rows")


# Two checks of their own


@pytest.mark.parametrize("column", ["patient_id", "slide_id", "patch_id"])
@pytest.mark.parametrize("text", ["1.23457E+15", "1,2E+12", "2e+13"])
def test_ids_rounded_by_a_spreadsheet_are_an_error(column, text):
    frame = cohort().frame
    frame.loc[3, column] = text
    found = check_manifest(replace(cohort(), frame=frame)).outcome("rounded-ids").finding
    assert found is not None
    assert found.severity == "error"
    assert found.count == 1
    assert repr(text) in found.got
    assert column in found.got


@pytest.mark.parametrize("text", ["1-Mar", "01. Mrz", "Mar-21", "2-Sep-24", "2024-09-02", "2024-09-02 00:00:00"])
def test_ids_that_a_spreadsheet_made_dates_are_a_warning(text):
    frame = cohort().frame
    frame.loc[3, "patient_id"] = text
    found = check_manifest(replace(cohort(), frame=frame)).outcome("rounded-ids").finding
    assert (found.severity, found.count) == ("warning", 1)
    assert found.got == f"1 row with patient_id that a spreadsheet made a date, such as {text!r}"
    frame.loc[5, "patient_id"] = "1.2E+15"
    both = check_manifest(replace(cohort(), frame=frame)).outcome("rounded-ids").finding
    assert (both.severity, both.count) == ("error", 2)


@pytest.mark.parametrize(
    "ids", [["1-MAR", "2-LYO"], ["MAR-21", "LUM-21"], ["2024-09-02", "2024-09-03"], ["41-Mar", "P"]]
)
def test_ids_of_the_form_of_dates_are_no_finding(ids):
    assert CHECKS["rounded-ids"].run(example_inputs(patient_id=ids)).status == "not found"


@pytest.mark.parametrize("text", ["1E05", "E+15", "TCGA-E2-A14P", "123456789012345", "1.5", "2.3E-4"])
def test_ids_that_only_resemble_a_rounded_number_are_no_finding(text):
    frame = cohort().frame
    frame.loc[3, ["patient_id", "slide_id", "patch_id"]] = text
    assert check_manifest(replace(cohort(), frame=frame)).outcome("rounded-ids").status == "not found"


@pytest.mark.parametrize(("part", "severity", "name"), [("val", "error", "validation"), ("test", "warning", "test")])
def test_a_part_without_a_class_is_found_and_stops_training_where_it_is_validation(part, severity, name):
    manifest = cohort()
    split = split_of(manifest)
    assert check_manifest(manifest, split).outcome("split-part-without-class").status == "not found"
    positive = (manifest.frame["label"] == "positive") & (split["split"] == part)
    split["split"] = split["split"].mask(positive, "train")
    found = check_manifest(manifest, split).outcome("split-part-without-class").finding
    assert found is not None
    assert found.severity == severity
    assert found.got == f"no patch of positive in the {name} part"
    assert found.count == 24


def test_a_part_that_the_split_does_not_have_lacks_no_class():
    manifest = cohort()
    split = split_of(manifest).replace({"split": {"val": "train"}})
    assert check_manifest(manifest, split).outcome("split-part-without-class").status == "not found"


def test_training_refuses_a_validation_part_without_a_class_before_it_writes_anything(
    tiny_manifest, tiny_config, tmp_path
):
    from her2core import train

    manifest = read_manifest(tiny_manifest)
    split = split_manifest(manifest)["split"]
    split = split.mask((manifest.frame["label"] == "positive") & (split == "val"), "train")
    frame = manifest.frame.assign(split=split.to_numpy())
    path = replace(manifest, frame=frame).write(tmp_path / "manifest.parquet")
    config = tiny_config.model_copy(
        update={"manifest": path, "split": tiny_config.split.model_copy(update={"unit": "predefined"})}
    )
    with pytest.raises(ManifestError, match=r"no patch of positive in the validation part.*manifest\.parquet"):
        train(config, root=tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()


# What people bring


def test_a_validation_part_without_a_class_is_found_in_the_case_s_table(cases):
    manifest, split = (read_manifest(cases / "pre.parquet"), pd.read_parquet(cases / "pre_split.parquet"))
    found = check_manifest(manifest, split).outcome("split-part-without-class").finding
    assert found is not None
    assert "no patch of positive in the validation part" in found.got
    with pytest.raises(ManifestError, match="no patch of positive in the validation part"):
        check_manifest(manifest, split).raise_errors()


def test_the_command_checks_the_split_that_a_manifest_brings_itself(cases):
    from click.testing import CliRunner

    from her2core.cli.data import check

    for options in ([], ["--split", str(cases / "pre_split.parquet")]):
        result = CliRunner().invoke(check, [str(cases / "pre.parquet"), "--json", *options], standalone_mode=False)
        outcomes = {o["code"]: o for o in json.loads(result.stdout)}
        assert result.return_value == 1
        assert "validation part" in outcomes["split-part-without-class"]["finding"]["got"]


def test_ids_of_the_case_s_table_are_found_to_be_rounded(cases):
    table = pd.read_csv(cases / "ids_excel_scientific.csv", dtype=str)
    frame = table[["patch_id", "patient_id", "label"]].assign(path=table["patch_id"])
    report = check_manifest(build_manifest(frame, root="."))
    found = report.outcome("rounded-ids").finding
    assert found is not None
    assert found in report.errors


def test_rounded_ids_of_a_manifest_file_are_found(tmp_path):
    rows = [f"{i}.png;{label};1,23457E+15" for i, label in enumerate(CLASSES * 2)]
    (tmp_path / "m.csv").write_text("\n".join(["path;label;patient_id", *rows]))
    found = check_manifest(read_manifest(tmp_path / "m.csv")).outcome("rounded-ids").finding
    assert found is not None
    assert found.count == 6


@pytest.fixture
def cases() -> Path:
    folder = HOME.parent / "shared" / "cases" / "tables"
    if not folder.is_dir():
        pytest.skip("needs ../shared/cases")
    return folder


# The report


def test_a_report_is_a_sequence_of_its_findings_errors_first():
    report = check_manifest(cohort(2, patient_id=None))
    codes = [f.code for f in report]
    assert codes == ["missing-files", "unknown-patients"]
    assert len(report) == 2
    assert report[0] == report.findings[0]
    assert report[0] in report
    assert report[-1:] == (report.findings[1],)
    assert report.errors == (report.findings[0],)
    with pytest.raises(FrozenInstanceError):
        report.outcomes = ()


def test_reports_compare_hash_and_survive_json():
    report, same = (check_manifest(cohort(), split_of(cohort())) for _ in range(2))
    assert report == same
    assert hash(report) == hash(same)
    assert report != check_manifest(cohort())
    assert CheckReport.from_dicts(json.loads(json.dumps(report.as_dicts()))) == report


@pytest.mark.parametrize(
    "change",
    [{"status": "maybe"}, {"finding": {}}, {"title": 3}, {"status": "found"}, {"more": 1}, {"finding": {"rows": 1}}],
)
def test_values_that_are_no_outcome_are_refused(change):
    values = Outcome("few-patients", "Few patients", "not found", "docs/checks.md").as_dict()
    with pytest.raises(ValueError, match="not an outcome of a check"):
        Outcome.from_dict({**values, **change})
    for other in (None, {}, [], [1], "found"):
        with pytest.raises(ValueError, match="not "):
            CheckReport.from_dicts(other)


def test_a_report_reads_as_text_html_and_table():
    report = check_manifest(cohort(patient_id="<P>"))
    frame = report.frame()
    assert list(frame["code"]) == list(CHECKS)
    assert frame.set_index("code").loc["patient-leak", "detail"] == "no split was given"
    assert "missing-files (error)" in repr(report)
    html = report._repr_html_()
    assert html.count("<tr>") == 1 + len(CHECKS)
    assert "&lt;P&gt;" in html
    assert "<P>" not in html
    text = report.text()
    assert all(f.text() in text for f in report)
    assert all(sentence in text for sentence in report.summary)
    titles = [o.title for o in report.outcomes if o.reason]
    assert titles
    assert all(any(title in sentence for sentence in report.summary) for title in titles)


def test_all_errors_are_raised_together_and_warnings_are_not():
    frame = cohort().frame
    frame.loc[0, "patient_id"] = "1.23457E+15"
    report = check_manifest(replace(cohort(), frame=frame))
    with pytest.raises(ManifestError, match=r"missing file.*data\.parquet.*1\.23457E\+15"):
        report.raise_errors(where="data.parquet")
    harmless = CheckReport(tuple(o for o in report.outcomes if o.finding is None or o.finding.severity != "error"))
    harmless.raise_errors()


def test_messages_say_what_was_expected_and_found():
    found = Finding("x", "Title", "info", "one thing", "another", "Change it.", "It matters.")
    assert str(found) == str(found.error(where="").__class__("one thing", got="another", fix="Change it."))
    assert found.sentence == "Title: another, instead of one thing. Change it."
    with pytest.raises(ConfigError, match="`code` to be one of 'missing-files'"):
        check_manifest(cohort()).outcome("leak")
    with pytest.raises(ConfigError, match="patch_id and split"):
        check_manifest(cohort(), cohort().frame)
