"""Importers: the layouts that they read, and refusal of all others by file and row."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from her2core.data.importers import IMPORTERS, import_dataset
from her2core.data.manifest import UNKNOWN, read_manifest
from her2core.data.patches import PatchReader
from her2core.data.splits import split_manifest, split_warnings
from her2core.errors import ConfigError, ImageError, ManifestError, TableError
from her2core.io.images import image_size
from her2core.labels import SCHEMES

REAL = Path(__file__).resolve().parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real images are not at {REAL}")


def png(path: Path, side=8, colour=(200, 100, 150)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), colour).save(path)
    return path


def test_an_unknown_importer_offers_near_matches_or_the_general_ones(tmp_path):
    with pytest.raises(
        ManifestError, match=r"an importer out of folder, table, her2st, demo, but got 'her2ts'.*mean her2st\?"
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


# her2st


def fake_her2st(root: Path, sections=("A1", "A2", "A3"), *, grid=6, side=400, pitch=60) -> Path:
    """The data set's own layout with ``grid`` x ``grid`` spots a section, ``pitch`` px apart, known ERBB2 shares."""
    for number, name in enumerate(sections):
        png(root / "ST-imgs" / "A" / name / f"{name}.jpg", side)
        lines, counts = [], [["", "GAPDH", "ERBB2", "KRT5"]]
        for i in range(grid):
            for j in range(grid):
                x, y = i + 1, j + 1
                pixel = (40 + pitch * i + 0.25, 40 + pitch * j + 0.25)
                lines.append([x, y, x + 0.01, y - 0.01, *pixel, 0 if (i, j) == (5, 5) else 1])
                erbb2 = 10 * (number + 1) + i * grid + j
                counts.append([f"{x}x{y}", 10_000 - erbb2 - 7, erbb2, 7])
        counts.append(["99x99", 1, 1, 1])  # a spot under no tissue
        counts[1] = ["1x1", 0, 0, 0]  # a spot without a single count
        write_tsv(
            root / "ST-spotfiles" / f"{name}_selection.tsv",
            [["x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected"], *lines],
        )
        write_tsv(root / "ST-cnts" / f"{name}.tsv.gz", counts)
    return root


def write_tsv(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="") as handle:
        csv.writer(handle, delimiter="\t").writerows(rows)


def test_her2st_reads_its_layout(tmp_path):
    made = import_dataset("her2st", fake_her2st(tmp_path), window_px=60)
    frame = made.frame.set_index("patch_id")
    # 36 spots a section, less the one not selected and the one without counts.
    assert len(made) == 3 * 34
    assert frame.groupby("slide_id").size().eq(34).all()
    assert "A1-1x1" not in frame.index
    assert "A1-6x6" not in frame.index
    assert "A1-99x99" not in frame.index
    assert set(frame["patient_id"]) == {"her2st-A"}, "sections of one tumour are one patient"
    row = frame.loc["A2-3x2"]
    assert row["erbb2_per_10k"] == pytest.approx(20 + 2 * 6 + 1)
    assert (row["x"], row["y"], row["width"], row["height"]) == (160 - 30, 100 - 30, 60, 60)
    assert row["path"] == "ST-imgs/A/A2/A2.jpg"
    assert row["mpp"] == pytest.approx(200 / 60, abs=1e-3)
    assert made.scheme is SCHEMES["erbb2_level"]
    assert not made.scheme.is_her2
    assert frame["her2_ihc"].isna().all()
    assert set(frame["ish"]) == {UNKNOWN}
    assert PatchReader(made)("A2-3x2").shape == (60, 60, 3)


