"""Importers of public data sets, on trees in the documented layout; their cases, columns, findings and counts."""

from __future__ import annotations

import importlib
import json

import pandas as pd
import public_trees as trees
import pytest
from click.testing import CliRunner
from importer_files import REAL, needs_data

from her2core.cli import cli
from her2core.data.importers import IMPORTERS, import_dataset
from her2core.data.importers.tcga_clinical import find_clinical, read_clinical, validate_clinical
from her2core.data.manifest import UNKNOWN, read_manifest
from her2core.errors import ManifestError
from her2core.io.tables import read_table

NAMES = ("warwick", "bci", "herohe", "yale", "bcnb", "mist")
pytestmark = pytest.mark.filterwarnings("error")


def module(name: str):
    return importlib.import_module(f"her2core.data.importers.{name}")


def by(manifest, column: str, key: str = "patient_id") -> dict:
    return dict(zip(manifest.frame[key], manifest.frame[column], strict=True))


def found(manifest, kind: str) -> list[tuple[str, str]]:
    rows = manifest.findings[manifest.findings["kind"] == kind]
    return [(row.patient_id or row.slide_id or row.path, row.detail) for row in rows.itertuples()]


@pytest.mark.parametrize("name", NAMES)
def test_licence_terms_and_citation_travel_and_the_wrong_folder_is_refused_with_the_layout(tmp_path, name):
    made = import_dataset(name, getattr(trees, name)(tmp_path / "data"))
    own = module(name)
    assert {made.facts[key] for key in ("licence", "terms", "citation")} == {own.LICENCE, own.TERMS, own.CITATION}
    assert made.missing_files() == []
    again = read_manifest(made.write(tmp_path / "m.parquet"))
    assert (again.classes, again.content_hash()) == (made.classes, made.content_hash())
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        with pytest.raises(ManifestError, match="Give the data set's own folder") as refused:
            import_dataset(name, tmp_path / folder)
        assert refused.value.expected == own.LAYOUT


def test_warwick_matches_names_in_any_case_and_says_which_slides_and_scores_are_missing(tmp_path):
    made = import_dataset("warwick", trees.warwick(tmp_path))
    assert by(made, "label") == {"01": "negative", "02": "positive", "04": "equivocal"}
    assert by(made, "her2_ihc") == {"01": "0", "02": "3+", "04": "2+"}
    assert by(made, "her2_percent") == {"01": 0.0, "02": 95.0, "04": 12.5}
    assert by(made, "path")["02"] == "b/02_HE.NDPI"
    assert by(made, "ihc_path")["02"] == "b/02_Her2.ndpi"
    assert set(made.frame["ish"]) == {UNKNOWN}
    assert found(made, "missing file") == [
        ("04", "no IHC slide"),
        ("88", "no IHC slide"),
        ("09", "a score, but no H&E slide"),
    ]
    assert found(made, "no label") == [("88", "no class under ihc_status")]
    assert by(import_dataset("warwick", tmp_path, scheme="ihc_score"), "label")["04"] == "2+"
    with pytest.raises(ManifestError, match="a scheme out of ihc_status, ihc_positive, ihc_score, but got 'final'"):
        import_dataset("warwick", tmp_path, scheme="final")


def test_warwick_scores_of_two_tables_are_never_chosen_between(tmp_path):
    trees.warwick(tmp_path)
    (tmp_path / "groundTruth.csv").write_text("CaseNo,HeR2 SCORE\n01,0\n02,2\n")
    made = import_dataset("warwick", tmp_path)
    assert found(made, "conflict") == [("02", "scores 2+, 3+")]
    assert by(made, "label") == {"01": "negative", "04": "equivocal"}


def test_bci_has_no_patients_says_what_that_rules_out_and_reports_broken_pairs(tmp_path):
    root = trees.bci(tmp_path) / "BCI_dataset"
    made = import_dataset("bci", tmp_path)
    assert not made.patients_known
    assert "patient-level split is impossible on this data" in " ".join(made.facts["rules_out"])
    assert by(made, "label", "path")["BCI_dataset/HE/test/00000_test_2+.png"] == "equivocal"
    assert by(made, "split", "path")["BCI_dataset/HE/test/00000_test_2+.png"] == "test"
    assert made.frame["ihc_path"].str.replace("IHC", "HE").tolist() == made.frame["path"].tolist()
    assert made.findings.empty
    (root / "IHC/train/00001_train_3+.png").rename(root / "IHC/train/00001_train_2+.png")
    (root / "IHC/train/00002_train_0.png").unlink()
    trees.touch(root, "HE/test/00009_train_0.png")
    made = import_dataset("bci", root)
    assert [detail for _, detail in found(made, "conflict")] == [
        "part train by its name, test by its folder",
        "score 3+, but 2+ in the name of its IHC patch",
    ]
    assert [detail for _, detail in found(made, "missing file")] == ["no IHC patch"]


