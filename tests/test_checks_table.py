"""Checks of patients, confounding and neighbouring tiles: each finds its fault and is silent without it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from her2core.data.checks import CHECKS, check_manifest, patients_for_half_width
from her2core.data.checks.inputs import example_inputs
from her2core.data.checks.neighbours import MAX_GAP
from her2core.data.manifest import Manifest
from her2core.errors import ConfigError
from her2core.labels import SCHEMES

CLASSES = ("negative", "equivocal", "positive")
IHC = {"negative": "1+", "equivocal": "2+", "positive": "3+"}


def cohort(root: Path, patients: int = 24, patches: int = 2, **columns) -> Manifest:
    """``patients`` a class; a column is made by calling (class, patient, patch)."""
    (root / "tile.png").touch()
    rows = [
        {
            "patch_id": f"{label}-{patient}-{patch}",
            "path": "tile.png",
            "patient_id": f"{label}-{patient}",
            "slide_id": f"{label}-{patient}",
            "site": "one",
            "scanner": "one",
            "mpp": 0.5,
            "her2_ihc": IHC[label],
            "ish": "unknown",
            "label": label,
            "source": "made",
            **{name: make(label, patient, patch) for name, make in columns.items()},
        }
        for label in CLASSES
        for patient in range(patients)
        for patch in range(patches)
    ]
    return Manifest(pd.DataFrame(rows), SCHEMES["paper3"], root)


def codes(findings) -> list[str]:
    return [f.code for f in findings]


# Patients for an interval


@pytest.mark.parametrize(("half_width", "needed"), [(0.1, 93), (0.05, 381), (0.2, 21)])
def test_the_patients_of_an_interval_are_wilson_s(half_width, needed):
    assert patients_for_half_width(half_width) == needed
    assert needed == math.ceil(1.959964**2 / (4 * half_width**2) - 1.959964**2)


def test_fewer_patients_do_where_the_recall_is_known_to_be_high():
    from scipy.stats import binomtest

    needed = patients_for_half_width(0.1, proportion=0.9)
    assert needed < patients_for_half_width(0.1)
    for n in (needed, needed - 1):
        low, high = half_interval(0.9, n)
        assert (high - low <= 0.2) is (n == needed)
    reference = binomtest(90, 100).proportion_ci(0.95, method="wilson")
    assert half_interval(0.9, 100) == pytest.approx(tuple(reference))


def half_interval(share: float, n: int) -> tuple[float, float]:
    z = 1.9599639845
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


@pytest.mark.parametrize("half_width", [0, -0.1, 0.6, 10, math.nan])
def test_a_half_width_that_is_none_is_refused(half_width, tmp_path):
    with pytest.raises(ConfigError, match="half_width"):
        check_manifest(cohort(tmp_path), half_width=half_width)


def test_too_few_patients_for_the_interval_are_told_class_by_class(tmp_path):
    manifest = cohort(tmp_path)
    assert check_manifest(manifest, half_width=0.2).findings == ()
    (found,) = check_manifest(manifest, half_width=0.1)
    assert found.code == "few-patients-for-interval"
    assert "at least 93 patients" in found.expected
    assert found.got == "24 patients of negative, 24 patients of equivocal, 24 patients of positive"
    assert "only those of the test part will count" in found.fix


def test_with_a_split_only_the_patients_of_the_test_part_count(tmp_path):
    manifest = cohort(tmp_path)
    split = manifest.frame[["patch_id"]].assign(split=np.where(manifest.frame["label"] == "positive", "test", "train"))
    found = check_manifest(manifest, split, half_width=0.2).outcome("few-patients-for-interval").finding
    assert found.got == "0 patients of negative, 0 patients of equivocal"
    assert "in the test part" in found.expected


def test_no_interval_is_judged_where_patients_are_unknown(tmp_path):
    manifest = cohort(tmp_path, patient_id=lambda *_: "unknown")
    assert codes(check_manifest(manifest, half_width=0.1)) == ["unknown-patients"]


# Confounding


@pytest.mark.parametrize("column", ["site", "scanner"])
def test_a_class_from_one_place_is_found(column, tmp_path):
    place = {column: lambda label, patient, _: "A" if label == "positive" else "AB"[patient % 2]}
    (found,) = check_manifest(cohort(tmp_path, **place))
    assert found.code == f"{column}-confounded"
    assert found.got == f"positive from one {column} only"
    assert found.count == 48
    even = {column: lambda label, patient, _: "AB"[patient % 2]}
    assert check_manifest(cohort(tmp_path, **even)).findings == ()


@pytest.mark.parametrize("column", ["site", "scanner"])
def test_a_place_that_tells_most_classes_is_found_though_none_is_bound_to_it(column, tmp_path):
    def place(label, patient, _):
        return "ABC"[(CLASSES.index(label) + (patient % 6 == 0)) % 3]

    (found,) = check_manifest(cohort(tmp_path, **{column: place}))
    assert found.code == f"{column}-confounded"
    assert "Cramer's V" in found.got
    assert "72 patients" in found.got


def test_a_class_of_few_patients_from_one_of_two_sites_may_be_chance(tmp_path):
    def site(label, patient, _):
        return "A" if label == "positive" or patient % 3 else "B"

    small = cohort(tmp_path, 12, site=site).frame
    small = small[(small["label"] != "positive") | small["patient_id"].isin(["positive-0", "positive-1", "positive-2"])]
    manifest = Manifest(small.reset_index(drop=True), SCHEMES["paper3"], tmp_path)
    assert codes(check_manifest(manifest)) == ["few-patients"]
    assert codes(check_manifest(cohort(tmp_path, 24, site=site))) == ["site-confounded"]


def test_slides_or_patches_stand_in_where_patients_are_unknown(tmp_path):
    place = {"site": lambda label, patient, _: "A" if label == "positive" else "AB"[patient % 2]}
    for unknown in ({"patient_id"}, {"patient_id", "slide_id"}):
        manifest = cohort(tmp_path, **place, **{c: lambda *_: "unknown" for c in unknown})
        assert codes(check_manifest(manifest)) == ["unknown-patients", "site-confounded"]


def test_a_class_that_is_hardly_more_than_one_patient_is_found(tmp_path):
    frame = cohort(tmp_path, 12).frame
    more = frame[frame["patient_id"] == "positive-3"]
    more = pd.concat([more.assign(patch_id=more["patch_id"] + f"+{i}") for i in range(40)])
    manifest = Manifest(pd.concat([frame, more], ignore_index=True), SCHEMES["paper3"], tmp_path)
    report = check_manifest(manifest)
    assert codes(report) == ["dominant-patient", "patient-confounded"]
    assert report.outcome("patient-confounded").finding.got == "79% of positive from patient positive-3"
    assert check_manifest(cohort(tmp_path, 12)).findings == ()


def test_one_patient_with_all_classes_confounds_none(tmp_path):
    manifest = cohort(tmp_path, patient_id=lambda *_: "only", slide_id=lambda *_: "only")
    assert "patient-confounded" not in codes(check_manifest(manifest))


# Neighbours


def tiled(root: Path, x, *, path=lambda *_: "slide.png") -> Manifest:
    """Six tiles of 100 px per patient at ``x(patch)``, each patient on an image of their own."""
    (root / "slide.png").touch()
    return cohort(
        root,
        12,
        6,
        path=path,
        x=lambda _, __, patch: float(x(patch)),
        y=lambda label, patient, _: 1000.0 * (CLASSES.index(label) * 12 + patient),
        width=lambda *_: 100.0,
        height=lambda *_: 100.0,
    )


def halves(manifest: Manifest) -> pd.DataFrame:
    """Every patient's first three tiles for training, the others for the test."""
    last = manifest.frame["patch_id"].str[-1].astype(int)
    return manifest.frame[["patch_id"]].assign(split=np.where(last < 3, "train", "test"))


