"""Importers of public data sets on incomplete and mixed copies, and on tables and names that are not as documented."""

from __future__ import annotations

import pandas as pd
import public_trees as trees
import pytest
from importer_files import png
from test_importers_public import by, found, tcga

from her2core.data.importers import bcnb, import_dataset, importer_options, warwick
from her2core.data.importers.tcga_clinical import read_clinical
from her2core.errors import ConfigError, ManifestError


def said(manifest) -> str:
    return " ".join(manifest.facts.get("left_out", ()))


def sheets(path, **frames) -> None:
    with pd.ExcelWriter(path) as book:
        for name, frame in frames.items():
            frame.to_excel(book, sheet_name=name, index=False)


LEGEND = pd.DataFrame({"field": ["a", "b"], "meaning": ["x", "y"]})


# Tables of results


def test_the_documented_header_of_warwick_and_longer_names_of_columns_are_read(tmp_path):
    trees.warwick(tmp_path)
    table = pd.read_excel(tmp_path / "groundTruth.xlsx", engine="openpyxl").rename(
        columns={"HeR2 SCORE": "HeR2 SCORE (0-3)"}
    )
    sheets(tmp_path / "groundTruth.xlsx", Legend=LEGEND, Scores=table)
    made = import_dataset("warwick", tmp_path)
    assert by(made, "label") == {"01": "negative", "02": "positive", "04": "equivocal"}
    assert by(made, "her2_percent")["02"] == 95.0


def test_a_legend_sheet_ahead_of_the_clinical_table_is_passed_over(tmp_path):
    trees.bcnb(tmp_path)
    path = tmp_path / "patient-clinical-data.xlsx"
    sheets(path, Legend=LEGEND, Sheet1=pd.read_excel(path, engine="openpyxl"))
    assert len(import_dataset("bcnb", tmp_path)) == 4


def test_a_table_that_cannot_be_used_is_named_with_what_was_expected_and_found(tmp_path):
    trees.warwick(tmp_path)
    (tmp_path / "groundTruth.xlsx").unlink()
    (tmp_path / "notes.txt").write_text("one\ntwo\n")
    (tmp_path / "groundTruth.csv").write_text("CaseNo,Score\n1,2\n")
    with pytest.raises(ManifestError) as refused:
        import_dataset("warwick", tmp_path)
    assert refused.value.got == "groundTruth.csv has no column her2score, only CaseNo, Score"
    trees.bcnb(tmp_path / "n")
    path = tmp_path / "n" / "patient-clinical-data.xlsx"
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ManifestError) as refused:
        import_dataset("bcnb", tmp_path / "n")
    assert refused.value.got.startswith("patient-clinical-data.xlsx cannot be read (expected ")
    assert refused.value.got.endswith("got a ZIP archive or workbook without its end)")
    assert "_id.txt" not in refused.value.got


def test_two_columns_that_could_be_the_score_are_refused_where_they_differ(tmp_path):
    trees.warwick(tmp_path)
    (tmp_path / "groundTruth.xlsx").unlink()
    table = tmp_path / "groundTruth.csv"
    table.write_text("CaseNo,HeR2 SCORE,Her2 Score\n1,0,0\n2,3,3\n")
    assert by(import_dataset("warwick", tmp_path), "label") == {"01": "negative", "02": "positive"}
    table.write_text("CaseNo,HeR2 SCORE,Her2 Score\n1,0,3\n2,3,3\n")
    with pytest.raises(ManifestError, match="one column her2score, but got 2 that differ: HeR2 SCORE, Her2 Score"):
        import_dataset("warwick", tmp_path)