def test_herohe_keeps_score_ish_and_final_result_apart_and_cases_of_both_parts(tmp_path):
    made = import_dataset("herohe", trees.herohe(tmp_path))
    assert by(made, "label") == {
        "train-1": "negative",
        "2": "positive",
        "3": "positive",
        "test-1": "positive",
        "7": "negative",
    }
    assert by(made, "her2_ihc") == {"train-1": "2+", "2": "3+", "3": "1+", "test-1": "2+", "7": "0"}
    assert by(made, "ish") == {"train-1": "negative", "2": UNKNOWN, "3": "positive", "test-1": "positive", "7": UNKNOWN}
    assert by(made, "site")["2"] == "Braga"
    assert by(made, "split") == {"train-1": "train", "2": "train", "3": "train", "test-1": "test", "7": "test"}
    assert by(made, "age_group")["train-1"] == "under 50"
    assert found(made, "conflict") == [
        ("3", "IHC status negative with FISH positive; score 1+ with final result positive")
    ]
    assert found(made, "missing file") == [
        ("7", "no slide data (7/Slidedat.ini)"),
        ("4", "a training case without slide"),
    ]
    status = import_dataset("herohe", tmp_path, scheme="ihc_status")
    assert by(status, "label")["train-1"] == "equivocal"


def test_herohe_numbers_of_both_parts_need_the_part_where_folders_do_not_name_it(tmp_path):
    trees.herohe(tmp_path)
    (tmp_path / "Training" / "1.mrxs").rename(tmp_path / "1.mrxs")
    made = import_dataset("herohe", tmp_path)
    assert ("1", "a training and a test case: set part") in found(made, "conflict")
    assert "train-1" not in by(made, "label")
    assert by(import_dataset("herohe", tmp_path, part="train"), "label")["train-1"] == "negative"
    with pytest.raises(ManifestError, match="part out of train, test, but got 'val'"):
        import_dataset("herohe", tmp_path, part="val")


def test_herohe_reads_the_other_export_and_folders_of_results(tmp_path):
    trees.touch(tmp_path, "positive/1.mrxs", "negative/002.mrxs", "negative/003.mrxs", "positive/1/Slidedat.ini")
    (tmp_path / "HEROHE_TrainGroundTruth.csv").write_text("caseID,HER2status\n1,Positive\n2,0\n3,1\n")
    made = import_dataset("herohe", tmp_path)
    assert by(made, "label") == {"1": "positive", "2": "negative", "3": "positive"}
    assert found(made, "conflict") == [("3", "final result positive, but folder negative")]
    with pytest.raises(ManifestError, match="a table with IHC scores .*, but got final results only"):
        import_dataset("herohe", tmp_path, scheme="ihc_score")
    (tmp_path / "HEROHE_TrainGroundTruth.csv").unlink()
    assert by(import_dataset("herohe", tmp_path), "label") == {"1": "positive", "2": "negative", "3": "negative"}


def test_herohe_results_that_two_tables_contradict_are_unknown(tmp_path):
    trees.herohe(tmp_path)
    (tmp_path / "HEROHE_TrainGroundTruth.csv").write_text("caseID,HER2status\n1,Negative\n2,Negative\n")
    made = import_dataset("herohe", tmp_path)
    assert ("2", "her2_final positive and negative in the tables") in found(made, "conflict")
    assert "2" not in by(made, "label")


def test_yale_keys_on_the_whole_stem_and_reads_the_strict_workbook(tmp_path):
    made = import_dataset("yale", trees.yale(tmp_path))
    assert by(made, "label") == {
        "Her2Neg_Case_01": "negative",
        "Her2Neg_Case_02": "negative",
        "Her2Pos_Case_01": "positive",
        "Her2Pos_Case_02": "positive",
    }
    assert by(made, "regions")["Her2Pos_Case_01"].endswith("Annotations/Her2Pos_Case_01.xml")
    assert [detail for _, detail in found(made, "missing file")] == ["no annotation", "an annotation without its slide"]
    assert made.facts["tcga_annotations"] == 1
    response = import_dataset("yale", tmp_path / "pkg_v3", scheme="response")
    assert by(response, "label") == {"Patient_1": "responder", "Patient_10": "non-responder"}
    assert not response.scheme.is_her2
    assert set(response.frame["her2_final"]) == {"positive"}
    assert ("Patient_3", "a response, but no slide") in found(response, "missing file")
    assert found(response, "no label") == [("Patient_2", "no class under response")]