def neighbours(manifest: Manifest, split: pd.DataFrame):
    return [f for f in check_manifest(manifest, split) if f.code == "neighbouring-tiles"]


@pytest.mark.parametrize(("step", "pairs", "overlap"), [(100, 36, 0), (60, 108, 36), (149, 36, 0), (151, 0, 0)])
def test_neighbours_across_parts_are_found_up_to_half_a_tile_apart(step, pairs, overlap, tmp_path):
    assert MAX_GAP == 0.5
    manifest = tiled(tmp_path, lambda patch: step * patch)
    found = neighbours(manifest, halves(manifest))
    if not pairs:
        assert found == []
        return
    assert found[0].got == f"{pairs} pairs of neighbours in different parts, {overlap} of them overlapping"
    assert set(found[0].pairs[0]) == {"negative-0-2", "negative-0-3"}
    assert found[0].count == len(set(found[0].rows)) or found[0].count > 20


def test_neighbours_in_one_part_are_no_leak(tmp_path):
    manifest = tiled(tmp_path, lambda patch: 60 * patch)
    split = manifest.frame[["patch_id"]].assign(split=np.where(manifest.frame["label"] == "positive", "test", "train"))
    assert check_manifest(manifest, split).outcome("neighbouring-tiles").status == "not found"
    assert "neighbouring-tiles" not in codes(check_manifest(manifest))


