"""Folds: every patch tested once, groups whole, classes balanced, validation apart, and refusals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.data.folds import NEVER_TESTED, assign_folds, fold_split
from her2core.data.manifest import Manifest, build_manifest
from her2core.data.splits import verify_split
from her2core.data.splitters import SitePreservedKFold
from her2core.errors import SplitError
from her2core.labels import declared_scheme

few = settings(max_examples=30, deadline=None)


def cohort(counts: dict[tuple[str, str], int], patches: int = 3) -> Manifest:
    """Patients by (site, class), each with patches on two slides."""
    rows = [
        {
            "path": f"{site}{label}{patient}/{patch}.png",
            "patient_id": f"{site}-{label}-{patient}",
            "slide_id": f"{site}-{label}-{patient}-{patch % 2}",
            "site": site,
            "label": label,
        }
        for (site, label), count in counts.items()
        for patient in range(count)
        for patch in range(patches)
    ]
    return build_manifest(pd.DataFrame(rows), root=".", scheme=declared_scheme("letters", "xyz", ""))


def one_site(**counts: int) -> Manifest:
    return cohort({("S", label): count for label, count in counts.items()})


def joined(manifest: Manifest, table: pd.DataFrame) -> pd.DataFrame:
    return manifest.frame.drop(columns="split", errors="ignore").merge(table, on="patch_id", validate="1:1")


@given(
    counts=st.lists(st.integers(2, 14), min_size=2, max_size=3),
    folds=st.integers(2, 5),
    unit=st.sampled_from(["patient", "slide", "patch_random"]),
    seed=st.integers(0, 2**32 - 1),
)
@few
def test_each_patch_is_in_one_fold_groups_are_whole_and_classes_balanced(counts, folds, unit, seed):
    manifest = one_site(**dict(zip("xyz", counts, strict=False)))
    if unit == "patient" and max(counts) < folds:
        return
    found = assign_folds(manifest, unit, folds=folds, seed=seed)
    rows = joined(manifest, found.table)
    assert list(found.table["patch_id"]) == list(manifest.frame["patch_id"])
    assert set(rows["fold"]) <= set(range(folds))
    group = {"patient": "patient_id", "slide": "slide_id", "patch_random": "patch_id"}[unit]
    assert (rows.groupby(group)["fold"].nunique() == 1).all()
    for _, of in rows.drop_duplicates(group).groupby("label"):
        sizes = Counter(of["fold"])
        assert max(sizes[k] for k in range(folds)) - min(sizes[k] for k in range(folds)) <= 1


@pytest.mark.parametrize(("unit", "order"), [("patient", 1), ("site", 2), ("patch_random", 3)])
def test_folds_do_not_depend_on_the_row_order(order, unit):
    manifest = cohort({(site, label): 3 for site in "ABCD" for label in "xy"})
    shuffled = build_manifest(manifest.frame.sample(frac=1, random_state=order), root="x", scheme=manifest.scheme)
    tables = [assign_folds(m, unit, folds=3, seed=4) for m in (manifest, shuffled)]
    assert dict(tables[0].table.to_numpy()) == dict(tables[1].table.to_numpy())
    splits = [fold_split(m, t, 1) for m, t in zip((manifest, shuffled), tables, strict=True)]
    assert dict(splits[0].to_numpy()) == dict(splits[1].to_numpy())


def test_other_seeds_give_other_folds():
    manifest = one_site(x=10, y=10)
    tables = [tuple(assign_folds(manifest, seed=seed).table["fold"]) for seed in range(4)]
    assert len(set(tables)) == 4


@pytest.mark.parametrize(("seed", "validation"), [(0, 0.2), (7, 0.05), (3, 0.6)])
def test_the_validation_part_has_patients_of_each_class_and_none_of_the_fold(seed, validation):
    manifest = cohort({(site, label): 4 for site in "ABC" for label in "xyz"})
    for unit, folds in (("patient", 4), ("site", 3), ("site", "each")):
        assignment = assign_folds(manifest, unit, folds=folds, seed=seed)
        for held_out in range(len(assignment)):
            split = fold_split(manifest, assignment, held_out, validation=validation, seed=seed)
            rows = joined(manifest, split)
            assert (rows.groupby("patient_id")["split"].nunique() == 1).all()
            test = set(rows.loc[rows["split"] == "test", "patch_id"])
            assert test == set(assignment.table.loc[assignment.table["fold"] == held_out, "patch_id"])
            verify_split(manifest, split, "patient")
            rest = rows[rows["split"] != "test"].drop_duplicates("patient_id")
            for _, of in rest.groupby("label"):
                chosen = (of["split"] == "val").sum()
                assert 1 <= chosen < len(of)
                assert abs(chosen - validation * len(of)) <= 1


def test_a_random_split_chooses_its_validation_part_by_random_patches_too():
    manifest = one_site(x=6, y=6)
    rows = joined(manifest, fold_split(manifest, assign_folds(manifest, "patch_random", folds=3), 0))
    assert (rows.groupby("patient_id")["split"].nunique() > 1).any()
    assert set(rows["split"]) == {"train", "val", "test"}


@given(
    counts=st.dictionaries(
        st.tuples(st.sampled_from("ABCDEFG"), st.sampled_from("xyz")), st.integers(1, 6), min_size=4
    ),
    folds=st.integers(2, 4),
    seed=st.integers(0, 99),
)
@few
def test_site_preserved_folds_keep_sites_whole_but_for_those_they_name(counts, folds, seed):
    labels = np.array([label for (_, label), n in counts.items() for _ in range(n)])
    sites = np.array([site for (site, _), n in counts.items() for _ in range(n)])
    alone = pd.Series(labels).value_counts().min() < 2
    if len(set(sites)) < folds or len(set(labels)) < 2 or alone:
        return
    splitter = SitePreservedKFold(folds, random_state=seed)
    tests = [test for _, test in splitter.split(labels, labels, sites)]
    assert sorted(np.concatenate(tests)) == list(range(len(labels)))
    fold = np.empty(len(labels), int)
    for number, test in enumerate(tests):
        fold[test] = number
        trained_on = set(np.delete(labels, test))
        assert trained_on == set(labels)
    divided = {site for site in set(sites) if len(set(fold[sites == site])) > 1}
    assert divided <= set(splitter.divided)


def test_sites_are_whole_where_they_can_be_and_the_note_names_those_that_are_not():
    even = cohort({(site, label): 3 for site in "ABCDEF" for label in "xy"})
    found = assign_folds(even, "site", folds=3)
    rows = joined(even, found.table)
    assert (rows.groupby("site")["fold"].nunique() == 1).all()
    assert Counter(rows.drop_duplicates("site")["fold"]) == {0: 2, 1: 2, 2: 2}
    assert found.notes == ()

    nested = cohort({("A", "x"): 6, ("B", "y"): 6, ("C", "y"): 6, ("D", "y"): 2})
    found = assign_folds(nested, "site", folds=2)
    assert [note for note in found.notes if note.startswith("Not site-preserved for A")]
    rows = joined(nested, found.table)
    assert rows.loc[rows["site"] == "A", "fold"].nunique() == 2
    assert (rows[rows["site"] != "A"].groupby("site")["fold"].nunique() == 1).all()


def test_one_site_after_another_is_left_out_and_small_ones_together():
    counts = {("A", "x"): 5, ("A", "y"): 5, ("B", "x"): 5, ("B", "y"): 5, ("C", "x"): 1, ("D", "y"): 2}
    manifest = cohort(counts)
    found = assign_folds(manifest, "site", folds="each")
    assert found.names == ("C, D", "A", "B")
    assert found.notes == ("Sites with fewer than 5 patients were left out together: C, D.",)
    rows = joined(manifest, found.table)
    assert {name: set(of["site"]) for name, of in rows.groupby("fold")} == {0: {"C", "D"}, 1: {"A"}, 2: {"B"}}
    assert assign_folds(manifest, "site", folds="each", smallest_site=1).names == ("A", "B", "C", "D")


def test_a_site_with_all_patients_of_a_class_is_trained_on_and_said():
    manifest = cohort({("A", "x"): 5, ("A", "z"): 4, ("B", "x"): 5, ("B", "y"): 5, ("C", "x"): 5, ("C", "y"): 5})
    found = assign_folds(manifest, "site", folds="each")
    assert found.names == ("B", "C")
    assert found.notes[0].startswith("Site A cannot be left out: all patients of z come from it.")
    rows = joined(manifest, found.table)
    assert set(rows.loc[rows["site"] == "A", "fold"]) == {NEVER_TESTED}
    assert set(fold_split(manifest, found, 0)["split"]) == {"train", "val", "test"}


def test_a_rare_class_that_some_folds_do_not_test_is_said():
    found = assign_folds(one_site(x=10, y=10, z=3), folds=5)
    assert found.notes == ("Only 3 of 5 folds test z (3 patients).",)


@pytest.mark.parametrize(
    ("manifest", "arguments", "sentence"),
    [
        (one_site(x=6), {}, "at least two classes"),
        (one_site(x=6, y=1), {}, "at least two patients of each class"),
        (one_site(x=3, y=2), {"folds": 5}, r"at least as many patients of one class as folds \(5\), but got 3"),
        (one_site(x=6, y=6), {"folds": 1}, "at least two folds"),
        (one_site(x=6, y=6), {"unit": "site", "folds": "each"}, "at least two sites"),
        (one_site(x=6, y=6), {"unit": "site", "folds": 2}, r"as many sites as folds \(2\), but got 1"),
        (one_site(x=6, y=6), {"folds": "each"}, "`each` goes with site alone"),
        (one_site(x=6, y=6), {"unit": "predefined"}, "folds by a unit that can be held out"),
        (one_site(x=6, y=6), {"unit": "field"}, "a known field in every row, but got 36 rows without one"),
        (cohort({("A", "x"): 6, ("B", "y"): 6}), {"unit": "site", "folds": "each"}, "two sites that can be left out"),
    ],
)
def test_what_cannot_be_divided_is_refused(manifest, arguments, sentence):
    with pytest.raises(SplitError, match=sentence):
        assign_folds(manifest, **arguments)


def test_a_patient_with_two_labels_stays_whole():
    manifest = one_site(x=5, y=5)
    labels = ["x" if (i % 3 > 0) == (i < 15) else "y" for i in range(len(manifest))]
    mixed = build_manifest(manifest.frame.assign(label=labels), root=".", scheme=manifest.scheme)
    rows = joined(mixed, assign_folds(mixed, folds=2).table)
    assert (rows.groupby("patient_id")["fold"].nunique() == 1).all()


def test_unknown_patients_can_only_be_divided_at_random():
    manifest = build_manifest(pd.DataFrame({"path": list("abcdefgh"), "label": list("xxxxyyyy")}), root=".")
    with pytest.raises(SplitError, match="a known patient in every row"):
        assign_folds(manifest, "patient")
    assert len(assign_folds(manifest, "patch_random", folds=2)) == 2


def test_a_fold_that_does_not_exist_is_refused():
    manifest = one_site(x=6, y=6)
    with pytest.raises(SplitError, match="a fold below 3"):
        fold_split(manifest, assign_folds(manifest, folds=3), 3)
