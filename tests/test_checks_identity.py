"""Checks of ids and of the completeness of splits: each finds its fault and is silent without it."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from her2core.data.checks import CHECKS, check_manifest
from her2core.data.checks.contents import read_contents
from her2core.data.checks.identity import file_name_ids
from her2core.data.checks.inputs import CheckInputs, example_inputs
from her2core.data.manifest import build_manifest
from her2core.data.patches import PatchReader
from her2core.errors import ManifestError


def status(code: str, **columns) -> str:
    return CHECKS[code].run(example_inputs(**columns)).status


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P007", "p007"),
        ("P007", "P7"),
        ("P-007", "P_007"),
        ("P007", "P 007"),
        ("P007", "P\u200b007"),
        ("12", "12.0"),
        ("P007", "\uff30007"),
        ("P007", "\u0420007"),  # Cyrillic Er
        ("Zo\u00eb", "Zoe"),
        ("TCGA-A7-A0CD", "TCGA-A7-A0CD-01A"),
        ("TCGA-A7-A0CD-01Z-00-DX1", "TCGA-A7-A0CD-01A-11"),
        ("TCGA-A7-A0CD", "tcga.a7.a0cd"),
    ],
)
def test_spellings_of_one_patient_are_found(one, other):
    ids = [one, other, "Q1", "Q2"]
    finding = CHECKS["patient-spellings"].run(example_inputs(patient_id=ids, split=["train", "test"] * 2)).finding
    assert finding.rows == ("0.png", "1.png")
    assert "1 of them in several parts" in finding.got


@pytest.mark.parametrize(
    "ids",
    [
        ["P1", "P2", "P11", "P12"],
        ["1-12", "11-2", "1-1-2", "112"],
        ["TCGA-A7-A0CD", "TCGA-A7-A0CE", "TCGA-A8-A0CD", "TCGA-AC-A0CD"],
        ["A1", "B1", "1A", "1B"],
        ["12.5", "12.0", "12.50", "125"],
    ],
)
def test_different_patients_are_no_spellings(ids):
    assert status("patient-spellings", patient_id=ids) == "not found"


def test_barcodes_of_slides_and_files_tell_one_patient_from_another():
    barcodes = ["TCGA-A7-A0CD-01Z-00-DX1", "TCGA-A7-A0CD-01Z-00-DX2", "TCGA-A8-A07B-01Z-00-DX1"]
    assert status("patient-spellings", patient_id=["a", "b", "c"], slide_id=barcodes) == "found"
    assert status("patient-spellings", patient_id=["a", "b", "c"], path=[f"t/{b}_1.png" for b in barcodes]) == "found"
    assert status("patient-spellings", patient_id=["a", "a", "c"], slide_id=barcodes) == "not found"
    assert status("patient-spellings") == "could not be run"


def test_ids_that_are_file_names():
    names = [f"slide{i // 4}_tile{i}" for i in range(8)]
    paths = [f"tiles/{n}.jpg" for n in names]
    assert status("file-name-ids", path=paths, patient_id=names) == "found"
    assert status("file-name-ids", path=paths, patient_id=[f"{n}.JPG" for n in names]) == "found"
    assert status("file-name-ids", path=paths, patient_id=[f"P{i}" for i in range(8)]) == "not found"
    assert status("file-name-ids", path=paths, patient_id=[n.split("_")[0] for n in names]) == "not found"
    assert status("file-name-ids", path=paths) == "could not be run"


def named_after_files(names, **columns):
    inputs = example_inputs(path=[f"images/{n}.png" for n in names], patient_id=list(names), **columns)
    found = file_name_ids(inputs)
    return found.severity or "warning"


def test_one_file_a_patient_named_after_the_patient_is_no_warning():
    assert named_after_files([f"P{i:03d}" for i in range(6)]) == "info"
    assert named_after_files([f"{site}-{i:03d}" for site in ("BR", "LU") for i in range(3)]) == "info"
    assert named_after_files([f"TCGA-A7-A0C{i}" for i in range(6)]) == "info"
    assert named_after_files([f"P{i:03d}" for i in range(6)], slide_id=[f"S{i}" for i in range(6)]) == "info"


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        ([f"P{i:03d}" for i in range(6)], {"slide_id": ["S1", "S1", "S2", "S2", "S3", "S3"]}),
        ([f"TCGA-A7-A0C{i // 2}-01Z-00-DX1_{i}" for i in range(6)], {}),
        ([f"S{i // 3}_{i}_{256 * i}" for i in range(6)], {}),
        ([f"S{i // 3}_x{i}_y{i}" for i in range(6)], {}),
        ([f"{i}_tile" for i in range(6)], {}),
    ],
)
def test_files_that_are_parts_of_images_are_a_warning(names, columns):
    assert named_after_files(names, **columns) == "warning"


def test_time_grows_with_the_rows_and_not_with_their_square():
    count = 6000
    columns = {
        "path": [f"{i}.png" for i in range(count)],
        "label": ["negative", "positive"] * (count // 2),
        "patient_id": [f"P{i // 2}" if i % 2 else f"p-{i // 2}" for i in range(count)],
    }
    inputs, began = example_inputs(**columns, split=["train", "test"] * (count // 2)), time.perf_counter()
    assert "in several parts" in CHECKS["patient-spellings"].run(inputs).finding.got
    assert CHECKS["incomplete-split"].run(inputs).status == "found"
    assert time.perf_counter() - began < 3  # with the square of the rows: 9 seconds


def test_a_slide_of_two_patients():
    patients = [f"P{i // 2}" for i in range(10)]
    slides = [f"S{i // 2}" for i in range(10)]
    assert status("slide-of-two-patients", patient_id=patients, slide_id=slides) == "not found"
    wrong = CHECKS["slide-of-two-patients"].run(example_inputs(patient_id=patients, slide_id=["S1", *slides[1:]]))
    assert wrong.finding.got == "1 slide of several patients, the first: S1 of P0 and P1"
    numbered = CHECKS["slide-of-two-patients"].run(example_inputs(patient_id=patients, slide_id=["1", "2"] * 5))
    assert numbered.status == "not applicable"
    assert status("slide-of-two-patients", patient_id=patients) == "could not be run"
    shifted = {"patient_id": [patients[-1], *patients[:-1]], "slide_id": slides}
    assert "5 slides of several patients" in CHECKS["slide-of-two-patients"].run(example_inputs(**shifted)).finding.got
    microarrays = {"patient_id": [f"P{i}" for i in range(12)], "slide_id": [f"TMA{i // 4}" for i in range(12)]}
    assert status("slide-of-two-patients", **microarrays) == "not applicable"


def test_slides_numbered_within_each_patient_are_no_common_slides():
    columns = {"patient_id": [f"P{i // 2}" for i in range(12)], "slide_id": ["1", "2"] * 6}
    leak = CHECKS["slide-leak"].run
    assert leak(example_inputs(**columns, split=["train"] * 6 + ["test"] * 6)).status == "not found"
    columns["slide_id"] = ["1"] * 12
    found = leak(example_inputs(**columns, split=["train"] * 7 + ["test"] * 5)).finding
    assert found.got == "1 slide in several parts, the first: P3 / 1"
    microarray = {**columns, "slide_id": ["TMA-2021-7"] * 12}
    assert leak(example_inputs(**microarray, split=["train"] * 6 + ["test"] * 6)).status == "found"
    tiles = {"x": [300 * i for i in range(12)], "y": 0, "width": 256, "height": 256}
    apart = example_inputs(**columns, **tiles, split=["train", "train", "test", "test"] * 3)
    assert CHECKS["neighbouring-tiles"].run(apart).status == "not found"


def named(patients: list[str], **columns) -> str:
    outcome = CHECKS["slide-of-two-patients"].run(example_inputs(patient_id=patients, **columns))
    return outcome.finding.got if outcome.finding else outcome.status


@pytest.mark.parametrize("pattern", ["{}/tile_3.png", "tiles/{}_256_512.png", "{}-A.png", "x {} 1.png"])
@pytest.mark.parametrize("form", ["P-{:03d}", "TCGA-A7-A0{:02d}", "{:05d}"])
def test_files_named_after_another_patient_are_found(pattern, form):
    patients = [form.format(i // 3) for i in range(30)]
    paths = [f"{i}/{pattern.format(p)}" for i, p in enumerate(patients)]
    assert named(patients, path=paths) == "could not be run"
    assert "10 rows whose file is named after another patient" in named([patients[-1], *patients[:-1]], path=paths)
    slides = [f"{p}-S1" for p in patients]
    assert "10 rows whose slide is named after another" in named([patients[-1], *patients[:-1]], slide_id=slides)


def test_numbers_of_tiles_and_names_that_follow_no_patient_are_no_finding():
    numbers = [str(i // 3) for i in range(30)]
    assert named(numbers, path=[f"tile_{i}.png" for i in range(30)]) == "could not be run"
    assert named(numbers, path=[f"{i // 3}/{i % 10}_{i % 7}.png" for i in range(30)]) == "could not be run"
    assert named([f"P{i}" for i in range(30)], path=[f"R{i}.png" for i in range(30)]) == "could not be run"


def test_patients_numbered_at_each_site_share_their_ids():
    columns = {"patient_id": [str(1 + i % 5) for i in range(20)], "site": ["A", "B"] * 10}
    own = CHECKS["shared-patient-id"].run(example_inputs(**columns, slide_id=[f"S{i}" for i in range(20)]))
    assert own.finding.got == "patient 1 with site a and b (and 4 more)"
    scanned_twice = example_inputs(**columns, slide_id=[f"S{i % 5}" for i in range(20)])
    assert CHECKS["shared-patient-id"].run(scanned_twice).status == "not found"


@pytest.mark.parametrize(
    ("column", "clean", "wrong"),
    [
        ("age", [41, 42, 50, 50, 60, 60, 70, 70], [41, 58, 50, 50, 60, 60, 70, 70]),
        ("age_at_diagnosis", ["41", "41", "", "50", "60", "60", "70", "70"], ["41", "71", *"        "[:6]]),
        ("Sex", list("FFFFMMFF"), list("FMFFMMFF")),
        ("er_status", ["+", "+", "-", "-", "+", "", "-", "-"], ["+", "-", "-", "-", "+", "+", "-", "-"]),
        ("site", list("AABBCCAA"), list("ABBBCCAA")),
    ],
)
def test_an_id_that_two_people_share(column, clean, wrong):
    patients = [f"P{i // 2}" for i in range(8)]
    assert status("shared-patient-id", patient_id=patients, **{column: clean}) == "not found"
    finding = CHECKS["shared-patient-id"].run(example_inputs(patient_id=patients, **{column: wrong})).finding
    assert set(finding.rows) == {"0.png", "1.png"}


def test_sites_by_design_are_no_shared_ids():
    patients = [f"P{i // 2}" for i in range(8)]
    assert status("shared-patient-id", patient_id=patients, site=list("ABABABAB")) == "not found"
    assert status("shared-patient-id", patient_id=patients) == "not applicable"
    # Words of other columns, such as image, stage or percentage, are no ages.
    assert status("shared-patient-id", patient_id=patients, image=list("12345678")) == "not applicable"


def test_an_incomplete_split():
    outcome = CHECKS["incomplete-split"].run
    assert outcome(example_inputs(split=["train", "val", "test"])).status == "not found"
    assert outcome(example_inputs(split=["train", "train", "test"])).finding.severity == "info"
    assert outcome(example_inputs(split=["val", "val", "test"])).finding.got == "no patch in the training part"
    blank = outcome(example_inputs(split=["train", "val", "test", "", None])).finding
    assert blank.rows == ("3.png", "4.png")
    inputs = example_inputs(split=["train", "val", "test"])
    both = pd.concat([inputs.split, pd.DataFrame({"patch_id": ["0.png"], "split": ["test"]})])
    assert outcome(CheckInputs(inputs.manifest, both)).finding.rows == ("0.png",)


def test_a_class_that_training_lacks_stops_it():
    labels = ["negative", "positive", "positive", "negative", "positive", "negative"]
    split = ["train", "val", "test", "train", "val", "test"]
    report = check_manifest(example_inputs(label=labels).manifest, example_inputs(label=labels, split=split).split)
    found = report.outcome("split-part-without-class").finding
    assert found.severity == "error"
    assert "no patch of positive in the training part" in found.got


def test_few_test_patients_and_a_dominant_one():
    patients = [f"P{i}" for i in range(10)]
    few = example_inputs(patient_id=patients, split=["train"] * 6 + ["val"] + ["test"] * 3)
    assert CHECKS["few-test-patients"].run(few).finding.got == "3 patients of 3 patches"
    enough = example_inputs(patient_id=patients, split=["train"] * 4 + ["val"] + ["test"] * 5)
    assert CHECKS["few-test-patients"].run(enough).status == "not found"
    assert status("dominant-patient", patient_id=patients) == "not found"
    assert status("dominant-patient", patient_id=[*patients, *["P3"] * 11]) == "found"
    assert status("dominant-patient", patient_id=["P1", "P1", "P1", "P2"]) == "not applicable"
    of_test = example_inputs(patient_id=[*patients, "P9", "P9", "P9"], split=["train"] * 6 + ["val"] + ["test"] * 6)
    assert CHECKS["dominant-patient"].run(of_test).finding.got == "patient P9 with 67% of the test part"


def made(folder, images, **columns):
    names = [f"{i}.png" for i in range(len(images))]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name)
    return build_manifest(pd.DataFrame({"path": names}).assign(**columns), root=folder)


def test_the_same_pixels_under_two_labels_are_found_also_across_patients(tmp_path):
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 255, (4, 32, 32, 3), np.uint8))
    labels, patients = ["negative", "positive"] * 2, ["P1", "P2", "P3", "P4"]
    clean = made(tmp_path, images, label=labels, patient_id=patients)
    check = CHECKS["image-with-two-labels"].run
    assert check(CheckInputs(clean, None, read_contents(clean))).status == "not found"
    images[3] = images[0]
    wrong = made(tmp_path, images, label=labels, patient_id=patients)
    assert check(CheckInputs(wrong, None, read_contents(wrong))).finding.pairs == (("0.png", "3.png"),)
    glass = np.full((32, 32, 3), 245, np.uint8)
    blank = made(tmp_path, [glass, glass, images[0], images[2]], label=labels, patient_id=patients)
    assert check(CheckInputs(blank, None, read_contents(blank))).status == "not found"
    assert check(CheckInputs(clean.subset(["0.png", "2.png"]))).status == "not applicable"


def test_tiles_with_coordinates_of_their_slide_are_read_and_compared_there(tmp_path):
    images = list(np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8))
    columns = {"label": ["negative", "positive"] * 2, "slide_id": "S1", "x": [4000, 4032, 9000, 9500], "y": 700}
    split = pd.DataFrame({"patch_id": [f"{i}" for i in range(4)], "split": ["train", "test", "train", "train"]})
    for size in (32, 128):  # at the slide's magnification, and at a quarter of it
        places = {"x": [4000, 4000 + size, 9000, 9500], "width": size, "height": size}
        tiles = made(tmp_path, images, **{**columns, **places}, patch_id=list("0123"))
        assert read_contents(tiles).unreadable == {}
        assert np.array_equal(PatchReader(tiles)("1"), images[1])
        report = check_manifest(tiles, split, contents=True)
        assert report.outcome("unreadable-images").status == "not found"
        assert report.outcome("neighbouring-tiles").finding.pairs == (("0", "1"),)
    smaller = made(tmp_path, images, **columns, width=20, height=20, patch_id=list("0123"))
    with pytest.raises(ManifestError, match="inside the image"):
        PatchReader(smaller)("1")
    shared = smaller.frame.assign(path="0.png", width=32, height=32)
    with pytest.raises(ManifestError, match="inside the image"):
        PatchReader(build_manifest(shared, root=tmp_path))("1")
