"""Checks of image contents: copies, near-duplicates and colour; each says where it could not be run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from benchmarks.planted_faults import CLASSES, IHC, cropped, encoded, restained, texture
from her2core.data.checks import check_manifest
from her2core.data.checks.alignment import aligned_correlation
from her2core.data.checks.colour import _auroc, colour_association
from her2core.data.checks.colour_statistics import COLOUR_STATISTICS, colour_statistics
from her2core.data.checks.contents import read_contents
from her2core.data.checks.duplicates import near_pairs
from her2core.data.checks.fingerprint import (
    SIDE,
    fine_structure,
    has_structure,
    oriented,
    oriented_vectors,
    thumbnail,
    vectors,
)
from her2core.data.checks.search import MAX_NEIGHBOURS, MIN_SIMILARITY, find_candidates
from her2core.data.manifest import Manifest
from her2core.labels import SCHEMES

PATIENTS = 10


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def cohort(root, rng, patches: int = 1, draw=None) -> Manifest:
    rows = []
    for label in CLASSES:
        for patient in range(PATIENTS):
            for patch in range(patches):
                name = f"{label}-{patient}-{patch}.png"
                Image.fromarray((draw or (lambda *_: texture(rng)))(label, patient)).save(root / name)
                rows.append(
                    {
                        "patch_id": name,
                        "path": name,
                        "patient_id": f"{label}-{patient}",
                        "slide_id": f"{label}-{patient}",
                        "site": "one",
                        "scanner": "one",
                        "mpp": 0.5,
                        "her2_ihc": IHC[label][0],
                        "ish": "unknown",
                        "label": label,
                        "source": "made",
                    }
                )
    return Manifest(pd.DataFrame(rows), SCHEMES["paper3"], root)


def split_of(manifest: Manifest, *test: str) -> pd.DataFrame:
    """These patches, and the last patient of each class, for the test; the others for training."""
    last = manifest.frame["patient_id"].str.endswith(f"-{PATIENTS - 1}")
    parts = np.where(manifest.frame["patch_id"].isin(test) | last, "test", "train")
    return manifest.frame[["patch_id"]].assign(split=parts)


def replace(manifest: Manifest, name: str, image: np.ndarray, **options) -> None:
    Image.fromarray(np.ascontiguousarray(image)).save(manifest.root / name, **options)


def pixels(manifest: Manifest, name: str) -> np.ndarray:
    return np.asarray(Image.open(manifest.root / name))


#: What a cohort as small as this one, without a validation part, has beside the fault that is tested.
OF_SMALL_COHORTS = {"few-test-patients", "incomplete-split"}


def checked(manifest: Manifest, split=None) -> dict:
    found = {f.code: f for f in check_manifest(manifest, split, contents=True)}
    return {code: f for code, f in found.items() if code not in OF_SMALL_COHORTS}


FIRST, OTHER = "negative-0-0.png", "positive-3-0.png"


# Copies


def test_the_same_pixels_in_other_bytes_are_a_copy(tmp_path, rng):
    manifest = cohort(tmp_path, rng)
    assert checked(manifest) == {}
    replace(manifest, OTHER, pixels(manifest, FIRST), compress_level=9)
    assert (tmp_path / OTHER).read_bytes() != (tmp_path / FIRST).read_bytes()
    found = checked(manifest)
    assert list(found) == ["image-with-two-labels", "identical-images"]
    assert found["identical-images"].pairs == ((FIRST, OTHER),)
    assert list(checked(manifest, split_of(manifest, FIRST, OTHER))) == ["image-with-two-labels"]
    assert list(checked(manifest, split_of(manifest, OTHER))) == ["image-with-two-labels", "identical-images"]


def test_blank_patches_are_no_copies(tmp_path, rng):
    manifest = cohort(tmp_path, rng)
    for name in (FIRST, OTHER):
        replace(manifest, name, np.full((64, 64, 3), 245, np.uint8))
    assert list(checked(manifest)) == ["image-quality"]


def test_windows_of_two_files_with_the_same_pixels_are_copies_and_those_of_one_are_not(tmp_path, rng):
    field = texture(rng, px=192)
    for name in ("a.png", "b.png"):
        Image.fromarray(field).save(tmp_path / name)
    rows = [
        {"path": path, "x": x, "y": 0, "width": 64, "height": 64, "slide_id": path, "patch_id": f"{path}{x}"}
        for path, xs in (("a.png", (0, 64, 0.0)), ("b.png", (64, 128)))
        for x in xs[:2]
    ]
    base = cohort(tmp_path, rng).frame
    two = base.head(2).iloc[[0, 0, 1, 1]].reset_index(drop=True).assign(**pd.DataFrame(rows))
    frame = pd.concat([base, two], ignore_index=True)
    manifest = Manifest(frame, SCHEMES["paper3"], tmp_path)
    found = checked(manifest)
    assert list(found) == ["identical-images"]
    assert found["identical-images"].rows == ("a.png64", "b.png64")


def test_overlapping_windows_of_one_image_are_neighbours_and_no_near_duplicates(tmp_path, rng):
    Image.fromarray(texture(rng, px=192)).save(tmp_path / "field.png")
    base = cohort(tmp_path, rng).frame
    two = base.head(2).assign(path="field.png", patch_id=["w0", "w4"], x=[0, 4], y=0, width=96, height=96)
    manifest = Manifest(pd.concat([base, two], ignore_index=True), SCHEMES["paper3"], tmp_path)
    found = checked(manifest, split_of(manifest, "w4"))
    assert "neighbouring-tiles" in found
    assert found["neighbouring-tiles"].rows == ("w0", "w4")
    assert not {"near-duplicates", "identical-images"} & set(found)


def test_what_cannot_be_read_is_an_error_that_says_why(tmp_path, rng):
    manifest = cohort(tmp_path, rng)
    (tmp_path / OTHER).write_bytes(b"no image")
    found = checked(manifest)
    assert list(found) == ["unreadable-images"]
    assert found["unreadable-images"].severity == "error"
    assert found["unreadable-images"].rows == (OTHER,)
    assert "text" in found["unreadable-images"].got
    (tmp_path / OTHER).unlink()
    assert list(checked(manifest)) == ["missing-files"]


def test_a_window_outside_its_image_is_an_error(tmp_path, rng):
    manifest = cohort(tmp_path, rng)
    frame = manifest.frame.assign(x=np.nan, y=np.nan, width=np.nan, height=np.nan)
    frame.loc[frame["patch_id"] == OTHER, ["x", "y", "width", "height"]] = (0, 0, 65, 64)
    found = checked(Manifest(frame, manifest.scheme, tmp_path))
    assert "a window inside the image" in found["unreadable-images"].got


# Near-duplicates

CHANGES = {
    "encoded anew": lambda image, rng: encoded(image, 60),
    "cropped": lambda image, rng: cropped(image, 0.08, rng),
    "turned": lambda image, rng: np.rot90(image),
    "mirrored": lambda image, rng: image[:, ::-1],
    "stained otherwise": lambda image, rng: restained(image, 1.3, 0.7),
    "darker": lambda image, rng: np.uint8(image * 0.85),
    "larger": lambda image, rng: np.asarray(Image.fromarray(image).resize((150, 150), Image.Resampling.BICUBIC)),
    "all at once": lambda image, rng: encoded(restained(cropped(np.rot90(image, 3)[::-1], 0.05, rng), 0.8, 1.2), 75),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_tissue_in_other_pixels_is_found_across_parts(change, tmp_path, rng):
    manifest = cohort(tmp_path, rng)
    replace(manifest, OTHER, CHANGES[change](pixels(manifest, FIRST), rng))
    found = checked(manifest, split_of(manifest, OTHER))
    assert list(found) == ["near-duplicates"]
    assert found["near-duplicates"].pairs == ((FIRST, OTHER),)
    assert (
        "1 pair of patches that show the same tissue, 1 of them from different patients" in found["near-duplicates"].got
    )
    assert checked(manifest, split_of(manifest, FIRST, OTHER)) == {}


def test_without_a_split_near_duplicates_of_one_patient_are_information(tmp_path, rng):
    manifest = cohort(tmp_path, rng, patches=2)
    replace(manifest, "negative-0-1.png", encoded(pixels(manifest, FIRST), 60))
    assert checked(manifest)["near-duplicates"].severity == "info"
    replace(manifest, OTHER, encoded(pixels(manifest, FIRST), 80))
    found = checked(manifest)["near-duplicates"]
    assert found.severity == "warning"
    assert found.count == 3


def test_half_a_patch_in_common_is_a_copy_in_part(tmp_path, rng):
    field = texture(rng, px=256)
    manifest = cohort(tmp_path, rng)
    replace(manifest, FIRST, field[:160, :160])
    replace(manifest, OTHER, field[:160, 80:240])
    found = checked(manifest)
    assert list(found) == ["near-duplicates"]
    assert "1 of them only in part" in found["near-duplicates"].got


# The parts of the search


@pytest.mark.parametrize("orientation", range(8))
def test_vectors_turn_as_their_thumbnails_do(orientation, rng):
    images = rng.random((3, SIDE, SIDE)).astype(np.float32)
    np.testing.assert_allclose(
        oriented_vectors(vectors(images)[0], orientation), vectors(oriented(images, orientation))[0], rtol=0, atol=1e-5
    )


def test_the_search_in_blocks_finds_what_comparing_all_finds(rng, monkeypatch):
    from her2core.data.checks import search

    monkeypatch.setattr(search, "_ROWS", 7)
    monkeypatch.setattr(search, "_COLUMNS", 11)
    images = np.stack([thumbnail(texture(rng)) for _ in range(40)])
    images[30:] = [oriented(images[i], i % 8) for i in range(10)]
    own = vectors(images)
    expected = {
        (min(i, j), max(i, j))
        for orientation in range(8)
        for window in own
        for i, j in np.argwhere(window @ oriented_vectors(own[0], orientation).T >= MIN_SIMILARITY)
        if i != j
    }
    found = find_candidates(own)
    assert {(min(p), max(p)) for p in zip(found.first, found.second, strict=True)} == expected
    parts = np.arange(40) // 30
    across = find_candidates(own, part=parts)
    assert len(across.first)
    assert (parts[across.first] != parts[across.second]).all()
    groups = np.arange(40) % 10
    assert (groups[(f := find_candidates(own, source=groups)).first] != groups[f.second]).all()


def test_one_patch_or_none_has_no_partner(rng):
    for count in (0, 1):
        images = np.stack([thumbnail(texture(rng)) for _ in range(2)])[:count]
        assert [len(part) for part in near_pairs(images)] == [0, 0, 0]


def test_many_copies_do_not_displace_a_crop(rng):
    field = texture(rng, px=128)
    copies = [encoded(field, 95 - i) for i in range(3 * MAX_NEIGHBOURS)]
    images = np.stack([thumbnail(i) for i in [field, *copies, cropped(field, 0.1, rng)]])
    first, second, _ = near_pairs(images, part=np.r_[0, np.ones(len(images) - 1, int)])
    assert (len(images) - 1) in second[first == 0]


def test_laying_over_undoes_a_crop(rng):
    field = texture(rng, px=200)
    whole, part = thumbnail(field)[None], thumbnail(np.ascontiguousarray(field[8:192, 14:]))[None]
    assert np.corrcoef(whole.ravel(), part.ravel())[0, 1] < 0.7
    assert aligned_correlation(whole, part)[0].min() > 0.9
    assert aligned_correlation(whole, thumbnail(texture(rng, px=200))[None])[0].min() < 0.5


def test_details_are_level_and_blank_patches_have_no_structure():
    faint = np.zeros((1, SIDE, SIDE), np.float32)
    faint[0, ::4, :24] = 0.2
    faint[0, ::4, 24:] = 2.0
    found = np.abs(fine_structure(faint))[0]
    assert found[4:-4, 4:20].mean() == pytest.approx(found[4:-4, 28:-4].mean(), rel=0.05)
    assert has_structure(np.concatenate([faint, 0 * faint])).tolist() == [True, False]


# Colour


def stained(shift):
    """Every patient has a stain of their own; that of positives differs by ``shift``."""
    stains = {}

    def draw(label, patient):
        rng = np.random.default_rng([patient, CLASSES.index(label)])
        own = np.array([(0.65, 0.70, 0.29), (0.17, 0.88, 0.44)]) * rng.lognormal(0, 0.1, (2, 1))
        stains[label, patient] = own + (label == "positive") * np.array([(0.0, shift, 0.0), (shift, 0.0, -shift)])
        return texture(rng, stains[label, patient])

    return draw


def test_a_stain_that_goes_with_the_class_is_found_across_patients(tmp_path, rng):
    assert checked(cohort(tmp_path, rng, draw=stained(0.0))) == {}
    found = checked(cohort(tmp_path, rng, draw=stained(0.12)))
    assert list(found) == ["colour-confounded", "partial-stain"]
    assert "for positive against the rest, over 30 patients" in found["colour-confounded"].got


def test_colour_of_few_patients_cannot_be_tested_however_many_patches_they_have(tmp_path, rng):
    manifest = cohort(tmp_path, rng, patches=3, draw=stained(0.12))
    few = manifest.subset(i for i in manifest.frame["patch_id"] if int(i.split("-")[1]) < 3)
    outcome = check_manifest(few, contents=True).outcome("colour-confounded")
    assert outcome.status == "could not be run"
    assert "3 of negative, 3 of equivocal, 3 of positive" in outcome.reason


def test_slides_stand_in_for_unknown_patients_with_a_caution_and_without_slides_colour_is_not_tested(tmp_path, rng):
    manifest = cohort(tmp_path, rng, draw=stained(0.12))
    nameless = Manifest(manifest.frame.assign(patient_id="unknown"), manifest.scheme, tmp_path)
    found = checked(nameless)["colour-confounded"]
    assert "over 30 slides" in found.got
    assert "patient ids may explain this finding" in found.fix
    alone = Manifest(nameless.frame.assign(slide_id="unknown"), manifest.scheme, tmp_path)
    outcome = check_manifest(alone, contents=True).outcome("colour-confounded")
    assert outcome.status == "could not be run"
    assert "patient and slide ids are unknown" in outcome.reason


def test_the_answers_are_those_of_leaving_each_patient_out(rng):
    from sklearn.linear_model import Ridge

    features, labels = rng.normal(size=(24, 5)), np.arange(24) % 2
    features[labels == 1, 0] += 1.0
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    answers = np.empty(24)
    for out in range(24):
        kept = np.arange(24) != out
        model = Ridge(alpha=0.3 * 24).fit(scaled[kept], labels[kept])
        answers[out] = model.predict(scaled[out : out + 1])[0]
    assert colour_association(features, labels=labels, permutations=20).auroc == pytest.approx(
        roc_auc_score(labels, answers), abs=0.03
    )


def test_the_areas_are_scikit_learn_s(rng):
    truth, answers = rng.integers(0, 2, (50, 6)), rng.normal(size=(50, 6))
    expected = [roc_auc_score(t, a) for t, a in zip(truth.T, answers.T, strict=True)]
    np.testing.assert_allclose(_auroc(answers, truth), expected)


def test_chance_is_as_rare_as_it_says(rng):
    labels = np.arange(30) % 3
    p_values = [
        colour_association(rng.normal(size=(30, 6)), labels=labels, permutations=199, seed=i).p_value for i in range(80)
    ]
    assert np.mean(np.array(p_values) <= 0.1) < 0.25
    assert 0.3 < np.median(p_values) < 0.75


def test_colours_are_optical_densities():
    image = np.full((40, 40, 3), (100, 150, 200), np.uint8)
    found = dict(zip(COLOUR_STATISTICS, colour_statistics(image), strict=True))
    assert found["mean R"] == pytest.approx(-np.log(101 / 255), abs=1e-5)
    assert found["deviation G"] == pytest.approx(0, abs=1e-5)
    assert found["lightest B"] == found["darkest B"] == pytest.approx(-np.log(201 / 255), abs=1e-5)
    assert found["red to green"] == pytest.approx(np.log(101 / 255) / np.log(151 / 255), abs=1e-4)


def test_reading_counts_every_patch_and_does_not_depend_on_the_threads(tmp_path, rng):
    manifest, calls = cohort(tmp_path, rng), []
    one = read_contents(manifest, threads=1, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i + 1, 30) for i in range(30)]
    four = read_contents(manifest, threads=4)
    assert (one.digests == four.digests).all()
    np.testing.assert_array_equal(one.thumbnails, four.thumbnails)
    np.testing.assert_array_equal(one.colours, four.colours)