def test_tiles_with_files_of_their_own_lie_on_their_slide(tmp_path):
    def own(label, patient, patch):
        (tmp_path / f"{label}-{patient}-{patch}.png").touch()
        return f"{label}-{patient}-{patch}.png"

    manifest = tiled(tmp_path, lambda patch: 100 * patch, path=own)
    assert neighbours(manifest, halves(manifest))[0].count == 72
    same_window = tiled(tmp_path, lambda patch: 0, path=own)
    assert neighbours(same_window, halves(same_window)) == []


def test_windows_of_two_images_are_never_neighbours(tmp_path):
    manifest = tiled(tmp_path, lambda patch: 10 * patch)
    (tmp_path / "other.png").touch()
    frame = manifest.frame.assign(path=np.where(halves(manifest)["split"] == "test", "other.png", "slide.png"))
    two = Manifest(frame, manifest.scheme, tmp_path)
    assert neighbours(two, halves(two)) == []


def test_rows_without_a_window_have_no_neighbours(tmp_path):
    manifest = tiled(tmp_path, lambda patch: 60 * patch)
    whole = Manifest(manifest.frame.assign(x=np.nan, y=np.nan, width=np.nan, height=np.nan), manifest.scheme, tmp_path)
    assert neighbours(whole, halves(whole)) == []


# Text of a finding


def test_every_finding_explains_itself_in_text_and_as_values(tmp_path):
    manifest = tiled(tmp_path, lambda patch: 60 * patch)
    (found,) = neighbours(manifest, halves(manifest))
    lines = found.text(2).splitlines()
    assert lines[0] == f"neighbouring-tiles (warning): {found}"
    assert lines[1] == f"  why:   {found.why}"
    assert lines[2] == f"  rows:  {found.count}: {', '.join(found.rows[:2])}, ..."
    assert lines[3].count(" and ") == 2
    assert found.as_dict()["why"] == found.why
    assert len(found.pairs) == 20


@pytest.mark.parametrize(
    ("labels", "count"),
    [
        (["negative", "positive"] * 10, 0),
        (["positive", "positive", *["negative", "positive"] * 9], 1),
        (["positive", "negative"] * 10, 20),
        (["positive", "negative", "negative", "positive"] * 5, 0),
    ],
)
def test_labels_that_are_not_those_of_their_folders_are_found(labels, count):
    paths = [f"{folder}/{i}.png" for i, folder in enumerate(["negative", "positive"] * 10)]
    outcome = CHECKS["label-conflict"].run(example_inputs(path=paths, label=labels))
    assert (outcome.finding.count if outcome.finding else 0) == count
    assert not count or "in the folder of another class" in outcome.finding.got


def test_values_of_another_unit_are_no_microns_per_pixel():
    def said(*mpp):
        finding = CHECKS["missing-mpp"].run(example_inputs(mpp=list(mpp))).finding
        return finding and (finding.severity, finding.got)

    assert said(0.25, 4.0, 1.0, 8.0) is None
    assert said(0.25, None) == ("info", "1 row without a value")
    assert said(40, 40, 0.5) == ("warning", "2 rows with 40, which looks like a magnification")
    assert said(0.00025, 0.5) == ("warning", "1 row with 0.00025, which is hardly in microns")
    assert said(25.4, None) == ("warning", "1 row without a value; 1 row with 25.4, which is hardly in microns")