def test_her2st_takes_thresholds_from_the_training_sections_only(tmp_path):
    root = fake_her2st(tmp_path)
    made = import_dataset("her2st", root, window_px=60, test_sections=("A1",))
    frame = made.frame
    trained = frame[frame["slide_id"] != "A1"]
    low, high = made.facts["erbb2_tertiles_per_10k"]
    assert (low, high) == pytest.approx(tuple(np.quantile(trained["erbb2_per_10k"], [1 / 3, 2 / 3])))
    assert made.facts["thresholds_from"] == ["A2", "A3"]
    assert made.facts["test_sections"] == ["A1"]
    shares = trained["label"].value_counts(normalize=True)
    assert shares.between(0.31, 0.36).all()
    assert (frame["label"] == "high").sum() == (frame["erbb2_per_10k"] >= high).sum()
    assert (frame["label"] == "low").sum() == (frame["erbb2_per_10k"] < low).sum()
    other = import_dataset("her2st", root, window_px=60, test_sections=("A3",))
    assert other.facts["erbb2_tertiles_per_10k"] != made.facts["erbb2_tertiles_per_10k"]


def test_her2st_keeps_the_last_section_for_testing_and_a_strip_of_each_other_for_validation(tmp_path):
    made = import_dataset("her2st", fake_her2st(tmp_path), window_px=60, val_share=0.3)
    split = split_manifest(made, "predefined")["split"]
    frame = made.frame.assign(split=split)
    assert set(frame.loc[frame["slide_id"] == "A3", "split"]) == {"test"}
    assert "test" not in set(frame.loc[frame["slide_id"] != "A3", "split"])
    for _, section in frame[frame["slide_id"] != "A3"].groupby("slide_id"):
        assert section.loc[section["split"] == "val", "y"].min() > section.loc[section["split"] == "train", "y"].max()
    assert len(split_warnings(made, split_manifest(made, "predefined"), "predefined")) == 1


def test_her2st_leaves_out_spots_whose_window_crosses_the_edge(tmp_path):
    made = import_dataset("her2st", fake_her2st(tmp_path), window_px=100)
    assert made.frame[["x", "y"]].to_numpy().min() >= 0
    assert (made.frame["x"] + made.frame["width"]).max() <= 400
    assert not made.frame["patch_id"].str.contains("-1x").any()
    assert len(made) == 3 * 24


def drop(path):
    return lambda root: (root / path).unlink()


def put(path, data):
    return lambda root: (root / path).write_bytes(data)


def cut(path, size):
    return lambda root: (root / path).write_bytes((root / path).read_bytes()[:size])


def one_section(root):
    for name in ("A1", "A2"):
        (root / "ST-cnts" / f"{name}.tsv.gz").unlink()


def other_gene(root):
    write_tsv(root / "ST-cnts" / "A2.tsv.gz", [["", "GAPDH"], ["2x2", 7]])


@pytest.mark.parametrize(
    ("fault", "options", "message"),
    [
        (one_section, {}, "at least two sections in ST-cnts.*got 1"),
        (drop("ST-imgs/A/A2/A2.jpg"), {}, "Expected one image and one spot file.*got 0 images, spot file there"),
        (drop("ST-spotfiles/A2_selection.tsv"), {}, "got 1 images, spot file missing.*section A2"),
        (lambda root: png(root / "ST-imgs/B/A2/2.jpg"), {}, "got 2 images.*section A2"),
        (put("ST-spotfiles/A2_selection.tsv", b"x\ty\n1\t1\n"), {}, "Expected columns .*got x, y"),
        (put("ST-spotfiles/A2_selection.tsv", b""), {}, "got an empty file.*A2_selection"),
        (other_gene, {}, "Expected a column ERBB2"),
        (cut("ST-cnts/A2.tsv.gz", 60), {}, "Expected a gzipped table of counts"),
        (put("ST-cnts/A2.tsv.gz", b"plain text"), {}, "Expected a gzipped table of counts"),
        (put("ST-cnts/A2.tsv.gz", gzip.compress(b"")), {}, "Expected a column ERBB2"),
        (put("ST-cnts/A2.tsv.gz", gzip.compress(b"\tERBB2\n1x1\tmany\n")), {}, "Expected a gzipped table.*many"),
        (None, {"window_px": 400}, "Expected spots at least 200 px inside the image, but got none"),
        (None, {"test_sections": ("A9",)}, "test sections out of A1, A2, A3, leaving some to train on, but got A9"),
        (None, {"test_sections": ("A1", "A2", "A3")}, "leaving some to train on"),
    ],
)
def test_her2st_refuses_an_incomplete_or_damaged_folder_by_section_or_file(tmp_path, fault, options, message):
    root = fake_her2st(tmp_path)
    if fault:
        fault(root)
    with pytest.raises((ManifestError, TableError), match=message):
        import_dataset("her2st", root, **{"window_px": 60, **options})


