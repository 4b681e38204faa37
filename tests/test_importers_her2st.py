"""Importer of the her2st sections: a folder in its layout, damage to it, and the real sections."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from importer_files import REAL, needs_data, png

from her2core.data.importers import import_dataset
from her2core.data.manifest import UNKNOWN
from her2core.data.patches import PatchReader
from her2core.data.splits import split_manifest, split_warnings
from her2core.errors import ImageError, ManifestError, TableError
from her2core.io.images import image_size
from her2core.labels import SCHEMES

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
