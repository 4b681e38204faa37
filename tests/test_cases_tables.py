"""Tables that people bring (../shared/cases/README.md): the outcome in Python, by command line and on the page."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from app_steps import PAGES, errors, said, visit

import her2core
from her2core.cli import main

TABLES = Path(__file__).resolve().parents[2] / "shared" / "cases" / "tables"
pytestmark = pytest.mark.skipif(not TABLES.is_dir(), reason=f"the cases are not here: {TABLES}")
CLASSES = ("negative", "equivocal", "positive")
read_raw = partial(pd.read_csv, keep_default_na=False)


@dataclass(frozen=True)
class Expected:
    """What a table of predictions must give.

    ``rows``: the test rows as true and predicted positions among ``classes``, read here without the code under test.
    ``warnings``, ``notes``: words of sentences above the figures. ``patients``: None where patient level is off, with
    words of the reason in ``reason``.
    """

    rows: tuple[np.ndarray, np.ndarray]
    classes: tuple[str, ...] = CLASSES
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    patients: int | None = None
    reason: str = "patient id in every row"
    scores: bool = True

    @property
    def accuracy(self) -> float:
        return float((self.rows[0] == self.rows[1]).mean())

    @property
    def kappa(self) -> float:
        return float(sk.cohen_kappa_score(*self.rows, weights="quadratic"))


def rows(frame: pd.DataFrame, label: str, columns: list[str], classes=CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """True positions, and those of the highest score; ``columns`` in the order of ``classes``."""
    true = frame[label].map({c: i for i, c in enumerate(classes)})
    return true.to_numpy(int), frame[columns].to_numpy(float).argmax(axis=1)


def of_three(name: str, prefix: str = "prob_", *, label: str = "label", **options) -> tuple[np.ndarray, np.ndarray]:
    return rows(read_raw(TABLES / name, **options), label, [f"{prefix}{c}" for c in CLASSES])


def clam() -> tuple[np.ndarray, np.ndarray]:
    frame = read_raw(TABLES / "clam_fold.csv")
    return frame["Y"].to_numpy(int), frame[["p_0", "p_1", "p_2"]].to_numpy().argmax(axis=1)


def binary() -> tuple[np.ndarray, np.ndarray]:
    frame = read_raw(TABLES / "binary_float_labels.csv")
    return frame["label"].to_numpy(int), (frame["score"] > 0.5).to_numpy(int)


def paper_98() -> tuple[np.ndarray, np.ndarray]:
    frame = read_raw(TABLES / "paper_98_all_parts.csv")
    return rows(frame[frame["fold"] == "test"], "y_true", [f"score_{c}" for c in CLASSES])


def hard_labels() -> tuple[np.ndarray, np.ndarray]:
    frame, index = read_raw(TABLES / "hard_labels_only.csv"), {"0/1+": 0, "2+": 1, "3+": 2}
    return frame["GT"].map(index).to_numpy(int), frame["Pred"].map(index).to_numpy(int)


UNKNOWN = ("Patient overlap between training and test cannot be checked",)
SEVERAL_LABELS = "one label per patient"
PREDICTIONS = {
    "patient_na.csv": lambda: Expected(of_three("patient_na.csv"), warnings=("25 of 120 rows",)),
    "clam_fold.csv": lambda: Expected(clam(), ("0", "1", "2"), UNKNOWN),
    "clam_fold.parquet": lambda: Expected(clam(), ("0", "1", "2"), UNKNOWN),
    "binary_float_labels.csv": lambda: Expected(binary(), ("0", "1"), UNKNOWN, ("score of 1 only",)),
    "excel_unicode_text.txt": lambda: Expected(
        of_three("excel_unicode_text.txt", sep="\t", decimal=",", encoding="utf-16"), reason=SEVERAL_LABELS
    ),
    "tab_decimal_comma.tsv": lambda: Expected(
        of_three("tab_decimal_comma.tsv", sep="\t", decimal=","), reason=SEVERAL_LABELS
    ),
    "ids_excel_scientific.csv": lambda: Expected(
        of_three("ids_excel_scientific.csv"),
        warnings=("1.23457E+15 were rounded by a spreadsheet",),
        reason=SEVERAL_LABELS,
    ),
    "alphabetical_columns.csv": lambda: Expected(of_three("alphabetical_columns.csv"), patients=24),
    "rounded_3_decimals.csv": lambda: Expected(
        of_three("rounded_3_decimals.csv", "p_"),
        notes=("rounded to 3 decimals",),
        patients=9,
        warnings=("Few patients: the test part has only 9",),
    ),
    "paper_98_all_parts.csv": lambda: Expected(
        paper_98(),
        warnings=("Patients occur in more than one split part (40 of 40 patients)",),
        notes=("'fold' states the split part (982 training",),
        patients=40,
    ),
    "hard_labels_only.csv": lambda: Expected(
        hard_labels(), ("0/1+", "2+", "3+"), notes=("no scores",), patients=45, scores=False
    ),
}


@pytest.fixture(params=PREDICTIONS)
def case(request) -> tuple[str, Expected]:
    return request.param, PREDICTIONS[request.param]()


@pytest.fixture
def her2(monkeypatch, capsys, tmp_path):
    """Give a command; get (exit code, output)."""
    monkeypatch.chdir(tmp_path)

    def call(*words) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["her2", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr().out

    return call


def test_the_readme_s_kappa_is_what_clinical_order_gives():
    assert PREDICTIONS["alphabetical_columns.csv"]().kappa == pytest.approx(0.734, abs=5e-4)


# Python


@pytest.mark.parametrize("source", ["path", "bytes", "frame"])
def test_predictions_are_read_in_python(case, source):
    name, expected = case
    path = TABLES / name
    frame = {".parquet": pd.read_parquet}.get(path.suffix, read_raw)
    if source == "frame" and path.suffix in (".txt", ".tsv"):
        pytest.skip("a data frame has no decimal commas")
    given = {"path": lambda: path, "bytes": path.read_bytes, "frame": lambda: frame(path)}[source]()
    found = her2core.evaluate(given, metrics=["accuracy", "quadratic_kappa"])
    assert found.value("accuracy") == pytest.approx(expected.accuracy)
    assert found.value("quadratic_kappa") == pytest.approx(expected.kappa)
    for words in expected.warnings:
        assert words in " ".join(found.warnings)
    for words in expected.notes:
        assert words in " ".join(found.notes)
    assert (found.warnings == ()) == (expected.warnings == ())
    units = found.units.set_index("unit")
    assert units.loc["patch", "n"] == len(expected.rows[0])
    assert units.loc["patient", "n"] == (expected.patients or 0)
    if expected.patients is None:
        assert expected.reason in units.loc["patient", "reason"]
    predictions = her2core.read_predictions(given)
    assert predictions.classes == expected.classes
    assert predictions.has_scores == expected.scores


def test_csv_and_parquet_of_one_table_give_the_same_predictions():
    first, second = (her2core.read_predictions(TABLES / f"clam_fold.{suffix}") for suffix in ("csv", "parquet"))
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_allclose(first.probs, second.probs)
    assert list(first.frame["slide_id"]) == list(second.frame["slide_id"])


# Command line


def test_predictions_are_evaluated_by_command_line(case, her2):
    name, expected = case
    code, out = her2("evaluate", TABLES / name, "--json")
    assert code == 0, out
    found = json.loads(out, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    values = {row["metric"]: row["value"] for row in found["metrics"] if row["unit"] == "patch" and not row["class"]}
    assert values["accuracy"] == pytest.approx(expected.accuracy)
    assert values["quadratic_kappa"] == pytest.approx(expected.kappa)
    assert ("macro_auroc" in values) == expected.scores
    for words in expected.warnings:
        assert words in " ".join(found["warnings"])
    for words in expected.notes:
        assert words in " ".join(found["notes"])
    if not expected.scores:
        assert any("macro_auroc" in entry["metrics"] for entry in found["not_available"])
    code, text = her2("evaluate", TABLES / name)
    assert code == 0
    lines = text.splitlines()
    first_figure = next(i for i, line in enumerate(lines) if line.startswith("  accuracy"))
    above = "\n".join(lines[:first_figure])
    assert all(words in above for words in (*expected.warnings, *expected.notes))
    assert lines[0].startswith("Can this number be believed? ")
    assert lines[0].removeprefix("Can this number be believed? ") == f"{found['verdict']['answer']}."
    assert sum(text.count(words) for words in expected.warnings) == len(expected.warnings), "said more than once"
    assert "nan" not in text


def test_the_order_of_classes_and_the_meaning_of_labels_can_be_stated_by_command_line(her2, tmp_path):
    frame = read_raw(TABLES / "alphabetical_columns.csv")
    codes = {"negative": "A", "equivocal": "B", "positive": "C"}
    columns = {f"prob_{c}": f"column{i}" for i, c in enumerate(CLASSES)}
    frame = frame.assign(label=frame["label"].map(codes)).rename(columns={**columns, "label": "outcome"})
    frame.to_csv(tmp_path / "coded.csv", index=False)
    words = [word for name, code in codes.items() for word in ("--label", f"{code}={name}")]
    words += [
        word for name, column in columns.items() for word in ("--score", f"{name.removeprefix('prob_')}={column}")
    ]
    code, out = her2("evaluate", "coded.csv", "--column", "label=outcome", *words, "--kind", "probabilities", "--json")
    assert code == 0, out
    found = json.loads(out)
    kappa = next(r for r in found["metrics"] if r["metric"] == "quadratic_kappa" and r["unit"] == "patch")
    assert kappa["value"] == pytest.approx(0.734, abs=5e-4)
    code, out = her2("report", "coded.csv", "--out", "r.html", "--column", "label=outcome", *words, "--json")
    assert code == 0, out
    assert (tmp_path / "r.html").is_file()


def test_tables_are_compared_by_command_line(her2, tmp_path):
    frame = read_raw(TABLES / "alphabetical_columns.csv").rename(columns={"label": "outcome", "split": "part of study"})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "b.parquet", index=False)
    code, out = her2("compare", "a.csv", "b.parquet", "--unit", "patient", "--column", "label=outcome", "--json")
    assert code == 0, out
    found = json.loads(out)
    assert (found["first"], found["second"]) == ("a.csv", "b.parquet")
    assert all(row["difference"] == 0 for row in found["table"] if row["difference"] is not None)
    kappa = next(row for row in found["table"] if row["metric"] == "quadratic_kappa")
    assert kappa["first"] == pytest.approx(kappa["second"])


def test_a_report_of_predicted_classes_only_states_what_it_lacks(her2, tmp_path):
    code, out = her2("report", TABLES / "hard_labels_only.csv", "--out", "hard.html", "--json")
    assert code == 0, out
    assert "no scores" in (tmp_path / "hard.html").read_text()


# Page


def test_predictions_are_shown_on_the_page(case, models):
    name, expected = case
    at = visit("your predictions")
    at.file_uploader(key="table").set_value((name, (TABLES / name).read_bytes(), "text/csv")).run(timeout=120)
    (show,) = (b for b in at.main.button if b.label == "Show the evidence")
    show.click().run(timeout=120)
    assert errors(at) == []
    assert at.title[0].value == "Performance"
    at.switch_page(PAGES["performance"]).run(timeout=120)
    at.get("button_group")[0].set_value("patch").run(timeout=120)
    assert at.subheader[0].value == "Can this number be believed?"
    above = said(at.main.markdown) + said(at.main.info)
    assert all(words in above for words in (*expected.warnings, *expected.notes))
    assert [m.value for m in at.metric if m.label == "Accuracy"] == [f"{expected.accuracy:.1%}"]
    for page in ("errors", "calibration", "decisions", "subgroups"):
        at.switch_page(PAGES[page]).run(timeout=120)
        assert errors(at) == []


# Manifests


@dataclass(frozen=True)
class Data:
    """What a manifest must hold. ``patients``: None where some are unknown."""

    patients: int | None = 18
    mpp: float | None = None
    classes: tuple[str, ...] = CLASSES
    rows: int = 36
    note: str = ""


MANIFESTS = {
    "MANIFEST.CSV": Data(),
    "manifest_semicolon.csv": Data(mpp=0.5),
    "manifest_utf16.csv": Data(),
    "manifest_mpp_comma.csv": Data(mpp=0.5),
    "class_None.csv": Data(classes=("High", "Low", "None")),
    "path_is_index.parquet": Data(),
    "path_in_multiindex.parquet": Data(),
    "patient_Unknown.csv": Data(patients=None),
    "patient_nan.parquet": Data(patients=None),
    "trailing_comma.csv": Data(note="trailing comma"),
    "trailing_comma_shift.csv": Data(note="trailing comma"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_read_in_python(name):
    expected = MANIFESTS[name]
    found = her2core.read_manifest(TABLES / name)
    assert (len(found), found.classes) == (expected.rows, expected.classes)
    assert list(found.frame["path"])[:2] == ["imgs/p00.png", "imgs/p01.png"]
    assert found.patients_known == (expected.patients is not None)
    if expected.patients is not None:
        assert found.frame["patient_id"].nunique() == expected.patients
    else:
        assert (found.frame["patient_id"] == "unknown").any()
    assert found.frame["mpp"].isna().all() if expected.mpp is None else (found.frame["mpp"] == expected.mpp).all()
    assert expected.note in " ".join(found.facts.get("table_notes", ()))
    counts = found.frame["label"].value_counts()
    assert [counts[c] for c in found.classes] == [expected.rows // 3] * 3


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_imported_by_command_line(name, her2):
    expected = MANIFESTS[name]
    words = ("data", "import", "table", TABLES / name, "--out", "m.parquet")  # the images are not in the folder
    code, out = her2(*words, "--json")
    assert code == 1
    assert f"{expected.rows} missing" in json.loads(out)["error"]
    code, out = her2(*words, "--allow-missing", str(expected.rows), "--json")
    assert code == 0, out
    found = json.loads(out)
    assert found["patches"] == expected.rows
    assert found["patients"] == expected.patients
    assert found["classes"] == dict.fromkeys(expected.classes, expected.rows // 3)
    code, out = her2(*words, "--allow-missing", str(expected.rows))
    assert expected.note in out
    if expected.patients is None:
        assert "patients unknown" in out


def findings(out: str) -> dict[str, dict]:
    return {outcome["code"]: outcome["finding"] for outcome in json.loads(out) if outcome["finding"]}


def test_identifiers_that_a_spreadsheet_rounded_are_a_finding_of_the_check(her2, tmp_path):
    frame = read_raw(TABLES / "ids_excel_scientific.csv", dtype="str")[["patch_id", "patient_id", "label"]]
    frame.assign(path=frame["patch_id"] + ".png").to_csv(tmp_path / "m.csv", index=False)
    _, out = her2("data", "check", "m.csv", "--json")
    assert "1.23457E+15" in findings(out)["rounded-ids"]["got"]


def test_a_validation_part_without_a_class_is_a_finding_of_the_check(her2):
    _, out = her2("data", "check", TABLES / "pre.parquet", "--split", TABLES / "pre_split.parquet", "--json")
    (found,) = (f for f in findings(out).values() if "validation part" in f["got"])
    assert found["severity"] == "error"
