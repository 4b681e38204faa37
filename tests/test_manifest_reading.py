"""Reading manifests: files of any kind, columns of other tools, labels and missing values, failed writes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from manifests import manifest

from her2core.data.manifest import COLUMNS, UNKNOWN, build_manifest, read_manifest
from her2core.errors import ManifestError, TableError
from her2core.io.files import sha256_file, write_json, write_via_temporary
from her2core.io.tables import read_table
from her2core.labels import SCHEMES


def test_only_two_kinds_of_files_are_written(tmp_path):
    with pytest.raises(ManifestError, match=r"ending in .parquet or .csv, but got m.xlsx"):
        manifest().write(tmp_path / "m.xlsx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["m.csv", "m.xlsx"])
def test_a_title_above_the_header_is_left_out_with_a_note(tmp_path, kind):
    rows = [
        ["HER2 cohort of 2025", ""],
        ["", ""],
        ["Image", "IHC score"],
        ["1.png", "0"],
        ["2.png", "2+"],
        ["3.png", "3+"],
    ]
    if kind.endswith("csv"):
        (tmp_path / kind).write_text("\n".join(";".join(row) for row in rows) + "\n")
    else:
        pd.DataFrame(rows).to_excel(tmp_path / kind, header=False, index=False)
    found = read_manifest(tmp_path / kind)
    assert found.frame["label"].tolist() == ["negative", "equivocal", "positive"]
    assert "HER2 cohort of 2025" in found.facts["table_notes"][0]


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
