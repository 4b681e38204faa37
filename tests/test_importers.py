"""Importers: the layouts that they read, and refusal of all others by file and row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from importer_files import REAL, needs_data, png
from PIL import Image

from her2core.data.importers import IMPORTERS, import_dataset
from her2core.data.manifest import UNKNOWN, read_manifest
from her2core.data.patches import PatchReader
from her2core.data.splits import split_manifest, split_warnings
from her2core.errors import ConfigError, ManifestError, TableError
from her2core.labels import SCHEMES


def test_an_unknown_importer_offers_near_matches_or_the_general_ones(tmp_path):
    with pytest.raises(
        ManifestError, match=r"out of folder, table, her2st, tcga_brca, .*, demo, but got 'her2ts'.*mean her2st\?"
    ):
        import_dataset("her2ts", tmp_path)
    with pytest.raises(ManifestError, match="Import any other data with 'table' or 'folder'"):
        import_dataset("xyz", tmp_path)


@pytest.mark.parametrize("name", list(IMPORTERS))
def test_an_option_that_an_importer_does_not_take_is_refused_by_name(tmp_path, name):
    with pytest.raises(ConfigError, match=f"options that the importer {name} takes, but got 'colour'"):
        import_dataset(name, tmp_path, colour="pink")


# folder


def test_folders_are_classes_at_any_depth_and_in_any_allowed_kind(tmp_path):
    root = tmp_path / "tiles"
    for name in ("b/1.png", "b/deep/er/2.PNG", "a c/3.jpg", "a c/4.webp"):
        png(root / name)
    png(root / "loose.png")
    png(root / "a c" / "._3.png")
    png(root / ".ipynb_checkpoints" / "5.png")
    (root / "b" / "notes.txt").write_text("x")
    (root / "empty").mkdir()
    made = import_dataset("folder", root, mpp=0.25)
    assert dict(zip(made.frame["path"], made.frame["label"], strict=True)) == {
        "b/1.png": "b",
        "b/deep/er/2.PNG": "b",
        "a c/3.jpg": "a c",
        "a c/4.webp": "a c",
    }
    assert made.classes == ("a c", "b")
    assert set(made.frame["mpp"]) == {0.25}
    assert set(made.frame["source"]) == {"tiles"}
    assert not made.patients_known
    assert made.missing_files() == []


def test_folders_with_the_names_of_a_known_scheme_get_that_scheme(tmp_path):
    for label in ("positive", "negative", "equivocal"):
        png(tmp_path / label / "1.png")
    made = import_dataset("folder", tmp_path, source="mine")
    assert made.scheme is SCHEMES["paper3"]
    assert set(made.frame["source"]) == {"mine"}
    assert made.frame["mpp"].isna().all()


def test_too_few_class_folders_are_refused(tmp_path):
    with pytest.raises(ManifestError, match=r"Expected at least two folders of images.*no such folder"):
        import_dataset("folder", tmp_path / "nowhere")
    png(tmp_path / "only" / "1.png")
    with pytest.raises(ManifestError, match=r"one a class, but got 1 .*Put each class's images"):
        import_dataset("folder", tmp_path)


@needs_data
def test_the_real_tissue_tiles():
    made = import_dataset("folder", REAL / "tissue_tiles", mpp=0.25)
    assert len(made) == 5258
    assert len(made.classes) == 12
    assert set(made.classes) == {p.name for p in (REAL / "tissue_tiles").iterdir() if p.is_dir()}
    assert made.frame["patch_id"].is_unique
    assert not made.patients_known
    split = split_manifest(made, "patch_random")
    assert len(split_warnings(made, split, "patch_random")) == 2
    assert PatchReader(made)(made.frame["patch_id"].iloc[0]).shape == (150, 150, 3)


# table


def table_manifest(path: Path, **options):
    """Of tables whose images do not exist; test_folders.py has the refusal of missing files."""
    return import_dataset("table", path, allow_missing=9, **options)


def write_table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_one_s_own_names_is_mapped(tmp_path):
    table = write_table(
        tmp_path / "mine.csv",
        "File,Case,HER2 Expression,Resolution,Age\nx/1.png,007,0,0.5,50\n"
        "x/2.png,07,1+,,60\nx/3.png,7,2+,0.25,70\nx/4.png,8,3+,1,80\n",
    )
    made = table_manifest(
        table, columns={"path": "File", "patient_id": "Case", "her2_ihc": "HER2 Expression", "mpp": "Resolution"}
    )
    assert list(made.frame["patient_id"]) == ["007", "07", "7", "8"], "leading zeros tell patients apart"
    assert made.scheme is SCHEMES["paper3"]
    assert list(made.frame["label"]) == ["negative", "negative", "equivocal", "positive"]
    assert list(made.frame["Age"]) == [50, 60, 70, 80]
    assert made.frame["mpp"].iloc[0] == 0.5
    assert np.isnan(made.frame["mpp"].iloc[1])
    assert made.file("x/1.png") == tmp_path / "x" / "1.png"
    assert not {"File", "Case", "HER2 Expression"} & set(made.frame.columns)


def test_one_column_may_serve_twice_and_two_may_change_places(tmp_path):
    table = write_table(tmp_path / "t.csv", "path,label,case\na,1.png,p1\nb,2.png,p2\n")
    made = table_manifest(table, columns={"path": "label", "label": "path", "patient_id": "case", "slide_id": "case"})
    assert list(made.frame["path"]) == ["1.png", "2.png"]
    assert made.classes == ("a", "b")
    assert list(made.frame["patient_id"]) == list(made.frame["slide_id"]) == ["p1", "p2"]


def test_a_mapped_manifest_column_is_not_lost_to_its_second_use(tmp_path):
    table = write_table(tmp_path / "t.csv", "path,label,patient_id\n1,a,p1\n2,b,p2\n")
    made = table_manifest(table, columns={"slide_id": "patient_id"})
    assert list(made.frame["patient_id"]) == list(made.frame["slide_id"]) == ["p1", "p2"]


def test_a_mapped_column_goes_before_one_that_bears_the_name(tmp_path):
    table = write_table(tmp_path / "t.csv", "path,label,final\n1.png,x,negative\n2.png,y,positive\n")
    made = table_manifest(table, columns={"label": "final"})
    assert list(made.frame["label"]) == ["negative", "positive"]
    assert made.scheme is SCHEMES["binary"]


def test_scheme_classes_and_image_folder_can_be_given(tmp_path):
    table = write_table(tmp_path / "t.csv", "path,her2_ihc,ish\n1.png,0,unknown\n2.png,2+,positive\n")
    made = table_manifest(table, scheme="binary", images=tmp_path / "elsewhere")
    assert list(made.frame["label"]) == ["negative", "positive"]
    assert made.root == tmp_path / "elsewhere"
    table = write_table(tmp_path / "c.csv", "path,label\n1.png,x\n2.png,y\n")
    assert table_manifest(table, classes=("y", "x", "z")).classes == ("y", "x", "z")
    table = write_table(tmp_path / "i.csv", "path,label\n1,0\n2,1+\n3,2+\n4,3+\n")
    assert table_manifest(table).scheme is SCHEMES["ihc4"]


@pytest.mark.parametrize("scheme", [None, "paper3"])
def test_ihc_scores_with_0_and_1_together_follow_a_named_scheme_and_the_mapping_is_in_the_facts(tmp_path, scheme):
    table = write_table(tmp_path / "t.csv", "file;HER2;PatientID\n1.png;3+;P1\n2.png;0/1+;P2\n3.png;2+;NA\n")
    made = table_manifest(table, scheme=scheme)
    assert made.scheme.is_her2
    assert made.facts["columns_read_as"] == {"path": "file", "label": "HER2", "patient_id": "PatientID"}
    assert list(made.frame["patient_id"]) == ["P1", "P2", UNKNOWN]
    if scheme is None:
        assert made.scheme is SCHEMES["ihc3"]
        assert list(made.frame["label"]) == ["3+", "0/1+", "2+"]
        assert "labels_read_as" not in made.facts
    else:
        assert list(made.frame["label"]) == ["positive", "negative", "equivocal"]
        assert made.facts["labels_read_as"] == {"3+": "positive", "0/1+": "negative", "2+": "equivocal"}


def test_folders_named_by_ihc_score_are_a_her2_scheme_and_may_be_mapped_to_another(tmp_path):
    for name in ("IHC 0", "IHC 1+", "IHC 2+", "IHC 3+"):
        png(tmp_path / name / "1.png")
    made = import_dataset("folder", tmp_path)
    assert made.scheme is SCHEMES["ihc4"]
    assert made.facts["labels_read_as"] == {"IHC 0": "0", "IHC 1+": "1+", "IHC 2+": "2+", "IHC 3+": "3+"}
    assert set(import_dataset("folder", tmp_path, scheme="paper3").frame["label"]) == set(SCHEMES["paper3"].classes)


def test_an_excel_workbook_is_a_table(tmp_path):
    frame = pd.DataFrame({"path": ["1.png", "2.png"], "label": ["neg", "pos"], "patient_id": ["007", "008"]})
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    made = table_manifest(tmp_path / "t.xlsx")
    assert made.scheme is SCHEMES["binary"]
    assert list(made.frame["patient_id"]) == ["007", "008"]


def test_a_parquet_table_and_windows_style_paths(tmp_path):
    png(tmp_path / "img" / "1.png")
    pd.DataFrame({"path": ["img\\1.png", "img\\2.png"], "label": ["a", "b"]}).to_parquet(tmp_path / "t.parquet")
    made = table_manifest(tmp_path / "t.parquet")
    assert made.missing_files() == ["img/2.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"label": "HER2"}}, r"Expected a column 'HER2' to use as label, but got columns path, label"),
        ({"columns": {"lable": "label"}}, r"Expected a manifest column out of .*'lable'"),
        ({"scheme": "paper9"}, "a label scheme out of"),
        ({"scheme": "paper3"}, "Expected a label out of negative, equivocal, positive, but got 'a'"),
        ({"classes": ("a", "c")}, "Expected a label out of a, c, but got 'b'"),
        ({"classes": ("a",)}, "at least two different class names"),
    ],
)
def test_a_mapping_or_scheme_that_does_not_fit_is_refused(tmp_path, options, message):
    table = write_table(tmp_path / "t.csv", "path,label\n1.png,a\n2.png,b\n")
    with pytest.raises(ManifestError, match=message):
        table_manifest(table, **options)


def test_an_equivocal_case_without_ish_has_no_binary_label(tmp_path):
    table = write_table(tmp_path / "t.csv", "path,her2_ihc,ish\n1.png,0,unknown\n2.png,2+,unknown\n")
    with pytest.raises(ManifestError, match="Expected a label out of negative, positive"):
        table_manifest(table, scheme="binary")


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(TableError, match=r"Expected a CSV, Parquet or Excel file, but got no such file"):
        table_manifest(tmp_path / "none.csv")


# demo


def test_the_demo_cohort_is_written_whole_called_synthetic_and_always_the_same(tmp_path):
    spec = {"patients": 6, "patches_per_patient": 1, "px": 64, "workers": 1}
    seen = []
    made = import_dataset("demo", tmp_path / "a", progress=lambda done, total: seen.append((done, total)), **spec)
    again = import_dataset("demo", tmp_path / "b", **spec)
    assert made.content_hash() == again.content_hash()
    assert made.missing_files() == []
    assert len(made) == 6
    assert seen[-1] == (6, 6)
    assert made.facts["synthetic"] is True
    assert "nothing about tissue" in made.facts["claim"]
    assert made.frame["source"].str.contains("synthetic").all()
    assert read_manifest(made.write(tmp_path / "a" / "m.parquet")).facts == made.facts
    first = made.frame["path"].iloc[0]
    assert (tmp_path / "a" / first).read_bytes() == (tmp_path / "b" / first).read_bytes()
    with pytest.raises(ConfigError, match="`px`"):
        import_dataset("demo", tmp_path / "c", px=7)


def test_licence_and_citation_travel_with_the_manifest(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (16, 16)).save(tmp_path / name / "x.png")
    plain = import_dataset("folder", tmp_path)
    said = import_dataset("folder", tmp_path, licence="CC0", citation="Someone 2020")
    assert said.facts == {"licence": "CC0", "citation": "Someone 2020"}
    assert said.content_hash() == plain.content_hash()
    assert read_manifest(said.write(tmp_path / "m.parquet")).facts == said.facts
