"""Does the manifest keep its promises: schema refused by row, round trips whole, one hash for one content?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.data.manifest import COLUMNS, UNKNOWN, Manifest, build_manifest, read_manifest
from her2core.errors import ManifestError, TableError
from her2core.io.files import sha256_file, write_json, write_via_temporary
from her2core.io.tables import read_table
from her2core.labels import SCHEMES, declared_scheme


def table(**changes) -> pd.DataFrame:
    columns = {
        "path": ["a/1.png", "a/2.png", "b/3.png", "b/4.png"],
        "patient_id": ["007", "007", "8", "9"],
        "slide_id": ["01", "02", "3", "4"],
        "site": ["A2", "A2", "01", "01"],
        "mpp": [0.25, 0.25, np.nan, 0.5],
        "her2_ihc": ["0", "1+", "2+", "3+"],
        "ish": ["unknown", "unknown", "negative", "unknown"],
        "label": ["negative", "negative", "equivocal", "positive"],
        "block": ["001", "002", "NA", "x"],
        "age": [50, 50, 61, 70],
    } | changes
    return pd.DataFrame({name: values for name, values in columns.items() if values is not None})


def manifest(root="data", **changes) -> Manifest:
    return build_manifest(table(**changes), root=root, where="mine.csv")


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


def test_only_two_kinds_of_files_are_written(tmp_path):
    with pytest.raises(ManifestError, match=r"ending in .parquet or .csv, but got m.xlsx"):
        manifest().write(tmp_path / "m.xlsx")
    assert not list(tmp_path.iterdir())


def unreadable(folder):
    (folder / "cut.parquet").write_bytes(manifest().write(folder / "whole.parquet").read_bytes()[:-40])
    (folder / "empty.csv").write_text("")
    (folder / "ragged.csv").write_text("path,label\n1,a\n2,b,c,d\n")
    (folder / "bytes.csv").write_bytes(b"path,label\n\xff\xfe\x00,a\n")
    (folder / "book.xlsx").write_bytes(b"PK\x03\x04")
    (folder / "prose.csv").write_text("notes of mine\nand more\n")
    (folder / "listed.csv").write_text("path,label\n1,a\n2,b\n")
    (folder / "listed.meta.json").write_text("[1]")
    (folder / "broken.csv").write_text("path,label\n1,a\n2,b\n")
    (folder / "broken.meta.json").write_text("{")
    (folder / "twice.csv").write_text("path,label\n1,a\n2,b\n")
    (folder / "twice.meta.json").write_text(json.dumps({"scheme": "mine", "classes": ["a", "a"]}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "no such file"),
        ("cut.parquet", "a complete Parquet file"),
        ("empty.csv", "an empty file"),
        ("ragged.csv", "the same number of cells in every row.*4 cells instead of 2.*row 2"),
        ("bytes.csv", "binary data"),
        ("book.xlsx", "a ZIP archive"),
        ("prose.csv", "a table with several columns"),
        ("listed.csv", r"Expected a JSON object, but got list"),
        ("broken.csv", r"Expected valid JSON.*import the data again"),
        ("twice.csv", "at least two different class names"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_by_name(tmp_path, name, message):
    unreadable(tmp_path)
    with pytest.raises((ManifestError, TableError), match=message) as refused:
        read_manifest(tmp_path / name)
    assert refused.value.fix
    if name != "twice.csv":
        assert name.split(".")[0] in str(refused.value)


@pytest.mark.parametrize("name", ["m.csv", "m.parquet", "M.CSV", "m.txt"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_manifest_is_read_by_its_content_whatever_its_name_and_separator(tmp_path, name, separator):
    text = "path,label,patient_id\n1.png,a,007\n2.png,b,nan\n".replace(",", separator)
    (tmp_path / name).write_text(text, encoding="utf-16")
    made = read_manifest(tmp_path / name)
    assert made.classes == ("a", "b")
    assert list(made.frame["patient_id"]) == ["007", UNKNOWN]


def test_columns_of_other_tools_are_recognised_and_the_mapping_is_stated(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text(
        "Filename;PatientID;GT;fold;MPP;IHC\n1.png;P1;Neg;Training;0,5;0\n2.png;P2;Pos;valid;0,5;3+\n"
        "3.png;N/A;neg;Test;;2+\n"
    )
    made = read_manifest(path)
    assert made.scheme is SCHEMES["binary"]
    assert list(made.frame["label"]) == ["negative", "positive", "negative"]
    assert list(made.frame["patient_id"]) == ["P1", "P2", UNKNOWN]
    assert list(made.frame["split"]) == ["train", "val", "test"]
    assert list(made.frame["mpp"][:2]) == [0.5, 0.5]
    assert list(made.frame["her2_ihc"]) == ["0", "3+", "2+"]
    assert made.facts["columns_read_as"] == {
        "path": "Filename",
        "label": "GT",
        "patient_id": "PatientID",
        "mpp": "MPP",
        "her2_ihc": "IHC",
        "split": "fold",
    }
    assert made.facts["labels_read_as"] == {"Neg": "negative", "Pos": "positive", "neg": "negative"}


def test_a_column_that_does_not_fit_is_left_under_its_own_name(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("path,label,ihc,tile,phase\n1.png,a,2,t1,III\n2.png,b,3,t1,II\n")
    made = read_manifest(path)
    assert {"ihc", "tile", "phase"} <= set(made.frame.columns)
    assert made.frame["her2_ihc"].isna().all()
    assert "columns_read_as" not in made.facts


@pytest.mark.parametrize(
    ("labels", "scheme", "classes"),
    [
        (["3+", "0/1+", "2+"], "ihc3", ("0/1+", "2+", "3+")),
        (["IHC 3+", "IHC 0", "IHC 2+", "IHC 1+"], "ihc4", ("0", "1+", "2+", "3+")),
        (["Positive", "Equivocal", "Negative"], "paper3", ("negative", "equivocal", "positive")),
        (["None", "Low", "High"], "declared", ("High", "Low", "None")),
        (["low", "middle", "high"], "erbb2_level", ("low", "middle", "high")),
        (["Low", "Medium", "High"], "declared", ("Low", "Medium", "High")),
        (["2", "0", "10"], "declared", ("0", "2", "10")),
    ],
)
def test_labels_find_their_scheme_in_any_spelling_and_none_is_missing(labels, scheme, classes):
    made = build_manifest(pd.DataFrame({"path": [f"{i}" for i in range(len(labels))], "label": labels}), root=".")
    assert (made.scheme.name, made.classes) == (scheme, classes)
    assert made.frame["label"].notna().all()


def test_ihc_scores_in_the_label_column_follow_the_rule_of_the_scheme_asked_for():
    frame = pd.DataFrame({"path": list("wxyz"), "label": ["0", "1+", "2+", "3+"]})
    made = build_manifest(frame, root=".", scheme=SCHEMES["paper3"])
    assert list(made.frame["label"]) == ["negative", "negative", "equivocal", "positive"]
    assert made.facts["labels_read_as"] == {"0": "negative", "1+": "negative", "2+": "equivocal", "3+": "positive"}


def test_ihc_scores_of_some_cases_only_may_be_called_a_her2_status():
    frame = pd.DataFrame({"path": ["1", "2"], "label": ["0", "3+"]})
    assert build_manifest(frame, root=".").scheme.is_her2
    assert not build_manifest(frame.assign(label=["a", "b"]), root=".").scheme.is_her2


def test_a_missing_label_beside_the_classes_of_a_scheme_is_refused_by_row():
    frame = pd.DataFrame({"path": list("xyz"), "label": ["negative", "positive", "NA"]})
    with pytest.raises(ManifestError, match=r"a label out of negative, positive.*'NA'.*row 3"):
        build_manifest(frame, root=".")


@pytest.mark.parametrize("word", ["NA", "n/a", "nan", "None", "NULL", "Unknown", "#N/A", " ", ""])
def test_every_spelling_of_missing_makes_a_patient_unknown_in_csv_and_parquet(tmp_path, word):
    frame = pd.DataFrame({"path": ["1", "2"], "label": ["a", "b"], "patient_id": ["P1", word]})
    frame.to_csv(tmp_path / "m.csv", index=False)
    frame.to_parquet(tmp_path / "m.parquet")
    for name in ("m.csv", "m.parquet"):
        assert list(read_manifest(tmp_path / name).frame["patient_id"]) == ["P1", UNKNOWN]


def test_a_csv_of_another_program_is_a_manifest(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(
        "path,label,patient_id,mpp,her2_ihc\n1.png,negative,007,NA,0\n2.png,equivocal,,0.5,2+\n", encoding="utf-8-sig"
    )
    made = read_manifest(path)
    assert made.scheme is SCHEMES["paper3"]
    assert list(made.frame["patient_id"]) == ["007", UNKNOWN]
    assert list(made.frame["her2_ihc"]) == ["0", "2+"]
    assert np.isnan(made.frame["mpp"].iloc[0])
    assert made.file("1.png") == tmp_path / "1.png"


def test_a_tab_separated_table_reads_like_a_csv(tmp_path):
    (tmp_path / "m.tsv").write_text("path\tlabel\tsite\n1\ta\t01\n2\tb\t02\n")
    assert list(read_manifest(tmp_path / "m.tsv").frame["site"]) == ["01", "02"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})

    def half(temporary):
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_via_temporary(path, half)
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_parquet_metadata_and_digest_come_back(tmp_path):
    path = manifest().write(tmp_path / "m.parquet")
    table = read_table(path)
    assert list(table.frame.columns)[: len(COLUMNS)] == list(COLUMNS)
    assert json.loads(table.metadata["her2core"])["classes"] == ["negative", "equivocal", "positive"]
    assert len(sha256_file(path)) == 64
