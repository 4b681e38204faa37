"""Data checks of a manifest: each finds its fault, is silent without it, and names rows and fix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.planted_faults import texture
from her2core.data.checks import MIN_PATIENTS, CheckReport, Finding, check_manifest
from her2core.data.manifest import Manifest, build_manifest
from her2core.data.splits import split_manifest
from her2core.labels import SCHEMES, declared_scheme

CLASSES = ("negative", "equivocal", "positive")
IHC = {"negative": "1+", "equivocal": "2+", "positive": "3+"}


@pytest.fixture
def clean(tmp_path) -> Manifest:
    """Twelve patients a class, two sites, two patches each, every file there with an image of its own."""
    rows, rng = [], np.random.default_rng(0)
    for label in CLASSES:
        for patient in range(MIN_PATIENTS + 2):
            for patch in range(2):
                path = f"{label}-{patient}-{patch}.png"
                Image.fromarray(texture(rng, px=24)).save(tmp_path / path)
                rows.append(
                    {
                        "path": path,
                        "patient_id": f"{label}-{patient}",
                        "slide_id": f"{label}-{patient}-slide",
                        "site": f"site{patient % 2}",
                        "mpp": 0.5,
                        "her2_ihc": IHC[label],
                        "ish": "unknown",
                        "label": label,
                    }
                )
    return build_manifest(pd.DataFrame(rows), root=tmp_path, scheme=SCHEMES["paper3"])


def changed(manifest: Manifest, where=slice(None), **columns) -> Manifest:
    frame = manifest.frame.copy()
    for name, value in columns.items():
        frame.loc[where, name] = value
    return Manifest(frame, manifest.scheme, manifest.root)


def codes(findings: CheckReport) -> list[str]:
    return [f.code for f in findings]


def only(findings: CheckReport, code: str) -> Finding:
    assert codes(findings) == [code]
    found = findings[0]
    assert found.expected
    assert found.got
    assert found.fix.endswith(".")
    assert str(found) == f"Expected {found.expected}, but got {found.got}. {found.fix}"
    assert found.as_dict()["code"] == code
    return found


def test_a_clean_cohort_with_a_clean_split_has_no_finding(clean):
    assert not check_manifest(clean)
    assert check_manifest(clean, split_manifest(clean), contents=True).findings == ()


def test_missing_files(clean):
    (clean.root / "positive-3-1.png").unlink()
    found = only(check_manifest(clean), "missing-files")
    assert found.severity == "error"
    assert found.rows == ("positive-3-1.png",)
    assert found.count == 1
    assert str(clean.root / "positive-3-1.png") in found.got


def test_empty_class_is_a_warning_and_an_error_when_one_class_is_left(clean):
    two = clean.subset(clean.frame.loc[clean.frame["label"] != "equivocal", "patch_id"])
    found = only(check_manifest(two), "empty-class")
    assert found.severity == "warning"
    assert "equivocal" in found.got
    one = clean.subset(clean.frame.loc[clean.frame["label"] == "positive", "patch_id"])
    found = only(check_manifest(one), "empty-class")
    assert found.severity == "error"
    assert "negative, equivocal" in found.got


def test_few_patients_counts_patients_not_patches(clean):
    names = [f"positive-{i}" for i in range(MIN_PATIENTS - 1)]
    few = clean.subset(
        clean.frame.loc[(clean.frame["label"] != "positive") | clean.frame["patient_id"].isin(names), "patch_id"]
    )
    found = only(check_manifest(few), "few-patients")
    assert found.got == "9 patients of positive"
    assert found.count == 18
    enough = clean.subset(clean.frame.loc[~clean.frame["patient_id"].isin(["positive-0", "positive-1"]), "patch_id"])
    assert check_manifest(enough).findings == ()


def test_unknown_patients(clean):
    found = only(check_manifest(changed(clean, slice(0, 3), patient_id="unknown")), "unknown-patients")
    assert found.count == 4
    assert "no patient-level claim" in found.fix
    assert found.rows == tuple(clean.frame["patch_id"].head(4))


@pytest.mark.parametrize(
    ("score", "ish", "label"),
    [
        ("3+", "negative", "positive"),
        ("0", "positive", "negative"),
        ("1+", "positive", "negative"),
        ("0", "unknown", "positive"),
    ],
)
def test_label_conflict(clean, score, ish, label):
    rows = clean.frame["patient_id"] == f"{label}-0"
    found = only(check_manifest(changed(clean, rows, her2_ihc=score, ish=ish)), "label-conflict")
    assert found.count == 2
    assert "nothing is corrected automatically" in found.fix


@pytest.mark.parametrize(
    ("score", "ish", "label"),
    [
        ("3+", "positive", "positive"),
        ("0", "negative", "negative"),
        ("2+", "positive", "equivocal"),
        (None, "positive", "negative"),
    ],
)
def test_no_label_conflict(clean, score, ish, label):
    rows = clean.frame["patient_id"] == f"{label}-0"
    assert check_manifest(changed(clean, rows, her2_ihc=score, ish=ish)).findings == ()


def test_patient_with_two_labels(clean):
    rows = clean.frame["patch_id"] == "negative-0-0.png"
    found = only(check_manifest(changed(clean, rows, label="positive", her2_ihc="3+")), "patient-with-two-labels")
    assert found.count == 2
    assert "negative-0" in found.got


def test_missing_mpp_is_only_information(clean):
    found = only(check_manifest(changed(clean, slice(0, 0), mpp=np.nan)), "missing-mpp")
    assert found.severity == "info"
    assert found.count == 1


def test_site_confounded_with_a_class(clean):
    positive = clean.frame["label"] == "positive"
    found = only(check_manifest(changed(clean, positive, site="site1")), "site-confounded")
    assert found.got == "positive from one site only"
    assert found.count == positive.sum()


def test_one_site_or_unknown_sites_confound_nothing(clean):
    assert check_manifest(changed(clean, site="one")).findings == ()
    unstated = check_manifest(changed(clean, clean.frame["label"] == "positive", site="unknown"))
    assert unstated.outcome("site-confounded").reason == "the site is unknown in every row of positive"
    assert [f.code for f in unstated] == ["column-shortcut"]
    assert "site missing" in unstated[0].got


def test_a_leak_of_patient_and_slide_is_found_and_unknown_ids_are_no_leak(clean):
    split = split_manifest(clean)
    split.loc[0, "split"] = {"train": "test", "val": "test", "test": "train"}[split["split"].iloc[0]]
    findings = check_manifest(clean, split)
    assert codes(findings) == ["patient-leak", "slide-leak"]
    assert findings[0].got == "1 patient in several parts, the first: negative-0"
    assert findings[0].count == 2
    assert set(findings[0].rows) == {"negative-0-0.png", "negative-0-1.png"}
    nameless = changed(clean, patient_id="unknown", slide_id="unknown")
    assert codes(check_manifest(nameless, split)) == ["unknown-patients"]


def test_leakage_is_checked_in_the_split_given_not_in_the_manifest_s_own_column(clean):
    own = changed(clean, split="train")
    assert check_manifest(own, split_manifest(own)).findings == ()


def test_identical_images_are_found_by_content_only_when_asked(clean):
    (clean.root / "positive-3-1.png").write_bytes((clean.root / "negative-0-0.png").read_bytes())
    assert not check_manifest(clean)
    report = check_manifest(clean, contents=True)
    assert codes(report) == ["image-with-two-labels", "identical-images"]
    found = report.outcome("identical-images").finding
    assert set(found.rows) == {"positive-3-1.png", "negative-0-0.png"}
    assert "1 image under several patch ids" in found.got


def test_identical_images_in_one_part_leak_nothing(clean):
    (clean.root / "positive-3-1.png").write_bytes((clean.root / "positive-3-0.png").read_bytes())
    split = split_manifest(clean)
    assert check_manifest(clean, split, contents=True).findings == ()
    split.loc[split["patch_id"] == "positive-3-1.png", "split"] = "train"
    split.loc[split["patch_id"] == "positive-3-0.png", "split"] = "test"
    assert "identical-images" in codes(check_manifest(clean, split, contents=True))


def test_findings_come_errors_first_and_list_at_most_twenty_rows(clean):
    broken = changed(changed(clean, mpp=np.nan), patient_id="unknown")
    (clean.root / "positive-3-1.png").unlink()
    findings = check_manifest(broken)
    assert [f.severity for f in findings] == ["error", "warning", "info"]
    assert findings[2].count == len(clean) == 72
    assert len(findings[2].rows) == 20


def test_windows_of_one_image_are_not_called_copies(tmp_path):
    (tmp_path / "s.png").write_bytes(b"x")
    frame = pd.DataFrame(
        {
            "path": "s.png",
            "label": ["a", "b"],
            "x": [0, 8],
            "y": 0,
            "width": 8,
            "height": 8,
            "mpp": 1.0,
            "patient_id": "p",
        }
    )
    manifest = build_manifest(frame, root=tmp_path, scheme=declared_scheme("s", ("a", "b"), ""))
    assert "identical-images" not in codes(check_manifest(manifest, contents=True))