def test_yale_patients_by_number_are_matched_where_one_slide_fits(tmp_path):
    response = tmp_path / "Yale_trastuzumab_response_cohort"
    trees.touch(response, "SVS/Case_01.svs", "SVS/Case_2.svs", "SVS/Case_12.svs", "SVS/P_12.svs")
    rows = [("Patient", "Responder"), ("1", "Yes"), ("2", "no"), ("12", "yes")]
    trees.strict_workbook(response / "metadata_clean.xlsx", rows)
    made = import_dataset("yale", tmp_path, scheme="response")
    assert by(made, "label") == {"Case_01": "responder", "Case_2": "non-responder"}
    assert ("12", "a response, but no slide") in found(made, "missing file")


def test_bcnb_slides_and_patches_have_scores_ish_of_2_and_published_parts(tmp_path):
    made = import_dataset("bcnb", trees.bcnb(tmp_path))
    assert by(made, "label") == {"1": "negative", "2": "equivocal", "3": "equivocal", "12": "positive"}
    assert by(made, "ish") == {"1": UNKNOWN, "2": "positive", "3": "negative", "12": UNKNOWN}
    assert by(made, "split") == {"1": "train", "2": "train", "3": "val", "12": "test"}
    assert by(made, "regions")["12"] == "WSIs/12.json"
    assert "do not state their scale" in " ".join(made.facts["rules_out"])
    assert found(made, "missing file") == [("40", "no slide")]
    final = import_dataset("bcnb", tmp_path, scheme="final", images="patches", mpp=0.5)
    assert len(final) == 8
    row = final.frame.set_index("path").loc["patches/2/2_0_256_512.jpg"]
    assert (row["label"], row["x"], row["y"], row["width"], row["region"], row["mpp"]) == (
        "positive",
        256,
        512,
        256,
        0,
        0.5,
    )


def test_bcnb_contradictions_and_patients_of_two_parts_are_reported(tmp_path):
    trees.bcnb(tmp_path)
    table = read_table(tmp_path / "patient-clinical-data.xlsx").frame
    table.loc[table["Patient ID"] == "12", "HER2"] = "Negative"
    table.to_excel(tmp_path / "patient-clinical-data.xlsx", sheet_name="Sheet1", index=False)
    (tmp_path / "dataset-splitting" / "val_id.txt").write_text("3\n1\n")
    (tmp_path / "WSIs" / "2.json").unlink()
    made = import_dataset("bcnb", tmp_path)
    assert found(made, "conflict") == [("1", "in train and val"), ("12", "score 3+ with final result negative")]
    assert "split" not in made.frame
    assert ("2", "no annotation 2.json") in found(made, "missing file")


def test_mist_is_regrouped_by_slide_and_has_no_her2_class(tmp_path):
    made = import_dataset("mist", trees.mist(tmp_path))
    assert made.scheme.name == "stain"
    assert not made.scheme.is_her2
    assert not made.patients_known
    assert set(made.frame["slide_id"]) == {"S_0", "S_1", "S_2", "S_3", "S_4", "T"}
    assert made.frame.groupby("slide_id")["split"].nunique().eq(1).all()
    assert found(made, "slide in several shipped parts") == [("S_4", "patches: 2 in train, 1 in val")]
    assert [detail for _, detail in found(made, "missing file")] == ["an H&E patch without its pair"]
    assert set(made.frame["mpp"]) == {0.4661}
    assert "1 image of another stain (ER, PR, Ki67) was not read." in made.facts["left_out"]
    assert len(import_dataset("mist", tmp_path, stain="both")) == 2 * len(made) - 1


