"""Copies that share a part of their tissue: key points, cells of similar descriptors, and fitted matches."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from benchmarks.copies import CHANGES
from benchmarks.planted_faults import texture
from her2core.data.checks import contents, duplicates, search
from her2core.data.checks.duplicates import near_pairs
from her2core.data.checks.fingerprint import thumbnail
from her2core.data.checks.inputs import example_inputs
from her2core.data.checks.local_features import LocalFeatures, shared_tissue

COUNT = 30


def patches() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [texture(rng, px=160) for _ in range(COUNT)]


def features_of(images: list[np.ndarray]) -> LocalFeatures:
    local = LocalFeatures.empty(len(images))
    for row, image in enumerate(images):
        local.add(row, np.ascontiguousarray(image))
    return local


#: Blurred noise has too little detail for these; benchmarks/results/copies.json has them on tissue.
COARSE = {"50 % cropped off each axis", "double magnification of a quarter"}


@pytest.mark.parametrize("change", [name for name in CHANGES if name not in COARSE])
def test_a_copy_is_found_among_patches_that_share_nothing(change):
    images, rng = patches(), np.random.default_rng(1)
    images.append(CHANGES[change](images[7], rng))
    first, second, inliers = shared_tissue(features_of(images), np.arange(len(images)))
    assert list(zip(first, second, strict=True)) == [(7, COUNT)]
    assert inliers[0] >= 9


def test_patches_that_share_nothing_are_no_copies():
    first, _, _ = shared_tissue(features_of(patches()), np.arange(COUNT))
    assert len(first) == 0


def test_a_scale_bar_or_frame_in_every_patch_makes_no_copies():
    images = patches()
    for image in images:
        cv2.putText(image, "100 um", (8, 150), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 2)
        image[:6], image[-6:], image[:, :6], image[:, -6:] = 0, 0, 0, 0
    first, _, _ = shared_tissue(features_of(images), np.arange(COUNT))
    assert len(first) == 0


def test_pairs_of_one_image_or_one_part_are_left_out():
    images = patches()
    images.append(images[7][40:, 20:])
    local, rows = features_of(images), np.arange(COUNT + 1)
    apart = np.arange(COUNT + 1)
    assert len(shared_tissue(local, rows, part=apart)[0]) == 1
    together = apart.copy()
    together[-1] = 7
    assert len(shared_tissue(local, rows, source=together)[0]) == 0
    assert len(shared_tissue(local, rows, part=together)[0]) == 0
    assert len(shared_tissue(local, np.array([1, 2, 3]))[0]) == 0


def test_blank_patches_have_no_key_points():
    glass = [np.full((64, 64, 3), 245, np.uint8)] * 3
    assert len(shared_tissue(features_of(glass), np.arange(3))[0]) == 0


def test_the_search_within_cells_finds_what_the_exhaustive_one_finds(monkeypatch):
    rng = np.random.default_rng(3)
    images = [texture(rng, px=64) for _ in range(200)]
    copies = [np.rot90(images[i], int(rng.integers(4)))[2:, 2:] for i in range(0, 200, 5)]
    small = np.stack([thumbnail(np.ascontiguousarray(image)) for image in images + copies])
    expected = {(i, 200 + n) for n, i in enumerate(range(0, 200, 5))}
    assert set(zip(*(p.tolist() for p in near_pairs(small)[:2]), strict=True)) == expected
    monkeypatch.setattr(search, "EXHAUSTIVE", 50)
    assert set(zip(*(p.tolist() for p in near_pairs(small)[:2]), strict=True)) == expected


def test_beyond_a_number_of_patches_key_points_are_not_searched_and_this_is_said(monkeypatch):
    small = np.stack([thumbnail(np.ascontiguousarray(image)) for image in patches()])
    digests = np.array([f"{i:064x}" for i in range(COUNT)], object)
    read = contents.Contents(digests, small, np.zeros((COUNT, 14)), {})
    inputs = example_inputs(contents=read, patient_id=[f"P{i}" for i in range(COUNT)])
    assert duplicates.near_duplicates(inputs) is None
    monkeypatch.setattr(duplicates, "MOST_WITH_KEY_POINTS", COUNT - 1)
    assert "crops, rotations and shifts are not" in duplicates.near_duplicates(inputs).reason
    small[5] = small[9].T
    found = duplicates.near_duplicates(inputs)
    assert len(found.pairs) == 1
    assert found.note.startswith("Not all were searched")


def test_a_large_cohort_gets_no_key_points(monkeypatch, tmp_path):
    from PIL import Image

    from her2core.data.manifest import build_manifest

    for row, image in enumerate(patches()[:3]):
        Image.fromarray(image).save(tmp_path / f"{row}.png")
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(3)], "label": ["negative", "positive", "negative"]})
    manifest = build_manifest(table, root=tmp_path)
    assert contents.read_contents(manifest).local is not None
    monkeypatch.setattr(contents, "MOST_WITH_KEY_POINTS", 2)
    assert contents.read_contents(manifest).local is None