def test_her2st_refuses_another_folder_and_a_broken_image(tmp_path):
    with pytest.raises(ManifestError, match="the one with ST-imgs, ST-cnts and ST-spotfiles"):
        import_dataset("her2st", tmp_path / "nowhere")
    root = fake_her2st(tmp_path)
    (root / "ST-imgs/A/A2/A2.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"A2\.jpg"):
        import_dataset("her2st", root, window_px=60)


@pytest.fixture(scope="module")
def her2st():
    return import_dataset("her2st", REAL / "her2st" / "data")


@needs_data
def test_the_real_her2st_sections(her2st):
    frame = her2st.frame
    assert len(frame) == 732
    assert frame.groupby("slide_id").size().to_dict() == {"C2": 187, "C3": 180, "C4": 184, "C5": 181}
    assert set(frame["patient_id"]) == {"her2st-C"}
    assert set(frame["label"]) == {"low", "middle", "high"}
    assert her2st.scheme is SCHEMES["erbb2_level"]
    assert not her2st.scheme.is_her2
    assert frame["her2_ihc"].isna().all()
    assert her2st.facts["thresholds_from"] == ["C2", "C3", "C4"]
    assert her2st.facts["test_sections"] == ["C5"]
    assert "not a HER2 class" in her2st.facts["claim"]
    assert her2st.facts["licence"] == "CC BY 4.0"
    assert frame["mpp"].between(0.68, 0.70).all()
    assert frame.groupby("split").size()["test"] == 181


@needs_data
def test_the_real_windows_lie_inside_their_images(her2st):
    for path, rows in her2st.frame.groupby("path"):
        width, height = image_size(her2st.file(path))
        assert rows[["x", "y"]].to_numpy().min() >= 0
        assert (rows["x"] + rows["width"]).max() <= width
        assert (rows["y"] + rows["height"]).max() <= height


@needs_data
def test_the_real_counts_give_the_tertiles_of_the_readme(her2st):
    """Counts read by pandas, the way the README says, over every selected spot of C2 to C5: about 73 and 95."""
    root, found, levels = REAL / "her2st" / "data", [], {}
    for name in ("C2", "C3", "C4", "C5"):
        counts = pd.read_csv(root / "ST-cnts" / f"{name}.tsv.gz", sep="\t", index_col=0)
        spots = pd.read_csv(root / "ST-spotfiles" / f"{name}_selection.tsv", sep="\t").query("selected == 1")
        counts = counts.loc[
            counts.index.intersection([f"{x}x{y}" for x, y in zip(spots["x"], spots["y"], strict=True)])
        ]
        share = 1e4 * counts["ERBB2"] / counts.sum(axis=1)
        found.append(share)
        levels |= {f"{name}-{spot}": value for spot, value in share.items()}
    low, high = np.quantile(pd.concat(found), [1 / 3, 2 / 3])
    assert round(low) == 73
    assert round(high) == 95
    mine = her2st.frame.set_index("patch_id")["erbb2_per_10k"]
    np.testing.assert_allclose(mine, [levels[p] for p in mine.index])
    expected = np.quantile([levels[p] for p in mine.index if not p.startswith("C5")], [1 / 3, 2 / 3])
    np.testing.assert_allclose(her2st.facts["erbb2_tertiles_per_10k"], expected, atol=1e-5)


def test_licence_and_citation_travel_with_the_manifest(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (16, 16)).save(tmp_path / name / "x.png")
    plain = import_dataset("folder", tmp_path)
    said = import_dataset("folder", tmp_path, licence="CC0", citation="Someone 2020")
    assert said.facts == {"licence": "CC0", "citation": "Someone 2020"}
    assert said.content_hash() == plain.content_hash()
    assert read_manifest(said.write(tmp_path / "m.parquet")).facts == said.facts