@pytest.mark.parametrize(
    ("name", "small", "lacking"),
    [
        ("warwick", {"cases with an H&E slide": 4}, "cases with an H&E slide: 4 of 86"),
        ("bci", {"train pairs": 3, "test pairs": 1}, "train pairs: 3 of 3,896"),
        (
            "herohe",
            {"training cases": 3, "training cases, positive": 2, "test cases": 2, "test cases, positive": 1},
            "training cases: 3 of 360",
        ),
        ("yale", {"slides": 4}, "slides: 4 of 192"),
        ("bcnb", {"patients": 4, "patients with 2+ and ISH positive": 1}, "patients: 4 of 1,058"),
    ],
)
def test_validate_accepts_the_published_counts_and_names_what_a_partial_copy_lacks(tmp_path, name, small, lacking):
    made, own = import_dataset(name, getattr(trees, name)(tmp_path)), module(name)
    assert own.validate(made, published=small) == []
    assert lacking in own.validate(made, partial=True)
    assert lacking in made.facts["partial"]
    with pytest.raises(ManifestError, match=rf"{lacking}.*state that it is partial"):
        own.validate(made)
    first = next(iter(small))
    with pytest.raises(ManifestError, match=f"{first}: {small[first]}, published {small[first] - 1}"):
        own.validate(made, published={first: small[first] - 1}, partial=True)


def test_validate_compares_labels_with_names_and_mist_pairs_with_parts(tmp_path):
    yale = import_dataset("yale", trees.yale(tmp_path / "y"))
    turned = yale.frame.assign(label=yale.frame["label"].map({"negative": "positive", "positive": "negative"}))
    yale.frame["label"] = turned["label"]
    with pytest.raises(ManifestError, match="Her2Neg_Case_01: label positive, expected negative"):
        module("yale").validate(yale, partial=True)
    mist = import_dataset("mist", trees.mist(tmp_path / "m"))
    assert module("mist").validate(mist, partial=True) == ["patches with their pair: 11 of 12"]
    with pytest.raises(ManifestError, match="patches with their pair: 11 of 12"):
        module("mist").validate(mist)
    bci = import_dataset("bci", trees.bci(tmp_path / "b"))
    bci.frame["her2_ihc"] = "2+"
    with pytest.raises(ManifestError, match=r"00002_train_0.png: label 2, expected 0"):
        module("bci").validate(bci, partial=True)


# tcga_brca, slides

CLINICAL = ("bcr_patient_barcode", "her2_status_by_ihc", "her2_ihc_score", "her2_fish_status", "her2_cent17_ratio")


def tcga(root):
    rows = [CLINICAL, ["long name"] * 5, ["CDE_ID:1"] * 5]
    rows += [
        ("TCGA-A8-0001", "Negative", "1+", "[Not Available]", "1.1"),
        ("TCGA-A8-0002", "Positive", "1+", "Negative", ""),
    ]
    rows += [("TCGA-A7-0003", "Indeterminate", "2+", "Positive", "2.9")]
    root.mkdir(exist_ok=True)
    table = "\n".join("\t".join(row) for row in rows)
    (root / "clinical" / "a1-b2").mkdir(parents=True)
    (root / "clinical/a1-b2/nationwidechildrens.org_clinical_patient_brca.txt").write_text(table)
    names = (
        "0001-01Z-00-DX1.0a-b",
        "0002-01Z-00-DX1.1c",
        "0002-01A-01-TS1.2d",
        "0002-11A-01-TS1.3e",
        "0001-06Z-00-DX1.4f",
    )
    trees.touch(root, *[f"{name}/TCGA-A8-{name}.svs" for name in names])
    trees.touch(root, "x/TCGA-A7-0003-01Z-00-DX1.5a.svs", "x/TCGA-A7-0009-01Z-00-DX1.6a.svs")
    return root


def test_tcga_takes_diagnostic_slides_of_primary_tumours(tmp_path):
    made = import_dataset("tcga_brca", tcga(tmp_path))
    assert by(made, "label") == {"TCGA-A8-0001": "negative", "TCGA-A8-0002": "positive"}
    assert by(made, "slide_id")["TCGA-A8-0001"] == "TCGA-A8-0001-01Z-00-DX1"
    assert set(made.frame["site"]) == {"A8"}
    assert by(made, "her2_cent17_ratio")["TCGA-A8-0001"] == 1.1
    assert [detail for _, detail in found(made, "not a diagnostic slide")] == [
        "sample type 06, slide DX",
        "sample type 01, slide TS",
        "sample type 11, slide TS",
    ]
    assert found(made, "conflict") == [
        ("TCGA-A8-0002", "IHC status positive with score 1+; IHC status positive with FISH negative")
    ]
    assert found(made, "no label") == [
        ("TCGA-A7-0009", "absent from the clinical table"),
        ("TCGA-A7-0003", "no ihc_status"),
    ]
    final = import_dataset("tcga_brca", tmp_path, scheme="final")
    assert by(final, "label")["TCGA-A7-0003"] == "positive"
    counts = {"patients": 3, "her2_status_by_ihc Indeterminate": 1, "her2_ihc_score 1+": 2}
    assert validate_clinical(made.facts["clinical"], published=counts) == []
    with pytest.raises(ManifestError, match="patients: 3 of 1,099"):
        module("tcga_brca").validate(made)