def test_cells_that_state_no_result_are_findings(tmp_path):
    trees.warwick(tmp_path)
    (tmp_path / "groundTruth.xlsx").unlink()
    (tmp_path / "groundTruth.csv").write_text("CaseNo,HeR2 SCORE\nCase 1,0\n02,7\nx4,2\n4b,1\n")
    made = import_dataset("warwick", tmp_path)
    assert by(made, "label") == {"01": "negative"}
    assert found(made, "value not understood") == [
        ("x4", "CaseNo 'x4'"),
        ("4b", "CaseNo '4b'"),
        ("02", "HeR2 SCORE '7'"),
    ]
    trees.bcnb(tmp_path / "n")
    path = tmp_path / "n" / "patient-clinical-data.xlsx"
    table = pd.read_excel(path, dtype=str, engine="openpyxl")
    table.loc[0, "HER2 Expression"] = "5+"
    table.to_excel(path, index=False)
    made = import_dataset("bcnb", tmp_path / "n")
    assert found(made, "value not understood") == [(table.loc[0, "Patient ID"], "HER2 Expression '5+'")]


# Cases and names that contradict each other


def test_a_herohe_case_of_no_table_keeps_the_parts_of_the_others(tmp_path):
    trees.herohe(tmp_path)
    trees.touch(tmp_path, "positive/55.mrxs", "positive/55/Slidedat.ini")
    made = import_dataset("herohe", tmp_path)
    assert found(made, "in no table") == [("55", "result positive by its folder")]
    assert by(made, "published_part")["2"] == "train"
    assert "split" not in made.frame
    assert "training cases: 3 of 360" in made.facts["partial"]


@pytest.mark.parametrize("table", [False, True])
def test_a_herohe_case_in_folders_of_both_results_has_none_without_a_table(tmp_path, table):
    trees.touch(tmp_path, "negative/1.mrxs", "positive/1.mrxs", "positive/2.mrxs")
    if table:
        (tmp_path / "HEROHE_TrainGroundTruth.csv").write_text("caseID,HER2status\n1,Positive\n2,Positive\n")
    made = import_dataset("herohe", tmp_path)
    assert any("folders negative and positive" in detail for _, detail in found(made, "conflict"))
    assert by(made, "label") == ({"1": "positive", "2": "positive"} if table else {"2": "positive"})


def test_bci_patches_of_one_number_and_several_scores_have_no_label(tmp_path):
    root = trees.bci(tmp_path)
    trees.touch(root, "BCI_dataset/HE/train/00001_train_0.png", "BCI_dataset/HE/train/scan.png")
    made = import_dataset("bci", root)
    assert not made.frame["path"].str.contains("00001").any()
    conflicts = made.findings.loc[made.findings["kind"] == "conflict", ["path", "detail"]].values.tolist()
    assert [path.rsplit("/", 1)[1] for path, _ in conflicts] == ["00001_train_0.png", "00001_train_3+.png"]
    assert all("scores 0, 3+" in detail for _, detail in conflicts)
    assert "1 image was not read" in said(made)
    assert "HE/train/scan.png" in said(made)
    assert not any("unknown (" in sentence for sentence in made.facts["found"])


# Files that are there and not read


def test_tcga_takes_slides_where_there_are_thumbnails_too_and_counts_what_it_did_not_read(tmp_path):
    root = tcga(tmp_path)
    thumbnail = root / "x" / "TCGA-A8-0001-01Z-00-DX1.png"
    thumbnail.write_bytes(b"x")
    made = import_dataset("tcga_brca", root)
    assert set(made.frame["patient_id"]) == {"TCGA-A8-0001", "TCGA-A8-0002"}
    assert "1 plain image was not read; read it with --set images=fields." in made.facts["left_out"]
    second = root / "clinical" / "c3"
    second.mkdir()
    (second / "clinical.txt").write_text(next(root.glob("clinical/a1-b2/*.txt")).read_text())
    with pytest.raises(ManifestError, match=r"clinical/a1-b2/nation.*, clinical/c3/clinical.txt"):
        import_dataset("tcga_brca", root)


