"""Does the manifest keep its promises: schema refused by row, round trips whole, one hash for one content?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifests import manifest, table

from her2core.data.manifest import COLUMNS, UNKNOWN, Manifest, build_manifest, read_manifest
from her2core.errors import ManifestError
from her2core.labels import SCHEMES, declared_scheme


def test_a_table_becomes_a_manifest_with_all_columns_in_order_and_the_rest_behind():
    made = build_manifest(pd.DataFrame({"label": ["b", "a"], "path": ["1.png", "2.png"], "age": [3, 4]}), root="r")
    assert list(made.frame.columns) == [*COLUMNS, "age"]
    assert made.classes == ("a", "b")
    assert list(made.frame["patch_id"]) == ["1.png", "2.png"]
    assert set(made.frame[["patient_id", "slide_id", "site", "scanner", "ish", "source"]].to_numpy().ravel()) == {
        UNKNOWN
    }
    assert made.frame["mpp"].isna().all()
    assert made.frame["her2_ihc"].isna().all()
    assert not made.patients_known
    assert len(made) == 2


def test_patients_are_known_only_when_every_row_names_one():
    assert manifest().patients_known
    assert not manifest(patient_id=["1", "2", None, "3"]).patients_known
    assert not manifest(patient_id=["1", "2", "  ", "3"]).patients_known


def test_the_caller_s_table_is_left_alone():
    mine = table(label=None)
    before = mine.copy()
    build_manifest(mine, root=".")
    pd.testing.assert_frame_equal(mine, before)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_round_trip_keeps_hash_scheme_facts_and_every_cell(tmp_path, suffix):
    made = Manifest(
        manifest().frame, SCHEMES["paper3"], tmp_path / "images", {"thresholds": [73.2, 95.0], "licence": "é"}
    )
    path = made.write(tmp_path / "tables" / f"m.{suffix}")
    back = read_manifest(path)
    assert back.content_hash() == made.content_hash()
    assert back.scheme is SCHEMES["paper3"]
    assert back.facts == made.facts
    assert list(back.frame["her2_ihc"]) == ["0", "1+", "2+", "3+"]
    assert list(back.frame["patient_id"]) == ["007", "007", "8", "9"]
    assert list(back.frame["block"]) == ["001", "002", "NA", "x"]
    assert list(back.frame["age"]) == [50, 50, 61, 70]
    assert back.root.resolve() == (tmp_path / "images").resolve()
    assert back.file("a/1.png").resolve() == (tmp_path / "images" / "a" / "1.png").resolve()
    assert not list(path.parent.glob(".*")), "a temporary file stayed behind"


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_round_trip_keeps_declared_classes_even_those_that_look_empty_or_like_numbers(tmp_path, suffix):
    scheme = declared_scheme("mine", ("NA", "0", "null", "1.0"), "awkward names")
    frame = pd.DataFrame(
        {"path": ["1.png", "2.png", "3.png"], "label": ["NA", "0", "1.0"], "patch_id": ["1", "02", "3"]}
    )
    made = build_manifest(frame, root=tmp_path, scheme=scheme)
    back = read_manifest(made.write(tmp_path / f"m.{suffix}"))
    assert back.scheme == scheme
    assert list(back.frame["label"]) == ["NA", "0", "1.0"]
    assert list(back.frame["patch_id"]) == ["1", "02", "3"]
    assert back.content_hash() == made.content_hash()


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_round_trip_keeps_windows(tmp_path, suffix):
    frame = pd.DataFrame(
        {"path": ["s.png"] * 2, "label": ["a", "b"], "x": [0, 8], "y": [0, 9], "width": [8, 8], "height": [8, 8]}
    )
    made = build_manifest(frame, root=tmp_path)
    assert list(made.frame["patch_id"]) == ["s.png#0,0", "s.png#8,9"]
    back = read_manifest(made.write(tmp_path / f"m.{suffix}"))
    assert back.content_hash() == made.content_hash()
    assert list(back.frame["x"]) == [0, 8]


def test_the_hash_does_not_see_row_order_column_order_or_the_folder():
    made = manifest(root="here")
    turned = build_manifest(table().iloc[::-1][[*table().columns[::-1]]], root="/somewhere/else", where="other.csv")
    assert list(turned.frame["patch_id"]) == list(made.frame["patch_id"])[::-1]
    assert turned.content_hash() == made.content_hash()


def test_the_hash_does_not_see_where_the_written_folder_was_moved_to(tmp_path):
    (tmp_path / "one").mkdir()
    made = build_manifest(table(), root=tmp_path / "one")
    made.write(tmp_path / "one" / "m.parquet")
    (tmp_path / "one").rename(tmp_path / "two")
    back = read_manifest(tmp_path / "two" / "m.parquet")
    assert back.content_hash() == made.content_hash()
    assert back.root.resolve() == (tmp_path / "two").resolve()


@pytest.mark.parametrize(
    "change",
    [
        {"label": ["negative", "negative", "equivocal", "equivocal"]},
        {"patient_id": ["007", "7", "8", "9"]},
        {"mpp": [0.25, 0.25, np.nan, 0.501]},
        {"path": ["a/1.png", "a/2.png", "b/3.png", "b/5.png"]},
        {"age": [50, 50, 61, 71]},
    ],
)
def test_the_hash_sees_every_cell(change):
    assert manifest(**change).content_hash() != manifest().content_hash()


def test_the_hash_sees_the_classes_and_their_order():
    frame = pd.DataFrame({"path": ["1", "2"], "label": ["a", "b"]})
    hashes = {
        build_manifest(frame, root=".", scheme=declared_scheme("s", classes, "")).content_hash()
        for classes in (("a", "b"), ("b", "a"), ("a", "b", "c"))
    }
    assert len(hashes) == 3


@given(seed=st.integers(0, 10**6), rows=st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_the_hash_is_the_same_for_any_row_order(seed, rows):
    frame = pd.DataFrame(
        {"path": [f"{i}.png" for i in range(rows)], "label": ["a", "b"] * (rows // 2) + ["a"] * (rows % 2)}
    )
    shuffled = frame.sample(frac=1, random_state=seed)
    one, two = (build_manifest(f, root=".") for f in (frame, shuffled))
    assert one.content_hash() == two.content_hash()


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["negative", "equivocal", "positive"], "paper3"),
        (["negative", "equivocal"], "paper3"),
        (["negative", "positive"], "binary"),
        (["0", "3+"], "declared"),
        (["positive", "stroma"], "declared"),
    ],
)
def test_a_table_without_declared_classes_gets_the_scheme_that_its_labels_fit(labels, scheme):
    frame = pd.DataFrame({"path": [f"{i}" for i in range(len(labels))], "label": labels})
    assert build_manifest(frame, root=".").scheme.name == scheme


def test_labels_follow_from_ihc_when_there_is_no_label_column():
    made = manifest(label=None)
    assert made.scheme is SCHEMES["paper3"]
    assert list(made.frame["label"]) == ["negative", "negative", "equivocal", "positive"]
    binary = build_manifest(table(label=None), root=".", scheme=SCHEMES["binary"])
    assert list(binary.frame["label"]) == ["negative", "negative", "negative", "positive"]


def test_scores_and_labels_that_came_as_numbers_are_text():
    frame = pd.DataFrame({"path": ["1", "2", "3"], "label": [0.0, 1.0, 1.0], "her2_ihc": [0.0, np.nan, 0.0]})
    made = build_manifest(frame, root=".")
    assert made.classes == ("0", "1")
    assert list(made.frame["label"]) == ["0", "1", "1"]
    assert made.frame["her2_ihc"].iloc[0] == "0"
    assert pd.isna(made.frame["her2_ihc"].iloc[1])


REFUSED = {
    "no path": (table(path=None), "a column 'path'.*--map"),
    "no label": (table(label=None, her2_ihc=None), "a column 'label'.*--map"),
    "empty table": (table().head(0), "at least one row"),
    "empty path": (table(path=["a", "b", None, "d"]), "Expected a path in every row"),
    "empty label": (table(label=["negative", "equivocal", None, "positive"]), "Expected a label out of negative"),
    "bad score": (table(her2_ihc=["0", "1+", "2", "3+"]), r"Expected a HER2 IHC score.*'2' \(1 such rows\)"),
    "bad ish": (table(ish=["unknown", "amplified", "unknown", "amplified"]), r"'amplified' \(2 such rows\).*row 2"),
    "mpp of zero": (table(mpp=[0.25, 0, 0.25, 0.25]), "Expected microns per pixel.*got"),
    "mpp in nanometres": (table(mpp=[250.0, 0.25, 0.25, 0.25]), "Expected microns per pixel"),
    "mpp not a number": (table(mpp=["0.25", "0.25", "0.25", "40x"]), "'40x'.*row 4.*leave it empty"),
    "patch twice": (table(patch_id=["p", "q", "p", "r"]), "each patch once.*'p' in rows 1, 3.*Drop the duplicate"),
    "path twice": (table(path=["a", "b", "b", "c"]), "'b' in rows 2, 3"),
    "empty patch id": (table(patch_id=["p", "q", None, "r"]), "Expected a patch_id in every row"),
    "one class": (table(label=["negative"] * 4), "at least two classes.*negative"),
    "window in part": (table(x=[1] * 4, y=[1] * 4), "all of x, y, width and height.*only x, y"),
    "window not a number": (table(x=[1, 1, "left", 1], y=1, width=8, height=8), "Expected x and y from 0.*left"),
    "window half empty": (table(x=[1, 2, 3, 4], y=1, width=[8, None, 8, 8], height=8), "Expected x and y from 0"),
    "window before the edge": (table(x=[1, 2, 3, -4], y=1, width=8, height=8), "'-4'.*row 4"),
    "window of no width": (table(x=[1, 2, 3, 4], y=1, width=[0, 8, 8, 8], height=8), "Expected x and y from 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_table_is_refused_by_file_and_row_with_the_way_out(case):
    frame, message = REFUSED[case]
    with pytest.raises(ManifestError, match=message) as refused:
        build_manifest(frame, root=".", where="mine.csv")
    assert "mine.csv" in str(refused.value)
    assert refused.value.fix.endswith(".")


def test_a_label_outside_the_declared_scheme_is_refused_by_row():
    frame = table(label=["negative", "negative", "unsure", "positive"])
    with pytest.raises(ManifestError, match=r"Expected a label out of negative, equivocal, positive.*unsure"):
        build_manifest(frame, root=".", scheme=SCHEMES["paper3"], where="mine.csv")


def test_a_column_name_that_stands_twice_is_refused():
    frame = pd.concat([table(), table()[["site"]]], axis=1)
    with pytest.raises(ManifestError, match="'site' twice"):
        build_manifest(frame, root=".")


def test_rows_are_counted_by_position_in_a_table_that_was_filtered_before():
    frame = table(her2_ihc=["0", "1+", "2", "3+"])
    frame.index = [17, 3, 99, 4]
    with pytest.raises(ManifestError, match="row 3"):
        build_manifest(frame, root=".")
    frame = table(patch_id=["p", "q", "p", "r"])
    frame.index = list("wxyz")
    with pytest.raises(ManifestError, match="rows 1, 3"):
        build_manifest(frame, root=".")


def test_windows_style_paths_are_read_on_any_system(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "1.png").write_bytes(b"x")
    made = build_manifest(pd.DataFrame({"path": ["sub\\1.png", "sub\\2.png"], "label": ["a", "b"]}), root=tmp_path)
    assert made.file(made.frame["path"].iloc[0]).is_file()
    assert made.missing_files() == ["sub/2.png"]


def test_an_absolute_path_does_not_start_from_the_root(tmp_path):
    made = build_manifest(
        pd.DataFrame({"path": [str(tmp_path / "1.png"), "2.png"], "label": ["a", "b"]}), root="elsewhere"
    )
    assert made.file(made.frame["path"].iloc[0]) == tmp_path / "1.png"
    assert made.file("2.png").parts[0] == "elsewhere"


def test_rows_of_windows_and_of_whole_images_may_stand_together():
    frame = table(x=[1, None, 3, 4], y=[1, None, 3, 4], width=[8, None, 8, 8], height=[8, None, 8, 8])
    made = build_manifest(frame, root=".")
    assert list(made.frame["x"].isna()) == [False, True, False, False]
    assert list(made.frame["patch_id"]) == ["a/1.png#1,1", "a/2.png", "b/3.png#3,3", "b/4.png#4,4"]


def test_subset_keeps_only_the_patches_named():
    made = manifest()
    part = made.subset(["b/3.png", "a/1.png"])
    assert list(part.frame["patch_id"]) == ["a/1.png", "b/3.png"]
    assert part.scheme is made.scheme
    assert part.root == made.root