def test_tcga_slides_are_joined_to_yale_s_annotations(tmp_path):
    folder = trees.yale(tmp_path / "yale") / "pkg_v3" / "TCGA_BRCA_Filtered"
    made = import_dataset("tcga_brca", tcga(tmp_path / "tcga"), annotations=folder)
    regions = by(made, "regions")
    assert regions["TCGA-A8-0001"] == str(folder / "TCGA-A8-0001-01Z-00-DX1.0a-1b.xml")
    assert ("TCGA-A8-0002", "no annotation TCGA-A8-0002-01Z-00-DX1.xml") in found(made, "missing file")


@pytest.mark.parametrize("kind", ["clinical.xlsx", "clinical.txt"])
def test_a_clinical_table_saved_again_by_a_spreadsheet_is_the_same(tmp_path, kind):
    """As a workbook, or as what Excel calls Unicode text, below a title."""
    source = find_clinical(tcga(tmp_path / "tcga"))
    rows = [line.split("\t") for line in source.read_text().splitlines()]
    (tmp_path / "saved").mkdir()
    if kind.endswith("xlsx"):
        pd.DataFrame(rows).to_excel(tmp_path / "saved" / kind, header=False, index=False)
    else:
        (tmp_path / "saved" / kind).write_bytes(("TCGA-BRCA\n" + source.read_text()).encode("utf-16"))
    assert read_clinical(find_clinical(tmp_path / "saved")).equals(read_clinical(source))


@needs_data
def test_the_real_clinical_table_has_the_documented_counts_and_conflicts():
    from her2core.data.importers.her2_results import conflict_of

    clinical = read_clinical(find_clinical(REAL / "tcga_brca"))
    assert validate_clinical(clinical.attrs["counts"]) == []
    assert (clinical.index.min(), clinical.index.max()) == ("TCGA-3C-AAAU", "TCGA-Z7-A8R6")
    assert clinical["her2_status_by_ihc"].iloc[[0, -1]].tolist() == ["negative", "negative"]
    said = conflict_of(clinical).str.split("; ").explode().value_counts()
    assert said["IHC status positive with FISH negative"] == 12
    assert said["IHC status negative with FISH positive"] == 3
    assert said["IHC status positive with score 1+"] == 11
    assert said["IHC status negative with score 3+"] == 2


# command line


def test_the_command_prints_licence_and_limits_and_writes_the_findings(tmp_path):
    root = trees.bci(tmp_path / "data")
    (root / "BCI_dataset/IHC/train/00002_train_0.png").unlink()
    out = tmp_path / "bci.parquet"
    result = CliRunner().invoke(cli, ["data", "import", "bci", str(root), "--out", str(out)])
    assert result.exit_code == 0, result.output
    own = module("bci")
    for sentence in (f"licence: {own.LICENCE}", f"terms: {own.TERMS}", f"cite: {own.CITATION}"):
        assert result.output.count(sentence) == 1
    assert "limit: A patient-level split is impossible on this data" in result.output
    assert "partial copy: train pairs: 2 of 3,896" in result.output
    table = pd.read_csv(tmp_path / "bci.findings.csv")
    assert table[["kind", "detail"]].values.tolist() == [["missing file", "no IHC patch"]]
    trees.touch(root, "BCI_dataset/IHC/train/00002_train_0.png")
    result = CliRunner().invoke(cli, ["data", "import", "bci", str(root), "--out", str(out), "--json"])
    assert json.loads(result.output)["facts"]["licence"] == own.LICENCE
    assert len(pd.read_csv(tmp_path / "bci.findings.csv")) == 0  # the earlier table does not stay


def test_the_registry_names_every_public_data_set():
    assert set(NAMES) | {"tcga_brca", "her2st"} <= set(IMPORTERS)
