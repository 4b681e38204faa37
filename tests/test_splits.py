"""Splits: every patch once, groups whole, fractions kept, the same for any row order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.data.manifest import Manifest, build_manifest
from her2core.data.split_units import PARTS, SPLIT_UNITS, UNIT_NAMES, markdown_table, split_unit
from her2core.data.splits import (
    PATCH_RANDOM_WARNING,
    SAME_PATIENT_WARNING,
    UNKNOWN_PATIENT_WARNING,
    split_manifest,
    split_warnings,
    verify_split,
)
from her2core.errors import SplitError
from her2core.labels import declared_scheme

FRACTIONS = (0.6, 0.2, 0.2)
UNIT_COLUMN = {unit.name: unit.column for unit in SPLIT_UNITS.values() if unit.column}
few = settings(max_examples=40, deadline=None)


def cohort(patients_per_class=(5, 5, 5), slides=2, patches=2, *, own_labels=False, **columns) -> Manifest:
    """Patients of classes c0, c1, ...; each slide at the site of its patient's number modulo three."""
    rows = []
    for number, patients in enumerate(patients_per_class):
        for patient in range(patients):
            for slide in range(slides):
                for patch in range(patches):
                    name = f"c{number}p{patient}"
                    rows.append(
                        {
                            "path": f"{name}s{slide}/{patch}.png",
                            "patient_id": name,
                            "slide_id": f"{name}s{slide}",
                            "field_id": f"{name}s{slide}f{patch // 2}",
                            "site": f"site{patient % 3}",
                            "label": f"c{(number + patch) % len(patients_per_class) if own_labels else number}",
                        }
                    )
    classes = tuple(f"c{i}" for i in range(len(patients_per_class)))
    frame = pd.DataFrame(rows).assign(**columns)
    return build_manifest(frame, root=".", scheme=declared_scheme("c", classes, ""))


def parts_of(manifest: Manifest, split: pd.DataFrame, column: str) -> dict[str, str]:
    joined = manifest.frame.merge(split, on="patch_id", suffixes=("_manifest", ""))
    assert (joined.groupby(column)["split"].nunique() == 1).all(), f"a {column} is in two parts"
    return joined.groupby(column)["split"].first().to_dict()


@given(
    counts=st.lists(st.integers(3, 17), min_size=2, max_size=4),
    slides=st.integers(1, 3),
    patches=st.integers(1, 3),
    unit=st.sampled_from(["patient", "slide", "field", "patch_random"]),
    seed=st.integers(0, 2**32),
)
@few
def test_every_patch_once_groups_whole_and_fractions_within_one_group_a_class(counts, slides, patches, unit, seed):
    manifest = cohort(tuple(counts), slides, patches)
    split = split_manifest(manifest, unit, seed=seed)
    assert list(split["patch_id"]) == list(manifest.frame["patch_id"])
    assert set(split["split"]) <= set(PARTS)
    column = UNIT_COLUMN.get(unit, "patch_id")
    part = parts_of(manifest, split, column)
    for number in range(len(counts)):
        groups = manifest.frame.loc[manifest.frame["label"] == f"c{number}", column].unique()
        counted = Counter(part[g] for g in groups)
        for name, fraction in zip(PARTS, FRACTIONS, strict=True):
            assert counted[name] >= 1
            assert abs(counted[name] - fraction * len(groups)) <= 1 + 1e-9


@given(
    seed=st.integers(0, 2**32), order=st.integers(0, 10**6), unit=st.sampled_from(["patient", "slide", "patch_random"])
)
@few
def test_the_same_seed_gives_the_same_split_whatever_the_row_order(seed, order, unit):
    manifest = cohort((4, 6, 5))
    shuffled = build_manifest(manifest.frame.sample(frac=1, random_state=order), root="x", scheme=manifest.scheme)
    first, again, other = (split_manifest(m, unit, seed=seed) for m in (manifest, manifest, shuffled))
    pd.testing.assert_frame_equal(first, again)
    assert dict(first.to_numpy()) == dict(other.to_numpy())


@given(seed=st.integers(0, 2**32))
@few
def test_a_group_with_several_labels_stays_whole(seed):
    manifest = cohort((5, 5), patches=3, own_labels=True)
    parts_of(manifest, split_manifest(manifest, "patient", seed=seed), "patient_id")


