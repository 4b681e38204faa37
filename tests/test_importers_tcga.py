"""Importer of TCGA-BRCA: a folder in its layout, windows and cells, refusals, and the published fields."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from importer_files import REAL, needs_data, png

from her2core.data.importers import import_dataset
from her2core.data.importers.tcga_brca import validate
from her2core.data.manifest import read_manifest
from her2core.data.splits import split_manifest
from her2core.errors import ManifestError

HEADER = (
    "race\tbcr_patient_barcode\tage_at_diagnosis\ther2_fish_status\ther2_ihc_score\ther2_status_by_ihc"
    "\ter_status_by_ihc\tpr_status_by_ihc\tother"
)
PATIENTS = {  # age, FISH, score, status
    "TCGA-A8-0001": ("49", "[Not Evaluated]", "1+", "Negative"),
    "TCGA-A8-0002": ("50", "Positive", "0", "Negative"),
    "TCGA-A7-0003": ("65", "Negative", "2+", "Equivocal"),
    "TCGA-A7-0004": ("64", "[Not Available]", "2+", "Equivocal"),
    "TCGA-A8-0005": ("[Not Available]", "Negative", "2+", "Positive"),
    "TCGA-A8-0006": ("80", "Indeterminate", "[Not Available]", "[Not Evaluated]"),
}


def folder(root: Path, side: int = 100) -> Path:
    lines = [HEADER, HEADER, "\t".join(["CDE_ID:1"] * 9)]
    for name, (age, fish, score, status) in PATIENTS.items():
        lines.append("\t".join(["WHITE", name, age, fish, score, status, "Positive", "Indeterminate", "x"]))
        png(root / "fields" / f"{name}-01Z-00-DX1_11_21_200_200_1.0.png", side)
    (root / "clinical.txt").write_text("\n".join(lines) + "\n")
    return root


def test_ethnicity_is_kept_where_the_table_has_it(tmp_path):
    root = folder(tmp_path)
    lines = (root / "clinical.txt").read_text().splitlines()
    cells = ["ethnicity", "ethnicity", "CDE_ID:1", "HISPANIC OR LATINO", "[Not Available]", *["NOT HISPANIC"] * 4]
    (root / "clinical.txt").write_text("\n".join(f"{a}\t{b}" for a, b in zip(lines, cells, strict=True)))
    made = import_dataset("tcga_brca", root).frame.drop_duplicates("patient_id").set_index("patient_id")
    found = made["ethnicity"].to_dict()
    assert [found[name] for name in list(PATIENTS)[:3]] == ["hispanic or latino", "unknown", "not hispanic"]


def labels(manifest) -> dict[str, str]:
    return dict(zip(manifest.frame["patient_id"].str[-1], manifest.frame["label"], strict=True))


def test_each_scheme_takes_its_own_column(tmp_path):
    root = folder(tmp_path)
    neg, eq, pos = "negative", "equivocal", "positive"
    assert labels(import_dataset("tcga_brca", root)) == {"1": neg, "2": neg, "3": eq, "4": eq, "5": pos}
    scores = labels(import_dataset("tcga_brca", root, scheme="ihc_score"))
    assert scores == {"1": "1+", "2": "0", "3": "2+", "4": "2+", "5": "2+"}
    final = import_dataset("tcga_brca", root, scheme="final")
    assert labels(final) == {"1": neg, "2": pos, "3": neg, "5": neg}  # an equivocal status without FISH has no label
    assert final.scheme.name == "final"
    positive = labels(import_dataset("tcga_brca", root, scheme="ihc_positive"))
    assert positive == {**dict.fromkeys("1234", "not positive"), "5": "positive"}
    with pytest.raises(ManifestError, match="a scheme out of ihc_status, .*, final, but got 'paper3'"):
        import_dataset("tcga_brca", root, scheme="paper3")


def test_sites_are_kept_by_their_codes(tmp_path):
    root = folder(tmp_path)
    one = import_dataset("tcga_brca", root, sites="a8", scheme="ihc_positive")
    assert labels(one) == {"1": "not positive", "2": "not positive", "5": "positive"}
    assert "2 images of other sites than a8." in one.facts["left_out"]
    assert labels(import_dataset("tcga_brca", root, sites="A7, A8")) == labels(import_dataset("tcga_brca", root))
    with pytest.raises(ManifestError, match="sites out of A7, A8, but got XX"):
        import_dataset("tcga_brca", root, sites="A7,XX")


def test_barcode_and_table_give_patient_slide_site_scale_and_columns(tmp_path):
    made = import_dataset("tcga_brca", folder(tmp_path))
    row = made.frame.set_index("patient_id").loc["TCGA-A7-0003"]
    assert (row["slide_id"], row["site"], row["mpp"]) == ("TCGA-A7-0003-01Z-00-DX1", "A7", 0.5)  # 200 px of 0.25 in 100
    assert (row["her2_ihc"], row["ish"], row["her2_status_by_ihc"], row["her2_final"]) == (
        "2+",
        "negative",
        "equivocal",
        "negative",
    )
    ages = dict(zip(made.frame["patient_id"].str[-1], made.frame["age_group"], strict=True))
    assert ages == {"1": "under 50", "2": "50 to 64", "3": "65 and over", "4": "50 to 64", "5": "unknown"}
    assert set(made.frame["race"]) == {"white"}
    assert "ethnicity" not in made.frame  # the table has none
    assert (set(made.frame["er"]), set(made.frame["pr"])) == ({"positive"}, {"unknown"})


def test_contradictions_are_listed_and_not_resolved(tmp_path):
    made = import_dataset("tcga_brca", folder(tmp_path))
    patients = made.frame.drop_duplicates("patient_id").set_index("patient_id")["conflict"]
    table = patients[patients != ""].to_dict()
    assert table == {
        "TCGA-A8-0002": "IHC status negative with FISH positive",
        "TCGA-A8-0005": "IHC status positive with score 2+; IHC status positive with FISH negative",
    }
    assert labels(made)["5"] == "positive"
    parts = [said for both in table.values() for said in both.split("; ")]
    assert made.facts["conflicts"] == dict.fromkeys(parts, 1)
    made.write(tmp_path / "m.parquet")
    again = read_manifest(tmp_path / "m.parquet")
    assert (again.scheme.name, again.classes) == ("ihc_status", made.classes)


def test_windows_of_a_field_stay_together_and_count_their_cells(tmp_path):
    root = folder(tmp_path)
    for image in sorted((root / "fields").iterdir()):
        path = root / "cells" / f"{image.stem}_gt_class_coords.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("0 59 2\n5 60 2\n99 99 2\n50 50 1\n")  # row, column, class
    made = import_dataset("tcga_brca", root, window_um=30.0, overlap=0.25, min_tumour_cells=1)
    one = made.frame[made.frame["patient_id"] == "TCGA-A8-0001"]
    # 60 px of 0.5 microns, starts 0 and 40; the window at x 0, y 40 holds no tumour cell.
    assert one[["x", "y", "width", "height", "tumour_cells", "lymphocytes"]].to_numpy().tolist() == [
        [0, 0, 60, 60, 1, 1],
        [40, 0, 60, 60, 2, 1],
        [40, 40, 60, 60, 1, 1],
    ]
    assert made.frame.groupby("field_id")["slide_id"].nunique().eq(1).all()
    assert "fewer than 1 tumour cells" in " ".join(made.facts["left_out"])
    (root / "cells" / path.name).unlink()
    with pytest.raises(ManifestError, match="gt_class_coords.txt, but got no such file"):
        import_dataset("tcga_brca", root, min_tumour_cells=1)


def test_what_does_not_fit_is_refused_with_a_fix(tmp_path):
    with pytest.raises(ManifestError, match="TCGA barcode"):
        import_dataset("tcga_brca", tmp_path)
    root = folder(tmp_path / "a")
    for options in ({"window_um": 0}, {"overlap": 1}, {"min_tumour_cells": -1}):
        with pytest.raises(ManifestError, match="window_um above 0"):
            import_dataset("tcga_brca", root, **options)
    with pytest.raises(ManifestError, match="at least 120 px a side, but got 100 x 100"):
        import_dataset("tcga_brca", root, window_um=60.0)
    table = root / "clinical.txt"
    text = table.read_text()
    table.write_text(text.replace("her2_fish_status", "fish"))
    with pytest.raises(ManifestError, match="none named her2_fish_status"):
        import_dataset("tcga_brca", root)
    table.write_text(text.replace("age_at_diagnosis", "age").replace("er_status_by_ihc", "er"))
    bare = import_dataset("tcga_brca", root).frame  # releases differ in the columns beside HER2
    assert set(bare["age_group"]) == set(bare["er"]) == {"unknown"}
    table.unlink()
    with pytest.raises(ManifestError, match="one clinical table .* but got none"):
        import_dataset("tcga_brca", root)


@needs_data
def test_the_published_fields_have_the_published_counts(tmp_path):
    root = REAL / "tcga_brca"
    made = import_dataset("tcga_brca", root)
    validate(made)
    frame = made.frame
    assert frame["label"].value_counts().to_dict() == {"negative": 66, "equivocal": 17, "positive": 24}
    patients = frame.drop_duplicates("patient_id")
    assert patients["label"].value_counts().to_dict() == {"negative": 63, "equivocal": 13, "positive": 24}
    assert set(patients.loc[patients["label"] == "equivocal", "site"]) == {"A7", "S3"}
    assert made.facts["left_out"][0] == "13 patients (13 rows): no ihc_status."  # of 113 patients and 120 fields
    # FISH over IHC, and scores, of all 113 patients, as the data's README counts them.
    final = import_dataset("tcga_brca", root, scheme="final").frame.drop_duplicates("patient_id")
    assert final["label"].value_counts().to_dict() == {"negative": 84, "positive": 25}
    scores = import_dataset("tcga_brca", root, scheme="ihc_score").frame.drop_duplicates("patient_id")
    assert scores["label"].value_counts().to_dict() == {"1+": 34, "2+": 21, "3+": 10, "0": 4}
    a8 = import_dataset("tcga_brca", root, scheme="ihc_positive", sites="A8").frame.drop_duplicates("patient_id")
    assert a8["label"].value_counts().to_dict() == {"not positive": 33, "positive": 14}
    assert patients["conflict"].value_counts()["IHC status positive with score 2+"] == 9
    assert frame["mpp"].between(0.499, 0.502).all()
    with pytest.raises(ManifestError, match="Use the published fields unchanged"):
        validate(made.subset(frame["patch_id"][1:]))


@needs_data
def test_no_window_of_a_published_patient_is_in_two_parts():
    made = import_dataset("tcga_brca", REAL / "tcga_brca", window_um=112.0, overlap=0.4, min_tumour_cells=5)
    split = split_manifest(made, unit="patient", seed=0)
    parts = pd.Series(split["split"].to_numpy(), index=split["patch_id"])
    assert parts.groupby(made.frame.set_index("patch_id")["patient_id"]).nunique().eq(1).all()