def test_tcga_missing_annotations_are_not_left_out(tmp_path):
    (tmp_path / "xml").mkdir()
    made = import_dataset("tcga_brca", tcga(tmp_path / "tcga"), annotations=tmp_path / "xml")
    assert "3 slides: frozen or normal tissue, or a second copy (findings)." in made.facts["left_out"]
    assert made.facts["found"] == ["4 slides without annotation."]


def test_yale_names_the_other_cohort_and_reads_the_cohort_s_own_folder(tmp_path):
    root = trees.yale(tmp_path)
    made = import_dataset("yale", root)
    assert "3 slides of the trastuzumab response cohort were not read; read them with --set scheme=response." in said(
        made
    )
    assert "--set annotations=" in said(made)
    own = next(path for path in root.rglob("Yale_trastuzumab_response_cohort") if path.is_dir())
    response = import_dataset("yale", own, scheme="response")
    assert by(response, "label") == {"Patient_1": "responder", "Patient_10": "non-responder"}
    with pytest.raises(ManifestError, match="but got 3 slides of the trastuzumab response cohort were not read"):
        import_dataset("yale", own)


def test_yale_patients_are_matched_as_words_and_numbers_and_counted_once(tmp_path):
    response = tmp_path / "Yale_trastuzumab_response_cohort"
    trees.touch(response, "SVS/Case_1.svs", "SVS/Case_2.svs", "SVS/Case_3.svs", "SVS/Case_12.svs")
    rows = [("Patient", "Responder"), ("CASE 01", "yes"), ("case_02", "no"), ("Case_3", "maybe")]
    trees.strict_workbook(response / "metadata_clean.xlsx", rows)
    made = import_dataset("yale", tmp_path, scheme="response")
    assert by(made, "label") == {"Case_1": "responder", "Case_2": "non-responder"}
    assert found(made, "value not understood") == [("Case_3", "Responder 'maybe'")]
    assert [patient for patient, _ in found(made, "no label")] == ["Case_12", "Case_3"]


def test_bcnb_says_what_it_did_not_read_of_slides_and_patches(tmp_path):
    trees.bcnb(tmp_path)
    trees.touch(tmp_path, "patches/40/40_0_0_0.jpg", "WSIs/weird.jpg")
    made = import_dataset("bcnb", tmp_path)
    assert "9 patches were not read; read them with --set images=patches." in made.facts["left_out"]
    assert "WSIs/weird.jpg" in said(made)
    assert found(made, "missing file") == [("40", "no slide; 1 patch was not read; read it with --set images=patches")]
    patches = import_dataset("bcnb", tmp_path, images="patches")
    assert "4 slides were not read; read them with --set images=slides." in patches.facts["left_out"]


def test_more_cases_than_published_and_images_without_content_are_said(tmp_path):
    trees.warwick(tmp_path)
    trees.touch(tmp_path, *[f"more/{number}_HE.ndpi" for number in range(100, 190)])
    made = import_dataset("warwick", tmp_path)
    assert made.facts["beyond"] == ["cases with an H&E slide: 94, published 86"]
    (tmp_path / "a" / "01_HE.ndpi").write_bytes(b"")
    with pytest.raises(ManifestError, match=r"1 missing or empty: a/01_HE.ndpi \(empty\)"):
        import_dataset("warwick", tmp_path)
    assert import_dataset("warwick", tmp_path, allow_missing=1).facts["missing_at_import"] == 1


# Command line


def test_options_are_listed_on_request_and_where_one_is_wrong(her2, tmp_path):
    assert importer_options("bcnb")["images"] == '"auto", "slides", "patches"; default auto'
    with pytest.raises(ConfigError, match="Its options: scheme, mpp, part"):
        import_dataset("herohe", tmp_path, **{"data.scheme": "final"})
    code, out, _ = her2("data", "import", "--options")
    assert code == 0
    assert "min_tumour_cells=" in out
    assert "progress=" not in out