@given(shares=st.tuples(*[st.integers(1, 8)] * 3), groups=st.integers(3, 30), seed=st.integers(0, 99))
@few
def test_other_fractions_are_kept_too_and_no_part_is_empty(shares, groups, seed):
    fractions = tuple(s / sum(shares) for s in shares)
    manifest = cohort((groups, groups), slides=1, patches=1)
    counted = Counter(split_manifest(manifest, fractions=fractions, seed=seed)["split"])
    for name, fraction in zip(PARTS, fractions, strict=True):
        assert counted[name] >= 2
        # Where a fraction asks for less than one group, its part is given one from the largest.
        if min(fractions) * groups >= 1:
            assert abs(counted[name] - 2 * fraction * groups) <= 2 + 1e-9


def test_two_seeds_differ_and_classes_are_assigned_independently():
    manifest = cohort((10, 10))
    splits = [dict(split_manifest(manifest, seed=s).to_numpy()) for s in range(4)]
    assert any(splits[0] != other for other in splits[1:])
    part = parts_of(manifest, split_manifest(manifest, seed=0), "patient_id")
    ranks = [[part[f"c{c}p{i}"] for i in range(10)] for c in range(2)]
    assert ranks[0] != ranks[1], "both classes were assigned by the same permutation"


def test_site_splits_keep_sites_whole():
    manifest = cohort((6, 6))
    part = parts_of(manifest, split_manifest(manifest, "site"), "site")
    assert set(part.values()) == set(PARTS)


def test_the_paper_s_shares_on_a_round_number_of_patients_are_exact():
    counted = Counter(parts_of(m := cohort((10, 20)), split_manifest(m), "patient_id").values())
    assert counted == {"train": 18, "val": 6, "test": 6}


def test_a_class_without_a_patch_is_left_aside():
    manifest = cohort((4, 4))
    declared = Manifest(manifest.frame, declared_scheme("c", ("c0", "c1", "c2"), ""), manifest.root)
    assert set(split_manifest(declared)["split"]) == set(PARTS)


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.6, 0.2, 0.3), (0.8, 0.2, 0.0), (1.2, -0.1, -0.1), ()])
def test_bad_fractions_are_refused(fractions):
    with pytest.raises(SplitError, match=r"three positive fractions that sum to 1.*0.6, 0.2, 0.2"):
        split_manifest(cohort(), fractions=fractions)


def test_an_unknown_unit_is_refused_with_the_known_ones():
    with pytest.raises(SplitError, match="patient, slide, field, site, patch_random, predefined, but got 'tile'"):
        split_manifest(cohort(), "tile")


@pytest.mark.parametrize(("unit", "column"), list(UNIT_COLUMN.items()))
def test_a_unit_that_is_not_known_in_every_row_is_refused(unit, column):
    manifest = cohort()
    frame = manifest.frame.copy()
    frame.loc[[2, 5], column] = "unknown"
    with pytest.raises(SplitError, match=f"Expected a known {unit} in every row, but got 2 rows") as refused:
        split_manifest(Manifest(frame, manifest.scheme, manifest.root), unit)
    assert "patch_random" in refused.value.fix


def test_fewer_than_three_groups_of_a_class_are_refused_by_class():
    with pytest.raises(SplitError, match=r"at least three patients of class 'c1'.*got 2.*smaller unit"):
        split_manifest(cohort((5, 2, 5)))
    assert len(split_manifest(cohort((5, 2, 5)), "slide")) == 48


def test_two_sites_cannot_fill_three_parts():
    manifest = cohort((4, 4), site=np.resize(["one", "two"], 32))
    with pytest.raises(SplitError, match="Expected at least three sites of any class, one for each part, but got 2"):
        split_manifest(manifest, "site")


def predefined(words) -> Manifest:
    return cohort((3, 3), slides=1, patches=1, split=words)


def test_a_predefined_split_is_taken_as_it_is():
    words = ["train", "val", "test", "test", "val", "train"]
    assert list(split_manifest(predefined(words), "predefined")["split"]) == words
    spelled = ["Training", "valid", "TEST", "test", "dev", "train"]
    assert list(split_manifest(predefined(spelled), "predefined")["split"]) == words


