"""Checks of shortcuts: permutation over patients, columns, file properties, marks, stains and embeddings."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import chi2_contingency, ks_2samp
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from benchmarks.planted_faults import texture
from her2core.data.checks import CHECKS
from her2core.data.checks.contents import Contents, read_contents
from her2core.data.checks.inputs import CheckInputs, example_inputs
from her2core.data.checks.permutation import associations, corrected_p
from her2core.data.checks.shortcuts import _distances
from her2core.data.manifest import build_manifest

PATIENTS = [f"P{i}" for i in range(60)]
LABELS = ["negative", "positive"] * 30
POSITIVE = np.array(LABELS) == "positive"


def run(code: str, **columns):
    return CHECKS[code].run(example_inputs(patient_id=PATIENTS, label=LABELS, **columns))


def test_effects_are_those_of_scikit_learn_and_of_the_contingency_table():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    table = pd.DataFrame({"x": rng.integers(0, 6, 90) + labels, "c": rng.choice(list("uvw"), 90)})
    found = {(a.name, a.measure): a for a in associations(table, labels=labels)}
    aurocs = [roc_auc_score(labels == k, table["x"]) for k in range(3)]
    assert found["x", "AUROC"].effect == pytest.approx(max(max(a, 1 - a) for a in aurocs), abs=1e-6)
    counts = pd.crosstab(labels, table["c"])
    chi2 = chi2_contingency(counts, correction=False).statistic
    phi = max(0, chi2 / 90 - 4 / 89)
    assert found["c", "Cramer's V"].effect == pytest.approx(np.sqrt(phi / (3 - 4 / 89 - 1)), abs=1e-6)
    phis = [matthews_corrcoef(labels == k, table["c"] == v) for k in range(3) for v in "uvw"]
    assert found["c", "phi"].effect == pytest.approx(np.abs(phis).max(), abs=1e-6)


def test_the_correction_keeps_its_level_under_the_null():
    """Of 200 tables of 12 random properties, about 5 % have a corrected p of at most 0.05, not 46 %."""
    low = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        table = pd.DataFrame(rng.normal(size=(30, 12)), columns=[f"p{i}" for i in range(12)])
        found = associations(table, labels=rng.permutation([0, 1] * 15), permutations=499)
        low += min(a.p_value for a in found) <= 0.05
    assert 2 <= low <= 20


def test_corrected_p_values_are_those_of_the_definition():
    values = np.random.default_rng(1).normal(size=(50, 4))
    single = np.array([[(values[:, i] >= values[r, i]).mean() for i in range(4)] for r in range(50)])
    expected = [(single.min(axis=1) <= single[0, i] + 1e-12).mean() for i in range(4)]
    np.testing.assert_allclose(corrected_p(values), expected)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("batch", np.where(POSITIVE, "b1", "b2")),
        ("scan_date", np.where(POSITIVE, "2021-03-02", "2019-11-30")),
        ("mpp", np.where(POSITIVE, 0.25, 0.23)),
        ("source", np.where(POSITIVE, "TCGA", "clinic")),
        ("collected", [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{2021 if p else 2019}" for i, p in enumerate(POSITIVE)]),
        ("batch_number", np.where(POSITIVE, 3, np.arange(60) // 2 % 5 + (np.arange(60) // 2 % 5 > 2))),
        ("technician", np.where(POSITIVE | (np.arange(60) % 6 == 0), "kim", "lee")),
    ],
)
def test_a_column_that_goes_with_the_class_is_found(name, values):
    finding = run("column-shortcut", **{name: list(values)}).finding
    assert finding.got.startswith(name)
    shuffled = np.random.default_rng(5).permutation(values)
    assert run("column-shortcut", **{name: list(shuffled)}).status == "not found"


def test_one_special_batch_among_many_is_found_where_all_batches_hardly_tell_the_class():
    number = np.arange(60)
    special = np.where(POSITIVE & (number % 4 == 1), "special", np.char.add("b", (number // 2 % 11).astype(str)))
    assert "batch (phi 0.58" in run("column-shortcut", batch=list(special)).finding.got
    assert "site special that goes with positive (phi 0.58" in run("site-confounded", site=list(special)).finding.got
    assert run("site-confounded", site=list(np.random.default_rng(1).permutation(special))).status == "not found"


def test_the_place_on_the_slide_is_tested():
    tiles = {"x": list(4000 * POSITIVE + np.arange(60)), "y": 0, "width": 256, "height": 256}
    assert run("column-shortcut", **tiles).finding.got.startswith("x (AUROC 1.00")


def test_cells_that_one_class_lacks_are_found():
    assert "scanner missing" in run("column-shortcut", scanner=["" if p else "A" for p in POSITIVE]).finding.got
    assert "mpp missing" in run("column-shortcut", mpp=[None if p else 0.5 for p in POSITIVE]).finding.got
    some = ["" if i % 3 else "A" for i in range(60)]
    assert run("column-shortcut", scanner=some).status == "not found"


def test_a_few_unknown_patients_do_not_hide_a_shortcut():
    patients = ["" if i == 7 else p for i, p in enumerate(PATIENTS)]
    batch = list(np.where(POSITIVE, "b1", "b2"))
    inputs = example_inputs(patient_id=patients, label=LABELS, batch=batch)
    assert "over 59 patients" in CHECKS["column-shortcut"].run(inputs).finding.got
    many = example_inputs(patient_id=["" if i < 20 else p for i, p in enumerate(PATIENTS)], label=LABELS, batch=batch)
    assert CHECKS["column-shortcut"].run(many).status == "could not be run"


@pytest.mark.parametrize("name", ["her2_score", "FISH ratio", "tumour_grade", "er_status", "GT"])
def test_columns_of_which_labels_are_made_are_no_shortcuts(name):
    assert run("column-shortcut", **{name: list(POSITIVE.astype(int) + 1)}).status == "not found"


def test_names_of_classes_are_no_shortcuts_and_other_prefixes_are():
    restated = [f"{label[:3]}_{i}.png" for i, label in enumerate(LABELS)]
    assert run("column-shortcut", path=restated, group=LABELS).status == "not found"
    prefixes = [f"{'scan' if p else 'img'}{i}.png" for i, p in enumerate(POSITIVE)]
    assert "prefix of the file name" in run("column-shortcut", path=prefixes).finding.got


def test_patients_with_more_patches_in_one_class_are_found():
    patients = [p for p, more in zip(PATIENTS, POSITIVE, strict=True) for _ in range(6 if more else 1 + int(p[1:]) % 3)]
    labels = [LABELS[int(p[1:])] for p in patients]
    columns = {"patient_id": patients, "label": labels, "path": [f"{i}.png" for i in range(len(patients))]}
    assert "patches per unit" in CHECKS["column-shortcut"].run(example_inputs(**columns)).finding.got


def test_shortcuts_need_patients():
    assert CHECKS["column-shortcut"].run(example_inputs(batch=["a", "b"])).status == "could not be run"
    few = example_inputs(patient_id=PATIENTS[:8], batch=["a", "b"] * 4)
    assert "needs at least 6 patients per class" in CHECKS["column-shortcut"].run(few).reason


# Images


def images(folder, change) -> CheckInputs:
    """Patches of noise, one a patient, each saved by ``change(image, number, is positive, path)``."""
    rng = np.random.default_rng(2)
    for i, positive in enumerate(POSITIVE[:40]):
        change(rng.integers(120, 230, (48, 48, 3), np.uint8), i, positive, folder / f"{i}.png")
    rows = {"path": [f"{i}.png" for i in range(40)], "label": LABELS[:40], "patient_id": PATIENTS[:40]}
    manifest = build_manifest(pd.DataFrame(rows), root=folder)
    return CheckInputs(manifest, None, read_contents(manifest))


def save(image, path, **options):
    Image.fromarray(image).save(path, options.pop("format", "PNG"), **options)


def corner(image, number, positive, path):
    if positive and number % 4 != 1:
        image[:7, -7:] = (10, 20, 160)
    save(image, path)


def quality(image, number, positive, path):
    save(image, path, format="JPEG", quality=85 if positive else 80)


def darker(image, number, positive, path):
    save((image * (0.7 if positive else 1)).astype(np.uint8), path)


def stamp(image, number, positive, path):
    if positive:
        image[20:24, 1:5] = (200, 40, 200)
    save(image, path)


def border(image, number, positive, path):
    if positive:
        image[:3] = image[-3:] = 60
    save(image, path)


@pytest.mark.parametrize(
    ("code", "change", "said"),
    [
        ("corner-marks", corner, "marks in corners"),
        ("corner-marks", border, "border"),
        ("corner-marks", stamp, "structure in a fixed place"),
        ("file-shortcut", quality, "JPEG quality"),
        ("file-shortcut", darker, "brightness"),
    ],
)
def test_files_of_one_class_that_differ_are_found(code, change, said, tmp_path):
    assert said in CHECKS[code].run(images(tmp_path, change)).finding.got


def test_files_alike_are_not_found(tmp_path):
    inputs = images(tmp_path, lambda image, number, positive, path: save(image, path))
    assert {CHECKS[c].run(inputs).status for c in ("file-shortcut", "corner-marks", "partial-stain")} == {"not found"}


def test_files_of_unknown_patients_are_compared_by_patch_in_their_settings_only(tmp_path):
    for change, status in ((quality, "found"), (darker, "not found")):
        (tmp_path / status).mkdir()
        inputs = images(tmp_path / status, change)
        frame = inputs.frame.assign(patient_id="unknown")
        outcome = CHECKS["file-shortcut"].run(replace(inputs, manifest=replace(inputs.manifest, frame=frame)))
        assert outcome.status == status
        assert status != "found" or "over 40 patches" in outcome.finding.got


def test_colour_and_texture_of_kinds_of_tissue_are_information_and_settings_of_files_are_not(tmp_path):
    severity = {}
    for change in (darker, quality):
        (tmp_path / change.__name__).mkdir()
        inputs = images(tmp_path / change.__name__, change)
        tissue = replace(inputs.manifest, scheme=replace(inputs.manifest.scheme, is_her2=False))
        for her2 in (True, False):
            asked = inputs if her2 else replace(inputs, manifest=tissue)
            severity[change.__name__, her2] = CHECKS["file-shortcut"].run(asked).finding.severity
    assert severity.pop(("darker", False)) == "info"
    assert set(severity.values()) == {"warning"}


def stained(shifted: np.ndarray):
    colours = np.random.default_rng(3).normal(size=(60, 14))
    colours[shifted, 4] += 8
    contents = Contents(np.array(["9f"] * 60, object), np.zeros((60, 48, 48)), colours, {})
    return run("partial-stain", contents=contents)


def test_a_stain_of_half_a_class_is_found_and_one_of_half_the_cohort_is_not():
    finding = stained(POSITIVE & (np.arange(60) % 4 == 1)).finding
    assert re.search(r"5\d% of positive", finding.got)
    assert stained(np.arange(60) < 30).status == "not found"


def test_distances_are_those_of_scipy():
    rng = np.random.default_rng(4)
    values, labels = rng.integers(0, 9, (40, 3)).astype(float), rng.integers(0, 3, 40)
    found = _distances(values, labels[None])[0]
    for feature in range(3):
        for k in range(3):
            expected = ks_2samp(values[labels == k, feature], values[labels != k, feature]).statistic
            assert found[feature, k] == pytest.approx(expected)


# Embeddings


def test_an_embedding_that_tells_the_site_better_than_the_class_is_found():
    rng = np.random.default_rng(6)
    sites = rng.permutation(["A", "B", "C"] * 20)
    noise = rng.normal(size=(60, 12))
    of_site = noise + 3 * (sites == "A")[:, None]
    of_class = noise + 3 * POSITIVE[:, None] + 0.5 * (sites == "A")[:, None]
    assert "for site A" in run("embedding-site", embeddings=of_site, site=list(sites)).finding.got
    assert run("embedding-site", embeddings=of_class, site=list(sites)).status == "not found"
    assert run("embedding-site", embeddings=noise, site=list(sites)).status == "not found"
    assert run("embedding-site", embeddings=noise, site="A").status == "not applicable"
    assert run("embedding-site", site=list(sites)).reason == "no trained network was given"


def test_the_embedding_of_a_trained_network_is_checked(tiny_run):
    assert tiny_run.checks.outcome("embedding-site").reason != "no trained network was given"


# Quality of the images


def test_images_without_tissue_in_focus_are_counted(tmp_path):
    tissue = [texture(np.random.default_rng(i), px=96) for i in range(40)]
    kinds = {"whole": tissue, "blank": [np.full_like(tissue[0], 245), *tissue[1:]]}
    kinds["black"] = [np.zeros_like(tissue[0])] * 3 + tissue[3:]
    kinds["grey"] = [np.repeat(t[..., 1:2], 3, axis=2) for t in tissue[:6]] + tissue[6:]
    kinds["blurred"] = [cv2.GaussianBlur(t, (0, 0), 3) for t in tissue[:8]] + tissue[8:]
    got = {}
    for kind, pictures in kinds.items():
        (tmp_path / kind).mkdir()
        inputs = images(tmp_path / kind, lambda image, number, positive, path, p=pictures: save(p[number], path))
        finding = CHECKS["image-quality"].run(inputs).finding
        got[kind] = finding and (finding.got, finding.count)
    assert got == {
        "whole": None,
        "blank": ("1 of 40 patches without any structure (blank or black)", 1),
        "black": ("3 of 40 patches without any structure (blank or black)", 3),
        "grey": ("6 of 40 patches that do not look like H&E", 6),
        "blurred": ("8 of 40 patches out of focus", 8),
    }