def test_places_that_cannot_be_written_leave_nothing(her2, tmp_path):
    root = trees.bci(tmp_path / "data")
    (tmp_path / "file").write_text("x")
    out = tmp_path / "m.parquet"
    for place in (tmp_path / "f.xyz", tmp_path / "file" / "f.csv", tmp_path / "data"):
        code, _, err = her2("data", "import", "bci", root, "--out", out, "--findings", place)
        assert code == 1
        assert "--findings" in err
        assert not out.exists()
    code, text, _ = her2("data", "import", "warwick", trees.warwick(tmp_path / "w"), "--out", out)
    assert code == 0
    assert "m.parquet: 3 whole slides, 3 patients" in text


def test_numbers_of_cases_stored_as_decimals_are_still_those_of_the_files(tmp_path):
    trees.touch(tmp_path / "w", "01_HE.ndpi", "02_HE.ndpi")
    (tmp_path / "w" / "groundTruth.csv").write_text("CaseNo,HeR2 SCORE\n1.0,0.0\ncase 2,3\n")
    assert warwick.to_manifest(tmp_path / "w").frame["her2_ihc"].tolist() == ["0", "3+"]
    root = trees.bcnb(tmp_path / "b")
    rows = ["1.0,0", "2.0,2+", "3,2+", "12,3+"]
    (root / "patient-clinical-data.xlsx").unlink()
    (root / "patient-clinical-data.csv").write_text("\n".join(["Patient ID,HER2 Expression", *rows]))
    assert bcnb.to_manifest(root).frame["patient_id"].tolist() == ["1", "2", "3", "12"]


def test_bcnb_parts_and_annotations_are_found_in_any_case(tmp_path):
    root = trees.bcnb(tmp_path)
    for path in [*root.rglob("*_id.txt"), *root.rglob("*.json")]:
        path.rename(path.with_name(path.name.replace("_id.txt", "_ID.TXT").replace(".json", ".Json")))
    frame = bcnb.to_manifest(root).frame
    assert frame["split"].tolist() == ["train", "train", "val", "test"]
    assert frame["regions"].tolist() == [f"WSIs/{patient}.Json" for patient in (1, 2, 3, 12)]


def test_tcga_rows_twice_are_one_and_rows_that_differ_are_refused(tmp_path):
    header = "bcr_patient_barcode\ther2_status_by_ihc\ther2_ihc_score\ther2_fish_status\n"
    row = "TCGA-A8-A06N\tNegative\t1+\tNegative\n"
    table = tmp_path / "clinical.txt"
    table.write_text(header + row + row)
    assert read_clinical(table).index.tolist() == ["TCGA-A8-A06N"]
    table.write_text(header + row + row.replace("1+", "3+"))
    with pytest.raises(ManifestError, match="TCGA-A8-A06N with rows that differ"):
        read_clinical(table)


def test_an_import_replaces_no_file_but_an_earlier_import_s(her2, tmp_path):
    png(tmp_path / "a.png"), png(tmp_path / "b.png")
    own = tmp_path / "own.csv"
    own.write_text("path,label\na.png,negative\nb.png,positive\n")
    words = ("data", "import", "table", own, "--images", tmp_path, "--out")
    other = tmp_path / "other.csv"
    other.write_text("whatever\n1\n")
    for out, more in ((own, ()), (other, ()), (tmp_path / "m.csv", ("--findings", other))):
        before = {path: path.read_bytes() for path in tmp_path.glob("*.*")}
        code, _, err = her2(*words, out, *more)
        assert (code, "nothing was written" in err) == (1, True)
        assert {path: path.read_bytes() for path in tmp_path.glob("*.*")} == before
    assert [her2(*words, tmp_path / "m.csv")[0] for _ in range(2)] == [0, 0]
    code, _, err = her2("data", "split", tmp_path / "m.csv", "--out", tmp_path / "m.csv")
    assert code == 1