def test_a_predefined_split_is_refused_without_column_with_a_strange_word_or_an_empty_part():
    with pytest.raises(SplitError, match="a column 'split' in the manifest"):
        split_manifest(cohort(), "predefined")
    with pytest.raises(SplitError, match=r"Expected one of train, val, test, but got 'fold 3'"):
        split_manifest(predefined(["train", "val", "fold 3", "test", "val", "train"]), "predefined")
    with pytest.raises(SplitError, match="got no val patch"):
        split_manifest(predefined(["train", "test", "test", "test", "test", "train"]), "predefined")
    with pytest.raises(SplitError, match=r"every class among the training patches, but got none of c1"):
        split_manifest(predefined(["train", "train", "val", "test", "val", "test"]), "predefined")


def test_verification_finds_a_group_in_two_parts_and_names_it():
    manifest = cohort((3, 3))
    split = split_manifest(manifest)
    broken = split.copy()
    first = broken["split"].iloc[0]
    broken.loc[0, "split"] = next(p for p in PARTS if p != first)
    assert verify_split(manifest, split, "patient") is split
    with pytest.raises(SplitError, match="each patient in one part only, but got patient 'c0p0' in 2 parts"):
        verify_split(manifest, broken, "patient")
    with pytest.raises(SplitError, match="slide 'c0p0s0' in 2 parts"):
        verify_split(manifest, broken, "slide")
    assert verify_split(manifest, broken, "patch_random") is broken


@pytest.mark.parametrize("change", ["drop", "twice", "other"])
def test_verification_refuses_other_patches_than_the_manifest_s(change):
    manifest = cohort((3, 3))
    split = split_manifest(manifest)
    changed = {
        "drop": split.iloc[1:],
        "twice": pd.concat([split, split.head(1)]),
        "other": split.assign(patch_id=["another", *split["patch_id"].iloc[1:]]),
    }[change]
    with pytest.raises(SplitError, match=r"exactly the manifest's patches.*anew"):
        verify_split(manifest, changed, "patch_random")


def test_what_a_split_cannot_claim_is_said_and_a_clean_one_says_nothing():
    manifest = cohort()
    assert split_warnings(manifest, split_manifest(manifest), "patient") == []
    random = split_manifest(manifest, "patch_random")
    assert split_warnings(manifest, random, "patch_random") == [PATCH_RANDOM_WARNING, SAME_PATIENT_WARNING]
    by_slide = manifest.frame[["patch_id"]].assign(
        split=np.where(manifest.frame["slide_id"].str.endswith("s0"), "train", "test")
    )
    assert split_warnings(manifest, by_slide, "slide") == [SAME_PATIENT_WARNING]
    nameless = cohort(patient_id=None)
    assert split_warnings(nameless, split_manifest(nameless, "slide"), "slide") == [UNKNOWN_PATIENT_WARNING]
    both = split_warnings(nameless, split_manifest(nameless, "patch_random"), "patch_random")
    assert both == [PATCH_RANDOM_WARNING, UNKNOWN_PATIENT_WARNING]


def test_a_manifest_that_brings_its_own_split_column_can_still_be_split_anew():
    manifest = cohort(split="train")
    anew = split_manifest(manifest, "patient")
    assert set(anew["split"]) == set(PARTS)
    assert split_warnings(manifest, anew, "patient") == []


def test_the_registry_of_units_is_the_type_of_configurations_and_documented():
    assert tuple(SPLIT_UNITS) == UNIT_NAMES
    guide = Path(__file__).resolve().parents[1] / "docs" / "howto" / "own-cohort.md"
    assert markdown_table() in guide.read_text(encoding="utf-8")
    assert all(unit.name == name for name, unit in SPLIT_UNITS.items())


@pytest.mark.parametrize("unit", ["patient", "slide", "site", "patch_random"])
def test_a_unit_that_claims_to_separate_patients_does(unit):
    manifest = cohort((9, 9, 9))
    for seed in range(4):
        joined = manifest.frame.merge(split_manifest(manifest, unit, seed=seed), on="patch_id")
        apart = (joined.groupby("patient_id")["split"].nunique() == 1).all()
        assert apart or not split_unit(unit).separates_patients
